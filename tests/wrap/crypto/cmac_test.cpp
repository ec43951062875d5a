#include "wrap/crypto/cmac.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

// RFC 4493 section 4, and NIST SP 800-38B (examples of 2016) for 256 bits.
SecretBytes key_of(std::string_view hex) {
  return SecretBytes::copy_of(*from_hex(hex));
}

constexpr std::string_view kKey128 = "2b7e151628aed2a6abf7158809cf4f3c";
constexpr std::string_view kKey256 =
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
constexpr std::string_view kMessage40 =
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411";

TEST(Cmac, GivesThePublishedTags) {
  EXPECT_EQ(to_hex(cmac_aes(key_of(kKey128), {})), "bb1d6929e95937287fa37d129b756746");
  EXPECT_EQ(to_hex(cmac_aes(key_of(kKey128), *from_hex(kMessage40))),
            "dfa66747de9ae63030ca32611497c827");
  EXPECT_EQ(to_hex(cmac_aes(key_of(kKey256), {})), "028962f61b7bf89efc6b551f4667d983");
  EXPECT_EQ(to_hex(cmac_aes(key_of(kKey256), *from_hex(kMessage40))),
            "aaf3d8f1de5640c232f5b169b9c911e6");
}

TEST(Cmac, TakesAesKeysOnly) {
  for (const std::size_t size : {0UL, 15UL, 20UL, 33UL}) {
    EXPECT_THROW(static_cast<void>(cmac_aes(SecretBytes{size}, {})), Error) << size;
  }
}

TEST(Cmac, OfZerosIsACheckValue) {
  EXPECT_EQ(aes_check_value(key_of(kKey256)), cmac_aes(key_of(kKey256), Bytes(16)));
}

}  // namespace
}  // namespace keyferry::crypto
