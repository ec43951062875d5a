#include "station-agent/unload.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "station-agent/revocations.h"
#include "station-agent/sandwich.h"
#include "token/block_sink.h"
#include "token/container_open.h"
#include "token/layout.h"
#include "token/ordered_crew.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kEntriesAtATime = 256;
constexpr std::uint64_t kMaxEntryItemBytes =
    token::kMaxLeafBytes + 256;  // leaf, signature, protobuf, length
constexpr std::uint64_t kOpeningItemsBytes = 64U * 1024;

Hand nobody(std::uint32_t person_number = 0) {
  return {LaneNo{0}, person_number, {}};
}

token::SignedBytes signed_head(const UnloadContext& context, const LogState& log) {
  const token::StationLogHead head{context.station.station_id,
                                   log.generation,
                                   log.frontier.size(),
                                   log.frontier.root(),
                                   context.clock.now()};
  return token::sign_payload(
      context.signer, crypto::SignatureKind::StationLogHead, token::serialise_head(head));
}

/// Seals leaves [from, size) to `path`. The trailer's signature comes last; only then has the file
/// its name.
UnloadedRange seal(const UnloadContext& context,
                   const LogState& log,
                   std::uint64_t from,
                   const fs::path& path) {
  const std::uint64_t to = log.frontier.size();
  if (to - from > std::numeric_limits<std::uint32_t>::max()) {
    throw Error{Code::Storage, "more receipts than one container can count"};
  }
  token::Header header;
  header.type = token::ContainerType::Receipts;
  header.environment = context.station.environment;
  header.container_id = context.random.id<ContainerId>();
  header.index = log.generation;
  header.count = static_cast<std::uint32_t>(to - from);
  header.body_bound_bytes =
      std::min(token::kMaxBodyBytes, kOpeningItemsBytes + (to - from) * kMaxEntryItemBytes);
  header.sender = context.station.signing_key.key_id();
  header.recipient = context.appliance.inbox_key.key_id();
  DurableWriter writer{path};
  token::BlockSink blocks{[&](ByteView octets) { writer.write(octets); }};
  token::Sealer sealer{header,
                       context.appliance.inbox_key,
                       [&](ByteView octets) { blocks.write(octets); },
                       token::usual_threads()};
  token::ItemWriter items{[&](ByteView octets) { sealer.write(octets); }};
  items.write(token::opening_for(header));
  const auto seen = context.store.checkpoint();
  items.write(token::ReceiptsOpening{
      signed_head(context, log), from, to, seen ? seen->note : std::string{}});
  for (std::uint64_t next = from; next < to;) {
    const auto entries = context.store.entries(next, std::min(kEntriesAtATime, to - next));
    if (entries.empty())
      throw Error{Code::Storage, "the station's log has a hole at " + std::to_string(next)};
    for (const token::ReceiptEntry& entry : entries) items.write(entry);
    next += entries.size();
  }
  const token::Sealed sealed = sealer.finish();
  blocks.write(token::make_trailer(
      sealed,
      crypto::sign(context.signer, crypto::SignatureKind::Container, sealed.digest.bytes())));
  blocks.flush();
  KF_CUT("station.unload-seal-before");
  writer.commit();
  KF_CUT("station.unload-seal-after");  // cut here: nobody has seen the file; it is sealed anew and
                                        // replaced
  return {log.generation, from, to, header.container_id, sealed.digest};
}

/// Is the sealed file that was noted still there, whole and the same?
bool still_there(const UnloadContext& context, const UnloadedRange& range, const fs::path& path) {
  if (!fs::exists(path)) return false;
  const Fd file = open_regular_file(path, Code::Storage);
  const token::Expectation expected{.type = token::ContainerType::Receipts,
                                    .environment = context.station.environment,
                                    .recipient = context.appliance.inbox_key.key_id(),
                                    .max_body_bytes = token::kMaxBodyBytes};
  const auto outline = token::outline(file, expected, token::usual_threads());
  const auto* sound = std::get_if<token::Outline>(&outline);
  return sound != nullptr && sound->digest == range.digest;
}

}  // namespace

UnloadReport unload(const UnloadContext& context) {
  for (const RecordKey& key : context.store.unsettled()) {
    const auto stored = context.store.record(key);
    if (stored && stored->state == RecordState::Injecting)
      context.store.note_cut_off(key, nobody(), "cut-off");
  }
  const LogState log = context.store.log_state();
  UnloadReport report;
  report.generation = log.generation;
  report.from_size = std::min(context.from.value_or(context.store.acknowledged()), log.frontier.size());
  report.to_size = log.frontier.size();
  if (report.from_size == report.to_size) return report;
  const std::string name = token::receipts_name(
      context.station.station_id, log.generation, report.from_size, report.to_size);
  make_private_directory(context.home.outbox());
  remove_leftovers(context.home.outbox());
  const fs::path path = context.home.outbox() / fs::path{name}.filename();
  const auto noted = context.store.unloaded(report.from_size, report.to_size);
  if (!noted || !still_there(context, *noted, path)) {
    context.store.set_unloaded(seal(context, log, report.from_size, path));
    KF_CUT("station.unload-noted");
  }
  const Fd file = open_regular_file(path, Code::Storage);
  report.file = name;
  report.size_bytes = file_size_bytes(file);
  report.was_there = token::write_out(context.medium, name, file, Overwrite::Replace) ==
                     token::WriteOut::AlreadyThere;
  KF_CUT("station.unload-written");
  return report;
}

ReturnReport return_batch(Store& store,
                          const StationFacts& station,
                          const BatchId& batch_id,
                          std::uint32_t person_number,
                          InDoubt in_doubt,
                          const Clock& clock) {
  const auto batch = store.batch(batch_id);
  if (!batch) {
    throw Error{Code::NotFound,
                "no batch " + batch_id.hex() + " at this station",
                "keyferry-station status lists them"};
  }
  if (const auto refusal = revoked_refusal(store, batch_id)) throw to_error(*refusal);
  const Hand hand = nobody(person_number);
  std::vector<RecordKey> doubtful = store.records_in(batch_id, RecordState::Doubtful);
  const auto injecting = store.records_in(batch_id, RecordState::Injecting);
  if (in_doubt == InDoubt::Refuse && !(doubtful.empty() && injecting.empty())) {
    throw Error{Code::Refused,
                std::to_string(doubtful.size() + injecting.size()) +
                    " SEs of this batch are in doubt: a cut left them "
                    "between injection and receipt",
                "put them into their fixtures and run the lanes again; --quarantine-doubtful gives "
                "them up"};
  }
  for (const RecordKey& key : injecting) {
    store.note_cut_off(key, hand, "cut-off");
    doubtful.push_back(key);
  }
  ReturnReport report;
  for (const RecordKey& key : doubtful) {
    const UtcMillis now = clock.now();
    token::ReceiptCore core = core_for(*store.record(key), *batch, station, hand, now, now);
    core.outcome = token::Outcome::Quarantined;
    core.reason = "not-proved";
    store.quarantine(key, token::serialise_core(core), core.reason, hand);
    ++report.quarantined;
  }
  for (const RecordKey& key : store.records_in(batch_id, RecordState::Loaded)) {
    const UtcMillis now = clock.now();
    token::ReceiptCore core = core_for(*store.record(key), *batch, station, hand, now, now);
    core.outcome = token::Outcome::Returned;
    store.give_back(key, token::serialise_core(core), hand);
    ++report.returned;
  }
  return report;
}

}  // namespace keyferry::station
