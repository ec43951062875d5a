#include "station-agent/lane.h"

#include <utility>

#include "station-agent/admission.h"
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

Lane::Lane(const LanePlan& plan, const LaneParts& parts, const FirmwareImage* firmware)
    : plan_{plan}, parts_{parts}, firmware_{firmware} {}

/// The border of a lane: what goes wrong in it is a red device, unless the whole station cannot go
/// on.
std::vector<DeviceOutcome> Lane::handle(const SePlace& place) {
  DeviceOutcome none;
  none.result = "refused";
  none.lane = plan_.number;
  none.family = plan_.family;
  none.device_serial = place.device_serial;
  try {
    return handle_chip(place, none);
  } catch (const Error& error) {
    if (error.code() == Code::Storage || error.code() == Code::Internal) throw;
    none.result = "lost";
    none.reason = dynamic_cast<const ChipLost*>(&error) != nullptr ? "se-lost" : "lane-failed";
    none.text = error.what();
    none.hint = error.hint();
    return {none};
  }
}

DeviceOutcome Lane::refused(DeviceOutcome none, const ChipRefusal& refusal) const {
  none.reason = refusal.refusal.reason;
  none.text = refusal.refusal.text;
  none.hint = refusal.refusal.hint;
  none.se_serial = refusal.found;
  if (refusal.found) {
    const auto records = parts_.store.records_for(plan_.family, *refusal.found);
    none.text += records.empty() ? "; it has no record at this station"
                                 : "; it belongs to " + name_of(records.front().key());
  }
  return none;
}

std::vector<DeviceOutcome> Lane::handle_chip(const SePlace& place, DeviceOutcome none) {
  const std::unique_ptr<Chip> chip = parts_.open_chip(place);
  const auto identified = chip->identify();
  if (const auto* refusal = std::get_if<ChipRefusal>(&identified)) return {refused(none, *refusal)};
  const auto& facts = std::get<ChipFacts>(identified);
  none.se_serial = facts.serial;
  const std::string serial = printable(se::serial_text(se_family(plan_.family), facts.serial));
  const auto claim = parts_.admission.claim(plan_.family, facts.serial);
  if (!claim) {
    none.reason = "se-in-another-lane";
    none.text = "another lane works on an SE with serial " + serial;
    none.hint =
        "name each SE once in the lanes file; two chips with one serial are a matter for the "
        "officers";
    return {none};
  }
  std::vector<StoredRecord> records = parts_.store.records_for(plan_.family, facts.serial);
  if (records.empty()) {
    none.reason = "se-unknown";
    none.text = "SE " + serial + " has no record at this station";
    none.hint =
        "it belongs elsewhere, or its batch or segment is not loaded: keyferry-station status";
    return {none};
  }
  if (!facts.prepared) {
    none.reason = "se-not-prepared";
    none.text = "SE " + serial + " was not prepared: it has no transport key, or is not locked";
    none.hint = "this SE was not personalised; set it aside";
    return {none};
  }
  const LinePlace line{parts_.station,
                       parts_.store,
                       parts_.clock,
                       Hand{plan_.number, plan_.person_number, place.device_serial},
                       parts_.admission,
                       firmware_};
  std::vector<DeviceOutcome> outcomes;
  for (StoredRecord& stored : records) {
    outcomes.push_back(run_sandwich(line, *chip, std::move(stored)));
    if (outcomes.back().reason == "se-lost") break;
  }
  return outcomes;
}

}  // namespace keyferry::station
