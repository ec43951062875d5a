// The other side of family `pkcs11`: the templates by which a token (the SE) takes its transport
// key and an injected key, and the attempts that a token must refuse before it is prepared
// (se/pkcs11-token.md, section 1).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/p11/session.h"

namespace keyferry::se {

/// A transport key on the SE: token object, AES-256, sensitive, not extractable, not modifiable,
/// not copyable, UNWRAP only, `kwp` the only mechanism, and by CKA_UNWRAP_TEMPLATE only P-256
/// signing keys that stay inside come out of it. Add secret_value (a preparation that knows the
/// key), or use it to compare (Session::differences).
[[nodiscard]] p11::Template device_transport_key_template(std::string_view label,
                                                          p11::Mechanism kwp);

/// An injected key: token object, sensitive, not extractable, not modifiable, not copyable, SIGN
/// only. id: CKA_ID, the name under which it is found again.
[[nodiscard]] p11::Template injected_key_template(std::string_view label, ByteView id);

/// Tries what a token must refuse, with session objects of published value that are gone
/// afterwards. One sentence for each attempt that went through; empty = the token may be prepared.
/// Throws when the device is lost or the templates above are not taken at all.
[[nodiscard]] std::vector<std::string> device_abuses(p11::Session& session, p11::Mechanism kwp);

}  // namespace keyferry::se
