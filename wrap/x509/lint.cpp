#include "wrap/x509/lint.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/x509/internal/lint_view.h"
#include "wrap/x509/key_usage.h"

namespace keyferry::x509 {
namespace {

constexpr std::array kProfiles{
    std::pair{LintProfile::Auto, std::string_view{"auto"}},
    std::pair{LintProfile::General, std::string_view{"general"}},
    std::pair{LintProfile::MatterDac, std::string_view{"matter-dac"}},
    std::pair{LintProfile::MatterPai, std::string_view{"matter-pai"}},
    std::pair{LintProfile::MatterPaa, std::string_view{"matter-paa"}},
};

/// In a chain that ends at a self-issued certificate that is the PAA, else the last one is the PAI.
/// One alone: by what it says of itself.
LintProfile guess(std::span<const LintView> chain) {
  if (std::ranges::none_of(chain, looks_like_matter)) return LintProfile::General;
  const LintView& last = chain.back();
  const std::size_t below_paa = chain.size() - (last.is_self_issued() ? 1U : 0U);
  if (chain.size() == 1) {
    if (last.is_ca())
      return last.is_self_issued() ? LintProfile::MatterPaa : LintProfile::MatterPai;
    return LintProfile::MatterDac;
  }
  return below_paa >= 2 ? LintProfile::MatterDac : LintProfile::MatterPai;
}

LintProfile issuer_of(LintProfile profile) {
  switch (profile) {
    case LintProfile::MatterDac:
      return LintProfile::MatterPai;
    case LintProfile::MatterPai:
      return LintProfile::MatterPaa;
    case LintProfile::Auto:
    case LintProfile::General:
    case LintProfile::MatterPaa:
      break;
  }
  return LintProfile::General;
}

/// Who may stand above whom: CA, usage, path length; `below`: CA certificates between the leaf and
/// this issuer that are not self-issued.
void lint_issuer(const LintView& issuer, std::size_t index, std::size_t below, LintReport& report) {
  if (!issuer.readable) return;
  if (!issuer.is_ca())
    report.add(index, Rule::ChainNotACa, fmt::format("{} is not a CA", issuer.subject.text()));
  if (issuer.usage && (issuer.usage->bits & kKeyCertSign) == 0)
    report.add(
        index, Rule::ChainUsage, fmt::format("{} has no keyCertSign", issuer.subject.text()));
  if (issuer.constraints && issuer.constraints->path_length &&
      *issuer.constraints->path_length < below) {
    report.add(index,
               Rule::ChainPathLength,
               fmt::format("{} allows {} CAs below it, there are {}",
                           issuer.subject.text(),
                           *issuer.constraints->path_length,
                           below));
  }
}

std::vector<LintView> read_all(std::span<const Bytes> chain, LintReport& report) {
  std::vector<LintView> views;
  views.reserve(chain.size());
  for (std::size_t i = 0; i < chain.size(); ++i)
    views.push_back(read_for_lint(chain[i], i, report));
  return views;
}

}  // namespace

std::span<const LintRule> lint_rules() {
  return kLintRules;
}

std::optional<LintProfile> lint_profile_from_name(std::string_view name) {
  for (const auto& [profile, known] : kProfiles) {
    if (known == name) return profile;
  }
  return std::nullopt;
}

std::string_view lint_profile_name(LintProfile profile) {
  return kProfiles[static_cast<std::size_t>(profile)].second;
}

LintProfile lint_profile_of(std::span<const Bytes> chain, LintProfile profile) {
  if (profile != LintProfile::Auto || chain.empty())
    return chain.empty() ? LintProfile::General : profile;
  LintReport unused;
  const auto views = read_all(chain.first(std::min(chain.size(), kMaxLintChain)), unused);
  return guess(views);
}

std::vector<Finding> lint_certificate(ByteView der, LintProfile profile) {
  const Bytes one = to_bytes(der);
  return lint_chain({&one, 1}, profile);
}

std::vector<Finding> lint_chain(std::span<const Bytes> chain, LintProfile profile) {
  LintReport report;
  if (chain.empty()) return {};
  if (chain.size() > kMaxLintChain) {
    report.add(0, Rule::ChainLength, fmt::format("{} certificates", chain.size()));
    chain = chain.first(kMaxLintChain);
  }
  const std::vector<LintView> views = read_all(chain, report);
  LintProfile kind = profile == LintProfile::Auto ? guess(views) : profile;
  std::size_t below = 0;
  for (std::size_t i = 0; i < views.size(); ++i) {
    const LintView& view = views[i];
    lint_general(view, i, report);
    lint_matter(view, kind, i, report);
    if (i > 0) lint_issuer(view, i, below, report);
    if (i > 0 && !view.is_self_issued()) ++below;
    if (i + 1 < views.size()) {
      lint_link(view, views[i + 1], i, report);
      if (kind == LintProfile::MatterDac || kind == LintProfile::MatterPai)
        lint_matter_link(view, views[i + 1], kind, i, report);
    } else if (view.readable && view.is_self_issued() && is_signed_by(view.der, view.der) != true) {
      report.add(
          i,
          Rule::ChainSignature,
          fmt::format("{} is self-issued, but not signed by its own key", view.subject.text()));
    }
    kind = issuer_of(kind);
  }
  return report.take();
}

}  // namespace keyferry::x509
