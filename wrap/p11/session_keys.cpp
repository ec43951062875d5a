// Session: making, deriving, wrapping and using keys. The calls of the hot loop allocate only their
// result.
#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/cut.h"
#include "wrap/p11/cryptoki.h"
#include "wrap/p11/session.h"

namespace keyferry::p11 {

namespace {

constexpr std::size_t kWrapBufferBytes = 512;
constexpr std::size_t kMaxWrappedBytes = 8192;
constexpr std::size_t kAesBlockBytes = 16;
constexpr std::size_t kMaxDeriveBytes = 64;
constexpr std::size_t kSecretBytes = 32;

CK_MECHANISM plain(Mechanism mechanism) {
  return {static_cast<CK_MECHANISM_TYPE>(mechanism), nullptr, 0};
}

Template ecdh_secret_template() {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(KeyType::GenericSecret)
      .token(false)
      .sensitive(false)
      .extractable(true)
      .value_len(kSecretBytes);
}

}  // namespace

KeyPair Session::generate_pair(Mechanism mechanism,
                               const Template& public_key,
                               const Template& private_key) {
  CkTemplate ck_public{public_key};
  CkTemplate ck_private{private_key};
  CK_MECHANISM ck_mechanism = plain(mechanism);
  CK_OBJECT_HANDLE public_handle = CK_INVALID_HANDLE;
  CK_OBJECT_HANDLE private_handle = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_GenerateKeyPair(handle_,
                                                        &ck_mechanism,
                                                        ck_public.data(),
                                                        ck_public.count(),
                                                        ck_private.data(),
                                                        ck_private.count(),
                                                        &public_handle,
                                                        &private_handle),
        "C_GenerateKeyPair",
        [&] { return describe_new(private_key); });
  return {made(ObjectHandle{public_handle}, public_key),
          made(ObjectHandle{private_handle}, private_key)};
}

KeyPair Session::generate_p256_pair(const Template& public_key, const Template& private_key) {
  return generate_pair(Mechanism::EcKeyPairGen, public_key, private_key);
}

KeyPair Session::generate_rsa_pair(const Template& public_key, const Template& private_key) {
  return generate_pair(Mechanism::RsaPkcsKeyPairGen, public_key, private_key);
}

DeviceKeyPair Session::generate_device_pair(const Template& public_key,
                                            const Template& private_key) {
  KeyPair pair = generate_p256_pair(public_key, private_key);
  const EcPoint point = ec_point_octets(pair.public_key);
  return {std::move(pair.public_key), std::move(pair.private_key), point};
}

Key Session::generate_aes(const Template& key) {
  CkTemplate ck{key};
  CK_MECHANISM mechanism = plain(Mechanism::AesKeyGen);
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_GenerateKey(
            handle_, &mechanism, ck.data(), ck.count(), &handle),
        "C_GenerateKey",
        [&] { return describe_new(key); });
  return made(ObjectHandle{handle}, key);
}

Key Session::derive_aes_ecb_data(ObjectHandle base, ByteView data, const Template& key) {
  if (data.empty() || data.size() > kMaxDeriveBytes || data.size() % kAesBlockBytes != 0) {
    throw Error{Code::InvalidArgument, "derivation data is 16 to 64 octets, a multiple of 16"};
  }
  CK_KEY_DERIVATION_STRING_DATA parameter{input(data), size_of(data)};
  CK_MECHANISM mechanism{CKM_AES_ECB_ENCRYPT_DATA, &parameter, sizeof parameter};
  CkTemplate ck{key};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_DeriveKey(
            handle_, &mechanism, base.value, ck.data(), ck.count(), &handle),
        "C_DeriveKey",
        [&] { return describe(base); });
  return made(ObjectHandle{handle}, key);
}

Bytes Session::wrap(Mechanism mechanism, ObjectHandle wrapping_key, ObjectHandle key) {
  CK_MECHANISM ck_mechanism = plain(mechanism);
  std::array<std::uint8_t, kWrapBufferBytes> buffer;  // ciphertext only: nothing to wipe
  CK_ULONG size_bytes = buffer.size();
  const auto name = [&] {
    return fmt::format("{} under {}", describe(key), describe(wrapping_key));
  };
  const CK_RV rv = module_.cryptoki().functions->C_WrapKey(
      handle_, &ck_mechanism, wrapping_key.value, key.value, buffer.data(), &size_bytes);
  if (rv == CKR_BUFFER_TOO_SMALL) {
    Bytes large(kMaxWrappedBytes);
    size_bytes = large.size();
    check(module_.cryptoki().functions->C_WrapKey(
              handle_, &ck_mechanism, wrapping_key.value, key.value, large.data(), &size_bytes),
          "C_WrapKey",
          name);
    large.resize(size_bytes);
    return large;
  }
  check(rv, "C_WrapKey", name);
  return {buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(size_bytes)};
}

Key Session::unwrap(Mechanism mechanism,
                    ObjectHandle unwrapping_key,
                    ByteView blob,
                    const Template& key) {
  CK_MECHANISM ck_mechanism = plain(mechanism);
  CkTemplate ck{key};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_UnwrapKey(handle_,
                                                  &ck_mechanism,
                                                  unwrapping_key.value,
                                                  input(blob),
                                                  size_of(blob),
                                                  ck.data(),
                                                  ck.count(),
                                                  &handle),
        "C_UnwrapKey",
        [&] { return fmt::format("{} by {}", describe_new(key), describe(unwrapping_key)); });
  return made(ObjectHandle{handle}, key);
}

Bytes Session::sign_ecdsa(ObjectHandle private_key, const Digest& digest) {
  auto* const functions = module_.cryptoki().functions;
  const auto name = [&] { return describe(private_key); };
  CK_MECHANISM mechanism = plain(Mechanism::Ecdsa);
  check(functions->C_SignInit(handle_, &mechanism, private_key.value), "C_SignInit", name);
  KF_CUT("p11.sign-begun");  // cut here: nothing durable; a core image of now shows who holds the key
  std::array<std::uint8_t, 256> buffer;
  CK_ULONG size_bytes = buffer.size();
  check(functions->C_Sign(
            handle_, input(digest.bytes()), digest.bytes().size(), buffer.data(), &size_bytes),
        "C_Sign",
        name);
  if (size_bytes != crypto::kSignatureBytes) {
    throw Error{Code::Hsm,
                fmt::format("C_Sign: {} octets instead of 64 ({})", size_bytes, name()),
                "this module's CKM_ECDSA does not give raw r and s, or the key is not P-256"};
  }
  return {buffer.begin(), buffer.begin() + crypto::kSignatureBytes};
}

bool Session::verify_ecdsa(ObjectHandle public_key, const Digest& digest, ByteView signature) {
  auto* const functions = module_.cryptoki().functions;
  const auto name = [&] { return describe(public_key); };
  CK_MECHANISM mechanism = plain(Mechanism::Ecdsa);
  check(functions->C_VerifyInit(handle_, &mechanism, public_key.value), "C_VerifyInit", name);
  const CK_RV rv = functions->C_Verify(
      handle_, input(digest.bytes()), digest.bytes().size(), input(signature), size_of(signature));
  if (rv == CKR_SIGNATURE_INVALID || rv == CKR_SIGNATURE_LEN_RANGE) return false;
  check(rv, "C_Verify", name);
  return true;
}

std::optional<unsigned long> Session::try_ecdh(ObjectHandle private_key,
                                               ByteView point,
                                               unsigned long& secret) {
  static const Template kSecret = ecdh_secret_template();
  CK_ECDH1_DERIVE_PARAMS parameter{};
  parameter.kdf = CKD_NULL;
  parameter.pPublicData = input(point);
  parameter.ulPublicDataLen = size_of(point);
  CK_MECHANISM mechanism{CKM_ECDH1_DERIVE, &parameter, sizeof parameter};
  CkTemplate ck{kSecret};
  const CK_RV rv = module_.cryptoki().functions->C_DeriveKey(
      handle_, &mechanism, private_key.value, ck.data(), ck.count(), &secret);
  if (rv == CKR_OK) return std::nullopt;
  return rv;
}

// PKCS#11 2.40 mechanisms, section 2.3.9: a module must take the raw point and may take DER; older
// ones only take DER.
SecretBytes Session::ecdh(ObjectHandle private_key, const crypto::PublicKey& peer) {
  CK_OBJECT_HANDLE secret = CK_INVALID_HANDLE;
  std::optional<unsigned long> refused;
  if (ecdh_form_ != PointForm::DerOctetString) {
    refused = try_ecdh(private_key, peer.point(), secret);
    if (!refused) ecdh_form_ = PointForm::Raw;
  }
  if (ecdh_form_ != PointForm::Raw) {
    refused = try_ecdh(
        private_key, spell_ec_point(peer.point(), PointForm::DerOctetString), secret);
    if (!refused) ecdh_form_ = PointForm::DerOctetString;
  }
  if (refused) note(*refused);
  if (refused)
    throw Pkcs11Error{"C_DeriveKey", *refused, fmt::format("ECDH with {}", describe(private_key))};
  const Key owner{*this, ObjectHandle{secret}, true};
  Read<SecretBytes> value = read_secret(owner);
  if (!value || value.value.size() != kSecretBytes) {
    throw Error{
        Code::Hsm,
        fmt::format("ECDH with {}: the shared secret cannot be read", describe(private_key))};
  }
  return std::move(value.value);
}

EcPoint Session::ec_point_octets(ObjectHandle public_key) {
  std::array<std::uint8_t, 128> buffer;
  std::size_t size_bytes = 0;
  const RawRead raw = read_raw(public_key, Attribute::EcPoint, buffer, size_bytes);
  const auto point =
      raw == RawRead::Value ? parse_ec_point(ByteView{buffer}.first(size_bytes)) : std::nullopt;
  if (!point)
    throw Error{Code::Hsm, fmt::format("{}: CKA_EC_POINT is no P-256 point", describe(public_key))};
  return *point;
}

crypto::PublicKey Session::ec_point(ObjectHandle public_key) {
  const auto key = crypto::PublicKey::from_point(ec_point_octets(public_key));
  if (!key)
    throw Error{Code::Hsm,
                fmt::format("{}: CKA_EC_POINT is not on the curve", describe(public_key))};
  return *key;
}

PointForm Session::ec_point_form(ObjectHandle public_key) {
  const Read<Bytes> value = read_bytes(public_key, Attribute::EcPoint);
  return value && value.value.size() == EcPoint{}.size() ? PointForm::Raw
                                                         : PointForm::DerOctetString;
}

}  // namespace keyferry::p11
