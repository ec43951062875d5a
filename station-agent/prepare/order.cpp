#include <fmt/format.h>

#include "keyferry/v1/atecc608.pb.h"
#include "station-agent/prepare/preparer.h"

namespace keyferry::prepare {
namespace {

// Section 2.1 of the facts: both zones open, no slot locked.
constexpr std::size_t kLockOctetsAt = 86;
constexpr std::array<std::uint8_t, 4> kOpen{0x55, 0x55, 0xFF, 0xFF};

Refusal no(std::string reason, std::string text) {
  return {
      std::move(reason), std::move(text), "have another order made: keyferry-appliance se order"};
}

std::variant<se::Atecc608Profile, Refusal> profile_of(const token::PreparationOrder& order) {
  v1::Atecc608Profile message;
  if (!message.ParseFromArray(order.profile.data(), static_cast<int>(order.profile.size())))
    return no("atecc608-profile", "the order's profile cannot be read");
  auto read = se::profile_from_message(message);
  if (const auto* profile = std::get_if<se::Atecc608Profile>(&read)) {
    if (auto refusal = se::check_profile(*profile)) return std::move(*refusal);
  }
  return read;
}

}  // namespace

std::variant<CheckedOrder, Refusal> check_order(const token::PreparationOrder& order,
                                                const crypto::PublicKey& own_key,
                                                token::Environment environment,
                                                UtcMillis now) {
  if (order.preparer != own_key)
    return no("preparer-other", "the order is for another preparer than this one");
  if (order.environment != environment)
    return no("environment", "the order is for another environment than this preparer");
  if (order.expires <= now)
    return no("expired", fmt::format("the order ended at {}", to_rfc3339(order.expires)));
  auto read = profile_of(order);
  if (auto* refusal = std::get_if<Refusal>(&read)) return std::move(*refusal);
  CheckedOrder checked{order, std::get<se::Atecc608Profile>(std::move(read))};
  const ByteView locks =
      ByteView{checked.profile.configuration}.subspan(kLockOctetsAt, kOpen.size());
  if (!equal(locks, kOpen))
    return no("configuration-open", "octets 86 to 89 of the configuration are not 55 55 ff ff");
  const auto delivery = se::delivery_from_name(order.mechanism);
  const auto hash = delivery ? se::oaep_hash(*delivery) : std::nullopt;
  if (!hash || !crypto::rsa_bits(order.vendor_public_key))
    return no("vendor-key", fmt::format("key kf-vendor/{} is no RSA key for OAEP", order.vendor));
  checked.hash = *hash;
  if (order.secure_boot_key.has_value() != checked.profile.secure_boot_slot.has_value())
    return no("secure-boot-slot",
              "the order has a secure-boot key and no slot for it, or a slot and no key");
  return checked;
}

}  // namespace keyferry::prepare
