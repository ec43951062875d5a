#include "appliance/gate/internal/front_link.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

#include "appliance/gate/request_check.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kHighWaterBytes = 8U * 1024 * 1024;
constexpr auto kAnswerLimit = std::chrono::minutes{1};
constexpr std::uint64_t kLeavesKey = std::uint64_t{1} << 63;

}  // namespace

struct FrontLink::Waiting {
  explicit Waiting(const asio::any_io_executor& executor) : arrived{executor, kAnswerLimit} {}

  asio::steady_timer arrived;
  std::optional<v1::GateRequest> answer;
};

FrontLink::FrontLink(LocalSocket socket) : stream_{std::move(socket)} {}

asio::awaitable<std::optional<v1::GateRequest>> FrontLink::next_request() {
  for (;;) {
    const std::uint32_t max_bytes = std::exchange(first_, false) ? kMaxFirstFrameBytes : kMaxFrameBytes;
    const auto frame = co_await stream_.read(max_bytes);
    if (!frame) co_return std::nullopt;
    v1::GateRequest request;
    if (!parse_request(*frame, request)) {
      throw Error{Code::Channel, "the front end sent what is no request"};
    }
    std::uint64_t key = 0;
    if (request.has_stored()) key = request.stored().store_id();
    if (request.has_leaf_hashes()) key = request.id() | kLeavesKey;
    if (!request.has_stored() && !request.has_leaf_hashes()) co_return request;
    if (const auto refusal = check_request(request)) throw Error{Code::Channel, refusal->text};
    const auto found = waiting_.find(key);
    if (found == waiting_.end()) throw Error{Code::Channel, "the front end answered what nobody asked"};
    found->second->answer = std::move(request);
    found->second->arrived.cancel();
    waiting_.erase(found);
  }
}

void FrontLink::reply(std::uint64_t id, v1::GateReply reply) {
  reply.set_id(id);
  Bytes octets(reply.ByteSizeLong());
  reply.SerializeToArray(octets.data(), static_cast<int>(octets.size()));
  stream_.write(octets);
}

void FrontLink::reply_error(std::uint64_t id, const Error& error) {
  v1::GateReply message;
  message.mutable_error()->set_code(std::string{code_name(error.code())});
  message.mutable_error()->set_text(error.what());
  message.mutable_error()->set_hint(error.hint());
  reply(id, std::move(message));
}

asio::awaitable<void> FrontLink::reply_piece(std::uint64_t id, v1::GateReply message) {
  reply(id, std::move(message));
  co_await stream_.drained(kHighWaterBytes);
}

asio::awaitable<void> FrontLink::reply_last(std::uint64_t id, v1::GateReply message) {
  reply(id, std::move(message));
  co_await stream_.drained(1);
}

void FrontLink::end() {
  closed = true;
  for (const auto& [key, who] : waiting_) who->arrived.cancel();
  waiting_.clear();
}

asio::awaitable<v1::GateRequest> FrontLink::wait_for_answer(std::uint64_t key) {
  if (closed) throw Error{Code::Channel, "the front end has gone"};
  const auto who = std::make_shared<Waiting>(co_await asio::this_coro::executor);
  waiting_.emplace(key, who);
  boost::system::error_code ended;
  co_await who->arrived.async_wait(asio::redirect_error(asio::use_awaitable, ended));
  if (!who->answer) {
    waiting_.erase(key);
    throw Error{Code::Channel, "the front end did not answer in time"};
  }
  co_return std::move(*who->answer);
}

asio::awaitable<void> FrontLink::store(std::uint64_t id, std::uint64_t first_leaf, const std::vector<Bytes>& leaves,
                                       ByteView registry, ByteView made) {
  const std::uint64_t store_id = next_store_id_++;
  v1::GateReply message;
  v1::StorePending& pending = *message.mutable_store_pending();
  pending.set_store_id(store_id);
  pending.set_first_leaf(first_leaf);
  for (const Bytes& leaf : leaves) pending.add_leaves(to_string(leaf));
  pending.set_registry(to_string(registry));
  pending.set_made(to_string(made));
  reply(id, std::move(message));
  co_await wait_for_answer(store_id);
}

asio::awaitable<v1::LeafHashes> FrontLink::ask_leaves(std::uint64_t id, std::uint64_t from, std::uint64_t to, bool whole) {
  v1::GateReply message;
  message.mutable_ask_leaves()->set_from(from);
  message.mutable_ask_leaves()->set_to(to);
  message.mutable_ask_leaves()->set_whole(whole);
  reply(id, std::move(message));
  v1::GateRequest answer = co_await wait_for_answer(id | kLeavesKey);
  v1::LeafHashes leaves = std::move(*answer.mutable_leaf_hashes());
  const auto got = whole ? leaves.leaves_size() : leaves.hashes_size();
  if (static_cast<std::uint64_t>(got) != to - from) {
    throw Error{Code::Rollback, "the ledger holds fewer leaves than the HSM's log"};
  }
  co_return leaves;
}

}  // namespace keyferry::appliance
