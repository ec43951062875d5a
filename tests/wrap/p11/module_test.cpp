#include "wrap/p11/module.h"

#include "tests/wrap/p11/fixture.h"
#include "wrap/base/error.h"

namespace keyferry::p11 {
namespace {

using ModuleTest = OnToken;

template <typename Call>
Code code_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return Code::Internal;
}

TEST_F(ModuleTest, SaysWhatItIs) {
  const ModuleInfo info = store().module().info();
  EXPECT_EQ(info.manufacturer, "SoftHSM");
  EXPECT_EQ(info.cryptoki_version, "2.40");
}

TEST_F(ModuleTest, TellsATokenWithoutTrailingBlanks) {
  EXPECT_EQ(token().label, "keyferry-test");
  EXPECT_EQ(token().model, "SoftHSM v2");
  EXPECT_EQ(token().serial.size(), 16U);
  EXPECT_TRUE(token().initialised);
  EXPECT_TRUE(token().user_pin_set);
}

TEST_F(ModuleTest, FindsATokenByLabelAndBySerial) {
  Uri by_label;
  by_label.token = token().label;
  EXPECT_EQ(store().module().find_token(by_label).serial, token().serial);
  Uri by_serial;
  by_serial.serial = token().serial;
  by_serial.model = "SoftHSM v2";
  by_serial.library_version = "2";
  EXPECT_EQ(store().module().find_token(by_serial).label, token().label);
}

TEST_F(ModuleTest, SaysWhenNoTokenOrSeveralMatch) {
  Uri nobody;  // this test's own session is open: the module is not initialised anew
  nobody.token = "nobody";
  EXPECT_EQ(code_of([&] { static_cast<void>(store().module().find_token(nobody)); }),
            Code::NotFound);
  static_cast<void>(store().add_token("second"));
  EXPECT_EQ(code_of([&] { static_cast<void>(store().module().find_token(Uri{})); }), Code::Usage);
}

TEST_F(ModuleTest, MatchesNothingWhenTheUriSaysMoreThanWeUnderstand) {
  Uri uri;
  uri.token = token().label;
  uri.unknown_path.emplace_back("x-rack", "7");
  EXPECT_FALSE(matches(uri, token(), store().module().info()));
}

TEST_F(ModuleTest, NeverInitialisesATokenAgain) {
  EXPECT_EQ(code_of([&] {
              static_cast<void>(store().module().init_token(
                  token().slot, test_support::pin("87654321"), "again"));
            }),
            Code::Refused);
}

TEST_F(ModuleTest, IsOneForALibrary) {
  EXPECT_EQ(rv_of([] { const Module second{test_support::softhsm_module()}; }),
            "CKR_CRYPTOKI_ALREADY_INITIALIZED");
}

TEST_F(ModuleTest, RefusesWhatIsNoModule) {
  EXPECT_EQ(code_of([] { const Module none{"/nowhere/libnone.so"}; }), Code::Hsm);
  EXPECT_EQ(code_of([] { const Module libc{"libm.so.6"}; }), Code::Hsm);
}

TEST_F(ModuleTest, KnowsItsMechanisms) {
  EXPECT_TRUE(store().module().has_mechanism(token().slot, Mechanism::AesKeyWrapPad));
  EXPECT_FALSE(store().module().has_mechanism(token().slot, Mechanism::AesKeyWrapKwp));
}

}  // namespace
}  // namespace keyferry::p11
