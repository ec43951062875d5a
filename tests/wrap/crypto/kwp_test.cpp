#include "wrap/crypto/kwp.h"

#include <botan/block_cipher.h>
#include <gtest/gtest.h>

#include "tests/wrap/crypto/vectors.h"
#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

using test::hex;
using test::pattern;
using test::secret;
using test::secret_hex;

/// A KWP blob of one AES block (RFC 5649 §4.1: 8 octets of AIV, 8 of padded key) whose inside is
/// chosen freely.
Bytes one_block_blob(const Bytes& kek, const std::string& inside) {
  auto cipher = Botan::BlockCipher::create_or_throw("AES-128");
  cipher->set_key(kek);
  Bytes block = hex(inside);
  cipher->encrypt(block);
  return block;
}

TEST(KeyWrap, GivesTheExamplesOfRfc3394AndRfc5649) {
  std::size_t seen = 0;
  for (const auto& example : test::load_vectors("rfc3394-5649/kw-kwp.json")) {
    SCOPED_TRACE(example.at("source").get<std::string>());
    const SecretBytes kek = secret_hex(example.at("key"));
    const SecretBytes key = secret_hex(example.at("plain"));
    const Bytes blob = hex(example.at("cipher"));
    const bool padded = example.at("alg") == "KWP";
    EXPECT_EQ(padded ? wrap_kwp(kek, key) : wrap_kw(kek, key), blob);
    const auto unwrapped = padded ? unwrap_kwp(kek, blob) : unwrap_kw(kek, blob);
    ASSERT_TRUE(unwrapped);
    EXPECT_TRUE(equal(unwrapped->expose(), key.expose()));
    ++seen;
  }
  EXPECT_EQ(seen, 8U);
}

TEST(KeyWrapPadded, AgreesWithWycheproof) {
  std::size_t valid = 0;
  std::size_t invalid = 0;
  for (const auto& [group, example] : test::wycheproof("aes_kwp_test.json")) {
    SCOPED_TRACE(test::label(example));
    const SecretBytes kek = secret_hex(example.at("key"));
    const Bytes message = hex(example.at("msg"));
    const Bytes blob = hex(example.at("ct"));
    const auto unwrapped = unwrap_kwp(kek, blob);
    if (example.at("result") == "valid") {
      ++valid;
      ASSERT_TRUE(unwrapped);
      EXPECT_TRUE(equal(unwrapped->expose(), message));
      EXPECT_EQ(wrap_kwp(kek, secret(message)), blob);
    } else {
      ++invalid;
      EXPECT_EQ(example.at("result"), "invalid");
      EXPECT_FALSE(unwrapped);
    }
  }
  EXPECT_EQ(valid, 77U);
  EXPECT_EQ(invalid, 177U);
}

TEST(KeyWrapPadded, GoesThereAndBackForEverySizeUpTo80) {
  const SecretBytes kek = secret(pattern(32, 1));
  for (std::size_t size = 1; size <= 80; ++size) {
    const Bytes key = pattern(size, static_cast<std::uint32_t>(size));
    const Bytes blob = wrap_kwp(kek, secret(key));
    EXPECT_EQ(blob.size(), (size + 7) / 8 * 8 + 8) << size;
    const auto unwrapped = unwrap_kwp(kek, blob);
    ASSERT_TRUE(unwrapped) << size;
    EXPECT_TRUE(equal(unwrapped->expose(), key)) << size;
  }
}

TEST(KeyWrapPadded, KeepsZeroOctetsThatAModuleAddedBeforeItWrapped) {
  // SoftHSM 2.6 pads a PKCS#8 of 67 octets to 72 and wraps those: the length inside is 72.
  const SecretBytes kek{32};
  Bytes padded = pattern(67, 1);
  padded.resize(72);
  const auto unwrapped = unwrap_kwp(kek, wrap_kwp(kek, secret(padded)));
  ASSERT_TRUE(unwrapped);
  EXPECT_TRUE(equal(unwrapped->expose(), padded));
}

TEST(KeyWrapPadded, RefusesALengthThatIsNotWithinTheLastEightOctets) {
  const Bytes kek(16, 7);
  const SecretBytes key = secret(kek);
  EXPECT_TRUE(unwrap_kwp(key, one_block_blob(kek, "a65959a600000001ff00000000000000")));
  EXPECT_TRUE(unwrap_kwp(key, one_block_blob(kek, "a65959a600000008ff00000000000000")));
  EXPECT_FALSE(unwrap_kwp(key, one_block_blob(kek, "a65959a6000000000000000000000000")));
  EXPECT_FALSE(unwrap_kwp(key, one_block_blob(kek, "a65959a600000009ff00000000000000")));
  EXPECT_FALSE(unwrap_kwp(key, one_block_blob(kek, "a65959a6fffffff8ff00000000000000")));
}

TEST(KeyWrapPadded, RefusesPaddingThatIsNotZeroAndAnotherConstant) {
  const Bytes kek(16, 7);
  EXPECT_FALSE(unwrap_kwp(secret(kek), one_block_blob(kek, "a65959a600000001ff00000000000001")));
  EXPECT_FALSE(unwrap_kwp(secret(kek), one_block_blob(kek, "a65959a700000001ff00000000000000")));
}

TEST(KeyWrapPadded, RefusesEachFlippedBit) {
  const SecretBytes kek{32};
  const Bytes blob = wrap_kwp(kek, secret(pattern(67, 9)));
  for (std::size_t bit = 0; bit < blob.size() * 8; ++bit) {
    Bytes damaged = blob;
    damaged[bit / 8] = static_cast<std::uint8_t>(damaged[bit / 8] ^ (1U << bit % 8));
    EXPECT_FALSE(unwrap_kwp(kek, damaged)) << bit;
  }
}

TEST(KeyWrapPadded, RefusesBlobsOfOtherSizes) {
  const SecretBytes kek{32};
  for (const std::size_t size : {0U, 1U, 8U, 15U, 17U, 24U + 4U, 4104U + 8U, 1U << 20}) {
    EXPECT_FALSE(unwrap_kwp(kek, Bytes(size))) << size;
  }
}

TEST(KeyWrapPadded, TakesKeysUpToItsLimit) {
  const SecretBytes kek{16};
  const auto unwrapped = unwrap_kwp(kek, wrap_kwp(kek, SecretBytes{kMaxWrappedKeyBytes}));
  ASSERT_TRUE(unwrapped);
  EXPECT_EQ(unwrapped->size(), kMaxWrappedKeyBytes);
  EXPECT_THROW(static_cast<void>(wrap_kwp(kek, SecretBytes{kMaxWrappedKeyBytes + 1})), Error);
  EXPECT_THROW(static_cast<void>(wrap_kwp(kek, SecretBytes{})), Error);
}

TEST(KeyWrapUnpadded, RefusesSizesThatAreNoMultipleOfEight) {
  const SecretBytes kek{16};
  EXPECT_THROW(static_cast<void>(wrap_kw(kek, SecretBytes{20})), Error);
  EXPECT_THROW(static_cast<void>(wrap_kw(kek, SecretBytes{8})), Error);
  EXPECT_FALSE(unwrap_kw(kek, Bytes(16)));
  EXPECT_FALSE(unwrap_kw(kek, Bytes(28)));
  EXPECT_FALSE(unwrap_kw(kek, Bytes(24)));
}

TEST(KeyWrapUnpadded, AndPaddedDoNotPassForEachOther) {
  const SecretBytes kek{16};
  const SecretBytes key = secret(pattern(24, 5));
  EXPECT_FALSE(unwrap_kwp(kek, wrap_kw(kek, key)));
  EXPECT_FALSE(unwrap_kw(kek, wrap_kwp(kek, key)));
}

TEST(KeyWrap, RefusesWrappingKeysOfOtherSizes) {
  for (const std::size_t size : {0U, 8U, 20U, 33U}) {
    EXPECT_THROW(static_cast<void>(wrap_kwp(SecretBytes{size}, SecretBytes{16})), Error) << size;
    EXPECT_THROW(static_cast<void>(unwrap_kwp(SecretBytes{size}, Bytes(24))), Error) << size;
    EXPECT_THROW(static_cast<void>(unwrap_kwp(SecretBytes{size}, {})), Error) << size;
  }
}

}  // namespace
}  // namespace keyferry::crypto
