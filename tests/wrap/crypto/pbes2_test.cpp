#include "wrap/crypto/pbes2.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/wrap/crypto/vectors.h"
#include "wrap/base/base64.h"
#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

using test::pattern;
using test::secret;
using test::secret_text;

constexpr ScryptCost kCheap{2, 1, 1};

Bytes cheap_pem(const Bytes& plaintext) {
  return pbes2_encrypt_pem(secret(plaintext), secret_text("passphrase"), kCheap);
}

TEST(ScryptCostLimit, LetsThroughOursAndWhatOthersUse) {
  EXPECT_TRUE(is_bearable(kOurScryptCost));
  EXPECT_TRUE(is_bearable({1 << 14, 8, 1}));  // openssl pkcs8 -scrypt
  EXPECT_TRUE(is_bearable({1 << 15, 8, 1}));
  EXPECT_TRUE(is_bearable({2, 1, 1}));
}

TEST(ScryptCostLimit, RefusesWhatFillsMemoryOrNeverEnds) {
  constexpr std::uint64_t kTop = ~std::uint64_t{0};
  for (const ScryptCost& cost : {ScryptCost{1 << 17, 8, 1},
                                 ScryptCost{std::uint64_t{1} << 63, 1, 1},
                                 ScryptCost{1 << 14, 64, 1},
                                 ScryptCost{1 << 14, 8, 41},
                                 ScryptCost{2, 1, 1025},
                                 ScryptCost{2, 1025, 1},
                                 ScryptCost{2, 1024, 1024},
                                 ScryptCost{kTop, kTop, kTop},
                                 ScryptCost{2, kTop, kTop},
                                 ScryptCost{1 << 16, std::uint64_t{1} << 48, 1}}) {
    EXPECT_FALSE(is_bearable(cost)) << cost.n << " " << cost.r << " " << cost.p;
  }
}

TEST(ScryptCostLimit, RefusesNumbersThatAreNoneOfScrypts) {
  for (const ScryptCost& cost : {ScryptCost{0, 8, 1},
                                 ScryptCost{1, 8, 1},
                                 ScryptCost{1000, 8, 1},
                                 ScryptCost{1024, 0, 1},
                                 ScryptCost{1024, 8, 0}}) {
    EXPECT_FALSE(is_bearable(cost)) << cost.n << " " << cost.r << " " << cost.p;
  }
}

TEST(Pbes2, GoesThereAndBackForEveryLengthOfPadding) {
  for (std::size_t size = 0; size <= 33; ++size) {
    const Bytes plaintext = pattern(size, 1);
    const auto back = pbes2_decrypt_pem(cheap_pem(plaintext), secret_text("passphrase"));
    ASSERT_TRUE(back) << size;
    EXPECT_TRUE(equal(back->expose(), plaintext)) << size;
  }
}

TEST(Pbes2, IsDifferentEachTime) {
  EXPECT_NE(cheap_pem(Bytes(16)), cheap_pem(Bytes(16)));
}

TEST(Pbes2, IsNotOpenedWhenItsCostIsNotBearable) {
  const auto with_p = [](std::uint64_t p) {
    return pbes2_encrypt_pem(secret(Bytes(16)), secret_text("passphrase"), {2, 1, p});
  };
  EXPECT_TRUE(pbes2_decrypt_pem(with_p(1024), secret_text("passphrase")));
  EXPECT_FALSE(pbes2_decrypt_pem(with_p(1025), secret_text("passphrase")));
}

TEST(Pbes2, RefusesAnotherLabelHeadersAndJunk) {
  const Bytes pem = cheap_pem(Bytes(16));
  const SecretBytes passphrase = secret_text("passphrase");
  std::string renamed = to_string(pem);
  for (std::size_t at; (at = renamed.find("ENCRYPTED ")) != std::string::npos;)
    renamed.erase(at, 10);
  EXPECT_FALSE(pbes2_decrypt_pem(as_bytes(renamed), passphrase));
  std::string with_header = to_string(pem);
  with_header.insert(with_header.find('\n') + 1,
                     "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n");
  EXPECT_FALSE(pbes2_decrypt_pem(as_bytes(with_header), passphrase));
  EXPECT_FALSE(pbes2_decrypt_pem({}, passphrase));
  EXPECT_FALSE(pbes2_decrypt_pem(as_bytes("no PEM at all"), passphrase));
  EXPECT_FALSE(pbes2_decrypt_pem(Bytes(kMaxPbes2PemBytes + 1, '\n'), passphrase));
}

TEST(Pbes2, SurvivesEveryCutAndEveryChangedOctetOfTheFile) {
  // Nothing or garbage, never a crash and never the plaintext with a changed envelope around it.
  const Bytes plaintext = pattern(48, 1);
  const Bytes pem = cheap_pem(plaintext);
  const SecretBytes passphrase = secret_text("passphrase");
  for (std::size_t i = 0; i + 2 < pem.size();
       ++i) {  // the last octet is the newline behind the last dash
    EXPECT_FALSE(pbes2_decrypt_pem(ByteView{pem}.first(i), passphrase)) << i;
  }
  const std::string text = to_string(pem);
  const std::size_t begin = text.find('\n') + 1;
  std::string body = text.substr(begin, text.find("-----END") - begin);
  std::erase(body, '\n');
  const auto der = from_base64(body);
  ASSERT_TRUE(der);
  for (std::size_t i = 0; i < der->size(); ++i) {
    for (const std::uint8_t mask : Bytes{0x01, 0x80}) {
      Bytes damaged = *der;
      damaged[i] = static_cast<std::uint8_t>(damaged[i] ^ mask);
      const std::string damaged_pem = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" +
                                      to_base64(damaged) +
                                      "\n-----END ENCRYPTED PRIVATE KEY-----\n";
      const auto back = pbes2_decrypt_pem(as_bytes(damaged_pem), passphrase);
      EXPECT_FALSE(back && equal(back->expose(), plaintext)) << i;
    }
  }
}

TEST(Pbes2, RefusesAnEmptyOrHugePassphrase) {
  EXPECT_THROW(static_cast<void>(pbes2_encrypt_pem(secret(Bytes(16)), SecretBytes{}, kCheap)),
               Error);
  EXPECT_THROW(static_cast<void>(pbes2_encrypt_pem(
                   secret(Bytes(16)), SecretBytes{kMaxPassphraseBytes + 1}, kCheap)),
               Error);
}

}  // namespace
}  // namespace keyferry::crypto
