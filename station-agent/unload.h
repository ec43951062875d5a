// Receipts home: the leaves of the station's log that the appliance does not have yet, under a
// signed head, sealed to the appliance's inbox key, written to the token with read-back. And
// closing a batch: what was not used is returned.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "station-agent/settings.h"
#include "station-agent/store.h"
#include "token/medium.h"
#include "wrap/base/random.h"

namespace keyferry::station {

struct UnloadReport {
  std::string file;  // name on the token; empty: there was nothing to unload
  std::uint32_t generation = 1;
  std::uint64_t from_size = 0;
  std::uint64_t to_size = 0;
  std::uint64_t size_bytes = 0;
  bool was_there = false;  // the same file was on the token already
};

struct UnloadContext {
  Store& store;
  const StationFacts& station;
  const PinnedAppliance& appliance;
  crypto::Signer& signer;
  token::Medium& medium;
  const Home& home;
  RandomSource& random;
  const Clock& clock;
  std::optional<std::uint64_t> from = std::nullopt;  // leaves from here on again; nothing: what the appliance lacks
};

/// Idempotent: the same range is handed out byte for byte again. A core that still waits for its
/// SE's signature is voided first (its record is in doubt until the SE is asked), so that no
/// receipt changes after it has left.
[[nodiscard]] UnloadReport unload(const UnloadContext& context);

struct ReturnReport {
  std::uint64_t returned = 0;
  std::uint64_t quarantined = 0;  // in doubt, given up
};

enum class InDoubt { Refuse, Quarantine };

/// Every record of the batch that was not used gets a `returned` core. Records in doubt may have a
/// key in a device: Error{Refused} unless they are to be quarantined. Error{NotFound}: no such
/// batch. Doing it again changes nothing.
[[nodiscard]] ReturnReport return_batch(Store& store,
                                        const StationFacts& station,
                                        const BatchId& batch_id,
                                        std::uint32_t person_number,
                                        InDoubt in_doubt,
                                        const Clock& clock);

}  // namespace keyferry::station
