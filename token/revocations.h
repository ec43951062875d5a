// The numbered revocation list (design.md section 6): batches that officers closed and stations that they retired. It
// travels on each token that leaves, as SignedBytes of kind revocation-list by kf-export. A station keeps the highest
// one that it has seen and obeys it: it loads nothing and injects nothing of such a batch.
//
// A list that never reaches a station changes nothing there: a list is what an honest line obeys, the CRL is what the
// world obeys.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "token/signed_bytes.h"
#include "token/types.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"

namespace keyferry::token {

/// Of batches and stations together: the payload stays below kMaxSignedPayloadBytes.
inline constexpr std::size_t kMaxRevoked = 50'000;

struct RevocationList {
  ApplianceId appliance_id;
  Environment environment = Environment::Development;
  std::uint64_t number = 1;
  UtcMillis time;
  std::vector<BatchId> batches = {};     // ascending, none twice
  std::vector<StationId> stations = {};  // ascending, none twice

  friend bool operator==(const RevocationList&, const RevocationList&) = default;
};

/// Error{InvalidArgument} for what parse_revocations would refuse.
[[nodiscard]] Bytes serialise(const RevocationList& list);

/// Refusals: "size", "protobuf", "version", or the field that is wrong; "batches", "stations" also when they are not
/// ascending or too many.
[[nodiscard]] std::variant<RevocationList, Refusal> parse_revocations(ByteView octets);

}  // namespace keyferry::token
