#include "wrap/base/frame.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "wrap/base/error.h"

namespace keyferry {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

void wait_readable(int fd, std::optional<SteadyTime> end) {
  for (;;) {
    int wait_ms = -1;
    if (end) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(*end - std::chrono::steady_clock::now());
      wait_ms = static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 1'000'000'000));
    }
    pollfd waiting{fd, POLLIN, 0};
    const int ready = poll(&waiting, 1, wait_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) throw system_error(Code::Channel, "poll", errno);
    if (ready == 0) throw Error{Code::Channel, "the other process did not answer in time"};
    return;
  }
}

/// False at the end before the first octet.
bool read_fully(int fd, std::span<std::uint8_t> out, std::optional<SteadyTime> end) {
  std::size_t done = 0;
  while (done < out.size()) {
    wait_readable(fd, end);
    const ssize_t got = read(fd, out.data() + done, out.size() - done);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0) throw system_error(Code::Channel, "read from the other process", errno);
    if (got == 0) {
      if (done == 0) return false;
      throw Error{Code::Channel, "the other process ended in the middle of a message"};
    }
    done += static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

void write_frame(int fd, ByteView payload) {
  if (payload.size() > kMaxFrameBytes) throw Error{Code::InvalidArgument, "message above 16 MiB"};
  Bytes framed;
  framed.reserve(4 + payload.size());
  append_u32be(framed, static_cast<std::uint32_t>(payload.size()));
  append(framed, payload);
  ByteView rest = framed;
  while (!rest.empty()) {
    const ssize_t done = send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && errno == EAGAIN) {
      pollfd waiting{fd, POLLOUT, 0};
      poll(&waiting, 1, -1);
      continue;
    }
    if (done <= 0) throw system_error(Code::Channel, "write to the other process", errno);
    rest = rest.subspan(static_cast<std::size_t>(done));
  }
}

std::optional<Bytes> read_frame(int fd, std::chrono::milliseconds timeout) {
  std::optional<SteadyTime> end;
  if (timeout != kNoDeadline) end = std::chrono::steady_clock::now() + timeout;
  std::array<std::uint8_t, 4> length_octets{};
  if (!read_fully(fd, length_octets, end)) return std::nullopt;
  const std::uint32_t length = read_u32be(length_octets);
  if (length > kMaxFrameBytes) {
    throw Error{Code::Channel, "the other process announced a message of " + std::to_string(length) + " bytes"};
  }
  Bytes payload(length);
  if (length != 0 && !read_fully(fd, payload, end)) {
    throw Error{Code::Channel, "the other process ended in the middle of a message"};
  }
  return payload;
}

bool frame_waiting(int fd) {
  pollfd waiting{fd, POLLIN, 0};
  return poll(&waiting, 1, 0) > 0;
}

}  // namespace keyferry
