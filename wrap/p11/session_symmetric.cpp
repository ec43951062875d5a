// Session: what modules need the later parts of the standard for (SP 800-108, CMAC), RSA of vendor
// keys, digests of keys, and single blocks. Of these only derivation and digests are in the hot
// loop.
#include <botan/bigint.h>
#include <botan/rsa.h>
#include <fmt/format.h>

#include <array>

#include "wrap/crypto/cmac.h"
#include "wrap/p11/cryptoki.h"
#include "wrap/p11/session.h"
#include "wrap/p11/sp800_108.h"

namespace keyferry::p11 {

namespace {

constexpr std::size_t kAesBlockBytes = 16;
constexpr std::size_t kSha256Bytes = 32;
constexpr std::size_t kMaxFixedInputBytes = 1024;

CK_MECHANISM plain(Mechanism mechanism) {
  return {static_cast<CK_MECHANISM_TYPE>(mechanism), nullptr, 0};
}

}  // namespace

Key Session::derive_sp800_108(ObjectHandle base, ByteView fixed_input, const Template& key) {
  if (fixed_input.empty() || fixed_input.size() > kMaxFixedInputBytes) {
    throw Error{Code::InvalidArgument, "SP 800-108 takes 1 to 1024 octets of label and context"};
  }
  sp800_108::CounterFormat counter{CK_FALSE, 32};
  sp800_108::LengthFormat length{sp800_108::kSumOfKeys, CK_FALSE, 32};
  std::array<sp800_108::DataParam, 3> data{
      sp800_108::DataParam{sp800_108::kIterationVariable, &counter, sizeof counter},
      sp800_108::DataParam{sp800_108::kByteArray, input(fixed_input), size_of(fixed_input)},
      sp800_108::DataParam{sp800_108::kLength, &length, sizeof length}};
  sp800_108::Params parameter{CKM_AES_CMAC, data.size(), data.data(), 0, nullptr};
  CK_MECHANISM mechanism{sp800_108::kCounterKdf, &parameter, sizeof parameter};
  CkTemplate ck{key};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_DeriveKey(
            handle_, &mechanism, base.value, ck.data(), ck.count(), &handle),
        "C_DeriveKey",
        [&] { return describe(base); });
  return made(ObjectHandle{handle}, key);
}

Key Session::unwrap_oaep(crypto::OaepHash hash,
                         ObjectHandle private_key,
                         ByteView blob,
                         const Template& key) {
  const bool sha1 = hash == crypto::OaepHash::Sha1;
  CK_RSA_PKCS_OAEP_PARAMS parameter{};
  parameter.hashAlg = sha1 ? CKM_SHA_1 : CKM_SHA256;
  parameter.mgf = sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256;
  parameter.source = CKZ_DATA_SPECIFIED;  // with no data: the empty label
  CK_MECHANISM mechanism{CKM_RSA_PKCS_OAEP, &parameter, sizeof parameter};
  CkTemplate ck{key};
  CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_UnwrapKey(handle_,
                                                  &mechanism,
                                                  private_key.value,
                                                  input(blob),
                                                  size_of(blob),
                                                  ck.data(),
                                                  ck.count(),
                                                  &handle),
        "C_UnwrapKey",
        [&] { return fmt::format("{} by {}", describe_new(key), describe(private_key)); });
  return made(ObjectHandle{handle}, key);
}

Bytes Session::rsa_public_key(ObjectHandle public_key) {
  const Read<Bytes> modulus = read_bytes(public_key, Attribute::Modulus);
  const Read<Bytes> exponent = read_bytes(public_key, Attribute::PublicExponent);
  if (!modulus || !exponent || modulus.value.empty() || exponent.value.empty()) {
    throw Error{
        Code::Hsm,
        fmt::format("{}: CKA_MODULUS or CKA_PUBLIC_EXPONENT cannot be read", describe(public_key))};
  }
  const Botan::RSA_PublicKey key{Botan::BigInt{modulus.value.data(), modulus.value.size()},
                                 Botan::BigInt{exponent.value.data(), exponent.value.size()}};
  return key.subject_public_key();
}

Bytes Session::sign_cmac(ObjectHandle key, ByteView data) {
  auto* const functions = module_.cryptoki().functions;
  const auto name = [&] { return describe(key); };
  CK_MECHANISM mechanism = plain(Mechanism::AesCmac);
  check(functions->C_SignInit(handle_, &mechanism, key.value), "C_SignInit", name);
  Bytes tag(crypto::kCmacBytes * 2);
  CK_ULONG size_bytes = tag.size();
  check(functions->C_Sign(handle_, input(data), size_of(data), tag.data(), &size_bytes),
        "C_Sign",
        name);
  if (size_bytes != crypto::kCmacBytes) {
    throw Error{Code::Hsm,
                fmt::format("C_Sign: {} octets instead of 16 ({})", size_bytes, name()),
                "this module's CKM_AES_CMAC does not give whole tags"};
  }
  tag.resize(size_bytes);
  return tag;
}

SecretBytes Session::digest_key(ObjectHandle key, std::initializer_list<ByteView> followed_by) {
  auto* const functions = module_.cryptoki().functions;
  const auto name = [&] { return describe(key); };
  CK_MECHANISM mechanism{CKM_SHA256, nullptr, 0};
  SecretBytes digest{kSha256Bytes};
  CK_ULONG size_bytes = digest.size();
  check(functions->C_DigestInit(handle_, &mechanism), "C_DigestInit", name);
  // A refusal should end the operation, but not every module's does: it would stand in the way of
  // the next one.
  const auto abandon = [&] {
    static_cast<void>(
        functions->C_DigestFinal(handle_, digest.expose_writable().data(), &size_bytes));
  };
  if (const CK_RV rv = functions->C_DigestKey(handle_, key.value); rv != CKR_OK) {
    abandon();
    check(rv, "C_DigestKey", name);
  }
  for (const ByteView part : followed_by) {
    if (const CK_RV rv = functions->C_DigestUpdate(handle_, input(part), size_of(part));
        rv != CKR_OK) {
      abandon();
      check(rv, "C_DigestUpdate", name);
    }
  }
  check(functions->C_DigestFinal(handle_, digest.expose_writable().data(), &size_bytes),
        "C_DigestFinal",
        name);
  if (size_bytes != kSha256Bytes)
    throw Error{Code::Hsm, fmt::format("C_DigestFinal: {} octets instead of 32", size_bytes)};
  return digest;
}

Bytes Session::aes_ecb_encrypt(ObjectHandle key, ByteView data) {
  auto* const functions = module_.cryptoki().functions;
  const auto name = [&] { return describe(key); };
  CK_MECHANISM mechanism = plain(Mechanism::AesEcb);
  check(functions->C_EncryptInit(handle_, &mechanism, key.value), "C_EncryptInit", name);
  Bytes out(data.size() + kAesBlockBytes);
  CK_ULONG size_bytes = out.size();
  check(functions->C_Encrypt(handle_, input(data), size_of(data), out.data(), &size_bytes),
        "C_Encrypt",
        name);
  out.resize(size_bytes);
  return out;
}

}  // namespace keyferry::p11
