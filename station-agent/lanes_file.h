// A lanes file (TOML): which SE sits in which fixture, and how to reach it.
//
//   [[lane]]
//   number = 1                       # 1 to 4,294,967,295, each once
//   family = "pkcs11"
//   person = 7                       # number of who works there; names stay out of files and logs
//   [[lane.se]]
//   uri =
//   "pkcs11:serial=0011?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/srv/se/0011/pin"
//   softhsm2_conf = "/srv/se/0011/softhsm2.conf"    # left out: the module needs none
//   device_serial = "DEV-0001"       # bound here when the record has none
//
//   [[lane]]
//   number = 2
//   family = "atecc608"
//   person = 7
//   firmware = "/srv/firmware.bin"             # both where a batch asks for a firmware check
//   firmware_signature = "/srv/firmware.sig"   # r, s as 64 octets, or DER, over its SHA-256
//   [[lane.se]]
//   chip = "i2c:/dev/i2c-1:0x60"               # or "unix:/path", "tcp:127.0.0.1:4711"
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "station-agent/atecc608/wire.h"
#include "token/types.h"
#include "wrap/base/ids.h"
#include "wrap/p11/uri.h"

namespace keyferry::station {

inline constexpr std::uint64_t kMaxLanesFileBytes = 64ULL * 1024 * 1024;

struct SePlace {
  p11::Uri uri;                                        // of family pkcs11
  std::optional<std::filesystem::path> softhsm2_conf;  // of family pkcs11
  std::string device_serial;                           // empty, or is_device_serial
  std::optional<atecc608::ChipAddress> chip = {};      // of family atecc608
};

struct FirmwareFiles {
  std::filesystem::path image;
  std::filesystem::path signature;
};

struct LanePlan {
  LaneNo number;
  token::Family family = token::Family::Pkcs11;
  std::uint32_t person_number = 0;
  std::vector<SePlace> places;
  std::optional<FirmwareFiles> firmware = {};
};

/// Whole file or Error{Usage} that names lane and entry: unknown words, doubled lane numbers, a
/// doubled URI with the same configuration, one chip address twice, a family that this version
/// cannot drive, a URI without module-path or pin-source, firmware without its signature. Relative paths are taken from the file's folder.
[[nodiscard]] std::vector<LanePlan> read_lanes_file(const std::filesystem::path& path);

}  // namespace keyferry::station
