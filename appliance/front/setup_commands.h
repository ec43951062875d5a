// `source add`, `transport-master create`, `ca create`: an operation each, done once; the same
// again says so.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::appliance {

class Context;

struct SourceOptions {
  std::string name;
  std::string kind = "officer-approved";  // or "microchip-manifest", "preparation"
  std::optional<std::filesystem::path> certificate;  // of the signer, PEM or DER; microchip-manifest
  std::optional<std::string> public_key;             // 130 hex digits; preparation
};

int source_add(Context& context, const SourceOptions& options);

struct MasterOptions {
  std::string name;
  std::string kdf = "kf-kdf-1";
  std::string family = "pkcs11";  // derives for this one alone
};

int transport_master_create(Context& context, const MasterOptions& options);

/// Of --family; Error{Usage}, or the refusal of a family without records.
[[nodiscard]] se::Family read_master_family(const std::string& text);

struct CaOptions {
  std::string name;
  std::string subject;                    // "CN=...,O=..."
  std::optional<std::string> not_before;  // default: yesterday
  std::optional<std::string> not_after;   // default: twenty years later
};

/// Writes HOME/ca/NAME.pem, also when the CA was there before.
int ca_create(Context& context, const CaOptions& options);

/// `plan run` of ca-create: as the end of ca_create.
int run_ca_create(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

}  // namespace keyferry::appliance
