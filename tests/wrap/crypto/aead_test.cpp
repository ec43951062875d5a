#include "wrap/crypto/aead.h"

#include <botan/aead.h>
#include <gtest/gtest.h>

#include "tests/wrap/crypto/vectors.h"
#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

using test::hex;
using test::pattern;
using test::secret;

Bytes botan_seal(const Bytes& key, const Bytes& nonce, const Bytes& aad, const Bytes& plaintext) {
  auto mode = Botan::AEAD_Mode::create_or_throw(key.size() == 16 ? "AES-128/GCM" : "AES-256/GCM",
                                                Botan::ENCRYPTION);
  mode->set_key(key);
  mode->set_associated_data(aad.data(), aad.size());
  mode->start(nonce);
  Botan::secure_vector<std::uint8_t> message(plaintext.begin(), plaintext.end());
  mode->finish(message);
  return to_bytes(message);
}

TEST(AesGcmSeal, GivesTheTestCasesOfTheGcmSpecification) {
  // McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test cases 1, 2, 13
  // and 14.
  struct Case {
    std::size_t key_size_bytes;
    std::size_t plaintext_size_bytes;
    const char* sealed;
  };

  for (const Case& example :
       {Case{16, 0, "58e2fccefa7e3061367f1d57a4e7455a"},
        Case{16, 16, "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
        Case{32, 0, "530f8afbc74536b9a963b4f1c4cb738b"},
        Case{32, 16, "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"}}) {
    Bytes sealed;
    AesGcm{SecretBytes{example.key_size_bytes}}.seal(
        Bytes(12), {}, Bytes(example.plaintext_size_bytes), sealed);
    EXPECT_EQ(to_hex(sealed), example.sealed);
  }
}

TEST(AesGcmSeal, AgreesWithBotanForManyMessagesUnderOneKey) {
  for (const std::size_t key_size : {16U, 32U}) {
    const Bytes key = pattern(key_size, 1);
    AesGcm aead{secret(key)};
    for (const std::size_t size : {0U, 1U, 15U, 16U, 17U, 255U, 4096U, 65536U}) {
      const Bytes nonce = pattern(12, static_cast<std::uint32_t>(size));
      const Bytes aad = pattern(size % 33, 3);
      const Bytes plaintext = pattern(size, 4);
      Bytes sealed;
      aead.seal(nonce, aad, plaintext, sealed);
      EXPECT_EQ(sealed, botan_seal(key, nonce, aad, plaintext)) << key_size << " " << size;
      Bytes opened;
      EXPECT_TRUE(aead.open(nonce, aad, sealed, opened)) << key_size << " " << size;
      EXPECT_EQ(opened, plaintext) << key_size << " " << size;
    }
  }
}

TEST(AesGcmSeal, AppendsToWhatIsThere) {
  AesGcm aead{SecretBytes{32}};
  Bytes out = to_bytes(as_bytes("before"));
  aead.seal(Bytes(12), {}, as_bytes("message"), out);
  ASSERT_EQ(out.size(), 6U + 7U + kGcmTagBytes);
  EXPECT_EQ(to_string(ByteView{out}.first(6)), "before");
  Bytes opened;
  ASSERT_TRUE(aead.open(Bytes(12), {}, ByteView{out}.subspan(6), opened));
  EXPECT_EQ(to_string(opened), "message");
}

TEST(AesGcmOpen, RefusesEachFlippedBit) {
  AesGcm aead{SecretBytes{32}};
  const Bytes nonce(12);
  Bytes sealed;
  aead.seal(nonce, as_bytes("aad"), as_bytes("message"), sealed);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Bytes damaged = sealed;
    damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1U << bit % 8));
    Bytes out = to_bytes(as_bytes("old"));
    EXPECT_FALSE(aead.open(nonce, as_bytes("aad"), damaged, out)) << bit;
    EXPECT_TRUE(out.empty()) << bit;
  }
  SecretBytes out;
  EXPECT_TRUE(aead.open(nonce, as_bytes("aad"), sealed, out));
  EXPECT_EQ(as_chars(out.expose()), "message");
}

TEST(AesGcmOpen, RefusesAnotherNonceAadOrKey) {
  AesGcm aead{SecretBytes{32}};
  Bytes sealed;
  aead.seal(Bytes(12), as_bytes("aad"), as_bytes("message"), sealed);
  Bytes out;
  EXPECT_FALSE(aead.open(Bytes(12, 1), as_bytes("aad"), sealed, out));
  EXPECT_FALSE(aead.open(Bytes(12), as_bytes("AAD"), sealed, out));
  EXPECT_FALSE(aead.open(Bytes(12), {}, sealed, out));
  EXPECT_FALSE(AesGcm{SecretBytes{16}}.open(Bytes(12), as_bytes("aad"), sealed, out));
}

TEST(AesGcmOpen, RefusesWhatIsShorterThanATag) {
  AesGcm aead{SecretBytes{16}};
  for (std::size_t size = 0; size < kGcmTagBytes; ++size) {
    Bytes out(3);
    EXPECT_FALSE(aead.open(Bytes(12), {}, Bytes(size), out)) << size;
    EXPECT_TRUE(out.empty()) << size;
  }
}

TEST(AesGcmOpen, LeavesNoSecretBehindWhenItRefuses) {
  AesGcm aead{SecretBytes{16}};
  SecretBytes out = test::secret_text("old");
  EXPECT_FALSE(aead.open(Bytes(12), {}, Bytes(40), out));
  EXPECT_TRUE(out.empty());
}

TEST(AesGcm, RefusesWrongSizesOfKeyAndNonce) {
  EXPECT_THROW(AesGcm{SecretBytes{24}}, Error);
  EXPECT_THROW(AesGcm{SecretBytes{}}, Error);
  AesGcm aead{SecretBytes{16}};
  Bytes out;
  EXPECT_THROW(aead.seal(Bytes(11), {}, {}, out), Error);
  EXPECT_THROW(static_cast<void>(aead.open(Bytes(16), {}, Bytes(16), out)), Error);
}

}  // namespace
}  // namespace keyferry::crypto
