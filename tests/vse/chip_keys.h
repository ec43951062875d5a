// What a PKCS#11 token that plays an SE holds, and what it must not do with it (se/pkcs11-token.md,
// section 1).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "wrap/base/secret_bytes.h"
#include "wrap/p11/session.h"

namespace keyferry::vse {

/// The transport key on the chip: token object, AES-256, sensitive, not extractable, not
/// modifiable, not copyable; it unwraps with `kwp` and does nothing else. By its unwrap template
/// only P-256 private keys that stay inside, derive nothing and cannot be changed or copied come
/// out of it. Without a value: add secret_value.
[[nodiscard]] p11::Template transport_key_template(std::string_view label, p11::Mechanism kwp);

/// The device key as a station asks for it.
[[nodiscard]] p11::Template device_key_template();

/// Tries what the chip must refuse, on the very transport key that it was given, and that an honest
/// injection works. `value` is that key's. Everything that comes into being is a session object and
/// gone afterwards. One sentence for each thing that is not as it must be; empty = the chip is fit
/// for use. Throws when it is lost.
[[nodiscard]] std::vector<std::string> try_abuses(p11::Session& session,
                                                  p11::ObjectHandle transport,
                                                  const SecretBytes& value,
                                                  p11::Mechanism kwp);

}  // namespace keyferry::vse
