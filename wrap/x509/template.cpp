#include "wrap/x509/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "wrap/base/text.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/der.h"
#include "wrap/x509/internal/extensions.h"

namespace keyferry::x509 {
namespace {

constexpr std::size_t kMinNameBytes =
    14;  // SEQUENCE { SET { SEQUENCE { OID of 3 octets, string of 1 } } }
constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::size_t kMaxKeyIdentifierBytes = 64;
constexpr std::size_t kMaxOidChars = 128;

// What an EC key of an end entity may be for (RFC 5480 section 3).
constexpr std::uint16_t kLeafUsages =
    kDigitalSignature | kContentCommitment | kKeyAgreement | kEncipherOnly | kDecipherOnly;

struct UsageName {
  std::string_view name;
  std::string_view oid;
};

// RFC 5280 4.2.1.12: id-kp.
constexpr std::array kExtendedKeyUsages{
    UsageName{"serverAuth", "1.3.6.1.5.5.7.3.1"},
    UsageName{"clientAuth", "1.3.6.1.5.5.7.3.2"},
    UsageName{"codeSigning", "1.3.6.1.5.5.7.3.3"},
    UsageName{"emailProtection", "1.3.6.1.5.5.7.3.4"},
    UsageName{"timeStamping", "1.3.6.1.5.5.7.3.8"},
    UsageName{"OCSPSigning", "1.3.6.1.5.5.7.3.9"},
};

// Extensions that the builder makes itself, or that belong to CAs and CRLs alone.
constexpr std::array<std::string_view, 11> kOwnExtensions{"2.5.29.14",
                                                          "2.5.29.15",
                                                          "2.5.29.17",
                                                          "2.5.29.19",
                                                          "2.5.29.20",
                                                          "2.5.29.30",
                                                          "2.5.29.32",
                                                          "2.5.29.33",
                                                          "2.5.29.35",
                                                          "2.5.29.36",
                                                          "2.5.29.37"};

Refusal field_refusal(std::string_view field, std::string_view why, std::string hint = {}) {
  return Refusal{
      "template-field", fmt::format("template field \"{}\" {}", field, why), std::move(hint)};
}

/// Dotted decimal in its one form: without leading zeros.
bool is_short_oid(std::string_view text) {
  return text.size() <= kMaxOidChars && der::is_oid(text) &&
         oid_text(ByteView{der::oid(text)}.subspan(2)) == text;
}

bool has_twice(const std::vector<std::string>& list) {
  return std::set<std::string>{list.begin(), list.end()}.size() != list.size();
}

std::optional<Refusal> check_usage(const DeviceTemplate& device_template) {
  const std::uint16_t usage = device_template.key_usage;
  if ((usage & kDigitalSignature) == 0 || (usage & ~kLeafUsages) != 0) {
    return field_refusal(
        "key_usage",
        "must hold digitalSignature and may hold contentCommitment, keyAgreement, encipherOnly and "
        "decipherOnly",
        "an EC key of a device has no other uses (RFC 5480 section 3)");
  }
  if ((usage & (kEncipherOnly | kDecipherOnly)) != 0 && (usage & kKeyAgreement) == 0) {
    return field_refusal("key_usage", "has encipherOnly or decipherOnly without keyAgreement");
  }
  if (device_template.name != kCustomTemplateName && usage != kDigitalSignature) {
    return field_refusal(
        "key_usage", "must be digitalSignature alone", "use the template \"custom\"");
  }
  return std::nullopt;
}

std::optional<Refusal> check_lists(const DeviceTemplate& device_template) {
  const auto& usages = device_template.extended_key_usage;
  if (usages.size() > kMaxExtendedKeyUsages || has_twice(usages) ||
      !std::ranges::all_of(usages, [](const std::string& usage) {
        return extended_key_usage_oid(usage).has_value();
      })) {
    return field_refusal(
        "extended_key_usage",
        fmt::format("must hold at most {} different usages", kMaxExtendedKeyUsages),
        "use names such as clientAuth, or dotted OIDs");
  }
  const auto& policies = device_template.policies;
  if (policies.size() > kMaxPolicies || has_twice(policies) ||
      !std::ranges::all_of(policies, is_short_oid)) {
    return field_refusal("policies",
                         fmt::format("must hold at most {} different dotted OIDs", kMaxPolicies));
  }
  const auto& extensions = device_template.extensions;
  if (extensions.size() > kMaxExtraExtensions)
    return field_refusal("extensions",
                         fmt::format("has more than {} entries", kMaxExtraExtensions));
  std::set<std::string> seen;
  for (const ExtraExtension& extra : extensions) {
    if (!is_short_oid(extra.oid) || !seen.insert(to_hex(der::oid(extra.oid))).second)
      return field_refusal(
          "extensions",
          fmt::format("has \"{}\", no dotted OID or one twice", printable(extra.oid)));
    if (std::ranges::find(kOwnExtensions, extra.oid) != kOwnExtensions.end()) {
      return field_refusal(
          "extensions",
          fmt::format("has {}, which is made elsewhere or not for devices", extra.oid),
          "use alt_names, key_usage, extended_key_usage or policies");
    }
    der::Reader reader{extra.value};
    if (extra.value.size() > kMaxExtraExtensionBytes || !reader.next() || !reader.at_end()) {
      return field_refusal(
          "extensions",
          fmt::format("has a value of {} that is not one DER value of at most {} octets",
                      extra.oid,
                      kMaxExtraExtensionBytes));
    }
  }
  return std::nullopt;
}

std::optional<Refusal> check_matter(const DeviceTemplate& device_template) {
  const MatterIds& ids = device_template.matter;
  const bool is_dac = device_template.name == kMatterDacTemplateName;
  if (!is_dac && (ids.vendor_id || ids.product_id || device_template.certification_declaration ||
                  device_template.declaration_signer || ids.form != MatterForm::Attributes)) {
    return field_refusal(ids.vendor_id ? "vendor_id" : "product_id",
                         "and its like belong to Matter",
                         "use the template \"matter-dac\"");
  }
  if (!is_dac) return std::nullopt;
  if (device_template.declaration_signer && !device_template.certification_declaration)
    return field_refusal("declaration_signer",
                         "signed nothing: the template names no declaration",
                         "name certification_declaration too");
  if (!ids.vendor_id) return field_refusal("vendor_id", "is missing", "e.g. vendor_id = \"FFF1\"");
  if (!ids.product_id)
    return field_refusal("product_id", "is missing", "e.g. product_id = \"8000\"");
  // Matter Core Specification 2.5.2, 2.5.3: vendor and product id 0 name nobody.
  if (*ids.vendor_id == 0) return field_refusal("vendor_id", "is 0000, which is no vendor");
  if (*ids.product_id == 0) return field_refusal("product_id", "is 0000, which is no product");
  return std::nullopt;
}

bool has_device_extras(const DeviceTemplate& device_template) {
  return !device_template.alt_names.empty() || !device_template.extended_key_usage.empty() ||
         !device_template.policies.empty() || !device_template.extensions.empty();
}

bool names_a_serial(const SubjectPattern& subject, const std::vector<AltNamePattern>& alt_names) {
  const auto uses = [](const auto& pattern) {
    return pattern.uses(Placeholder::DeviceSerial) || pattern.uses(Placeholder::SeSerial);
  };
  return uses(subject) || std::ranges::any_of(alt_names, uses);
}

std::optional<Refusal> check_validity(const DeviceTemplate& device_template) {
  if (device_template.not_before < der::kFirstTime || device_template.not_after > der::kLastTime ||
      device_template.not_before >= device_template.not_after) {
    return Refusal{"validity", "not_before must be before not_after, both from 1950 to 9999"};
  }
  return std::nullopt;
}

std::optional<Refusal> check_matter_issuer(const DeviceTemplate& device_template,
                                           const CertificateFacts& issuer) {
  constexpr std::uint16_t kPaiUsages = kKeyCertSign | kCrlSign;
  const bool usages = issuer.key_usage && (*issuer.key_usage & kPaiUsages) == kPaiUsages &&
                      (*issuer.key_usage & ~(kPaiUsages | kDigitalSignature)) == 0;
  if (issuer.path_length != 0U || !usages) {
    return Refusal{
        "matter-pai",
        fmt::format(
            "{} is no Product Attestation Intermediate: that has path length 0 and keyUsage "
            "keyCertSign and cRLSign",
            issuer.subject),
        "issue device attestation certificates under a CA of kind matter-pai"};
  }
  const auto found = matter_ids(issuer.subject_name);
  if (const auto* refusal = std::get_if<Refusal>(&found)) {
    return Refusal{"matter-pai",
                   fmt::format("the subject of {}: {}", issuer.subject, refusal->text)};
  }
  const auto& ids = std::get<MatterIds>(found);
  if (!ids.vendor_id)
    return Refusal{
        "matter-pai", fmt::format("{} has no VendorID", issuer.subject), "a PAI names its vendor"};
  if (*ids.vendor_id != device_template.matter.vendor_id) {
    return Refusal{"matter-vendor",
                   fmt::format("the template is for vendor {}, but {} is of vendor {}",
                               matter_hex(device_template.matter.vendor_id.value()),
                               issuer.subject,
                               matter_hex(*ids.vendor_id)),
                   "use the vendor's own PAI"};
  }
  if (ids.product_id && *ids.product_id != device_template.matter.product_id) {
    return Refusal{"matter-product",
                   fmt::format("the template is for product {}, but {} is for product {} alone",
                               matter_hex(device_template.matter.product_id.value()),
                               issuer.subject,
                               matter_hex(*ids.product_id)),
                   "use the product's own PAI, or one without a ProductID"};
  }
  return std::nullopt;
}

/// What Matter's CAs certify is a DAC to every reader, whatever template it was made by.
std::optional<Refusal> check_plain_issuer(const DeviceTemplate& device_template,
                                          const CertificateFacts& issuer) {
  const auto found = matter_ids(issuer.subject_name);
  const auto* ids = std::get_if<MatterIds>(&found);
  if (ids != nullptr && !ids->vendor_id && !ids->product_id) return std::nullopt;
  return Refusal{
      "matter-issuer",
      fmt::format("{} names a Matter vendor or product: a certificate of template \"{}\" under it "
                  "would be a device attestation certificate that no rule of Matter was applied to",
                  issuer.subject,
                  device_template.name),
      "use the template \"matter-dac\", or a CA without Matter's ids"};
}

}  // namespace

std::optional<Bytes> extended_key_usage_oid(std::string_view text) {
  const auto* known = std::ranges::find(kExtendedKeyUsages, text, &UsageName::name);
  if (known != kExtendedKeyUsages.end()) return der::oid(known->oid);
  if (is_short_oid(text)) return der::oid(text);
  return std::nullopt;
}

std::variant<SubjectPattern, Refusal> subject_pattern(const DeviceTemplate& device_template) {
  auto pattern = SubjectPattern::parse(device_template.subject, device_template.matter);
  if (auto* subject = std::get_if<SubjectPattern>(&pattern)) {
    if (device_template.name == kMatterDacTemplateName) {
      if (auto refusal = subject->add_matter_ids(device_template.matter)) return *refusal;
    }
  }
  return pattern;
}

std::optional<Refusal> check_template(const DeviceTemplate& device_template) {
  const bool is_device = device_template.name == kDeviceTemplateName;
  if (!is_device && device_template.name != kMatterDacTemplateName &&
      device_template.name != kCustomTemplateName) {
    return Refusal{"template-unknown",
                   fmt::format("no certificate template \"{}\"", printable(device_template.name)),
                   "use \"device\", \"matter-dac\" or \"custom\""};
  }
  if (auto refusal = check_matter(device_template)) return refusal;
  const auto pattern = subject_pattern(device_template);
  if (const auto* refusal = std::get_if<Refusal>(&pattern)) return *refusal;
  if (is_device && has_device_extras(device_template)) {
    return field_refusal(
        "template",
        "is \"device\", which has no alternative names, extended key usages, policies "
        "or further extensions",
        "use the template \"custom\"");
  }
  if (device_template.alt_names.size() > kMaxAltNames || has_twice(device_template.alt_names))
    return field_refusal("alt_names",
                         fmt::format("must hold at most {} different names", kMaxAltNames));
  std::vector<AltNamePattern> alt_names;
  for (const std::string& text : device_template.alt_names) {
    auto parsed = AltNamePattern::parse(text, device_template.matter);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
    alt_names.push_back(std::get<AltNamePattern>(std::move(parsed)));
  }
  if (!names_a_serial(std::get<SubjectPattern>(pattern), alt_names)) {
    return Refusal{"subject-not-unique",
                   "the subject would be the same for every device",
                   "use {device_serial} or {se_serial} in it"};
  }
  if (auto refusal = check_usage(device_template)) return refusal;
  return check_lists(device_template);
}

std::optional<Refusal> validate(const DeviceTemplate& device_template) {
  if (auto refusal = check_template(device_template)) return refusal;
  if (auto refusal = check_validity(device_template)) return refusal;
  const Bytes& name = device_template.issuer_name;
  const Bytes& key_identifier = device_template.issuer_key_identifier;
  const bool name_fits =
      name.size() >= kMinNameBytes && name.size() <= kMaxNameBytes && name_text(name).has_value();
  if (!name_fits || key_identifier.empty() || key_identifier.size() > kMaxKeyIdentifierBytes) {
    return Refusal{"issuer", "the issuer's name or key identifier is missing or malformed"};
  }
  const std::size_t most = max_certificate_bytes(device_template);
  const bool is_dac = device_template.name == kMatterDacTemplateName;
  const std::size_t limit = is_dac ? kMaxMatterCertificateBytes : kMaxCertificateBytes;
  if (most > limit) {
    return Refusal{
        "certificate-size",
        fmt::format("a certificate of this template may have {} octets, but {} has at most {}",
                    most,
                    is_dac ? "a Matter attestation certificate" : "a certificate",
                    limit),
        "shorten the subject, or leave out alternative names, policies or extensions"};
  }
  return std::nullopt;
}

std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                const SubjectFields& fields) {
  if (auto refusal = validate(device_template)) return refusal;
  return CertificateBuilder{device_template}.check(fields);
}

std::optional<Refusal> validate(const DeviceTemplate& device_template,
                                const CertificateFacts& issuer) {
  if (auto refusal = validate(device_template)) return refusal;
  if (!equal(device_template.issuer_name, issuer.subject_name) ||
      !equal(device_template.issuer_key_identifier, issuer.subject_key_identifier)) {
    return Refusal{"issuer",
                   fmt::format("the template names another issuer than {}", issuer.subject)};
  }
  const bool may_sign = !issuer.key_usage || (*issuer.key_usage & kKeyCertSign) != 0;
  if (!issuer.is_ca || !may_sign) {
    return Refusal{"issuer",
                   fmt::format("{} is not a CA that may sign certificates", issuer.subject)};
  }
  const bool is_dac = device_template.name == kMatterDacTemplateName;
  if (auto refusal = is_dac ? check_matter_issuer(device_template, issuer)
                            : check_plain_issuer(device_template, issuer))
    return refusal;
  if (device_template.not_before < issuer.not_before ||
      device_template.not_after > issuer.not_after) {
    return Refusal{
        "validity",
        fmt::format("certificates from {} to {} would outlive their issuer {} ({} to {})",
                    to_rfc3339(device_template.not_before),
                    to_rfc3339(device_template.not_after),
                    issuer.subject,
                    to_rfc3339(issuer.not_before),
                    to_rfc3339(issuer.not_after)),
        "shorten the template's validity, or renew the issuer"};
  }
  return std::nullopt;
}

std::size_t max_certificate_bytes(const DeviceTemplate& device_template) {
  const auto pattern = subject_pattern(device_template);
  if (const auto* refusal = std::get_if<Refusal>(&pattern)) throw to_error(*refusal);
  const auto framed = [](std::size_t content) { return der::header_size(content) + content; };
  constexpr std::size_t kVersion = 5;
  constexpr std::size_t kSerial = 2 + kMaxOurSerialBytes;
  constexpr std::size_t kAlgorithm = 12;
  constexpr std::size_t kMostSignature = 75;  // BIT STRING of two INTEGERs of 33 octets
  std::size_t alt_names = 0;
  for (const AltNamePattern& name : alt_name_patterns(device_template))
    alt_names += name.max_bytes();
  if (alt_names > 0) alt_names = framed(framed(framed(alt_names)) + sizeof kOidSubjectAltName);
  const std::size_t extensions =
      usage_extensions(device_template).size() + alt_names +
      extra_extensions(device_template).size() +
      subject_key_extension(Bytes(KeyIdentifier::kSizeBytes)).size() +
      authority_key_extension(device_template.issuer_key_identifier).size();
  const std::size_t validity = framed(der::time(device_template.not_before).size() +
                                      der::time(device_template.not_after).size());
  const std::size_t tbs = kVersion + kSerial + kAlgorithm + device_template.issuer_name.size() +
                          validity + std::get<SubjectPattern>(pattern).max_name_bytes() +
                          crypto::PublicKey::kSpkiBytes + framed(framed(extensions));
  return framed(framed(tbs) + kAlgorithm + kMostSignature);
}

}  // namespace keyferry::x509
