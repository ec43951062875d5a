// One connection of a front end: replies out, and the questions that the gate asks back while a request is under way.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "appliance/gate/async_frames.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

class FrontLink {
 public:
  explicit FrontLink(LocalSocket socket);

  /// The next request; `stored` and `leaf_hashes` are handed to who waits for them and never returned.
  /// Nothing at the end. Error{Channel} for octets that are no request.
  asio::awaitable<std::optional<v1::GateRequest>> next_request();

  void reply(std::uint64_t id, v1::GateReply reply);
  void reply_error(std::uint64_t id, const Error& error);

  /// As reply(), and returns when it was handed to the kernel.
  asio::awaitable<void> reply_last(std::uint64_t id, v1::GateReply reply);

  /// As reply(), waiting while the front end reads too slowly.
  asio::awaitable<void> reply_piece(std::uint64_t id, v1::GateReply reply);

  /// Returns when the front end says that it is durable. Error{Channel} after a minute without an answer.
  asio::awaitable<void> store(std::uint64_t id, std::uint64_t first_leaf, const std::vector<Bytes>& leaves,
                              ByteView registry, ByteView made = {});

  asio::awaitable<v1::LeafHashes> ask_leaves(std::uint64_t id, std::uint64_t from, std::uint64_t to, bool whole);

  /// The connection has ended: whoever waits for an answer of the front end is told so now (Error{Channel}), and later.
  void end();

  bool closed = false;                // the connection has ended
  bool opened = false;                // an `open` was answered on this connection
  bool backup_only = false;           // a backup or restore was asked for: nothing else is answered any more
  unsigned refusals_logged = 0;
  v1::RefusedLeaf refusals_left_over;  // count 0: none; goes into the log with the next act

 private:
  struct Waiting;
  asio::awaitable<v1::GateRequest> wait_for_answer(std::uint64_t key);

  FrameStream stream_;
  bool first_ = true;  // no request has come yet: it is not a long one
  std::map<std::uint64_t, std::shared_ptr<Waiting>> waiting_;  // stored: store id; leaves: request id with the top bit
  std::uint64_t next_store_id_ = 1;
};

}  // namespace keyferry::appliance
