#include "wrap/se/entry.h"

#include <fmt/format.h>

#include <array>

#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::se {

namespace {

// In the order of the canonical octets.
enum Field {
  kFamily,
  kSerial,
  kPart,
  kLot,
  kKeyName,
  kDeviceSerial,
  kGeneration,
  kTransportKind,
  kTransportName,
  kTransportData,
  kAttestationKey,  // only where there is one
  kFieldCount
};

constexpr std::size_t kUsualEntryBytes = 160;
constexpr std::size_t kGenerationBytes = 4;
constexpr std::size_t kLengthBytes = 2;

Refusal syntax(std::string text) {
  return {"entry-syntax", "SE list entry: " + std::move(text)};
}

/// The input as exactly ten or eleven fields, the eleventh empty where it is not there; nothing
/// when it is cut, something follows, or an eleventh field is there and empty.
std::optional<std::array<ByteView, kFieldCount>> split(ByteView octets) {
  std::array<ByteView, kFieldCount> fields;
  for (std::size_t at = 0; at < fields.size(); ++at) {
    if (at == kAttestationKey && octets.empty()) return fields;
    if (octets.size() < kLengthBytes) return std::nullopt;
    const std::size_t length = read_u16be(octets);
    octets = octets.subspan(kLengthBytes);
    if (octets.size() < length) return std::nullopt;
    fields[at] = octets.first(length);
    octets = octets.subspan(length);
  }
  if (!octets.empty() || fields[kAttestationKey].empty()) return std::nullopt;
  return fields;
}

bool is_normal_serial(Family family, const SeSerial& serial) {
  const auto normal = normalise_serial(family, serial.bytes());
  return std::holds_alternative<SeSerial>(normal) && std::get<SeSerial>(normal) == serial;
}

bool data_fits_kind(const Entry& entry) {
  switch (entry.transport_kind) {
    case TransportKind::Derived:
      return entry.transport_data.empty();
    case TransportKind::Delivered:
    case TransportKind::Public:
      return !entry.transport_data.empty() && entry.transport_data.size() <= kMaxTransportDataBytes;
  }
  return false;
}

}  // namespace

std::optional<Refusal> check_entry(const Entry& entry) {
  if (auto refusal = unsupported(entry.family)) return refusal;
  if (!is_normal_serial(entry.family, entry.serial)) {
    return Refusal{"entry-serial", "SE list entry: the serial is not in this family's normal form"};
  }
  if (!is_part_text(entry.part))
    return Refusal{"entry-part", "SE list entry: the part is not well-formed"};
  if (!is_part_text(entry.lot))
    return Refusal{"entry-lot", "SE list entry: the lot is not well-formed"};
  if (!is_name(entry.key_name))
    return Refusal{"entry-key-name", "SE list entry: the key name is not well-formed"};
  if (!entry.device_serial.empty() && !is_device_serial(entry.device_serial)) {
    return Refusal{"entry-device-serial", "SE list entry: the device serial is not well-formed"};
  }
  if (entry.generation == 0)
    return Refusal{"entry-generation", "SE list entry: generations begin with 1"};
  if (!is_name(entry.transport_name)) {
    return Refusal{"entry-transport-name",
                   "SE list entry: the transport key's name is not well-formed"};
  }
  if (!data_fits_kind(entry)) {
    return Refusal{
        "entry-transport-data",
        "SE list entry: transport data is empty for derived keys and 1 to 4096 octets for others"};
  }
  if (entry.attestation_key && entry.family != Family::Atecc608) {
    return Refusal{
        "entry-attestation-key",
        fmt::format("SE list entry: family {} has no attestation keys", family_name(entry.family))};
  }
  return std::nullopt;
}

Bytes canonical_entry(const Entry& entry) {
  if (const auto refusal = check_entry(entry)) throw to_error(*refusal);
  Bytes out;
  out.reserve(kUsualEntryBytes + entry.transport_data.size());
  append_u16be_prefixed(out, as_bytes(family_name(entry.family)));
  append_u16be_prefixed(out, entry.serial.bytes());
  append_u16be_prefixed(out, as_bytes(entry.part));
  append_u16be_prefixed(out, as_bytes(entry.lot));
  append_u16be_prefixed(out, as_bytes(entry.key_name));
  append_u16be_prefixed(out, as_bytes(entry.device_serial));
  append_u16be(out, kGenerationBytes);
  append_u32be(out, entry.generation);
  append_u16be_prefixed(out, as_bytes(transport_kind_name(entry.transport_kind)));
  append_u16be_prefixed(out, as_bytes(entry.transport_name));
  append_u16be_prefixed(out, entry.transport_data);
  if (entry.attestation_key) append_u16be_prefixed(out, entry.attestation_key->point());
  return out;
}

std::variant<Entry, Refusal> parse_canonical_entry(ByteView octets) {
  if (octets.size() > kMaxEntryBytes) return syntax("longer than 8192 octets");
  const auto fields = split(octets);
  if (!fields) return syntax("not exactly ten or eleven fields with their lengths");
  const auto text = [&fields](Field field) { return keyferry::to_string(fields->at(field)); };
  const auto family = family_from_name(text(kFamily));
  if (!family) return syntax("unknown family");
  const auto serial = SeSerial::from_bytes(fields->at(kSerial));
  if (!serial) return Refusal{"entry-serial", "SE list entry: a serial has 1 to 64 octets"};
  if (fields->at(kGeneration).size() != kGenerationBytes)
    return syntax("the generation has not four octets");
  const auto kind = transport_kind_from_name(text(kTransportKind));
  if (!kind) return syntax("unknown kind of transport key");
  Entry entry{.family = *family,
              .serial = *serial,
              .part = text(kPart),
              .lot = text(kLot),
              .key_name = text(kKeyName),
              .device_serial = text(kDeviceSerial),
              .generation = read_u32be(fields->at(kGeneration)),
              .transport_kind = *kind,
              .transport_name = text(kTransportName),
              .transport_data = to_bytes(fields->at(kTransportData))};
  if (const ByteView point = fields->at(kAttestationKey); !point.empty()) {
    entry.attestation_key = crypto::PublicKey::from_point(point);
    if (!entry.attestation_key)
      return Refusal{"entry-attestation-key",
                     "SE list entry: the attestation key is no point of P-256"};
  }
  if (auto refusal = check_entry(entry)) return *std::move(refusal);
  return entry;
}

Digest entry_leaf_hash(ByteView canonical) {
  constexpr std::uint8_t kLeaf = 0x00;  // RFC 6962 section 2.1
  return crypto::sha256_of({ByteView{&kLeaf, 1}, canonical});
}

}  // namespace keyferry::se
