#include "appliance/gate/imported_key.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

SecretBytes text(const std::string& digits) { return SecretBytes::copy_of(as_bytes(digits)); }

TEST(ImportedKey, Is64HexDigitsOfEitherCase) {
  const SecretBytes key = imported_key_from_hex(text("00ffAB" + std::string(58, '7')));
  EXPECT_EQ(to_hex(key.expose()), "00ffab" + std::string(58, '7'));
}

TEST(ImportedKey, IsNothingElseAndIsNotRepeated) {
  for (const std::string& digits : {std::string{}, std::string(63, '1'), std::string(65, '1'), std::string(63, '1') + "g",
                                    std::string(62, '1') + " 1", std::string(64, '\0')}) {
    try {
      static_cast<void>(imported_key_from_hex(text(digits)));
      ADD_FAILURE() << digits;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::Usage);
      EXPECT_EQ(std::string{error.what()}.find("1111"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace keyferry::appliance
