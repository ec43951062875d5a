#include "wrap/crypto/signing.h"

#include <openssl/err.h>

#include <algorithm>

#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/p256.h"

namespace keyferry::crypto {
namespace {

constexpr std::size_t kHalfBytes = kSignatureBytes / 2;
constexpr std::uint8_t kDerInteger = 0x02;
constexpr std::uint8_t kDerSequence = 0x30;

/// RFC 5480 §2: SEQUENCE { SEQUENCE { id-ecPublicKey, prime256v1 }, BIT STRING of 65 octets }, up
/// to the point.
constexpr std::array<std::uint8_t, PublicKey::kSpkiBytes - PublicKey::kPointBytes> kSpkiPrefix{
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

// n of P-256 (FIPS 186-4 D.1.2.3), and (n - 1) / 2.
constexpr std::array<std::uint8_t, 32> kOrder{
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
constexpr std::array<std::uint8_t, 32> kHalfOrder{
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8};

consteval bool in_order_of_the_enumeration() {
  for (std::size_t i = 0; i < kSignatureKinds.size(); ++i) {
    if (static_cast<std::size_t>(kSignatureKinds[i].kind) != i) return false;
  }
  return true;
}

static_assert(in_order_of_the_enumeration(), "signature_kind_name() counts on it");

void append_der_integer(Bytes& out, ByteView value) {
  while (value.size() > 1 && value[0] == 0) value = value.subspan(1);
  const bool sign_octet = (value[0] & 0x80) != 0;
  out.push_back(kDerInteger);
  out.push_back(static_cast<std::uint8_t>(value.size() + (sign_octet ? 1 : 0)));
  if (sign_octet) out.push_back(0);
  append(out, value);
}

/// Takes one INTEGER off the front of `der` and appends it to `raw` in 32 octets; false if there is
/// none, or it is not in its shortest form, negative or too large.
bool take_der_integer(ByteView& der, Bytes& raw) {
  if (der.size() < 3 || der[0] != kDerInteger || der[1] == 0 || der[1] > kHalfBytes + 1 ||
      der.size() < 2U + der[1]) {
    return false;
  }
  ByteView value = der.subspan(2, der[1]);
  der = der.subspan(2 + value.size());
  if ((value[0] & 0x80) != 0) return false;
  if (value[0] == 0 && value.size() > 1) {
    if ((value[1] & 0x80) == 0) return false;
    value = value.subspan(1);
  }
  if (value.size() > kHalfBytes) return false;
  raw.resize(raw.size() + kHalfBytes - value.size());
  append(raw, value);
  return true;
}

}  // namespace

std::string_view signature_kind_name(SignatureKind kind) {
  return kSignatureKinds.at(static_cast<std::size_t>(kind)).name;
}

Digest signing_digest(SignatureKind kind, ByteView bytes) {
  constexpr std::uint8_t kSeparator = 0;
  Bytes length;
  append_u64be(length, bytes.size());
  return sha256_of({as_bytes("keyferry/v1/"),
                    as_bytes(signature_kind_name(kind)),
                    ByteView{&kSeparator, 1},
                    length,
                    bytes});
}

std::optional<PublicKey> PublicKey::from_point(ByteView point) {
  if (!ossl::read_point(point)) return std::nullopt;
  PublicKey key;
  std::ranges::copy(point, key.point_.begin());
  return key;
}

std::optional<PublicKey> PublicKey::from_spki(ByteView der) {
  if (der.size() != kSpkiBytes || !equal(der.first(kSpkiPrefix.size()), kSpkiPrefix)) {
    return std::nullopt;
  }
  return from_point(der.subspan(kSpkiPrefix.size()));
}

Bytes PublicKey::spki_der() const {
  Bytes der;
  der.reserve(kSpkiBytes);
  append(der, kSpkiPrefix);
  append(der, point_);
  return der;
}

KeyId PublicKey::key_id() const {
  return *KeyId::from_bytes(sha256_of({kSpkiPrefix, point_}).bytes());
}

void Verifier::Free::operator()(ec_key_st* key) const {
  EC_KEY_free(key);
}

Verifier::Verifier(const PublicKey& key) : key_{EC_KEY_new()} {
  ossl::require(key_ != nullptr && EC_KEY_set_group(key_.get(), ossl::p256()) == 1,
                "EC_KEY_set_group");
  const ossl::Point point = ossl::read_point(key.point());
  ossl::require(point != nullptr && EC_KEY_set_public_key(key_.get(), point.get()) == 1,
                "EC_KEY_set_public_key");
}

bool Verifier::verify(const Digest& digest, ByteView signature) const {
  if (signature.size() != kSignatureBytes) return false;
  const ossl::Signature parsed{ECDSA_SIG_new()};
  ossl::Number r{BN_bin2bn(signature.data(), kHalfBytes, nullptr)};
  ossl::Number s{BN_bin2bn(signature.data() + kHalfBytes, kHalfBytes, nullptr)};
  ossl::require(parsed != nullptr && r != nullptr && s != nullptr, "ECDSA_SIG_new");
  ossl::require(ECDSA_SIG_set0(parsed.get(), r.release(), s.release()) == 1, "ECDSA_SIG_set0");
  // 1: valid; 0: not; -1: r or s out of range, which is "not" too.
  const int answer = ECDSA_do_verify(
      digest.bytes().data(), static_cast<int>(Digest::kSizeBytes), parsed.get(), key_.get());
  if (answer != 1) ERR_clear_error();
  return answer == 1;
}

bool verify(const PublicKey& key, const Digest& digest, ByteView signature) {
  return Verifier{key}.verify(digest, signature);
}

bool verify(const PublicKey& key, SignatureKind kind, ByteView bytes, ByteView signature) {
  return verify(key, signing_digest(kind, bytes), signature);
}

bool is_low_s(ByteView signature) {
  if (signature.size() != kSignatureBytes) return false;
  return !std::ranges::lexicographical_compare(kHalfOrder, signature.subspan(kSignatureBytes / 2));
}

Bytes to_low_s(ByteView signature) {
  if (signature.size() != kSignatureBytes)
    throw Error{Code::InvalidArgument, "a signature has 64 octets"};
  Bytes low = to_bytes(signature);
  if (is_low_s(signature)) return low;
  constexpr std::size_t kHalf = kSignatureBytes / 2;
  unsigned borrow = 0;
  for (std::size_t at = kHalf; at-- > 0;) {
    const unsigned minuend = kOrder[at] + 0x100U - borrow;
    const unsigned difference = minuend - signature[kHalf + at];
    low[kHalf + at] = static_cast<std::uint8_t>(difference);
    borrow = difference < 0x100U ? 1 : 0;
  }
  if (borrow != 0) throw Error{Code::InvalidArgument, "s is not below the order of P-256"};
  return low;
}

Bytes raw_to_der_signature(ByteView signature) {
  if (signature.size() != kSignatureBytes) {
    throw Error{Code::InvalidArgument, "a raw P-256 signature has 64 octets"};
  }
  Bytes integers;
  append_der_integer(integers, signature.first(kHalfBytes));
  append_der_integer(integers, signature.subspan(kHalfBytes));
  Bytes der{kDerSequence, static_cast<std::uint8_t>(integers.size())};
  append(der, integers);
  return der;
}

std::optional<Bytes> der_to_raw_signature(ByteView der) {
  if (der.size() < 2 || der[0] != kDerSequence || der[1] >= 0x80 || der.size() != 2U + der[1]) {
    return std::nullopt;
  }
  ByteView rest = der.subspan(2);
  Bytes raw;
  if (!take_der_integer(rest, raw) || !take_der_integer(rest, raw) || !rest.empty()) {
    return std::nullopt;
  }
  return raw;
}

Bytes sign(Signer& signer, SignatureKind kind, ByteView bytes) {
  Bytes signature = signer.sign_digest(signing_digest(kind, bytes));
  if (signature.size() != kSignatureBytes) {
    throw Error{Code::Internal, "a signer gave a signature of other than 64 octets"};
  }
  return signature;
}

}  // namespace keyferry::crypto
