#include "wrap/crypto/hash.h"

#include <botan/hash.h>
#include <gtest/gtest.h>

#include "tests/wrap/crypto/vectors.h"
#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

using test::hex;
using test::pattern;
using test::secret_hex;

TEST(Sha256OneShot, GivesTheExamplesOfFips180) {
  EXPECT_EQ(sha256(as_bytes("abc")).hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256(as_bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).hex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256({}).hex(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256OneShot, AgreesWithBotan) {
  const auto botan = Botan::HashFunction::create_or_throw("SHA-256");
  for (const std::size_t size : {1U, 55U, 56U, 63U, 64U, 65U, 127U, 128U, 1000U, 65536U}) {
    const Bytes message = pattern(size, static_cast<std::uint32_t>(size));
    EXPECT_TRUE(equal(sha256(message).bytes(), botan->process(message))) << size;
  }
}

TEST(Sha256OneShot, OfPartsIsThatOfTheWhole) {
  EXPECT_EQ(sha256_of({as_bytes("a"), {}, as_bytes("bc")}), sha256(as_bytes("abc")));
  EXPECT_EQ(sha256_of({}), sha256({}));
}

TEST(Sha256Steps, GiveTheSameHoweverTheMessageIsCut) {
  const Bytes message = pattern(1000, 7);
  for (std::size_t cut = 0; cut <= message.size(); cut += 37) {
    Sha256 hash;
    hash.update(ByteView{message}.first(cut)).update(ByteView{message}.subspan(cut));
    EXPECT_EQ(hash.finish(), sha256(message)) << cut;
  }
}

TEST(Sha256Steps, BeginAnewAfterFinish) {
  Sha256 hash;
  hash.update(as_bytes("first"));
  EXPECT_EQ(hash.finish(), sha256(as_bytes("first")));
  EXPECT_EQ(hash.update(as_bytes("second")).finish(), sha256(as_bytes("second")));
}

TEST(Hmac, GivesTheExamplesOfRfc4231) {
  // RFC 4231 §4.2 and §4.7 (a key longer than a block).
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(20, 0x0b), {as_bytes("Hi "), as_bytes("There")}).expose()),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(hmac_sha256(Bytes(131, 0xaa),
                               {as_bytes("Test Using Larger Than Block-Size Key - Hash Key First")})
                       .expose()),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hkdf, GivesTheStepsOfRfc5869) {
  // RFC 5869 appendix A.1.
  const SecretBytes prk = hkdf_extract(hex("000102030405060708090a0b0c"), Bytes(22, 0x0b));
  EXPECT_EQ(to_hex(prk.expose()),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  EXPECT_EQ(to_hex(hkdf_expand(prk, hex("f0f1f2f3f4f5f6f7f8f9"), 42).expose()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

TEST(Hkdf, AgreesWithWycheproof) {
  std::size_t valid = 0;
  for (const auto& [group, example] : test::wycheproof("hkdf_sha256_test.json")) {
    SCOPED_TRACE(test::label(example));
    const SecretBytes prk = hkdf_extract(hex(example.at("salt")), hex(example.at("ikm")));
    const auto size = example.at("size").get<std::size_t>();
    if (example.at("result") == "valid") {
      EXPECT_EQ(to_hex(hkdf_expand(prk, hex(example.at("info")), size).expose()),
                example.at("okm"));
      ++valid;
    } else {
      EXPECT_EQ(example.at("result"), "invalid");
      EXPECT_THROW(static_cast<void>(hkdf_expand(prk, hex(example.at("info")), size)), Error);
    }
  }
  EXPECT_EQ(valid, 83U);
}

TEST(Hkdf, TakesAnEmptySaltAsZeros) {
  EXPECT_TRUE(equal(hkdf_extract({}, as_bytes("key")).expose(),
                    hkdf_extract(Bytes(32), as_bytes("key")).expose()));
}

TEST(Hkdf, RefusesSizesThatTheRfcDoesNotAllow) {
  const SecretBytes prk{32};
  EXPECT_THROW(static_cast<void>(hkdf_expand(prk, {}, 0)), Error);
  EXPECT_THROW(static_cast<void>(hkdf_expand(prk, {}, kHkdfMaxOutputBytes + 1)), Error);
  EXPECT_THROW(static_cast<void>(hkdf_expand(SecretBytes{31}, {}, 32)), Error);
  EXPECT_EQ(hkdf_expand(prk, {}, kHkdfMaxOutputBytes).size(), kHkdfMaxOutputBytes);
}

}  // namespace
}  // namespace keyferry::crypto
