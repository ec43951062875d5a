// `source add`, `transport-master create`, `ca create`: an operation each, done once; the same
// again says so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::appliance {

class Context;

int source_add(Context& context, const std::string& name, const std::string& kind);

int transport_master_create(Context& context, const std::string& name, const std::string& kdf);

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
