#include <fmt/format.h>

#include <cstdlib>

#include "station-agent/commands.h"
#include "station-agent/desk.h"
#include "token/reason_words.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"
#include "wrap/label/quarantine.h"
#include "wrap/se/family.h"

namespace keyferry::station {
namespace {

/// As its family spells it on a screen, or its octets in hex.
std::vector<SeSerial> serials_from(se::Family family, const std::string& text) {
  std::vector<SeSerial> found;
  const auto add = [&](ByteView raw) {
    const auto serial = se::normalise_serial(family, raw);
    if (const auto* good = std::get_if<SeSerial>(&serial)) found.push_back(*good);
  };
  if (family == se::Family::Pkcs11) add(as_bytes(text));
  if (const auto octets = from_hex(text)) add(*octets);
  return found;
}

struct Found {
  StoredRecord record;
  se::Family family;
};

std::vector<Found> quarantined(const Store& store, const std::string& text) {
  std::vector<Found> found;
  for (const se::Family family : se::kAllFamilies) {
    const auto wire = token::family_from_name(se::family_name(family));
    if (!wire) continue;
    for (const SeSerial& serial : serials_from(family, text)) {
      for (StoredRecord& record : store.records_for(*wire, serial)) {
        if (record.state == RecordState::Quarantined) found.push_back({std::move(record), family});
      }
    }
  }
  return found;
}

/// The core that settled the record: its time, and the device that was in the fixture.
token::ReceiptCore core_of(const Store& store, const StoredRecord& record) {
  const auto position = store.settled_position(record.key());
  if (position) {
    const auto entries = store.entries(*position, 1);
    const auto leaf = token::parse_leaf(entries.at(0).leaf);
    const auto* parsed = std::get_if<token::StationLeaf>(&leaf);
    const auto* core = parsed == nullptr ? nullptr : std::get_if<token::CoreLeaf>(&parsed->leaf);
    if (core != nullptr) {
      auto read = token::parse_core(core->core);
      if (auto* good = std::get_if<token::ReceiptCore>(&read)) return std::move(*good);
    }
  }
  throw Error{Code::Storage, "station store: the core of a record is damaged"};
}

}  // namespace

int command_label(const CommonOptions& common, const LabelOptions& options) {
  const OpenHome home{common, store::Role::Reader};
  const std::vector<Found> found = quarantined(home.store, options.se);
  if (found.empty()) {
    throw Error{Code::NotFound,
                fmt::format("no SE {} is in quarantine here", printable(options.se)),
                "keyferry-station status lists what is"};
  }
  for (const Found& more : std::span{found}.subspan(1)) {
    progress(fmt::format("this SE has another record in quarantine too: key name {}, record {}",
                         more.record.record.key_name,
                         more.record.record.record_no.value));
  }
  const auto& [record, family] = found.front();
  const token::ReceiptCore core = core_of(home.store, record);
  const label::QuarantineLabel sticker{
      .family = std::string{se::family_name(family)},
      .se_serial = printable(se::serial_text(family, record.record.se_serial)),
      .device_serial = core.device_serial,
      .reason = record.reason,
      .words = token::reason_words(record.reason),
      .batch = record.batch_id.hex(),
      .record_no = record.record.record_no.value,
      .time = core.end};
  const auto lines = label::text_lines(sticker);
  const std::string text = fmt::format("{}", fmt::join(lines, "\n"));
  if (!options.text.empty())
    write_file_durably(options.text, as_bytes(text + "\n"), Overwrite::Replace);
  if (!options.png.empty())
    write_file_durably(options.png, label::picture(sticker), Overwrite::Replace);
  if (common.json) {
    print_json({{"schema", "keyferry.station.label.v1"},
                {"ok", true},
                {"qr", label::qr_text(sticker)},
                {"lines", lines},
                {"text", options.text.string()},
                {"png", options.png.string()}});
  } else if (options.text.empty() && options.png.empty()) {
    print(text);
  }
  return EXIT_SUCCESS;
}

}  // namespace keyferry::station
