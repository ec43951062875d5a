#include "wrap/p11/probe.h"

#include "tests/wrap/p11/fixture.h"
#include "wrap/base/error.h"

namespace keyferry::p11 {
namespace {

using ProbeTest = OnToken;

std::string all(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences) text += sentence + "\n";
  return text;
}

TEST_F(ProbeTest, FindsWhatTheApplianceNeedsInSoftHsm) {
  const ProbeResult result = probe(session());
  EXPECT_TRUE(result.usable()) << all(result.facts);
  EXPECT_EQ(result.kwp, Mechanism::AesKeyWrapPad);
  EXPECT_TRUE(result.kwp_pads_first) << "SoftHSM 2.6";
  EXPECT_EQ(result.pkcs8_size_bytes, 67U);
  EXPECT_TRUE(result.kwp_unwraps);
  EXPECT_TRUE(result.kwp_rejects_tampered);
  EXPECT_TRUE(result.ecb_data_derives);
  EXPECT_EQ(result.derived_key_stays_secret, true);
  EXPECT_TRUE(result.allowed_mechanisms_enforced);
  EXPECT_TRUE(result.ecdsa);
  EXPECT_TRUE(result.ecdh);
  EXPECT_EQ(result.ecdh_point_form, PointForm::Raw);
  EXPECT_EQ(result.ec_point_form, PointForm::DerOctetString);
  EXPECT_TRUE(result.rng);
}

TEST_F(ProbeTest, TellsItInSentences) {
  const std::string facts = all(probe(session()).facts);
  EXPECT_NE(facts.find("CKM_AES_KEY_WRAP_KWP (0x210b): C_WrapKey says CKR_MECHANISM_INVALID"),
            std::string::npos)
      << facts;
  EXPECT_NE(facts.find("CKM_AES_KEY_WRAP_PAD (0x210a) is RFC 5649; a P-256 key is PKCS#8 of 67 "
                       "octets, zero-padded"),
            std::string::npos)
      << facts;
}

TEST_F(ProbeTest, LeavesNothingBehind) {
  const std::size_t before = session().find({}).size();
  static_cast<void>(probe(session()));
  EXPECT_EQ(session().find({}).size(), before);
  EXPECT_EQ(session().failed_destroys(), 0);
}

TEST_F(ProbeTest, AsksAStationAndADeviceForWhatTheyNeedOnly) {
  const ProbeResult station = probe(session(), ProbeFor::Station);
  EXPECT_TRUE(station.usable());
  EXPECT_FALSE(station.kwp);
  const ProbeResult device = probe(session(), ProbeFor::Device);
  EXPECT_TRUE(device.usable());
  EXPECT_TRUE(device.kwp);
  EXPECT_FALSE(device.ecdh_point_form);
}

TEST(ProbeWithoutLogin, StopsInsteadOfCallingTheModuleUnable) {
  auto& store = test_support::SoftHsmStore::shared();
  const TokenInfo token = store.add_token("no-login");
  Session session{store.module(), token.slot, Access::ReadWrite};
  EXPECT_THROW(static_cast<void>(probe(session)), Error);
}

TEST(ProbeResult, HasNoMechanismToGiveWhenThereIsNone) {
  EXPECT_THROW(static_cast<void>(ProbeResult{}.kwp_or_throw()), Error);
}

}  // namespace
}  // namespace keyferry::p11
