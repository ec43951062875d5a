// Octets that must not be seen: owns memory that is wiped on release and locked while Botan's pool lasts.
#pragma once

#include <botan/secmem.h>

#include <cstddef>
#include <utility>

#include "wrap/base/bytes.h"

namespace keyferry {

/// Move-only, no comparison, no printing. `expose()` is the one door: grep for it to audit.
class SecretBytes {
 public:
  SecretBytes() = default;
  explicit SecretBytes(std::size_t size_bytes) : octets_(size_bytes) {}
  explicit SecretBytes(Botan::secure_vector<std::uint8_t> octets) : octets_{std::move(octets)} {}

  SecretBytes(SecretBytes&& other) noexcept : octets_{std::move(other.octets_)} { other.octets_.clear(); }

  SecretBytes& operator=(SecretBytes&& other) noexcept {
    octets_ = std::move(other.octets_);
    other.octets_.clear();
    return *this;
  }

  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;
  ~SecretBytes() = default;

  /// A copy of octets that the caller holds and wipes itself.
  [[nodiscard]] static SecretBytes copy_of(ByteView octets) {
    return SecretBytes{Botan::secure_vector<std::uint8_t>(octets.begin(), octets.end())};
  }

  [[nodiscard]] ByteView expose() const { return {octets_.data(), octets_.size()}; }

  [[nodiscard]] std::span<std::uint8_t> expose_writable() { return {octets_.data(), octets_.size()}; }

  [[nodiscard]] std::size_t size() const { return octets_.size(); }

  [[nodiscard]] bool empty() const { return octets_.empty(); }

  void resize(std::size_t size_bytes) { octets_.resize(size_bytes); }

 private:
  Botan::secure_vector<std::uint8_t> octets_;
};

}  // namespace keyferry
