// The lint (wrap/x509/lint.h) as an answer: the first rule that is broken, with its name and clause.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/lint.h"

namespace keyferry::appliance {

enum class LeafSignature { Checked, NotYet };  // NotYet: of a certificate that its CA has not signed

/// Nothing if the chain, leaf or CA first, passes. Refusal "lint": rule, clause and what was found.
[[nodiscard]] std::optional<Refusal> lint_refusal(std::span<const Bytes> chain, x509::LintProfile profile,
                                                  LeafSignature signature = LeafSignature::Checked);

/// The lint's profile for a CA of this kind, and for leafs of this template.
[[nodiscard]] x509::LintProfile lint_profile(x509::CaKind kind);
[[nodiscard]] x509::LintProfile lint_profile(std::string_view template_name);

}  // namespace keyferry::appliance
