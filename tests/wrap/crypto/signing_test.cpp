#include "wrap/crypto/signing.h"

#include <botan/auto_rng.h>
#include <botan/bigint.h>
#include <botan/ec_group.h>
#include <botan/ecdsa.h>
#include <botan/pubkey.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/wrap/crypto/vectors.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::crypto {
namespace {

using test::hex;
using test::pattern;

const Botan::EC_Group& botan_group() {
  static const Botan::EC_Group group{"secp256r1"};
  return group;
}

/// The second opinion on every verification.
bool botan_verify(const PublicKey& key, const Digest& digest, ByteView signature) {
  const ByteView point = key.point();
  const Botan::ECDSA_PublicKey botan_key{botan_group(),
                                         botan_group().OS2ECP(point.data(), point.size())};
  Botan::PK_Verifier verifier{botan_key, "Raw"};
  return verifier.verify_message(
      digest.bytes().data(), digest.bytes().size(), signature.data(), signature.size());
}

Bytes join(const Botan::BigInt& r, const Botan::BigInt& s) {
  Bytes signature(kSignatureBytes);
  r.binary_encode(signature.data(), 32);
  s.binary_encode(signature.data() + 32, 32);
  return signature;
}

TEST(SigningDigest, IsWhatAnIndependentProgramComputes) {
  // printf 'keyferry/v1/approval\0\0\0\0\0\0\0\0\003abc' | sha256sum
  EXPECT_EQ(signing_digest(SignatureKind::Approval, as_bytes("abc")).hex(),
            "d1b3fb05594c3c2a59f77377c09f70cca602b15cf1d061242e9b0e534a34b288");
  // python3: hashlib.sha256(b"keyferry/v1/container" + b"\0" + (8).to_bytes(8, "big") +
  // b"keyferry")
  EXPECT_EQ(signing_digest(SignatureKind::Container, as_bytes("keyferry")).hex(),
            "9836b35a3bfecf0787da00e68f14ec93c013c6f84d9a419973dfc504964ea078");
  EXPECT_EQ(signing_digest(SignatureKind::Receipt, {}).hex(),
            "2f7f1975ea110c96036658db5922ae9eb8f813bdef74c0b2985b08f1c6aed46c");
}

TEST(SigningDigest, DiffersForEachKind) {
  std::set<Digest> digests;
  for (const auto& [kind, name] : kSignatureKinds) {
    EXPECT_EQ(signature_kind_name(kind), name);
    digests.insert(signing_digest(kind, as_bytes("the same bytes")));
  }
  EXPECT_EQ(digests.size(), kSignatureKinds.size());
}

TEST(SigningDigest, HasTheseKinds) {
  std::vector<std::string_view> names;
  for (const auto& [kind, name] : kSignatureKinds) names.push_back(name);
  EXPECT_EQ(names,
            (std::vector<std::string_view>{"container",
                                           "approval",
                                           "enrolment-request",
                                           "enrolment-answer",
                                           "appliance-card",
                                           "station-log-head",
                                           "receipt",
                                           "hsm-state",
                                           "token-card",
                                           "registry-ack",
                                           "preparation",
                                           "backup",
                                           "revocation-list",
                                           "custody",
                                           "challenge",
                                           "officer-card",
                                           "officer-challenge", "transcript", "preparation-order"}));
}

TEST(PublicKeyParsing, GoesThereAndBack) {
  const SoftKey key = SoftKey::generate();
  const PublicKey& known = key.public_key();
  EXPECT_EQ(PublicKey::from_point(known.point()), known);
  EXPECT_EQ(known.spki_der().size(), PublicKey::kSpkiBytes);
  EXPECT_EQ(PublicKey::from_spki(known.spki_der()), known);
  EXPECT_TRUE(equal(known.key_id().bytes(), sha256(known.spki_der()).bytes()));
}

TEST(PublicKeyParsing, WritesTheSpkiThatBotanWrites) {
  const SoftKey key = SoftKey::generate();
  const ByteView point = key.public_key().point();
  const Botan::ECDSA_PublicKey botan_key{botan_group(),
                                         botan_group().OS2ECP(point.data(), point.size())};
  EXPECT_EQ(botan_key.subject_public_key(), key.public_key().spki_der());
}

TEST(PublicKeyParsing, RefusesWhatIsNoPointOnTheCurve) {
  const SoftKey key = SoftKey::generate();
  const Bytes good = to_bytes(key.public_key().point());
  Bytes off_curve = good;
  off_curve[64] ^= 1;
  EXPECT_FALSE(PublicKey::from_point(off_curve));
  EXPECT_FALSE(PublicKey::from_point({}));
  EXPECT_FALSE(PublicKey::from_point(Bytes{0}));  // the point at infinity
  EXPECT_FALSE(PublicKey::from_point(Bytes(65)));
  EXPECT_FALSE(PublicKey::from_point(ByteView{good}.first(64)));
  Bytes long_one = good;
  long_one.push_back(0);
  EXPECT_FALSE(PublicKey::from_point(long_one));
  for (const std::uint8_t form :
       Bytes{0x00, 0x02, 0x03, 0x05, 0x06, 0x07}) {  // compressed and hybrid ones too
    Bytes other = good;
    other[0] = form;
    EXPECT_FALSE(PublicKey::from_point(other)) << int{form};
    EXPECT_FALSE(PublicKey::from_point(ByteView{other}.first(33))) << int{form};
  }
}

TEST(PublicKeyParsing, RefusesCoordinatesThatAreNotReduced) {
  // x = 5 has a point; x = 5 + p is the same one, written otherwise.
  const Botan::BigInt& p = botan_group().get_p();
  for (Botan::BigInt x = 0; x < 20; ++x) {
    Bytes compressed(33);
    compressed[0] = 2;
    x.binary_encode(compressed.data() + 1, 32);
    Botan::PointGFp point;
    try {
      point = botan_group().OS2ECP(compressed.data(), compressed.size());
    } catch (const std::exception&) {
      continue;
    }
    Bytes octets{4};
    append(octets, join(x, point.get_affine_y()));
    EXPECT_TRUE(PublicKey::from_point(octets));
    Bytes shifted{4};
    append(shifted, join(x + p, point.get_affine_y()));
    EXPECT_FALSE(PublicKey::from_point(shifted));
  }
}

TEST(PublicKeyParsing, RefusesOtherEncodingsOfAKey) {
  const Bytes good = SoftKey::generate().public_key().spki_der();
  for (std::size_t i = 0; i < 27; ++i) {  // the prefix and the form octet
    Bytes other = good;
    other[i] ^= 1;
    EXPECT_FALSE(PublicKey::from_spki(other)) << i;
  }
  EXPECT_FALSE(PublicKey::from_spki(ByteView{good}.first(90)));
  EXPECT_FALSE(PublicKey::from_spki({}));
}

TEST(PublicKeyValue, IsOrderedByItsOctets) {
  const PublicKey a = SoftKey::generate().public_key();
  const PublicKey b = SoftKey::generate().public_key();
  EXPECT_NE(a, b);
  EXPECT_EQ(a < b, std::ranges::lexicographical_compare(a.point(), b.point()));
}

TEST(Verification, AgreesWithWycheproof) {
  std::size_t valid = 0;
  std::size_t invalid = 0;
  for (const auto& [group, example] : test::wycheproof("ecdsa_secp256r1_sha256_p1363_test.json")) {
    SCOPED_TRACE(test::label(example));
    const auto key = PublicKey::from_point(hex(group.at("publicKey").at("uncompressed")));
    ASSERT_TRUE(key);
    EXPECT_EQ(PublicKey::from_spki(hex(group.at("publicKeyDer"))), key);
    const Digest digest = sha256(hex(example.at("msg")));
    const bool expected = example.at("result") == "valid";
    EXPECT_TRUE(expected || example.at("result") == "invalid");
    EXPECT_EQ(verify(*key, digest, hex(example.at("sig"))), expected);
    ++(expected ? valid : invalid);
  }
  EXPECT_EQ(valid, 173U);
  EXPECT_EQ(invalid, 89U);
}

TEST(Verification, AgreesWithBotanOnGoodAndDamagedSignatures) {
  for (std::uint32_t round = 0; round < 60; ++round) {
    SoftKey key = SoftKey::generate();
    const Digest digest = sha256(pattern(40, round));
    Bytes signature = key.sign_digest(digest);
    EXPECT_TRUE(verify(key.public_key(), digest, signature));
    EXPECT_TRUE(botan_verify(key.public_key(), digest, signature));
    const std::size_t bit = round * 97 % 512;
    signature[bit / 8] = static_cast<std::uint8_t>(signature[bit / 8] ^ (1U << bit % 8));
    EXPECT_FALSE(verify(key.public_key(), digest, signature));
    EXPECT_FALSE(botan_verify(key.public_key(), digest, signature));
  }
}

TEST(Verification, AcceptsSignaturesThatBotanMade) {
  Botan::AutoSeeded_RNG rng;
  const Botan::ECDSA_PrivateKey botan_key{rng, botan_group()};
  const auto key = PublicKey::from_spki(botan_key.subject_public_key());
  ASSERT_TRUE(key);
  const Verifier verifier{*key};
  Botan::PK_Signer signer{botan_key, rng, "Raw"};
  for (std::uint32_t round = 0; round < 20; ++round) {
    const Digest digest = sha256(pattern(8, round));
    const Bytes signature = signer.sign_message(digest.bytes().data(), digest.bytes().size(), rng);
    EXPECT_TRUE(verifier.verify(digest, signature));
    EXPECT_FALSE(verifier.verify(sha256(signature), signature));
  }
}

TEST(Verification, MayBeDoneByTwoThreadsWithOneVerifier) {
  SoftKey key = SoftKey::generate();
  const Verifier verifier{key.public_key()};
  std::atomic<int> verified = 0;
  const auto work = [&](std::uint32_t seed) {
    SoftKey stranger = SoftKey::generate();
    for (std::uint32_t round = 0; round < 100; ++round) {
      const Digest digest = sha256(pattern(100, seed + round));
      verified += verifier.verify(digest, stranger.sign_digest(digest)) ? 1000 : 1;
    }
  };
  std::thread first{work, 1000};
  std::thread second{work, 2000};
  first.join();
  second.join();
  EXPECT_EQ(verified, 200);
}

TEST(Verification, TakesAHighAndALowS) {
  SoftKey key = SoftKey::generate();
  const Digest digest = sha256(as_bytes("message"));
  const Bytes signature = key.sign_digest(digest);
  const Botan::BigInt r{signature.data(), 32};
  const Botan::BigInt s{signature.data() + 32, 32};
  EXPECT_TRUE(verify(key.public_key(), digest, join(r, botan_group().get_order() - s)));
}

TEST(Verification, RefusesRAndSOutOfRangeAndOtherLengths) {
  SoftKey key = SoftKey::generate();
  const Digest digest = sha256(as_bytes("message"));
  const Bytes good = key.sign_digest(digest);
  const Botan::BigInt r{good.data(), 32};
  const Botan::BigInt s{good.data() + 32, 32};
  const Botan::BigInt& n = botan_group().get_order();
  const Botan::BigInt zero = 0;
  const Botan::BigInt top{Bytes(32, 0xff)};
  const Verifier verifier{key.public_key()};
  EXPECT_TRUE(verifier.verify(digest, good));
  for (const Bytes& bad : {join(zero, s),
                           join(r, zero),
                           join(zero, zero),
                           join(n, s),
                           join(r, n),
                           join(top, s),
                           join(r, top),
                           join(s, r)}) {
    EXPECT_FALSE(verifier.verify(digest, bad)) << to_hex(bad);
  }
  EXPECT_FALSE(verifier.verify(digest, {}));
  EXPECT_FALSE(verifier.verify(digest, ByteView{good}.first(63)));
  Bytes long_one = good;
  long_one.push_back(0);
  EXPECT_FALSE(verifier.verify(digest, long_one));
  EXPECT_FALSE(verifier.verify(digest, raw_to_der_signature(good)));
}

TEST(KindOfSignature, DoesNotPassForAnother) {
  SoftKey key = SoftKey::generate();
  const Bytes signature = sign(key, SignatureKind::Receipt, as_bytes("bytes"));
  for (const auto& [kind, name] : kSignatureKinds) {
    EXPECT_EQ(verify(key.public_key(), kind, as_bytes("bytes"), signature),
              kind == SignatureKind::Receipt)
        << name;
  }
  EXPECT_FALSE(verify(key.public_key(), SignatureKind::Receipt, as_bytes("byte"), signature));
  EXPECT_FALSE(verify(
      SoftKey::generate().public_key(), SignatureKind::Receipt, as_bytes("bytes"), signature));
}

class ShortSigner final : public Signer {
 public:
  [[nodiscard]] const PublicKey& public_key() const override { return key_.public_key(); }

  [[nodiscard]] Bytes sign_digest(const Digest&) override { return Bytes(63); }

 private:
  SoftKey key_ = SoftKey::generate();
};

TEST(KindOfSignature, IsNotGivenWhenTheSignerGivesAnotherLength) {
  ShortSigner signer;
  EXPECT_THROW(static_cast<void>(sign(signer, SignatureKind::Receipt, {})), Error);
}

TEST(LowS, IsOneOfTheTwoSignaturesAndBothVerify) {
  SoftKey key = SoftKey::generate();
  const Botan::BigInt order = Botan::EC_Group{"secp256r1"}.get_order();
  for (int i = 0; i < 16; ++i) {
    const Digest digest = sha256(Bytes(1, static_cast<std::uint8_t>(i)));
    const Bytes given = key.sign_digest(digest);
    Bytes other = given;
    const Botan::BigInt s{given.data() + 32, 32};
    Botan::BigInt::encode_1363(other.data() + 32, 32, order - s);
    EXPECT_NE(is_low_s(given), is_low_s(other));
    EXPECT_EQ(to_low_s(given), to_low_s(other));
    EXPECT_TRUE(is_low_s(to_low_s(given)));
    EXPECT_TRUE(verify(key.public_key(), digest, to_low_s(given)));
  }
}

TEST(LowS, EndsAtHalfTheOrder) {
  const Botan::BigInt half = Botan::EC_Group{"secp256r1"}.get_order() / 2;  // (n - 1) / 2: n is odd
  Bytes signature(64, 1);
  Botan::BigInt::encode_1363(signature.data() + 32, 32, half);
  EXPECT_TRUE(is_low_s(signature));
  Botan::BigInt::encode_1363(signature.data() + 32, 32, half + 1);
  EXPECT_FALSE(is_low_s(signature));
  EXPECT_FALSE(is_low_s(Bytes(63)));
  EXPECT_THROW(static_cast<void>(to_low_s(Bytes(63))), Error);
  EXPECT_THROW(static_cast<void>(to_low_s(Bytes(64, 0xff))), Error);
}

TEST(DerSignature, IsTheShortestForm) {
  struct Case {
    const char* r;
    const char* s;
    const char* der;
  };

  const std::string zeros(62, '0');
  const std::string ones(64, 'f');
  EXPECT_EQ(to_hex(raw_to_der_signature(hex(zeros + "01" + zeros + "7f"))), "300602010102017f");
  EXPECT_EQ(to_hex(raw_to_der_signature(hex(zeros + "80" + zeros + "00"))), "300702020080020100");
  EXPECT_EQ(to_hex(raw_to_der_signature(hex(ones + ones))), "3046022100" + ones + "022100" + ones);
  EXPECT_THROW(static_cast<void>(raw_to_der_signature(Bytes(63))), Error);
}

TEST(DerSignature, GoesThereAndBack) {
  SoftKey key = SoftKey::generate();
  for (std::uint32_t round = 0; round < 300; ++round) {
    Bytes raw = pattern(64, round);
    if (round % 3 == 0) std::fill_n(raw.begin(), round % 32, std::uint8_t{0});
    if (round % 5 == 0) std::fill_n(raw.begin() + 32, round % 32, std::uint8_t{0});
    EXPECT_EQ(der_to_raw_signature(raw_to_der_signature(raw)), raw) << to_hex(raw);
  }
}

TEST(DerSignature, IsRefusedInAnyOtherForm) {
  const std::string big = "00" + std::string(64, 'f');
  for (const std::string& bad :
       {std::string{},
        std::string{"30"},
        std::string{"3000"},
        std::string{"3003020101"},
        std::string{"300602010102017f00"},             // something behind it
        std::string{"300502010102017f"},               // a length too short
        std::string{"300702010102017f"},               // a length too long
        std::string{"310602010102017f"},               // not a SEQUENCE
        std::string{"30810602010102017f"},             // a long form where the short one does
        std::string{"300602010103017f"},               // not an INTEGER
        std::string{"30070202000102017f"},             // a leading zero too many
        std::string{"3006020181020101"},               // negative
        std::string{"3005020002017f"},                 // no octets
        std::string{"300902010102017f020101"},         // three of them
        "30260221" + big.substr(2) + "00" + "020101",  // 33 octets that are no sign and 32
        "30270222" + ("00" + big) + "020101"}) {
    EXPECT_FALSE(der_to_raw_signature(hex(bad))) << bad;
  }
  EXPECT_EQ(to_hex(*der_to_raw_signature(hex("300602010102017f"))),
            std::string(62, '0') + "01" + std::string(62, '0') + "7f");
}

}  // namespace
}  // namespace keyferry::crypto
