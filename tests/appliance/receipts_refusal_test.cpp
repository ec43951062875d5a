// Receipts that are refused: each leaves records, log and station log as they were.
#include <gtest/gtest.h>

#include <functional>

#include "appliance/front/station_log_check.h"
#include "keyferry/v1/batch.pb.h"
#include "tests/appliance/ferry_fixture.h"
#include "token/audit/checkpoint.h"
#include "token/audit/merkle.h"
#include "wrap/base/durable_file.h"

namespace keyferry::appliance {
namespace {

using token::Outcome;

class RefusedTest : public FerryTest {
 protected:
  void expect_refused(const std::filesystem::path& file, const std::string& reason) {
    EXPECT_EQ(stage(file), reason);
    expect_nothing_changed();
  }

  void expect_refused(const HomeComing& home, const std::string& reason) {
    expect_refused(seal(home), reason);
  }

  void expect_nothing_changed() {
    EXPECT_EQ(count("receipt_staged"), 0);
    EXPECT_EQ(count("receipts_import", "state <> 'final'"), 0);
    EXPECT_EQ(sums().outstanding, 4U - static_cast<unsigned>(count("receipt")));
    EXPECT_EQ(ledger_->log_size(), 3U);
    EXPECT_TRUE(agrees());
  }

  void expect_core_refused(const std::function<void(token::ReceiptCore&)>& spoil,
                           const std::string& reason) {
    auto spoiled = core(1);
    spoil(spoiled);
    expect_refused({.entries = {entry(core(0)), entry(spoiled)}}, reason);
  }

  static std::filesystem::path spoiled(const std::filesystem::path& file, std::size_t at) {
    Bytes octets = read_file(file, 1U << 20);
    octets[at % octets.size()] ^= 0x01;
    write_file_durably(file, octets, Overwrite::Replace);
    return file;
  }
};

// --- the container -------------------------------------------------------------------------------

TEST_F(RefusedTest, SignedByAStranger) {
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  expect_refused({.entries = {entry(core(0))}, .container_signer = &stranger}, "sender");
}

TEST_F(RefusedTest, StrippedAndSignedAgainByAnotherEnrolledStation) {
  expect_refused({.entries = {entry(core(0))}, .container_signer = &other_station_},
                 "station-log-head");
}

TEST_F(RefusedTest, SealedToAnotherAppliance) {
  const crypto::SoftKey other = crypto::SoftKey::generate();
  expect_refused({.entries = {entry(core(0))}, .recipient = &other.public_key()}, "recipient");
}

TEST_F(RefusedTest, OfAnotherEnvironment) {
  expect_refused({.entries = {entry(core(0))}, .environment = token::Environment::Rehearsal},
                 "environment");
}

TEST_F(RefusedTest, CutShort) {
  const auto file = seal({.entries = {entry(core(0))}});
  Bytes octets = read_file(file, 1U << 20);
  octets.resize(octets.size() - 1);
  write_file_durably(file, octets, Overwrite::Replace);
  EXPECT_NE(stage(file), "");
  expect_nothing_changed();
}

TEST_F(RefusedTest, BytesAfterTheTrailer) {
  const auto file = seal({.entries = {entry(core(0))}});
  Bytes octets = read_file(file, 1U << 20);
  octets.push_back(0);
  write_file_durably(file, octets, Overwrite::Replace);
  EXPECT_NE(stage(file), "");
  expect_nothing_changed();
}

TEST_F(RefusedTest, OneBitFlippedAnywhere) {
  const HomeComing home{.entries = {entry(core(0)), entry(core(1))}};
  const std::size_t size = read_file(seal(home), 1U << 20).size();
  for (std::size_t at = 0; at < size; at += 7) {
    EXPECT_NE(stage(spoiled(seal(home), at)), "") << "octet " << at;
  }
  expect_nothing_changed();
}

TEST_F(RefusedTest, AContainerIdThatCameWithAnotherDigestIsAnIncident) {
  const ContainerId id = random_.id<ContainerId>();
  expect_imported({.entries = {entry(core(0))}, .container = id});
  expect_refused({.entries = {entry(core(0)), entry(core(1))}, .container = id},
                 "container-forged");
  ASSERT_TRUE(refused_->incident);
}

// --- the station's log ---------------------------------------------------------------------------

TEST_F(RefusedTest, AHeadThatTheStationDidNotSign) {
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  expect_refused({.entries = {entry(core(0))}, .head_signer = &stranger}, "station-log-head");
}

TEST_F(RefusedTest, ARootThatIsNotOfTheEntries) {
  expect_refused({.entries = {entry(core(0))}, .root = random_.id<Digest>()}, "station-log-root");
  EXPECT_TRUE(refused_->incident);
}

TEST_F(RefusedTest, AGapInTheLog) {
  expect_refused({.entries = {entry(core(0)), entry(core(1))}, .from = 1}, "station-log-gap");
}

TEST_F(RefusedTest, AForkedLogIsAnIncident) {
  expect_imported({.entries = {entry(core(0)), entry(core(1))}});
  expect_refused({.entries = {entry(core(0)), entry(core(2)), entry(core(3))}}, "station-log-fork");
  EXPECT_TRUE(refused_->incident);
}

TEST_F(RefusedTest, AForkBehindWhatTheFileShowsIsAnIncident) {
  expect_imported({.entries = {entry(core(0)), entry(core(1))}});
  expect_refused({.entries = {entry(core(1)), entry(core(1)), entry(core(2))}, .from = 2},
                 "station-log-root");
  EXPECT_TRUE(refused_->incident);
}

TEST_F(RefusedTest, ALogThatWasRolledBackIsAnIncident) {
  expect_imported({.entries = {entry(core(0)), entry(core(1))}});
  expect_refused({.entries = {entry(core(0))}, .head_time = UtcMillis{kNow.value + 1000}},
                 "station-log-rollback");
  EXPECT_TRUE(refused_->incident);
}

TEST_F(RefusedTest, AnOlderTokenThatComesLateIsNoIncident) {
  expect_imported({.entries = {entry(core(0)), entry(core(1))}});
  expect_refused({.entries = {entry(core(0))}, .head_time = UtcMillis{kNow.value - 1000}},
                 "station-log-older");
  EXPECT_FALSE(refused_->incident);
}

TEST_F(RefusedTest, AnotherGenerationOfTheLogIsAnIncident) {
  expect_imported({.entries = {entry(core(0))}});
  expect_refused({.entries = {entry(core(0))}, .generation = 2}, "station-log-generation");
  EXPECT_TRUE(refused_->incident);
}

// --- the cores -----------------------------------------------------------------------------------

TEST_F(RefusedTest, OfABatchThatNeverWas) {
  expect_core_refused([this](auto& core) { core.batch_id = random_.id<BatchId>(); },
                      "receipt-batch");
}

TEST_F(RefusedTest, OfABatchThatHasNotLeft) {
  exec("UPDATE batch SET state = 'sealed'");
  expect_refused({.entries = {entry(core(0))}}, "receipt-batch");
}

TEST_F(RefusedTest, OfAnotherStationsBatch) {
  SQLite::Statement update{ledger_->database(), "UPDATE batch SET station_id = :station"};
  const StationId other = token::station_id_of(other_station_.public_key());
  store::bind_blob(update, ":station", other.bytes());
  update.exec();
  expect_refused({.entries = {entry(core(0))}}, "receipt-batch");
}

TEST_F(RefusedTest, OfAnotherStation) {
  expect_core_refused([this](auto& core) { core.station_id = random_.id<StationId>(); },
                      "receipt-station");
}

TEST_F(RefusedTest, AboutAnotherManifest) {
  expect_core_refused([this](auto& core) { core.manifest_digest = random_.id<Digest>(); },
                      "receipt-manifest");
}

TEST_F(RefusedTest, OfARecordThatIsNotThere) {
  auto spoiled = core(1);
  spoiled.record_no = RecordNo{99};
  expect_refused({.entries = {signed_entry(1, token::serialise_core(spoiled))}}, "receipt-record");
}

TEST_F(RefusedTest, AboutAnotherCertificate) {
  expect_core_refused([this](auto& core) { core.certificate_sha256 = random_.id<Digest>(); },
                      "receipt-certificate");
}

TEST_F(RefusedTest, ForAnotherChallenge) {
  expect_core_refused([this](auto& core) { core.challenge = random_.id<Digest>(); },
                      "receipt-challenge");
}

TEST_F(RefusedTest, ForAnotherSe) {
  expect_core_refused(
      [](auto& core) { core.se_serial = *SeSerial::from_bytes(as_bytes("serial9999")); },
      "receipt-se");
}

TEST_F(RefusedTest, ForAnotherKeyName) {
  expect_core_refused([](auto& core) { core.key_name = "other"; }, "receipt-se");
}

TEST_F(RefusedTest, WithAnotherDeviceSerialThanTheInventorys) {
  auto spoiled = core(0);
  spoiled.device_serial = "dev-9";
  expect_refused({.entries = {entry(spoiled)}}, "receipt-device-serial");
}

TEST_F(RefusedTest, SignedByAnotherSesKey) {
  expect_refused({.entries = {signed_entry(1, token::serialise_core(core(0)))}},
                 "signature-invalid");
}

TEST_F(RefusedTest, ASignatureOfTheStationItself) {
  const Bytes octets = token::serialise_core(core(0));
  token::ReceiptEntry forged = signed_entry(0, octets);
  forged.signature = crypto::sign(station_, crypto::SignatureKind::Receipt, octets);
  expect_refused({.entries = {forged}}, "signature-invalid");
}

TEST_F(RefusedTest, ASignatureOnAReceiptThatSaysThereIsNone) {
  expect_refused({.entries = {signed_entry(0, token::serialise_core(core(0, Outcome::Returned)))}},
                 "receipt-evidence");
}

TEST_F(RefusedTest, AVoidThatNamesNoReceipt) {
  expect_refused({.entries = {event("log.opened"), void_of(0)}}, "receipt-void");
}

TEST_F(RefusedTest, AVoidOfWhatComesLater) {
  expect_refused({.entries = {void_of(1), unsigned_entry(core(0))}}, "receipt-void");
}

class HostileText : public RefusedTest, public testing::WithParamInterface<const char*> {};

TEST_P(HostileText, InADeviceSerialIsRefusedAndNeverShown) {
  v1::ReceiptCore message;
  const Bytes honest = token::serialise_core(core(1));
  ASSERT_TRUE(message.ParseFromArray(honest.data(), static_cast<int>(honest.size())));
  message.set_device_serial(GetParam());
  const std::string octets = message.SerializeAsString();
  expect_refused({.entries = {signed_entry(1, as_bytes(octets))}}, "receipt-core");
  EXPECT_EQ(refused_->refusal.text.find(GetParam()), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Texts,
                         HostileText,
                         testing::Values("<script>alert(1)</script>",
                                         "=cmd()|' /C calc'!A0",
                                         "\x1b[2J\x1b[31m",
                                         "@SUM(1)",
                                         "+1+1",
                                         "a\nb",
                                         "a b"));

// --- the checkpoint that the station saw ---------------------------------------------------------

class SeenCheckpoint : public RefusedTest {
 protected:
  std::string signed_note(std::uint64_t size, const Digest& root) {
    const std::string name = log_name(card_->appliance_id);
    return audit::sign_checkpoint(audit::checkpoint_text(name, size, root), name, log_);
  }

  Digest root_at(std::uint64_t size) { return audit::tree_root(ledger_->leaf_hashes(0, size)); }
};

TEST_F(SeenCheckpoint, OfThisLogIsKeptWhenItIsTheHighest) {
  const std::string note = signed_note(2, root_at(2));
  expect_imported({.entries = {entry(core(0))}, .checkpoint = note});
  EXPECT_EQ(ledger_->text_value("checkpoint_seen_back"), note);
}

TEST_F(SeenCheckpoint, BeyondThisLedgerShowsThatTheLedgerIsAnOlderCopy) {
  expect_refused({.entries = {entry(core(0))}, .checkpoint = signed_note(900, root_at(2))},
                 "log-rollback");
  EXPECT_TRUE(refused_->incident);
}

TEST_F(SeenCheckpoint, OfAnotherLogUnderOurKeyIsAnIncident) {
  expect_refused({.entries = {entry(core(0))}, .checkpoint = signed_note(2, random_.id<Digest>())},
                 "log-fork");
  EXPECT_TRUE(refused_->incident);
}

TEST_F(SeenCheckpoint, SignedByAnyoneElseIsRefused) {
  const std::string name = log_name(card_->appliance_id);
  const std::string note =
      audit::sign_checkpoint(audit::checkpoint_text(name, 2, root_at(2)), name, station_);
  expect_refused({.entries = {entry(core(0))}, .checkpoint = note}, "checkpoint");
}

}  // namespace
}  // namespace keyferry::appliance
