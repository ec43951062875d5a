// Randomness as a port: programs pass SystemRandom, tests what a vector demands.
#pragma once

#include "wrap/base/bytes.h"

namespace keyferry {

class RandomSource {
 public:
  virtual ~RandomSource() = default;

  /// Fills `out`; throws Error{Internal} when the system gives no randomness.
  virtual void fill(std::span<std::uint8_t> out) = 0;

  [[nodiscard]] Bytes bytes(std::size_t size_bytes) {
    Bytes out(size_bytes);
    fill(out);
    return out;
  }

  /// A random id, e.g. `random.id<ContainerId>()`.
  template <typename Id>
  [[nodiscard]] Id id() {
    return *Id::from_bytes(bytes(Id::kSizeBytes));
  }
};

/// getrandom(2).
class SystemRandom final : public RandomSource {
 public:
  void fill(std::span<std::uint8_t> out) override;
};

}  // namespace keyferry
