#include "wrap/x509/request.h"

#include <algorithm>

#include "wrap/crypto/hash.h"
#include "wrap/x509/der.h"
#include "wrap/x509/internal/extensions.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

constexpr std::uint8_t kVersion1[] = {0x02, 0x01, 0x00};
constexpr std::uint8_t kEcdsaWithSha256[] = {
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
// RFC 2985 5.4.2: pkcs-9-at-extensionRequest, 1.2.840.113549.1.9.14.
constexpr std::uint8_t kOidExtensionRequest[] = {
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e};
constexpr std::size_t kMaxAttributes = 16;
constexpr std::size_t kMaxExtensions = 32;

Bytes request_info(ByteView name, const crypto::PublicKey& key, ByteView extensions) {
  const Bytes values = der::constructed(der::kSet, {der::sequence({extensions})});
  const Bytes attribute = der::sequence({kOidExtensionRequest, values});
  return der::sequence(
      {kVersion1, name, key.spki_der(), der::tlv(der::context_constructed(0), attribute)});
}

Refusal malformed(std::string_view what) {
  return Refusal{"request-malformed",
                 "the certification request is malformed: " + std::string{what}};
}

std::optional<Refusal> read_extensions(ByteView list, RequestFacts& out) {
  der::Reader reader{list};
  while (!reader.at_end()) {
    const auto extension = reader.next(der::kSequence);
    if (!extension) return malformed("requested extensions");
    der::Reader fields{extension->content};
    const auto type = fields.next(der::kOid);
    const auto critical = fields.next(der::kBoolean);
    const auto value = fields.next(der::kOctetString);
    if (!type || !value || !fields.at_end() ||
        (critical && (critical->content.size() != 1 || critical->content[0] != 0xff)))
      return malformed("requested extensions");
    auto oid = oid_text(type->content);
    if (!oid) return malformed("requested extensions");
    if (std::ranges::find(out.extensions, *oid, &RequestedExtension::oid) != out.extensions.end())
      return malformed("an extension twice");
    if (out.extensions.size() == kMaxExtensions) return malformed("too many extensions");
    out.extensions.push_back({std::move(*oid), critical.has_value(), to_bytes(value->content)});
  }
  return std::nullopt;
}

/// [0] Attributes: those that are not extensionRequest are skipped (challengePassword and its
/// like).
std::optional<Refusal> read_attributes(ByteView attributes, RequestFacts& out) {
  der::Reader reader{attributes};
  bool seen = false;
  for (std::size_t count = 0; !reader.at_end(); ++count) {
    const auto attribute = reader.next(der::kSequence);
    if (!attribute || count == kMaxAttributes) return malformed("attributes");
    der::Reader fields{attribute->content};
    const auto type = fields.next(der::kOid);
    const auto values = fields.next(der::kSet);
    if (!type || !values || !fields.at_end()) return malformed("attributes");
    if (!equal(type->whole, kOidExtensionRequest)) continue;
    const auto list = der::only_element(values->content, der::kSequence);
    if (seen || !list) return malformed("extensionRequest");
    seen = true;
    if (auto refusal = read_extensions(list->content, out)) return refusal;
  }
  return std::nullopt;
}

}  // namespace

RequestBuilder::RequestBuilder(const DeviceTemplate& device_template) {
  if (const auto refusal = check_template(device_template)) throw to_error(*refusal);
  pattern_ = std::get<SubjectPattern>(subject_pattern(device_template));
  alt_names_ = alt_name_patterns(device_template);
  usages_ = usage_extensions(device_template);
  extra_ = extra_extensions(device_template);
}

std::optional<Refusal> RequestBuilder::check(const SubjectFields& fields) const {
  if (auto refusal = pattern_.check(fields)) return refusal;
  for (const AltNamePattern& name : alt_names_) {
    if (auto refusal = name.check(fields)) return refusal;
  }
  return std::nullopt;
}

Bytes RequestBuilder::to_be_signed(const SubjectFields& fields,
                                   const crypto::PublicKey& key) const {
  Bytes name;
  pattern_.append_name(name, fields);
  Bytes extensions = usages_;
  append(extensions, alt_name_extension(alt_names_, fields));
  append(extensions, extra_);
  return request_info(name, key, extensions);
}

Bytes ca_request_to_be_signed(const CaSpec& spec, const crypto::PublicKey& key) {
  Bytes extensions = ca_extension(spec.path_length);
  append(extensions, key_usage_extension(kKeyCertSign | kCrlSign));
  return request_info(ca_name(spec), key, extensions);
}

std::variant<RequestFacts, Refusal> parse_request(ByteView octets) {
  if (octets.empty() || octets.size() > kMaxRequestBytes)
    return Refusal{"request-size", "a certification request has 1 to 16,384 octets"};
  const auto outer = der::only_element(octets, der::kSequence);
  if (!outer) return malformed("not one DER SEQUENCE");
  der::Reader parts{outer->content};
  const auto info = parts.next(der::kSequence);
  const auto algorithm = parts.next(der::kSequence);
  const auto signature_bits = parts.next(der::kBitString);
  if (!info || !algorithm || !signature_bits || !parts.at_end()) return malformed("outer SEQUENCE");
  der::Reader fields{info->content};
  const auto version = fields.next(der::kInteger);
  const auto subject = fields.next(der::kSequence);
  const auto spki = fields.next(der::kSequence);
  const auto attributes = fields.next(der::context_constructed(0));
  if (!version || !equal(version->whole, kVersion1) || !subject || !spki || !fields.at_end())
    return malformed("CertificationRequestInfo");
  auto text = name_text(subject->whole);
  if (!text) return malformed("subject");
  if (!equal(algorithm->whole, kEcdsaWithSha256))
    return Refusal{"request-profile",
                   "the certification request is not signed with ecdsa-with-SHA256"};
  const auto key = crypto::PublicKey::from_spki(spki->whole);
  if (!key)
    return Refusal{"request-profile",
                   "the certification request is for no P-256 key in the usual form"};
  RequestFacts facts{.subject = std::move(*text),
                     .subject_name = to_bytes(subject->whole),
                     .key = *key,
                     .extensions = {},
                     .tbs = to_bytes(info->whole),
                     .sha256 = crypto::sha256(octets)};
  if (attributes) {
    if (auto refusal = read_attributes(attributes->content, facts)) return *refusal;
  }
  const bool whole_octets = !signature_bits->content.empty() && signature_bits->content[0] == 0;
  const auto signature = whole_octets
                             ? crypto::der_to_raw_signature(signature_bits->content.subspan(1))
                             : std::nullopt;
  if (!signature || !crypto::verify(facts.key, crypto::sha256(facts.tbs), *signature)) {
    return Refusal{
        "request-signature",
        "the certification request of " + facts.subject + " is not signed by its own key"};
  }
  return facts;
}

bool is_request_file(ByteView file) {
  if (file.empty() || file.size() > kMaxRequestFileBytes) return false;
  if (file.front() == der::kSequence)  // "0" as text, which no PEM file begins with
    return std::holds_alternative<RequestFacts>(parse_request(file));
  return std::holds_alternative<std::vector<Bytes>>(from_pem(as_chars(file), kPemRequest));
}

}  // namespace keyferry::x509
