#include "wrap/crypto/random_health.h"

#include <algorithm>
#include <cmath>

#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

constexpr int kOctetBits = 8;

}  // namespace

std::uint32_t repetition_cutoff(int bits) {
  return static_cast<std::uint32_t>(1 + (kHealthAlphaBits + bits - 1) / bits);
}

std::uint32_t proportion_cutoff(std::size_t window, int bits) {
  // CRITBINOM is the smallest k with P(X > k) <= alpha; summed from the small end, where no digits are lost.
  const long double p = std::ldexp(1.0L, -bits);
  const long double alpha = std::ldexp(1.0L, -kHealthAlphaBits);
  const auto n = static_cast<long double>(window);
  long double tail = 0;
  std::size_t k = window;
  while (k > 0) {
    const auto x = static_cast<long double>(k);
    const long double term = std::exp(std::lgamma(n + 1) - std::lgamma(x + 1) - std::lgamma(n - x + 1) +
                                      x * std::log(p) + (n - x) * std::log1p(-p));
    if (tail + term > alpha) break;
    tail += term;
    --k;
  }
  return static_cast<std::uint32_t>(k + 1);
}

RandomHealth test_random(ByteView octets) {
  if (octets.size() < kHealthWindow) throw Error{Code::InvalidArgument, "the health tests need at least 512 octets"};
  RandomHealth health;
  health.octets = octets.size();
  health.run_cutoff = repetition_cutoff(kOctetBits);
  health.window_cutoff = proportion_cutoff(kHealthWindow, kOctetBits);
  std::uint32_t run = 0;
  for (std::size_t i = 0; i < octets.size(); ++i) {
    run = i > 0 && octets[i] == octets[i - 1] ? run + 1 : 1;
    health.longest_run = std::max(health.longest_run, run);
  }
  for (std::size_t at = 0; at + kHealthWindow <= octets.size(); at += kHealthWindow) {
    const ByteView window = octets.subspan(at, kHealthWindow);
    const auto count = static_cast<std::uint32_t>(std::ranges::count(window, window.front()));
    health.most_in_window = std::max(health.most_in_window, count);
  }
  return health;
}

}  // namespace keyferry::crypto
