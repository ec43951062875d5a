#include "wrap/x509/internal/extensions.h"

#include <utility>

#include "wrap/x509/der.h"

namespace keyferry::x509 {

Bytes extension(ByteView oid, Critical critical, ByteView value) {
  const Bytes wrapped = der::octet_string(value);
  if (critical == Critical::No) return der::sequence({oid, wrapped});
  return der::sequence({oid, der::boolean(true), wrapped});
}

Bytes end_entity_extension() {
  return extension(kOidBasicConstraints, Critical::Yes, der::sequence({}));
}

Bytes ca_extension(std::optional<std::uint8_t> path_length) {
  const Bytes length = path_length ? der::integer(std::uint64_t{*path_length}) : Bytes{};
  return extension(
      kOidBasicConstraints, Critical::Yes, der::sequence({der::boolean(true), length}));
}

Bytes key_usage_extension(std::uint16_t bits) {
  // Bit 0 is the first octet's highest; trailing zero bits are left out (X.690 11.2.2).
  Bytes octets(bits > 0xff ? 2 : 1);
  unsigned last = 0;
  for (unsigned bit = 0; bit < 9; ++bit) {
    if ((bits & (1U << bit)) == 0) continue;
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] | (0x80U >> (bit % 8)));
    last = bit;
  }
  return extension(kOidKeyUsage, Critical::Yes, der::bit_string(octets, 7 - last % 8));
}

Bytes subject_key_extension(ByteView identifier) {
  return extension(kOidSubjectKeyIdentifier, Critical::No, der::octet_string(identifier));
}

Bytes authority_key_extension(ByteView identifier) {
  const Bytes key_identifier = der::tlv(der::context_primitive(0), identifier);
  return extension(kOidAuthorityKeyIdentifier, Critical::No, der::sequence({key_identifier}));
}

Bytes usage_extensions(const DeviceTemplate& device_template) {
  Bytes list = end_entity_extension();
  append(list, key_usage_extension(device_template.key_usage));
  if (!device_template.extended_key_usage.empty()) {
    Bytes usages;
    for (const std::string& usage : device_template.extended_key_usage)
      append(usages, extended_key_usage_oid(usage).value());
    append(list, extension(kOidExtendedKeyUsage, Critical::No, der::sequence({usages})));
  }
  if (!device_template.policies.empty()) {
    Bytes policies;
    for (const std::string& policy : device_template.policies)
      append(policies, der::sequence({der::oid(policy)}));
    append(list, extension(kOidCertificatePolicies, Critical::No, der::sequence({policies})));
  }
  return list;
}

Bytes extra_extensions(const DeviceTemplate& device_template) {
  Bytes list;
  for (const ExtraExtension& extra : device_template.extensions)
    append(list, extension(der::oid(extra.oid), Critical::No, extra.value));
  return list;
}

std::vector<AltNamePattern> alt_name_patterns(const DeviceTemplate& device_template) {
  std::vector<AltNamePattern> patterns;
  for (const std::string& text : device_template.alt_names) {
    auto parsed = AltNamePattern::parse(text, device_template.matter);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
    patterns.push_back(std::get<AltNamePattern>(std::move(parsed)));
  }
  return patterns;
}

Bytes alt_name_extension(const std::vector<AltNamePattern>& patterns, const SubjectFields& fields) {
  if (patterns.empty()) return {};
  Bytes names;
  for (const AltNamePattern& pattern : patterns) pattern.append(names, fields);
  return extension(kOidSubjectAltName, Critical::No, der::sequence({names}));
}

}  // namespace keyferry::x509
