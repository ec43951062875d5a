// A chip behind a TCP or Unix stream (section 1.6 of the facts). Nothing but responses comes back:
// waking is silent, and a response cannot be read twice.
#pragma once

#include "station-agent/atecc608/wire.h"
#include "wrap/base/durable_file.h"

namespace keyferry::atecc608 {

class StreamWire final : public Wire {
 public:
  explicit StreamWire(const UnixAddress& address);
  explicit StreamWire(const TcpAddress& address);
  /// A connected stream; `name` for messages.
  StreamWire(Fd stream, std::string name);

  [[nodiscard]] bool wake() override;
  void idle() override;
  void sleep() override;
  [[nodiscard]] bool send(ByteView packet) override;
  [[nodiscard]] std::optional<Bytes> receive(Millis limit) override;

  [[nodiscard]] std::optional<Bytes> receive_again() override { return std::nullopt; }

 private:
  void write(ByteView octets);
  void drain();
  /// Waits until there is something to read; false when the time is over.
  [[nodiscard]] bool readable(Millis limit) const;
  /// Appends up to `most` octets that are there.
  void read_some(Bytes& out, std::size_t most);
  [[noreturn]] void gone(const std::string& what) const;

  Fd stream_;
  std::string name_;
};

}  // namespace keyferry::atecc608
