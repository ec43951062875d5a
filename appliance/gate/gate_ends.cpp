// What ends in the HSM itself: CRLs, the revocation list, the destruction of a key.
#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/end_operations.h"
#include "appliance/gate/internal/gate_impl.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {

asio::awaitable<IssuedCrl> Gate::Impl::make_crl(const Plan& plan, const v1::RunPlanRequest& request) {
  const auto& detail = std::get<CrlIssuePlan>(plan.detail);
  const UtcMillis now = clock.now();
  if (detail.next_update <= now) {
    throw Error{Code::Refused, fmt::format("the CRL's next update, {}, is past", to_rfc3339(detail.next_update)),
                "give a later --next-update"};
  }
  auto checked = check_crl_entries(detail, *state, as_bytes(request.crl_entries()));
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
  v1::WorkerRequest ask;
  v1::MakeCrl& make = *ask.mutable_make_crl();
  make.set_plan(request.plan());
  make.set_entries(request.crl_entries());
  make.set_ca_certificate(state->authority(detail.authority)->certificate());
  make.set_now_ms(now.value);
  WorkerLink* worker = co_await key_worker(0);
  v1::WorkerReply made = co_await worker->call(std::move(ask));
  IssuedCrl crl{to_bytes(as_bytes(made.crl().octets())), std::get<audit::Frontier>(std::move(checked)), {}};
  v1::CrlIssuedLeaf& leaf = *crl.leaf.mutable_crl_issued();
  leaf.set_authority(detail.authority);
  leaf.set_number(detail.number);
  leaf.set_entries(detail.entries.count);
  leaf.set_entries_root(detail.entries.root.str());
  leaf.set_crl_sha256(crypto::sha256(crl.der).str());
  leaf.set_this_update_ms(now.value);
  leaf.set_next_update_ms(detail.next_update.value);
  KF_CUT("gate.ends.crl-signed");  // cut here: nobody got that CRL; the next one has the same number
  co_return crl;
}

asio::awaitable<void> Gate::Impl::revocations(FrontLink& front, std::uint64_t id) {
  const auto guard = co_await lock_opened(front);
  if (state->hsm.revocation_number() == 0)
    throw Error{Code::NotFound, "nothing was revoked yet: there is no revocation list"};
  v1::WorkerRequest ask;
  ask.mutable_make_revocations()->set_registry(to_string(state->registry_octets));
  ask.mutable_make_revocations()->set_now_ms(leaf_now().value);
  WorkerLink* worker = co_await key_worker(0);
  v1::WorkerReply made = co_await worker->call(std::move(ask));
  v1::GateReply reply;
  *reply.mutable_revocations() = std::move(*made.mutable_signed_bytes());
  front.reply(id, std::move(reply));
}

/// Officers gave the key up (kf-state says so durably): act, ask in a process and a login of its own, note.
asio::awaitable<void> Gate::Impl::destroy_given_up(FrontLink& front, std::uint64_t id, std::string label) {
  const auto& waiting = state->hsm.destroying();
  if (std::find(waiting.begin(), waiting.end(), label) == waiting.end()) {
    throw Error{Code::Refused, fmt::format("officers did not give up key {}", printable(label)),
                "have it approved: keyferry-appliance hsm destroy KEY --reason TEXT"};
  }
  co_await end_key_workers();  // none goes on with a handle of it
  v1::KeyDestroyed done;
  {
    v1::Started started;
    const std::unique_ptr<WorkerLink> worker = co_await start_worker(v1::WORKER_ROLE_UNSPECIFIED, false, started);
    v1::WorkerRequest ask;
    ask.mutable_destroy_key()->set_label(label);
    v1::WorkerReply answer = co_await worker->call(std::move(ask));
    done = std::move(*answer.mutable_key_destroyed());
  }
  KF_CUT("gate.ends.key-destroyed");
  std::uint32_t found = 0;
  {
    v1::Started started;
    const std::unique_ptr<WorkerLink> worker = co_await start_worker(v1::WORKER_ROLE_UNSPECIFIED, false, started);
    v1::WorkerRequest ask;
    ask.mutable_list_objects();
    const v1::WorkerReply answer = co_await worker->call(std::move(ask));
    for (const v1::HsmObject& object : answer.inventory().objects()) found += object.label() == label ? 1 : 0;
  }
  if (found != 0) {
    throw Error{Code::Hsm,
                fmt::format("{} objects of {} are still in the HSM after they were destroyed", found, label),
                "the module keeps what it said it destroyed: stop using it, treat the key as alive"};
  }
  v1::LogLeaf leaf;
  v1::KeyDestroyedLeaf& said = *leaf.mutable_key_destroyed();
  said.set_label(label);
  said.set_public_key(done.public_key());
  const std::string name = label.substr(label.find('/') + 1);
  if (const auto* master = state->master(name); master != nullptr && label.starts_with("kf-tk/")) {
    said.set_check_value(master->check_value());
  }
  if (const auto* vendor = state->vendor_key(name); vendor != nullptr && label.starts_with("kf-vendor/")) {
    said.set_check_value(vendor->check_value());
  }
  said.set_destroyed(done.objects());
  said.set_found(found);
  const std::function<void(GateState&)> change = [&label](GateState& next) {
    auto& rest = *next.hsm.mutable_destroying();
    rest.erase(std::remove(rest.begin(), rest.end(), label), rest.end());
  };
  co_await commit(front, id, one_leaf(std::move(leaf), leaf_now()), change, std::nullopt);
}

asio::awaitable<void> Gate::Impl::finish_destroy(FrontLink& front, std::uint64_t id,
                                                 const v1::FinishDestroyRequest& request) {
  const auto guard = co_await lock_opened(front);
  co_await destroy_given_up(front, id, request.label());
  v1::GateReply reply;
  fill_done(*reply.mutable_done());
  front.reply(id, std::move(reply));
}

}  // namespace keyferry::appliance
