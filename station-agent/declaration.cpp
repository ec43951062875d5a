#include "station-agent/declaration.h"

#include <span>
#include <utility>

namespace keyferry::station {

std::variant<CheckedDeclaration, Refusal> check_declaration(ByteView cms,
                                                            const std::optional<Bytes>& signer) {
  auto parsed = x509::parse_certification_declaration(cms);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return std::move(*refusal);
  CheckedDeclaration checked{std::get<x509::CertificationDeclaration>(std::move(parsed))};
  if (!signer) return checked;
  auto signature = x509::check_declaration_signature(checked.declaration, std::span{&*signer, 1});
  if (auto* refusal = std::get_if<Refusal>(&signature)) return std::move(*refusal);
  checked.signature = std::get<x509::DeclarationSignature>(signature);
  if (checked.signature == x509::DeclarationSignature::Verified) return checked;
  return Refusal{"declaration-signature",
                 "the certification declaration " + checked.declaration.certificate_id +
                     " is not signed by the key of the certificate that came with it"};
}

}  // namespace keyferry::station
