#include "wrap/x509/internal/lint_view.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include <algorithm>
#include <memory>

#include "wrap/base/text.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/internal/extensions.h"
#include "wrap/x509/name.h"

namespace keyferry::x509 {
namespace {

constexpr std::size_t kMaxAttributes = 64;
constexpr std::size_t kMaxExtensions = 64;

struct KnownOid {
  std::string_view dotted;
  std::string_view name;
};

// RFC 5758, RFC 4055, RFC 3279, RFC 8410: what signatures and keys of others are usually called.
constexpr KnownOid kAlgorithms[] = {
    {"1.2.840.10045.4.1", "ecdsa-with-SHA1"},
    {"1.2.840.10045.4.3.2", "ecdsa-with-SHA256"},
    {"1.2.840.10045.4.3.3", "ecdsa-with-SHA384"},
    {"1.2.840.10045.4.3.4", "ecdsa-with-SHA512"},
    {"1.2.840.113549.1.1.4", "md5WithRSAEncryption"},
    {"1.2.840.113549.1.1.5", "sha1WithRSAEncryption"},
    {"1.2.840.113549.1.1.10", "RSASSA-PSS"},
    {"1.2.840.113549.1.1.11", "sha256WithRSAEncryption"},
    {"1.2.840.113549.1.1.12", "sha384WithRSAEncryption"},
    {"1.2.840.113549.1.1.13", "sha512WithRSAEncryption"},
    {"1.2.840.10040.4.3", "dsa-with-SHA1"},
    {"1.3.101.112", "Ed25519"},
    {"1.3.101.113", "Ed448"},
    {"1.2.840.113549.1.1.1", "RSA"},
    {"1.2.840.10040.4.1", "DSA"},
    {"1.2.840.10045.2.1", "EC"},
    {"1.2.840.10045.3.1.7", "P-256"},
    {"1.3.132.0.34", "P-384"},
    {"1.3.132.0.35", "P-521"},
    {"1.3.132.0.10", "secp256k1"},
};

std::string oid_name(ByteView content) {
  const auto dotted = oid_text(content);
  if (!dotted) return "an unreadable OID";
  for (const KnownOid& known : kAlgorithms) {
    if (known.dotted == *dotted) return std::string{known.name};
  }
  return *dotted;
}

std::string algorithm_name(const der::Element& algorithm) {
  der::Reader fields{algorithm.content};
  const auto oid = fields.next(der::kOid);
  return oid ? oid_name(oid->content) : "an unreadable algorithm";
}

/// "RSA 2048", "EC P-384": the key's algorithm, and its size or curve.
std::string key_name(const der::Element& spki) {
  der::Reader fields{spki.content};
  const auto algorithm = fields.next(der::kSequence);
  const auto bits = fields.next(der::kBitString);
  if (!algorithm || !bits) return "an unreadable key";
  der::Reader inner{algorithm->content};
  const auto oid = inner.next(der::kOid);
  if (!oid) return "an unreadable key";
  std::string name = oid_name(oid->content);
  if (const auto curve = inner.next(der::kOid)) return name + " " + oid_name(curve->content);
  if (name != "RSA" || bits->content.empty()) return name;
  const auto key = der::only_element(bits->content.subspan(1), der::kSequence);
  auto modulus = key ? der::Reader{key->content}.next(der::kInteger) : std::nullopt;
  if (!modulus) return name;
  ByteView number = modulus->content;
  while (!number.empty() && number.front() == 0) number = number.subspan(1);
  return fmt::format("RSA {}", number.size() * 8);
}

ViewName read_name(const der::Element& element) {
  ViewName name;
  name.whole = element;
  der::Reader rdns{element.content};
  while (!rdns.at_end()) {
    const auto rdn = rdns.next(der::kSet);
    if (!rdn || rdn->content.empty()) return name;
    der::Reader attributes{rdn->content};
    while (!attributes.at_end()) {
      const auto pair = attributes.next(der::kSequence);
      if (!pair || name.attributes.size() == kMaxAttributes) return name;
      der::Reader fields{pair->content};
      const auto type = fields.next(der::kOid);
      const auto value = fields.next();
      if (!type || !oid_text(type->content) || !value || !fields.at_end()) return name;
      name.attributes.push_back({type->content, *value});
    }
  }
  name.well_formed = true;
  return name;
}

/// The time that is meant, also in a form that RFC 5280 does not have.
std::optional<UtcMillis> lenient_time(const der::Element& element) {
  if (auto time = der::read_time(element)) return time;
  const std::string_view text = as_chars(element.content);
  const std::string_view digits = text.substr(0, text.find_first_not_of("0123456789"));
  std::string full{digits};
  if (element.tag == der::kUtcTime && digits.size() >= 10)
    full = (digits[0] >= '5' ? "19" : "20") + full;
  if (full.size() == 12) full += "00";
  if (full.size() != 14) return std::nullopt;
  return from_rfc3339(fmt::format("{}-{}-{}T{}:{}:{}Z",
                                  full.substr(0, 4),
                                  full.substr(4, 2),
                                  full.substr(6, 2),
                                  full.substr(8, 2),
                                  full.substr(10, 2),
                                  full.substr(12, 2)));
}

class Reading {
 public:
  Reading(LintView& view, std::size_t index, LintReport& report)
      : view_{view}, index_{index}, report_{report} {}

  void certificate() {
    const auto outer = der::only_element(view_.der, der::kSequence);
    if (!outer) return add(Rule::Der, "the file is not exactly one DER SEQUENCE");
    der::Reader parts{outer->content};
    const auto tbs = parts.next(der::kSequence);
    view_.outer_algorithm = parts.next(der::kSequence);
    const auto bits = parts.next(der::kBitString);
    if (bits) view_.signature_bits = bits->content;
    if (!tbs || !view_.outer_algorithm || !bits || !parts.at_end())
      add(Rule::Der, "not TBSCertificate, algorithm and signature");
    if (tbs) to_be_signed(*tbs);
  }

 private:
  void add(Rule rule, std::string text) { report_.add(index_, rule, std::move(text)); }

  void to_be_signed(const der::Element& tbs) {
    der::Reader fields{tbs.content};
    if (const auto version = fields.next(der::context_constructed(0))) {
      const auto number = der::only_element(version->content, der::kInteger);
      const auto value = number ? der::small_unsigned(number->content) : std::nullopt;
      view_.version = value && *value < 100 ? static_cast<int>(*value) + 1 : 0;
    }
    const auto serial = fields.next(der::kInteger);
    if (serial) view_.serial = serial->content;
    view_.algorithm = fields.next(der::kSequence);
    const auto issuer = fields.next(der::kSequence);
    const auto validity = fields.next(der::kSequence);
    const auto subject = fields.next(der::kSequence);
    const auto spki = fields.next(der::kSequence);
    if (!serial || !view_.algorithm || !issuer || !validity || !subject || !spki)
      return add(Rule::Der, "the TBSCertificate ends or breaks before the public key");
    view_.readable = true;
    view_.algorithm_name = algorithm_name(*view_.algorithm);
    constexpr std::uint8_t kEcdsaWithSha256[] = {
        0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    view_.is_ecdsa_sha256 = equal(view_.algorithm->whole, kEcdsaWithSha256);
    view_.issuer = read_name(*issuer);
    view_.subject = read_name(*subject);
    der::Reader times{validity->content};
    view_.first_time = times.next();
    view_.last_time = times.next();
    if (!view_.first_time || !view_.last_time || !times.at_end())
      add(Rule::TimeForm, "the validity is not two times");
    if (view_.first_time) view_.not_before = lenient_time(*view_.first_time);
    if (view_.last_time) view_.not_after = lenient_time(*view_.last_time);
    view_.is_p256 = crypto::PublicKey::from_spki(spki->whole).has_value();
    view_.key_name = key_name(*spki);
    for (const unsigned number : {1U, 2U}) {
      auto id = fields.next(der::context_primitive(number));
      if (!id) id = fields.next(der::context_constructed(number));
      if (id) view_.has_unique_id = true;
    }
    if (const auto list = fields.next(der::context_constructed(3))) extensions(list->content);
    if (!fields.at_end()) add(Rule::Der, "the TBSCertificate has something behind its extensions");
  }

  void extensions(ByteView content) {
    view_.has_extensions = true;
    const auto list = der::only_element(content, der::kSequence);
    if (!list || list->content.empty())
      return add(Rule::ExtensionsForm, "not a SEQUENCE with an Extension in it");
    der::Reader reader{list->content};
    while (!reader.at_end()) {
      const auto whole = reader.next(der::kSequence);
      if (!whole || view_.extensions.size() == kMaxExtensions)
        return add(Rule::ExtensionsForm,
                   fmt::format("Extension {} cannot be read", view_.extensions.size() + 1));
      der::Reader fields{whole->content};
      const auto type = fields.next(der::kOid);
      const auto flag = fields.next(der::kBoolean);
      const auto value = fields.next(der::kOctetString);
      if (!type || !oid_text(type->content) || !value || !fields.at_end()) {
        add(Rule::ExtensionsForm,
            fmt::format("Extension {} is not an OID, a flag and an OCTET STRING",
                        view_.extensions.size() + 1));
        continue;
      }
      if (flag && (flag->content.size() != 1 || flag->content[0] != 0xff))
        add(Rule::ExtensionFlag,
            fmt::format("the critical flag of {} is {}",
                        oid_text(type->content).value(),
                        to_hex(flag->content)));
      const bool critical = flag && flag->content.size() == 1 && flag->content[0] != 0;
      extension({type->content, critical, value->content});
    }
  }

  void extension(const ViewExtension& extension) {
    if (std::ranges::any_of(view_.extensions, [&](const ViewExtension& known) {
          return equal(known.oid, extension.oid);
        }))
      return add(Rule::ExtensionTwice,
                 fmt::format("{} stands twice", oid_text(extension.oid).value()));
    view_.extensions.push_back(extension);
    const auto is = [&](ByteView oid) { return equal(extension.oid, oid.subspan(2)); };
    if (is(kOidBasicConstraints)) constraints(extension);
    if (is(kOidKeyUsage)) usage(extension);
    if (is(kOidSubjectKeyIdentifier)) {
      const auto octets = der::only_element(extension.value, der::kOctetString);
      if (!octets || octets->content.empty())
        return add(Rule::SubjectKeyIdentifier, "not an OCTET STRING with something in it");
      view_.subject_key = octets->content;
    }
    if (is(kOidAuthorityKeyIdentifier)) {
      const auto sequence = der::only_element(extension.value, der::kSequence);
      const auto identifier =
          sequence ? der::Reader{sequence->content}.next(der::context_primitive(0)) : std::nullopt;
      if (!identifier || identifier->content.empty())
        return add(Rule::AuthorityKeyIdentifier, "no keyIdentifier in it");
      view_.authority_key = identifier->content;
    }
  }

  void constraints(const ViewExtension& extension) {
    ViewConstraints found{extension.critical, false, std::nullopt};
    const auto sequence = der::only_element(extension.value, der::kSequence);
    if (!sequence) return add(Rule::BasicConstraints, "not a SEQUENCE");
    der::Reader fields{sequence->content};
    if (const auto ca = fields.next(der::kBoolean)) {
      found.is_ca = ca->content.size() == 1 && ca->content[0] != 0;
      if (ca->content.size() != 1 || ca->content[0] != 0xff)
        add(Rule::ExtensionFlag, fmt::format("cA of basicConstraints is {}", to_hex(ca->content)));
    }
    if (const auto length = fields.next(der::kInteger)) {
      found.path_length = der::small_unsigned(length->content);
      if (!found.path_length)
        add(Rule::BasicConstraints, "the path length is no small number in shortest form");
    }
    if (!fields.at_end()) add(Rule::BasicConstraints, "something behind cA and path length");
    view_.constraints = found;
  }

  void usage(const ViewExtension& extension) {
    ViewUsage found{extension.critical, 0};
    const auto bits = der::only_element(extension.value, der::kBitString);
    if (!bits || bits->content.size() < 2 || bits->content.size() > 3 || bits->content[0] > 7)
      return add(Rule::KeyUsage, "not a BIT STRING of 1 to 9 bits");
    unsigned mask = 0;
    for (unsigned bit = 0; bit < 9 && bit / 8 + 1 < bits->content.size(); ++bit) {
      if ((bits->content[bit / 8 + 1] & (0x80U >> (bit % 8))) != 0) mask |= 1U << bit;
    }
    found.bits = static_cast<std::uint16_t>(mask);
    view_.usage = found;
    const unsigned lowest = 1U << bits->content[0];
    if (found.bits == 0) return add(Rule::KeyUsage, "no bit is set");
    if ((bits->content.back() & (lowest - 1)) != 0) add(Rule::KeyUsage, "unused bits are set");
    if ((bits->content.back() & lowest) == 0)
      add(Rule::KeyUsage, "zero bits at the end are not left out");
  }

  LintView& view_;
  std::size_t index_;
  LintReport& report_;
};

struct Free {
  void operator()(X509* certificate) const { X509_free(certificate); }
};

std::unique_ptr<X509, Free> foreign(ByteView der) {
  const unsigned char* at = der.data();
  std::unique_ptr<X509, Free> certificate{d2i_X509(nullptr, &at, static_cast<long>(der.size()))};
  ERR_clear_error();
  return certificate;
}

}  // namespace

std::string ViewName::text() const {
  if (!whole) return "(no name)";
  const auto name = name_text(whole->whole);
  if (!name) return "(a malformed name)";
  return name->empty() ? "(an empty name)" : *name;
}

const ViewExtension* LintView::find(ByteView der_oid) const {
  const auto it = std::ranges::find_if(extensions, [&](const ViewExtension& extension) {
    return equal(extension.oid, der_oid.subspan(2));
  });
  return it == extensions.end() ? nullptr : &*it;
}

LintView read_for_lint(ByteView der, std::size_t index, LintReport& report) {
  LintView view;
  view.der = der;
  if (der.empty() || der.size() > kMaxCertificateBytes) {
    report.add(index, Rule::Size, fmt::format("{} octets", der.size()));
    return view;
  }
  Reading{view, index, report}.certificate();
  return view;
}

std::optional<bool> is_signed_by(ByteView certificate, ByteView issuer) {
  const auto signed_one = foreign(certificate);
  const auto signer = foreign(issuer);
  if (!signed_one || !signer) return std::nullopt;
  EVP_PKEY* key = X509_get0_pubkey(signer.get());
  if (key == nullptr) {
    ERR_clear_error();
    return std::nullopt;
  }
  const int verified = X509_verify(signed_one.get(), key);
  ERR_clear_error();
  return verified == 1;
}

}  // namespace keyferry::x509
