#include "appliance/front/batch_status.h"

#include <fmt/format.h>

#include <map>

#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/outside_store.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

/// Records of sealed segments by state; rows of a segment that is not sealed stand for nothing.
std::map<std::string, std::uint64_t> count_records(Ledger& ledger, const BatchId& batch) {
  return store::guarded("ledger: count a batch's records", [&] {
    SQLite::Statement query{
        ledger.database(),
        "SELECT r.state, count(*) FROM record r LEFT JOIN segment s ON s.batch_id = r.batch_id AND "
        "s.idx = r.segment_idx WHERE r.batch_id = :batch AND (s.state = 'sealed' OR r.state = "
        "'never_left') GROUP BY r.state ORDER BY r.state"};
    store::bind_blob(query, ":batch", batch.bytes());
    std::map<std::string, std::uint64_t> counts;
    while (query.executeStep()) {
      counts[query.getColumn(0).getString()] =
          static_cast<std::uint64_t>(query.getColumn(1).getInt64());
    }
    return counts;
  });
}

struct Status {
  Json json;
  std::vector<std::string> lines;
};

Status status_of(Context& context,
                 BatchStore& batches,
                 const BatchRow& batch,
                 const Registry& registry) {
  auto counts = count_records(context.ledger(), batch.id);
  std::uint64_t sealed_segments = 0;
  for (const SealedPart& segment : batches.segments(batch.id)) {
    if (segment.state == SealState::Sealed) ++sealed_segments;
  }
  const auto manifest = batches.manifest(batch.id);
  const bool manifest_sealed = manifest && manifest->state == SealState::Sealed;
  const std::uint64_t issued = batch.started ? batch.se_count : 0;
  const std::uint64_t ended = counts["injected"] + counts["quarantined"] + counts["returned"] +
                              counts["never_left"] + counts["revoked"];
  const std::uint64_t outstanding = issued > ended ? issued - ended : 0;
  const bool overdue = outstanding > 0 && batch.due <= context.clock().now();
  const KnownStation* station = registry.station(batch.station);
  const std::string station_name = station == nullptr ? batch.station.hex() : station->name;

  Status status;
  status.json = Json{{"batch", batch.id.hex()},
                     {"state", state_name(batch.state)},
                     {"station", station_name},
                     {"site", batch.site},
                     {"customer", batch.customer},
                     {"se_count", batch.se_count},
                     {"target_count", batch.target_count},
                     {"segments", batch.segment_count},
                     {"segments_sealed", sealed_segments},
                     {"manifest_sealed", manifest_sealed},
                     {"issued", issued},
                     {"injected", counts["injected"]},
                     {"quarantined", counts["quarantined"]},
                     {"returned", counts["returned"]},
                     {"never_left", counts["never_left"]},
                     {"revoked", counts["revoked"]},
                     {"outstanding", outstanding},
                     {"suspended", is_suspended(context.ledger(), batch.id)},
                     {"due", to_rfc3339(batch.due)},
                     {"overdue", overdue},
                     {"exports", Json::array()}};
  const OutsideStore::Counts waiting = OutsideStore{context.ledger()}.counts(batch.id);
  if (waiting.requests > 0) {
    status.json["requests"] = waiting.requests;
    status.json["certificates_in"] = waiting.certificates;
  }
  for (const ExportRow& row : batches.exports(batch.id)) {
    status.json["exports"].push_back({{"token", row.token.hex()}, {"state", row.state}});
  }
  status.lines = {fmt::format("batch {}  {}{}",
                              batch.id.hex(),
                              state_name(batch.state),
                              is_suspended(context.ledger(), batch.id) ? ", suspended" : ""),
                  fmt::format("  for station {} at {}{}, {} SEs, target {}",
                              station_name,
                              batch.site,
                              batch.customer.empty() ? "" : " (" + batch.customer + ")",
                              batch.se_count,
                              batch.target_count),
                  fmt::format("  segments {} of {} sealed, manifest {}",
                              sealed_segments,
                              batch.segment_count,
                              manifest_sealed ? "sealed" : "not made"),
                  fmt::format("  issued {} = injected {} + quarantined {} + returned {} + never "
                              "left {} + revoked {} + outstanding {}",
                              issued,
                              counts["injected"],
                              counts["quarantined"],
                              counts["returned"],
                              counts["never_left"],
                              counts["revoked"],
                              outstanding),
                  fmt::format("  due {}{}", to_rfc3339(batch.due), overdue ? ", overdue" : "")};
  const bool waits = batch.state == BatchState::Waiting || batch.state == BatchState::Certifying;
  if (waits) {
    const bool approved = batch.state == BatchState::Certifying;
    status.lines.push_back(
        fmt::format("  outside CA \"{}\": {} of {} certificates are in{}",
                    batch.authority,
                    waiting.certificates,
                    waiting.requests,
                    approved ? ", approved" : "; nothing is sealed before officers approve them"));
  }
  return status;
}

}  // namespace

int batch_status(Context& context, const std::optional<std::string>& id) {
  BatchStore batches{context.ledger()};
  std::vector<BatchRow> chosen;
  if (id) {
    auto found = batches.resolve(*id);
    if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
    chosen.push_back(std::get<BatchRow>(std::move(found)));
  } else {
    chosen = batches.all();
  }
  const Registry registry = context.ledger().registry();
  Json json{{"batches", Json::array()}};
  std::vector<std::string> lines;
  for (const BatchRow& batch : chosen) {
    Status status = status_of(context, batches, batch, registry);
    json["batches"].push_back(std::move(status.json));
    lines.insert(lines.end(), status.lines.begin(), status.lines.end());
  }
  if (chosen.empty()) lines.emplace_back("no batch yet");
  context.out().result("batch-status", json, lines);
  return 0;
}

}  // namespace keyferry::appliance
