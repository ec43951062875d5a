#include "token/audit-tool/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "keyferry/v1/log.pb.h"
#include "token/audit/merkle.h"
#include "token/bundle/words.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit_tool {
namespace {

std::string hex(const std::string& octets) {
  return to_hex(as_bytes(octets));
}

template <typename Id>
std::optional<Id> id_of(const std::string& octets) {
  return Id::from_bytes(as_bytes(octets));
}

std::optional<RecordEnd> end_of(const std::string& outcome) {
  if (outcome == "injected") return RecordEnd::Injected;
  if (outcome == "quarantined") return RecordEnd::Quarantined;
  if (outcome == "returned") return RecordEnd::Returned;
  return std::nullopt;
}

/// Family, serial and key name, as one number of 128 bits.
std::array<std::uint8_t, 16> se_key(const v1::KeyIssuedLeaf& leaf) {
  Bytes text;
  append_u32be(text, static_cast<std::uint32_t>(leaf.family()));
  append_u16be(text, static_cast<std::uint16_t>(leaf.se_serial().size()));
  append(text, as_bytes(leaf.se_serial()));
  append(text, as_bytes(leaf.key_name()));
  std::array<std::uint8_t, 16> key{};
  const Digest digest = crypto::sha256(text);
  std::copy_n(digest.bytes().begin(), key.size(), key.begin());
  return key;
}

constexpr std::string_view kCa = "kf-ca/";

/// plan.h, RecordSet: batch id, u32be record number, certificate serial (16).
Digest record_leaf(const BatchId& batch, std::uint32_t number, const Record& record) {
  Bytes octets = to_bytes(batch.bytes());
  append_u32be(octets, number);
  append(octets, record.serial_view());
  return audit::leaf_hash(octets);
}

}  // namespace

std::size_t History::SeKey::operator()(const std::array<std::uint8_t, 16>& key) const {
  std::size_t hash = 0;  // octets of a SHA-256 already
  std::memcpy(&hash, key.data(), sizeof hash);
  return hash;
}

void History::fault(Check check, std::string code, std::string text) {
  findings_.add(check, std::move(code), fmt::format("leaf {}", at_), std::move(text));
}

std::optional<PlanUse> History::take(std::uint64_t index, ByteView octets) {
  at_ = index;
  v1::LogLeaf leaf;
  if (!leaf.ParseFromArray(octets.data(), static_cast<int>(octets.size())) || leaf.version() != 1 ||
      leaf.detail_case() == v1::LogLeaf::DETAIL_NOT_SET) {
    fault(Check::Log,
          "leaf-unknown",
          "a leaf of a form that this program does not know: use one as new as the appliance's");
    return std::nullopt;
  }
  ++shown;
  last_time = UtcMillis{leaf.time_ms()};
  latest_time = std::max(latest_time, last_time);
  const bool begins = leaf.has_initialized() || leaf.has_adopted();
  if (begins != (index == 0))
    fault(Check::Log, "leaf-first", "a log begins with who it is, and nothing else says so");
  using Case = v1::LogLeaf::DetailCase;
  switch (leaf.detail_case()) {
    case Case::kInitialized:
      appliance = id_of<ApplianceId>(leaf.initialized().appliance_id());
      environment = token::environment_from_number(
          static_cast<std::uint32_t>(leaf.initialized().environment()));
      break;
    case Case::kAdopted:
      appliance = id_of<ApplianceId>(leaf.adopted().appliance_id());
      predecessor = id_of<ApplianceId>(leaf.adopted().old_appliance_id());
      break;
    case Case::kPerson:
      take_person(leaf);
      break;
    case Case::kPolicy:
      policy.clear();
      for (const auto& rule : leaf.policy().rules())
        policy[rule.operation()] = rule.officers_needed();
      break;
    case Case::kPlan:
      return take_plan(leaf);
    case Case::kKeyMade:
      if (leaf.key_made().label().starts_with(kCa))
        authority_keys[leaf.key_made().label().substr(kCa.size())] =
            to_bytes(as_bytes(leaf.key_made().public_key()));
      break;
    case Case::kStationEnrolled:
      if (const auto id = id_of<StationId>(leaf.station_enrolled().station_id()))
        stations[*id] = {
            crypto::PublicKey::from_point(as_bytes(leaf.station_enrolled().signing_key())),
            crypto::PublicKey::from_point(as_bytes(leaf.station_enrolled().agreement_key()))};
      break;
    case Case::kKeyIssued:
      take_key(leaf);
      break;
    case Case::kSegmentIssued:
      take_segment(leaf);
      break;
    case Case::kManifestIssued:
      if (BatchHistory* of = batch(leaf.manifest_issued().batch_id()))
        of->manifest = id_of<Digest>(leaf.manifest_issued().digest());
      break;
    case Case::kBatchCertified:
      if (BatchHistory* of = batch(leaf.batch_certified().batch_id())) of->outside = true;
      break;
    case Case::kReceiptAccepted:
      take_receipt(leaf);
      break;
    case Case::kReceiptsImported: {
      const auto& said = leaf.receipts_imported();
      const auto station = id_of<StationId>(said.station_id());
      const auto root = id_of<Digest>(said.root());
      if (station && root)
        station_roots.push_back({*station, said.generation(), said.size(), *root});
      break;
    }
    case Case::kIncident:
      ++incidents[printable(leaf.incident().kind())];
      break;
    case Case::kRefused:
      refusals += std::max<std::uint64_t>(leaf.refused().count(), 1);
      break;
    case Case::kBatchClosed:
      if (const auto id = id_of<BatchId>(leaf.batch_closed().batch_id()))
        take_end({*id}, leaf.batch_closed().records(), leaf.batch_closed().records_root());
      break;
    case Case::kTokenLost:
      if (const auto id = id_of<BatchId>(leaf.token_lost().batch_id());
          id && leaf.token_lost().decision() == "revoke")
        take_end({*id}, leaf.token_lost().records(), leaf.token_lost().records_root());
      break;
    case Case::kStationRetired: {
      std::vector<BatchId> closed;
      for (const std::string& octets_of : leaf.station_retired().batches()) {
        if (const auto id = id_of<BatchId>(octets_of)) closed.push_back(*id);
      }
      std::ranges::sort(closed);
      take_end(closed, leaf.station_retired().records(), leaf.station_retired().records_root());
      break;
    }
    case Case::kQuarantineReleased:
      static_cast<void>(
          record(leaf.quarantine_released().batch_id(), leaf.quarantine_released().record_no()));
      break;
    case Case::kDevice:
      take_device(leaf);
      break;
    case Case::kCrlIssued:
      if (const auto digest = id_of<Digest>(leaf.crl_issued().crl_sha256())) crls.insert(*digest);
      break;
    case Case::kCustody:
      if (const auto digest = id_of<Digest>(leaf.custody().statement_sha256()))
        custody.emplace_back(index, *digest);
      break;
    case Case::kCeremony:
      if (const auto digest = id_of<Digest>(leaf.ceremony().transcript_sha256()))
        transcripts.insert(*digest);
      break;
    case Case::kNote:
      if (!challenge_words_.empty() && leaf.note().event() == bundle::kChallengeEvent &&
          bundle::plain_words(leaf.note().subject()) == challenge_words_)
        challenge = Challenge{index, last_time};
      break;
    case Case::kInventory:
    case Case::kExported:
    case Case::kInboxOpened:
    case Case::kKeyRequested:
    case Case::kSegmentWaiting:
    case Case::kBackup:
    case Case::kSuspend:
    case Case::kPinChanged:
    case Case::kCaRetired:
    case Case::kCaRevoked:
    case Case::kOutsideCrl:
    case Case::kKeyDestroyed:
    case Case::DETAIL_NOT_SET:
      break;
  }
  return std::nullopt;
}

void History::take_person(const v1::LogLeaf& leaf) {
  const v1::PersonLeaf& said = leaf.person();
  Person& person = persons[said.number()];
  person.role = said.role();
  person.key = crypto::PublicKey::from_point(as_bytes(said.public_key()));
  person.disabled = said.event() == "disabled";
  if (!person.key)
    fault(Check::Approvals,
          "person-key",
          fmt::format("person {} has no key of P-256", said.number()));
}

std::optional<PlanUse> History::take_plan(const v1::LogLeaf& leaf) {
  const v1::PlanLeaf& said = leaf.plan();
  PlanUse use{.leaf = at_, .number = said.plan_number(), .operation = printable(said.operation())};
  const auto digest = id_of<Digest>(said.plan_digest());
  if (!digest) {
    fault(Check::Approvals, "plan-digest", "a plan without a digest");
    return std::nullopt;
  }
  use.digest = *digest;
  if (use.number <= last_plan_)
    fault(Check::Approvals,
          "plan-number",
          fmt::format("plan number {} is used: the last one was {}", use.number, last_plan_));
  last_plan_ = std::max(last_plan_, use.number);
  std::set<std::uint32_t> numbers;
  for (const std::string& octets : said.officer_key_ids()) {
    const auto key_id = id_of<KeyId>(octets);
    const auto who = std::ranges::find_if(persons, [&](const auto& one) {
      return key_id && one.second.key && one.second.key->key_id() == *key_id;
    });
    if (who == persons.end() && predecessor) continue;  // enrolled in the log before this one
    if (who == persons.end() || who->second.disabled || who->second.role != "officer") {
      fault(Check::Approvals,
            "approval-officer",
            fmt::format("plan {} is approved by key {}, which was no officer's then",
                        use.digest.hex(),
                        hex(octets)));
    } else {
      use.officers.emplace_back(*key_id, *who->second.key);
      numbers.insert(who->first);
    }
  }
  if (predecessor && numbers.size() < static_cast<std::size_t>(said.officer_key_ids_size())) {
    ++unchecked_plans;
    return use;
  }
  const auto needed = policy.find(said.operation());
  const std::uint32_t least = needed == policy.end() ? 1 : needed->second;
  if (needed == policy.end() && !predecessor && use.operation != "policy-change" &&
      use.operation != "hsm-adopt-state")
    fault(Check::Approvals,
          "approval-policy",
          fmt::format("the policy has no rule for operation {}", use.operation));
  if (numbers.size() < least)
    fault(Check::Approvals,
          "approval-quorum",
          fmt::format("{} officers approved plan {}, the policy then asked for {}",
                      numbers.size(),
                      use.digest.hex(),
                      least));
  return use;
}

void History::batch_is(const Digest& plan, const BatchPlanFacts& facts) {
  const BatchId id = *BatchId::from_bytes(plan.bytes().first(BatchId::kSizeBytes));
  BatchHistory& of = batches[id];
  of.id = id;
  of.plan = plan;
  of.site = facts.site;
  of.customer = facts.customer;
  of.authority = facts.authority;
  of.family = facts.family;
  of.station = facts.station;
  of.se_count = facts.se_count;
  of.segment_size = facts.segment_size;
}

BatchHistory* History::batch(const std::string& octets) {
  const auto id = id_of<BatchId>(octets);
  const auto found = id ? batches.find(*id) : batches.end();
  if (found != batches.end()) return &found->second;
  if (predecessor && id) {
    older_batches.insert(*id);
    return nullptr;
  }
  fault(Check::Approvals,
        "batch-unapproved",
        fmt::format("batch {} was never approved", hex(octets)));
  return nullptr;
}

Record* History::record(const std::string& octets, std::uint32_t number) {
  BatchHistory* of = batch(octets);
  if (of == nullptr) return nullptr;
  const auto segment = of->segments.find(number / of->segment_size);
  const std::uint32_t in_segment = number % of->segment_size;
  if (segment != of->segments.end() && in_segment < segment->second.records.size())
    return &segment->second.records[in_segment];
  fault(Check::Conservation,
        "record-unknown",
        fmt::format("batch {} has no record {}", of->id.hex(), number));
  return nullptr;
}

void History::take_key(const v1::LogLeaf& leaf) {
  const v1::KeyIssuedLeaf& said = leaf.key_issued();
  BatchHistory* of = batch(said.batch_id());
  if (of == nullptr) return;
  const std::string name = fmt::format("record {} of batch {}", said.record_no(), of->id.hex());
  const auto certificate = id_of<Digest>(said.certificate_sha256());
  const auto key = id_of<Digest>(said.public_key_sha256());
  Record record;
  const std::string& serial = said.certificate_serial();
  if (!certificate || !key || serial.empty() || serial.size() > record.serial.size())
    return fault(Check::Keys, "key-leaf", name + ": the leaf is malformed");
  Segment& segment = of->segments[said.record_no() / of->segment_size];
  if (said.record_no() >= of->se_count || segment.issued ||
      said.record_no() % of->segment_size != segment.records.size())
    return fault(Check::Conservation,
                 "record-doubled",
                 name + " comes twice, out of order, or beyond the approved list");
  record.certificate_sha256 = *certificate;
  record.public_key_sha256 = *key;
  std::ranges::copy(as_bytes(serial), record.serial.begin());
  record.serial_size = static_cast<std::uint8_t>(serial.size());
  record.se = se_key(said);
  segment.records.push_back(record);
  const auto [place, first] = last_of_se_.try_emplace(record.se, Place{of->id, said.record_no()});
  if (first) return;
  BatchHistory& earlier_batch = batches.at(place->second.batch);
  const Record& earlier =
      earlier_batch.segments.at(place->second.record / earlier_batch.segment_size)
          .records.at(place->second.record % earlier_batch.segment_size);
  if (earlier.live) {
    fault(Check::Keys,
          "se-two-keys",
          fmt::format("{}: its SE has an unrevoked key already, record {} of batch {}",
                      name,
                      place->second.record,
                      place->second.batch.hex()));
  }
  place->second = {of->id, said.record_no()};
}

void History::take_segment(const v1::LogLeaf& leaf) {
  const v1::SegmentIssuedLeaf& said = leaf.segment_issued();
  BatchHistory* of = batch(said.batch_id());
  if (of == nullptr) return;
  Segment& segment = of->segments[said.index()];
  if (segment.issued || segment.records.size() != said.count()) {
    fault(Check::Conservation,
          "segment-count",
          fmt::format("segment {} of batch {} has {} records, its leaf says {}",
                      said.index(),
                      of->id.hex(),
                      segment.records.size(),
                      said.count()));
  }
  segment.issued = said.count();
  if (!said.plaintext().empty()) of->plaintext = printable(said.plaintext());
}

void History::take_receipt(const v1::LogLeaf& leaf) {
  const v1::ReceiptAcceptedLeaf& said = leaf.receipt_accepted();
  Record* of = record(said.batch_id(), said.record_no());
  if (of == nullptr) return;
  const auto end = end_of(said.outcome());
  const auto core = id_of<Digest>(said.core_sha256());
  const auto station = id_of<StationId>(said.station_id());
  if (!end || !core || !station)
    return fault(Check::Receipts, "receipt-leaf", "the leaf of a receipt is malformed");
  if (of->end != RecordEnd::Outstanding)
    return fault(
        Check::Conservation,
        "receipt-after-end",
        fmt::format(
            "record {} of batch {} had ended before", said.record_no(), hex(said.batch_id())));
  of->end = *end;
  of->core_sha256 = *core;
  of->has_receipt = true;
  of->receipt_station = *station;
  of->live = *end == RecordEnd::Injected;  // the others' certificates are revoked with the receipt
}

void History::take_end(const std::vector<BatchId>& ended,
                       std::uint64_t count,
                       const std::string& root) {
  std::vector<Digest> leaves;
  bool comparable = true;
  for (const BatchId& id : ended) {
    const auto found = batches.find(id);
    if (found == batches.end()) {
      comparable = false;  // not shown in this bundle
      continue;
    }
    BatchHistory& of = found->second;
    of.closed = true;
    if (of.outside)
      comparable = false;  // the root is over ids that stand for an outside CA's serials
    for (auto& [index, segment] : of.segments) {
      for (std::size_t at = 0; at < segment.records.size(); ++at) {
        Record& record = segment.records[at];
        if (record.end != RecordEnd::Outstanding) continue;
        record.end = RecordEnd::Revoked;
        record.live = false;
        leaves.push_back(
            record_leaf(id, index * of.segment_size + static_cast<std::uint32_t>(at), record));
      }
    }
  }
  if (!comparable) return;
  if (leaves.size() != count || audit::tree_root(leaves).str() != root)
    fault(Check::Conservation,
          "closed-records",
          fmt::format("officers closed {} records, and {} were outstanding, or other ones",
                      count,
                      leaves.size()));
}

void History::take_device(const v1::LogLeaf& leaf) {
  Record* of = record(leaf.device().batch_id(), leaf.device().record_no());
  if (of == nullptr) return;
  if (leaf.device().act() == "device-revoke" && of->end == RecordEnd::Outstanding)
    of->end = RecordEnd::Revoked;
  if (leaf.device().act() != "device-rma") of->live = false;
}

void History::finish() {
  std::vector<Digest> keys;
  for (const auto& [id, of] : batches) {
    for (const auto& [index, segment] : of.segments) {
      for (const Record& record : segment.records) keys.push_back(record.public_key_sha256);
    }
  }
  std::ranges::sort(keys);
  for (auto at = std::ranges::adjacent_find(keys); at != keys.end();
       at = std::adjacent_find(std::next(at), keys.end())) {
    findings_.add(Check::Keys, "key-doubled", at->hex(), "one public key stands in two records");
  }
  last_of_se_.clear();
}

}  // namespace keyferry::audit_tool
