#include "wrap/base/frame.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace keyferry {
namespace {

using std::chrono::milliseconds;

class Frame : public testing::Test {
 protected:
  void send_raw(const Bytes& octets) { write_all(ours_, octets, "socket"); }

  std::pair<Fd, Fd> ends_ = socket_pair();
  Fd& ours_ = ends_.first;
  Fd& theirs_ = ends_.second;
};

template <typename Action>
std::optional<Code> code_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return std::nullopt;
}

TEST_F(Frame, IsALengthAndThatManyOctets) {
  write_frame(ours_.get(), Bytes{1, 2, 3});
  Bytes raw(7);
  ASSERT_EQ(read(theirs_.get(), raw.data(), raw.size()), 7);
  EXPECT_EQ(to_hex(raw), "00000003010203");
}

TEST_F(Frame, ComesOutAsItWentIn) {
  write_frame(ours_.get(), Bytes{});
  write_frame(ours_.get(), Bytes{9});
  EXPECT_TRUE(frame_waiting(theirs_.get()));
  EXPECT_EQ(read_frame(theirs_.get()), Bytes{});
  EXPECT_EQ(read_frame(theirs_.get()), Bytes{9});
  EXPECT_FALSE(frame_waiting(theirs_.get()));
}

TEST_F(Frame, MayBeLargerThanTheSocketHolds) {
  const Bytes large(kMaxFrameBytes, 7);
  std::thread writer{[&] { write_frame(ours_.get(), large); }};
  const auto got = read_frame(theirs_.get());
  writer.join();
  EXPECT_EQ(got, large);
}

TEST_F(Frame, IsRefusedAboveTheLimitOnBothSides) {
  EXPECT_EQ(code_of([&] { write_frame(ours_.get(), Bytes(kMaxFrameBytes + 1)); }),
            Code::InvalidArgument);
  send_raw({0x01, 0x00, 0x00, 0x01});  // 16 MiB and one: refused before room is made for it
  EXPECT_EQ(code_of([&] { static_cast<void>(read_frame(theirs_.get())); }), Code::Channel);
}

TEST_F(Frame, EndsOrderlyBetweenTwoFrames) {
  write_frame(ours_.get(), Bytes{1});
  ours_.reset();
  EXPECT_EQ(read_frame(theirs_.get()), Bytes{1});
  EXPECT_TRUE(frame_waiting(theirs_.get()));
  EXPECT_FALSE(read_frame(theirs_.get()));
}

TEST_F(Frame, CutInItsLengthIsAnError) {
  send_raw({0, 0});
  ours_.reset();
  EXPECT_EQ(code_of([&] { static_cast<void>(read_frame(theirs_.get())); }), Code::Channel);
}

TEST_F(Frame, CutAfterItsLengthOrInItsContentIsAnError) {
  send_raw({0, 0, 0, 2});
  ours_.reset();
  EXPECT_EQ(code_of([&] { static_cast<void>(read_frame(theirs_.get())); }), Code::Channel);
  auto [ours, theirs] = socket_pair();
  write_all(ours, Bytes{0, 0, 0, 2, 1}, "socket");
  ours.reset();
  EXPECT_EQ(code_of([&] { static_cast<void>(read_frame(theirs.get())); }), Code::Channel);
}

TEST_F(Frame, ThatDoesNotComeInTimeIsAnError) {
  EXPECT_EQ(code_of([&] { static_cast<void>(read_frame(theirs_.get(), milliseconds{0})); }),
            Code::Channel);
  send_raw({0, 0, 0, 2, 1});
  EXPECT_EQ(code_of([&] { static_cast<void>(read_frame(theirs_.get(), milliseconds{1})); }),
            Code::Channel);
}

TEST_F(Frame, ToOneWhoHasGoneIsAnErrorAndNoSignal) {
  theirs_.reset();
  EXPECT_EQ(code_of([&] { write_frame(ours_.get(), Bytes{1}); }), Code::Channel);
}

}  // namespace
}  // namespace keyferry
