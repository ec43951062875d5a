#include "appliance/plan/lint_findings.h"

#include <fmt/format.h>

#include "wrap/x509/template.h"

namespace keyferry::appliance {

std::optional<Refusal> lint_refusal(std::span<const Bytes> chain, x509::LintProfile profile, LeafSignature signature) {
  for (const x509::Finding& finding : x509::lint_chain(chain, profile)) {
    const bool unsigned_yet = signature == LeafSignature::NotYet && finding.certificate == 0;
    if (unsigned_yet && finding.rule->name == "chain-signature") continue;
    return Refusal{"lint",
                   fmt::format("certificate {} breaks rule {} ({}): {}", finding.certificate + 1, finding.rule->name,
                               finding.rule->clause, finding.text),
                   std::string{finding.rule->sentence}};
  }
  return std::nullopt;
}

x509::LintProfile lint_profile(x509::CaKind kind) {
  switch (kind) {
    case x509::CaKind::Root:
    case x509::CaKind::Intermediate:
      return x509::LintProfile::General;
    case x509::CaKind::MatterPaa:
      return x509::LintProfile::MatterPaa;
    case x509::CaKind::MatterPai:
      return x509::LintProfile::MatterPai;
  }
  return x509::LintProfile::General;
}

x509::LintProfile lint_profile(std::string_view template_name) {
  return template_name == x509::kMatterDacTemplateName ? x509::LintProfile::MatterDac : x509::LintProfile::General;
}

}  // namespace keyferry::appliance
