// The lint: rules that hold for a certificate or a chain, whoever made it. Reads what
// parse_certificate refuses too (RSA keys, SHA-1, broken parts), and tells every finding, not the
// first. Safe on anything: bounded, never throws.
//
// A rule has a name that stays, the clause that it comes from, and a sentence. Rules named x509-
// and chain- hold for everybody (RFC 5280), profile- for what this product accepts, matter- for
// Matter's attestation certificates. Matter's clauses are sections of the Matter Core
// Specification: 6.2.2.3 DAC, 6.2.2.4 PAI, 6.2.2.5 PAA.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wrap/base/bytes.h"

namespace keyferry::x509 {

struct LintRule {
  std::string_view name;
  std::string_view clause;
  std::string_view sentence;  ///< what must hold
};

/// Every rule, in a fixed order.
[[nodiscard]] std::span<const LintRule> lint_rules();

enum class LintProfile {
  Auto,  ///< Matter's when a VendorID, ProductID, "Mvid:" or "Mpid:" is in a subject, else General
  General,
  MatterDac,
  MatterPai,
  MatterPaa
};

/// "auto", "general", "matter-dac", "matter-pai", "matter-paa".
[[nodiscard]] std::optional<LintProfile> lint_profile_from_name(std::string_view name);
[[nodiscard]] std::string_view lint_profile_name(LintProfile profile);

struct Finding {
  std::size_t certificate = 0;  ///< place in the chain, from 0
  const LintRule* rule = nullptr;
  std::string text;  ///< what was found; printable ASCII
};

inline constexpr std::size_t kMaxLintChain = 10;

/// The findings of one certificate, in the order of the rules.
[[nodiscard]] std::vector<Finding> lint_certificate(ByteView der,
                                                    LintProfile profile = LintProfile::Auto);

/// The findings of a chain, leaf first and each one's issuer behind it, at most kMaxLintChain
/// certificates (those behind are not looked at, which is a finding); ordered by certificate, then
/// rule. `profile` is the first certificate's; the next ones follow: DAC, PAI, PAA. The last one's
/// own signature is looked at when it is self-issued.
[[nodiscard]] std::vector<Finding> lint_chain(std::span<const Bytes> chain,
                                              LintProfile profile = LintProfile::Auto);

/// What the first certificate was taken for: never Auto.
[[nodiscard]] LintProfile lint_profile_of(std::span<const Bytes> chain,
                                          LintProfile profile = LintProfile::Auto);

}  // namespace keyferry::x509
