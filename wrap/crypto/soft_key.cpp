#include "wrap/crypto/soft_key.h"

#include <algorithm>
#include <array>

#include "wrap/base/error.h"
#include "wrap/crypto/p256.h"
#include "wrap/crypto/pbes2.h"

namespace keyferry::crypto {
namespace {

/// OneAsymmetricKey v1 (RFC 5958) around ECPrivateKey (RFC 5915) with its public key: always these
/// 138 octets.
constexpr std::array<std::uint8_t, 36> kBeforeScalar{
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x03, 0x01, 0x07, 0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20};
constexpr std::array<std::uint8_t, 5> kBeforePoint{0xa1, 0x44, 0x03, 0x42, 0x00};
constexpr std::size_t kScalarAt = kBeforeScalar.size();
constexpr std::size_t kAfterScalar = kScalarAt + SoftKey::kScalarBytes;
constexpr std::size_t kPointAt = kAfterScalar + kBeforePoint.size();
constexpr std::size_t kPkcs8Bytes = kPointAt + PublicKey::kPointBytes;
static_assert(kPkcs8Bytes == 138);

int int_size(std::size_t size) {
  return static_cast<int>(size);
}

SecretBytes octets_of(const BIGNUM* scalar) {
  SecretBytes octets{SoftKey::kScalarBytes};
  ossl::require(BN_bn2binpad(scalar, octets.expose_writable().data(), int_size(octets.size())) ==
                    int_size(octets.size()),
                "BN_bn2binpad");
  return octets;
}

ossl::Number number_of(const SecretBytes& scalar) {
  ossl::Number number = ossl::read_scalar(scalar);
  if (number == nullptr) throw Error{Code::Internal, "a private key that was moved away is used"};
  return number;
}

}  // namespace

SoftKey::SoftKey(SecretBytes scalar, const PublicKey& public_key)
    : scalar_{std::move(scalar)}, public_key_{public_key} {}

SoftKey SoftKey::generate() {
  const ossl::Key key{EC_KEY_new()};
  ossl::require(key != nullptr && EC_KEY_set_group(key.get(), ossl::p256()) == 1 &&
                    EC_KEY_generate_key(key.get()) == 1,
                "EC_KEY_generate_key");
  const BIGNUM* scalar = EC_KEY_get0_private_key(key.get());
  return SoftKey{octets_of(scalar), ossl::public_key_of(scalar)};
}

std::optional<SoftKey> SoftKey::from_scalar(SecretBytes scalar) {
  const ossl::Number number = ossl::read_scalar(scalar);
  if (number == nullptr) return std::nullopt;
  return SoftKey{std::move(scalar), ossl::public_key_of(number.get())};
}

Bytes SoftKey::to_encrypted_pem(const SecretBytes& passphrase) const {
  SecretBytes pkcs8{kPkcs8Bytes};  // wiped when this returns
  auto at = pkcs8.expose_writable().begin();
  at = std::ranges::copy(kBeforeScalar, at).out;
  at = std::ranges::copy(scalar_.expose(), at).out;
  at = std::ranges::copy(kBeforePoint, at).out;
  std::ranges::copy(public_key_.point(), at);
  return pbes2_encrypt_pem(pkcs8, passphrase);
}

std::optional<SoftKey> SoftKey::from_encrypted_pem(ByteView pem, const SecretBytes& passphrase) {
  const auto pkcs8 = pbes2_decrypt_pem(pem, passphrase);
  if (!pkcs8 || pkcs8->size() != kPkcs8Bytes) return std::nullopt;
  const ByteView octets = pkcs8->expose();
  if (!equal(octets.first(kScalarAt), kBeforeScalar) ||
      !equal(octets.subspan(kAfterScalar, kBeforePoint.size()), kBeforePoint)) {
    return std::nullopt;
  }
  auto key = from_scalar(SecretBytes::copy_of(octets.subspan(kScalarAt, kScalarBytes)));
  if (!key || !equal(key->public_key_.point(), octets.subspan(kPointAt))) return std::nullopt;
  return key;
}

Bytes SoftKey::sign_digest(const Digest& digest) {
  const ossl::Key key{EC_KEY_new()};
  ossl::require(key != nullptr && EC_KEY_set_group(key.get(), ossl::p256()) == 1 &&
                    EC_KEY_set_private_key(key.get(), number_of(scalar_).get()) == 1,
                "EC_KEY_set_private_key");
  const ossl::Signature signature{
      ECDSA_do_sign(digest.bytes().data(), int_size(Digest::kSizeBytes), key.get())};
  ossl::require(signature != nullptr, "ECDSA_do_sign");
  constexpr int kHalfBytes = int{kSignatureBytes} / 2;
  Bytes raw(kSignatureBytes);
  ossl::require(
      BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), kHalfBytes) == kHalfBytes &&
          BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + kHalfBytes, kHalfBytes) ==
              kHalfBytes,
      "BN_bn2binpad");
  return raw;
}

SecretBytes SoftKey::ecdh_x(const PublicKey& peer) const {
  const ossl::Number scalar = number_of(scalar_);
  const ossl::Point peer_point = ossl::read_point(peer.point());
  const ossl::Point shared{EC_POINT_new(ossl::p256())};
  const ossl::Number x{BN_secure_new()};
  ossl::require(peer_point != nullptr && shared != nullptr && x != nullptr, "EC_POINT_new");
  // The order is prime and the scalar in 1..n-1, so the result is never the point at infinity.
  ossl::require(
      EC_POINT_mul(ossl::p256(), shared.get(), nullptr, peer_point.get(), scalar.get(), nullptr) ==
              1 &&
          EC_POINT_get_affine_coordinates(ossl::p256(), shared.get(), x.get(), nullptr, nullptr) ==
              1,
      "EC_POINT_mul");
  return octets_of(x.get());
}

}  // namespace keyferry::crypto
