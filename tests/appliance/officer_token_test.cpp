// Officers' keys in a token of their own: real SoftHSM, one store for the program.
#include "appliance/front/officer_token.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/softhsm_store.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

class OfficerTokenTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    store = new test_support::SoftHsmFolder;  // SoftHSM reads its configuration once
    setenv("SOFTHSM2_CONF", store->config().c_str(), 1);
    for (const char* label : {"smith", "other", "hsm"}) store->init_token_outside(label);
  }

  static void TearDownTestSuite() { delete store; }

  static std::string uri(const std::string& token, const std::string& object) {
    return "pkcs11:token=" + token + ";object=" + object + "?module-path=" + test_support::softhsm_module().string();
  }

  static SecretBytes pin(std::string_view digits = test_support::kUserPin) { return test_support::pin(digits); }

  static Error refusal(const std::string& text, const SecretBytes& pin_given, MakePair make = MakePair::No) {
    try {
      const OfficerToken token{text, pin_given, make};
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "not refused";
    return Error{Code::Internal, ""};
  }

  static test_support::SoftHsmFolder* store;
};

test_support::SoftHsmFolder* OfficerTokenTest::store = nullptr;

TEST_F(OfficerTokenTest, MakesThePairOnceAndSignsWithIt) {
  std::optional<crypto::PublicKey> made;
  {
    const OfficerToken token{uri("smith", "first"), pin(), MakePair::IfAbsent};
    made = token.public_key();
  }
  OfficerToken again{uri("smith", "first"), pin(), MakePair::IfAbsent};
  EXPECT_EQ(again.public_key(), *made);
  const Bytes plan = to_bytes(as_bytes("a plan"));
  const Bytes signature = crypto::sign(again, crypto::SignatureKind::Approval, plan);
  EXPECT_TRUE(crypto::verify(*made, crypto::SignatureKind::Approval, plan, signature));
}

TEST_F(OfficerTokenTest, SaysThatThereIsNoSuchKey) {
  const Error error = refusal(uri("smith", "absent"), pin());
  EXPECT_EQ(error.code(), Code::NotFound);
  EXPECT_NE(std::string{error.what()}.find("absent"), std::string::npos) << error.what();
}

TEST_F(OfficerTokenTest, TriesAWrongPinOnceAndSaysSo) {
  const Error error = refusal(uri("smith", "first"), pin("7654321"));
  EXPECT_EQ(error.code(), Code::Refused);
  EXPECT_NE(std::string{error.what()}.find("tried once"), std::string::npos) << error.what();
  EXPECT_EQ(std::string{error.what()}.find("7654321"), std::string::npos);
}

TEST_F(OfficerTokenTest, RefusesAnAppliancesHsm) {
  // The first look finds no kf-* object; the pair that it makes is one.
  static_cast<void>(OfficerToken{uri("hsm", "kf-log"), pin(), MakePair::IfAbsent}.public_key());
  const Error error = refusal(uri("hsm", "officer"), pin(), MakePair::IfAbsent);
  EXPECT_EQ(error.code(), Code::Refused);
  EXPECT_NE(std::string{error.what()}.find("appliance's HSM"), std::string::npos) << error.what();
}

TEST_F(OfficerTokenTest, NeedsAModuleAndAnObject) {
  EXPECT_EQ(refusal("pkcs11:token=smith;object=first", pin()).code(), Code::Usage);
  EXPECT_EQ(refusal("pkcs11:token=smith?module-path=" + test_support::softhsm_module().string(), pin()).code(),
            Code::Usage);
}

TEST_F(OfficerTokenTest, RefusesToChooseBetweenTwoKeysOfOneName) {
  const std::string two = uri("other", "twice");
  const std::string with_id =
      "pkcs11:token=other;object=twice;id=%01?module-path=" + test_support::softhsm_module().string();
  const std::string other_id =
      "pkcs11:token=other;object=twice;id=%02?module-path=" + test_support::softhsm_module().string();
  static_cast<void>(OfficerToken{with_id, pin(), MakePair::IfAbsent}.public_key());
  static_cast<void>(OfficerToken{other_id, pin(), MakePair::IfAbsent}.public_key());
  const Error error = refusal(two, pin());
  EXPECT_NE(std::string{error.what()}.find("several"), std::string::npos) << error.what();
}

TEST(OfficerKeyName, IsATokensWhenItBeginsAsAUri) {
  EXPECT_TRUE(is_token_uri("pkcs11:token=smith"));
  EXPECT_FALSE(is_token_uri("/home/smith/pkcs11.pem"));
}

}  // namespace
}  // namespace keyferry::appliance
