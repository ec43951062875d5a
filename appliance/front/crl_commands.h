// CRLs of the CAs in the HSM: complete ones, numbered, signed by the CA's own key.
#pragma once

#include <optional>
#include <string>

namespace keyferry::appliance {

class Context;

struct CrlOptions {
  std::string authority;
  std::optional<std::string> next_update;  // date or RFC 3339; nothing: 30 days
  bool final_one = false;                  // the last of a retired CA: good until its certificate ends
};

/// Result HOME/crl/NAME.crl (DER) and .crl.pem.
int crl_issue(Context& context, const CrlOptions& options);
/// How many certificates wait for the next CRL of each CA, and why.
int crl_due(Context& context);
/// The newest one, and its two files again.
int crl_show(Context& context, const std::string& authority);

}  // namespace keyferry::appliance
