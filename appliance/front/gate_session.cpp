#include "appliance/front/gate_session.h"

#include <algorithm>
#include <utility>

#include "appliance/ledger/hsm_epochs.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "keyferry/v1/log.pb.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kMaxSubjectChars = 128;  // log.proto, RefusedLeaf

/// The gate logs what it refuses: such leaves do not mean that the request was carried out.
bool tells_of_refusals_only(const v1::StorePending& pending) {
  return std::ranges::all_of(pending.leaves(), [](const std::string& octets) {
    v1::LogLeaf leaf;
    return leaf.ParseFromString(octets) && leaf.has_refused();
  });
}

/// The ledger as the gate's client wants it.
class LedgerStore final : public GateStore {
 public:
  explicit LedgerStore(Ledger& ledger) : ledger_{ledger} {}

  void store_pending(const v1::StorePending& pending) override {
    std::vector<Bytes> leaves;
    leaves.reserve(static_cast<std::size_t>(pending.leaves_size()));
    for (const std::string& leaf : pending.leaves()) leaves.push_back(to_bytes(as_bytes(leaf)));
    std::optional<Action> action = tells_of_refusals_only(pending) ? std::nullopt : action_;
    if (action) append(action->data, as_bytes(pending.made()));  // durable with it: a CRL
    ledger_.store_pending(
        pending.first_leaf(), leaves, as_bytes(pending.registry()), action, log_start_);
  }

  std::vector<Bytes> leaves(std::uint64_t from, std::uint64_t to) override {
    return ledger_.leaves(from, to);
  }

  /// What the next block that is no mere refusal brings about.
  void set_action(std::optional<Action> action) { action_ = std::move(action); }

  void set_log_start(LogStart start) { log_start_ = start; }

  std::vector<Bytes> leaf_hashes(std::uint64_t from, std::uint64_t to) override {
    std::vector<Bytes> hashes;
    const bool old_log = log_start_ == LogStart::AfterLost;
    for (const Digest& hash : old_log ? HsmEpochs{ledger_}.old_leaf_hashes(from, to) : ledger_.leaf_hashes(from, to)) {
      hashes.push_back(to_bytes(hash.bytes()));
    }
    return hashes;
  }

 private:
  Ledger& ledger_;
  std::optional<Action> action_;
  LogStart log_start_ = LogStart::Continues;
};

/// An action belongs to one request, also when that ends with an error.
class ActionScope {
 public:
  ActionScope(LedgerStore& store, std::optional<Action> action) : store_{store} {
    store_.set_action(std::move(action));
  }

  ~ActionScope() { store_.set_action(std::nullopt); }

  ActionScope(const ActionScope&) = delete;
  ActionScope& operator=(const ActionScope&) = delete;

 private:
  LedgerStore& store_;
};

v1::GateRequest open_request(Ledger& ledger) {
  v1::GateRequest request;
  v1::OpenRequest& open = *request.mutable_open();
  open.set_log_size(ledger.log_size());
  if (const auto newest = ledger.newest_checkpoint()) open.set_checkpoint(newest->note);
  if (const auto octets = ledger.registry_octets()) open.add_registries(to_string(*octets));
  if (const auto octets = ledger.pending_registry_octets()) {
    open.add_registries(to_string(*octets));
  }
  return request;
}

const std::string* reply_state(const v1::GateReply& reply) {
  if (reply.has_done()) return &reply.done().state();
  if (reply.has_enrolled()) return &reply.enrolled().state();
  if (reply.has_ticket()) return &reply.ticket().state();
  if (reply.has_backup()) return &reply.backup().state();
  return nullptr;
}

}  // namespace

std::string reply_checkpoint(const v1::GateReply& reply) {
  if (reply.has_done()) return reply.done().checkpoint();
  if (reply.has_issued()) return reply.issued().checkpoint();
  if (reply.has_inbox_key()) return reply.inbox_key().checkpoint();
  if (reply.has_enrolled()) return reply.enrolled().checkpoint();
  if (reply.has_ticket()) return reply.ticket().checkpoint();
  if (reply.has_backup()) return reply.backup().checkpoint();
  if (reply.has_opened()) return reply.opened().checkpoint();
  return {};
}

struct GateSession::Impl {
  Impl(const GateOptions& options, Ledger& the_ledger)
      : ledger{the_ledger}, store{the_ledger}, client{options, store} {}

  void take_state(const std::string& octets) {
    if (octets.empty()) return;
    v1::HsmState parsed;
    if (!parsed.ParseFromString(octets)) {
      throw Error{Code::Channel, "the gate sent a state that is none"};
    }
    state = std::move(parsed);
  }

  void take_opened(const v1::Opened& reply) {
    opened = reply;
    take_state(opened.state());
  }

  Ledger& ledger;
  LedgerStore store;
  GateClient client;
  v1::Opened opened;
  v1::HsmState state;
  std::optional<GateClient::Asked> opening;  // `open` was sent
  bool was_opened = false;
};

GateSession::GateSession(const GateOptions& options, Ledger& ledger)
    : impl_{std::make_unique<Impl>(options, ledger)} {}

GateSession::~GateSession() = default;

void GateSession::begin_open() {
  Impl& impl = *impl_;
  if (!impl.opening) impl.opening = impl.client.begin(open_request(impl.ledger));
}

void GateSession::open() {
  Impl& impl = *impl_;
  if (impl.was_opened) return;
  begin_open();
  const v1::GateReply reply = impl.client.finish(*impl.opening);
  if (!reply.has_opened()) throw Error{Code::Channel, "the gate did not answer \"open\""};
  impl.take_opened(reply.opened());
  impl.was_opened = true;
  impl.ledger.reconcile(impl.state.log_size(), impl.opened.checkpoint());
}

bool GateSession::initialized() const {
  return impl_->opened.initialized();
}

const v1::HsmState& GateSession::state() const {
  return impl_->state;
}

const v1::HsmFacts& GateSession::facts() const {
  return impl_->opened.facts();
}

const v1::SignedBytes& GateSession::card() const {
  return impl_->opened.card();
}

GateClient& GateSession::client() {
  return impl_->client;
}

v1::GateReply GateSession::call(v1::GateRequest request, std::optional<Action> action) {
  Impl& impl = *impl_;
  const ActionScope scope{impl.store, std::move(action)};
  v1::GateReply reply = impl.client.call(std::move(request));
  impl.ledger.settle(reply_checkpoint(reply));
  if (reply.has_opened()) impl.take_opened(reply.opened());
  if (const std::string* state = reply_state(reply)) impl.take_state(*state);
  return reply;
}

v1::GateReply GateSession::call_for_new_log(v1::GateRequest request, std::optional<Action> action) {
  impl_->store.set_log_start(LogStart::AfterLost);
  v1::GateReply reply = call(std::move(request), std::move(action));
  impl_->store.set_log_start(LogStart::Continues);
  return reply;
}

void GateSession::report(const std::vector<v1::LogLeaf>& leaves, std::optional<Action> action) {
  v1::GateRequest request;
  for (const v1::LogLeaf& leaf : leaves) *request.mutable_report()->add_leaves() = leaf;
  static_cast<void>(call(std::move(request), std::move(action)));
}

void GateSession::report_refused(std::string_view what,
                                 const Refusal& refusal,
                                 std::string_view subject) {
  v1::LogLeaf leaf;
  v1::RefusedLeaf& refused = *leaf.mutable_refused();
  refused.set_what(std::string{what});
  refused.set_reason(refusal.reason);
  refused.set_subject(printable(subject).substr(0, kMaxSubjectChars));
  refused.set_count(1);
  report({leaf});
}

}  // namespace keyferry::appliance
