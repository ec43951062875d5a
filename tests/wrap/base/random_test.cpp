#include "wrap/base/random.h"

#include <gtest/gtest.h>

#include "wrap/base/ids.h"

namespace keyferry {
namespace {

TEST(SystemRandomness, GivesDifferentIds) {
  SystemRandom random;
  EXPECT_NE(random.id<ContainerId>(), random.id<ContainerId>());
}

TEST(SystemRandomness, FillsMoreThanOneCallOfTheKernelGives) {
  SystemRandom random;
  EXPECT_TRUE(random.bytes(0).empty());
  const Bytes much = random.bytes(1 << 20);
  EXPECT_FALSE(equal(ByteView{much}.last(32), Bytes(32)));
}

}  // namespace
}  // namespace keyferry
