#include "wrap/se/delivery.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace keyferry::se {

namespace {

struct DeliveryRow {
  Delivery delivery;
  std::string_view name;
  std::optional<crypto::OaepHash> hash;
};

constexpr std::array kDeliveries{
    DeliveryRow{Delivery::AesKwp, "aes-kwp", std::nullopt},
    DeliveryRow{Delivery::RsaOaepSha1, "rsa-oaep-sha1", crypto::OaepHash::Sha1},
    DeliveryRow{Delivery::RsaOaepSha256, "rsa-oaep-sha256", crypto::OaepHash::Sha256},
};

const DeliveryRow& row_of(Delivery delivery) {
  return *std::ranges::find(kDeliveries, delivery, &DeliveryRow::delivery);
}

}  // namespace

std::string_view delivery_name(Delivery delivery) {
  return row_of(delivery).name;
}

std::optional<Delivery> delivery_from_name(std::string_view name) {
  const auto* const found = std::ranges::find(kDeliveries, name, &DeliveryRow::name);
  if (found == kDeliveries.end()) return std::nullopt;
  return found->delivery;
}

std::optional<crypto::OaepHash> oaep_hash(Delivery delivery) {
  return row_of(delivery).hash;
}

p11::Mechanism delivery_mechanism(Delivery delivery, const p11::ProbeResult& facts) {
  return oaep_hash(delivery) ? p11::Mechanism::RsaPkcsOaep : facts.kwp_or_throw();
}

std::optional<Refusal> check_delivery(Delivery delivery, const p11::ProbeResult& facts) {
  const auto hash = oaep_hash(delivery);
  if (hash ? facts.opens_oaep(*hash).value_or(false) : facts.kwp_unwraps) return std::nullopt;
  return Refusal{
      "hsm-no-delivery",
      fmt::format("the HSM was not seen to open what {} wraps", delivery_name(delivery)),
      "`doctor` lists which ways of delivery this HSM has: agree on one of them with the vendor"};
}

}  // namespace keyferry::se
