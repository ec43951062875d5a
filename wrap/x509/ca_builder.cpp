#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/der.h"
#include "wrap/x509/internal/extensions.h"

namespace keyferry::x509 {
namespace {

constexpr std::uint8_t kVersion3[] = {0xa0, 0x03, 0x02, 0x01, 0x02};
// RFC 5758 3.2: ecdsa-with-SHA256, no parameters.
constexpr std::uint8_t kEcdsaWithSha256[] = {
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

constexpr std::array kKinds{
    std::pair{CaKind::Root, std::string_view{"root"}},
    std::pair{CaKind::Intermediate, std::string_view{"intermediate"}},
    std::pair{CaKind::MatterPaa, std::string_view{"matter-paa"}},
    std::pair{CaKind::MatterPai, std::string_view{"matter-pai"}},
};

bool is_matter(CaKind kind) {
  return kind == CaKind::MatterPaa || kind == CaKind::MatterPai;
}

std::optional<Refusal> check_kind(const CaSpec& spec) {
  const MatterIds& ids = spec.matter;
  switch (spec.kind) {
    case CaKind::Root:
    case CaKind::Intermediate:
      if (ids.vendor_id || ids.product_id)
        return Refusal{"ca-matter",
                       "vendor and product id are of Matter's CAs",
                       "use the kind matter-paa or matter-pai"};
      break;
    case CaKind::MatterPaa:
      if (ids.product_id)
        return Refusal{"ca-matter",
                       "a PAA never names a product",
                       "leave the product id to the PAI, or to the DACs"};
      if (spec.path_length && *spec.path_length != 1)
        return Refusal{"ca-path-length", "a PAA's path length is 1 or absent"};
      break;
    case CaKind::MatterPai:
      if (!ids.vendor_id)
        return Refusal{"ca-matter", "a PAI names its vendor", "give the vendor id, e.g. FFF1"};
      if (spec.path_length != std::uint8_t{0})
        return Refusal{"ca-path-length", "a PAI's path length is 0"};
      break;
  }
  return std::nullopt;
}

std::optional<Refusal> check_matter_issuer(const CaSpec& spec, const CertificateFacts& issuer) {
  if (!equal(issuer.issuer_name, issuer.subject_name)) {
    return Refusal{"issuer",
                   fmt::format("{} is not self-signed, so it is no PAA", issuer.subject),
                   "a PAI is issued by a PAA"};
  }
  const auto found = matter_ids(issuer.subject_name);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
  const auto& ids = std::get<MatterIds>(found);
  if (ids.product_id)
    return Refusal{"ca-matter",
                   fmt::format("{} names a product, which a PAA never does", issuer.subject)};
  if (ids.vendor_id && ids.vendor_id != spec.matter.vendor_id) {
    return Refusal{"matter-vendor",
                   fmt::format("the PAI is for vendor {}, but {} is of vendor {}",
                               matter_hex(spec.matter.vendor_id.value()),
                               issuer.subject,
                               matter_hex(*ids.vendor_id)),
                   "use the vendor's own PAA, or one without a VendorID"};
  }
  return std::nullopt;
}

struct Issuer {
  ByteView name;
  ByteView key_identifier;
};

Bytes build(const CaSpec& spec,
            const CertificateSerial& serial,
            const crypto::PublicKey& key,
            ByteView name,
            Issuer issuer) {
  if (!is_our_serial(serial))
    throw Error{Code::InvalidArgument, "a certificate's serial is not zero"};
  const Bytes list = der::sequence({ca_extension(spec.path_length),
                                    key_usage_extension(kKeyCertSign | kCrlSign),
                                    subject_key_extension(key_identifier(key).bytes()),
                                    authority_key_extension(issuer.key_identifier)});
  const SerialContent number{serial};
  Bytes tbs = der::sequence({kVersion3,
                             der::tlv(der::kInteger, number.view()),
                             kEcdsaWithSha256,
                             issuer.name,
                             der::sequence({der::time(spec.not_before), der::time(spec.not_after)}),
                             name,
                             key.spki_der(),
                             der::tlv(der::context_constructed(3), list)});
  constexpr std::size_t kFrame = 4 + 12 + 75;  // outer SEQUENCE, algorithm, longest signature
  const std::size_t longest = tbs.size() + kMaxOurSerialBytes - number.view().size() + kFrame;
  if (is_matter(spec.kind) && longest > kMaxMatterCertificateBytes) {
    throw to_error(Refusal{
        "certificate-size",
        fmt::format(
            "the certificate may have {} octets, but a Matter attestation certificate has at "
            "most {}",
            longest,
            kMaxMatterCertificateBytes),
        "shorten its subject, or its issuer's"});
  }
  return tbs;
}

}  // namespace

std::string_view ca_kind_name(CaKind kind) {
  return kKinds[static_cast<std::size_t>(kind)].second;
}

std::optional<CaKind> ca_kind_from_name(std::string_view name) {
  for (const auto& [kind, known] : kKinds) {
    if (known == name) return kind;
  }
  return std::nullopt;
}

std::optional<Refusal> validate(const CaSpec& spec) {
  if (auto refusal = check_kind(spec)) return refusal;
  const auto name = fixed_name(spec.subject, spec.matter);
  if (const auto* refusal = std::get_if<Refusal>(&name)) return *refusal;
  if (is_matter(spec.kind)) {
    // What a reader finds must be what was meant: a common name may say Mvid: or Mpid: too.
    const auto found = matter_ids(std::get<Bytes>(name));
    const auto* ids = std::get_if<MatterIds>(&found);
    const bool same = ids != nullptr && ids->vendor_id == spec.matter.vendor_id &&
                      ids->product_id == spec.matter.product_id;
    if (!same) {
      return Refusal{"ca-matter",
                     "the subject names another vendor or product than the CA has",
                     "leave Mvid: and Mpid: out of the common name"};
    }
  }
  if (spec.not_before >= spec.not_after || spec.not_before < der::kFirstTime ||
      spec.not_after > der::kLastTime) {
    return Refusal{
        "validity",
        "validity of the CA: not_before must be before not_after, both from 1950 to 9999"};
  }
  return std::nullopt;
}

std::optional<Refusal> validate(const CaSpec& spec, const CertificateFacts& issuer) {
  if (auto refusal = validate(spec)) return refusal;
  const bool may_sign = !issuer.key_usage || (*issuer.key_usage & kKeyCertSign) != 0;
  if (!issuer.is_ca || !may_sign || issuer.subject_key_identifier.empty()) {
    return Refusal{"issuer",
                   fmt::format("{} is not a CA that may sign certificates and has a key identifier",
                               issuer.subject)};
  }
  if (issuer.path_length &&
      (*issuer.path_length == 0 || !spec.path_length || *spec.path_length >= *issuer.path_length)) {
    return Refusal{
        "ca-path-length",
        fmt::format("{} allows {} CAs below it, so this one's path length must be below that",
                    issuer.subject,
                    *issuer.path_length),
        "give a smaller path length, or use another issuer"};
  }
  if (spec.kind == CaKind::MatterPai) {
    if (auto refusal = check_matter_issuer(spec, issuer)) return refusal;
  }
  if (spec.not_before < issuer.not_before || spec.not_after > issuer.not_after) {
    return Refusal{
        "validity",
        fmt::format("the CA would be valid from {} to {}, but its issuer {} from {} to {}",
                    to_rfc3339(spec.not_before),
                    to_rfc3339(spec.not_after),
                    issuer.subject,
                    to_rfc3339(issuer.not_before),
                    to_rfc3339(issuer.not_after)),
        "shorten the validity, or renew the issuer"};
  }
  return std::nullopt;
}

Bytes ca_name(const CaSpec& spec) {
  if (const auto refusal = validate(spec)) throw to_error(*refusal);
  return std::get<Bytes>(fixed_name(spec.subject, spec.matter));
}

Bytes ca_to_be_signed(const CaSpec& spec,
                      const CertificateSerial& serial,
                      const crypto::PublicKey& key) {
  if (!is_self_signed(spec.kind))
    throw Error{Code::InvalidArgument,
                fmt::format("a CA of kind {} has an issuer", ca_kind_name(spec.kind))};
  const Bytes name = ca_name(spec);
  return build(spec, serial, key, name, Issuer{name, key_identifier(key).bytes()});
}

Bytes ca_to_be_signed(const CaSpec& spec,
                      const CertificateSerial& serial,
                      const crypto::PublicKey& key,
                      const CertificateFacts& issuer) {
  if (is_self_signed(spec.kind))
    throw Error{Code::InvalidArgument,
                fmt::format("a CA of kind {} is self-signed", ca_kind_name(spec.kind))};
  if (const auto refusal = validate(spec, issuer)) throw to_error(*refusal);
  return build(
      spec, serial, key, ca_name(spec), Issuer{issuer.subject_name, issuer.subject_key_identifier});
}

}  // namespace keyferry::x509
