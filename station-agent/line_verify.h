// The four checks at the end of the line, in the manifest's order and never fewer: the chain read
// back from the SE, the answer to the record's challenge, the certificate's serial, the firmware's
// signature. Settings have no say: demands come from the manifest, and what a lane lacks for them
// is told before anything is written (sandwich.cpp).
#pragma once

#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "station-agent/chip.h"
#include "station-agent/store.h"
#include "token/receipt.h"
#include "wrap/x509/path.h"

namespace keyferry::station {

struct LineFindings {
  token::Verdicts verdicts;
  token::LineProof proof;
  /// The first check that failed; those after it were not run. Nothing: all passed. Reasons:
  /// "chain-differs", "chain-invalid", "challenge-failed", "serial-not-registered",
  /// "secure-boot-key-other", and those of the chip for reading and for firmware.
  std::optional<Refusal> refusal;
};

struct LineTask {
  const BatchFacts& batch;
  const Store& store;
  const StoredRecord& stored;
  const KeyHandle& handle;
  const FirmwareImage* firmware = nullptr;  // null exactly when the batch names no image
  const Clock& clock;                       // asked when the chain has been read
};

[[nodiscard]] LineFindings verify_line(Chip& chip, const LineTask& task);

/// Of a record that no check has come to.
[[nodiscard]] token::Verdicts verdicts_before(const BatchFacts& batch);

/// Leaf and issuers.
[[nodiscard]] std::vector<Bytes> chain_of(const token::Record& record);

struct TimedChain {
  UtcMillis at;  // the time that the batch's policy gives
  std::variant<x509::ChainFacts, Refusal> result;
};

/// To the batch's anchors. Under the policy `now` by the clock, or, where nothing but the time is
/// wrong, at the end of the clock's allowed skew.
[[nodiscard]] TimedChain verify_chain_of(const BatchFacts& batch,
                                         std::span<const Bytes> chain,
                                         UtcMillis now);

}  // namespace keyferry::station
