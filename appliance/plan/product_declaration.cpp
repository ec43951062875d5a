#include "appliance/plan/product_declaration.h"

#include <fmt/format.h>

#include <array>

#include "wrap/crypto/hash.h"
#include "wrap/x509/declaration.h"

namespace keyferry::appliance {
namespace {

std::optional<Refusal> check_named(std::string_view what, const std::optional<Digest>& named, ByteView octets) {
  if (!named && octets.empty()) return std::nullopt;
  if (!named) return Refusal{"declaration-other", fmt::format("the template names no {}, and one is given", what)};
  if (octets.empty()) return Refusal{"declaration-missing", fmt::format("the {} {} is not there", what, named->hex())};
  const Digest given = crypto::sha256(octets);
  if (given == *named) return std::nullopt;
  return Refusal{"declaration-other",
                 fmt::format("the {} has SHA-256 {}, the template names {}", what, given.hex(), named->hex())};
}

std::optional<Refusal> check_signature(ByteView cms, ByteView signer) {
  auto parsed = x509::parse_certification_declaration(cms);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return std::move(*refusal);
  const auto& declaration = std::get<x509::CertificationDeclaration>(parsed);
  const std::array signers{to_bytes(signer)};
  auto checked = x509::check_declaration_signature(declaration, signers);
  if (auto* refusal = std::get_if<Refusal>(&checked)) {
    if (refusal->reason != "declaration-signature") refusal->text = "the declaration's signer: " + refusal->text;
    return std::move(*refusal);
  }
  if (std::get<x509::DeclarationSignature>(checked) == x509::DeclarationSignature::Verified) return std::nullopt;
  return Refusal{"declaration-signature",
                 fmt::format("the certification declaration {} says it is signed by the key {}, which is not that of "
                             "the signer's certificate",
                             declaration.certificate_id, to_hex(declaration.signer_key_identifier)),
                 "give the certificate whose subject key identifier that is"};
}

}  // namespace

std::optional<Refusal> check_declaration(const x509::DeviceTemplate& device, ByteView cms, ByteView signer,
                                         ByteView paa_key_identifier) {
  if (auto refusal = check_named("Certification Declaration", device.certification_declaration, cms)) return refusal;
  if (auto refusal = check_named("declaration's signer", device.declaration_signer, signer)) return refusal;
  if (cms.empty()) return std::nullopt;
  if (!device.matter.vendor_id || !device.matter.product_id)
    return Refusal{"declaration-vendor", "the template has no Matter vendor and product id to hold it against"};
  if (auto refusal = x509::check_certification_declaration(cms, *device.matter.vendor_id, *device.matter.product_id,
                                                           paa_key_identifier))
    return refusal;
  return signer.empty() ? std::nullopt : check_signature(cms, signer);
}

std::string declaration_signature_sentence(const x509::DeviceTemplate& device) {
  if (!device.declaration_signer) return "Its signature is not checked: the plan names no certificate of its signer.";
  return fmt::format("Its signature is checked with the signer's certificate that has SHA-256 {}.",
                     device.declaration_signer->hex());
}

}  // namespace keyferry::appliance
