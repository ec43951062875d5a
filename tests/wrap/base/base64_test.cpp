#include "wrap/base/base64.h"

#include <gtest/gtest.h>

#include <utility>

namespace keyferry {
namespace {

TEST(Base64, GivesTheExamplesOfRfc4648) {
  for (const auto& [plain, text] : {std::pair{"", ""},
                                    std::pair{"f", "Zg=="},
                                    std::pair{"fo", "Zm8="},
                                    std::pair{"foo", "Zm9v"},
                                    std::pair{"foob", "Zm9vYg=="},
                                    std::pair{"fooba", "Zm9vYmE="},
                                    std::pair{"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(to_base64(as_bytes(plain)), text);
    EXPECT_EQ(from_base64(text), to_bytes(as_bytes(plain)));
  }
  EXPECT_EQ(to_base64(Bytes{0xfb, 0xff}), "+/8=");
}

TEST(Base64, IsRefusedInAnyOtherForm) {
  for (const char* bad : {"Zg",
                          "Zg=",
                          "Zg===",
                          "Zh==",
                          "Zm9=",
                          "Zm 8=",
                          "Zm8=\n",
                          " Zg==",
                          "-_8=",
                          "====",
                          "=",
                          "Zg==Zg==",
                          "Z",
                          "Zm9v!",
                          "Z\x80==",
                          "Zm9vYg"}) {
    EXPECT_FALSE(from_base64(bad)) << bad;
  }
}

}  // namespace
}  // namespace keyferry
