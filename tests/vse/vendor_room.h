// A silicon vendor that gives each chip a random transport key and delivers it wrapped: what it
// wraps later (a test does, with OpenSSL) it finds in the keys file.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "tests/vse/secure_room.h"
#include "wrap/base/random.h"

namespace keyferry::vse {

class VendorRoom final : public KeyRoom {
 public:
  /// Reads what an earlier run wrote. Lines: serial in hex, blank, the transport key's 64 hex
  /// digits.
  VendorRoom(std::string vendor, std::filesystem::path keys_file, RandomSource& random);

  [[nodiscard]] const std::string& master() const override { return vendor_; }

  /// The same serial gets the same key.
  [[nodiscard]] SecretBytes transport_key(const std::string& part,
                                          const std::string& key_name,
                                          const Bytes& serial) override;

  /// Writes the keys file (mode 0600).
  void commit() const;

 private:
  std::string vendor_;
  std::filesystem::path keys_file_;
  RandomSource& random_;
  std::map<std::string, SecretBytes> keys_;  // by serial in hex
};

}  // namespace keyferry::vse
