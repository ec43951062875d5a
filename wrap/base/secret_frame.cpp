#include "wrap/base/secret_frame.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "wrap/base/error.h"

namespace keyferry {
namespace {

/// Botan's locked pool hands out 16 octets and more (BOTAN_MLOCK_ALLOCATOR_MIN_ALLOCATION): a short PIN that is given just
/// its own room lies in ordinary memory. What is shrunk stays where it is.
constexpr std::size_t kPooledBytes = 64;

void send_all(int fd, ByteView octets) {
  while (!octets.empty()) {
    const ssize_t done = send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw system_error(Code::Channel, "write to the other process", errno);
    octets = octets.subspan(static_cast<std::size_t>(done));
  }
}

/// How many octets came before the end.
std::size_t read_up_to(int fd, std::span<std::uint8_t> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = read(fd, out.data() + done, out.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(Code::Channel, "read from the other process", errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

}  // namespace

void write_secret_frame(const Fd& fd, const SecretBytes& secret, std::uint32_t max_bytes) {
  if (secret.size() > max_bytes) throw Error{Code::InvalidArgument, "a secret that is too long for its frame"};
  Bytes length;
  append_u32be(length, static_cast<std::uint32_t>(secret.size()));
  send_all(fd.get(), length);
  send_all(fd.get(), secret.expose());
}

std::optional<SecretBytes> read_secret_frame(int fd, std::uint32_t max_bytes) {
  std::array<std::uint8_t, 4> length_octets{};
  const std::size_t got = read_up_to(fd, length_octets);
  if (got == 0) return std::nullopt;
  const std::uint32_t length = read_u32be(length_octets);
  if (got != length_octets.size() || length > max_bytes) {
    throw Error{Code::Channel, "the other process sent what is no secret"};
  }
  SecretBytes secret{std::max<std::size_t>(length, kPooledBytes)};
  secret.resize(length);
  if (read_up_to(fd, secret.expose_writable()) != length) {
    throw Error{Code::Channel, "the other process ended in the middle of a message"};
  }
  return secret;
}

}  // namespace keyferry
