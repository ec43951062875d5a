// One line of a plan's SE list, and the octets that its leaf hash is made of (FORMAT.md).
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"
#include "wrap/se/family.h"

namespace keyferry::se {

inline constexpr std::size_t kMaxTransportDataBytes = 4096;
inline constexpr std::size_t kMaxEntryBytes = 8192;

struct Entry {
  Family family = Family::Pkcs11;
  SeSerial serial;
  std::string part;              // is_part_text
  std::string lot;               // is_part_text
  std::string key_name = "dac";  // is_name
  std::string device_serial;     // empty, or is_device_serial
  std::uint32_t generation = 1;  // from 1
  TransportKind transport_kind = TransportKind::Derived;
  std::string transport_name;  // is_name: derived: NAME of kf-tk/NAME; delivered: NAME of
                               // kf-vendor/NAME; public: source
  Bytes transport_data;  // derived: empty; delivered: the wrapped transport key; public: the public
                         // key
  // A key that never left the chip and signs what the chip states of itself (atecc608).
  std::optional<crypto::PublicKey> attestation_key = std::nullopt;

  friend bool operator==(const Entry&, const Entry&) = default;
};

/// Nothing when every field has the pattern of its place, the serial is in normal form, and the
/// transport data fits its kind. Reasons: entry-serial, entry-part, entry-lot, entry-key-name,
/// entry-device-serial, entry-generation, entry-transport-name, entry-transport-data,
/// entry-attestation-key, family-unsupported.
[[nodiscard]] std::optional<Refusal> check_entry(const Entry& entry);

/// The canonical octets: ten fields, each with u16be length, and an eleventh where there is an
/// attestation key. An entry that check_entry refuses is
/// Error{Refused}.
[[nodiscard]] Bytes canonical_entry(const Entry& entry);

/// Strict: the whole input, at most kMaxEntryBytes, every field as check_entry demands. What it
/// returns gives the same octets again. Reasons: entry-syntax, and those of check_entry.
[[nodiscard]] std::variant<Entry, Refusal> parse_canonical_entry(ByteView octets);

/// RFC 6962 section 2.1: SHA-256(0x00 || canonical octets).
[[nodiscard]] Digest entry_leaf_hash(ByteView canonical);

}  // namespace keyferry::se
