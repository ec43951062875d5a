#include "appliance/gate/imported_key.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "wrap/base/error.h"
#include "wrap/crypto/cmac.h"

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

/// A descriptor from which `line` is read; obtain_components() closes it.
int readable(const std::string& line) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  EXPECT_EQ(write(ends[1], line.data(), line.size()), static_cast<ssize_t>(line.size()));
  close(ends[1]);
  return ends[0];
}

class Components : public ::testing::Test {
 protected:
  static Bytes check_of(const std::string& hex) { return crypto::aes_check_value(SecretBytes::copy_of(from_hex(hex).value())); }

  std::string a_ = std::string(32, '0') + std::string(32, 'f'), b_ = std::string(64, '5'), c_ = std::string(64, '3');
};

TEST_F(Components, TheirExclusiveOrIsTheKey) {
  const SecretBytes two = obtain_components({check_of(a_), check_of(b_)}, {readable(a_), readable(b_)});
  EXPECT_EQ(to_hex(two.expose()), std::string(32, '5') + std::string(32, 'a'));
  const SecretBytes three = obtain_components({check_of(a_), check_of(b_), check_of(c_)}, {readable(a_), readable(b_), readable(c_)});
  EXPECT_EQ(to_hex(three.expose()), std::string(32, '6') + std::string(32, '9'));
}

TEST_F(Components, AWrongOneIsNamedBeforeTheNextIsRead) {
  const int last = readable(c_);
  try {
    static_cast<void>(obtain_components({check_of(a_), check_of(b_), check_of(c_)}, {readable(a_), readable(a_), last}));
    ADD_FAILURE() << "taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Refused);
    EXPECT_NE(std::string{error.what()}.find("part 2 of 3"), std::string::npos) << error.what();
    EXPECT_EQ(std::string{error.what()}.find("ffff"), std::string::npos) << error.what();
  }
  char first = 0;
  EXPECT_EQ(read(last, &first, 1), 1) << "the third part was not touched";
  close(last);
}

TEST_F(Components, AreTwoOrThree) {
  const std::string check(32, '1');
  EXPECT_EQ(component_check_values({check, check}).size(), 2U);
  for (const std::vector<std::string>& texts :
       {std::vector<std::string>{}, {check}, {check, check, check, check}, {check, check.substr(2)}, {check, check.substr(1) + "g"}}) {
    EXPECT_THROW(static_cast<void>(component_check_values(texts)), Error) << texts.size();
  }
}

}  // namespace
}  // namespace keyferry::appliance
