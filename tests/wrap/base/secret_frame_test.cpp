#include "wrap/base/secret_frame.h"

#include <gtest/gtest.h>

#include "tests/support/sanitizers.h"
#include "wrap/base/locked_memory.h"
#include "wrap/base/process.h"

namespace keyferry {
namespace {

SecretBytes secret_of(std::string_view text) { return SecretBytes::copy_of(as_bytes(text)); }

TEST(SecretFrame, ComesAsItWasSent) {
  const auto [ours, theirs] = socket_pair();
  write_secret_frame(ours, secret_of("2468135790"));
  write_secret_frame(ours, SecretBytes{});
  EXPECT_EQ(to_string(read_secret_frame(theirs.get())->expose()), "2468135790");
  EXPECT_TRUE(read_secret_frame(theirs.get())->empty());
}

TEST(SecretFrame, OfAShortPinLiesInLockedMemory) {
  if (!test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  const auto [ours, theirs] = socket_pair();
  write_secret_frame(ours, secret_of("2468"));
  const auto pin = read_secret_frame(theirs.get());
  EXPECT_TRUE(memory_is_locked(pin->expose()));
}

TEST(SecretFrame, IsNothingAtTheEnd) {
  auto [ours, theirs] = socket_pair();
  ours.reset();
  EXPECT_FALSE(read_secret_frame(theirs.get()));
}

TEST(SecretFrame, IsRefusedWhenLongOrCut) {
  for (const Bytes& bad : {Bytes{0, 0, 1, 0}, Bytes{0xff, 0xff, 0xff, 0xff}, Bytes{0, 0}, Bytes{0, 0, 0, 4, 'a', 'b'}}) {
    auto [ours, theirs] = socket_pair();
    write_all(ours, bad, "socket");
    ours.reset();
    EXPECT_THROW(static_cast<void>(read_secret_frame(theirs.get())), Error);
  }
  const auto [ours, theirs] = socket_pair();
  EXPECT_THROW(write_secret_frame(ours, SecretBytes{256}), Error);
  write_secret_frame(ours, SecretBytes{256}, 512);
  EXPECT_EQ(read_secret_frame(theirs.get(), 512)->size(), 256U);
}

}  // namespace
}  // namespace keyferry
