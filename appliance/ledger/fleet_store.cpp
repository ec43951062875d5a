#include "appliance/ledger/fleet_store.h"

#include <fmt/format.h>

#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

// What was not run is no pass; a plan without firmware has nothing to run.
bool passed(const token::Verdicts& verdicts) {
  using token::Verdict;
  return verdicts.chain == Verdict::Pass && verdicts.challenge == Verdict::Pass &&
         verdicts.serial_registered == Verdict::Pass &&
         (verdicts.firmware == Verdict::Pass || verdicts.firmware == Verdict::NotApplicable);
}

token::ReceiptCore core_of(const Bytes& octets, const BatchId& batch, std::uint32_t record) {
  auto parsed = token::parse_core(octets);
  if (auto* core = std::get_if<token::ReceiptCore>(&parsed)) return std::move(*core);
  throw Error{Code::Storage,
              fmt::format("ledger: the receipt of record {} of batch {} is damaged", record, batch.hex()),
              "restore the ledger from its newest backup"};
}

}  // namespace

FleetCounts FleetStore::visit(const BatchId& batch, const std::optional<UtcMillis>& since,
                              const std::function<void(const FleetDevice&)>& visit) {
  return store::guarded("ledger: list devices that passed", [&] {
    FleetCounts counts;
    SQLite::Statement query{
        ledger_.database(),
        "SELECT record.record_no, core, coalesce(outside_serial, certificate_serial), public_key, CASE WHEN device_serial_bound <> '' THEN "
        "device_serial_bound ELSE se.device_serial END, authority, customer, batch.site, coalesce(station.name, ''), "
        "accepted_ms, record.revoked OR crl_due FROM record JOIN receipt USING (batch_id, record_no) JOIN batch USING "
        "(batch_id) JOIN se USING (se_id) LEFT JOIN station ON station.station_id = receipt.station_id WHERE "
        "record.batch_id = :batch AND record.state = 'injected' AND accepted_ms >= :since ORDER BY record.record_no"};
    store::bind_blob(query, ":batch", batch.bytes());
    query.bind(":since", since ? since->value : std::int64_t{0});
    while (query.executeStep()) {
      FleetDevice device{.core = core_of(store::column_blob(query, 1), batch, query.getColumn(0).getUInt())};
      if (query.getColumn(10).getInt() != 0) {
        ++counts.revoked;
        continue;
      }
      if (!passed(device.core.verdicts)) {
        ++counts.failed;
        continue;
      }
      device.certificate_serial = store::column_blob(query, 2);
      device.public_key = store::column_blob(query, 3);
      device.device_serial = query.getColumn(4).getString();
      device.authority = query.getColumn(5).getString();
      device.customer = query.getColumn(6).getString();
      device.site = query.getColumn(7).getString();
      device.station = query.getColumn(8).getString();
      device.evidence = device.core.evidence_kind;
      device.accepted = UtcMillis{query.getColumn(9).getInt64()};
      visit(device);
      ++counts.devices;
    }
    return counts;
  });
}

}  // namespace keyferry::appliance
