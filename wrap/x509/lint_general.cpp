#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/text.h"
#include "wrap/base/utf8.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/internal/extensions.h"
#include "wrap/x509/internal/lint_view.h"
#include "wrap/x509/name.h"
#include "wrap/x509/serial.h"

namespace keyferry::x509 {
namespace {

constexpr std::uint8_t kTeletexString = 0x14;
constexpr std::uint8_t kUniversalString = 0x1c;
constexpr std::uint8_t kBmpString = 0x1e;

/// The string type that an attribute must have; nothing: UTF8String or PrintableString.
std::optional<der::Tag> wanted_string(ByteView oid) {
  constexpr std::uint8_t kEmailAddress[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01};
  constexpr std::uint8_t kDnQualifier[] = {0x55, 0x04, 0x2e};
  const auto is = [oid](Attribute attribute) { return equal(oid, rule_of(attribute).oid.view()); };
  if (is(Attribute::Country) || is(Attribute::SerialNumber) || equal(oid, kDnQualifier))
    return der::kPrintableString;
  if (is(Attribute::DomainComponent) || equal(oid, kEmailAddress)) return der::kIa5String;
  return std::nullopt;
}

std::string_view string_name(std::uint8_t tag) {
  switch (tag) {
    case der::kUtf8String:
      return "UTF8String";
    case der::kPrintableString:
      return "PrintableString";
    case der::kIa5String:
      return "IA5String";
    case kTeletexString:
      return "TeletexString";
    case kUniversalString:
      return "UniversalString";
    case kBmpString:
      return "BMPString";
    default:
      return "no string";
  }
}

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

class General {
 public:
  General(const LintView& view, std::size_t index, LintReport& report)
      : view_{view}, index_{index}, report_{report} {}

  void run() {
    version_and_serial();
    algorithms();
    names();
    validity();
    constraints();
    identifiers();
    lists();
  }

 private:
  void add(Rule rule, std::string text) { report_.add(index_, rule, std::move(text)); }

  void version_and_serial() {
    if (view_.version != 3)
      add(Rule::Version,
          view_.version == 0 ? "a version that there is not"
                             : fmt::format("version {}", view_.version));
    const ByteView serial = view_.serial;
    if (!der::is_shortest_integer(serial))
      add(Rule::SerialDer,
          fmt::format("serial {}", to_hex(serial.first(std::min<std::size_t>(serial.size(), 32)))));
    const bool is_zero = std::ranges::all_of(serial, [](std::uint8_t octet) { return octet == 0; });
    if (is_zero || serial.front() >= 0x80)
      add(Rule::SerialPositive, is_zero ? "the serial is zero" : "the serial is negative");
    if (serial.size() > kMaxSerialBytes)
      add(Rule::SerialLength, fmt::format("the serial has {} octets", serial.size()));
  }

  void algorithms() {
    if (view_.outer_algorithm && !equal(view_.outer_algorithm->whole, view_.algorithm->whole))
      add(Rule::AlgorithmSame, fmt::format("inside {}, outside another", view_.algorithm_name));
    const std::string& name = view_.algorithm_name;
    if (name.find("SHA1") != std::string::npos || name.starts_with("sha1") ||
        name.starts_with("md5"))
      add(Rule::WeakHash, fmt::format("signed with {}", name));
    if (!view_.is_ecdsa_sha256)
      add(Rule::SignatureAlgorithm,
          fmt::format(
              "signed with {}{}", name, name == "ecdsa-with-SHA256" ? ", with parameters" : ""));
    if (!view_.is_p256)
      add(Rule::Key,
          fmt::format("the key is {}{}",
                      view_.key_name,
                      view_.key_name == "EC P-256" ? " in another form, or no point on it" : ""));
    if (!name.starts_with("ecdsa")) return;
    const ByteView bits = view_.signature_bits;
    const auto sequence = bits.empty() || bits[0] != 0
                              ? std::nullopt
                              : der::only_element(bits.subspan(1), der::kSequence);
    bool sound = sequence.has_value();
    if (sequence) {
      der::Reader fields{sequence->content};
      const auto r = fields.next(der::kInteger);
      const auto s = fields.next(der::kInteger);
      sound = r && s && fields.at_end() && der::is_shortest_integer(r->content) &&
              der::is_shortest_integer(s->content);
    }
    if (!sound) add(Rule::SignatureForm, "the signature is not that");
  }

  void names() {
    name(view_.issuer, "issuer");
    name(view_.subject, "subject");
    if (view_.issuer.well_formed && view_.issuer.attributes.empty())
      add(Rule::IssuerEmpty, "the issuer is empty");
    if (view_.subject.well_formed && view_.subject.attributes.empty()) {
      const ViewExtension* alt = view_.find(kOidSubjectAltName);
      if (view_.is_ca() || alt == nullptr || !alt->critical)
        add(Rule::SubjectEmpty, "the subject is empty");
    }
  }

  void name(const ViewName& name, std::string_view which) {
    if (!name.well_formed) add(Rule::NameForm, fmt::format("the {} is malformed", which));
    for (const ViewAttribute& attribute : name.attributes) {
      const std::string what =
          fmt::format("{} attribute {}", which, oid_text(attribute.oid).value());
      const auto wanted = wanted_string(attribute.oid);
      const std::uint8_t tag = attribute.value.tag;
      const bool fits =
          wanted ? tag == *wanted : tag == der::kUtf8String || tag == der::kPrintableString;
      if (!fits) add(Rule::NameString, fmt::format("{} is {}", what, string_name(tag)));
      value(attribute, what);
    }
  }

  void value(const ViewAttribute& attribute, const std::string& what) {
    const std::string_view text = as_chars(attribute.value.content);
    const std::uint8_t tag = attribute.value.tag;
    const auto points = decode_utf8(text);
    const bool sound = (tag != der::kPrintableString || der::is_printable_string(text)) &&
                       (tag != der::kIa5String || is_ascii(text)) &&
                       (tag != der::kUtf8String || points);
    if (!sound)
      return add(
          Rule::NameValue,
          fmt::format("{} \"{}\": characters that its type does not have", what, printable(text)));
    const auto* rule = std::ranges::find_if(kAttributeRules, [&](const AttributeRule& known) {
      return equal(known.oid.view(), attribute.oid);
    });
    const bool is_matter = rule != kAttributeRules.end() &&
                           rule->attribute >= Attribute::MatterVendorId;  // lint_matter.cpp
    if (rule == kAttributeRules.end() || is_matter) return;
    const std::size_t chars = points ? points->size() : text.size();
    if (chars < rule->min_chars || chars > rule->max_chars)
      add(Rule::NameValue,
          fmt::format("{} has {} characters, {} to {} are allowed",
                      what,
                      chars,
                      rule->min_chars,
                      rule->max_chars));
  }

  void validity() {
    time(view_.first_time, "notBefore");
    time(view_.last_time, "notAfter");
    if (view_.not_before && view_.not_after && *view_.not_before > *view_.not_after) {
      add(Rule::ValidityOrder,
          fmt::format(
              "from {} to {}", to_rfc3339(*view_.not_before), to_rfc3339(*view_.not_after)));
    }
  }

  void time(const std::optional<der::Element>& element, std::string_view which) {
    if (!element || der::read_time(*element)) return;
    const std::string_view type = element->tag == der::kUtcTime           ? "UTCTime"
                                  : element->tag == der::kGeneralizedTime ? "GeneralizedTime"
                                                                          : "no time";
    add(Rule::TimeForm,
        fmt::format("{} is {} \"{}\"", which, type, printable(as_chars(element->content))));
  }

  void constraints() {
    if (view_.has_unique_id) add(Rule::UniqueId, "issuerUniqueID or subjectUniqueID is there");
    for (const ViewExtension& extension : view_.extensions) {
      if (extension.critical && !is_known(extension.oid))
        add(Rule::CriticalUnknown, fmt::format("{} is critical", oid_text(extension.oid).value()));
    }
    const bool signs = view_.usage && (view_.usage->bits & kKeyCertSign) != 0;
    if (view_.is_ca() && !view_.constraints->critical) add(Rule::CaConstraints, "not critical");
    if (view_.constraints && view_.constraints->path_length &&
        (!view_.is_ca() || (view_.usage && !signs)))
      add(Rule::PathLengthUse,
          fmt::format("path length {} without {}",
                      *view_.constraints->path_length,
                      view_.is_ca() ? "keyCertSign" : "cA TRUE"));
    if (view_.is_ca() && !signs)
      add(Rule::CertSignUse, view_.usage ? "a CA without keyCertSign" : "a CA without keyUsage");
    if (!view_.is_ca() && signs) add(Rule::CertSignUse, "keyCertSign, but cA is not TRUE");
  }

  /// As parse_certificate, and what RFC 5280 section 6 has readers know of CAs.
  static bool is_known(ByteView oid) {
    static constexpr std::uint8_t kConstraints[][3] = {
        {0x55, 0x1d, 0x1e}, {0x55, 0x1d, 0x24}, {0x55, 0x1d, 0x36}, {0x55, 0x1d, 0x21}};
    const auto is = [oid](ByteView der_oid) { return equal(oid, der_oid.subspan(2)); };
    return is(kOidBasicConstraints) || is(kOidKeyUsage) || is(kOidExtendedKeyUsage) ||
           is(kOidSubjectAltName) || is(kOidCertificatePolicies) || is(kOidSubjectKeyIdentifier) ||
           is(kOidAuthorityKeyIdentifier) ||
           std::ranges::any_of(kConstraints, [oid](ByteView known) { return equal(oid, known); });
  }

  void identifiers() {
    if (view_.is_ca() && view_.find(kOidSubjectKeyIdentifier) == nullptr)
      add(Rule::SubjectKeyIdentifier, "a CA without one");
    if (!view_.is_self_issued() && view_.find(kOidAuthorityKeyIdentifier) == nullptr)
      add(Rule::AuthorityKeyIdentifier, "there is none");
    for (const ByteView oid :
         {ByteView{kOidSubjectKeyIdentifier}, ByteView{kOidAuthorityKeyIdentifier}}) {
      const ViewExtension* extension = view_.find(oid);
      if (extension != nullptr && extension->critical)
        add(Rule::KeyIdentifierCritical,
            fmt::format("{} is critical", oid_text(extension->oid).value()));
    }
  }

  void lists() {
    if (const ViewExtension* alt = view_.find(kOidSubjectAltName)) alt_names(alt->value);
    if (const ViewExtension* usages = view_.find(kOidExtendedKeyUsage)) {
      const auto entries = elements(usages->value);
      if (!entries || std::ranges::any_of(*entries, [](const der::Element& e) {
            return e.tag != der::kOid || !oid_text(e.content);
          }))
        add(Rule::ExtendedKeyUsage, "not a SEQUENCE of OIDs");
    }
    if (const ViewExtension* policies = view_.find(kOidCertificatePolicies))
      policy_list(policies->value);
  }

  void alt_names(ByteView value) {
    const auto names = elements(value);
    if (!names) return add(Rule::AltName, "not a SEQUENCE with a name in it");
    for (const der::Element& name : *names) {
      const unsigned number = name.tag & 0x1fU;
      const bool is_text = number == 1 || number == 2 || number == 6;
      const bool constructed = number == 0 || number == 3 || number == 4 || number == 5;
      const std::uint8_t wanted =
          constructed ? der::context_constructed(number) : der::context_primitive(number);
      const bool sound = number <= 8 && name.tag == wanted && !name.content.empty() &&
                         (!is_text || is_ascii(as_chars(name.content))) &&
                         (number != 7 || name.content.size() == 4 || name.content.size() == 16);
      if (!sound) add(Rule::AltName, fmt::format("a name of tag {:#04x} is malformed", name.tag));
    }
  }

  void policy_list(ByteView value) {
    const auto policies = elements(value);
    if (!policies) return add(Rule::Policies, "not a SEQUENCE with a policy in it");
    std::vector<ByteView> seen;
    for (const der::Element& policy : *policies) {
      const auto oid =
          policy.tag == der::kSequence ? der::Reader{policy.content}.next(der::kOid) : std::nullopt;
      if (!oid) return add(Rule::Policies, "a policy without its OID");
      if (std::ranges::any_of(seen, [&](ByteView known) { return equal(known, oid->content); }))
        return add(Rule::Policies, "a policy twice");
      seen.push_back(oid->content);
    }
  }

  /// Nothing unless `value` is a SEQUENCE of at least one and at most 256 elements.
  static std::optional<std::vector<der::Element>> elements(ByteView value) {
    const auto sequence = der::only_element(value, der::kSequence);
    if (!sequence || sequence->content.empty()) return std::nullopt;
    std::vector<der::Element> found;
    der::Reader reader{sequence->content};
    while (!reader.at_end()) {
      const auto element = reader.next();
      if (!element || found.size() == 256) return std::nullopt;
      found.push_back(*element);
    }
    return found;
  }

  const LintView& view_;
  std::size_t index_;
  LintReport& report_;
};

}  // namespace

void lint_general(const LintView& view, std::size_t index, LintReport& report) {
  if (view.readable) General{view, index, report}.run();
}

void lint_link(const LintView& view,
               const LintView& issuer,
               std::size_t index,
               LintReport& report) {
  if (!view.readable || !issuer.readable) return;
  const auto add = [&](Rule rule, std::string text) { report.add(index, rule, std::move(text)); };
  if (!equal(view.issuer.whole->whole, issuer.subject.whole->whole))
    add(Rule::ChainName,
        fmt::format("issued by {}, but the next certificate is {}",
                    view.issuer.text(),
                    issuer.subject.text()));
  if (view.authority_key && issuer.subject_key &&
      !equal(*view.authority_key, *issuer.subject_key)) {
    add(Rule::ChainKeyIdentifier,
        fmt::format("issued by the key {}, but the next certificate's is {}",
                    to_hex(*view.authority_key),
                    to_hex(*issuer.subject_key)));
  }
  const auto is_signed = is_signed_by(view.der, issuer.der);
  if (is_signed != true)
    add(Rule::ChainSignature,
        is_signed ? fmt::format("not signed by {}", issuer.subject.text())
                  : "cannot be verified: one of the two is not well-formed");
  if (view.not_before && view.not_after && issuer.not_before && issuer.not_after &&
      (*view.not_before < *issuer.not_before || *view.not_after > *issuer.not_after)) {
    add(Rule::ChainValidity,
        fmt::format("valid from {} to {}, its issuer from {} to {}",
                    to_rfc3339(*view.not_before),
                    to_rfc3339(*view.not_after),
                    to_rfc3339(*issuer.not_before),
                    to_rfc3339(*issuer.not_after)));
  }
}

}  // namespace keyferry::x509
