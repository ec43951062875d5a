// From token to store: copy, verify, then open; records stay wrapped for their SEs. Manifest first,
// then only segments that it lists; one transaction per segment, in constant memory. A cut anywhere
// is resumed by doing the same again.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "station-agent/settings.h"
#include "station-agent/store.h"
#include "token/medium.h"

namespace keyferry::station {

inline constexpr std::uint64_t kMaxManifestBytes = 8ULL << 20;
inline constexpr std::uint64_t kMaxSegmentBytes = 1ULL << 30;  // segments stay below 1 GiB

struct RefusedFile {
  std::string file;  // name on the token
  Refusal refusal;
};

struct BatchLoad {
  BatchId batch_id;
  std::uint32_t segments_total = 0;
  std::uint32_t segments_here = 0;  // after this load
  std::uint32_t segments_new = 0;   // by this load
  std::uint64_t records_here = 0;
  std::uint64_t records_new = 0;
  std::vector<std::uint32_t> absent = {};  // indices that no token brought yet

  [[nodiscard]] bool complete() const { return segments_here == segments_total; }
};

struct LoadReport {
  std::vector<BatchLoad> batches;    // by id
  std::vector<RefusedFile> refused;  // in the order met
  std::vector<std::string> strange;  // names on the token that are not ours
  std::uint64_t revocations = 0;     // number of the revocation list in force; 0: none ever came

  [[nodiscard]] bool good() const;
};

struct LoadContext {
  Store& store;
  const StationFacts& station;
  const PinnedAppliance& appliance;
  crypto::DhPrivateKey& agreement;
  token::Medium& medium;
  const Home& home;
  std::function<void(const std::string&)> progress;  // for people, one line each
};

/// Refusal: the token as a whole is not for this station ("card-..."), or the station is retired. A refused file is in the
/// report; whatever else on the token is sound has been loaded.
[[nodiscard]] std::variant<LoadReport, Refusal> load_token(const LoadContext& context);

}  // namespace keyferry::station
