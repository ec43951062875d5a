// Whole batches for virtual ATECC608 chips through the station as it is shipped, and what it says
// when something is wrong with chip, batch or bus.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <functional>
#include <thread>

#include "tests/station-agent/atecc608/chip_place.h"
#include "wrap/crypto/hash.h"
#include "wrap/store/database.h"
#include "wrap/x509/certificate.h"

namespace keyferry::station::test {
namespace {

class Atecc608Way : public testing::Test {
 protected:
  void SetUp() override { place_.enrol(); }

  /// One chip, one batch, one lane.
  void one_chip(const ChipMaking& making = {}) {
    place_.add_chips(1, making);
    batch_.emplace(place_.load_batch(making.profile));
    place_.write_chip_lanes();
  }

  nlohmann::json device(const Ran& run, std::size_t number = 0) {
    return run.json["devices"].at(number);
  }

  void expect_untouched(const VirtualChip& chip, const vse::atecc608::Memory& before) {
    EXPECT_EQ(chip.cells(), before) << "something was written";
  }

  /// The run refuses the chip for this reason, and nothing was written.
  void expect_refused(const std::string& reason) {
    const auto before = place_.chips[0]->cells();
    const Ran run = place_.run();
    EXPECT_EQ(run.status, 1);
    ASSERT_EQ(run.json["refused"], 1) << run.errors;
    EXPECT_EQ(device(run)["reason"], reason) << run.errors;
    expect_untouched(*place_.chips[0], before);
    EXPECT_EQ(place_.station("status").json["batches"][0]["loaded"], 1);
  }

  /// Devices that the station has begun and not ended.
  [[nodiscard]] int in_work() const {
    const SQLite::Database store{(place_.home() / "station.db").string(), SQLite::OPEN_READONLY};
    SQLite::Statement query{store, "SELECT count(*) FROM record WHERE state = 'injecting'"};
    query.executeStep();
    return query.getColumn(0).getInt();
  }

  static bool comes_true(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{60};
    while (std::chrono::steady_clock::now() < end) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
    }
    return false;
  }

  ChipPlace place_;
  std::optional<SoftBatch> batch_;
};

TEST_F(Atecc608Way, InjectsAWholeBatchOnFourLanesAndBringsAttestedReceiptsHome) {
  place_.add_chips(8);
  const SoftBatch batch = place_.load_batch();
  place_.write_chip_lanes(4);
  const Ran run = place_.run();
  ASSERT_EQ(run.status, 0) << run.errors;
  EXPECT_EQ(run.json["injected"], 8);
  EXPECT_EQ(run.json["lanes"].size(), 4U);
  for (std::size_t i = 0; i < place_.chips.size(); ++i) {
    EXPECT_EQ(place_.chips[i]->held_key(), batch.segments[i / 4][i % 4].public_key);
    EXPECT_TRUE(place_.chips[i]->target_locked());
  }
  const Ran again = place_.run();
  EXPECT_EQ(again.json["already-injected"], 8) << again.errors;
  EXPECT_EQ(place_.bring_home(), (Sums{.injected = 8, .attested = 8}));
}

TEST_F(Atecc608Way, WithoutAnAttestationKeyTheReceiptShowsPossession) {
  place_.add_chips(1);
  static_cast<void>(place_.load_batch(example_profile(), std::nullopt, false));
  place_.write_chip_lanes();
  ASSERT_EQ(place_.run().status, 0);
  EXPECT_EQ(place_.bring_home(), (Sums{.injected = 1, .attested = 0}));
}

TEST_F(Atecc608Way, WritesACompressedCertificateWhereThePlanSaysSo) {
  ChipMaking making;
  making.profile.certificate_form = se::CertificateForm::Compressed;
  making.profile.certificate_slots = {10};
  one_chip(making);
  const Ran run = place_.run();
  ASSERT_EQ(run.status, 0) << run.errors;
  const Bytes slot = place_.chips[0]->cells().slots[10];
  const Bytes& certificate = batch_->segments[0][0].certificate;
  const auto facts = std::get<x509::CertificateFacts>(x509::parse_certificate(certificate));
  EXPECT_TRUE(equal(ByteView{slot}.first(64), facts.signature));
  // 2024-03-01 05h, 26 years: 11000 0011 00001 00101 11010
  EXPECT_EQ(to_hex(ByteView{slot}.subspan(64, 3)), "c184ba");
}

TEST_F(Atecc608Way, WritesTheWholeChainWhereItFits) {
  ChipMaking making;
  making.profile.certificate_chain = se::CertificateChain::Whole;
  making.profile.certificate_slots = {8, 9, 10, 11, 12, 13, 14, 15};
  making.profile.secure_boot_slot.reset();
  making.profile.configuration[70] = 0;
  making.profile.configuration[71] = 0;
  for (const std::size_t slot : {9U, 11U, 13U, 14U, 15U}) {
    making.profile.configuration[20 + 2 * slot] = 0x0F;
    making.profile.configuration[21 + 2 * slot] = 0x0F;
    making.profile.configuration[96 + 2 * slot] = 0x3C;
  }
  one_chip(making);
  const Ran run = place_.run();
  EXPECT_EQ(run.status, 0) << run.errors;
}

TEST_F(Atecc608Way, AnotherTransportKeyIsFoundBeforeAnythingIsWritten) {
  one_chip();
  auto cells = place_.chips[0]->cells();
  cells.slots[4][0] ^= 1;
  place_.chips[0]->set_cells(cells);
  place_.chips[0]->power();
  expect_refused("transport-key-wrong");
}

TEST_F(Atecc608Way, AConfigurationThatIsOffByOneBitIsRefusedAndNamed) {
  one_chip();
  auto cells = place_.chips[0]->cells();
  cells.config[20] ^= 0x04;  // SlotConfig[0], low octet: ECDH allowed
  place_.chips[0]->set_cells(cells);
  place_.chips[0]->power();
  expect_refused("configuration-differs");
  const Ran run = place_.run();
  EXPECT_NE(device(run)["text"].get<std::string>().find("SlotConfig[0]: plan 8144, chip 8544"),
            std::string::npos)
      << run.errors;
}

TEST_F(Atecc608Way, AChipThatWasNotPreparedIsRefused) {
  ChipMaking making;
  making.locked = false;
  one_chip(making);
  expect_refused("se-not-prepared");
}

TEST_F(Atecc608Way, AChipWithoutARecordIsRefused) {
  one_chip();
  VirtualChip stranger{place_.folder() / "stranger", 77};
  stranger.power();
  std::ofstream{place_.lanes_file()} << "[[lane]]\nnumber = 1\nfamily = \"atecc608\"\nperson = 7\n"
                                     << "[[lane.se]]\nchip = \"" << stranger.address() << "\"\n";
  const auto before = stranger.cells();
  const Ran run = place_.run();
  EXPECT_EQ(device(run)["reason"], "se-unknown") << run.errors;
  expect_untouched(stranger, before);
}

TEST_F(Atecc608Way, ASlotThatIsLockedWithoutOurKeyGoesIntoQuarantine) {
  one_chip();
  auto cells = place_.chips[0]->cells();
  cells.lock_slot(0);
  place_.chips[0]->set_cells(cells);
  place_.chips[0]->power();
  const Ran run = place_.run();
  EXPECT_EQ(run.json["quarantined"], 1) << run.errors;
  EXPECT_EQ(device(run)["reason"], "key-unsound");
  expect_untouched(*place_.chips[0], cells);
}

TEST_F(Atecc608Way, ASlotWithAForeignKeyIsNotOverwritten) {
  one_chip();
  auto cells = place_.chips[0]->cells();
  std::fill(cells.slots[0].begin(), cells.slots[0].end(), std::uint8_t{0});
  cells.slots[0][35] = 5;
  place_.chips[0]->set_cells(cells);
  place_.chips[0]->power();
  const Ran run = place_.run();
  EXPECT_EQ(device(run)["reason"], "se-not-empty") << run.errors;
  expect_untouched(*place_.chips[0], cells);
}

TEST_F(Atecc608Way, ACounterfeitThatSaysSuccessToEverythingIsRed) {
  one_chip();
  place_.chips[0]->power("counterfeit\n");
  const Ran run = place_.run();
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(run.json["injected"], 0) << run.errors;
  EXPECT_EQ(device(run)["colour"], "red");
  place_.chips[0]->power_off();
  EXPECT_EQ(place_.bring_home().injected, 0U);
}

TEST_F(Atecc608Way, NoChipInTheFixtureIsLostAndTheOtherLanesGoOn) {
  place_.add_chips(2);
  static_cast<void>(place_.load_batch());
  place_.write_chip_lanes(2);
  place_.chips[0]->power_off();
  const Ran run = place_.run();
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(run.json["lost"], 1) << run.errors;
  EXPECT_EQ(run.json["injected"], 1);
}

TEST_F(Atecc608Way, FivePercentOfDamagedPacketsDoNotStopTheLine) {
  place_.add_chips(12);
  static_cast<void>(place_.load_batch());
  place_.write_chip_lanes(3);
  unsigned seed = 1;
  for (auto& chip : place_.chips) chip->power("noise 5 " + std::to_string(seed++) + "\n");
  const Ran run = place_.run();
  EXPECT_EQ(run.status, 0) << run.errors;
  EXPECT_EQ(run.json["injected"], 12);
}

/// The same fault at each of the first commands.
std::string always(const std::string& fault, const std::string& rest = "") {
  std::string script;
  for (int command = 1; command <= 200; ++command)
    script += fault + " " + std::to_string(command) + rest + "\n";
  return script;
}

TEST_F(Atecc608Way, AChipThatAnswersGarbageIsRedAndNothingIsNoted) {
  one_chip();
  const auto before = place_.chips[0]->cells();
  place_.chips[0]->power(always("garbage"));
  const Ran run = place_.run();
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(device(run)["result"], "lost") << run.errors;
  expect_untouched(*place_.chips[0], before);
  EXPECT_EQ(place_.station("status").json["batches"][0]["loaded"], 1);
}

TEST_F(Atecc608Way, AChipThatAlwaysAnswersThePreviousCommandIsRed) {
  one_chip();
  const auto before = place_.chips[0]->cells();
  place_.chips[0]->power(always("previous"));
  const Ran run = place_.run();
  EXPECT_EQ(run.status, 1);
  EXPECT_EQ(device(run)["colour"], "red") << run.errors;
  expect_untouched(*place_.chips[0], before);
}

TEST_F(Atecc608Way, APartThatInsistsOnItsOwnNonceIsReported) {
  place_.add_chips(1);
  const VirtualChip& chip = *place_.chips[0];
  SoftBatch batch = place_.appliance.make_batch({{chip.serial, chip.transport_key, std::nullopt}},
                                                example_profile());
  Bytes& payload = batch.segments[0][0].payload;
  // Atecc608Payload: version 1, then nonce_mode (field 2, varint): fixed is 1, random 2.
  ASSERT_EQ(to_hex(ByteView{payload}.first(4)), "08011001");
  payload[3] = 2;
  batch.sealed[0] = place_.appliance.seal_segment(batch, 0, batch.segments[0]);
  batch.manifest.segments[0].container_id = batch.sealed[0].id;
  batch.manifest.segments[0].digest = batch.sealed[0].digest;
  place_.appliance.write_token(place_.token(), batch);
  ASSERT_EQ(place_.load().status, 0);
  place_.write_chip_lanes();
  expect_refused("atecc608-nonce-mode");
}

TEST_F(Atecc608Way, WorksBesideLanesOfAnotherFamily) {
  place_.add_chips(2);
  static_cast<void>(place_.load_batch());
  place_.add_ses(2);
  place_.appliance.write_token(place_.token(), place_.appliance.make_batch(place_.ses));
  ASSERT_EQ(place_.load().status, 0);
  place_.write_chip_lanes(2);
  std::ofstream out{place_.lanes_file(), std::ios::app};
  for (std::size_t i = 0; i < 2; ++i) {
    out << "[[lane]]\nnumber = " << i + 11 << "\nfamily = \"pkcs11\"\nperson = 7\n[[lane.se]]\n"
        << "uri = \"" << place_.ses[i].uri() << "\"\nsofthsm2_conf = \""
        << place_.ses[i].conf().string() << "\"\n";
  }
  out.close();
  const Ran run = place_.run();
  EXPECT_EQ(run.status, 0) << run.errors;
  EXPECT_EQ(run.json["injected"], 4);
  std::vector<int> lanes;
  for (const auto& one : run.json["devices"]) lanes.push_back(one["lane"]);
  EXPECT_EQ(lanes, (std::vector<int>{1, 2, 11, 12})) << "in the order of the lanes file";
}

TEST_F(Atecc608Way, ATerminationLetsTheDevicesInWorkEndAndBeginsNoOther) {
  place_.add_chips(4);
  static_cast<void>(place_.load_batch());
  place_.write_chip_lanes(2);
  for (auto& chip : place_.chips) chip->power({}, vse::atecc608::Timing::Table);
  const auto output = place_.folder() / "output";
  const auto pid_file = place_.folder() / "pid";
  int status = -1;
  std::thread station{[&] {
    status = keyferry::test::run_command(
                 KEYFERRY_BIN_DIR "/keyferry-station --json --home " + place_.home().string() +
                 " run --lanes " + place_.lanes_file().string() + " >" + output.string() +
                 " 2>/dev/null & echo $! >" + pid_file.string() + "; wait $!")
                 .status;
  }};
  const bool both = comes_true([&] { return in_work() == 2; });
  EXPECT_EQ(kill(std::stoi(text_of(pid_file)), SIGTERM), 0);
  station.join();
  ASSERT_TRUE(both) << "two lanes, each with a device in work";
  EXPECT_EQ(status, 1);
  const auto json = nlohmann::json::parse(text_of(output), nullptr, false);
  ASSERT_TRUE(json.is_object()) << text_of(output);
  EXPECT_EQ(json["stopped"], true);
  EXPECT_EQ(json["injected"], 2);
  EXPECT_EQ(json["devices"].size(), 2U);
  const Ran rest = place_.run();
  EXPECT_EQ(rest.json["injected"], 2) << rest.errors;
  EXPECT_EQ(rest.json["already-injected"], 2);
}

struct Trouble {
  const char* name;
  const char* faults;
};

class Atecc608Trouble : public Atecc608Way, public testing::WithParamInterface<Trouble> {};

/// What goes wrong on the bus once does not cost a device.
TEST_P(Atecc608Trouble, IsBridged) {
  one_chip();
  place_.chips[0]->power(GetParam().faults);
  const Ran run = place_.run();
  EXPECT_EQ(run.json["injected"], 1) << run.errors;
  EXPECT_EQ(place_.bring_home(), (Sums{.injected = 1, .attested = 1}));
}

INSTANTIATE_TEST_SUITE_P(Bus,
                         Atecc608Trouble,
                         testing::Values(Trouble{"DropInfo", "drop Info\n"},
                                         Trouble{"DropNonce", "drop Nonce\n"},
                                         Trouble{"DropGenDig", "drop GenDig\n"},
                                         Trouble{"DropPrivWrite", "drop PrivWrite\n"},
                                         Trouble{"DropGenKey", "drop GenKey:2\n"},
                                         Trouble{"DropLock", "drop Lock\n"},
                                         Trouble{"DropSign", "drop Sign\n"},
                                         Trouble{"DropWrite", "drop Write:3\n"},
                                         Trouble{"NotAcknowledgedPrivWrite", "nack PrivWrite 2\n"},
                                         Trouble{"NotAcknowledgedLock", "nack Lock 1\n"},
                                         Trouble{"GarbagePrivWrite", "garbage PrivWrite\n"},
                                         Trouble{"GarbageSign", "garbage Sign:2\n"},
                                         Trouble{"FlippedCountOfSign", "flip Sign 0 3\n"},
                                         Trouble{"FlippedCountOfLock", "flip Lock 0 1\n"},
                                         Trouble{"FlippedStatusOfPrivWrite",
                                                 "flip PrivWrite 1 0\n"},
                                         Trouble{"LatePrivWrite", "late PrivWrite 3000\n"},
                                         Trouble{"LateSign", "late Sign 3000\n"},
                                         Trouble{"PreviousAnswerToSign", "previous Sign\n"},
                                         Trouble{"PreviousAnswerToGenKey", "previous GenKey:2\n"}),
                         [](const auto& one) { return std::string{one.param.name}; });

TEST(Atecc608Example, IsThePagesConfiguration) {
  EXPECT_EQ(example_profile().configuration,
            vse::atecc608::read_config_hex(std::filesystem::path{KEYFERRY_VECTORS_DIR} /
                                           "atecc608" / "example-configuration.hex"));
}

class Atecc608Firmware : public Atecc608Way {
 protected:
  void set_up(const crypto::PublicKey& in_chip, std::uint8_t secure_boot_mode, bool open = false) {
    ChipMaking making;
    making.boot_slot_open = open;
    making.firmware_key = in_chip;
    making.profile.configuration[70] = secure_boot_mode;
    place_.add_chips(1, making);
    std::ofstream{image()} << "firmware of the device, version 7";
    const Digest digest = crypto::sha256(as_bytes(text_of(image())));
    sign(digest);
    static_cast<void>(place_.load_batch(making.profile, digest));
    place_.write_chip_lanes(1, "firmware = \"image\"\nfirmware_signature = \"image.sig\"\n");
  }

  void sign(const Digest& digest) {
    const Bytes der = crypto::raw_to_der_signature(key_.sign_digest(digest));
    std::ofstream{place_.folder() / "image.sig"} << as_chars(der);
  }

  std::filesystem::path image() { return place_.folder() / "image"; }

  crypto::SoftKey key_ = crypto::SoftKey::generate();
};

TEST_F(Atecc608Firmware, IsVerifiedWithTheStoredKey) {
  set_up(key_.public_key(), 0x00);
  const Ran run = place_.run();
  EXPECT_EQ(run.json["injected"], 1) << run.errors;
}

TEST_F(Atecc608Firmware, IsNotVerifiedWithAKeyThatAnybodyCouldHavePutThere) {
  set_up(key_.public_key(), 0x00, true);
  const Ran run = place_.run();
  EXPECT_EQ(run.json["refused"], 1) << run.errors;
  EXPECT_NE(run.errors.find("slot 15 with the secure-boot key is not locked"), std::string::npos)
      << run.errors;
}

TEST_F(Atecc608Firmware, IsVerifiedBySecureBootWhereItIsOn) {
  set_up(key_.public_key(), 0x01);
  const Ran run = place_.run();
  EXPECT_EQ(run.json["injected"], 1) << run.errors;
}

TEST_F(Atecc608Firmware, WithOneBitChangedIsRefusedBeforeAnythingIsWritten) {
  set_up(key_.public_key(), 0x00);
  std::ofstream{image()} << "firmware of the device, version 6";
  expect_refused("firmware-other");
}

TEST_F(Atecc608Firmware, WithASignatureOfAnotherKeyGoesIntoQuarantine) {
  set_up(crypto::SoftKey::generate().public_key(), 0x00);
  const Ran run = place_.run();
  EXPECT_EQ(run.json["quarantined"], 1) << run.errors;
  EXPECT_EQ(device(run)["reason"], "firmware-signature");
}

TEST_F(Atecc608Firmware, WithASignatureOfAnotherKeyFailsSecureBootToo) {
  set_up(crypto::SoftKey::generate().public_key(), 0x01);
  const Ran run = place_.run();
  EXPECT_EQ(device(run)["reason"], "firmware-signature") << run.errors;
}

}  // namespace
}  // namespace keyferry::station::test
