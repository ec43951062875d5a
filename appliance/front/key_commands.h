// `transport-master import`, `vendor-key import`, `vendor-key create`: keys that someone outside
// holds too, or gives us transport keys under. The octets of an imported key are read by the gate
// (CommonOptions::imports_key), never here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::appliance {

class Context;

struct KeyImportOptions {
  std::string name;
  std::string kdf = "kf-kdf-1";  // of a transport master
  std::string check_value;       // 32 hex digits, as the vendor told it
  std::string family = "pkcs11";  // of a transport master
};

int transport_master_import(Context& context, const KeyImportOptions& options);

int vendor_key_import(Context& context, const KeyImportOptions& options);

struct VendorKeyOptions {
  std::string name;
  std::string mechanism = "rsa-oaep-sha256";  // or "rsa-oaep-sha1"
  std::uint32_t bits = 3072;                  // or 4096
};

/// Writes HOME/vendor/NAME.pem for the vendor, also when the key was there before.
int vendor_key_create(Context& context, const VendorKeyOptions& options);

/// `plan run` of vendor-key-create: as the end of vendor_key_create.
int run_vendor_key_create(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

}  // namespace keyferry::appliance
