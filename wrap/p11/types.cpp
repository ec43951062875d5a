#include "wrap/p11/types.h"

#include <fmt/format.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>

namespace keyferry::p11 {

namespace {

template <typename Value>
struct Name {
  Value value;
  const char* name;
  unsigned long standard;  // the C header's number, compared below
};

using MechanismName = Name<Mechanism>;
using AttributeName = Name<Attribute>;

constexpr std::array kMechanismNames{
    MechanismName{
        Mechanism::RsaPkcsKeyPairGen, "CKM_RSA_PKCS_KEY_PAIR_GEN", CKM_RSA_PKCS_KEY_PAIR_GEN},
    MechanismName{Mechanism::RsaPkcsOaep, "CKM_RSA_PKCS_OAEP", CKM_RSA_PKCS_OAEP},
    MechanismName{Mechanism::Sp800108CounterKdf,
                  "CKM_SP800_108_COUNTER_KDF",
                  0x03ACUL},  // PKCS#11 3.0; not in the 2.40 header
    MechanismName{Mechanism::EcKeyPairGen, "CKM_EC_KEY_PAIR_GEN", CKM_EC_KEY_PAIR_GEN},
    MechanismName{Mechanism::Ecdsa, "CKM_ECDSA", CKM_ECDSA},
    MechanismName{Mechanism::Ecdh1Derive, "CKM_ECDH1_DERIVE", CKM_ECDH1_DERIVE},
    MechanismName{Mechanism::AesKeyGen, "CKM_AES_KEY_GEN", CKM_AES_KEY_GEN},
    MechanismName{Mechanism::AesEcb, "CKM_AES_ECB", CKM_AES_ECB},
    MechanismName{Mechanism::AesCbc, "CKM_AES_CBC", CKM_AES_CBC},
    MechanismName{Mechanism::AesCbcPad, "CKM_AES_CBC_PAD", CKM_AES_CBC_PAD},
    MechanismName{Mechanism::AesCmac, "CKM_AES_CMAC", CKM_AES_CMAC},
    MechanismName{
        Mechanism::AesEcbEncryptData, "CKM_AES_ECB_ENCRYPT_DATA", CKM_AES_ECB_ENCRYPT_DATA},
    MechanismName{Mechanism::AesKeyWrap, "CKM_AES_KEY_WRAP", CKM_AES_KEY_WRAP},
    MechanismName{Mechanism::AesKeyWrapPad, "CKM_AES_KEY_WRAP_PAD", CKM_AES_KEY_WRAP_PAD},
    MechanismName{Mechanism::AesKeyWrapKwp,
                  "CKM_AES_KEY_WRAP_KWP",
                  0x210BUL},  // PKCS#11 3.0; not in the 2.40 header
};

constexpr std::array kAttributeNames{
    AttributeName{Attribute::Class, "CKA_CLASS", CKA_CLASS},
    AttributeName{Attribute::Token, "CKA_TOKEN", CKA_TOKEN},
    AttributeName{Attribute::Private, "CKA_PRIVATE", CKA_PRIVATE},
    AttributeName{Attribute::Label, "CKA_LABEL", CKA_LABEL},
    AttributeName{Attribute::Application, "CKA_APPLICATION", CKA_APPLICATION},
    AttributeName{Attribute::Value, "CKA_VALUE", CKA_VALUE},
    AttributeName{Attribute::ObjectId, "CKA_OBJECT_ID", CKA_OBJECT_ID},
    AttributeName{Attribute::CertificateType, "CKA_CERTIFICATE_TYPE", CKA_CERTIFICATE_TYPE},
    AttributeName{Attribute::Issuer, "CKA_ISSUER", CKA_ISSUER},
    AttributeName{Attribute::SerialNumber, "CKA_SERIAL_NUMBER", CKA_SERIAL_NUMBER},
    AttributeName{Attribute::Trusted, "CKA_TRUSTED", CKA_TRUSTED},
    AttributeName{Attribute::KeyType, "CKA_KEY_TYPE", CKA_KEY_TYPE},
    AttributeName{Attribute::Subject, "CKA_SUBJECT", CKA_SUBJECT},
    AttributeName{Attribute::Id, "CKA_ID", CKA_ID},
    AttributeName{Attribute::Sensitive, "CKA_SENSITIVE", CKA_SENSITIVE},
    AttributeName{Attribute::Encrypt, "CKA_ENCRYPT", CKA_ENCRYPT},
    AttributeName{Attribute::Decrypt, "CKA_DECRYPT", CKA_DECRYPT},
    AttributeName{Attribute::Wrap, "CKA_WRAP", CKA_WRAP},
    AttributeName{Attribute::Unwrap, "CKA_UNWRAP", CKA_UNWRAP},
    AttributeName{Attribute::Sign, "CKA_SIGN", CKA_SIGN},
    AttributeName{Attribute::Verify, "CKA_VERIFY", CKA_VERIFY},
    AttributeName{Attribute::Derive, "CKA_DERIVE", CKA_DERIVE},
    AttributeName{Attribute::Modulus, "CKA_MODULUS", CKA_MODULUS},
    AttributeName{Attribute::ModulusBits, "CKA_MODULUS_BITS", CKA_MODULUS_BITS},
    AttributeName{Attribute::PublicExponent, "CKA_PUBLIC_EXPONENT", CKA_PUBLIC_EXPONENT},
    AttributeName{Attribute::ValueLen, "CKA_VALUE_LEN", CKA_VALUE_LEN},
    AttributeName{Attribute::Extractable, "CKA_EXTRACTABLE", CKA_EXTRACTABLE},
    AttributeName{Attribute::Local, "CKA_LOCAL", CKA_LOCAL},
    AttributeName{Attribute::NeverExtractable, "CKA_NEVER_EXTRACTABLE", CKA_NEVER_EXTRACTABLE},
    AttributeName{Attribute::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE", CKA_ALWAYS_SENSITIVE},
    AttributeName{Attribute::Modifiable, "CKA_MODIFIABLE", CKA_MODIFIABLE},
    AttributeName{Attribute::Copyable, "CKA_COPYABLE", CKA_COPYABLE},
    AttributeName{Attribute::Destroyable, "CKA_DESTROYABLE", CKA_DESTROYABLE},
    AttributeName{Attribute::EcParams, "CKA_EC_PARAMS", CKA_EC_PARAMS},
    AttributeName{Attribute::EcPoint, "CKA_EC_POINT", CKA_EC_POINT},
    AttributeName{
        Attribute::AlwaysAuthenticate, "CKA_ALWAYS_AUTHENTICATE", CKA_ALWAYS_AUTHENTICATE},
    AttributeName{Attribute::WrapWithTrusted, "CKA_WRAP_WITH_TRUSTED", CKA_WRAP_WITH_TRUSTED},
    AttributeName{Attribute::WrapTemplate, "CKA_WRAP_TEMPLATE", CKA_WRAP_TEMPLATE},
    AttributeName{Attribute::UnwrapTemplate, "CKA_UNWRAP_TEMPLATE", CKA_UNWRAP_TEMPLATE},
    AttributeName{Attribute::DeriveTemplate, "CKA_DERIVE_TEMPLATE", CKA_DERIVE_TEMPLATE},
    AttributeName{Attribute::AllowedMechanisms, "CKA_ALLOWED_MECHANISMS", CKA_ALLOWED_MECHANISMS},
};

template <typename Table>
constexpr bool as_the_standard_says(const Table& table) {
  for (const auto& row : table) {
    if (static_cast<unsigned long>(row.value) != row.standard) return false;
  }
  return true;
}

static_assert(as_the_standard_says(kMechanismNames));
static_assert(as_the_standard_says(kAttributeNames));
static_assert(static_cast<unsigned long>(ObjectClass::Data) == CKO_DATA);
static_assert(static_cast<unsigned long>(ObjectClass::Certificate) == CKO_CERTIFICATE);
static_assert(static_cast<unsigned long>(ObjectClass::PublicKey) == CKO_PUBLIC_KEY);
static_assert(static_cast<unsigned long>(ObjectClass::PrivateKey) == CKO_PRIVATE_KEY);
static_assert(static_cast<unsigned long>(ObjectClass::SecretKey) == CKO_SECRET_KEY);
static_assert(static_cast<unsigned long>(KeyType::Rsa) == CKK_RSA);
static_assert(static_cast<unsigned long>(KeyType::Ec) == CKK_EC);
static_assert(static_cast<unsigned long>(KeyType::GenericSecret) == CKK_GENERIC_SECRET);
static_assert(static_cast<unsigned long>(KeyType::Aes) == CKK_AES);

constexpr std::uint8_t kUncompressed = 0x04;  // SEC 1 section 2.3.3
constexpr std::uint8_t kOctetString = 0x04;   // DER tag

}  // namespace

std::string mechanism_name(Mechanism mechanism) {
  const auto number = static_cast<unsigned long>(mechanism);
  for (const auto& row : kMechanismNames) {
    if (row.value == mechanism) return fmt::format("{} ({:#x})", row.name, number);
  }
  return fmt::format("mechanism {:#x}", number);
}

std::string attribute_name(Attribute attribute) {
  for (const auto& row : kAttributeNames) {
    if (row.value == attribute) return row.name;
  }
  return fmt::format("attribute {:#x}", static_cast<unsigned long>(attribute));
}

Bytes spell_ec_point(ByteView point, PointForm form) {
  Bytes value;
  if (form == PointForm::DerOctetString) {
    value = {kOctetString, static_cast<std::uint8_t>(point.size())};
  }
  append(value, point);
  return value;
}

std::optional<EcPoint> parse_ec_point(ByteView value) {
  constexpr std::size_t kHeader = 2;
  EcPoint point{};
  if (value.size() == point.size() + kHeader && value[0] == kOctetString &&
      value[1] == point.size()) {
    value = value.subspan(kHeader);
  }
  if (value.size() != point.size() || value[0] != kUncompressed) return std::nullopt;
  std::ranges::copy(value, point.begin());
  return point;
}

}  // namespace keyferry::p11
