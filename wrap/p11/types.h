// Cryptoki's numbers under names of our own (PKCS#11 2.40 base, section 6 and mechanisms, section
// 2). The C header itself stays inside the .cpp files of this folder; a static_assert there holds
// the two against each other.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::p11 {

using SlotId = Number<struct SlotIdTag, unsigned long>;

/// An object of the module. Zero is no object. Valid for all sessions of this process on the same
/// slot.
using ObjectHandle = Number<struct ObjectHandleTag, unsigned long>;

enum class Access { ReadOnly, ReadWrite };
enum class Role { User, SecurityOfficer };

enum class ObjectClass : unsigned long {
  Data = 0,
  Certificate = 1,
  PublicKey = 2,
  PrivateKey = 3,
  SecretKey = 4
};
enum class KeyType : unsigned long { Rsa = 0x00, Ec = 0x03, GenericSecret = 0x10, Aes = 0x1F };

/// Mechanisms that we use or test for. A module may know others; their numbers are cast to this
/// type when read.
enum class Mechanism : unsigned long {
  RsaPkcsKeyPairGen = 0x0000,
  RsaPkcsOaep = 0x0009,
  Sp800108CounterKdf = 0x03AC,  // PKCS#11 3.0
  EcKeyPairGen = 0x1040,
  Ecdsa = 0x1041,  // over a digest made by the caller; raw r and s
  Ecdh1Derive = 0x1050,
  AesKeyGen = 0x1080,
  AesEcb = 0x1081,
  AesCbc = 0x1082,
  AesCbcPad = 0x1085,
  AesCmac = 0x108A,
  AesEcbEncryptData = 0x1104,
  AesKeyWrap = 0x2109,     // RFC 3394
  AesKeyWrapPad = 0x210A,  // RFC 5649 in some modules: decided by trying (probe.h)
  AesKeyWrapKwp = 0x210B,  // RFC 5649 by its 3.0 name
};

/// "CKM_AES_KEY_WRAP_PAD (0x210a)"; only the number when it is none of the above.
[[nodiscard]] std::string mechanism_name(Mechanism mechanism);

enum class Attribute : unsigned long {
  Class = 0x0000,
  Token = 0x0001,
  Private = 0x0002,
  Label = 0x0003,
  Application = 0x0010,
  Value = 0x0011,
  ObjectId = 0x0012,
  CertificateType = 0x0080,
  Issuer = 0x0081,
  SerialNumber = 0x0082,
  Trusted = 0x0086,
  KeyType = 0x0100,
  Subject = 0x0101,
  Id = 0x0102,
  Sensitive = 0x0103,
  Encrypt = 0x0104,
  Decrypt = 0x0105,
  Wrap = 0x0106,
  Unwrap = 0x0107,
  Sign = 0x0108,
  Verify = 0x010A,
  Derive = 0x010C,
  Modulus = 0x0120,
  ModulusBits = 0x0121,
  PublicExponent = 0x0122,
  ValueLen = 0x0161,
  Extractable = 0x0162,
  Local = 0x0163,
  NeverExtractable = 0x0164,
  AlwaysSensitive = 0x0165,
  Modifiable = 0x0170,
  Copyable = 0x0171,
  Destroyable = 0x0172,
  EcParams = 0x0180,
  EcPoint = 0x0181,
  AlwaysAuthenticate = 0x0202,
  WrapWithTrusted = 0x0210,
  WrapTemplate = 0x40000211,
  UnwrapTemplate = 0x40000212,
  DeriveTemplate = 0x40000213,
  AllowedMechanisms = 0x40000600,
};

/// "CKA_EXTRACTABLE"; the number in hex when it is none of the above.
[[nodiscard]] std::string attribute_name(Attribute attribute);

/// An uncompressed P-256 point: 04, x, y. Its form was checked, not whether it lies on the curve.
using EcPoint = std::array<std::uint8_t, 65>;

/// The two ways in which modules spell a point.
enum class PointForm { Raw, DerOctetString };

/// DER of the object identifier prime256v1 (RFC 5480 section 2.1.1.1), the value of CKA_EC_PARAMS.
inline constexpr std::array<std::uint8_t, 10> kP256Params{
    0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};

/// A CKA_EC_POINT value for an object that is made: `point` (65 octets) in the form that the module
/// takes (ProbeResult::ec_point_form).
[[nodiscard]] Bytes spell_ec_point(ByteView point, PointForm form);

/// The point in a CKA_EC_POINT value, raw (65 octets) or as DER OCTET STRING (67); modules differ.
/// Nothing otherwise.
[[nodiscard]] std::optional<EcPoint> parse_ec_point(ByteView value);

}  // namespace keyferry::p11
