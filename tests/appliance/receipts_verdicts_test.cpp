// What the appliance makes of the four verdicts: an injected receipt whose verdicts are not the plan's, or rest on
// nothing, is an incident and its record stays outstanding; the other receipts of the file count.
#include <gtest/gtest.h>

#include <functional>

#include "tests/appliance/ferry_fixture.h"
#include "token/line_checks.h"

namespace keyferry::appliance {
namespace {

using token::Outcome;
using token::ReceiptCore;
using token::Verdict;

class Verdicts : public FerryTest {
 protected:
  explicit Verdicts(bool with_firmware = false, const std::optional<VerifyPlan>& verify = VerifyPlan{})
      : FerryTest{with_firmware ? se::Family::Atecc608 : se::Family::Pkcs11, with_firmware, verify} {}

  /// Record 2, spoiled, beside record 3: without attestation keys in either family.
  void expect_incident(const std::function<void(ReceiptCore&)>& spoil, const std::string& kind) {
    ReceiptCore spoiled = core(2);
    spoil(spoiled);
    expect_imported({.entries = {entry(spoiled), entry(core(3))}});
    EXPECT_EQ(state_of(2), "issued") << "it is outstanding";
    EXPECT_EQ(state_of(3), "injected") << "the others of the file count";
    EXPECT_EQ(count("incident", "kind = '" + kind + "' AND record_no = 2"), 1);
    EXPECT_EQ(count("incident"), 1);
    EXPECT_EQ(count("incident", "text = ''"), 0);
    EXPECT_TRUE(agrees());
  }

  void expect_accepted(const std::function<void(ReceiptCore&)>& change) {
    ReceiptCore changed = core(2);
    change(changed);
    expect_imported({.entries = {entry(changed)}});
    EXPECT_EQ(state_of(2), "injected");
    EXPECT_EQ(count("incident"), 0);
  }
};

TEST_F(Verdicts, ThatAllPassWithTheirProofAreAccepted) {
  expect_accepted([](ReceiptCore&) {});
}

TEST_F(Verdicts, ThatSayFailAreAnIncident) {
  expect_incident([](auto& core) { core.verdicts.challenge = Verdict::Fail; }, "receipt-verdicts");
}

TEST_F(Verdicts, ThatSayNotApplicableWhereThePlanAsksAreAnIncident) {
  expect_incident([](auto& core) { core.verdicts.chain = Verdict::NotApplicable; }, "receipt-verdicts");
}

TEST_F(Verdicts, ThatWereNotRunAreAnIncident) {
  expect_incident([](auto& core) { core.verdicts.serial_registered = Verdict::NotRun; }, "receipt-verdicts");
}

TEST_F(Verdicts, ThatPassFirmwareWhichThePlanDoesNotNameAreAnIncident) {
  expect_incident([](auto& core) { core.verdicts.firmware = Verdict::Pass; }, "receipt-verdicts");
}

TEST_F(Verdicts, ThatFailFirmwareWhichThePlanDoesNotNameAreAnIncident) {
  expect_incident([](auto& core) { core.verdicts.firmware = Verdict::Fail; }, "receipt-verdicts");
}

TEST_F(Verdicts, WithoutProofAreAnIncident) {
  expect_incident([](auto& core) { core.proof.reset(); }, "receipt-proof-missing");
}

TEST_F(Verdicts, ThatRestOnAnotherLeafAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->chain_sha256[0] = random_.id<Digest>(); }, "receipt-proof-chain");
}

TEST_F(Verdicts, ThatRestOnAnotherIssuerAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->chain_sha256[1] = random_.id<Digest>(); }, "receipt-proof-chain");
}

TEST_F(Verdicts, ThatRestOnAChainThatIsTooShortAreAnIncident) {
  expect_incident([](auto& core) { core.proof->chain_sha256.pop_back(); }, "receipt-proof-chain");
}

TEST_F(Verdicts, ThatRestOnACertificateWhichNobodyReadFromTheSeAreAnIncident) {
  expect_incident([](auto& core) { core.proof->from_se = 0; }, "receipt-proof-chain");
}

TEST_F(Verdicts, ThatRestOnAnotherAnchorAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->anchor_sha256 = random_.id<Digest>(); }, "receipt-proof-chain");
}

TEST_F(Verdicts, ThatRestOnNoAnchorAreAnIncident) {
  expect_incident([](auto& core) { core.proof->anchor_sha256.reset(); }, "receipt-proof-chain");
}

TEST_F(Verdicts, ThatRestOnAnotherTimeThanTheReceiptsAreAnIncident) {
  expect_incident([](auto& core) { core.proof->verified_at.value -= 1; }, "receipt-proof-time");
}

TEST_F(Verdicts, ThatRestOnAnotherKeysAnswerAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->challenge_signature = answers_[1]; }, "receipt-proof-challenge");
}

TEST_F(Verdicts, ThatRestOnNoAnswerAreAnIncident) {
  expect_incident([](auto& core) { core.proof->challenge_signature.clear(); }, "receipt-proof-challenge");
}

TEST_F(Verdicts, ThatRestOnAnAnswerToAnotherChallengeAreAnIncident) {
  expect_incident(
      [this](auto& core) {
        const Bytes other = token::challenge_message(batch_, core.record_no, random_.id<Digest>());
        core.proof->challenge_signature = crypto::sign(se_keys_[2], crypto::SignatureKind::Challenge, other);
      },
      "receipt-proof-challenge");
}

TEST_F(Verdicts, ThatRestOnAnotherSerialAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->certificate_serial = records_[1].certificate_serial; },
                  "receipt-proof-serial");
}

TEST_F(Verdicts, TakeASerialWithTheZeroThatDerPutsBeforeIt) {
  expect_accepted([](auto& core) {
    core.proof->certificate_serial.insert(core.proof->certificate_serial.begin(), std::uint8_t{0});
  });
}

TEST_F(Verdicts, ThatFailedInAQuarantinedReceiptAreKeptAsTheyAre) {
  ReceiptCore failed = core(2, Outcome::Quarantined);
  failed.verdicts = {Verdict::Pass, Verdict::Fail, Verdict::NotRun, Verdict::NotApplicable};
  failed.proof = proof(2);
  failed.proof->challenge_signature = answers_[1];
  expect_imported({.entries = {entry(failed)}});
  EXPECT_EQ(state_of(2), "quarantined");
  EXPECT_EQ(count("record", "record_no = 2 AND crl_due = 1"), 1);
  EXPECT_EQ(count("incident"), 0);
}

TEST_F(Verdicts, AnIncidentIsToldOnceAndASecondReceiptIsTheFirstThatCounts) {
  ReceiptCore spoiled = core(2);
  spoiled.proof->challenge_signature = answers_[1];
  const token::ReceiptEntry bad = entry(spoiled);
  expect_imported({.entries = {bad}});
  expect_imported({.entries = {bad, event("again")}});
  EXPECT_EQ(count("incident"), 1) << "the overlap is the same incident";
  EXPECT_EQ(state_of(2), "issued");
  expect_imported({.entries = {bad, event("again"), entry(core(2))}, .from = 2});
  EXPECT_EQ(state_of(2), "injected");
  EXPECT_TRUE(agrees());
}

class VerdictsWithFirmware : public Verdicts {
 protected:
  VerdictsWithFirmware() : Verdicts{true, VerifyPlan{.secure_boot_key_sha256 = kBootKey}} {}
};

TEST_F(VerdictsWithFirmware, ThatPassAreAccepted) {
  expect_accepted([](ReceiptCore&) {});
}

TEST_F(VerdictsWithFirmware, ThatSayFailAreAnIncident) {
  expect_incident([](auto& core) { core.verdicts.firmware = Verdict::Fail; }, "receipt-verdicts");
}

TEST_F(VerdictsWithFirmware, ThatSayNotApplicableAreAnIncident) {
  expect_incident([](auto& core) { core.verdicts.firmware = Verdict::NotApplicable; }, "receipt-verdicts");
}

TEST_F(VerdictsWithFirmware, ThatRestOnAnotherImageAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->firmware->image_sha256 = random_.id<Digest>(); },
                  "receipt-proof-firmware");
}

TEST_F(VerdictsWithFirmware, ThatRestOnAnotherSecureBootKeyAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->firmware->key_sha256 = random_.id<Digest>(); },
                  "receipt-proof-firmware");
}

TEST_F(VerdictsWithFirmware, ThatRestOnASecureBootKeyNobodySawAreAnIncident) {
  expect_incident([](auto& core) { core.proof->firmware->key_sha256.reset(); }, "receipt-proof-firmware");
}

TEST_F(VerdictsWithFirmware, ThatRestOnNoImageAreAnIncident) {
  expect_incident([](auto& core) { core.proof->firmware.reset(); }, "receipt-proof-firmware");
}

class VerdictsAtIssuing : public Verdicts {
 protected:
  VerdictsAtIssuing() : Verdicts{false, VerifyPlan{.chain_time = ChainTime::Issuing}} {}
};

TEST_F(VerdictsAtIssuing, AreForTheTimeFromWhichTheCertificatesAreValid) {
  // The fixture's batch begins at kNow; the line's clock is years off.
  expect_accepted([](auto& core) { core.start.value = core.end.value = 1; });
}

TEST_F(VerdictsAtIssuing, ForTheLinesOwnTimeAreAnIncident) {
  expect_incident(
      [](auto& core) {
        core.start.value = core.end.value = kNow.value + 1;
        core.proof->verified_at = core.start;
      },
      "receipt-proof-time");
}

class VerdictsWithSkew : public Verdicts {
 protected:
  VerdictsWithSkew() : Verdicts{false, VerifyPlan{.clock_skew_s = 60}} {}
};

TEST_F(VerdictsWithSkew, MayBeForAnotherTimeWithinIt) {
  expect_accepted([](auto& core) { core.proof->verified_at.value += 60'000; });
}

TEST_F(VerdictsWithSkew, ForATimeBeyondItAreAnIncident) {
  expect_incident([](auto& core) { core.proof->verified_at.value += 60'001; }, "receipt-proof-time");
}

class VerdictsOfAnOlderPlan : public Verdicts {
 protected:
  VerdictsOfAnOlderPlan() : Verdicts{false, std::nullopt} {}
};

TEST_F(VerdictsOfAnOlderPlan, AreTakenWithoutProof) {
  expect_accepted([](auto& core) { core.proof.reset(); });
}

TEST_F(VerdictsOfAnOlderPlan, WithAProofThatDoesNotHoldAreAnIncident) {
  expect_incident([this](auto& core) { core.proof->challenge_signature = answers_[1]; }, "receipt-proof-challenge");
}

}  // namespace
}  // namespace keyferry::appliance
