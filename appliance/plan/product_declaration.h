// A product's Certification Declaration (Matter, CMS) against what a plan says of it: front end and worker ask this.
#pragma once

#include <optional>
#include <string>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {

/// A declaration and, where it is given, the certificate in DER of who signed it; both empty: the plan names none.
struct ProductDeclaration {
  Bytes cms;
  Bytes signer;
};

/// Nothing if they are the ones that `device` names by SHA-256, the declaration is for its vendor and product, lists
/// the PAA (when that key identifier is given), and is signed by `signer` where the template names one. Refusals
/// "declaration-missing", "declaration-other" (another one than is named, or one that nobody named),
/// "declaration-vendor" (no Matter ids to hold it against), "declaration-signature", and those of x509/declaration.h.
[[nodiscard]] std::optional<Refusal> check_declaration(const x509::DeviceTemplate& device, ByteView cms,
                                                       ByteView signer, ByteView paa_key_identifier);

/// For people: whose signature is on it, or that nobody looked.
[[nodiscard]] std::string declaration_signature_sentence(const x509::DeviceTemplate& device);

}  // namespace keyferry::appliance
