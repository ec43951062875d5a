#include "appliance/gate/state_store.h"

#include <fmt/format.h>

#include <bit>

#include "keyferry/v1/worker.pb.h"
#include "token/audit/checkpoint.h"
#include "token/audit/merkle.h"
#include "token/signed_bytes.h"
#include "wrap/base/cut.h"
#include "wrap/p11/hsm_keys.h"

namespace keyferry::appliance {
namespace {

using p11::ObjectClass;
using p11::Template;

struct Found {
  p11::ObjectHandle object;
  v1::HsmState state;
  Bytes octets;
};

Template state_search() {
  return Template{}.object_class(ObjectClass::Data).token(true).label(kStateLabel);
}

std::optional<Found> read_object(p11::Session& session, p11::ObjectHandle object, const crypto::PublicKey& log_key) {
  const auto value = session.read_bytes(object, p11::Attribute::Value);
  if (!value) return std::nullopt;
  const auto parsed = token::parse_signed_bytes(value.value);
  const auto* signed_state = std::get_if<token::SignedBytes>(&parsed);
  if (signed_state == nullptr || !token::verify_signed(*signed_state, crypto::SignatureKind::HsmState, log_key)) {
    return std::nullopt;
  }
  Found found{object, {}, signed_state->payload};
  if (!found.state.ParseFromArray(found.octets.data(), static_cast<int>(found.octets.size()))) return std::nullopt;
  return found;
}

std::optional<Found> newest(p11::Session& session) {
  const auto objects = session.find(state_search());
  if (objects.empty()) return std::nullopt;
  const crypto::PublicKey log_key = lasting_role_point(session, KeyRole::Log, "");
  std::optional<Found> best;
  for (const p11::ObjectHandle object : objects) {
    auto found = read_object(session, object, log_key);
    if (found && (!best || found->state.counter() > best->state.counter())) best = std::move(found);
  }
  if (!best) {
    throw Error{Code::Hsm, "kf-state in the HSM is not signed by its kf-log key",
                "the HSM's store was altered or damaged: restore it, or treat the HSM as lost"};
  }
  return best;
}

audit::Frontier frontier_of(const v1::HsmState& state) {
  Bytes octets;
  append_u64be(octets, state.log_size());
  for (const std::string& hash : state.frontier()) append(octets, as_bytes(hash));
  auto frontier = audit::Frontier::parse(octets);
  if (!frontier) throw Error{Code::Refused, "log size and frontier do not belong together"};
  return *frontier;
}

/// What a worker adds to a state when it writes it is not compared.
bool is_written_form_of(v1::HsmState written, v1::HsmState asked) {
  for (v1::HsmState* state : {&written, &asked}) {
    state->clear_version();
    state->clear_counter();
    state->clear_appliance_id();
    state->clear_checkpoint();
  }
  return written.SerializeAsString() == asked.SerializeAsString();
}

/// Destroys states below `counter`, and what is none of ours under the label; not `keep`.
void destroy_older(p11::Session& session, std::uint64_t counter, std::optional<p11::ObjectHandle> keep) {
  const crypto::PublicKey log_point = lasting_role_point(session, KeyRole::Log, "");
  for (const p11::ObjectHandle object : session.find(state_search())) {
    if (keep && object == *keep) continue;
    const auto found = read_object(session, object, log_point);
    if (!found || found->state.counter() < counter) session.destroy(object);
  }
}

}  // namespace

std::string log_origin(const ApplianceId& appliance) { return "keyferry/" + appliance.hex().substr(0, 32); }

std::optional<Bytes> StateStore::read() {
  auto found = newest(hsm_.session());
  if (!found) return std::nullopt;
  return std::move(found->octets);
}

StateStore::Written StateStore::write(const v1::WriteState& request) {
  p11::Session& session = hsm_.session();
  const auto before = newest(session);
  const std::uint64_t counter = before ? before->state.counter() : 0;
  if (before && counter == request.expected_counter() + 1 && is_written_form_of(before->state, request.state())) {
    // Asked again after the module's answer was lost: this one was written then.
    hsm_.sync_store();
    destroy_older(session, counter, before->object);
    return {before->octets, before->state.checkpoint()};
  }
  if (counter != request.expected_counter()) {
    throw Error{Code::Rollback, fmt::format("kf-state stands at {}, the gate expected {}", counter,
                                            request.expected_counter()),
                "another gate used this HSM meanwhile: start again"};
  }
  v1::HsmState state = request.state();
  if (before && state.log_size() < before->state.log_size()) throw Error{Code::Refused, "the log would shrink"};
  const audit::Frontier frontier = frontier_of(state);
  const crypto::PublicKey log_point = lasting_role_point(session, KeyRole::Log, "");
  const auto appliance = ApplianceId::from_bytes(log_point.key_id().bytes()).value();
  p11::HsmSigner signer{session, lasting_role_key(session, KeyRole::Log, ""), log_point};
  const std::string origin = log_origin(appliance);
  state.set_version(1);
  state.set_counter(counter + 1);
  state.set_appliance_id(appliance.str());
  state.set_checkpoint(
      audit::sign_checkpoint(audit::checkpoint_text(origin, frontier.size(), frontier.root()), origin, signer));
  Written written{to_bytes(as_bytes(state.SerializeAsString())), state.checkpoint()};
  if (written.state.size() > kMaxStateBytes) {
    throw Error{Code::Refused, "kf-state would grow above 1 MiB", "close finished batches, or use larger segments"};
  }
  const Bytes value = token::encode(token::sign_payload(signer, crypto::SignatureKind::HsmState, written.state));
  KF_CUT("worker.state.before-create");
  static_cast<void>(session.create_object(Template{}
                                              .object_class(ObjectClass::Data)
                                              .token(true)
                                              .private_(true)
                                              .modifiable(false)
                                              .label(kStateLabel)
                                              .application("keyferry")
                                              .value(value)));
  KF_CUT("worker.state.created");
  hsm_.sync_store();
  KF_CUT("worker.state.synced");
  if (before) destroy_older(session, counter + 1, std::nullopt);
  KF_CUT("worker.state.written");
  return written;
}

}  // namespace keyferry::appliance
