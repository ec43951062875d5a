#include "appliance/front/inventory_csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

enum Column : std::size_t {
  kFamily,
  kSerial,
  kPart,
  kLot,
  kKeyName,
  kDeviceSerial,
  kTransport,
  kTransportData,
  kAttestationKey,
};

constexpr std::array<std::string_view, 9> kColumns{"family",
                                                   "se_serial",
                                                   "part_number",
                                                   "lot",
                                                   "key_name",
                                                   "device_serial",
                                                   "transport",
                                                   "transport_data",
                                                   "attestation_key"};
constexpr std::size_t kNowhere = SIZE_MAX;  // a column that the header does not have
constexpr std::string_view kDefaultKeyName = "dac";
constexpr std::size_t kKwpBlobBytes = 40;  // RFC 5649 of 32 octets

struct Transport {
  se::TransportKind kind = se::TransportKind::Derived;
  std::string name;
};

std::variant<Transport, std::string> read_transport(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto kind = se::transport_kind_from_name(text.substr(0, colon));
  const std::string name = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (!kind)
    return fmt::format("\"{}\" is none of derived:MASTER, delivered:VENDOR, public",
                       printable(text));
  if (*kind == se::TransportKind::Public) {
    if (colon != std::string::npos) return std::string{"public takes no name"};
    return Transport{*kind, "public"};
  }
  if (!is_name(name)) return fmt::format("\"{}\" is no name", printable(name));
  return Transport{*kind, name};
}

}  // namespace

InventoryCsv::InventoryCsv(CsvReader::Source source, const Registry& registry)
    : reader_{std::move(source)}, registry_{registry} {}

std::optional<CsvProblem> InventoryCsv::read_header() {
  const auto read = reader_.next();
  if (const auto* problem = std::get_if<CsvProblem>(&read)) return *problem;
  const auto* record = std::get_if<CsvRecord>(&read);
  if (record == nullptr) return CsvProblem{1, "", "the file is empty: a header is needed"};
  place_.assign(kColumns.size(), kNowhere);
  for (std::size_t at = 0; at < record->fields.size(); ++at) {
    const std::string& name = record->fields[at];
    const auto known = std::ranges::find(kColumns, name);
    if (known == kColumns.end()) {
      return CsvProblem{1, printable(name), "the header names a column that is not known"};
    }
    std::size_t& place = place_[static_cast<std::size_t>(known - kColumns.begin())];
    if (place != kNowhere) return CsvProblem{1, name, "the header names this column twice"};
    place = at;
  }
  for (std::size_t column = 0; column < kColumns.size(); ++column) {
    if (place_[column] == kNowhere && column != kAttestationKey) {
      return CsvProblem{1, std::string{kColumns[column]}, "the header lacks this column"};
    }
  }
  width_ = record->fields.size();
  return std::nullopt;
}

std::variant<std::monostate, InventoryLine, CsvProblem> InventoryCsv::next() {
  if (done_) return std::monostate{};
  if (!begun_) {
    begun_ = true;
    if (auto problem = read_header()) {
      done_ = true;
      return *problem;
    }
  }
  auto read = reader_.next();
  if (const auto* record = std::get_if<CsvRecord>(&read)) {
    auto converted = convert(*record);
    if (auto* problem = std::get_if<CsvProblem>(&converted)) return *problem;
    return std::get<InventoryLine>(std::move(converted));
  }
  done_ = true;
  if (const auto* problem = std::get_if<CsvProblem>(&read)) return *problem;
  return std::monostate{};
}

std::variant<InventoryLine, CsvProblem> InventoryCsv::convert(const CsvRecord& record) const {
  const auto problem = [&](Column column, std::string text) {
    return CsvProblem{record.line, std::string{kColumns[column]}, std::move(text)};
  };
  if (record.fields.size() != width_) {
    return CsvProblem{
        record.line, "", fmt::format("{} fields, the header has {}", record.fields.size(), width_)};
  }
  const auto field = [&](Column column) -> const std::string& {
    static const std::string kEmpty;
    return place_[column] == kNowhere ? kEmpty : record.fields[place_[column]];
  };
  const auto family = se::family_from_name(field(kFamily));
  if (!family)
    return problem(kFamily, fmt::format("\"{}\" is no family", printable(field(kFamily))));
  if (const auto refusal = se::unsupported(*family)) return problem(kFamily, refusal->text);
  const auto raw = from_hex(field(kSerial));
  if (!raw || raw->empty()) {
    return problem(kSerial, fmt::format("\"{}\" is not hex", printable(field(kSerial))));
  }
  const auto serial = se::normalise_serial(*family, *raw);
  if (const auto* refusal = std::get_if<Refusal>(&serial)) return problem(kSerial, refusal->text);
  const auto data = from_hex(field(kTransportData));
  if (!data) return problem(kTransportData, "not hex");
  const auto transport = read_transport(field(kTransport));
  if (const auto* text = std::get_if<std::string>(&transport)) return problem(kTransport, *text);
  const Transport& known = std::get<Transport>(transport);
  if (known.kind == se::TransportKind::Derived && registry_.master(known.name) == nullptr) {
    return problem(kTransport, fmt::format("no transport-key master \"{}\"", known.name));
  }
  if (known.kind == se::TransportKind::Derived && registry_.master(known.name)->family != *family) {
    return problem(kTransport,
                   fmt::format("transport-key master \"{}\" was made for family {}",
                               known.name,
                               se::family_name(registry_.master(known.name)->family)));
  }
  std::optional<crypto::PublicKey> attestation_key;
  if (!field(kAttestationKey).empty()) {
    const auto point = from_hex(field(kAttestationKey));
    if (point) attestation_key = crypto::PublicKey::from_point(*point);
    if (!attestation_key)
      return problem(kAttestationKey, "no uncompressed point of P-256 (04, x, y: 130 hex digits)");
  }
  if (known.kind == se::TransportKind::Public) {
    return problem(kTransport, "transport keys that are public are not supported yet");
  }
  if (known.kind == se::TransportKind::Delivered) {
    const KnownVendorKey* vendor = registry_.vendor_key(known.name);
    if (vendor == nullptr) return problem(kTransport, fmt::format("no vendor key \"{}\"", known.name));
    if (vendor->mechanism == "aes-kwp" && data->size() != kKwpBlobBytes) {
      return problem(kTransportData,
                     fmt::format("{} octets: a transport key under AES-KWP has {}", data->size(), kKwpBlobBytes));
    }
  }
  se::Entry entry{
      .family = *family,
      .serial = std::get<SeSerial>(serial),
      .part = field(kPart),
      .lot = field(kLot),
      .key_name = field(kKeyName).empty() ? std::string{kDefaultKeyName} : field(kKeyName),
      .device_serial = field(kDeviceSerial),
      .generation = 1,
      .transport_kind = known.kind,
      .transport_name = known.name,
      .transport_data = *data,
      .attestation_key = attestation_key};
  const auto wrong = [](Column column, const std::string& text) {
    return fmt::format("\"{}\" is not allowed for {}", printable(text), kColumns[column]);
  };
  if (!is_part_text(entry.part)) return problem(kPart, wrong(kPart, entry.part));
  if (!is_part_text(entry.lot)) return problem(kLot, wrong(kLot, entry.lot));
  if (!is_name(entry.key_name)) return problem(kKeyName, wrong(kKeyName, entry.key_name));
  if (!entry.device_serial.empty() && !is_device_serial(entry.device_serial)) {
    return problem(kDeviceSerial, wrong(kDeviceSerial, entry.device_serial));
  }
  if (const auto refusal = se::check_entry(entry)) {
    const Column where = refusal->reason == "entry-transport-data"    ? kTransportData
                         : refusal->reason == "entry-attestation-key" ? kAttestationKey
                                                                      : kSerial;
    return problem(where, refusal->text);
  }
  return InventoryLine{record.line, std::move(entry)};
}

}  // namespace keyferry::appliance
