// Chips behind stream sockets (facts: se/atecc608.md, section 1.6): one connection is one powered
// bus.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/vse/atecc608/bus.h"
#include "wrap/base/durable_file.h"

namespace keyferry::vse::atecc608 {

/// Listens on 127.0.0.1; port 0 takes a free one.
struct TcpListener {
  Fd fd;
  std::uint16_t port = 0;
};

[[nodiscard]] TcpListener listen_tcp(std::uint16_t port);

/// A socket of that name is replaced, another file is not. Error{Usage}: the path is too long for a
/// socket.
[[nodiscard]] Fd listen_unix(const std::filesystem::path& path);

/// Serves one connection until the host hangs up, sends what is no word address, or power is cut;
/// then the chip is without power.
void serve_connection(int connection, Bus& bus);

/// Connection after connection, for ever. Error{Channel} when the listener fails.
void serve(const Fd& listener, Bus& bus);

}  // namespace keyferry::vse::atecc608
