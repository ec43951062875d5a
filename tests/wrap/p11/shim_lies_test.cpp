// Modules that are not SoftHSM, as the shim plays them, and what the probe finds out about each.
#include <chrono>

#include "tests/wrap/p11/shim_fixture.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/signing.h"

namespace keyferry::p11 {
namespace {

using ShimLies = BehindTheShim;

TEST_F(ShimLies, AreNoneWithoutAScript) {
  const ProbeResult result = probe(load(""));
  EXPECT_TRUE(result.usable()) << reasons(result);
  EXPECT_EQ(result.kwp, Mechanism::AesKeyWrapPad);
  EXPECT_EQ(result.wraps_only_under_trusted, false);
  EXPECT_TRUE(result.aes_cmac);
  EXPECT_FALSE(result.sp800_108_derives);
  EXPECT_EQ(result.further_sessions, std::nullopt) << "only when thorough";
  EXPECT_EQ(result.oaep_sha1, std::nullopt);
}

TEST_F(ShimLies, KwpUnderItsOtherNumberIsFoundByKnownAnswer) {
  load("kwp-number 0x210B\n");
  const ProbeResult result = probe(session());
  EXPECT_TRUE(result.usable()) << reasons(result);
  EXPECT_EQ(result.kwp, Mechanism::AesKeyWrapKwp);
  EXPECT_FALSE(module().has_mechanism(session().slot(), Mechanism::AesKeyWrapPad));
  const Key kek = session().generate_aes(aes().wrap(true).allowed_mechanisms({*result.kwp}));
  const Key other = session().generate_aes(aes().extractable(true));
  EXPECT_EQ(session().differences(kek, Template{}.allowed_mechanisms({*result.kwp})),
            std::vector<std::string>{});
  EXPECT_EQ(session().wrap(*result.kwp, kek, other).size(), 40U);
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().wrap(Mechanism::AesKeyWrapPad, kek, other)); }),
            "CKR_MECHANISM_INVALID");
}

TEST_F(ShimLies, WithoutKwpTheProbeSaysSo) {
  EXPECT_EQ(reasons(probe(load("kwp-none\n"))), "hsm-no-kwp");
  EXPECT_EQ(reasons(probe(load("kwp-number 0x80000210\n"))), "hsm-no-kwp")
      << "a vendor's own number is not guessed";
}

TEST_F(ShimLies, PointsMayBeRaw) {
  load("ec-point raw\n");
  const ProbeResult result = probe(session());
  EXPECT_TRUE(result.usable()) << reasons(result);
  EXPECT_EQ(result.ec_point_form, PointForm::Raw);
  const KeyPair pair = session().generate_p256_pair(Template{}.token(false).verify(true).p256(),
                                                    Template{}.token(false).sign(true));
  EXPECT_EQ(session().read_bytes(pair.public_key, Attribute::EcPoint).value.size(), 65U);
  const Digest digest = crypto::sha256(as_bytes("raw"));
  EXPECT_TRUE(crypto::verify(
      session().ec_point(pair.public_key), digest, session().sign_ecdsa(pair.private_key, digest)));
  const EcPoint point = session().ec_point_octets(pair.public_key);
  const auto import = [&](PointForm form) {
    return rv_of([&] {
      static_cast<void>(session().create_object(Template{}
                                                    .object_class(ObjectClass::PublicKey)
                                                    .key_type(KeyType::Ec)
                                                    .token(false)
                                                    .p256()
                                                    .ec_point(spell_ec_point(point, form))));
    });
  };
  EXPECT_EQ(import(result.ec_point_form), "CKR_OK");
  EXPECT_EQ(import(PointForm::DerOctetString), "CKR_ATTRIBUTE_VALUE_INVALID");
}

TEST_F(ShimLies, AnAccidentInTheProbeDoesNotShutAModuleOut) {
  const auto marker = file("accident").string();
  for (const std::string_view call :
       {"C_WrapKey nth=2", "C_DeriveKey nth=2", "C_Sign nth=1", "C_UnwrapKey nth=1"}) {
    std::filesystem::remove(marker);
    const ProbeResult result =
        probe(load("fault " + std::string{call} + " rv=CKR_FUNCTION_FAILED once=" + marker));
    EXPECT_TRUE(std::filesystem::exists(marker)) << call;
    EXPECT_TRUE(result.usable()) << call << ": " << reasons(result);
  }
}

TEST_F(ShimLies, AProbeThatIsCutOffGivesNoResult) {
  for (const std::string_view rv :
       {"CKR_DEVICE_MEMORY", "CKR_DEVICE_REMOVED", "CKR_SESSION_HANDLE_INVALID close"}) {
    load("fault C_DeriveKey nth=2 rv=" + std::string{rv});
    EXPECT_THROW(static_cast<void>(probe(session())), Pkcs11Error) << rv;
  }
}

TEST_F(ShimLies, WrappingUnderTrustedKeysOnlyIsFoundAndExplained) {
  const ProbeResult result = probe(load("wrap-trusted-only\n"));
  EXPECT_EQ(result.wraps_only_under_trusted, true);
  ASSERT_EQ(reasons(result), "hsm-wrap-trusted-only");
  EXPECT_NE(result.missing[0].text.find("CKA_TRUSTED"), std::string::npos);
  EXPECT_FALSE(result.missing[0].hint.empty());
  EXPECT_THROW(static_cast<void>(result.kwp_or_throw()), Error);
}

TEST_F(ShimLies, DerivedKeysThatCanBeReadAreFound) {
  const ProbeResult result = probe(load("derived-readable\n"));
  EXPECT_EQ(result.derived_key_stays_secret, false);
  EXPECT_EQ(reasons(result), "hsm-derived-readable");
}

TEST_F(ShimLies, AllowedMechanismsThatAreNotObeyedAreAFact) {
  load("ignore-allowed-mechanisms\n");
  const ProbeResult result = probe(session());
  EXPECT_TRUE(result.usable()) << reasons(result);
  EXPECT_FALSE(result.allowed_mechanisms_enforced);
  const Key key =
      session().generate_aes(aes().encrypt(true).allowed_mechanisms({Mechanism::AesKeyWrapPad}));
  EXPECT_EQ(session().read_mechanisms(key, Attribute::AllowedMechanisms).value,
            std::vector{Mechanism::AesKeyWrapPad});
  EXPECT_EQ(session().aes_ecb_encrypt(key, Bytes(16)).size(), 16U);
}

TEST_F(ShimLies, Sp800108IsFoundByKnownAnswer) {
  load("sp800-108\n");
  const ProbeResult result = probe(session());
  EXPECT_TRUE(result.usable()) << reasons(result);
  EXPECT_TRUE(result.sp800_108_derives);
  EXPECT_EQ(result.derived_key_stays_secret, true);
  EXPECT_TRUE(module().has_mechanism(session().slot(), Mechanism::Sp800108CounterKdf));
}

TEST_F(ShimLies, AMasterForSp800108ReadsBackAsItWasAskedFor) {
  load("sp800-108\n");
  const Template asked =
      aes().derive(true).sign(false).allowed_mechanisms({Mechanism::Sp800108CounterKdf});
  const Key master = session().generate_aes(asked);
  EXPECT_EQ(session().differences(master, asked), std::vector<std::string>{});
  const Key derived = session().derive_sp800_108(master, as_bytes("label"), aes().wrap(true));
  EXPECT_TRUE(session().stays_inside(derived));
  const Key no_master = session().generate_aes(aes().derive(false));
  EXPECT_EQ(rv_of([&] {
              static_cast<void>(session().derive_sp800_108(no_master, as_bytes("label"), aes()));
            }),
            "CKR_KEY_FUNCTION_NOT_PERMITTED");
  const Key other =
      session().generate_aes(aes().derive(true).allowed_mechanisms({Mechanism::AesEcbEncryptData}));
  EXPECT_EQ(rv_of([&] {
              static_cast<void>(session().derive_sp800_108(other, as_bytes("label"), aes()));
            }),
            "CKR_MECHANISM_INVALID");
}

TEST_F(ShimLies, EitherKdfIsEnough) {
  EXPECT_EQ(reasons(probe(load("no-mechanism 0x1104\n"))), "hsm-no-derive");
  const ProbeResult second = probe(load("no-mechanism 0x1104\nsp800-108\n"));
  EXPECT_TRUE(second.usable()) << reasons(second);
  EXPECT_FALSE(second.ecb_data_derives);
  EXPECT_EQ(second.derived_key_stays_secret, true);
}

TEST_F(ShimLies, TheSessionLimitIsMeasuredAndGivenBack) {
  load("max-sessions 3\n");
  const ProbeResult result = probe(session(), ProbeFor::Appliance, ProbeDepth::Thorough);
  EXPECT_EQ(result.further_sessions, 2U);
  const auto second = test_support::ShimStore::open(module());
  const auto third = test_support::ShimStore::open(module());
  try {
    static_cast<void>(test_support::ShimStore::open(module()));
    FAIL();
  } catch (const Pkcs11Error& error) {
    EXPECT_EQ(rv_name(error.rv()), "CKR_SESSION_COUNT");
    EXPECT_FALSE(error.hint().empty());
  }
}

TEST_F(ShimLies, ASessionLimitMayHoldForAllProcesses) {
  load("max-sessions 2 " + file("sessions").string() + "\n");
  {
    const auto second = test_support::ShimStore::open(module());
    EXPECT_EQ(rv_of([&] { static_cast<void>(test_support::ShimStore::open(module())); }),
              "CKR_SESSION_COUNT");
  }
  EXPECT_NO_THROW(static_cast<void>(test_support::ShimStore::open(module())));
}

TEST_F(ShimLies, ObjectsMayBeLimited) {
  load("max-objects 2\n");
  const Key first = labelled(session(), "1");
  {
    const Key second = labelled(session(), "2");
    EXPECT_EQ(rv_of([&] { static_cast<void>(labelled(session(), "3")); }), "CKR_DEVICE_MEMORY");
  }
  EXPECT_EQ(rv_of([&] { static_cast<void>(labelled(session(), "3")); }), "CKR_OK");
}

TEST_F(ShimLies, ANetworkTakesItsTime) {
  load("latency C_GenerateRandom 3000\n");
  const auto start = std::chrono::steady_clock::now();
  static_cast<void>(session().generate_random(8));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds{3});
}

}  // namespace
}  // namespace keyferry::p11
