// Preparation of blank chips in a secure room: the order that an approved plan becomes (signed by
// kf-export, for one preparer), and the receipt for each chip (signed by that preparer), which is a
// row of the appliance's inventory. Family atecc608 only: another family's order is another message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "token/enrolment.h"
#include "token/signed_bytes.h"
#include "token/types.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"

namespace keyferry::token {

inline constexpr std::size_t kMaxProfileBytes = 1024;
inline constexpr std::size_t kMaxVendorKeyBytes = 2048;
inline constexpr std::size_t kMaxDeliveredBytes = 1024;  // RSA-8192
inline constexpr std::uint32_t kMaxPreparedChips = 1'000'000;

struct PreparationOrder {
  ApplianceId appliance_id;
  Environment environment = Environment::Development;
  SignedBytes card;  // of that appliance
  Digest plan_digest;
  std::uint64_t plan_number = 0;
  crypto::PublicKey preparer;  // who may carry it out
  std::string part;            // is_part_text
  std::string lot;             // is_part_text
  std::string key_name;        // is_name
  std::uint32_t count = 0;     // 1..kMaxPreparedChips
  Bytes profile;               // v1.Atecc608Profile, opaque here (wrap/se/atecc608_profile.h)
  std::optional<crypto::PublicKey> secure_boot_key = std::nullopt;
  std::string vendor;       // NAME of kf-vendor/NAME
  std::string mechanism;    // "rsa-oaep-sha1" or "rsa-oaep-sha256"
  Bytes vendor_public_key;  // DER SubjectPublicKeyInfo
  UtcMillis expires;

  friend bool operator==(const PreparationOrder&, const PreparationOrder&) = default;
};

struct PreparationReceipt {
  ApplianceId appliance_id;
  Environment environment = Environment::Development;
  Digest plan_digest;
  Bytes serial;                 // 9
  Bytes revision;               // 4
  Digest configuration_sha256;  // of what was read back after the lock
  std::string part;
  std::string lot;
  std::string key_name;
  std::string vendor;
  Bytes delivered;    // the transport key under the vendor key
  Bytes check_value;  // 16
  std::optional<crypto::PublicKey> attestation_key = std::nullopt;
  UtcMillis time;

  friend bool operator==(const PreparationReceipt&, const PreparationReceipt&) = default;
};

/// Error{InvalidArgument} for what the reader would refuse.
[[nodiscard]] Bytes serialise(const PreparationOrder& order);
[[nodiscard]] Bytes serialise(const PreparationReceipt& receipt);

/// Refusals: "size", "protobuf", "version", or the field that is wrong.
[[nodiscard]] std::variant<PreparationOrder, Refusal> parse_preparation_order(ByteView octets);
[[nodiscard]] std::variant<PreparationReceipt, Refusal> parse_preparation_receipt(ByteView octets);

/// An order as it arrives: its card is looked at, then the signature by the card's export key, then
/// whether both name one appliance. Whose card it is, the caller compares with what it pinned.
/// Further refusals: "signature", "appliance-id", "environment".
[[nodiscard]] std::variant<PreparationOrder, Refusal> open_preparation_order(ByteView file);

/// A receipt as it arrives. Refusal "signature" when it is not `preparer`'s.
[[nodiscard]] std::variant<PreparationReceipt, Refusal> open_preparation_receipt(
    const SignedBytes& receipt, const crypto::PublicKey& preparer);

// A file of receipts: the first line, then one receipt a line, base64 (RFC 4648 section 4) of its
// SignedBytes.
inline constexpr std::string_view kPreparationsHeader = "keyferry preparations 1";
inline constexpr std::size_t kMaxPreparationLine = 8192;

/// Without the line end.
[[nodiscard]] std::string preparation_line(const SignedBytes& receipt);
/// Refusals: "base64", and those of parse_signed_bytes.
[[nodiscard]] std::variant<SignedBytes, Refusal> parse_preparation_line(std::string_view line);

}  // namespace keyferry::token
