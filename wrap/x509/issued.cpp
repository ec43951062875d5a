#include "wrap/x509/issued.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/x509/certificate.h"
#include "wrap/x509/der.h"
#include "wrap/x509/internal/extensions.h"

namespace keyferry::x509 {
namespace {

constexpr std::size_t kUsualExtensions = 4;  // basicConstraints, keyUsage, both key identifiers

Refusal lint_refusal(std::string_view field, std::string_view why) {
  return Refusal{"lint",
                 fmt::format("{}: {}", field, why),
                 "this is a fault of the program: keep the plan and report it"};
}

UtcMillis whole_second(UtcMillis time) {
  const std::int64_t rest = ((time.value % 1000) + 1000) % 1000;
  return UtcMillis{time.value - rest};
}

const ExtensionFacts* find_extension(const CertificateFacts& facts, ByteView oid) {
  const auto it = std::ranges::find_if(facts.extensions, [&](const ExtensionFacts& extension) {
    return equal(extension.oid, oid.subspan(2));
  });
  return it == facts.extensions.end() ? nullptr : &*it;
}

/// The elements of a SEQUENCE, each whole, in a fixed order.
std::vector<Bytes> sorted_elements(ByteView value) {
  std::vector<Bytes> elements;
  if (const auto sequence = der::only_element(value, der::kSequence)) {
    der::Reader reader{sequence->content};
    while (const auto element = reader.next()) elements.push_back(to_bytes(element->whole));
  }
  std::ranges::sort(elements);
  return elements;
}

std::vector<Bytes> elements_of(const CertificateFacts& facts, ByteView oid) {
  const ExtensionFacts* extension = find_extension(facts, oid);
  return extension == nullptr ? std::vector<Bytes>{} : sorted_elements(extension->value);
}

std::vector<Bytes> wanted_usages(const DeviceTemplate& device_template) {
  std::vector<Bytes> usages;
  for (const std::string& usage : device_template.extended_key_usage)
    usages.push_back(extended_key_usage_oid(usage).value_or(Bytes{}));
  std::ranges::sort(usages);
  return usages;
}

std::vector<Bytes> wanted_alt_names(const DeviceTemplate& device_template,
                                    const SubjectFields& fields) {
  std::vector<Bytes> names;
  for (const AltNamePattern& pattern : alt_name_patterns(device_template)) {
    Bytes name;
    pattern.append(name, fields);
    names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

/// Each policy is a PolicyInformation of its identifier alone, or begins with it.
bool has_policy(const CertificateFacts& facts, const std::string& policy) {
  const auto held = elements_of(facts, kOidCertificatePolicies);
  return std::ranges::any_of(held, [&](const Bytes& information) {
    const auto inner = der::only_element(information, der::kSequence);
    const auto identifier = inner ? der::Reader{inner->content}.next(der::kOid) : std::nullopt;
    return identifier && equal(identifier->whole, der::oid(policy));
  });
}

std::optional<std::string> missing_extension(const CertificateFacts& facts,
                                             const DeviceTemplate& device_template) {
  for (const std::string& policy : device_template.policies) {
    if (!has_policy(facts, policy)) return "policy " + policy;
  }
  for (const ExtraExtension& extra : device_template.extensions) {
    const ExtensionFacts* found = find_extension(facts, der::oid(extra.oid));
    if (found == nullptr || found->critical || found->value != extra.value) return extra.oid;
  }
  return std::nullopt;
}

/// Vendor and product of a device's subject, by the reader.
bool has_matter_ids(ByteView subject, const MatterIds& wanted) {
  const auto found = matter_ids(subject);
  const auto* ids = std::get_if<MatterIds>(&found);
  return ids != nullptr && *ids == wanted;
}

std::optional<Refusal> lint_extensions(const CertificateFacts& facts,
                                       const DeviceTemplate& device_template,
                                       const SubjectFields& fields) {
  if (facts.is_ca) return lint_refusal("basicConstraints", "a CA");
  if (facts.key_usage != device_template.key_usage)
    return lint_refusal("keyUsage", "not the template's");
  if (elements_of(facts, kOidExtendedKeyUsage) != wanted_usages(device_template))
    return lint_refusal("extendedKeyUsage", "not the template's");
  if (elements_of(facts, kOidSubjectAltName) != wanted_alt_names(device_template, fields))
    return lint_refusal("subjectAltName", "not what the patterns give for this entry");
  if (!equal(facts.subject_key_identifier, key_identifier(facts.key).bytes()))
    return lint_refusal("subjectKeyIdentifier", "not the SHA-1 of the key");
  if (!equal(facts.authority_key_identifier, device_template.issuer_key_identifier))
    return lint_refusal("authorityKeyIdentifier", "not the issuer's");
  if (const auto missing = missing_extension(facts, device_template))
    return lint_refusal("extensions", fmt::format("{} is missing or different", *missing));
  if (elements_of(facts, kOidCertificatePolicies).size() != device_template.policies.size())
    return lint_refusal("certificatePolicies", "not the template's");
  const std::size_t wanted =
      kUsualExtensions + (device_template.extended_key_usage.empty() ? 0U : 1U) +
      (device_template.alt_names.empty() ? 0U : 1U) + (device_template.policies.empty() ? 0U : 1U) +
      device_template.extensions.size();
  if (facts.extensions.size() != wanted)
    return lint_refusal("extensions", fmt::format("not {} of them", wanted));
  return std::nullopt;
}

std::optional<Refusal> check_ordered(const CertificateFacts& facts,
                                     const crypto::PublicKey& key,
                                     ByteView subject_name,
                                     UtcMillis not_before,
                                     UtcMillis not_after) {
  if (facts.key != key) {
    return Refusal{
        "certificate-key",
        fmt::format("the certificate of {} is for another key than the request's", facts.subject),
        "ask the CA for the certificate of this very request"};
  }
  const auto wanted = name_text(subject_name);
  if (!wanted || facts.subject != *wanted) {
    return Refusal{
        "certificate-subject",
        fmt::format(
            "the certificate is for {}, but {} was requested", facts.subject, wanted.value_or("?")),
        "the CA must take the subject of the request as it is"};
  }
  if (facts.not_after > whole_second(not_after) ||
      facts.not_before.value < not_before.value - kMaxBackdatingMillis) {
    return Refusal{
        "certificate-validity",
        fmt::format("the certificate of {} is valid from {} to {}, but {} to {} was ordered",
                    facts.subject,
                    to_rfc3339(facts.not_before),
                    to_rfc3339(facts.not_after),
                    to_rfc3339(not_before),
                    to_rfc3339(not_after)),
        "set the validity at the CA to what the plan says"};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Refusal> lint_device_certificate(ByteView certificate,
                                               const DeviceTemplate& device_template,
                                               const SubjectFields& fields) {
  auto parsed = parse_certificate(certificate);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& facts = std::get<CertificateFacts>(parsed);
  if (!serial_from_content(facts.serial))
    return lint_refusal("serial", "not a positive number of at most 128 bits");
  if (!equal(facts.issuer_name, device_template.issuer_name))
    return lint_refusal("issuer", "not the template's");
  if (facts.not_before != whole_second(device_template.not_before) ||
      facts.not_after != whole_second(device_template.not_after)) {
    return lint_refusal("validity", "not the template's");
  }
  const auto pattern = subject_pattern(device_template);
  if (const auto* refusal = std::get_if<Refusal>(&pattern)) return *refusal;
  const auto& subject = std::get<SubjectPattern>(pattern);
  if (auto refusal = subject.check(fields)) return refusal;
  Bytes name;
  subject.append_name(name, fields);
  if (!equal(facts.subject_name, name))
    return lint_refusal("subject", "not what the pattern gives for this entry");
  if (device_template.name == kMatterDacTemplateName) {
    if (!has_matter_ids(facts.subject_name, device_template.matter))
      return lint_refusal("subject", "not the template's VendorID and ProductID");
    if (certificate.size() > kMaxMatterCertificateBytes)
      return lint_refusal("size", fmt::format("{} octets, more than 600", certificate.size()));
  }
  return lint_extensions(facts, device_template, fields);
}

std::optional<Refusal> check_outside_certificate(ByteView certificate,
                                                 const DeviceTemplate& device_template,
                                                 const SubjectFields& fields,
                                                 const crypto::PublicKey& key) {
  auto parsed = parse_certificate(certificate);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& facts = std::get<CertificateFacts>(parsed);
  const auto pattern = subject_pattern(device_template);
  if (const auto* refusal = std::get_if<Refusal>(&pattern)) return *refusal;
  const auto& subject = std::get<SubjectPattern>(pattern);
  if (auto refusal = subject.check(fields)) return refusal;
  Bytes name;
  subject.append_name(name, fields);
  if (auto refusal =
          check_ordered(facts, key, name, device_template.not_before, device_template.not_after))
    return refusal;
  if (facts.is_ca)
    return Refusal{"certificate-ca",
                   fmt::format("the certificate of {} is a CA's", facts.subject),
                   "ask for an end entity's"};
  if (facts.key_usage != device_template.key_usage ||
      elements_of(facts, kOidExtendedKeyUsage) != wanted_usages(device_template)) {
    return Refusal{
        "certificate-usage",
        fmt::format("the key usages of the certificate of {} are not the template's",
                    facts.subject),
        "set keyUsage and extendedKeyUsage at the CA, or name in the template what it gives"};
  }
  if (elements_of(facts, kOidSubjectAltName) != wanted_alt_names(device_template, fields)) {
    return Refusal{
        "certificate-alt-name",
        fmt::format("the alternative names of the certificate of {} are not those requested",
                    facts.subject),
        "the CA must take those of the request, and add none"};
  }
  auto missing = missing_extension(facts, device_template);
  if (!missing && facts.subject_key_identifier.empty()) missing = "subjectKeyIdentifier";
  if (!missing && facts.authority_key_identifier.empty()) missing = "authorityKeyIdentifier";
  if (missing) {
    return Refusal{
        "certificate-extension",
        fmt::format("the certificate of {}: {} is missing or different", facts.subject, *missing),
        "set it at the CA"};
  }
  if (device_template.name == kMatterDacTemplateName) {
    if (certificate.size() > kMaxMatterCertificateBytes) {
      return Refusal{"certificate-size",
                     fmt::format("the certificate of {} has {} octets, Matter allows 600",
                                 facts.subject,
                                 certificate.size()),
                     "leave extensions out at the CA"};
    }
    if (!has_matter_ids(facts.subject_name, device_template.matter)) {
      return Refusal{
          "certificate-subject",
          fmt::format("VendorID or ProductID of {} are not in the form that was requested",
                      facts.subject),
          "Matter wants both as UTF8String: the CA must take the subject of the request as it is"};
    }
  }
  return std::nullopt;
}

std::optional<Refusal> check_outside_ca(ByteView certificate,
                                        const CaSpec& spec,
                                        const crypto::PublicKey& key) {
  auto parsed = parse_certificate(certificate);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& facts = std::get<CertificateFacts>(parsed);
  if (auto refusal = validate(spec)) return refusal;
  if (auto refusal = check_ordered(facts, key, ca_name(spec), spec.not_before, spec.not_after))
    return refusal;
  if (!facts.is_ca) {
    return Refusal{"certificate-ca",
                   fmt::format("the certificate of {} is not a CA's", facts.subject),
                   "basicConstraints must say cA TRUE"};
  }
  const bool is_pai = spec.kind == CaKind::MatterPai;
  const bool too_long =
      spec.path_length && (!facts.path_length || *facts.path_length > *spec.path_length);
  if (too_long || (is_pai && facts.path_length != 0U)) {
    return Refusal{"certificate-ca",
                   fmt::format("the path length of {} is not what was ordered", facts.subject),
                   "set the path length at the CA"};
  }
  constexpr std::uint16_t kNeeded = kKeyCertSign | kCrlSign;
  const std::uint16_t usage = facts.key_usage.value_or(0);
  if ((usage & kNeeded) != kNeeded || (usage & ~(kNeeded | kDigitalSignature)) != 0) {
    return Refusal{"certificate-usage",
                   fmt::format("keyUsage of {} must be keyCertSign and cRLSign", facts.subject),
                   "set keyUsage at the CA"};
  }
  if (facts.subject_key_identifier.empty() || facts.authority_key_identifier.empty()) {
    return Refusal{"certificate-extension",
                   fmt::format("{} has no key identifiers", facts.subject),
                   "set them at the CA"};
  }
  if (!is_pai) return std::nullopt;
  if (certificate.size() > kMaxMatterCertificateBytes)
    return Refusal{
        "certificate-size",
        fmt::format("{} has {} octets, Matter allows 600", facts.subject, certificate.size())};
  if (!has_matter_ids(facts.subject_name, spec.matter)) {
    return Refusal{
        "certificate-subject",
        fmt::format("VendorID or ProductID of {} are not as requested", facts.subject),
        "Matter wants them as UTF8String: the CA must take the subject of the request as it is"};
  }
  return std::nullopt;
}

}  // namespace keyferry::x509
