#include "token/preparation.h"

#include "keyferry/v1/preparation.pb.h"
#include "token/convert.h"
#include "wrap/base/base64.h"
#include "wrap/base/text.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

constexpr std::size_t kSerialBytes = 9;
constexpr std::size_t kRevisionBytes = 4;
constexpr std::size_t kCheckValueBytes = 16;
constexpr std::size_t kMaxOrderBytes = 16'384;
constexpr std::size_t kMaxReceiptBytes = 4096;

Environment environment(Fields& fields, int number) {
  return fields.known(environment_from_number(static_cast<std::uint32_t>(number)), "environment");
}

bool is_mechanism(std::string_view text) {
  return text == "rsa-oaep-sha1" || text == "rsa-oaep-sha256";
}

std::optional<crypto::PublicKey> optional_point(Fields& fields,
                                                const std::string& raw,
                                                const char* field) {
  if (raw.empty()) return std::nullopt;
  return fields.point(raw, field);
}

std::optional<PreparationOrder> from_message(Fields& fields, const pb::PreparationOrder& message) {
  fields.check(message.version() == kMessageVersion, "version");
  fields.check(message.count() >= 1 && message.count() <= kMaxPreparedChips, "count");
  const auto preparer = fields.point(message.preparer_key(), "preparer-key");
  if (fields.bad()) return std::nullopt;
  PreparationOrder out{
      .appliance_id = fields.id<ApplianceId>(message.appliance_id(), "appliance-id"),
      .environment = environment(fields, message.environment()),
      .card = from_message(fields, message.card()),
      .plan_digest = fields.id<Digest>(message.plan_digest(), "plan-digest"),
      .plan_number = message.plan_number(),
      .preparer = *preparer,
      .part = fields.text(message.part(), is_part_text, "part"),
      .lot = fields.text(message.lot(), is_part_text, "lot"),
      .key_name = fields.text(message.key_name(), is_name, "key-name"),
      .count = message.count(),
      .profile = fields.octets(message.profile(), 1, kMaxProfileBytes, "profile"),
      .secure_boot_key = optional_point(fields, message.secure_boot_key(), "secure-boot-key"),
      .vendor = fields.text(message.vendor(), is_name, "vendor"),
      .mechanism = fields.text(message.mechanism(), is_mechanism, "mechanism"),
      .vendor_public_key =
          fields.octets(message.vendor_public_key(), 1, kMaxVendorKeyBytes, "vendor-public-key"),
      .expires = fields.time(message.expires_ms(), "expires-ms"),
  };
  if (fields.bad()) return std::nullopt;
  return out;
}

std::optional<PreparationReceipt> from_message(Fields& fields,
                                               const pb::PreparationReceipt& message) {
  fields.check(message.version() == kMessageVersion, "version");
  PreparationReceipt out{
      .appliance_id = fields.id<ApplianceId>(message.appliance_id(), "appliance-id"),
      .environment = environment(fields, message.environment()),
      .plan_digest = fields.id<Digest>(message.plan_digest(), "plan-digest"),
      .serial = fields.octets(message.serial(), kSerialBytes, kSerialBytes, "serial"),
      .revision = fields.octets(message.revision(), kRevisionBytes, kRevisionBytes, "revision"),
      .configuration_sha256 =
          fields.id<Digest>(message.configuration_sha256(), "configuration-sha256"),
      .part = fields.text(message.part(), is_part_text, "part"),
      .lot = fields.text(message.lot(), is_part_text, "lot"),
      .key_name = fields.text(message.key_name(), is_name, "key-name"),
      .vendor = fields.text(message.vendor(), is_name, "vendor"),
      .delivered = fields.octets(message.delivered(), 1, kMaxDeliveredBytes, "delivered"),
      .check_value =
          fields.octets(message.check_value(), kCheckValueBytes, kCheckValueBytes, "check-value"),
      .attestation_key = optional_point(fields, message.attestation_key(), "attestation-key"),
      .time = fields.time(message.time_ms(), "time-ms"),
  };
  if (fields.bad()) return std::nullopt;
  return out;
}

/// What we make, our own reader must take.
template <typename Message>
Bytes checked_octets(const char* what, std::size_t limit, const Message& message) {
  Fields fields{what};
  static_cast<void>(from_message(fields, message));
  fields.throw_if_bad();
  Bytes octets = serialise_message(message);
  if (octets.size() > limit)
    throw Error{Code::InvalidArgument, std::string{what} + ": longer than its reader takes"};
  return octets;
}

template <typename Value, typename Message>
std::variant<Value, Refusal> parse_checked(const char* what, std::size_t limit, ByteView octets) {
  Message message;
  if (auto no = parse_message(octets, limit, message)) return std::move(*no);
  Fields fields{what};
  auto value = from_message(fields, message);
  if (!value) return fields.refusal();
  return std::move(*value);
}

std::string point_octets(const std::optional<crypto::PublicKey>& key) {
  return key ? to_string(key->point()) : std::string{};
}

Refusal order_refusal(const char* reason, const char* text) {
  return {reason, text, "have the order made again: keyferry-appliance se order"};
}

}  // namespace

Bytes serialise(const PreparationOrder& order) {
  pb::PreparationOrder message;
  message.set_version(kMessageVersion);
  message.set_appliance_id(order.appliance_id.str());
  message.set_environment(static_cast<pb::Environment>(order.environment));
  to_message(order.card, *message.mutable_card());
  message.set_plan_digest(order.plan_digest.str());
  message.set_plan_number(order.plan_number);
  message.set_preparer_key(to_string(order.preparer.point()));
  message.set_part(order.part);
  message.set_lot(order.lot);
  message.set_key_name(order.key_name);
  message.set_count(order.count);
  message.set_profile(to_string(order.profile));
  message.set_secure_boot_key(point_octets(order.secure_boot_key));
  message.set_vendor(order.vendor);
  message.set_mechanism(order.mechanism);
  message.set_vendor_public_key(to_string(order.vendor_public_key));
  message.set_expires_ms(order.expires.value);
  return checked_octets("preparation order", kMaxOrderBytes, message);
}

Bytes serialise(const PreparationReceipt& receipt) {
  pb::PreparationReceipt message;
  message.set_version(kMessageVersion);
  message.set_appliance_id(receipt.appliance_id.str());
  message.set_environment(static_cast<pb::Environment>(receipt.environment));
  message.set_plan_digest(receipt.plan_digest.str());
  message.set_serial(to_string(receipt.serial));
  message.set_revision(to_string(receipt.revision));
  message.set_configuration_sha256(receipt.configuration_sha256.str());
  message.set_part(receipt.part);
  message.set_lot(receipt.lot);
  message.set_key_name(receipt.key_name);
  message.set_vendor(receipt.vendor);
  message.set_delivered(to_string(receipt.delivered));
  message.set_check_value(to_string(receipt.check_value));
  message.set_attestation_key(point_octets(receipt.attestation_key));
  message.set_time_ms(receipt.time.value);
  return checked_octets("preparation receipt", kMaxReceiptBytes, message);
}

std::variant<PreparationOrder, Refusal> parse_preparation_order(ByteView octets) {
  return parse_checked<PreparationOrder, pb::PreparationOrder>(
      "preparation order", kMaxOrderBytes, octets);
}

std::variant<PreparationReceipt, Refusal> parse_preparation_receipt(ByteView octets) {
  return parse_checked<PreparationReceipt, pb::PreparationReceipt>(
      "preparation receipt", kMaxReceiptBytes, octets);
}

// The key to verify with stands in the card inside, so parsing comes first; nothing is believed
// before it has verified.
std::variant<PreparationOrder, Refusal> open_preparation_order(ByteView file) {
  const auto outer = parse_signed_bytes(file);
  if (const auto* refusal = std::get_if<Refusal>(&outer)) return *refusal;
  const auto& octets = std::get<SignedBytes>(outer);
  auto parsed = parse_preparation_order(octets.payload);
  const auto* order = std::get_if<PreparationOrder>(&parsed);
  if (order == nullptr) return parsed;
  const auto opened = open_appliance_card(order->card);
  if (const auto* refusal = std::get_if<Refusal>(&opened)) return *refusal;
  const auto& card = std::get<ApplianceCard>(opened);
  if (!verify_signed(octets, crypto::SignatureKind::PreparationOrder, card.export_key))
    return order_refusal("signature", "the order is not signed by the appliance whose card it has");
  if (card.appliance_id != order->appliance_id)
    return order_refusal("appliance-id", "the order has the card of another appliance");
  if (card.environment != order->environment)
    return order_refusal("environment", "the order has a card of another environment");
  return parsed;
}

std::variant<PreparationReceipt, Refusal> open_preparation_receipt(
    const SignedBytes& receipt, const crypto::PublicKey& preparer) {
  if (!verify_signed(receipt, crypto::SignatureKind::Preparation, preparer)) {
    return Refusal{"signature",
                   "the receipt is not signed by the enrolled preparer",
                   "it was changed on its way, or is somebody else's: have the file made again"};
  }
  return parse_preparation_receipt(receipt.payload);
}

std::string preparation_line(const SignedBytes& receipt) { return to_base64(encode(receipt)); }

std::variant<SignedBytes, Refusal> parse_preparation_line(std::string_view line) {
  const auto octets = from_base64(line);
  if (!octets || line.size() > kMaxPreparationLine)
    return Refusal{"base64", "the line is no base64 of a receipt", "have the file made again"};
  return parse_signed_bytes(*octets);
}

}  // namespace keyferry::token
