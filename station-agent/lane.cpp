#include "station-agent/lane.h"

#include <utility>

#include "wrap/base/text.h"
#include "wrap/se/family.h"

namespace keyferry::station {
namespace {

se::Family se_family(token::Family family) {
  return se::family_from_name(token::name_of(family)).value_or(se::Family::Pkcs11);
}

std::string name_of(const RecordKey& key) {
  return "record " + std::to_string(key.record_no.value) + " of batch " + key.batch_id.hex();
}

}  // namespace

Lane::Lane(const LanePlan& plan,
           const StationFacts& station,
           Store& store,
           const Clock& clock,
           OpenChip open_chip)
    : plan_{plan},
      station_{station},
      store_{store},
      clock_{clock},
      open_chip_{std::move(open_chip)} {}

std::vector<DeviceOutcome> Lane::handle(const SePlace& place) {
  DeviceOutcome none;
  none.result = "refused";
  none.lane = plan_.number;
  none.device_serial = place.device_serial;
  const std::unique_ptr<Chip> chip = open_chip_(place);
  std::variant<ChipFacts, ChipRefusal> identified = ChipRefusal{};
  try {
    identified = chip->identify();
  } catch (const ChipLost& lost) {
    none.result = "lost";
    none.reason = "se-lost";
    none.text = lost.what();
    none.hint = lost.hint();
    return {none};
  }
  if (const auto* refusal = std::get_if<ChipRefusal>(&identified)) {
    none.reason = refusal->refusal.reason;
    none.text = refusal->refusal.text;
    none.hint = refusal->refusal.hint;
    none.se_serial = refusal->found;
    if (refusal->found) {
      const auto records = store_.records_for(plan_.family, *refusal->found);
      none.text += records.empty() ? "; it has no record at this station"
                                   : "; it belongs to " + name_of(records.front().key());
    }
    return {none};
  }
  const auto& facts = std::get<ChipFacts>(identified);
  none.se_serial = facts.serial;
  const std::string serial = printable(se::serial_text(se_family(plan_.family), facts.serial));
  std::vector<StoredRecord> records = store_.records_for(plan_.family, facts.serial);
  if (records.empty()) {
    none.reason = "se-unknown";
    none.text = "SE " + serial + " has no record at this station";
    none.hint =
        "it belongs elsewhere, or its batch or segment is not loaded: keyferry-station status";
    return {none};
  }
  if (!facts.prepared) {
    none.reason = "se-not-prepared";
    none.text = "SE " + serial + " has no transport key";
    none.hint = "this SE was not personalised; set it aside";
    return {none};
  }
  const LinePlace line{
      station_, store_, clock_, Hand{plan_.number, plan_.person_number, place.device_serial}};
  std::vector<DeviceOutcome> outcomes;
  for (StoredRecord& stored : records) {
    outcomes.push_back(run_sandwich(line, *chip, std::move(stored)));
    if (outcomes.back().reason == "se-lost") break;
  }
  return outcomes;
}

}  // namespace keyferry::station
