#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/end_operations.h"
#include "wrap/x509/certificate.h"

namespace keyferry::appliance {
namespace {

using Answer = std::optional<Refusal>;

/// A batch of an HSM that this one took over from is in the ledger alone.
bool may_be_of_lost_hsm(const GateState& state) {
  return state.hsm.hsm_epoch() > 1;
}

bool is_closed(const GateState& state, const BatchId& batch) {
  const auto& closed = state.hsm.closed_batches();
  return std::find(closed.begin(), closed.end(), batch.str()) != closed.end();
}

Answer check_not_closed(const BatchId& batch, const GateState& state) {
  if (auto refusal = check_batch_known(batch, state)) return refusal;
  if (!is_closed(state, batch)) return std::nullopt;
  return Refusal{"batch-closed", fmt::format("batch {} was closed before", batch.hex())};
}

Answer check(const TokenLostPlan& plan, const GateState& state) {
  if (auto refusal = check_not_closed(plan.batch, state)) return refusal;
  const v1::OpenPlan* open = state.open_plan_of_batch(plan.batch);
  const bool exported = open == nullptr || std::find(open->exported_to().begin(), open->exported_to().end(),
                                                     plan.token.str()) != open->exported_to().end();
  if (exported) return std::nullopt;
  return Refusal{"token-unknown",
                 fmt::format("batch {} was never exported to token {}", plan.batch.hex(), plan.token.hex()),
                 "keyferry-appliance token status lists the tokens"};
}

const v1::CrlNumber* crl_of(const v1::HsmState& hsm, const std::string& authority) {
  const auto found = std::find_if(hsm.crl_numbers().begin(), hsm.crl_numbers().end(),
                                  [&](const v1::CrlNumber& one) { return one.authority() == authority; });
  return found == hsm.crl_numbers().end() ? nullptr : &*found;
}

Answer unknown_authority(const std::string& name) {
  return Refusal{"authority-unknown",
                 fmt::format("there is no certificate authority \"{}\" whose key is in the HSM", name)};
}

Answer authority_pending(const std::string& name) {
  return Refusal{"authority-pending", fmt::format("kf-ca/{} has no certificate yet: its request is out", name),
                 fmt::format("when the certificate is in: keyferry-appliance ca install {} --chain FILE", name)};
}

Answer check(const CrlIssuePlan& plan, const GateState& state) {
  const v1::CertificateAuthority* authority = state.authority(plan.authority);
  if (authority == nullptr || authority->destroyed()) return unknown_authority(plan.authority);
  if (authority->outside()) {
    return Refusal{"authority-outside", fmt::format("\"{}\" is an outside CA: its CRLs are its own", plan.authority),
                   "have it revoke them: keyferry-appliance crl due --ca NAME --list FILE names certificates and serials"};
  }
  if (authority->pending()) return authority_pending(plan.authority);
  const v1::CrlNumber* last = crl_of(state.hsm, plan.authority);
  // An HSM that took over without the numbers (by an older program) knows no earlier CRL of this key; which number
  // comes next is then in the ledger alone.
  const bool open = last == nullptr && may_be_of_lost_hsm(state) && !state.hsm.crl_numbers_adopted();
  const std::uint64_t wanted = last == nullptr ? 1 : last->number() + 1;
  if (plan.number != wanted && !open) {
    return Refusal{"crl-number", fmt::format("the next CRL of kf-ca/{} has number {}, the plan says {}",
                                             plan.authority, wanted, plan.number)};
  }
  if (plan.entries.count > kMaxCrlEntries) {
    return Refusal{"crl-too-many",
                   fmt::format("a CRL of {} entries is more than {}", plan.entries.count, kMaxCrlEntries),
                   "retire this CA and issue new batches under another one, so that each has a CRL of its own"};
  }
  if (last != nullptr && plan.entries.count < last->entries()) {
    return Refusal{"crl-entries", fmt::format("CRL {} had {} entries, the plan has {}: none may be taken off",
                                              last->number(), last->entries(), plan.entries.count)};
  }
  return std::nullopt;
}

Answer check(const StationRetirePlan& plan, const GateState& state) {
  const v1::Station* station = state.station(plan.station);
  if (station == nullptr)
    return Refusal{"station-unknown", fmt::format("no station {} is enrolled", plan.station.hex())};
  if (station->retired())
    return Refusal{"station-retired", fmt::format("station {} was retired before", plan.station.hex())};
  return std::nullopt;
}

Answer check(const CaRetirePlan& plan, const GateState& state) {
  const v1::CertificateAuthority* authority = state.authority(plan.name);
  if (authority == nullptr || authority->destroyed()) return unknown_authority(plan.name);
  if (authority->retired())
    return Refusal{"authority-retired", fmt::format("kf-ca/{} was retired before", plan.name)};
  return std::nullopt;
}

std::string name_in(const std::string& label) {
  return label.substr(label.find('/') + 1);
}

Answer check_authority_is_done(const std::string& name, const GateState& state) {
  const v1::CertificateAuthority* authority = state.authority(name);
  if (authority == nullptr || authority->destroyed() || authority->outside()) return unknown_authority(name);
  if (!authority->retired()) {
    return Refusal{"authority-in-use", fmt::format("kf-ca/{} is not retired", name),
                   fmt::format("first: keyferry-appliance ca retire {} --reason TEXT", name)};
  }
  if (authority->pending()) return std::nullopt;  // it never certified anything
  const auto parsed = x509::parse_certificate(as_bytes(authority->certificate()));
  const auto* facts = std::get_if<x509::CertificateFacts>(&parsed);
  const v1::CrlNumber* last = crl_of(state.hsm, name);
  const bool final_crl = facts != nullptr && last != nullptr && last->next_update_ms() >= facts->not_after.value;
  if (final_crl) return std::nullopt;
  return Refusal{"authority-in-use",
                 fmt::format("kf-ca/{} has no final CRL: without its key none can be signed any more", name),
                 fmt::format("first: keyferry-appliance crl issue --ca {} --final", name)};
}

Answer check(const HsmDestroyKeyPlan& plan, const GateState& state) {
  const std::string name = name_in(plan.label);
  if (plan.label.starts_with("kf-ca/")) {
    if (auto refusal = check_authority_is_done(name, state)) return refusal;
  } else {
    const v1::TransportMaster* master = state.master(name);
    const v1::VendorKey* vendor = state.vendor_key(name);
    const bool there = plan.label.starts_with("kf-tk/") ? master != nullptr && !master->destroyed()
                                                        : vendor != nullptr && !vendor->destroyed();
    if (!there)
      return Refusal{"key-unknown", fmt::format("there is no key {}", plan.label),
                     "keyferry-appliance hsm inventory"};
  }
  for (const v1::OpenPlan& open : state.hsm.open_plans()) {
    if (open.operation() != operation_name(Operation::Batch) || open.sealed() || open.closed()) continue;
    return Refusal{"key-in-use",
                   fmt::format("batch {} is being made and may need it",
                               to_hex(as_bytes(open.plan_digest()).first(BatchId::kSizeBytes))),
                   "finish that batch (plan run FILE) or close it (batch close ID)"};
  }
  return std::nullopt;
}

void close_in(GateState& state, const BatchId& batch) {
  if (v1::OpenPlan* open = state.open_plan_of_batch(batch)) {
    close_batch_in(state, *open);
  } else if (!is_closed(state, batch)) {
    state.hsm.add_closed_batches(batch.str());
  }
}

void fill(v1::BatchClosedLeaf& leaf, const BatchId& batch, const RecordSet& records, const GateState& before,
          const std::string& reason) {
  leaf.set_batch_id(batch.str());
  leaf.set_records(records.count);
  leaf.set_records_root(records.root.str());
  leaf.set_revocation_number(before.hsm.revocation_number() + 1);
  leaf.set_reason(reason);
}

std::vector<v1::OpenPlan*> open_batches_of(GateState& state, const StationId& station) {
  std::vector<v1::OpenPlan*> found;
  for (v1::OpenPlan& open : *state.hsm.mutable_open_plans()) {
    if (open.station_id() == station.str() && !open.closed()) found.push_back(&open);
  }
  return found;
}

bool same_entries(const v1::CrlNumber& last, const audit::Frontier& frontier) {
  if (!last.entries_root().empty()) return frontier.root().str() == last.entries_root();
  return std::ranges::equal(last.frontier(), frontier.hashes(),
                            [](const std::string& a, const Digest& b) { return a == b.str(); });
}

}  // namespace

std::optional<Refusal> check_batch_known(const BatchId& batch, const GateState& state) {
  const v1::OpenPlan* open = state.open_plan_of_batch(batch);
  if (open == nullptr && !may_be_of_lost_hsm(state)) {
    return Refusal{"batch-unknown", fmt::format("the HSM knows no batch {}", batch.hex())};
  }
  return std::nullopt;
}

std::optional<Refusal> check_end_operation(const Plan& plan, const GateState& state) {
  if (const auto* close = std::get_if<BatchClosePlan>(&plan.detail)) return check_not_closed(close->batch, state);
  if (const auto* lost = std::get_if<TokenLostPlan>(&plan.detail)) return check(*lost, state);
  if (const auto* release = std::get_if<QuarantineReleasePlan>(&plan.detail))
    return check_batch_known(release->batch, state);
  if (const auto* crl = std::get_if<CrlIssuePlan>(&plan.detail)) return check(*crl, state);
  if (const auto* retire = std::get_if<StationRetirePlan>(&plan.detail)) return check(*retire, state);
  if (const auto* ca = std::get_if<CaRetirePlan>(&plan.detail)) return check(*ca, state);
  if (const auto* destroy = std::get_if<HsmDestroyKeyPlan>(&plan.detail)) return check(*destroy, state);
  return std::nullopt;
}

bool end_in_registry(const Plan& plan, v1::Registry& after) {
  const auto mark = [](auto& rows, const std::string& name, auto&& set) {
    for (auto& row : rows) {
      if (row.name() == name) set(row);
    }
  };
  if (const auto* retire = std::get_if<StationRetirePlan>(&plan.detail)) {
    for (v1::Station& station : *after.mutable_stations()) {
      if (station.station_id() == retire->station.str()) station.set_retired(true);
    }
    return true;
  }
  if (const auto* ca = std::get_if<CaRetirePlan>(&plan.detail)) {
    mark(*after.mutable_authorities(), ca->name, [](v1::CertificateAuthority& row) { row.set_retired(true); });
    return true;
  }
  if (const auto* destroy = std::get_if<HsmDestroyKeyPlan>(&plan.detail)) {
    const auto set = [](auto& row) { row.set_destroyed(true); };
    const std::string name = name_in(destroy->label);
    if (destroy->label.starts_with("kf-tk/")) mark(*after.mutable_transport_masters(), name, set);
    if (destroy->label.starts_with("kf-vendor/")) mark(*after.mutable_vendor_keys(), name, set);
    if (destroy->label.starts_with("kf-ca/")) mark(*after.mutable_authorities(), name, set);
    return true;
  }
  return false;
}

std::variant<audit::Frontier, Refusal> check_crl_entries(const CrlIssuePlan& plan, const GateState& state,
                                                         ByteView entries) {
  if (entries.size() != plan.entries.count * kCrlEntryBytes) {
    return Refusal{"crl-entries", fmt::format("the plan has {} CRL entries, the request brings {} octets of them",
                                              plan.entries.count, entries.size())};
  }
  const v1::CrlNumber* last = crl_of(state.hsm, plan.authority);
  const std::uint64_t known = last == nullptr ? 0 : last->entries();
  audit::Frontier frontier;
  for (std::uint64_t i = 0;; ++i) {
    if (last != nullptr && i == known) {
      if (!same_entries(*last, frontier))
        return Refusal{"crl-entries",
                       "the list does not begin with the entries of the last CRL: none is taken off or changed"};
    }
    if (i == plan.entries.count) break;
    frontier.append(audit::leaf_hash(entries.subspan(i * kCrlEntryBytes, kCrlEntryBytes)));
  }
  if (frontier.root() != plan.entries.root)
    return Refusal{"crl-entries", "the CRL entries are not those that officers approved"};
  return frontier;
}

void apply_end_operation(GateState& next, const Plan& plan, const std::optional<audit::Frontier>& crl) {
  const auto list_grows = [&next] { next.hsm.set_revocation_number(next.hsm.revocation_number() + 1); };
  if (const auto* close = std::get_if<BatchClosePlan>(&plan.detail)) {
    close_in(next, close->batch);
    list_grows();
  } else if (const auto* lost = std::get_if<TokenLostPlan>(&plan.detail);
             lost != nullptr && lost->decision == "revoke") {
    close_in(next, lost->batch);
    list_grows();
  } else if (const auto* retire = std::get_if<StationRetirePlan>(&plan.detail)) {
    for (v1::OpenPlan* open : open_batches_of(next, retire->station)) close_batch_in(next, *open);
    list_grows();
  } else if (const auto* detail = std::get_if<CrlIssuePlan>(&plan.detail); detail != nullptr && crl) {
    v1::CrlNumber* number = nullptr;
    for (v1::CrlNumber& one : *next.hsm.mutable_crl_numbers()) {
      if (one.authority() == detail->authority) number = &one;
    }
    if (number == nullptr) number = next.hsm.add_crl_numbers();
    number->set_authority(detail->authority);
    number->set_number(detail->number);
    number->set_entries(crl->size());
    number->clear_entries_root();
    number->clear_frontier();
    for (const Digest& hash : crl->hashes()) number->add_frontier(hash.str());
    number->set_next_update_ms(detail->next_update.value);
  } else if (const auto* destroy = std::get_if<HsmDestroyKeyPlan>(&plan.detail)) {
    next.hsm.add_destroying(destroy->label);
  }
}

void add_end_leaves(const Plan& plan, const GateState& state, std::vector<v1::LogLeaf>& leaves) {
  v1::LogLeaf leaf;
  if (const auto* close = std::get_if<BatchClosePlan>(&plan.detail)) {
    fill(*leaf.mutable_batch_closed(), close->batch, close->outstanding, state, close->reason);
    leaves.push_back(std::move(leaf));
  } else if (const auto* lost = std::get_if<TokenLostPlan>(&plan.detail)) {
    v1::TokenLostLeaf& said = *leaf.mutable_token_lost();
    said.set_token_id(lost->token.str());
    said.set_batch_id(lost->batch.str());
    said.set_decision(lost->decision);
    said.set_records(lost->exposed.count);
    said.set_records_root(lost->exposed.root.str());
    said.set_reason(lost->reason);
    const bool revoke = lost->decision == "revoke";
    if (revoke) said.set_revocation_number(state.hsm.revocation_number() + 1);
    leaves.push_back(leaf);
    if (!revoke) return;
    fill(*leaf.mutable_batch_closed(), lost->batch, lost->exposed, state, lost->reason);
    leaves.push_back(std::move(leaf));
  } else if (const auto* retire = std::get_if<StationRetirePlan>(&plan.detail)) {
    v1::StationRetiredLeaf& said = *leaf.mutable_station_retired();
    said.set_station_id(retire->station.str());
    said.set_log_generation(retire->log_generation);
    said.set_log_size(retire->log_size);
    said.set_records(retire->outstanding.count);
    said.set_records_root(retire->outstanding.root.str());
    GateState before = state;
    for (const v1::OpenPlan* open : open_batches_of(before, retire->station)) {
      said.add_batches(open->plan_digest().substr(0, BatchId::kSizeBytes));
    }
    said.set_revocation_number(state.hsm.revocation_number() + 1);
    said.set_reason(retire->reason);
    leaves.push_back(std::move(leaf));
  } else if (const auto* release = std::get_if<QuarantineReleasePlan>(&plan.detail)) {
    leaf.mutable_quarantine_released()->set_batch_id(release->batch.str());
    leaf.mutable_quarantine_released()->set_record_no(release->record_no);
    leaf.mutable_quarantine_released()->set_reason(release->reason);
    leaves.push_back(std::move(leaf));
  } else if (const auto* ca = std::get_if<CaRetirePlan>(&plan.detail)) {
    leaf.mutable_ca_retired()->set_name(ca->name);
    leaf.mutable_ca_retired()->set_reason(ca->reason);
    leaves.push_back(std::move(leaf));
  }
}

}  // namespace keyferry::appliance
