// keyferry-appliance ca ...: CAs of the HSM, what certifies them, and outside CAs. Given again after a cut each of them
// ends where it would have ended, and writes its files anew.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"

namespace keyferry::appliance {

class Context;

struct CaOptions {
  std::string name;
  std::string subject;                    // "CN=...,O=..."
  std::optional<std::string> not_before;  // default: yesterday, or as the issuer's
  std::optional<std::string> not_after;   // default: twenty years later, at most as the issuer's
  std::string kind = "root";              // "intermediate", "matter-paa", "matter-pai"
  std::string issuer;                     // NAME of a kf-ca; empty: self-signed
  std::optional<std::uint8_t> path_length;
  std::string vendor_id, product_id;  // Matter's: 4 hex digits, or empty
};

struct CaRequestOptions {
  std::string name;
  std::string subject;  // not needed when the request was made before
  std::string kind = "intermediate";
  std::string vendor_id, product_id;
  std::optional<std::filesystem::path> to;  // a folder: PEM and DER are written there too
};

struct CaChainOptions {
  std::string name;
  std::filesystem::path chain;        // PEM: the CA's certificate, then each one's issuer
  std::string kind = "intermediate";  // ca import only
};

/// Writes HOME/ca/NAME.pem, and NAME-chain.pem with what stands above it; also when the CA was there before.
int ca_create(Context& context, const CaOptions& options);

/// Writes HOME/ca/NAME.csr.pem and .csr.der, also when the request was made before.
int ca_request(Context& context, const CaRequestOptions& options);

int ca_install(Context& context, const CaChainOptions& options);

int ca_import(Context& context, const CaChainOptions& options);

/// Every CA, those that are pending, outside, retired or destroyed included.
int ca_list(Context& context);

/// `plan run` of those plans: as the end of the commands above.
int run_ca_create(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);
int run_ca_request(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);
int run_ca_chain(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

}  // namespace keyferry::appliance
