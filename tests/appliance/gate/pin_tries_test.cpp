#include "appliance/gate/pin_tries.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/temp_folder.h"
#include "wrap/base/process.h"

namespace keyferry::appliance {
namespace {

class PinTries : public ::testing::Test {
 protected:
  PinTries() { write_file_durably(settings_, as_bytes("version = 1\n"), Overwrite::Refuse); }

  [[nodiscard]] std::string text() const { return to_string(read_file(folder_ / "gate.pin-tries", 256)); }

  test::TempFolder folder_;
  std::filesystem::path settings_ = folder_ / "gate.toml";
};

TEST_F(PinTries, CountATryBeforeItIsMadeAndForgetItWhenItSucceeds) {
  PinTry login{settings_};
  EXPECT_EQ(text(), "keyferry-pin-tries 1\nwrong 1\n");
  EXPECT_EQ(login.final_try(), FinalTry::Refuse);
  login.succeeded();
  EXPECT_EQ(text(), "keyferry-pin-tries 1\nwrong 0\n");
}

TEST_F(PinTries, RefuseAThirdAfterTwoThatDidNotSucceedWhoeverMadeThem) {
  { const PinTry wrong{settings_}; }
  EXPECT_FALSE(pin_tries_refusal(settings_));
  { const PinTry cut_off{settings_}; }
  const auto refusal = pin_tries_refusal(settings_);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, "pin-tries");
  EXPECT_NE(refusal->hint.find("--forget-wrong-pins"), std::string::npos) << refusal->hint;
  EXPECT_THROW(PinTry{settings_}, Error);
  EXPECT_EQ(text(), "keyferry-pin-tries 1\nwrong 2\n");
}

TEST_F(PinTries, StartAgainAfterASuccess) {
  { const PinTry wrong{settings_}; }
  PinTry{settings_}.succeeded();
  { const PinTry wrong{settings_}; }
  EXPECT_FALSE(pin_tries_refusal(settings_));
}

TEST_F(PinTries, KeepWhoeverEndsAProcessWaitingForItsLogin) {
  using std::chrono::milliseconds;
  {
    const PinTry under_way{settings_};
    EXPECT_FALSE(keep_logins_out(settings_, milliseconds{20}).valid());
  }
  const Fd none_begins = keep_logins_out(settings_, milliseconds{0});
  EXPECT_TRUE(none_begins.valid());
  EXPECT_FALSE(keep_logins_out(folder_ / "gone.toml", milliseconds{0}).valid());
}

TEST_F(PinTries, DoNotCountWhatNeverReachedTheModule) {
  { const PinTry wrong{settings_}; }
  PinTry{settings_}.not_tried();
  EXPECT_EQ(text(), "keyferry-pin-tries 1\nwrong 1\n");
}

TEST_F(PinTries, LetTheFinalTryBeUsedUpOnceAfterTheDeliberateAct) {
  { const PinTry wrong{settings_}; }
  { const PinTry wrong{settings_}; }
  EXPECT_EQ(forget_wrong_pins(settings_), 2U);
  EXPECT_FALSE(pin_tries_refusal(settings_));
  {
    const PinTry first{settings_};
    EXPECT_EQ(first.final_try(), FinalTry::Allow);
  }
  const PinTry second{settings_};
  EXPECT_EQ(second.final_try(), FinalTry::Refuse);
}

TEST_F(PinTries, KeepThePermissionWhenNothingWasTried) {
  forget_wrong_pins(settings_);
  PinTry{settings_}.not_tried();
  EXPECT_EQ(PinTry{settings_}.final_try(), FinalTry::Allow);
}

TEST_F(PinTries, TakeAFileThatDoesNotReadForTheWorst) {
  for (const char* bad : {"", "nonsense", "keyferry-pin-tries 1\nwrong \n", "keyferry-pin-tries 1\nwrong 0\nmore\n",
                          "keyferry-pin-tries 1\nwrong 99999999999\n", "keyferry-pin-tries 1\nwrong -1\n"}) {
    write_file_durably(folder_ / "gate.pin-tries", as_bytes(bad), Overwrite::Replace);
    const auto refusal = pin_tries_refusal(settings_);
    ASSERT_TRUE(refusal) << bad;
    EXPECT_EQ(refusal->reason, "pin-tries-unreadable");
    EXPECT_THROW(PinTry{settings_}, Error) << bad;
  }
  forget_wrong_pins(settings_);
  EXPECT_FALSE(pin_tries_refusal(settings_));
}

TEST_F(PinTries, RefuseALoginThatCannotBeCounted) {
  std::filesystem::create_directory(folder_ / "gate.pin-tries");
  EXPECT_THROW(PinTry{settings_}, Error);
}

TEST(PinFlags, OfALockedTokenOrItsFinalTryStopTheLogin) {
  p11::TokenInfo token;
  EXPECT_FALSE(check_pin_flags(token, FinalTry::Refuse));
  token.user_pin_low = true;  // a wrong one was given to somebody: one more is not the last
  EXPECT_FALSE(check_pin_flags(token, FinalTry::Refuse));
  token.user_pin_final_try = true;
  ASSERT_TRUE(check_pin_flags(token, FinalTry::Refuse));
  EXPECT_EQ(check_pin_flags(token, FinalTry::Refuse)->reason, "hsm-pin-final-try");
  EXPECT_FALSE(check_pin_flags(token, FinalTry::Allow));
  token.user_pin_locked = true;
  ASSERT_TRUE(check_pin_flags(token, FinalTry::Allow));
  EXPECT_EQ(check_pin_flags(token, FinalTry::Allow)->reason, "hsm-pin-locked");
}

}  // namespace
}  // namespace keyferry::appliance
