// A real gate whose PINs are random and held as shares: handed out at init, brought at each login.
#include <sys/wait.h>

#include <algorithm>

#include "appliance/gate/pin_sharing.h"
#include "appliance/gate/share_files.h"
#include "tests/appliance/gate/gate_fixture.h"
#include "tests/support/no_terminal.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"

namespace keyferry::appliance::test {
namespace {

namespace fs = std::filesystem;

class GateShares : public GateFixture {
 protected:
  GateShares() {
    keyferry::test::leave_terminal();
    GateSettings settings = read_settings(settings_file_);
    settings.pin = PinSource::Shares;
    write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  }

  GateOptions options() const {
    GateOptions options{.settings = settings_file_, .pin_fd = {}, .insecure_allow = {}, .socket = {}};
    options.program = fs::path{KEYFERRY_BIN_DIR} / "keyferry-hsm-gate";
    options.appliance = "test";
    return options;
  }

  fs::path share(ShareKind kind, unsigned number, const char* folder = "shares") const {
    return store_.folder() / folder / share_file_name(kind, "test", number, {2, 3});
  }

  std::unique_ptr<GateClient> gate_for_init() {
    GateOptions with = options();
    with.pin_shares = "2/3";
    with.pin_share_folders = {store_.folder() / "shares"};
    return std::make_unique<GateClient>(with, ledger_);
  }

  std::unique_ptr<GateClient> gate_with(std::vector<fs::path> shares) {
    GateOptions with = options();
    with.share_files = std::move(shares);
    return std::make_unique<GateClient>(with, ledger_);
  }

  /// The gate says why on stderr and ends: the client knows its status.
  Code refusal_to_start(std::vector<fs::path> shares) {
    try {
      const auto gate = gate_with(std::move(shares));
      static_cast<void>(open(*gate));
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "the gate opened";
    return Code::Internal;
  }

  void make_appliance_in_shares() {
    const auto gate = gate_for_init();
    initialize(*gate);
  }
};

TEST_F(GateShares, EveryPairOfThreeOpensTheHsm) {
  make_appliance_in_shares();
  for (const auto& [a, b] : {std::pair{1U, 2U}, {1U, 3U}, {3U, 2U}}) {
    const auto gate = gate_with({share(ShareKind::UserPin, a), share(ShareKind::UserPin, b)});
    EXPECT_TRUE(open(*gate).initialized());
  }
}

TEST_F(GateShares, WhatOpensItStandsInTheHsmAndInTheFirstLeaf) {
  make_appliance_in_shares();
  const PinSharing noted = read_pin_sharing(settings_file_).current.value();
  EXPECT_EQ(noted.needed, 2U);
  EXPECT_EQ(noted.total, 3U);
  EXPECT_EQ(state_.pin_sharing().set_id(), to_string(noted.set_id));
  v1::LogLeaf first;
  ASSERT_TRUE(first.ParseFromArray(ledger_.log.at(0).data(), static_cast<int>(ledger_.log.at(0).size())));
  EXPECT_EQ(first.initialized().pin_sharing().set_id(), to_string(noted.set_id));
  EXPECT_FALSE(first.initialized().so_pin_discarded());
}

TEST_F(GateShares, OneShareOneTwiceAndTheSoSharesOpenNothing) {
  make_appliance_in_shares();
  const fs::path one = share(ShareKind::UserPin, 1);
  EXPECT_EQ(refusal_to_start({one}), Code::Refused);
  EXPECT_EQ(refusal_to_start({one, one}), Code::Refused);
  EXPECT_EQ(refusal_to_start({share(ShareKind::SoPin, 1), share(ShareKind::SoPin, 2), share(ShareKind::SoPin, 3)}), Code::Refused);
  const auto gate = gate_with({one, share(ShareKind::UserPin, 2)});
  EXPECT_TRUE(open(*gate).initialized()) << "and none of that counted as a wrong PIN";
}

TEST_F(GateShares, AnInitCutOffAfterTheTokenGoesOnWithTheSameShares) {
  for (const char* cut : {"gate.pin-shares.noted", "worker.token.before-user-pin", "worker.token.made", "gate.commit.stored"}) {
    std::error_code ignored;
    fs::remove_all(store_.folder() / "shares", ignored);
    fs::remove(pin_sharing_file(settings_file_), ignored);
    for (const auto& entry : fs::directory_iterator{store_.tokens()}) fs::remove_all(entry.path());
    ledger_ = MemoryLedger{};
    setenv("KEYFERRY_CUT", cut, 1);
    try {
      const auto gate = gate_for_init();
      initialize(*gate);
      ADD_FAILURE() << "nothing was cut at " << cut;
    } catch (const Error&) {
    }
    unsetenv("KEYFERRY_CUT");
    ledger_ = MemoryLedger{};
    const auto gate = gate_for_init();
    initialize(*gate);
    const auto again = gate_with({share(ShareKind::UserPin, 3), share(ShareKind::UserPin, 1)});
    EXPECT_TRUE(open(*again).initialized()) << cut;
  }
}

TEST_F(GateShares, ATypedPinIsNotTakenAndSharesAreNotForATypedPin) {
  make_appliance_in_shares();
  GateSettings settings = read_settings(settings_file_);
  settings.pin = PinSource::Typed;
  write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  EXPECT_EQ(refusal_to_start({share(ShareKind::UserPin, 1), share(ShareKind::UserPin, 2)}), Code::Usage);
}

TEST(GateSettingsOfShares, SayHowThePinComes) {
  const std::string text = "version = 1\n[hsm]\nuri = \"pkcs11:token=x?module-path=/x.so\"\n";
  EXPECT_EQ(parse_settings(as_bytes(text), "x").pin, PinSource::Typed);
  const GateSettings shares = parse_settings(as_bytes(text + "pin = \"shares\"\n"), "x");
  EXPECT_EQ(shares.pin, PinSource::Shares);
  EXPECT_EQ(parse_settings(as_bytes(settings_text(shares)), "x").pin, PinSource::Shares);
  EXPECT_THROW(static_cast<void>(parse_settings(as_bytes(text + "pin = \"prompt\"\n"), "x")), Error);
  const std::string file = "version = 1\n[hsm]\nuri = \"pkcs11:token=x?module-path=/x.so&pin-source=file:/p\"\npin = \"shares\"\n";
  EXPECT_THROW(static_cast<void>(parse_settings(as_bytes(file), "x")), Error);
}

}  // namespace
}  // namespace keyferry::appliance::test
