// The pool of key workers: as many processes as the settings say, started one after another, replaced before a leaking
// module hurts (shared/pkcs11.md section 1: SoftHSM loses 714 octets with each key).
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "appliance/gate/internal/gate_impl.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {

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

asio::awaitable<WorkerLink*> Gate::Impl::key_worker(std::uint64_t keys) {
  const auto guard = co_await workers_mutex.lock();
  dismiss_worn_workers();
  const auto dead = [](const auto& worker) { return !worker->alive(); };
  if (std::ranges::any_of(key_workers, dead) || std::ranges::any_of(worn_workers, dead)) {
    // Segments that it prepared still name it: nothing is put in its place, the same command goes on from kf-state.
    broken = true;
    throw Error{Code::Channel, "an HSM worker has ended", "give the same command again"};
  }
  const auto least_busy = std::ranges::min_element(
      key_workers, {}, [](const std::unique_ptr<WorkerLink>& worker) { return worker->under_way(); });
  WorkerLink* best = least_busy == key_workers.end() ? nullptr : least_busy->get();
  const std::size_t most = std::min<std::size_t>(arguments.settings.workers, most_key_workers);
  if ((best == nullptr || best->under_way() != 0) && key_workers.size() < most) {
    best = co_await add_key_worker_or(best);
  } else if (best->keys_given != 0 && best->keys_given + keys > arguments.settings.keys_per_worker) {
    WorkerLink* const fresh = co_await add_key_worker_or(best);
    if (fresh != best) {
      const auto worn = std::ranges::find(key_workers, best, [](const auto& worker) { return worker.get(); });
      worn_workers.push_back(std::move(*worn));
      key_workers.erase(worn);
    }
    best = fresh;
  }
  best->keys_given += keys;
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
