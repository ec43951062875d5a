// CRLs of the CAs in the HSM: complete ones, numbered, signed by the CA's own key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace keyferry::appliance {

class Context;

struct CrlOptions {
  std::string authority;
  std::optional<std::string> next_update;  // date or RFC 3339; nothing: 30 days
  bool final_one = false;                  // the last of a retired CA: good until its certificate ends
};

struct CrlDueOptions {
  std::optional<std::string> authority;       // nothing: all
  std::optional<std::filesystem::path> list;  // CSV with a line for each certificate that is due, of that authority
};

/// Result HOME/crl/NAME.crl (DER) and .crl.pem.
int crl_issue(Context& context, const CrlOptions& options);
/// How many certificates wait for the next CRL of each CA, or for an outside CA to revoke them, and why.
int crl_due(Context& context, const CrlDueOptions& options);
/// CSV of what is due of this CA, serials as they stand in the certificates. Returns how many there are.
std::uint64_t write_due(Context& context, const std::string& authority, const std::filesystem::path& file);
/// The newest one, and its two files again.
int crl_show(Context& context, const std::string& authority);

}  // namespace keyferry::appliance
