#include "tests/vse/vendor_room.h"

#include <sstream>

#include "wrap/base/durable_file.h"

namespace keyferry::vse {
namespace {

constexpr std::size_t kTransportKeyBytes = 32;
constexpr std::uint64_t kMaxKeysFileBytes = 64 * 1024 * 1024;

}  // namespace

VendorRoom::VendorRoom(std::string vendor, std::filesystem::path keys_file, RandomSource& random)
    : vendor_{std::move(vendor)}, keys_file_{std::move(keys_file)}, random_{random} {
  if (!std::filesystem::exists(keys_file_)) return;
  std::istringstream lines{to_string(read_file(keys_file_, kMaxKeysFileBytes))};
  std::string serial;
  std::string key;
  while (lines >> serial >> key) {
    const auto octets = from_hex(key);
    if (!octets || octets->size() != kTransportKeyBytes) {
      throw Error{Code::Usage, keys_file_.string() + ": a line is not SERIAL KEY in hex"};
    }
    keys_.emplace(serial, SecretBytes::copy_of(*octets));
  }
}

SecretBytes VendorRoom::transport_key(const std::string&, const std::string&, const Bytes& serial) {
  const auto [at, made] = keys_.try_emplace(to_hex(serial), SecretBytes{kTransportKeyBytes});
  if (made) random_.fill(at->second.expose_writable());
  return SecretBytes::copy_of(at->second.expose());
}

void VendorRoom::commit() const {
  std::string text;
  for (const auto& [serial, key] : keys_) text += serial + " " + to_hex(key.expose()) + "\n";
  write_file_durably(keys_file_, as_bytes(text), Overwrite::Replace);
}

}  // namespace keyferry::vse
