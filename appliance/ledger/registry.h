// The registry as kf-state names it by its SHA-256: who is known here. Kept in the ledger as the
// gate's octets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

struct KnownOfficer {
  std::uint32_t number = 0;
  Bytes public_key;  // 65
  bool disabled = false;
};

struct KnownSource {
  std::string name;
  std::string kind;  // "officer-approved", "vendor-key", "preparation"
};

struct KnownStation {
  StationId id;
  std::string name;
  std::string site;
  Bytes signing_key;    // 65
  Bytes agreement_key;  // 65
  bool retired = false;
};

struct KnownMaster {
  std::string name;
  std::string kdf;
};

struct KnownAuthority {
  std::string name;
  Bytes certificate;  // DER
};

struct Registry {
  std::uint32_t epoch = 0;
  std::uint32_t policy_epoch = 0;
  std::string appliance_name;
  std::vector<KnownOfficer> officers;
  std::vector<KnownSource> sources;
  std::vector<KnownStation> stations;
  std::vector<KnownMaster> masters;
  std::vector<KnownAuthority> authorities;

  /// Null when there is none of that name (or id).
  [[nodiscard]] const KnownSource* source(std::string_view name) const;
  [[nodiscard]] const KnownStation* station(const StationId& id) const;
  [[nodiscard]] const KnownStation* station_by_name(std::string_view name) const;
  [[nodiscard]] const KnownMaster* master(std::string_view name) const;
  [[nodiscard]] const KnownAuthority* authority(std::string_view name) const;
};

/// From a serialised v1.Registry. The gate vouches for the octets; damage is Error{Storage}.
[[nodiscard]] Registry parse_registry(ByteView octets);

}  // namespace keyferry::appliance
