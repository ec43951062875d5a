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

/// Error{Usage} unless `name` is one.
void need_name(const std::string& name);

/// Refuses, and has the refusal logged at the gate.
[[noreturn]] void refuse_logged(Context& context, std::string_view what, const Refusal& refusal, const std::string& subject);

}  // namespace keyferry::appliance
