#include "wrap/se/family.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/text.h"

namespace keyferry::se {

namespace {

struct FamilyRow {
  Family family;
  std::string_view name;
};

constexpr std::array kFamilyRows{
    FamilyRow{Family::Pkcs11, "pkcs11"},
    FamilyRow{Family::Atecc608, "atecc608"},
    FamilyRow{Family::OptigaTrustM, "optiga-trust-m"},
    FamilyRow{Family::Tpm2, "tpm2"},
};

struct KindRow {
  TransportKind kind;
  std::string_view name;
};

constexpr std::array kKindRows{
    KindRow{TransportKind::Derived, "derived"},
    KindRow{TransportKind::Delivered, "delivered"},
    KindRow{TransportKind::Public, "public"},
};

constexpr std::size_t kTokenSerialOctets = 16;  // PKCS#11 2.40 section 3.2, CK_TOKEN_INFO
constexpr std::size_t kTransportKeyBytes = 32;  // pkcs11: AES-256; atecc608: the slot's first 32
// atecc608: SN[0..3] and SN[4..8] of the configuration zone; the first two never differ
constexpr std::size_t kAtecc608SerialOctets = 9;
constexpr std::uint8_t kAtecc608SerialFirst = 0x01;
constexpr std::uint8_t kAtecc608SerialSecond = 0x23;

bool is_serial_octet(std::uint8_t octet) {
  return octet >= 0x20 && octet < 0x7F;
}

std::string shown(ByteView raw) {
  return to_hex(raw.first(std::min<std::size_t>(raw.size(), SeSerial::kMaxSizeBytes)));
}

std::variant<SeSerial, Refusal> token_serial(ByteView raw) {
  while (!raw.empty() && raw.back() == ' ') raw = raw.first(raw.size() - 1);
  const bool fits = !raw.empty() && raw.size() <= kTokenSerialOctets && raw.front() != ' ' &&
                    std::ranges::all_of(raw, is_serial_octet);
  const auto serial = fits ? SeSerial::from_bytes(raw) : std::nullopt;
  if (!serial) {
    return Refusal{
        "serial-invalid",
        fmt::format("'{}' is no serial of a PKCS#11 token: 1 to 16 printable ASCII characters",
                    shown(raw)),
        "in lists the serial is given as hex of these characters"};
  }
  return *serial;
}

std::variant<SeSerial, Refusal> atecc608_serial(ByteView raw) {
  const bool fits = raw.size() == kAtecc608SerialOctets && raw[0] == kAtecc608SerialFirst &&
                    raw[1] == kAtecc608SerialSecond;
  const auto serial = fits ? SeSerial::from_bytes(raw) : std::nullopt;
  if (!serial) {
    return Refusal{
        "serial-invalid",
        fmt::format("'{}' is no serial of an ATECC608: 9 octets, the first two 01 23", shown(raw)),
        "it is octets 0 to 3 and 8 to 12 of the chip's configuration zone"};
  }
  return *serial;
}

}  // namespace

std::string_view family_name(Family family) {
  return std::ranges::find(kFamilyRows, family, &FamilyRow::family)->name;
}

std::optional<Family> family_from_name(std::string_view name) {
  const auto* const row = std::ranges::find(kFamilyRows, name, &FamilyRow::name);
  return row == kFamilyRows.end() ? std::nullopt : std::optional{row->family};
}

std::optional<Refusal> unsupported(Family family) {
  switch (family) {
    case Family::Pkcs11:
    case Family::Atecc608:
      return std::nullopt;
    case Family::OptigaTrustM:
    case Family::Tpm2:
      break;
  }
  return Refusal{
      "family-unsupported",
      fmt::format("this version makes no records for SE family '{}'", family_name(family)),
      "supported: pkcs11, atecc608"};
}

bool needs_plaintext(Family family) {
  return family != Family::Pkcs11;
}

std::size_t transport_key_size_bytes(Family family) {
  if (const auto refusal = unsupported(family)) throw Error{Code::InvalidArgument, refusal->text};
  return kTransportKeyBytes;
}

std::variant<SeSerial, Refusal> normalise_serial(Family family, ByteView raw) {
  if (auto refusal = unsupported(family)) return *std::move(refusal);
  return family == Family::Atecc608 ? atecc608_serial(raw) : token_serial(raw);
}

std::string serial_text(Family family, const SeSerial& serial) {
  return family == Family::Pkcs11 ? printable(as_chars(serial.bytes())) : serial.hex();
}

std::string_view transport_kind_name(TransportKind kind) {
  return std::ranges::find(kKindRows, kind, &KindRow::kind)->name;
}

std::optional<TransportKind> transport_kind_from_name(std::string_view name) {
  const auto* const row = std::ranges::find(kKindRows, name, &KindRow::name);
  return row == kKindRows.end() ? std::nullopt : std::optional{row->kind};
}

}  // namespace keyferry::se
