#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/text.h"
#include "wrap/x509/internal/extensions.h"
#include "wrap/x509/internal/lint_view.h"
#include "wrap/x509/matter.h"
#include "wrap/x509/name.h"

namespace keyferry::x509 {
namespace {

constexpr std::uint16_t kCaUsages = kKeyCertSign | kCrlSign;

/// What a subject says of vendor and product, with everything that is wrong in it.
struct SubjectIds {
  std::vector<const ViewAttribute*> vendors;
  std::vector<const ViewAttribute*> products;
  std::vector<std::string_view> common_names;

  [[nodiscard]] bool has_attributes() const { return !vendors.empty() || !products.empty(); }

  [[nodiscard]] std::size_t count(std::string_view prefix) const {
    std::size_t found = 0;
    for (const std::string_view name : common_names) {
      for (std::size_t at = name.find(prefix); at != std::string_view::npos;
           at = name.find(prefix, at + 1))
        ++found;
    }
    return found;
  }

  /// Attributes, or where neither type is there the marks in the common name.
  [[nodiscard]] std::size_t vendor_count() const {
    return has_attributes() ? vendors.size() : count(kMvidPrefix);
  }

  [[nodiscard]] std::size_t product_count() const {
    return has_attributes() ? products.size() : count(kMpidPrefix);
  }
};

SubjectIds subject_ids(const LintView& view) {
  SubjectIds ids;
  for (const ViewAttribute& attribute : view.subject.attributes) {
    if (equal(attribute.oid, rule_of(Attribute::MatterVendorId).oid.view()))
      ids.vendors.push_back(&attribute);
    if (equal(attribute.oid, rule_of(Attribute::MatterProductId).oid.view()))
      ids.products.push_back(&attribute);
    if (equal(attribute.oid, rule_of(Attribute::CommonName).oid.view()))
      ids.common_names.push_back(as_chars(attribute.value.content));
  }
  return ids;
}

/// The ids as a reader takes them; nothing when the subject is not sound.
std::optional<MatterIds> sound_ids(const LintView& view) {
  if (!view.subject.whole) return std::nullopt;
  const auto found = matter_ids(view.subject.whole->whole);
  const auto* ids = std::get_if<MatterIds>(&found);
  return ids == nullptr ? std::nullopt : std::optional{*ids};
}

class Matter {
 public:
  Matter(const LintView& view, std::size_t index, LintReport& report)
      : view_{view}, ids_{subject_ids(view)}, index_{index}, report_{report} {}

  void common(bool needs_authority_key) {
    if (view_.version != 3) add(Rule::MatterVersion, fmt::format("version {}", view_.version));
    if (!view_.is_ecdsa_sha256)
      add(Rule::MatterSignature, fmt::format("signed with {}", view_.algorithm_name));
    if (!view_.is_p256) add(Rule::MatterKey, fmt::format("the key is {}", view_.key_name));
    if (view_.der.size() > kMaxMatterCertificateBytes)
      add(Rule::MatterSize, fmt::format("{} octets", view_.der.size()));
    if (view_.find(kOidSubjectKeyIdentifier) == nullptr)
      add(Rule::MatterSubjectKey, "there is none");
    if (needs_authority_key && view_.find(kOidAuthorityKeyIdentifier) == nullptr)
      add(Rule::MatterAuthorityKey, "there is none");
    for (const ViewAttribute* vendor : ids_.vendors)
      value(*vendor, "VendorID", Rule::MatterVidUtf8, Rule::MatterVidDigits);
    for (const ViewAttribute* product : ids_.products)
      value(*product, "ProductID", Rule::MatterPidUtf8, Rule::MatterPidDigits);
    const std::size_t marks = ids_.count(kMvidPrefix) + ids_.count(kMpidPrefix);
    if (ids_.has_attributes() && marks > 0)
      add(Rule::MatterMixed,
          fmt::format("{}: a reader takes the attributes alone", view_.subject.text()));
    if (!ids_.has_attributes()) {
      mark(kMvidPrefix);
      mark(kMpidPrefix);
    }
  }

  void dac() {
    count(ids_.vendor_count(), 1, 1, Rule::DacVendor);
    count(ids_.product_count(), 1, 1, Rule::DacProduct);
    const auto& constraints = view_.constraints;
    if (!constraints || !constraints->critical || constraints->is_ca || constraints->path_length)
      add(Rule::DacConstraints, constraints_text());
    if (!view_.usage || !view_.usage->critical || view_.usage->bits != kDigitalSignature)
      add(Rule::DacUsage, usage_text());
  }

  void pai() {
    count(ids_.vendor_count(), 1, 1, Rule::PaiVendor);
    count(ids_.product_count(), 0, 1, Rule::PaiProduct);
    const auto& constraints = view_.constraints;
    if (!constraints || !constraints->critical || !constraints->is_ca ||
        constraints->path_length != 0U)
      add(Rule::PaiConstraints, constraints_text());
    if (!is_ca_usage()) add(Rule::PaiUsage, usage_text());
  }

  void paa() {
    if (!view_.is_self_issued() || is_signed_by(view_.der, view_.der) == false)
      add(Rule::PaaSelfSigned, fmt::format("issued by {}", view_.issuer.text()));
    count(ids_.vendor_count(), 0, 1, Rule::PaaVendor);
    count(ids_.product_count(), 0, 0, Rule::PaaProduct);
    const auto& constraints = view_.constraints;
    const bool length_fits =
        constraints && (!constraints->path_length || *constraints->path_length == 1);
    if (!constraints || !constraints->critical || !constraints->is_ca || !length_fits)
      add(Rule::PaaConstraints, constraints_text());
    if (!is_ca_usage()) add(Rule::PaaUsage, usage_text());
  }

 private:
  void add(Rule rule, std::string text) { report_.add(index_, rule, std::move(text)); }

  void value(const ViewAttribute& attribute,
             std::string_view what,
             Rule string_rule,
             Rule digits_rule) {
    const std::string_view text = as_chars(attribute.value.content);
    if (attribute.value.tag != der::kUtf8String)
      add(string_rule, fmt::format("{} has the string tag {:#04x}", what, attribute.value.tag));
    if (!read_matter_hex(text))
      add(digits_rule, fmt::format("{} is \"{}\"", what, printable(text)));
  }

  void mark(std::string_view prefix) {
    const std::size_t found = ids_.count(prefix);
    if (found > 1) add(Rule::MatterCommonName, fmt::format("{} stands {} times", prefix, found));
    if (found != 1) return;
    for (const std::string_view name : ids_.common_names) {
      const std::size_t at = name.find(prefix);
      if (at == std::string_view::npos) continue;
      const std::string_view digits = name.substr(at + prefix.size());
      if (!read_matter_hex(digits.substr(0, 4)))
        add(Rule::MatterCommonName,
            fmt::format("behind {} stands \"{}\"", prefix, printable(digits)));
    }
  }

  void count(std::size_t found, std::size_t least, std::size_t most, Rule rule) {
    if (found < least || found > most) add(rule, fmt::format("there are {}", found));
  }

  [[nodiscard]] bool is_ca_usage() const {
    return view_.usage && view_.usage->critical && (view_.usage->bits & kCaUsages) == kCaUsages &&
           (view_.usage->bits & ~(kCaUsages | kDigitalSignature)) == 0;
  }

  [[nodiscard]] std::string constraints_text() const {
    const auto& found = view_.constraints;
    if (!found) return "there are none";
    return fmt::format("{}, cA {}, path length {}",
                       found->critical ? "critical" : "not critical",
                       found->is_ca ? "TRUE" : "FALSE",
                       found->path_length ? std::to_string(*found->path_length) : "absent");
  }

  [[nodiscard]] std::string usage_text() const {
    if (!view_.usage) return "there is none";
    std::string text = view_.usage->critical ? "critical:" : "not critical:";
    for (std::size_t bit = 0; bit < kKeyUsageNames.size(); ++bit) {
      if ((view_.usage->bits & (1U << bit)) != 0) text += fmt::format(" {}", kKeyUsageNames[bit]);
    }
    return text;
  }

  const LintView& view_;
  SubjectIds ids_;
  std::size_t index_;
  LintReport& report_;
};

}  // namespace

bool looks_like_matter(const LintView& view) {
  const SubjectIds ids = subject_ids(view);
  return ids.has_attributes() || ids.count(kMvidPrefix) + ids.count(kMpidPrefix) > 0;
}

void lint_matter(const LintView& view, LintProfile kind, std::size_t index, LintReport& report) {
  if (!view.readable) return;
  Matter matter{view, index, report};
  switch (kind) {
    case LintProfile::MatterDac:
      matter.common(true);
      return matter.dac();
    case LintProfile::MatterPai:
      matter.common(true);
      return matter.pai();
    case LintProfile::MatterPaa:
      matter.common(false);
      return matter.paa();
    case LintProfile::Auto:
    case LintProfile::General:
      return;
  }
}

void lint_matter_link(const LintView& view,
                      const LintView& issuer,
                      LintProfile kind,
                      std::size_t index,
                      LintReport& report) {
  const auto ids = sound_ids(view);
  const auto above = sound_ids(issuer);
  const auto differs = [](std::optional<std::uint16_t> below, std::optional<std::uint16_t> over) {
    return below && over && *below != *over;
  };
  const auto text = [](std::uint16_t below, std::uint16_t over) {
    return fmt::format("{}, but its issuer's is {}", matter_hex(below), matter_hex(over));
  };
  if (ids && above) {
    const Rule vendor_rule =
        kind == LintProfile::MatterDac ? Rule::DacVendorMatch : Rule::PaiVendorMatch;
    if (differs(ids->vendor_id, above->vendor_id))
      report.add(index, vendor_rule, text(*ids->vendor_id, *above->vendor_id));
    if (kind == LintProfile::MatterDac && differs(ids->product_id, above->product_id))
      report.add(index, Rule::DacProductMatch, text(*ids->product_id, *above->product_id));
  }
  if (kind == LintProfile::MatterDac && view.not_before && view.not_after && issuer.not_before &&
      issuer.not_after &&
      (*view.not_before < *issuer.not_before || *view.not_after > *issuer.not_after)) {
    report.add(
        index,
        Rule::DacValidity,
        fmt::format(
            "ends {}, its PAI {}", to_rfc3339(*view.not_after), to_rfc3339(*issuer.not_after)));
  }
}

}  // namespace keyferry::x509
