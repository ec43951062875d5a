#include "wrap/base/words.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry {
namespace {

TEST(Words, GiveTheExamplesOfTheProposal) {
  // "A Proposal for Proquints": addresses of four octets.
  struct Example {
    Bytes octets;
    const char* words;
  };

  for (const Example& example : {Example{{127, 0, 0, 1}, "lusab-babad"},
                                 Example{{63, 84, 220, 193}, "gutih-tugad"},
                                 Example{{63, 118, 7, 35}, "gutuk-bisog"},
                                 Example{{140, 98, 193, 141}, "mudof-sakat"},
                                 Example{{64, 255, 6, 200}, "haguz-biram"},
                                 Example{{216, 35, 68, 215}, "tobog-higil"}}) {
    EXPECT_EQ(to_words(example.octets), example.words);
    EXPECT_EQ(from_words(example.words), example.octets);
  }
}

TEST(Words, GoThereAndBackForAll16BitValues) {
  for (unsigned value = 0; value < 0x10000; ++value) {
    Bytes octets;
    append_u16be(octets, static_cast<std::uint16_t>(value));
    ASSERT_EQ(from_words(to_words(octets)), octets) << value;
  }
}

TEST(Words, AreReadInAnyCaseAndWithOtherMarksBetween) {
  const Bytes octets{127, 0, 0, 1};
  for (const char* text :
       {"LUSAB-BABAD", "lusab babad", "Lusab.Babad", " lusab - babad ", "lusabbabad"}) {
    EXPECT_EQ(from_words(text), octets) << text;
  }
  EXPECT_EQ(from_words(""), Bytes{});
}

TEST(Words, AreRefusedWhenAWordIsNone) {
  for (const char* bad : {"lusa",
                          "lusab-baba",
                          "lusab-babada",
                          "lu-sab",
                          "lusax",
                          "lusub-cabad",
                          "lesab",
                          "1usab",
                          "lusab\n",
                          "lusab,babad",
                          "usabl"}) {
    EXPECT_FALSE(from_words(bad)) << bad;
  }
}

TEST(Words, RefuseAnOddNumberOfOctets) {
  EXPECT_THROW(static_cast<void>(to_words(Bytes(3))), Error);
}

TEST(KeyWords, AreEightForTheFirst128Bits) {
  Bytes digest(32, 0xff);
  std::fill_n(digest.begin(), 16, std::uint8_t{0});
  EXPECT_EQ(key_words(digest), "babab-babab-babab-babab-babab-babab-babab-babab");
  EXPECT_THROW(static_cast<void>(key_words(Bytes(15))), Error);
}

}  // namespace
}  // namespace keyferry
