// The pool of key workers: as many processes as the settings say, started one after another, replaced before a leaking
// module hurts (shared/pkcs11.md section 1: SoftHSM loses 714 octets with each key).
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdio>

#include "appliance/gate/internal/gate_impl.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

/// Records left when a worker gets its next segment: more than are made while that is on its way and linted.
constexpr std::uint64_t kLittleLeft = 256;
constexpr std::chrono::milliseconds kLookAgain{200};  // a worker may end without a word

}  // namespace

asio::awaitable<WorkerLink*> Gate::Impl::add_key_worker() {
  if (backing_up) throw Error{Code::Refused, "a backup is being made: no device key is made meanwhile", "try again when it is done"};
  v1::Started started;
  auto worker = co_await start_worker(v1::WORKER_ROLE_KEYS, false, started);
  take_facts(started.facts());
  key_workers.push_back(std::move(worker));
  co_return key_workers.back().get();
}

/// One more, or `without` when the HSM takes no further one: its sessions are counted, the work is not in danger.
asio::awaitable<WorkerLink*> Gate::Impl::add_key_worker_or(WorkerLink* without) {
  std::optional<Error> failed;
  try {
    co_return co_await add_key_worker();
  } catch (const Error& error) {
    failed = error;
  }
  if (without == nullptr || failed->code() != Code::Hsm) throw *failed;
  most_key_workers = key_workers.size();
  fmt::print(stderr, "keyferry-hsm-gate: going on with {} of {} key workers, since one more did not start: {}\n",
             most_key_workers, arguments.settings.workers, printable(failed->what()));
  co_return without;
}

/// Worn workers stay until their last segment is signed.
void Gate::Impl::dismiss_worn_workers() {
  std::erase_if(worn_workers,
                [](const auto& worker) { return worker->under_way() == 0 && worker->segments_pending == 0; });
}

void Gate::Impl::arrived(WorkerLink& worker, std::uint64_t keys) {
  const bool was_busy = worker.keys_to_make > kLittleLeft;
  worker.keys_to_make -= std::min(keys, worker.keys_to_make);
  if (was_busy && worker.keys_to_make <= kLittleLeft) worker_nearly_done.cancel();
}

/// The worker that has least to do, once it has little left: a segment that is bound to a worker earlier may wait there while
/// another worker is idle. Waits in the order of asking.
asio::awaitable<WorkerLink*> Gate::Impl::key_worker(std::uint64_t keys) {
  const auto guard = co_await workers_mutex.lock();
  WorkerLink* worker = nullptr;
  while (worker == nullptr) {
    worker = co_await free_key_worker(keys);
    if (worker != nullptr) break;
    boost::system::error_code ignored;
    worker_nearly_done.expires_after(kLookAgain);
    co_await worker_nearly_done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  worker->keys_given += keys;
  worker->keys_to_make += keys;
  co_return worker;
}

asio::awaitable<WorkerLink*> Gate::Impl::free_key_worker(std::uint64_t keys) {
  dismiss_worn_workers();
  const auto dead = [](const auto& worker) { return !worker->alive(); };
  if (std::ranges::any_of(key_workers, dead) || std::ranges::any_of(worn_workers, dead)) {
    // Segments that it prepared still name it: nothing is put in its place, the same command goes on from kf-state.
    broken = true;
    throw Error{Code::Channel, "an HSM worker has ended", "give the same command again"};
  }
  const auto load = [](const auto& worker) { return std::pair{worker->keys_to_make, worker->under_way()}; };
  const auto least_busy = std::ranges::min_element(key_workers, {}, load);
  WorkerLink* best = least_busy == key_workers.end() ? nullptr : least_busy->get();
  const std::size_t most = std::min<std::size_t>(arguments.settings.workers, most_key_workers);
  if ((best == nullptr || best->under_way() != 0) && key_workers.size() < most) {
    co_return co_await add_key_worker_or(best);
  }
  if (best->keys_to_make > kLittleLeft) co_return nullptr;
  if (best->keys_given != 0 && best->keys_given + keys > arguments.settings.keys_per_worker) {
    WorkerLink* const fresh = co_await add_key_worker_or(best);
    if (fresh != best) {
      const auto worn = std::ranges::find(key_workers, best, [](const auto& worker) { return worker.get(); });
      worn_workers.push_back(std::move(*worn));
      key_workers.erase(worn);
    }
    best = fresh;
  }
  co_return best;
}

/// All workers of a batch are started when it begins, not as segments come; one after another (Module::find_token says
/// why), and whoever needs the first does not wait for the last.
asio::awaitable<void> Gate::Impl::start_key_workers() {
  try {
    while (!broken && state_worker && key_workers.size() < arguments.settings.workers) {
      const auto guard = co_await workers_mutex.lock();
      if (!state_worker || key_workers.size() >= std::min<std::size_t>(arguments.settings.workers, most_key_workers)) break;
      co_await add_key_worker_or(key_workers.empty() ? nullptr : key_workers.front().get());
    }
  } catch (const Error&) {
    // The first segment that needs it tries again.
  }
}

}  // namespace keyferry::appliance
