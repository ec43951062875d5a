// The product's Certification Declaration (Matter) that came with a batch's manifest. The appliance
// held it against the plan; the station looks again, so that what it hands out can be read.
#pragma once

#include <optional>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/x509/declaration.h"

namespace keyferry::station {

struct CheckedDeclaration {
  x509::CertificationDeclaration declaration;
  x509::DeclarationSignature signature = x509::DeclarationSignature::NotVerified;
};

/// Refusals: those of x509/declaration.h; "declaration-signature" too where the signer's certificate
/// is of another key than the declaration names. Without `signer` the signature is not looked at.
[[nodiscard]] std::variant<CheckedDeclaration, Refusal> check_declaration(
    ByteView cms, const std::optional<Bytes>& signer);

}  // namespace keyferry::station
