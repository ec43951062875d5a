#include "tests/support/memory_watch.h"

#include <gtest/gtest.h>

namespace keyferry::test_support {
namespace {

constexpr std::uint64_t kMiB = 1024 * 1024;

TEST(MemoryWatch, SeesTheGrandchildThatTakesTheMemory) {
  ChildSpec spec;
  spec.program = "/bin/sh";
  spec.arguments = {
      "-c",
      "dd if=/dev/zero of=/dev/null bs=48M count=40 2>/dev/null; exit 7"};  // one buffer of 48 MiB
  const MemoryWatch watch = watch_memory(spec, std::chrono::milliseconds{5});
  EXPECT_EQ(watch.status, 7);
  ASSERT_TRUE(watch.peak_bytes.contains("dd")) << watch.text();
  EXPECT_GE(watch.peak_bytes.at("dd"), 48 * kMiB) << watch.text();
  ASSERT_TRUE(watch.peak_bytes.contains("sh")) << watch.text();
  EXPECT_LT(watch.peak_bytes.at("sh"), 16 * kMiB) << watch.text();
}

}  // namespace
}  // namespace keyferry::test_support
