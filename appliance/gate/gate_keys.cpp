// Requests about keys of the HSM that change nothing in it: delivered transport keys, inventory, probe.
#include <fmt/format.h>

#include "appliance/gate/approvals.h"
#include "appliance/gate/internal/gate_impl.h"

namespace keyferry::appliance {
namespace {

constexpr int kMaxDeliveredEntries = 1024;

}  // namespace

asio::awaitable<void> Gate::Impl::check_delivered(FrontLink& front, std::uint64_t id,
                                                  const v1::CheckDeliveredRequest& request) {
  const auto guard = co_await lock_opened(front);
  const Plan plan = parsed_plan(request.plan());
  if (plan.operation != Operation::SeImport) throw Error{Code::Refused, "the plan imports no inventory"};
  if (request.entries_size() > kMaxDeliveredEntries) throw Error{Code::Refused, "a block has at most 1,024 entries"};
  // Approved and not yet run: otherwise anybody could have blobs tried. The plan is not spent by it.
  std::vector<token::SignedBytes> approvals;
  for (const v1::SignedBytes& approval : request.approvals()) approvals.push_back(signed_from_message(approval));
  const auto checked = check_approvals(plan, approvals, ApprovalContext{*state, *log_key, clock.now()});
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
  v1::WorkerRequest ask;
  v1::CheckDelivered& check = *ask.mutable_check_delivered();
  check.set_plan(request.plan());
  check.set_index(request.index());
  *check.mutable_entries() = request.entries();
  *check.mutable_path() = request.path();
  *check.mutable_vendor_keys() = state->registry.vendor_keys();
  WorkerLink* worker = co_await key_worker(static_cast<std::uint64_t>(request.entries_size()));
  v1::WorkerReply answer = co_await worker->call(std::move(ask));
  v1::GateReply reply;
  *reply.mutable_delivered() = std::move(*answer.mutable_delivered());
  front.reply(id, std::move(reply));
}

/// Before `open`, and when `open` refuses because of drift: what is there and how it drifted, without check values.
asio::awaitable<void> Gate::Impl::inventory(FrontLink& front, std::uint64_t id) {
  const auto guard = co_await mutex.lock();
  v1::WorkerRequest ask;
  v1::ListObjects& list = *ask.mutable_list_objects();
  std::unique_ptr<WorkerLink> looker;
  WorkerLink* worker = nullptr;
  if (front.opened && state) {
    *list.mutable_transport_masters() = state->registry.transport_masters();
    *list.mutable_vendor_keys() = state->registry.vendor_keys();
    worker = co_await key_worker(0);
  } else {
    v1::Started started;
    looker = co_await start_worker(v1::WORKER_ROLE_UNSPECIFIED, false, started);
    worker = looker.get();
  }
  v1::WorkerReply answer = co_await worker->call(std::move(ask));
  v1::GateReply reply;
  *reply.mutable_inventory() = std::move(*answer.mutable_inventory());
  front.reply(id, std::move(reply));
}

/// By a worker of its own that does nothing else and ends then: what was tried leaves nothing in the others.
asio::awaitable<void> Gate::Impl::probe(FrontLink& front, std::uint64_t id, const v1::ProbeRequest& request) {
  const auto guard = co_await mutex.lock();
  v1::Started started;
  const std::unique_ptr<WorkerLink> looker = co_await start_worker(v1::WORKER_ROLE_UNSPECIFIED, false, started);
  v1::WorkerRequest ask;
  ask.mutable_probe()->set_entropy(request.entropy());
  v1::WorkerReply answer = co_await looker->call(std::move(ask));
  v1::GateReply reply;
  v1::HsmFacts& probed = *reply.mutable_inventory()->mutable_facts();
  probed = std::move(*answer.mutable_facts());
  for (const std::string& sentence : started.facts().facts()) probed.add_facts(sentence);
  for (const std::string& sentence : arguments.hardening) probed.add_facts(sentence);
  for (const std::string& drift : started.drift()) probed.add_facts("drift: " + drift);
  probed.set_workers(arguments.settings.workers);
  probed.set_memlock(gap.memlock);
  for (const std::string& name : gap.overridden) probed.add_insecure(name);
  front.reply(id, std::move(reply));
}

}  // namespace keyferry::appliance
