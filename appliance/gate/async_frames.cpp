#include "appliance/gate/async_frames.h"

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "appliance/gate/request_check.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

constexpr auto kNever = asio::steady_timer::time_point::max();

}  // namespace

FrameStream::FrameStream(LocalSocket socket) : socket_{std::move(socket)}, changed_{socket_.get_executor(), kNever} {}

FrameStream::~FrameStream() { *alive_ = false; }

asio::awaitable<std::optional<Bytes>> FrameStream::read(std::uint32_t max_bytes) {
  boost::system::error_code failed;
  Bytes length_octets(4);
  const std::size_t got = co_await asio::async_read(socket_, asio::buffer(length_octets),
                                                    asio::redirect_error(asio::use_awaitable, failed));
  if (failed && got == 0) co_return std::nullopt;
  if (failed) throw Error{Code::Channel, "the other process ended in the middle of a message"};
  const auto length = frame_length(length_octets, max_bytes);
  if (!length) throw Error{Code::Channel, "the other process announced a message above " + std::to_string(max_bytes) + " bytes"};
  Bytes payload(*length);
  co_await asio::async_read(socket_, asio::buffer(payload), asio::redirect_error(asio::use_awaitable, failed));
  if (failed) throw Error{Code::Channel, "the other process ended in the middle of a message"};
  co_return payload;
}

void FrameStream::write(ByteView payload) {
  if (payload.size() > kMaxFrameBytes) throw Error{Code::InvalidArgument, "message above 16 MiB"};
  if (broken_) return;
  Bytes framed;
  framed.reserve(4 + payload.size());
  append_u32be(framed, static_cast<std::uint32_t>(payload.size()));
  append(framed, payload);
  queue({std::move(framed), SecretBytes{}});
}

void FrameStream::write_secret(SecretBytes secret) {
  if (broken_) return;
  Bytes length;
  append_u32be(length, static_cast<std::uint32_t>(secret.size()));
  queue({std::move(length), std::move(secret)});
}

void FrameStream::queue(Queued frame) {
  queued_bytes_ += frame.size();
  queue_.push_back(std::move(frame));
  if (writing_) return;
  writing_ = true;
  asio::co_spawn(socket_.get_executor(), write_queue(), [](std::exception_ptr failed) {
    if (failed) std::rethrow_exception(failed);  // write_queue handles what a peer can cause: this is a bug
  });
}

asio::awaitable<void> FrameStream::write_queue() {
  const std::shared_ptr<bool> alive = alive_;
  while (*alive && !queue_.empty()) {
    const Queued frame = std::move(queue_.front());
    queue_.pop_front();
    const ByteView secret = frame.secret.expose();
    const std::array buffers{asio::buffer(frame.head), asio::buffer(secret.data(), secret.size())};
    boost::system::error_code failed;
    co_await asio::async_write(socket_, buffers, asio::redirect_error(asio::use_awaitable, failed));
    if (!*alive) co_return;
    queued_bytes_ -= frame.size();
    if (failed) {
      broken_ = true;
      queue_.clear();
      queued_bytes_ = 0;
    }
    changed_.cancel();
  }
  if (*alive) writing_ = false;
}

asio::awaitable<void> FrameStream::drained(std::size_t high_water_bytes) {
  while (!broken_ && queued_bytes_ >= high_water_bytes) {
    boost::system::error_code ignored;
    co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

void FrameStream::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace keyferry::appliance
