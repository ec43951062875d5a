#include "station-agent/atecc608/stream_wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "station-agent/atecc608/packet.h"

namespace keyferry::atecc608 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Millis kConnectLimit{2000};
/// A packet comes in one piece; what is missing after this long was never sent.
constexpr Millis kRestOfPacket{200};

[[noreturn]] void no_chip(const std::string& name, int error_number) {
  throw station::ChipLost{"no chip at " + name + ": " + std::strerror(error_number)};
}

Fd connected(int family, const sockaddr* address, socklen_t size, const std::string& name) {
  Fd stream{socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!stream.valid()) no_chip(name, errno);
  if (connect(stream.get(), address, size) != 0) {
    if (errno != EINPROGRESS) no_chip(name, errno);
    pollfd wait{stream.get(), POLLOUT, 0};
    if (poll(&wait, 1, static_cast<int>(kConnectLimit.count())) != 1) no_chip(name, ETIMEDOUT);
    int error_number = 0;
    socklen_t length = sizeof error_number;
    getsockopt(stream.get(), SOL_SOCKET, SO_ERROR, &error_number, &length);
    if (error_number != 0) no_chip(name, error_number);
  }
  return stream;
}

Fd connect_unix(const UnixAddress& address) {
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  if (address.path.size() >= sizeof where.sun_path) no_chip(address.path, ENAMETOOLONG);
  std::memcpy(where.sun_path, address.path.c_str(), address.path.size() + 1);
  return connected(AF_UNIX, reinterpret_cast<const sockaddr*>(&where), sizeof where, address.path);
}

Fd connect_tcp(const TcpAddress& address) {
  const std::string name = address.host + ":" + std::to_string(address.port);
  sockaddr_in where{};
  where.sin_family = AF_INET;
  where.sin_port = htons(address.port);
  if (inet_pton(AF_INET, address.host.c_str(), &where.sin_addr) != 1) no_chip(name, EINVAL);
  Fd stream = connected(AF_INET, reinterpret_cast<const sockaddr*>(&where), sizeof where, name);
  const int on = 1;  // a command is one small packet that is waited for
  setsockopt(stream.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return stream;
}

}  // namespace

StreamWire::StreamWire(const UnixAddress& address)
    : StreamWire{connect_unix(address), "unix:" + address.path} {}

StreamWire::StreamWire(const TcpAddress& address)
    : StreamWire{connect_tcp(address), "tcp:" + address.host + ":" + std::to_string(address.port)} {
}

StreamWire::StreamWire(Fd stream, std::string name)
    : stream_{std::move(stream)}, name_{std::move(name)} {
  fcntl(stream_.get(), F_SETFL, fcntl(stream_.get(), F_GETFL) | O_NONBLOCK);
}

void StreamWire::gone(const std::string& what) const {
  throw station::ChipLost{"the chip at " + name_ + " is gone: " + what};
}

bool StreamWire::wake() {
  const std::array<std::uint8_t, 1> word{kWordReset};
  write(word);
  return true;  // silent: the next command shows whether somebody is there
}

void StreamWire::idle() {
  const std::array<std::uint8_t, 1> word{kWordIdle};
  write(word);
}

void StreamWire::sleep() {
  const std::array<std::uint8_t, 1> word{kWordSleep};
  write(word);
}

bool StreamWire::send(ByteView packet) {
  drain();
  Bytes octets(1 + packet.size(), kWordCommand);
  std::ranges::copy(packet, octets.begin() + 1);
  const Wiped wiped{octets};
  write(octets);
  return true;
}

std::optional<Bytes> StreamWire::receive(Millis limit) {
  Bytes packet;
  if (!readable(limit)) return std::nullopt;
  read_some(packet, 1);
  const std::size_t count = packet.empty() ? 0 : packet[0];
  const auto end = Clock::now() + kRestOfPacket;
  while (packet.size() < count && packet.size() < kMaxResponseBytes) {
    const auto left = std::chrono::duration_cast<Millis>(end - Clock::now());
    if (left.count() <= 0 || !readable(left)) break;  // a damaged count: the packet is damaged
    read_some(packet, std::min(count, kMaxResponseBytes) - packet.size());
  }
  return packet;
}

void StreamWire::write(ByteView octets) {
  while (!octets.empty()) {
    const ssize_t sent = ::send(stream_.get(), octets.data(), octets.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      octets = octets.subspan(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) gone(std::strerror(errno));
    pollfd wait{stream_.get(), POLLOUT, 0};
    if (poll(&wait, 1, static_cast<int>(kGiveUp.count())) != 1) gone("it takes no more octets");
  }
}

void StreamWire::drain() {
  constexpr std::size_t kMostUnasked = std::size_t{64} * 1024;
  std::array<std::uint8_t, 256> rest{};
  std::size_t unasked = 0;
  for (;;) {
    const ssize_t got = recv(stream_.get(), rest.data(), rest.size(), 0);
    if (got > 0) {
      unasked += static_cast<std::size_t>(got);
      if (unasked > kMostUnasked) gone("it talks without being asked");
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got == 0) gone("the connection ended");
    if (errno != EAGAIN) gone(std::strerror(errno));
    return;
  }
}

bool StreamWire::readable(Millis limit) const {
  const auto end = Clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<Millis>(end - Clock::now());
    pollfd wait{stream_.get(), POLLIN, 0};
    const int ready = poll(&wait, 1, static_cast<int>(std::max<Millis::rep>(left.count(), 0)));
    if (ready == 1) return true;
    if (ready < 0 && errno != EINTR) gone(std::strerror(errno));
    if (ready == 0) return false;
  }
}

void StreamWire::read_some(Bytes& out, std::size_t most) {
  const std::size_t before = out.size();
  out.resize(before + most);
  const ssize_t got = recv(stream_.get(), out.data() + before, most, 0);
  const int error_number = errno;
  out.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
  if (got == 0) gone("the connection ended");
  if (got < 0 && error_number != EAGAIN && error_number != EINTR) gone(std::strerror(error_number));
}

}  // namespace keyferry::atecc608
