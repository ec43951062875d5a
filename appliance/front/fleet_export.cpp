#include "appliance/front/fleet_export.h"

#include <fmt/format.h>

#include <array>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/internal/end_words.h"
#include "appliance/ledger/fleet_store.h"
#include "appliance/ledger/receipt_store.h"
#include "appliance/ledger/reconcile_store.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

// design.md I4: what a receipt shows by itself, and what is the factory's word.
constexpr const char* kProved = "key certificate order";
constexpr const char* kClaimed = "times device-serial lane verdicts";

constexpr std::array<std::string_view, 23> kColumns{"device_serial",
                                                    "family",
                                                    "se_serial",
                                                    "batch",
                                                    "record",
                                                    "key_name",
                                                    "certificate_serial",
                                                    "certificate_sha256",
                                                    "spki_sha256",
                                                    "chain",
                                                    "challenge",
                                                    "serial_registered",
                                                    "firmware",
                                                    "evidence",
                                                    "proved",
                                                    "claimed",
                                                    "injected_at",
                                                    "accepted_at",
                                                    "station",
                                                    "site",
                                                    "customer",
                                                    "authority",
                                                    "appliance"};

using Row = std::array<std::string, kColumns.size()>;

Row row_of(const FleetDevice& device, const std::string& appliance) {
  const token::ReceiptCore& core = device.core;
  const auto family = se::family_from_name(token::name_of(core.family)).value_or(se::Family::Pkcs11);
  const auto key = crypto::PublicKey::from_point(device.public_key);
  return {device.device_serial,
          std::string{token::name_of(core.family)},
          printable(se::serial_text(family, core.se_serial)),
          core.batch_id.hex(),
          fmt::format("{}", core.record_no.value),
          core.key_name,
          to_hex(device.certificate_serial),
          core.certificate_sha256.hex(),
          key ? key->key_id().hex() : "",
          std::string{token::name_of(core.verdicts.chain)},
          std::string{token::name_of(core.verdicts.challenge)},
          std::string{token::name_of(core.verdicts.serial_registered)},
          std::string{token::name_of(core.verdicts.firmware)},
          std::string{token::name_of(device.evidence)},
          kProved,
          kClaimed,
          to_rfc3339(core.end),
          to_rfc3339(device.accepted),
          device.station,
          device.site,
          device.customer,
          device.authority,
          appliance};
}

std::string csv_line(std::span<const std::string> cells) {
  std::string line;
  for (std::size_t at = 0; at < cells.size(); ++at) line += (at == 0 ? "" : ",") + csv_cell(cells[at]);
  return line + "\r\n";  // RFC 4180 section 2
}

std::string header_line() {
  return fmt::format("{}\r\n", fmt::join(kColumns, ","));
}

std::string json_line(const Row& row) {
  nlohmann::ordered_json json;
  for (std::size_t at = 0; at < kColumns.size(); ++at) json[std::string{kColumns.at(at)}] = row.at(at);
  return json.dump() + "\n";
}

/// The files that are written: both forms, or one.
class Files {
 public:
  Files(const FleetOptions& options) {
    if (options.format && *options.format != "csv" && *options.format != "jsonl") {
      throw Error{Code::Usage, fmt::format("--format {}: csv or jsonl", printable(*options.format))};
    }
    const bool folder = std::filesystem::is_directory(options.to);
    const std::string form = options.format.value_or(folder                               ? ""
                                                     : options.to.extension() == ".jsonl" ? "jsonl"
                                                                                          : "csv");
    if (form != "jsonl") open(csv_, folder ? options.to / "fleet.csv" : options.to);
    if (form != "csv") open(json_, folder ? options.to / "fleet.jsonl" : options.to);
    if (csv_) csv_->write(as_bytes(header_line()));
  }

  void add(const Row& row) {
    if (csv_) csv_->write(as_bytes(csv_line(row)));
    if (json_) json_->write(as_bytes(json_line(row)));
  }

  void commit() {
    if (csv_) csv_->commit();
    if (json_) json_->commit();
  }

  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

 private:
  void open(std::optional<DurableWriter>& file, const std::filesystem::path& path) {
    file.emplace(path);
    names_.push_back(path.string());
  }

  std::optional<DurableWriter> csv_, json_;
  std::vector<std::string> names_;
};

/// Why a batch is not reconciled; nothing when it is.
std::optional<std::string> unreconciled(Context& context, const BatchRow& batch) {
  const Sums sums = ReconcileStore{context.ledger()}.sums(batch);
  if (batch.state != BatchState::Closed) {
    return fmt::format("batch {} is {}: {} of {} are outstanding", batch.id.hex(), state_name(batch.state),
                       sums.outstanding, sums.issued);
  }
  if (sums.agree() && sums == ReconcileStore{context.ledger()}.cross_check(batch)) return std::nullopt;
  return fmt::format("batch {}: its sums do not agree: the ledger was changed outside of this program", batch.id.hex());
}

std::vector<BatchRow> wanted(Context& context, const FleetOptions& options) {
  if (options.batch) return {ended_batch(context, *options.batch)};
  std::vector<BatchRow> started;
  for (BatchRow& batch : BatchStore{context.ledger()}.all()) {
    if (has_started(batch.state)) started.push_back(std::move(batch));
  }
  return started;
}

}  // namespace

std::string csv_cell(std::string_view text) {
  std::string cell{text};
  if (!cell.empty() && std::string_view{"=+-@\t\r"}.find(cell.front()) != std::string_view::npos)
    cell.insert(0, 1, '\'');
  if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
  std::string quoted = "\"";
  for (const char c : cell) quoted += c == '"' ? std::string{"\"\""} : std::string(1, c);
  return quoted + "\"";
}

int fleet_export(Context& context, const FleetOptions& options) {
  if (int{options.batch.has_value()} + int{options.since.has_value()} + int{options.all} != 1) {
    throw Error{Code::Usage, "say of which devices: --batch ID, --since DATE or --all"};
  }
  if (ReceiptStore{context.ledger()}.staged_import()) {
    throw Error{Code::Refused, "an import of receipts was cut off: nothing is reconciled before it is finished",
                "give the same `receipts import` command again"};
  }
  std::optional<UtcMillis> since;
  if (options.since) since = read_time("--since", *options.since);
  const std::vector<BatchRow> batches = wanted(context, options);
  if (options.batch) {
    if (const auto why = unreconciled(context, batches.front())) {
      throw Error{Code::Refused, *why, "take the receipts in (receipts import), or close the batch (batch close ID)"};
    }
  }
  const std::string appliance = context.appliance_id().hex();
  FleetStore fleet{context.ledger()};
  FleetCounts counts;
  Json left_out = Json::array();
  Files files{options};
  for (const BatchRow& batch : batches) {
    if (const auto why = unreconciled(context, batch)) {
      context.out().note("left out: " + *why);
      left_out.push_back(Json{{"batch", batch.id.hex()}, {"why", *why}});
      continue;
    }
    const FleetCounts more =
        fleet.visit(batch.id, since, [&](const FleetDevice& device) { files.add(row_of(device, appliance)); });
    counts.devices += more.devices;
    counts.revoked += more.revoked;
    counts.failed += more.failed;
  }
  files.commit();
  std::vector<std::string> lines{
      fmt::format("{} devices that passed: {}", counts.devices, fmt::join(files.names(), ", "))};
  if (counts.revoked + counts.failed > 0) {
    lines.push_back(
        fmt::format("not in it: {} revoked, {} whose verdicts do not all pass", counts.revoked, counts.failed));
  }
  if (!left_out.empty())
    lines.push_back(fmt::format("{} batches are not reconciled and were left out", left_out.size()));
  context.out().result("fleet-export",
                       Json{{"devices", counts.devices},
                            {"revoked", counts.revoked},
                            {"failed", counts.failed},
                            {"left_out", left_out},
                            {"files", files.names()}},
                       lines);
  return left_out.empty() ? 0 : 1;
}

}  // namespace keyferry::appliance
