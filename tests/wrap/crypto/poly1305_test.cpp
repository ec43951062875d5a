// Vectors: RFC 8439 sections 2.5.2, 2.6.2 and appendix A.3 (#1 to #3, #7 to #11: carries and the modulus).
#include "wrap/crypto/poly1305.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"
#include "wrap/base/bytes.h"

namespace keyferry::crypto {
namespace {

SecretBytes key_of(std::string_view hex) { return SecretBytes::copy_of(*from_hex(hex)); }

std::string tag_hex(std::string_view key, ByteView message) {
  const Poly1305Tag tag = poly1305(key_of(key), message);
  return to_hex(tag);
}

std::string tag_hex(std::string_view key, std::string_view message) { return tag_hex(key, *from_hex(message)); }

TEST(Poly1305, Section252) {
  EXPECT_EQ(tag_hex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
                    as_bytes(std::string_view{"Cryptographic Forum Research Group"})),
            "a8061dc1305136c6c22b8baf0c0127a9");
}

TEST(Poly1305, AppendixA3) {
  const std::string zero(32, '0');
  EXPECT_EQ(tag_hex(zero + zero, std::string(128, '0')), zero);
  EXPECT_EQ(tag_hex("02" + std::string(62, '0'), "ffffffffffffffffffffffffffffffff"), "03000000000000000000000000000000");
  EXPECT_EQ(tag_hex("02" + std::string(30, '0') + std::string(32, 'f'), "02000000000000000000000000000000"),
            "03000000000000000000000000000000");
  EXPECT_EQ(tag_hex("01" + std::string(62, '0'),
                    "fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff11000000000000000000000000000000"),
            "05000000000000000000000000000000");
  EXPECT_EQ(tag_hex("01" + std::string(62, '0'),
                    "fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe01010101010101010101010101010101"),
            zero);
  EXPECT_EQ(tag_hex("02" + std::string(62, '0'), "fdffffffffffffffffffffffffffffff"), "faffffffffffffffffffffffffffffff");
}

TEST(NumberedMac, MakesTheKeyOfSection262) {
  NumberedMac mac{key_of("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f")};
  const std::string_view one_time = "8ad5a08b905f81cc815040274ab29471a833b637e3fd0da508dbb8e2fdd1a646";
  for (const std::string_view text : {"", "a", "Cryptographic Forum Research Group"}) {
    const Poly1305Tag tag = mac.tag(0x0001020304050607, as_bytes(text));
    EXPECT_EQ(to_hex(tag), tag_hex(one_time, as_bytes(text)));
  }
}

TEST(NumberedMac, TellsMessagesAndNumbersApart) {
  const SecretBytes key = key_of(std::string(64, '5'));
  NumberedMac mac{key};
  NumberedMac again{key};
  Bytes message(65'552, 0x17);
  const Poly1305Tag tag = mac.tag(3, message);
  EXPECT_TRUE(same(tag, again.tag(3, message)));
  EXPECT_FALSE(same(tag, again.tag(4, message)));
  message.back() ^= 1;
  EXPECT_FALSE(same(tag, again.tag(3, message)));
}

TEST(NumberedMac, RefusesAKeyOfAnotherSize) {
  for (const std::size_t size : {0, 16, 31, 33}) {
    EXPECT_THROW(NumberedMac{SecretBytes{size}}, Error) << size;
    EXPECT_THROW(static_cast<void>(poly1305(SecretBytes{size}, Bytes{})), Error) << size;
  }
}

}  // namespace
}  // namespace keyferry::crypto
