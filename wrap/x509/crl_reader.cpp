#include "wrap/x509/crl_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/crypto/hash.h"
#include "wrap/x509/der.h"
#include "wrap/x509/key_usage.h"
#include "wrap/x509/name.h"
#include "wrap/x509/serial.h"

namespace keyferry::x509 {
namespace {

// RFC 5758 3.2: ecdsa-with-SHA256, no parameters.
constexpr std::uint8_t kEcdsaWithSha256[] = {
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr std::uint8_t kVersion2[] = {0x01};
// RFC 5280 4.2.1.1, 5.2.3, 5.2.5, 5.3.1
constexpr std::uint8_t kAuthorityKeyIdentifier[] = {0x55, 0x1d, 0x23};
constexpr std::uint8_t kCrlNumber[] = {0x55, 0x1d, 0x14};
constexpr std::uint8_t kIssuingDistributionPoint[] = {0x55, 0x1d, 0x1c};
constexpr std::uint8_t kReasonCode[] = {0x55, 0x1d, 0x15};
constexpr std::uint8_t kCertificateHold = 6;
constexpr std::size_t kMaxExtensions = 16;

Refusal malformed(std::string_view what) {
  return Refusal{"crl-malformed",
                 fmt::format("the CRL is malformed: {}", what),
                 "give the CA's CRL as it is, DER or PEM"};
}

Refusal outside_profile(std::string_view what) {
  return Refusal{"crl-profile",
                 fmt::format("the CRL is of no kind that is accepted: {}", what),
                 "give a complete CRL, signed with ecdsa-with-SHA256"};
}

struct Extension {
  ByteView oid;
  bool critical = false;
  ByteView value;
};

std::optional<Extension> read_extension(const der::Element& whole) {
  der::Reader fields{whole.content};
  const auto oid = fields.next(der::kOid);
  if (!oid) return std::nullopt;
  Extension extension{oid->content, false, {}};
  if (const auto critical = fields.next(der::kBoolean)) {
    // DER leaves the default FALSE out and writes TRUE as 0xff (X.690 11.1, 11.5).
    if (critical->content.size() != 1 || critical->content[0] != 0xff) return std::nullopt;
    extension.critical = true;
  }
  const auto value = fields.next(der::kOctetString);
  if (!value || !fields.at_end()) return std::nullopt;
  extension.value = value->content;
  return extension;
}

/// Each of a list in its order; false when it is none, has too many or one twice.
template <typename Take>
bool read_extensions(ByteView list, const Take& take) {
  std::vector<ByteView> seen;
  der::Reader reader{list};
  while (!reader.at_end()) {
    const auto whole = reader.next(der::kSequence);
    const auto extension = whole ? read_extension(*whole) : std::nullopt;
    if (!extension || seen.size() == kMaxExtensions) return false;
    if (std::ranges::any_of(seen, [&](ByteView oid) { return equal(oid, extension->oid); }))
      return false;
    seen.push_back(extension->oid);
    take(*extension);
  }
  return !seen.empty();
}

/// RFC 5280 5.2.5: [4] indirectCRL and [5] onlyContainsAttributeCerts, which DER writes only when
/// TRUE.
bool is_of_this_cas_certificates(ByteView distribution_point) {
  const auto sequence = der::only_element(distribution_point, der::kSequence);
  if (!sequence) return false;
  der::Reader fields{sequence->content};
  while (const auto field = fields.next()) {
    if (field->tag == der::context_primitive(4) || field->tag == der::context_primitive(5))
      return false;
  }
  return fields.at_end();
}

std::optional<std::uint8_t> read_reason(ByteView value) {
  const auto code = der::only_element(value, der::kEnumerated);
  if (!code || code->content.size() != 1 || code->content[0] > 10) return std::nullopt;
  return code->content[0];
}

class CrlReader {
 public:
  std::variant<CrlContents, Refusal> read(ByteView octets) {
    if (octets.empty() || octets.size() > kMaxCrlBytes)
      return Refusal{"crl-size",
                     fmt::format("a CRL has 1 to {} octets", kMaxCrlBytes),
                     "split it by distribution points"};
    const auto whole = der::only_element(octets, der::kSequence);
    if (!whole) return malformed("not one DER SEQUENCE");
    der::Reader outer{whole->content};
    const auto tbs = outer.next(der::kSequence);
    const auto algorithm = outer.next(der::kSequence);
    const auto bits = outer.next(der::kBitString);
    if (!tbs || !algorithm || !bits || !outer.at_end()) return malformed("outer SEQUENCE");
    if (!equal(algorithm->whole, kEcdsaWithSha256))
      return outside_profile("not signed with ecdsa-with-SHA256");
    const bool whole_octets = !bits->content.empty() && bits->content[0] == 0;
    auto signature =
        whole_octets ? crypto::der_to_raw_signature(bits->content.subspan(1)) : std::nullopt;
    if (!signature) return malformed("signature");
    if (auto refusal = read_list(tbs->content, algorithm->whole)) return *refusal;
    crl_.tbs = to_bytes(tbs->whole);
    crl_.signature = std::move(*signature);
    crl_.sha256 = crypto::sha256(octets);
    return std::move(crl_);
  }

 private:
  std::optional<Refusal> read_list(ByteView tbs, ByteView outer_algorithm) {
    der::Reader fields{tbs};
    const auto version = fields.next(der::kInteger);  // absent: v1
    if (version && !equal(version->content, kVersion2))
      return outside_profile("neither version 1 nor 2");
    const auto algorithm = fields.next(der::kSequence);
    const auto issuer = fields.next(der::kSequence);
    const auto this_update = fields.next();
    if (!algorithm || !issuer || !this_update) return malformed("TBSCertList");
    if (!equal(algorithm->whole, outer_algorithm)) return malformed("two signature algorithms");
    auto text = name_text(issuer->whole);
    const auto time = der::read_time(*this_update);
    if (!text || text->empty() || !time) return malformed("issuer or thisUpdate");
    crl_.issuer_name = to_bytes(issuer->whole);
    crl_.issuer = std::move(*text);
    crl_.this_update = *time;
    if (fields.peek() == der::kUtcTime || fields.peek() == der::kGeneralizedTime) {
      const auto next = fields.next();
      crl_.next_update = next ? der::read_time(*next) : std::nullopt;
      if (!crl_.next_update || *crl_.next_update < crl_.this_update) return malformed("nextUpdate");
    }
    if (const auto revoked = fields.next(der::kSequence)) {
      if (auto refusal = read_entries(revoked->content)) return refusal;
    }
    if (const auto wrapped = fields.next(der::context_constructed(0))) {
      const auto list = der::only_element(wrapped->content, der::kSequence);
      if (!version || !list) return malformed("extensions");
      if (auto refusal = read_own_extensions(list->content)) return refusal;
    }
    if (!fields.at_end()) return malformed("fields behind the extensions");
    std::ranges::sort(crl_.entries, {}, &CrlEntry::serial);
    const bool twice =
        std::ranges::adjacent_find(crl_.entries, {}, &CrlEntry::serial) != crl_.entries.end();
    return twice ? std::optional{malformed("a serial stands on it twice")} : std::nullopt;
  }

  std::optional<Refusal> read_own_extensions(ByteView list) {
    std::optional<Refusal> refusal;
    const bool good = read_extensions(list, [&](const Extension& extension) {
      if (equal(extension.oid, kCrlNumber)) {
        const auto number = der::only_element(extension.value, der::kInteger);
        if (number && der::is_shortest_integer(number->content) && number->content[0] < 0x80)
          crl_.number = without_zeros(number->content);
        else
          refusal = malformed("cRLNumber");
      } else if (equal(extension.oid, kAuthorityKeyIdentifier)) {
        read_key_identifier(extension.value);
      } else if (equal(extension.oid, kIssuingDistributionPoint)) {
        if (!is_of_this_cas_certificates(extension.value))
          refusal = outside_profile("an indirect CRL, or one of attribute certificates");
      } else if (extension.critical) {
        refusal =
            outside_profile("a critical extension that is not known here, as delta CRLs have");
      }
    });
    if (!good) return malformed("extensions");
    return refusal;
  }

  static Bytes without_zeros(ByteView number) {
    while (!number.empty() && number.front() == 0) number = number.subspan(1);
    return to_bytes(number);
  }

  /// RFC 5280 4.2.1.1: [0] keyIdentifier, other fields are not looked at.
  void read_key_identifier(ByteView value) {
    const auto sequence = der::only_element(value, der::kSequence);
    if (!sequence) return;
    if (const auto identifier = der::Reader{sequence->content}.next(der::context_primitive(0)))
      crl_.authority_key_identifier = to_bytes(identifier->content);
  }

  std::optional<Refusal> read_entries(ByteView list) {
    der::Reader reader{list};
    if (reader.at_end())
      return malformed("an empty list of entries");  // RFC 5280 5.1.2.6: then absent
    while (!reader.at_end()) {
      const auto entry = reader.next(der::kSequence);
      if (!entry) return malformed("an entry");
      if (auto refusal = read_entry(entry->content)) return refusal;
    }
    return std::nullopt;
  }

  std::optional<Refusal> read_entry(ByteView content) {
    der::Reader fields{content};
    const auto serial = fields.next(der::kInteger);
    const auto date = fields.next();
    const auto time = date ? der::read_time(*date) : std::nullopt;
    const bool positive =
        serial && der::is_shortest_integer(serial->content) && serial->content[0] < 0x80;
    auto stored = positive ? stored_serial(serial->content) : std::nullopt;
    if (!stored || !time) return malformed("an entry's serial or date");
    CrlEntry entry{std::move(*stored), *time, 0};
    std::optional<Refusal> refusal;
    if (const auto extensions = fields.next(der::kSequence)) {
      const bool good = read_extensions(extensions->content, [&](const Extension& extension) {
        if (equal(extension.oid, kReasonCode)) {
          const auto reason = read_reason(extension.value);
          if (reason)
            entry.reason = *reason;
          else
            refusal = malformed("an entry's reason");
        } else if (extension.critical) {
          refusal = outside_profile("an entry with a critical extension, as indirect CRLs have");
        }
      });
      if (!good) return malformed("an entry's extensions");
    }
    if (!fields.at_end()) return malformed("an entry");
    if (entry.reason == kCertificateHold)
      ++crl_.on_hold;
    else
      crl_.entries.push_back(std::move(entry));
    return refusal;
  }

  CrlContents crl_;
};

}  // namespace

const CrlEntry* CrlContents::find(ByteView stored) const {
  const auto found = std::ranges::lower_bound(
      entries,
      stored,
      [](ByteView a, ByteView b) { return std::ranges::lexicographical_compare(a, b); },
      [](const CrlEntry& entry) { return ByteView{entry.serial}; });
  return found != entries.end() && equal(found->serial, stored) ? &*found : nullptr;
}

std::variant<CrlContents, Refusal> parse_crl(ByteView der) {
  return CrlReader{}.read(der);
}

std::optional<Refusal> check_crl_issuer(const CrlContents& crl, const CertificateFacts& issuer) {
  if (!equal(crl.issuer_name, issuer.subject_name)) {
    return Refusal{"crl-issuer",
                   fmt::format("the CRL is by {}, not by {}", crl.issuer, issuer.subject),
                   "name the CA whose CRL it is: --ca NAME"};
  }
  const bool both = !crl.authority_key_identifier.empty() && !issuer.subject_key_identifier.empty();
  if (both && crl.authority_key_identifier != issuer.subject_key_identifier) {
    return Refusal{
        "crl-issuer",
        fmt::format("the CRL is by another key of {} than the enrolled one", issuer.subject),
        "a CA with a new key is enrolled under a name of its own: keyferry-appliance ca import"};
  }
  const bool may_sign = !issuer.key_usage || (*issuer.key_usage & kCrlSign) != 0;
  if (!may_sign || !crypto::verify(issuer.key, crypto::sha256(crl.tbs), crl.signature)) {
    return Refusal{"crl-signature",
                   fmt::format("the CRL is not signed by the enrolled key of {}{}",
                               issuer.subject,
                               may_sign ? "" : ", which may sign none"),
                   "take it anew from the CA; a CRL that another key signs for it is not accepted"};
  }
  return std::nullopt;
}

}  // namespace keyferry::x509
