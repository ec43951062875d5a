#include "tests/vse/atecc608/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

namespace keyferry::vse::atecc608 {
namespace {

constexpr int kBacklog = 8;

Fd make_socket(int family) {
  Fd fd{socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  if (!fd.valid()) throw system_error(Code::Channel, "socket", errno);
  return fd;
}

template <typename Address>
void bind_and_listen(const Fd& fd, const Address& address, const std::string& what) {
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw system_error(Code::Channel, "bind " + what, errno);
  if (listen(fd.get(), kBacklog) != 0) throw system_error(Code::Channel, "listen " + what, errno);
}

bool read_all(int fd, std::span<std::uint8_t> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t got = read(fd, out.data() + done, out.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

bool send_all(int fd, ByteView octets) {
  while (!octets.empty()) {
    const ssize_t sent = send(fd, octets.data(), octets.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    octets = octets.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

/// The command packet after word address 0x03; its count octet tells the length.
bool read_packet(int fd, Bytes& packet) {
  packet.assign(1, 0);
  if (!read_all(fd, packet)) return false;
  if (packet[0] > 1) packet.resize(packet[0]);
  return read_all(fd, std::span{packet}.subspan(1));
}

/// False when the connection is over.
bool serve_command(int connection, Bus& bus) {
  Bytes packet;
  if (!read_packet(connection, packet)) return false;
  const auto begun = std::chrono::steady_clock::now();
  const BusAnswer answer = bus.command(packet);
  if (answer.power_cut) return false;
  std::this_thread::sleep_until(begun + answer.busy);
  return send_all(connection, answer.reply);
}

bool serve_word(int connection, Bus& bus) {
  std::array<std::uint8_t, 1> word{};
  if (!read_all(connection, word)) return false;
  switch (static_cast<WordAddress>(word[0])) {
    case WordAddress::Reset:
      return true;
    case WordAddress::Sleep:
      bus.sleep();
      return true;
    case WordAddress::Idle:
      bus.idle();
      return true;
    case WordAddress::Command:
      return serve_command(connection, bus);
  }
  return false;
}

}  // namespace

TcpListener listen_tcp(std::uint16_t port) {
  Fd fd = make_socket(AF_INET);
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  bind_and_listen(fd, address, "127.0.0.1:" + std::to_string(port));
  socklen_t size = sizeof address;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw system_error(Code::Channel, "getsockname", errno);
  return {std::move(fd), ntohs(address.sin_port)};
}

Fd listen_unix(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = path.string();
  if (name.size() >= sizeof address.sun_path) {
    throw Error{Code::Usage,
                name + ": too long for a socket",
                "use a folder with a shorter path (107 characters in all)"};
  }
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);

  struct stat status {};

  if (lstat(name.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) unlink(name.c_str());
  Fd fd = make_socket(AF_UNIX);
  bind_and_listen(fd, address, name);
  return fd;
}

void serve_connection(int connection, Bus& bus) {
  const int on = 1;
  setsockopt(
      connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // not for Unix sockets: no matter
  while (serve_word(connection, bus)) {
  }
  bus.power_off();
}

void serve(const Fd& listener, Bus& bus) {
  for (;;) {
    const Fd connection{accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (!connection.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      throw system_error(Code::Channel, "accept", errno);
    }
    serve_connection(connection.get(), bus);
  }
}

}  // namespace keyferry::vse::atecc608
