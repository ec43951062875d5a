// What `verify` finds wrong, by the thing that it shows to be wrong.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "token/bundle/reader.h"
#include "wrap/base/error.h"

namespace keyferry::audit_tool {

/// In the order in which they are checked: each stands on the ones before.
enum class Check {
  Files,
  Identity,
  Log,
  Approvals,
  Keys,
  Certificates,
  Receipts,
  Conservation,
  Custody,
  Freshness
};

inline constexpr std::size_t kChecks = 10;

/// "files", "identity", ...
[[nodiscard]] std::string_view name_of(Check check);

struct Finding {
  Check check{};
  bundle::Fault fault;
};

class Findings {
 public:
  static constexpr std::size_t kKept = 1000;

  void add(Check check, std::string code, std::string subject, std::string text);
  void add(Check check, const bundle::Fault& fault);
  void add(Check check, const std::string& subject, const Refusal& refusal);

  /// In the order found, at most kKept.
  [[nodiscard]] const std::vector<Finding>& kept() const { return kept_; }

  [[nodiscard]] std::uint64_t count() const { return count_; }

  [[nodiscard]] std::uint64_t count(Check check) const {
    return by_check_.at(static_cast<std::size_t>(check));
  }

 private:
  std::vector<Finding> kept_;
  std::uint64_t count_ = 0;
  std::array<std::uint64_t, kChecks> by_check_{};
};

}  // namespace keyferry::audit_tool
