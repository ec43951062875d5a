#include "wrap/x509/lint.h"

#include <fmt/format.h>

#include <array>

#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

constexpr std::array<std::uint8_t, 3> kSubjectKeyIdentifier{0x55, 0x1d, 0x0e};
constexpr std::size_t kDeviceExtensions = 4;

Refusal lint_refusal(std::string_view field, std::string_view why) {
  return Refusal{"lint",
                 fmt::format("{}: {}", field, why),
                 "this is a fault of the program: keep the plan and report it"};
}

UtcMillis whole_second(UtcMillis time) {
  const std::int64_t rest = ((time.value % 1000) + 1000) % 1000;
  return UtcMillis{time.value - rest};
}

/// A TBSCertificate cut where serial, subject, key and its identifier are.
struct Parts {
  ByteView serial;
  ByteView algorithm;
  ByteView issuer;
  ByteView validity;
  ByteView spki;
  std::vector<Bytes> extensions;  // the subjectKeyIdentifier's value zeroed
};

std::optional<Parts> cut(ByteView tbs) {
  const auto outer = der::only_element(tbs, der::kSequence);
  if (!outer) return std::nullopt;
  der::Reader fields{outer->content};
  const auto version = fields.next(der::context_constructed(0));
  const auto serial = fields.next(der::kInteger);
  const auto algorithm = fields.next(der::kSequence);
  const auto issuer = fields.next(der::kSequence);
  const auto validity = fields.next(der::kSequence);
  const auto subject = fields.next(der::kSequence);
  const auto spki = fields.next(der::kSequence);
  const auto wrapped = fields.next(der::context_constructed(3));
  if (!version || !serial || !algorithm || !issuer || !validity || !subject || !spki || !wrapped ||
      !fields.at_end()) {
    return std::nullopt;
  }
  const auto list = der::only_element(wrapped->content, der::kSequence);
  if (!list) return std::nullopt;
  Parts parts{serial->content, algorithm->whole, issuer->whole, validity->whole, spki->whole, {}};
  der::Reader reader{list->content};
  while (!reader.at_end()) {
    const auto extension = reader.next(der::kSequence);
    if (!extension) return std::nullopt;
    Bytes octets = to_bytes(extension->whole);
    const auto type = der::Reader{extension->content}.next(der::kOid);
    if (type && equal(type->content, kSubjectKeyIdentifier)) {
      if (octets.size() < KeyIdentifier::kSizeBytes) return std::nullopt;
      std::fill(octets.end() - KeyIdentifier::kSizeBytes, octets.end(), std::uint8_t{0});
    }
    parts.extensions.push_back(std::move(octets));
  }
  return parts;
}

}  // namespace

std::optional<Refusal> lint_device_certificate(ByteView certificate,
                                               const DeviceTemplate& device_template,
                                               const SubjectFields& fields) {
  auto parsed = parse_certificate(certificate);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& facts = std::get<CertificateFacts>(parsed);
  const auto serial = CertificateSerial::from_bytes(facts.serial);
  if (!serial || !is_our_serial(*serial))
    return lint_refusal("serial", "not 16 octets that begin with the bits 01");
  if (!equal(facts.issuer_name, device_template.issuer_name))
    return lint_refusal("issuer", "not the template's");
  if (facts.not_before != whole_second(device_template.not_before) ||
      facts.not_after != whole_second(device_template.not_after)) {
    return lint_refusal("validity", "not the template's");
  }
  const auto pattern = SubjectPattern::parse(device_template.subject);
  if (const auto* refusal = std::get_if<Refusal>(&pattern)) return *refusal;
  const auto& subject = std::get<SubjectPattern>(pattern);
  if (auto refusal = subject.check(fields)) return refusal;
  Bytes name;
  subject.append_name(name, fields);
  if (!equal(facts.subject_name, name))
    return lint_refusal("subject", "not what the pattern gives for this entry");
  if (facts.is_ca) return lint_refusal("basicConstraints", "a CA");
  if (facts.key_usage != kDigitalSignature)
    return lint_refusal("keyUsage", "not digitalSignature alone");
  if (!equal(facts.subject_key_identifier, key_identifier(facts.key).bytes())) {
    return lint_refusal("subjectKeyIdentifier", "not the SHA-1 of the key");
  }
  if (!equal(facts.authority_key_identifier, device_template.issuer_key_identifier)) {
    return lint_refusal("authorityKeyIdentifier", "not the issuer's");
  }
  const auto parts = cut(facts.tbs);
  if (!parts || parts->extensions.size() != kDeviceExtensions)
    return lint_refusal("extensions", "more or fewer than four");
  return std::nullopt;
}

std::optional<Refusal> compare_with_linted(ByteView tbs, ByteView linted_tbs) {
  const auto made = cut(tbs);
  const auto linted = cut(linted_tbs);
  if (!made || !linted) return Refusal{"certificate-malformed", "not a TBSCertificate of a device"};
  if (made->serial.size() != linted->serial.size()) return lint_refusal("serial", "another length");
  if (!equal(made->algorithm, linted->algorithm))
    return lint_refusal("signature algorithm", "differs");
  if (!equal(made->issuer, linted->issuer)) return lint_refusal("issuer", "differs");
  if (!equal(made->validity, linted->validity)) return lint_refusal("validity", "differs");
  if (!crypto::PublicKey::from_spki(made->spki))
    return lint_refusal("key", "not a P-256 key in the usual form");
  if (made->extensions != linted->extensions) return lint_refusal("extensions", "differ");
  return std::nullopt;
}

}  // namespace keyferry::x509
