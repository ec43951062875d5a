#include "wrap/crypto/p256.h"

#include <openssl/err.h>
#include <openssl/obj_mac.h>

#include <array>

namespace keyferry::crypto::ossl {

const EC_GROUP* p256() {
  static const EC_GROUP* const group = [] {
    const EC_GROUP* made = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    require(made != nullptr, "EC_GROUP_new_by_curve_name");
    return made;
  }();
  return group;
}

Point read_point(ByteView octets) {
  if (octets.size() != PublicKey::kPointBytes || octets[0] != POINT_CONVERSION_UNCOMPRESSED)
    return nullptr;
  Point point{EC_POINT_new(p256())};
  require(point != nullptr, "EC_POINT_new");
  // Checks that the coordinates are below p and that the point is on the curve; the cofactor is 1.
  if (EC_POINT_oct2point(p256(), point.get(), octets.data(), octets.size(), nullptr) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  return point;
}

Number read_scalar(const SecretBytes& scalar) {
  constexpr int kScalarBytes = 32;
  if (scalar.size() != kScalarBytes) return nullptr;
  Number number{BN_secure_new()};
  require(number != nullptr, "BN_secure_new");
  BN_set_flags(number.get(), BN_FLG_CONSTTIME);
  require(BN_bin2bn(scalar.expose().data(), kScalarBytes, number.get()) != nullptr, "BN_bin2bn");
  if (BN_is_zero(number.get()) || BN_cmp(number.get(), EC_GROUP_get0_order(p256())) >= 0)
    return nullptr;
  return number;
}

PublicKey public_key_of(const BIGNUM* scalar) {
  const Point point{EC_POINT_new(p256())};
  require(point != nullptr, "EC_POINT_new");
  require(EC_POINT_mul(p256(), point.get(), scalar, nullptr, nullptr, nullptr) == 1,
          "EC_POINT_mul");
  std::array<std::uint8_t, PublicKey::kPointBytes> octets{};
  require(EC_POINT_point2oct(p256(),
                             point.get(),
                             POINT_CONVERSION_UNCOMPRESSED,
                             octets.data(),
                             octets.size(),
                             nullptr) == octets.size(),
          "EC_POINT_point2oct");
  const auto key = PublicKey::from_point(octets);
  require(key.has_value(), "EC_POINT_mul");
  return *key;
}

}  // namespace keyferry::crypto::ossl
