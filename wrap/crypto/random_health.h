// The two health tests of NIST SP 800-90B section 4.4 over octets of a random source: they find sources that are stuck,
// or that repeat one value far too often. They prove nothing more: a bad generator may pass both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "wrap/base/bytes.h"

namespace keyferry::crypto {

/// False alarm of one application of a test: 2^-40, the smallest that section 4.3 suggests; so a good source of full
/// entropy fails a megabyte about once in a million times.
inline constexpr int kHealthAlphaBits = 40;
inline constexpr std::size_t kHealthWindow = 512;  // section 4.4.2: samples that are not binary

struct RandomHealth {
  std::uint64_t octets = 0;
  std::uint32_t longest_run = 0;     // of one value
  std::uint32_t run_cutoff = 0;      // section 4.4.1: a run this long fails
  std::uint32_t most_in_window = 0;  // how often a window's first value is in the window
  std::uint32_t window_cutoff = 0;   // section 4.4.2: so often fails

  [[nodiscard]] bool passed() const { return longest_run < run_cutoff && most_in_window < window_cutoff; }
};

/// C = 1 + ceil(alpha bits / bits), for samples of at least `bits` (1 to 8) bits of entropy.
[[nodiscard]] std::uint32_t repetition_cutoff(int bits);

/// C = 1 + CRITBINOM(window, 2^-bits, 1 - alpha).
[[nodiscard]] std::uint32_t proportion_cutoff(std::size_t window, int bits);

/// An octet is a sample of 8 bits. What is behind the last whole window is in the repetition test alone.
/// Error{InvalidArgument} for less than one window.
[[nodiscard]] RandomHealth test_random(ByteView octets);

}  // namespace keyferry::crypto
