#include "wrap/x509/declaration.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/der.h"
#include "wrap/x509/matter.h"

namespace keyferry::x509 {
namespace {

// RFC 5652 5.1 (id-signedData) and 4 (id-data); FIPS 180-4's id-sha256; RFC 5758 3.2.
constexpr std::uint8_t kSignedData[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02};
constexpr std::uint8_t kData[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01};
constexpr std::uint8_t kSha256[] = {0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01};
constexpr std::uint8_t kEcdsaWithSha256[] = {0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr std::uint8_t kVersion3[] = {0x03};
constexpr std::size_t kKeyIdentifierBytes = 20;

Refusal malformed(std::string_view what) {
  return Refusal{"declaration-malformed",
                 fmt::format("the certification declaration is malformed: {}", what),
                 "take the declaration as the alliance gave it, in DER"};
}

Refusal outside_profile(std::string_view what) {
  return Refusal{"declaration-profile",
                 fmt::format("the certification declaration is of no known form: {}", what)};
}

/// AlgorithmIdentifier of `oid`, its parameters absent or NULL (RFC 5754 section 2).
bool is_algorithm(const std::optional<der::Element>& algorithm, ByteView oid) {
  if (!algorithm) return false;
  der::Reader fields{algorithm->content};
  const auto type = fields.next(der::kOid);
  static_cast<void>(fields.next(der::kNull));
  return type && equal(type->content, oid) && fields.at_end();
}

// --- Matter TLV, appendix A of the specification

struct TlvElement {
  std::uint8_t type = 0;           // low five bits of the control octet
  std::optional<unsigned> number;  // of a context tag
  std::uint64_t value = 0;         // of an unsigned integer
  ByteView octets;                 // of a string
};

constexpr std::uint8_t kUnsigned1 = 0x04;
constexpr std::uint8_t kUnsigned8 = 0x07;
constexpr std::uint8_t kUtf8With1 = 0x0c;
constexpr std::uint8_t kOctetsWith1 = 0x10;
constexpr std::uint8_t kStructure = 0x15;
constexpr std::uint8_t kArray = 0x16;
constexpr std::uint8_t kList = 0x17;
constexpr std::uint8_t kEnd = 0x18;

class TlvReader {
 public:
  explicit TlvReader(ByteView octets) : rest_{octets} {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  /// Nothing at the end and for what is not well-formed. Tags: none, or of one octet; others are
  /// not in declarations.
  std::optional<TlvElement> next() {
    if (rest_.empty()) return std::nullopt;
    TlvElement element;
    element.type = rest_[0] & 0x1fU;
    const unsigned tag_form = rest_[0] >> 5;
    if (tag_form > 1 || rest_.size() < 1 + tag_form) return std::nullopt;
    if (tag_form == 1) element.number = rest_[1];
    rest_ = rest_.subspan(1 + tag_form);
    if (element.type <= kUnsigned8) {  // signed and unsigned of 1, 2, 4, 8 octets
      const auto number = take(std::size_t{1} << (element.type % 4));
      if (!number) return std::nullopt;
      for (std::size_t i = number->size(); i-- > 0;)
        element.value = (element.value << 8) | (*number)[i];
      return element;
    }
    if (element.type == 0x08 || element.type == 0x09 || element.type == 0x14)
      return element;                                    // booleans, null
    if (element.type == 0x0a || element.type == 0x0b) {  // floating point
      return take(element.type == 0x0a ? 4 : 8) ? std::optional{element} : std::nullopt;
    }
    if (element.type >= kUtf8With1 &&
        element.type < 0x14) {  // strings; lengths of 1, 2, 4, 8 octets
      const auto length = take(std::size_t{1} << (element.type % 4));
      if (!length) return std::nullopt;
      std::uint64_t size = 0;
      for (std::size_t i = length->size(); i-- > 0;) size = (size << 8) | (*length)[i];
      if (size > rest_.size()) return std::nullopt;
      element.octets = *take(static_cast<std::size_t>(size));
      return element;
    }
    return element.type <= kEnd ? std::optional{element} : std::nullopt;
  }

  /// Leaves a container whose first element was just read.
  bool skip_container() {
    for (std::size_t depth = 1; depth > 0;) {
      const auto element = next();
      if (!element) return false;
      if (element->type == kEnd) {
        --depth;
      } else if (is_container(element->type)) {
        ++depth;
      }
    }
    return true;
  }

  static bool is_container(std::uint8_t type) {
    return type == kStructure || type == kArray || type == kList;
  }

 private:
  std::optional<ByteView> take(std::size_t size) {
    if (rest_.size() < size) return std::nullopt;
    const ByteView taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }

  ByteView rest_;
};

bool is_unsigned(const TlvElement& element) {
  return element.type >= kUnsigned1 && element.type <= kUnsigned8;
}

bool read_products(TlvReader& reader, CertificationDeclaration& out) {
  while (const auto entry = reader.next()) {
    if (entry->type == kEnd) return !out.product_ids.empty();
    if (!is_unsigned(*entry) || entry->value > 0xffff ||
        out.product_ids.size() == kMaxDeclaredProducts)
      return false;
    out.product_ids.push_back(static_cast<std::uint16_t>(entry->value));
  }
  return false;
}

bool read_paas(TlvReader& reader, CertificationDeclaration& out) {
  while (const auto entry = reader.next()) {
    if (entry->type == kEnd) return true;
    if (entry->type != kOctetsWith1 || entry->octets.size() != kKeyIdentifierBytes ||
        out.authorized_paas.size() == kMaxAuthorizedPaas) {
      return false;
    }
    out.authorized_paas.push_back(to_bytes(entry->octets));
  }
  return false;
}

/// The numbers of fields, 6.3.1 of the specification.
enum Field : unsigned {
  kFormatVersion,
  kVendorId,
  kProductIds,
  kDeviceType,
  kCertificateId,
  kSecurityLevel,
  kSecurityInformation,
  kVersionNumber,
  kCertificationType,
  kOriginVendor,
  kOriginProduct,
  kAuthorizedPaas,
  kFields
};

bool read_number(const TlvElement& element, CertificationDeclaration& out) {
  if (!is_unsigned(element)) return false;
  const bool is_16 = element.value <= 0xffff;
  const auto value16 = static_cast<std::uint16_t>(element.value);
  switch (*element.number) {
    case kFormatVersion:
      out.format_version = element.value;
      return true;
    case kVendorId:
      out.vendor_id = value16;
      return is_16;
    case kDeviceType:
      out.device_type_id = static_cast<std::uint32_t>(element.value);
      return element.value <= 0xffffffff;
    case kSecurityLevel:
      out.security_level = element.value;
      return element.value <= 0xff;
    case kSecurityInformation:
      out.security_information = element.value;
      return is_16;
    case kVersionNumber:
      out.version_number = element.value;
      return is_16;
    case kCertificationType:
      out.certification_type = element.value;
      return element.value <= 0xff;
    case kOriginVendor:
      out.dac_origin_vendor_id = value16;
      return is_16;
    case kOriginProduct:
      out.dac_origin_product_id = value16;
      return is_16;
    default:
      return false;
  }
}

bool read_field(const TlvElement& element, TlvReader& reader, CertificationDeclaration& out) {
  switch (*element.number) {
    case kProductIds:
      return element.type == kArray && read_products(reader, out);
    case kAuthorizedPaas:
      return element.type == kArray && read_paas(reader, out);
    case kCertificateId:
      out.certificate_id = to_string(element.octets);
      return element.type == kUtf8With1 && element.octets.size() == kDeclarationCertificateChars &&
             printable(out.certificate_id) == out.certificate_id;
    default:
      return read_number(element, out);
  }
}

std::optional<Refusal> read_content(ByteView content, CertificationDeclaration& out) {
  TlvReader reader{content};
  const auto begin = reader.next();
  if (!begin || begin->type != kStructure || begin->number)
    return malformed("the content is no TLV structure");
  std::array<bool, kFields> seen{};
  std::optional<unsigned> last;
  bool ended = false;
  while (const auto element = reader.next()) {
    if (element->type == kEnd) {
      ended = true;
      break;
    }
    // Fields stand in the order of their numbers, so none can stand twice.
    if (!element->number || (last && *element->number <= *last))
      return malformed("fields without number or order");
    last = element->number;
    if (*element->number >= kFields) {  // of a later specification
      if (TlvReader::is_container(element->type) && !reader.skip_container())
        return malformed("an unknown field");
      continue;
    }
    if (!read_field(*element, reader, out))
      return malformed(fmt::format("field {}", *element->number));
    seen[*element->number] = true;
  }
  if (!ended || !reader.at_end()) return malformed("the content does not end with its structure");
  if (out.format_version != 1)
    return outside_profile(fmt::format("format version {}", out.format_version));
  if (!std::all_of(seen.begin(), seen.begin() + kOriginVendor, [](bool there) { return there; }))
    return malformed("a field is missing");
  if (seen[kOriginVendor] != seen[kOriginProduct])
    return malformed("one of dac_origin's two fields is missing");
  return std::nullopt;
}

std::optional<Refusal> read_signer(ByteView signer_infos, CertificationDeclaration& out) {
  const auto signer = der::only_element(signer_infos, der::kSequence);
  if (!signer) return outside_profile("not exactly one signer");
  der::Reader fields{signer->content};
  const auto version = fields.next(der::kInteger);
  const auto identifier = fields.next(der::context_primitive(0));
  const auto digest = fields.next(der::kSequence);
  if (fields.peek() == der::context_constructed(0)) return outside_profile("signed attributes");
  const auto algorithm = fields.next(der::kSequence);
  const auto signature = fields.next(der::kOctetString);
  if (!version || !equal(version->content, kVersion3) || !identifier ||
      identifier->content.size() != kKeyIdentifierBytes)
    return outside_profile("the signer is not named by a subjectKeyIdentifier of 20 octets");
  if (!is_algorithm(digest, kSha256) || !is_algorithm(algorithm, kEcdsaWithSha256))
    return outside_profile("not signed with ecdsa-with-SHA256");
  auto raw = signature ? crypto::der_to_raw_signature(signature->content) : std::nullopt;
  if (!raw || !fields.at_end()) return malformed("signature");
  out.signer_key_identifier = to_bytes(identifier->content);
  out.signature = std::move(*raw);
  return std::nullopt;
}

}  // namespace

std::variant<CertificationDeclaration, Refusal> parse_certification_declaration(ByteView cms) {
  if (cms.empty() || cms.size() > kMaxDeclarationBytes)
    return Refusal{"declaration-size", "a certification declaration has 1 to 4,096 octets"};
  const auto info = der::only_element(cms, der::kSequence);
  if (!info) return malformed("not one DER SEQUENCE");
  der::Reader outer{info->content};
  const auto type = outer.next(der::kOid);
  const auto wrapped = outer.next(der::context_constructed(0));
  if (!type || !wrapped || !outer.at_end()) return malformed("ContentInfo");
  if (!equal(type->content, kSignedData)) return outside_profile("not SignedData");
  const auto signed_data = der::only_element(wrapped->content, der::kSequence);
  if (!signed_data) return malformed("SignedData");
  der::Reader fields{signed_data->content};
  const auto version = fields.next(der::kInteger);
  const auto digests = fields.next(der::kSet);
  const auto content_info = fields.next(der::kSequence);
  static_cast<void>(
      fields.next(der::context_constructed(0)));  // certificates: trusted ones come from elsewhere
  static_cast<void>(fields.next(der::context_constructed(1)));  // revocation information
  const auto signers = fields.next(der::kSet);
  if (!version || !digests || !content_info || !signers || !fields.at_end())
    return malformed("SignedData");
  if (!equal(version->content, kVersion3) ||
      !is_algorithm(der::only_element(digests->content, der::kSequence), kSha256))
    return outside_profile("not version 3 with SHA-256");
  der::Reader inner{content_info->content};
  const auto content_type = inner.next(der::kOid);
  const auto content_wrapped = inner.next(der::context_constructed(0));
  const auto content = content_wrapped
                           ? der::only_element(content_wrapped->content, der::kOctetString)
                           : std::nullopt;
  if (!content_type || !content || !inner.at_end()) return malformed("content");
  if (!equal(content_type->content, kData)) return outside_profile("content other than id-data");
  CertificationDeclaration out;
  out.content = to_bytes(content->content);
  out.sha256 = crypto::sha256(cms);
  if (auto refusal = read_signer(signers->content, out)) return *refusal;
  if (auto refusal = read_content(content->content, out)) return *refusal;
  return out;
}

std::optional<Refusal> check_certification_declaration(ByteView cms,
                                                       std::uint16_t vendor_id,
                                                       std::uint16_t product_id,
                                                       ByteView paa_key_identifier) {
  auto parsed = parse_certification_declaration(cms);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& declaration = std::get<CertificationDeclaration>(parsed);
  const std::uint16_t vendor = declaration.dac_origin_vendor_id.value_or(declaration.vendor_id);
  if (vendor != vendor_id) {
    return Refusal{"declaration-vendor",
                   fmt::format("the certification declaration {} is for devices of vendor {}, the "
                               "certificates are for {}",
                               declaration.certificate_id,
                               matter_hex(vendor),
                               matter_hex(vendor_id)),
                   "give the product's own declaration"};
  }
  const bool listed =
      declaration.dac_origin_product_id
          ? *declaration.dac_origin_product_id == product_id
          : std::ranges::find(declaration.product_ids, product_id) != declaration.product_ids.end();
  if (!listed) {
    return Refusal{"declaration-product",
                   fmt::format("the certification declaration {} does not name the product {}",
                               declaration.certificate_id,
                               matter_hex(product_id)),
                   "give the product's own declaration"};
  }
  const auto& paas = declaration.authorized_paas;
  const auto is_paa = [&](const Bytes& paa) { return equal(paa, paa_key_identifier); };
  if (!paas.empty() && !paa_key_identifier.empty() && std::ranges::none_of(paas, is_paa)) {
    return Refusal{"declaration-paa",
                   fmt::format("the certification declaration {} does not authorize the PAA with "
                               "the key identifier {}",
                               declaration.certificate_id,
                               to_hex(paa_key_identifier)),
                   "issue under a PAA that the declaration lists"};
  }
  return std::nullopt;
}

std::variant<DeclarationSignature, Refusal> check_declaration_signature(
    const CertificationDeclaration& declaration, std::span<const Bytes> signers) {
  for (const Bytes& der : signers) {
    auto parsed = parse_certificate(der);
    if (auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
    const auto& signer = std::get<CertificateFacts>(parsed);
    if (!equal(signer.subject_key_identifier, declaration.signer_key_identifier)) continue;
    if (crypto::verify(signer.key, crypto::sha256(declaration.content), declaration.signature))
      return DeclarationSignature::Verified;
    return Refusal{"declaration-signature",
                   fmt::format("the certification declaration {} is not signed by {}",
                               declaration.certificate_id,
                               signer.subject)};
  }
  return DeclarationSignature::NotVerified;
}

}  // namespace keyferry::x509
