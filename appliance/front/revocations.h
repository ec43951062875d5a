// Revoking a CA of ours, and taking in what an outside CA revoked.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/front/ends.h"

namespace keyferry::appliance {

struct CaRevokeOptions {
  std::string name;
  std::string crl_reason;  // name of RFC 5280 section 5.3.1
  EndOptions end;
};

struct CrlImportOptions {
  std::string authority;
  std::filesystem::path file;                 // DER or PEM
  std::optional<std::filesystem::path> list;  // CSV of what stays due
};

/// The CA's own certificate, by the CA above it; `crl issue --ca ISSUER` then lists it.
int ca_revoke(Context& context, const CaRevokeOptions& options);

/// The outside CA's own CRL: what is due there and stands on it is noted as revoked, the rest stays due and is named.
int crl_import(Context& context, const CrlImportOptions& options);

/// `plan run` of a crl-import plan: with the CRL that was kept beside it.
int run_crl_import(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

/// What the ledger has against a crl-import plan; nothing for other plans.
[[nodiscard]] std::optional<Refusal> crl_import_refusal(Context& context, const Plan& plan, ByteView crl);

}  // namespace keyferry::appliance
