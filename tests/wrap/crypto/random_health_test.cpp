#include "wrap/crypto/random_health.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"
#include "wrap/base/random.h"

namespace keyferry::crypto {
namespace {

TEST(RandomHealth, HasTheCutoffsOfTheStandard) {
  // 1 + CRITBINOM in exact fractions by Python, alpha 2^-40; with 2^-20 the same program gives 589 for W = 1024, H = 1.
  EXPECT_EQ(proportion_cutoff(512, 8), 19U);
  EXPECT_EQ(proportion_cutoff(512, 4), 78U);
  EXPECT_EQ(proportion_cutoff(512, 2), 201U);
  EXPECT_EQ(proportion_cutoff(512, 1), 336U);
  EXPECT_EQ(proportion_cutoff(1024, 1), 625U);
  EXPECT_EQ(repetition_cutoff(8), 6U);
  EXPECT_EQ(repetition_cutoff(1), 41U);
  EXPECT_EQ(repetition_cutoff(3), 15U);
}

Bytes counting(std::size_t size) {
  Bytes octets(size);
  for (std::size_t i = 0; i < size; ++i) octets[i] = static_cast<std::uint8_t>(i * 7);
  return octets;
}

TEST(RandomHealth, PassesTheSystemsGenerator) {
  SystemRandom random;
  const RandomHealth health = test_random(random.bytes(1U << 20));
  EXPECT_TRUE(health.passed()) << health.longest_run << " " << health.most_in_window;
  EXPECT_EQ(health.octets, 1U << 20);
}

TEST(RandomHealth, FindsARunAtItsCutoffAndNotBefore) {
  Bytes octets = counting(1024);
  for (std::size_t i = 700; i < 705; ++i) octets[i] = 9;
  octets[705] = 8;
  EXPECT_EQ(test_random(octets).longest_run, 5U);
  EXPECT_TRUE(test_random(octets).passed());
  octets[705] = 9;
  EXPECT_FALSE(test_random(octets).passed());
}

TEST(RandomHealth, FindsAValueThatComesTooOftenInAWindow) {
  Bytes octets = counting(1024);
  for (std::size_t i = 0; i < 17; ++i) octets[512 + 3 + 29 * i] = octets[512];
  const std::uint32_t most = test_random(octets).most_in_window;
  EXPECT_GE(most, 18U);
  octets[512 + 2] = octets[512 + 500] = octets[512];
  EXPECT_FALSE(test_random(octets).passed());
}

TEST(RandomHealth, FindsAStuckSource) {
  EXPECT_FALSE(test_random(Bytes(4096, 0xff)).passed());
}

TEST(RandomHealth, WantsOneWindowAtLeast) {
  EXPECT_THROW(static_cast<void>(test_random(Bytes(511))), Error);
}

}  // namespace
}  // namespace keyferry::crypto
