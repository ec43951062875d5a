#include "appliance/front/reconcile.h"

#include <fmt/format.h>

#include <cstdio>
#include <map>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/ends_store.h"
#include "appliance/ledger/receipt_store.h"
#include "appliance/ledger/reconcile_store.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/se/family.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxNamesShown = 50;  // as text, for each batch; JSON has all

void put(Json& json, const Sums& sums) {
  json["issued"] = sums.issued;
  json["injected"] = sums.injected;
  json["quarantined"] = sums.quarantined;
  json["returned"] = sums.returned;
  json["never_left"] = sums.never_left;
  json["revoked"] = sums.revoked;
  json["outstanding"] = sums.outstanding;
}

std::string sums_text(const Sums& sums) {
  return fmt::format(
      "issued {} = injected {} + quarantined {} + returned {} + never left {} + revoked {} + "
      "outstanding {}",
      sums.issued,
      sums.injected,
      sums.quarantined,
      sums.returned,
      sums.never_left,
      sums.revoked,
      sums.outstanding);
}

std::string serial_text(const OutstandingSe& se) {
  const auto family = se::family_from_name(se.family);
  const auto serial = SeSerial::from_bytes(se.se_serial);
  return family && serial ? printable(se::serial_text(*family, *serial)) : to_hex(se.se_serial);
}

struct Total {
  Sums sums;
  std::uint64_t overdue = 0;
};

/// Prints as it goes: the list of what is outstanding may be long, and is never held whole.
class Report {
 public:
  explicit Report(Context& context)
      : context_{context},
        reconcile_{context.ledger()},
        registry_{context.ledger().registry()},
        now_{context.clock().now()} {}

  int run(const std::vector<BatchRow>& batches) {
    const bool json = context_.out().json();
    if (json)
      fmt::print(stdout,
                 "{{\n\"schema\": \"keyferry.reconcile.v1\",\n\"time\": \"{}\",\n\"batches\": [",
                 to_rfc3339(now_));
    bool first = true;
    for (const BatchRow& batch : batches) {
      if (json) fmt::print(stdout, "{}\n", first ? "" : ",");
      add(batch);
      first = false;
    }
    if (batches.empty()) context_.out().line("no batch yet");
    finish();
    return overdue_ > 0 || !incidents_.empty() || !agree_ ? 1 : 0;
  }

 private:
  void add(const BatchRow& batch) {
    const Sums sums = reconcile_.sums(batch);
    const bool agree = sums.agree() && sums == reconcile_.cross_check(batch);
    agree_ = agree_ && agree;
    const bool late = sums.outstanding > 0 && batch.due <= now_;
    const std::uint64_t overdue = late ? sums.outstanding : 0;
    overdue_ += overdue;
    for (Total* total : {&all_, &sites_[batch.site], &stations_[batch.station]}) {
      total->sums += sums;
      total->overdue += overdue;
    }
    if (context_.out().json()) {
      print_json(batch, sums, overdue, agree);
    } else {
      print_lines(batch, sums, overdue, agree);
    }
  }

  /// Quarantined and returned by the factory's word alone (design.md section 9).
  std::uint64_t claimed(const BatchRow& batch, const Sums& sums) {
    return sums.quarantined + sums.returned - EndsStore{context_.ledger()}.in_hand(batch.id);
  }

  std::string station_name(const StationId& id) const {
    const KnownStation* station = registry_.station(id);
    return station == nullptr ? id.hex() : station->name;
  }

  void print_json(const BatchRow& batch, const Sums& sums, std::uint64_t overdue, bool agree) {
    Json json{{"batch", batch.id.hex()},
              {"state", std::string{state_name(batch.state)}},
              {"site", batch.site},
              {"customer", batch.customer},
              {"station", station_name(batch.station)},
              {"station_id", batch.station.hex()},
              {"target_count", batch.target_count},
              {"due", to_rfc3339(batch.due)}};
    put(json, sums);
    json["in_hand"] = EndsStore{context_.ledger()}.in_hand(batch.id);
    json["claimed"] = claimed(batch, sums);
    json["scrapped"] = scrapped_in(context_.ledger(), batch.id);
    json["overdue"] = overdue;
    json["agree"] = agree;
    std::string text = json.dump();
    text.pop_back();
    fmt::print(stdout, "{},\n \"outstanding_records\": [", text);
    bool first = true;
    reconcile_.visit_outstanding(batch, [&](const OutstandingSe& se) {
      const Json name{{"record_no", se.record_no},
                      {"family", se.family},
                      {"se_serial", to_hex(se.se_serial)},
                      {"serial_text", serial_text(se)},
                      {"key_name", se.key_name},
                      {"device_serial", se.device_serial},
                      {"overdue", overdue > 0},
                      {"sealed", se.sealed}};
      fmt::print(stdout, "{}\n  {}", first ? "" : ",", name.dump());
      first = false;
    });
    fmt::print(stdout, "]}}");
  }

  void print_lines(const BatchRow& batch, const Sums& sums, std::uint64_t overdue, bool agree) {
    Output& out = context_.out();
    out.line(fmt::format("batch {}  {}  site {}  station {}",
                         batch.id.hex(),
                         state_name(batch.state),
                         batch.site,
                         station_name(batch.station)));
    out.line("  " + sums_text(sums));
    if (!agree)
      out.line("  these sums do not agree: the ledger was changed outside of this program");
    if (sums.quarantined + sums.returned > 0) {
      out.line(
          fmt::format("  of quarantined and returned: {} claimed by the factory, {} in hand here, {} of these scrapped",
                      claimed(batch, sums), EndsStore{context_.ledger()}.in_hand(batch.id),
                      scrapped_in(context_.ledger(), batch.id)));
    }
    if (sums.outstanding == 0) return;
    out.line(fmt::format(
        "  outstanding, due {}{}:", to_rfc3339(batch.due), overdue > 0 ? ", overdue" : ""));
    std::uint64_t shown = 0;
    reconcile_.visit_outstanding(batch, [&](const OutstandingSe& se) {
      if (shown++ >= kMaxNamesShown) return;
      out.line(fmt::format("    record {}  {} {}  {}{}",
                           se.record_no,
                           se.family,
                           serial_text(se),
                           se.key_name,
                           se.sealed ? "" : "  (no key yet)"));
    });
    if (shown > kMaxNamesShown)
      out.line(fmt::format("    and {} more (--json names all)", shown - kMaxNamesShown));
  }

  void finish() {
    incidents_ = ReceiptStore{context_.ledger()}.incidents();
    const bool unfinished = ReceiptStore{context_.ledger()}.staged_import().has_value();
    if (context_.out().json()) {
      finish_json(unfinished);
      return;
    }
    Output& out = context_.out();
    if (sites_.size() > 1) {
      for (const auto& [site, total] : sites_)
        out.line(fmt::format("site {}: {}", site, sums_text(total.sums)));
    }
    if (stations_.size() > 1) {
      for (const auto& [id, total] : stations_) {
        out.line(fmt::format("station {}: {}", station_name(id), sums_text(total.sums)));
      }
    }
    out.line("in all: " + sums_text(all_.sums));
    if (overdue_ > 0) out.line(fmt::format("overdue: {}", overdue_));
    for (const IncidentRow& incident : incidents_) {
      out.line(fmt::format("incident {}: {}: {} ({})",
                           incident.id,
                           printable(incident.kind),
                           printable(incident.text),
                           printable(incident.subject)));
    }
    if (unfinished)
      out.line("an import of receipts was cut off: give the same `receipts import` command again");
  }

  void finish_json(bool unfinished) {
    Json tail;
    tail["sites"] = Json::array();
    for (const auto& [site, total] : sites_) {
      Json one{{"site", site}};
      put(one, total.sums);
      one["overdue"] = total.overdue;
      tail["sites"].push_back(std::move(one));
    }
    tail["stations"] = Json::array();
    for (const auto& [id, total] : stations_) {
      Json one{{"station", station_name(id)}, {"station_id", id.hex()}};
      put(one, total.sums);
      one["overdue"] = total.overdue;
      tail["stations"].push_back(std::move(one));
    }
    tail["totals"] = Json::object();
    put(tail["totals"], all_.sums);
    tail["overdue"] = overdue_;
    tail["agree"] = agree_;
    tail["unfinished_import"] = unfinished;
    tail["incidents"] = Json::array();
    for (const IncidentRow& incident : incidents_) {
      tail["incidents"].push_back(Json{{"incident", incident.id},
                                       {"kind", printable(incident.kind)},
                                       {"subject", printable(incident.subject)},
                                       {"text", printable(incident.text)},
                                       {"evidence_sha256", incident.evidence_sha256.hex()},
                                       {"seen", to_rfc3339(incident.seen)}});
    }
    fmt::print(stdout, "],\n{}\n", tail.dump().substr(1));
    std::fflush(stdout);
  }

  Context& context_;
  ReconcileStore reconcile_;
  Registry registry_;
  UtcMillis now_;
  Total all_;
  std::map<std::string, Total> sites_;
  std::map<StationId, Total> stations_;
  std::uint64_t overdue_ = 0;
  bool agree_ = true;
  std::vector<IncidentRow> incidents_;
};

}  // namespace

int reconcile(Context& context, const std::optional<std::string>& batch) {
  BatchStore store{context.ledger()};
  if (!batch) return Report{context}.run(store.all());
  auto found = store.resolve(*batch);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  return Report{context}.run({std::get<BatchRow>(std::move(found))});
}

}  // namespace keyferry::appliance
