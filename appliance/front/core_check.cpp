#include "appliance/front/core_check.h"

#include <fmt/format.h>

#include <utility>

#include "appliance/ledger/plan_store.h"
#include "appliance/ledger/registry.h"
#include "appliance/plan/line_checks_of.h"
#include "token/line_checks.h"
#include "wrap/crypto/hash.h"
#include "wrap/evidence/possession.h"

namespace keyferry::appliance {
namespace {

Refusal refuse(std::string reason, std::string text) {
  return Refusal{std::move(reason), std::move(text)};
}

bool is_chip(const IssuedKey& key) {
  return key.family == se::family_name(se::Family::Atecc608);
}

/// Of the plan that officers approved.
BatchPlan plan_of(Ledger& ledger, const BatchId& batch) {
  const auto stored = PlanStore{ledger}.find_batch(batch);
  const auto parsed = stored ? parse_plan(stored->octets) : Refusal{};
  const auto* plan = std::get_if<Plan>(&parsed);
  if (plan == nullptr || plan->batch_id() != batch) {
    throw Error{Code::Storage,
                fmt::format("ledger: the plan of batch {} is damaged", batch.hex()),
                "restore the ledger from its newest backup"};
  }
  return plan->batch();
}

}  // namespace

CoreCheck::CoreCheck(Ledger& ledger,
                     const StationId& station,
                     std::uint32_t generation,
                     std::int64_t import,
                     std::uint64_t from_position)
    : ledger_{ledger},
      store_{ledger},
      batches_{ledger},
      station_{station},
      generation_{generation},
      import_{import},
      from_position_{from_position} {}

std::optional<Refusal> CoreCheck::check(StagedEntry& entry, Seen seen) {
  const auto parsed = token::parse_leaf(entry.entry.leaf);
  const auto* leaf = std::get_if<token::StationLeaf>(&parsed);
  if (leaf == nullptr) return refuse("receipt-leaf", "it is no leaf of a station's log");
  if (const auto* voided = std::get_if<token::VoidLeaf>(&leaf->leaf))
    return check_void(entry, *voided, seen);
  const auto* core_leaf = std::get_if<token::CoreLeaf>(&leaf->leaf);
  if (core_leaf == nullptr) {
    if (entry.entry.signature.empty()) return std::nullopt;
    return refuse("receipt-leaf", "an event bears a signature");
  }
  const auto core = token::parse_core(core_leaf->core);
  if (const auto* refusal = std::get_if<Refusal>(&core)) {
    return refuse("receipt-core", "the receipt is malformed: " + refusal->reason);
  }
  return check_core(entry, std::get<token::ReceiptCore>(core), core_leaf->core, seen);
}

std::optional<Refusal> CoreCheck::check_core(StagedEntry& entry,
                                             const token::ReceiptCore& core,
                                             ByteView octets,
                                             Seen seen) {
  if (core.station_id != station_)
    return refuse("receipt-station", "the receipt is of another station");
  const Digest core_sha256 = crypto::sha256(octets);
  const auto first = store_.receipt_core(core.batch_id, core.record_no, import_);
  if (first && seen == Seen::Before) return std::nullopt;  // judged when it came first

  const BatchFacts* facts = batch(core.batch_id);
  if (facts == nullptr || !facts->left) {
    return refuse("receipt-batch",
                  fmt::format("no batch {} has left this appliance", core.batch_id.hex()));
  }
  if (facts->row.station != station_) {
    return refuse("receipt-batch",
                  fmt::format("batch {} is for another station", core.batch_id.hex()));
  }
  if (core.manifest_digest != facts->manifest_digest) {
    return refuse("receipt-manifest",
                  fmt::format("it is about another manifest than batch {}'s", core.batch_id.hex()));
  }
  const auto key = store_.issued_key(core.batch_id, core.record_no);
  if (!key) {
    return refuse(
        "receipt-record",
        fmt::format("batch {} has no record {}", core.batch_id.hex(), core.record_no.value));
  }
  if (auto refusal = check_against_ledger(core, *key)) return refusal;
  if (auto refusal = check_evidence(core, *key, octets, entry.entry)) return refusal;
  if (core.outcome == token::Outcome::Injected && entry.entry.signature.empty()) {
    return std::nullopt;  // the SE was never heard: voided by a later leaf, or still to be
  }
  entry.batch = core.batch_id;
  entry.record_no = core.record_no.value;
  entry.core_sha256 = core_sha256;
  if (first) {
    if (*first != core_sha256) entry.incident = "receipt-doubled";
    return std::nullopt;
  }
  if (core.outcome == token::Outcome::Injected) {
    if (const auto lacking = check_verdicts(core, *key)) {
      entry.incident = "receipt-" + lacking->reason;
      return std::nullopt;
    }
  }
  if (key->state != RecordState::Issued) {
    entry.incident = "receipt-after-end";
    return std::nullopt;
  }
  entry.accept = true;
  bind_device_serial(entry, core, *key);
  return std::nullopt;
}

std::optional<Refusal> CoreCheck::check_against_ledger(const token::ReceiptCore& core,
                                                       const IssuedKey& key) {
  if (core.certificate_sha256 != key.certificate_sha256) {
    return refuse("receipt-certificate", "it names another certificate than the record's");
  }
  if (core.challenge != key.challenge) {
    return refuse("receipt-challenge", "it answers another challenge than the record's");
  }
  if (token::name_of(core.family) != key.family || !equal(core.se_serial.bytes(), key.se_serial) ||
      core.key_name != key.key_name) {
    return refuse("receipt-se", "it names another SE or key name than the record's");
  }
  // A rework may have given the SE another device since its record ended: that entry is told as receipt-after-end.
  if (key.state != RecordState::Issued) return std::nullopt;
  const bool silent = core.device_serial.empty() && core.outcome != token::Outcome::Injected;
  if (!key.device_serial.empty() && core.device_serial != key.device_serial && !silent) {
    return refuse("receipt-device-serial", "it names another device serial than the record's");
  }
  return std::nullopt;
}

std::optional<Refusal> CoreCheck::check_evidence(const token::ReceiptCore& core,
                                                 const IssuedKey& key,
                                                 ByteView octets,
                                                 const LogEntry& entry) {
  const ByteView signature = entry.signature;
  if (core.evidence_kind != token::EvidenceKind::Attested && !entry.attestation.empty())
    return refuse("receipt-evidence", "it brings an attestation and does not say attested");
  if (core.evidence_kind == token::EvidenceKind::None) {
    if (signature.empty()) return std::nullopt;
    return refuse("receipt-evidence", "it bears a signature and says that there is none");
  }
  if (signature.empty()) return std::nullopt;
  const auto public_key = crypto::PublicKey::from_point(key.public_key);
  if (!public_key)
    return refuse("receipt-record", "the record's public key in the ledger is damaged");
  const auto kind = core.evidence_kind == token::EvidenceKind::Possession
                        ? evidence::EvidenceKind::Possession
                        : evidence::EvidenceKind::Attested;
  const auto slot = attested_slot(core.batch_id, key);
  if (slot && core.outcome == token::Outcome::Injected && kind != evidence::EvidenceKind::Attested) {
    return refuse("receipt-evidence",
                  "this chip has an attestation key, and the receipt proves possession alone");
  }
  if (!slot && kind == evidence::EvidenceKind::Attested &&
      evidence::is_supported(key.family, evidence::EvidenceKind::Attested)) {
    return refuse("receipt-evidence",
                  "it says attested, and the plan names no attestation slot or the inventory no "
                  "attestation key of this chip");
  }
  return evidence::verify_evidence({.family = key.family,
                                    .kind = kind,
                                    .key = *public_key,
                                    .core = octets,
                                    .signature = signature,
                                    .attestation = entry.attestation,
                                    .attestation_key = key.attestation_key,
                                    .se_serial = key.se_serial,
                                    .expected = slot});
}

std::optional<Refusal> CoreCheck::check_verdicts(const token::ReceiptCore& core,
                                                 const IssuedKey& key) {
  const auto public_key = crypto::PublicKey::from_point(key.public_key);  // check_evidence looked
  const Issuing& issued = issuing(core.batch_id);
  std::vector<Digest> chain{key.certificate_sha256};
  chain.insert(chain.end(), issued.issuers.begin(), issued.issuers.end());
  return token::check_line(core,
                           {.key = public_key.value(),
                            .certificate_serial = key.certificate_serial,
                            .chain_sha256 = chain,
                            .firmware_sha256 = issued.plan.firmware_sha256,
                            .checks = line_checks_of(issued.plan)});
}

std::optional<Refusal> CoreCheck::check_void(StagedEntry& entry,
                                             const token::VoidLeaf& leaf,
                                             Seen seen) {
  if (!entry.entry.signature.empty())
    return refuse("receipt-void", "a void leaf bears a signature");
  if (leaf.position >= entry.position)
    return refuse("receipt-void", "it voids an entry that comes later");
  if (seen == Seen::Before) return std::nullopt;
  std::optional<Bytes> target;
  if (leaf.position >= from_position_) {
    if (auto staged = store_.staged_entry(import_, leaf.position)) target = std::move(staged->leaf);
  } else {
    target = store_.station_leaf(station_, generation_, leaf.position);
  }
  const auto parsed = target ? token::parse_leaf(*target) : Refusal{};
  const auto* voided = std::get_if<token::StationLeaf>(&parsed);
  if (voided == nullptr || !std::holds_alternative<token::CoreLeaf>(voided->leaf)) {
    return refuse("receipt-void",
                  fmt::format("it voids entry {}, which is no receipt", leaf.position));
  }
  if (store_.accepted_at(station_, generation_, leaf.position, import_))
    entry.incident = "receipt-voided";
  return std::nullopt;
}

const CoreCheck::Issuing& CoreCheck::issuing(const BatchId& batch) {
  auto found = issuing_.find(batch);
  if (found == issuing_.end()) {
    Issuing issued{plan_of(ledger_, batch), {}};
    const Registry registry = ledger_.registry();
    const KnownAuthority* authority = registry.authority(issued.plan.certificate_authority);
    if (authority == nullptr) {
      throw Error{Code::Storage,
                  fmt::format("ledger: the authority of batch {} is not in the registry", batch.hex()),
                  "restore the ledger from its newest backup"};
    }
    issued.issuers.push_back(crypto::sha256(authority->certificate));
    for (const Bytes& above : authority->issuers) issued.issuers.push_back(crypto::sha256(above));
    found = issuing_.emplace(batch, std::move(issued)).first;
  }
  return found->second;
}

std::optional<evidence::Atecc608Slot> CoreCheck::attested_slot(const BatchId& batch,
                                                               const IssuedKey& key) {
  if (!is_chip(key) || !key.attestation_key) return std::nullopt;
  const auto& plan = issuing(batch).plan;
  if (!plan.atecc608) {
    throw Error{Code::Storage,
                fmt::format("ledger: the plan of batch {} is damaged", batch.hex()),
                "restore the ledger from its newest backup"};
  }
  const se::Atecc608Profile& profile = *plan.atecc608;
  if (!profile.attestation_slot) return std::nullopt;
  return evidence::Atecc608Slot{
      .target_slot = profile.target_slot,
      .attestation_slot = *profile.attestation_slot,
      .slot_config = se::slot_config_octets(profile.configuration, profile.target_slot),
      .key_config = se::key_config_octets(profile.configuration, profile.target_slot)};
}

const CoreCheck::BatchFacts* CoreCheck::batch(const BatchId& id) {
  auto found = facts_.find(id);
  if (found == facts_.end()) {
    std::optional<BatchFacts> facts;
    const auto row = batches_.find(id);
    const auto manifest = row ? batches_.manifest(id) : std::nullopt;
    if (manifest && manifest->state == SealState::Sealed) {
      facts = BatchFacts{*row,
                         manifest->digest,
                         row->state == BatchState::Out || row->state == BatchState::Reconciling ||
                             row->state == BatchState::Closed};
    }
    found = facts_.emplace(id, std::move(facts)).first;
  }
  return found->second ? &*found->second : nullptr;
}

// A serial that another SE bears already is not bound: the claim is shown as an incident, the
// injection stays proved.
void CoreCheck::bind_device_serial(StagedEntry& entry,
                                   const token::ReceiptCore& core,
                                   const IssuedKey& key) {
  if (!key.device_serial.empty() || core.device_serial.empty()) return;
  if (store_.device_serial_taken(
          core.device_serial, core.key_name, core.batch_id, core.record_no, import_)) {
    entry.incident = "device-serial-doubled";
  } else {
    entry.device_serial = core.device_serial;
  }
}

}  // namespace keyferry::appliance
