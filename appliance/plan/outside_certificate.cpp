#include "appliance/plan/outside_certificate.h"

#include <fmt/format.h>

#include <utility>

#include "appliance/plan/lint_findings.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/der.h"
#include "wrap/x509/issued.h"

namespace keyferry::appliance {
namespace {

namespace der = x509::der;

constexpr std::size_t kSerialIdBytes = 16;

template <typename T>
T parsed_or_throw(std::variant<T, Refusal> parsed) {
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<T>(std::move(parsed));
}

/// Said by the certificate of its signature (RFC 5280 4.1.1.2): RFC 5758 3.2 (ECDSA), RFC 8017 A.2.4 (RSA).
bool is_over_sha1(ByteView certificate) {
  const auto whole = der::only_element(certificate, der::kSequence);
  if (!whole) return false;
  der::Reader fields{whole->content};
  static_cast<void>(fields.next(der::kSequence));
  const auto algorithm = fields.next(der::kSequence);
  const auto oid = algorithm ? der::Reader{algorithm->content}.next(der::kOid) : std::nullopt;
  return oid && (equal(oid->whole, der::oid("1.2.840.10045.4.1")) || equal(oid->whole, der::oid("1.2.840.113549.1.1.5")));
}

}  // namespace

x509::SubjectFields subject_fields(const se::Entry& entry) {
  x509::SubjectFields fields{std::nullopt, entry.serial, entry.key_name, entry.part, entry.lot};
  if (!entry.device_serial.empty()) fields.device_serial = entry.device_serial;
  return fields;
}

Bytes outside_serial_id(const x509::CertificateFacts& certificate) {
  Bytes octets = to_bytes(as_bytes("keyferry/v1/outside-serial"));
  octets.push_back(0);
  append_u16be_prefixed(octets, certificate.issuer_name);
  append(octets, certificate.serial);
  const Digest digest = crypto::sha256(octets);
  return to_bytes(digest.bytes().first(kSerialIdBytes));
}

std::optional<crypto::PublicKey> key_in_certificate(ByteView octets) {
  const auto whole = der::only_element(octets, der::kSequence);
  const auto tbs = whole ? der::Reader{whole->content}.next(der::kSequence) : std::nullopt;
  if (!tbs) return std::nullopt;
  der::Reader fields{tbs->content};
  static_cast<void>(fields.next(der::context_constructed(0)));  // version; none in X.509 v1
  const bool serial = fields.next(der::kInteger).has_value();
  // RFC 5280 4.1: signature algorithm, issuer, validity, subject
  for (int i = 0; serial && i < 4; ++i) static_cast<void>(fields.next(der::kSequence));
  const auto key = fields.next(der::kSequence);
  return key ? crypto::PublicKey::from_spki(key->whole) : std::nullopt;
}

OutsideCertificates::OutsideCertificates(const BatchPlan& batch, std::vector<Bytes> issuers)
    : issuers_{std::move(issuers)},
      issuer_{parsed_or_throw(x509::parse_certificate(issuers_.at(0)))},
      template_{batch.device_template()} {}

std::variant<x509::CertificateFacts, Refusal> OutsideCertificates::check(ByteView octets,
                                                                         const x509::SubjectFields& entry,
                                                                         const crypto::PublicKey& key,
                                                                         UtcMillis now) const {
  if (octets.size() > kMaxOutsideCertificateBytes) {
    return Refusal{"certificate-size",
                   fmt::format("the certificate has {} octets, at most {} are taken", octets.size(), kMaxOutsideCertificateBytes)};
  }
  if (is_over_sha1(octets)) {
    return Refusal{"certificate-sha1", "the certificate is signed over SHA-1, which proves nothing any more",
                   "let the CA sign with SHA-256"};
  }
  if (auto refusal = x509::check_outside_certificate(octets, template_, entry, key)) return std::move(*refusal);
  auto parsed = x509::parse_certificate(octets);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return std::move(*refusal);
  auto& facts = std::get<x509::CertificateFacts>(parsed);
  if (facts.issuer_name != issuer_.subject_name) {
    return Refusal{"certificate-issuer",
                   fmt::format("the certificate of {} is issued by {}, the plan's CA is {}", facts.subject, facts.issuer,
                               issuer_.subject),
                   "take the certificate of the CA that the plan names"};
  }
  const bool names_key = facts.authority_key_identifier == issuer_.subject_key_identifier;
  if (!names_key || !crypto::verify(issuer_.key, crypto::sha256(facts.tbs), facts.signature)) {
    return Refusal{"certificate-signature",
                   fmt::format("the certificate of {} is not signed by the enrolled key of {}", facts.subject, issuer_.subject),
                   "a CA with a new key is enrolled first: keyferry-appliance ca import"};
  }
  if (facts.not_after <= now || facts.not_after > issuer_.not_after) {
    return Refusal{"certificate-expired",
                   facts.not_after <= now
                       ? fmt::format("the certificate of {} ended at {}", facts.subject, to_rfc3339(facts.not_after))
                       : fmt::format("the certificate of {} is valid longer than its CA's own", facts.subject),
                   "have it issued anew"};
  }
  if (facts.not_before.value > now.value + kMaxOutsideDelayMillis) {
    return Refusal{"certificate-not-yet-valid",
                   fmt::format("the certificate of {} begins at {}, more than 24 hours from now ({})", facts.subject,
                               to_rfc3339(facts.not_before), to_rfc3339(now)),
                   "have it issued anew, or take it in when it is about to begin; check the clocks of CA and appliance"};
  }
  std::vector<Bytes> chain{to_bytes(octets)};
  chain.insert(chain.end(), issuers_.begin(), issuers_.end());
  if (auto refusal = lint_refusal(chain, lint_profile(template_.name))) {
    refusal->text = fmt::format("the certificate of {} does not pass the lint: {}", facts.subject, refusal->text);
    return std::move(*refusal);
  }
  return std::move(facts);
}

}  // namespace keyferry::appliance
