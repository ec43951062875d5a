// `plan new`: chooses SEs without a live key and writes a batch plan for officers to look at.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "appliance/plan/plan.h"

namespace keyferry::appliance {

class Context;

struct PlanNewOptions {
  std::string station;  // id in hex, or name
  std::string authority;
  std::uint32_t count = 0;
  std::optional<std::string> lot, source;
  std::string family = "pkcs11";
  std::string key_name = "dac";
  std::optional<std::uint32_t> target_count;  // default: count
  std::optional<std::string> site;            // default: the station's
  std::string customer;
  std::optional<std::uint32_t>
      segment_size;  // default: 256 to 8192, so that there are 6 to 12 for each usual worker or 8192 is reached
  std::string subject = "CN={device_serial}";
  std::optional<std::filesystem::path> template_file;  // instead of subject
  std::string certificate_text;                        // instead of both: of a plan that is made again
  std::optional<std::filesystem::path> certification_declaration;  // Matter: CMS, of the product
  std::optional<std::filesystem::path> declaration_signer;         // certificate of who signed it
  std::optional<std::string> not_before;  // default: yesterday, not before the CA
  std::optional<std::string> not_after;   // default: as long as the CA
  std::optional<std::string> due;         // default: 90 days
  std::optional<std::string> expires;     // default: 30 days
  std::optional<std::uint64_t> number;    // default: the next one
  std::optional<StationId> revoked_at;    // only SEs whose records were revoked with this station
  std::optional<std::filesystem::path> atecc608_profile;  // a file with the table [atecc608]
  std::optional<std::filesystem::path> firmware;  // the image that each device must run
  std::string chain_time = "now";                 // or "issuing"
  std::optional<std::uint32_t> clock_skew_s;      // of the station's clock; default: 0
  std::optional<std::filesystem::path> secure_boot_key;  // P-256 public key, PEM; only with firmware
  std::filesystem::path out;
};

/// Exit status. Writes `out` (never over another plan) and keeps plan and list in the ledger.
int plan_new(Context& context, const PlanNewOptions& options);

/// The same without printing it.
[[nodiscard]] Plan write_plan(Context& context, const PlanNewOptions& options);

}  // namespace keyferry::appliance
