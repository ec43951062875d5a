// `transport-master import`, `vendor-key import`, `vendor-key create`: keys that someone outside
// holds too, or gives us transport keys under. The octets of an imported key are read by the gate
// (CommonOptions::imports_key), never here.
#pragma once

#include <cstdint>
#include <string>

namespace keyferry::appliance {

class Context;

struct KeyImportOptions {
  std::string name;
  std::string kdf = "kf-kdf-1";  // of a transport master
  std::string check_value;       // 32 hex digits, as the vendor told it
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

}  // namespace keyferry::appliance
