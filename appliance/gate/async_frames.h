// Frames of wrap/base/frame.h on an Asio socket: one reader at a time, writes queued in order.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <memory>
#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/frame.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

namespace asio = boost::asio;
using LocalSocket = asio::local::stream_protocol::socket;

class FrameStream {
 public:
  explicit FrameStream(LocalSocket socket);
  ~FrameStream();
  FrameStream(const FrameStream&) = delete;
  FrameStream& operator=(const FrameStream&) = delete;

  /// Nothing at an orderly end between frames; Error{Channel} otherwise, also above `max_bytes`.
  asio::awaitable<std::optional<Bytes>> read(std::uint32_t max_bytes = kMaxFrameBytes);

  /// Queues; a lost peer shows in read() and drained().
  void write(ByteView payload);

  /// The same for a secret: it lies in no other buffer than its own (wrap/base/secret_frame.h).
  void write_secret(SecretBytes secret);

  /// Waits until fewer than `high_water_bytes` are queued: keeps a slow reader from filling our memory.
  asio::awaitable<void> drained(std::size_t high_water_bytes);

  void close();

 private:
  struct Queued {
    Bytes head;          // the length, and what is no secret
    SecretBytes secret;  // mostly empty
    [[nodiscard]] std::size_t size() const { return head.size() + secret.size(); }
  };

  void queue(Queued frame);
  asio::awaitable<void> write_queue();

  LocalSocket socket_;
  asio::steady_timer changed_;
  std::deque<Queued> queue_;
  std::size_t queued_bytes_ = 0;
  bool writing_ = false;
  bool broken_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace keyferry::appliance
