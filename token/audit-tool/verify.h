// `keyferry-audit verify`: an evidence bundle from the bytes up. FORMAT.md of token/bundle says
// what is looked at, in which order, and what each answer rests on.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "token/audit-tool/findings.h"
#include "token/audit-tool/history.h"
#include "token/bundle/index.h"
#include "wrap/base/bytes.h"

namespace keyferry::audit_tool {

struct VerifyOptions {
  std::filesystem::path folder;
  Bytes fingerprint;                     // 16 octets: what the eight words stand for
  std::optional<std::string> challenge;  // the auditor's own words
  bool rehearsal = false;                // a rehearsal's bundle is expected
  std::size_t threads = 1;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress = {};  // leaves
};

/// I3: where the records of a batch ended.
struct Sums {
  std::uint64_t issued = 0, injected = 0, quarantined = 0, returned = 0, never_left = 0,
                revoked = 0, outstanding = 0;

  [[nodiscard]] bool agree() const {
    return issued == injected + quarantined + returned + never_left + revoked + outstanding;
  }

  Sums& operator+=(const Sums& more);
};

[[nodiscard]] Sums sums_of(const BatchHistory& batch);

struct Verification {
  explicit Verification(VerifyOptions asked) : options{std::move(asked)}, history{findings} {}

  Verification(const Verification&) = delete;
  Verification& operator=(const Verification&) = delete;

  VerifyOptions options;
  Findings findings;
  History history;
  std::optional<bundle::Index> index;  // without its files; nothing: there is no readable one
  std::string appliance_name;
  bool reached_batches =
      false;  // false: something below them does not hold, they were not looked at
  std::uint64_t checkpoints = 0, plans = 0, approvals = 0, statements = 0, crls = 0;
  std::uint64_t station_logs = 0, transcripts = 0;
  std::uint64_t unknown_signers = 0;  // of custody statements: people who are not in the registry

  [[nodiscard]] bool holds() const { return findings.count() == 0; }
};

/// Never throws for what is in the folder. Error{Storage}: the folder cannot be read.
void verify(Verification& work);

}  // namespace keyferry::audit_tool
