#include "wrap/x509/certificate.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "wrap/crypto/hash.h"
#include "wrap/x509/der.h"
#include "wrap/x509/name.h"
#include "wrap/x509/serial.h"

namespace keyferry::x509 {
namespace {

constexpr std::size_t kMaxExtensions = 32;
constexpr std::size_t kMaxKeyIdentifierBytes = 64;  // more than any hash of today gives

constexpr std::uint8_t kEcdsaWithSha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr std::uint8_t kBasicConstraints[] = {0x55, 0x1d, 0x13};
constexpr std::uint8_t kKeyUsage[] = {0x55, 0x1d, 0x0f};
constexpr std::uint8_t kSubjectKeyIdentifier[] = {0x55, 0x1d, 0x0e};
constexpr std::uint8_t kAuthorityKeyIdentifier[] = {0x55, 0x1d, 0x23};
constexpr std::uint8_t kExtendedKeyUsage[] = {0x55, 0x1d, 0x25};
constexpr std::uint8_t kSubjectAltName[] = {0x55, 0x1d, 0x11};

Refusal malformed(std::string what) {
  return Refusal{"certificate-malformed", "the certificate is malformed: " + std::move(what)};
}

Refusal outside_profile(std::string what) {
  return Refusal{"certificate-profile",
                 "the certificate is of no kind that is accepted: " + std::move(what)};
}

struct Extensions {
  bool is_ca = false;
  std::optional<std::uint32_t> path_length;
  std::optional<std::uint16_t> key_usage;
  Bytes subject_key_identifier;
  Bytes authority_key_identifier;
  std::vector<ExtensionFacts> all;
};

bool read_basic_constraints(ByteView value, Extensions& out) {
  const auto sequence = der::only_element(value, der::kSequence);
  if (!sequence) return false;
  der::Reader fields{sequence->content};
  if (const auto ca = fields.next(der::kBoolean)) {
    // DER leaves the default FALSE out and writes TRUE as 0xff (X.690 11.1, 11.5).
    if (ca->content.size() != 1 || ca->content[0] != 0xff) return false;
    out.is_ca = true;
  }
  if (const auto length = fields.next(der::kInteger)) {
    out.path_length = der::small_unsigned(length->content);
    if (!out.path_length || !out.is_ca) return false;
  }
  return fields.at_end();
}

bool read_key_usage(ByteView value, Extensions& out) {
  const auto bits = der::only_element(value, der::kBitString);
  if (!bits || bits->content.size() < 2 || bits->content.size() > 3 || bits->content[0] > 7)
    return false;
  if ((bits->content.back() & ((1U << bits->content[0]) - 1)) != 0) return false;
  unsigned usage = 0;
  for (unsigned bit = 0; bit < 9 && bit / 8 + 1 < bits->content.size(); ++bit) {
    if ((bits->content[bit / 8 + 1] & (0x80U >> (bit % 8))) != 0) usage |= 1U << bit;
  }
  out.key_usage = static_cast<std::uint16_t>(usage);
  return usage != 0;  // RFC 5280 4.2.1.3: at least one bit is set
}

bool read_identifier(ByteView content, Bytes& out) {
  out = to_bytes(content);
  return !content.empty() && content.size() <= kMaxKeyIdentifierBytes;
}

bool read_authority_key_identifier(ByteView value, Extensions& out) {
  const auto sequence = der::only_element(value, der::kSequence);
  if (!sequence) return false;
  der::Reader fields{sequence->content};
  if (const auto identifier = fields.next(der::context_primitive(0))) {
    if (!read_identifier(identifier->content, out.authority_key_identifier)) return false;
  }
  while (!fields.at_end()) {
    if (!fields.next()) return false;
  }
  return true;
}

/// SEQUENCE SIZE (1..MAX) of elements, each with `tag` if one is given.
bool is_list(ByteView value, std::optional<std::uint8_t> tag) {
  const auto sequence = der::only_element(value, der::kSequence);
  if (!sequence || sequence->content.empty()) return false;
  der::Reader entries{sequence->content};
  while (!entries.at_end()) {
    const auto entry = entries.next();
    if (!entry || (tag && entry->tag != *tag)) return false;
  }
  return true;
}

std::optional<Refusal> read_extension(ByteView type,
                                      bool critical,
                                      ByteView value,
                                      Extensions& out) {
  bool sound = true;
  if (equal(type, kBasicConstraints)) {
    sound = read_basic_constraints(value, out);
  } else if (equal(type, kKeyUsage)) {
    sound = read_key_usage(value, out);
  } else if (equal(type, kExtendedKeyUsage)) {
    sound = is_list(value, der::kOid);
  } else if (equal(type, kSubjectAltName)) {
    sound = is_list(value, std::nullopt);
  } else if (critical) {
    return outside_profile("critical extension with OID octets " + to_hex(type));
  } else if (equal(type, kSubjectKeyIdentifier)) {
    const auto identifier = der::only_element(value, der::kOctetString);
    sound = identifier && read_identifier(identifier->content, out.subject_key_identifier);
  } else if (equal(type, kAuthorityKeyIdentifier)) {
    sound = read_authority_key_identifier(value, out);
  }
  if (!sound) return malformed("extension with OID octets " + to_hex(type));
  return std::nullopt;
}

std::optional<Refusal> read_extensions(ByteView explicit_content, Extensions& out) {
  const auto list = der::only_element(explicit_content, der::kSequence);
  if (!list || list->content.empty()) return malformed("extensions");
  der::Reader reader{list->content};
  while (!reader.at_end()) {
    const auto extension = reader.next(der::kSequence);
    if (!extension) return malformed("extensions");
    der::Reader fields{extension->content};
    const auto type = fields.next(der::kOid);
    const auto critical = fields.next(der::kBoolean);
    const auto value = fields.next(der::kOctetString);
    if (!type || type->content.empty() || !value || !fields.at_end())
      return malformed("extensions");
    if (critical && (critical->content.size() != 1 || critical->content[0] != 0xff))
      return malformed("critical flag");
    const auto is_same = [&](const ExtensionFacts& known) {
      return equal(known.oid, type->content);
    };
    if (std::ranges::any_of(out.all, is_same)) return malformed("an extension twice");
    if (out.all.size() == kMaxExtensions) return outside_profile("too many extensions");
    out.all.push_back({to_bytes(type->content), critical.has_value(), to_bytes(value->content)});
    if (auto refusal = read_extension(type->content, critical.has_value(), value->content, out))
      return refusal;
  }
  return std::nullopt;
}

bool is_ecdsa_with_sha256(const der::Element& algorithm) {
  der::Reader fields{algorithm.content};
  const auto oid = fields.next(der::kOid);
  return oid && equal(oid->content, kEcdsaWithSha256) && fields.at_end();
}

}  // namespace

std::variant<CertificateFacts, Refusal> parse_certificate(ByteView octets) {
  if (octets.empty() || octets.size() > kMaxCertificateBytes) {
    return Refusal{"certificate-size", "a certificate has 1 to 16,384 octets"};
  }
  const auto certificate = der::only_element(octets, der::kSequence);
  if (!certificate) return malformed("not one DER SEQUENCE");
  der::Reader outer{certificate->content};
  const auto tbs = outer.next(der::kSequence);
  const auto outer_algorithm = outer.next(der::kSequence);
  const auto signature_bits = outer.next(der::kBitString);
  if (!tbs || !outer_algorithm || !signature_bits || !outer.at_end())
    return malformed("outer SEQUENCE");

  der::Reader fields{tbs->content};
  const auto version = fields.next(der::context_constructed(0));
  const auto serial = fields.next(der::kInteger);
  const auto algorithm = fields.next(der::kSequence);
  const auto issuer = fields.next(der::kSequence);
  const auto validity = fields.next(der::kSequence);
  const auto subject = fields.next(der::kSequence);
  const auto spki = fields.next(der::kSequence);
  if (!serial || !algorithm || !issuer || !validity || !subject || !spki)
    return malformed("TBSCertificate");
  constexpr std::uint8_t kVersion3[] = {0x02, 0x01, 0x02};
  if (!version || !equal(version->content, kVersion3)) return outside_profile("not version 3");
  if (!is_ecdsa_with_sha256(*outer_algorithm))
    return outside_profile("not signed with ecdsa-with-SHA256");
  if (!equal(outer_algorithm->whole, algorithm->whole))
    return malformed("two signature algorithms");
  if (!der::is_shortest_integer(serial->content) || serial->content.size() > kMaxSerialBytes ||
      serial->content.front() >= 0x80 ||
      (serial->content.size() == 1 && serial->content.front() == 0)) {
    return malformed("serial");
  }

  der::Reader times{validity->content};
  const auto first = times.next();
  const auto last = times.next();
  if (!first || !last || !times.at_end()) return malformed("validity");
  const auto not_before = der::read_time(*first);
  const auto not_after = der::read_time(*last);
  if (!not_before || !not_after || *not_before > *not_after) return malformed("validity");

  auto subject_text = name_text(subject->whole);
  auto issuer_text = name_text(issuer->whole);
  if (!subject_text || !issuer_text || issuer_text->empty()) return malformed("names");
  const auto key = crypto::PublicKey::from_spki(spki->whole);
  if (!key) return outside_profile("not a P-256 key in the usual form");
  const bool whole_octets = !signature_bits->content.empty() && signature_bits->content[0] == 0;
  auto signature = whole_octets ? crypto::der_to_raw_signature(signature_bits->content.subspan(1))
                                : std::nullopt;
  if (!signature) return malformed("signature");

  Extensions extensions;
  if (const auto list = fields.next(der::context_constructed(3))) {
    if (auto refusal = read_extensions(list->content, extensions)) return *refusal;
  }
  if (!fields.at_end())
    return outside_profile("fields behind the public key that are no extensions");

  return CertificateFacts{
      .serial = to_bytes(serial->content),
      .subject = std::move(*subject_text),
      .issuer = std::move(*issuer_text),
      .subject_name = to_bytes(subject->whole),
      .issuer_name = to_bytes(issuer->whole),
      .key = *key,
      .not_before = *not_before,
      .not_after = *not_after,
      .is_ca = extensions.is_ca,
      .path_length = extensions.path_length,
      .key_usage = extensions.key_usage,
      .subject_key_identifier = std::move(extensions.subject_key_identifier),
      .authority_key_identifier = std::move(extensions.authority_key_identifier),
      .extensions = std::move(extensions.all),
      .tbs = to_bytes(tbs->whole),
      .signature = std::move(*signature),
      .sha256 = crypto::sha256(octets)};
}

}  // namespace keyferry::x509
