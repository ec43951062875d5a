// A program of its own: the module is initialised anew, and SoftHSM numbers its slots anew then.
#include <gtest/gtest.h>

#include "tests/support/softhsm_store.h"
#include "wrap/base/error.h"
#include "wrap/p11/module.h"

namespace keyferry::p11 {
namespace {

TEST(ModuleRestart, SeesATokenThatAnotherProcessMadeMeanwhile) {
  auto& store = test_support::SoftHsmStore::shared();
  const std::size_t before = store.module().tokens().size();
  store.files().init_token_outside("made-outside");
  ASSERT_EQ(store.module().tokens().size(), before) << "SoftHSM looks at its store once";
  Uri uri;
  uri.token = "made-outside";
  const TokenInfo token = store.module().find_token(uri);
  EXPECT_TRUE(token.user_pin_set);
  EXPECT_NO_THROW(static_cast<void>(store.user_session(token)));
}

TEST(ModuleRestart, GivesUpAfterAFewTries) {
  auto& module = test_support::SoftHsmStore::shared().module();
  Uri nobody;
  nobody.serial = "0000000000000000";
  EXPECT_THROW(static_cast<void>(module.find_token(nobody)), Error);
  EXPECT_EQ(module.info().manufacturer, "SoftHSM") << "and is usable";
}

}  // namespace
}  // namespace keyferry::p11
