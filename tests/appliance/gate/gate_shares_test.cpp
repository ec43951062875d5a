// A real gate whose PINs are random and held as shares: handed out at init, brought at each login.
#include <algorithm>
#include <array>
#include <regex>

#include "appliance/gate/pin_sharing.h"
#include "appliance/gate/share_files.h"
#include "appliance/plan/officer_card.h"
#include "tests/appliance/gate/gate_fixture.h"
#include "tests/support/no_terminal.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"

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

/// Custodians' tokens in a store of their own, as cards in a reader of their own would be.
class GateShareTokens : public GateShares {
 protected:
  void SetUp() override {
    setenv("SOFTHSM2_CONF", cards_.config().c_str(), 1);
    write_file_durably(cards_.folder() / "pin", as_bytes(std::string{test_support::kUserPin} + "\n"), Overwrite::Replace);
    for (const char* label : {"card-1", "card-2", "card-3"}) cards_.init_token_outside(label);
  }

  void TearDown() override { unsetenv("SOFTHSM2_CONF"); }

  [[nodiscard]] std::string card(unsigned number) const {
    return "pkcs11:token=card-" + std::to_string(number) + "?module-path=" + test_support::softhsm_module().string() +
           "&pin-source=file:" + (cards_.folder() / "pin").string();
  }

  std::unique_ptr<GateClient> gate_with_cards(std::vector<unsigned> numbers) {
    GateOptions with = options();
    for (const unsigned number : numbers) with.share_tokens.push_back(card(number));
    return std::make_unique<GateClient>(with, ledger_);
  }

  test_support::SoftHsmFolder cards_;
};

TEST_F(GateShareTokens, TakeTheSharesAtInitAndBringThemAtALogin) {
  {
    GateOptions with = options();
    with.pin_shares = "2/3";
    with.pin_share_tokens = {card(1), card(2), card(3)};
    GateClient gate{with, ledger_};
    initialize(gate);
  }
  {
    const auto gate = gate_with_cards({3, 1});
    EXPECT_TRUE(open(*gate).initialized());
  }
  const auto code_of = [&](std::vector<unsigned> numbers) {
    try {
      const auto gate = gate_with_cards(std::move(numbers));
      static_cast<void>(open(*gate));
    } catch (const Error& error) {
      return error.code();
    }
    return Code::Internal;
  };
  EXPECT_EQ(code_of({2}), Code::Refused);
  EXPECT_EQ(code_of({2, 2}), Code::Refused);
}

TEST_F(GateShareTokens, ACardWithoutAShareIsNamed) {
  make_appliance_in_shares();
  GateOptions with = options();
  with.share_files = {share(ShareKind::UserPin, 1)};
  with.share_tokens = {card(2)};
  const auto start = [&] {
    GateClient gate{with, ledger_};
    static_cast<void>(open(gate));
  };
  EXPECT_THROW(start(), Error);
}

/// Persons 1 (officer), 2 and 3 (custodians); PINs of before 2 of 3 in "shares", new ones 2 of 2 in "new".
class GatePinChange : public GateShares {
 protected:
  void SetUp() override {
    const auto gate = gate_for_init();
    v1::GateRequest request;
    v1::InitializeRequest& initialize = *request.mutable_initialize();
    initialize.set_name("test-appliance");
    initialize.set_environment(v1::ENVIRONMENT_DEVELOPMENT);
    initialize.set_officers_needed(1);
    *initialize.add_officer_cards() = card(officer_, PersonRole::Officer);
    for (crypto::SoftKey& key : custodians_) *initialize.add_officer_cards() = card(key, PersonRole::Custodian);
    static_cast<void>(gate->call(std::move(request)));
    ASSERT_TRUE(open(*gate).initialized());
    before_ = read_pin_sharing(settings_file_).current.value();
  }

  [[nodiscard]] v1::SignedBytes card(crypto::SoftKey& key, PersonRole role) {
    SystemRandom random;
    const Bytes octets =
        token::encode(make_officer_card(key, role, "Somebody", Environment::Development, SystemClock{}.now(), random).signed_card);
    v1::SignedBytes message;
    EXPECT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
    return message;
  }

  [[nodiscard]] fs::path new_share(ShareKind kind, unsigned number) const {
    return store_.folder() / "new" / share_file_name(kind, "test", number, {2, 2});
  }

  [[nodiscard]] std::vector<fs::path> old_shares() const { return {share(ShareKind::UserPin, 1), share(ShareKind::UserPin, 3)}; }

  [[nodiscard]] std::vector<fs::path> new_shares() const { return {new_share(ShareKind::UserPin, 1), new_share(ShareKind::UserPin, 2)}; }

  [[nodiscard]] Plan change_plan(std::vector<std::uint32_t> custodians = {2, 3}, std::uint32_t needed = 2) {
    Plan change = plan(Operation::HsmPinChange);
    change.detail = HsmPinChangePlan{std::move(custodians), needed, "test"};
    return parsed(change);
  }

  std::unique_ptr<GateClient> gate_for_change(std::vector<fs::path> login) {
    GateOptions with = options();
    with.share_files = std::move(login);
    with.share_files.push_back(share(ShareKind::SoPin, 2));
    with.share_files.push_back(share(ShareKind::SoPin, 1));
    with.new_pin_shares = "2/2";
    with.pin_share_folders = {store_.folder() / "new"};
    with.custodians = {2, 3};
    return std::make_unique<GateClient>(with, ledger_);
  }

  /// The whole way, from a gate that `login` opens.
  void change(std::vector<fs::path> login) {
    const auto gate = gate_for_change(std::move(login));
    ASSERT_TRUE(open(*gate).initialized());
    run(*gate, change_plan());
  }

  bool opens(std::vector<fs::path> shares) {
    try {
      const auto gate = gate_with(std::move(shares));
      return open(*gate).initialized();
    } catch (const Error& error) {
      refused_ = error.what();
      return false;
    }
  }

  /// Every cut point of a change in the sources.
  [[nodiscard]] static std::vector<std::string> cut_points() {
    std::vector<std::string> points;
    const std::regex place{R"re(KF_CUT\("((gate|worker)\.pin-change\.[a-z-]+)"\))re"};
    for (const auto& entry : fs::directory_iterator{fs::path{KEYFERRY_SOURCE_DIR} / "appliance/gate"}) {
      if (entry.path().extension() != ".cpp") continue;
      const std::string text = to_string(read_file(entry.path(), 1U << 20));
      for (std::sregex_iterator found{text.begin(), text.end(), place}, end; found != end; ++found) points.push_back((*found)[1]);
    }
    return points;
  }

  std::array<crypto::SoftKey, 2> custodians_{crypto::SoftKey::generate(), crypto::SoftKey::generate()};
  PinSharing before_;
  std::string refused_;  // why the last opens() said no
};

TEST_F(GatePinChange, TheNewSharesOpenAndTheOldOnesDoNot) {
  change(old_shares());
  EXPECT_TRUE(opens(new_shares()));
  EXPECT_FALSE(opens(old_shares()));
  EXPECT_TRUE(opens(new_shares())) << "what was refused was not tried at the HSM";
  const PinSharingRecord record = read_pin_sharing(settings_file_);
  EXPECT_FALSE(record.next);
  EXPECT_EQ(state_.pin_sharing().set_id(), to_string(record.current->set_id));
  v1::LogLeaf leaf;
  ASSERT_TRUE(leaf.ParseFromString(to_string(ledger_.log.back())));
  EXPECT_EQ(leaf.pin_changed().set_before(), to_string(before_.set_id));
  EXPECT_EQ(leaf.pin_changed().custodians_size(), 2);
}

TEST_F(GatePinChange, CanBeDoneAgainWithTheNewSoShares) {
  change(old_shares());
  GateOptions with = options();
  with.share_files = new_shares();
  for (const unsigned number : {1U, 2U}) with.share_files.push_back(new_share(ShareKind::SoPin, number));
  with.new_pin_shares = "2/2";
  with.pin_share_folders = {store_.folder() / "newest"};
  with.custodians = {3, 2};
  GateClient gate{with, ledger_};
  ASSERT_TRUE(open(gate).initialized());
  run(gate, change_plan({3, 2}));
  EXPECT_FALSE(opens(new_shares()));
}

TEST_F(GatePinChange, RefusesOtherPersonsAndNumbersThanThePlanAndThePlanThanTheRegistry) {
  const auto gate = gate_for_change(old_shares());
  ASSERT_TRUE(open(*gate).initialized());
  EXPECT_NE(std::string{refusal_of(*gate, run_request(change_plan({1, 2}))).what()}.find("person 1 is not enrolled as a custodian"),
            std::string::npos);
  EXPECT_NE(std::string{refusal_of(*gate, run_request(change_plan({3, 2}))).what()}.find("the plan says"), std::string::npos);
  const auto without = gate_with(old_shares());
  ASSERT_TRUE(open(*without).initialized());
  EXPECT_NE(std::string{refusal_of(*without, run_request(change_plan())).what()}.find("no new shares"), std::string::npos);
  EXPECT_TRUE(opens(old_shares()));
}

TEST_F(GatePinChange, CutAnywhereOneOfTheTwoSetsOpensAndTheSameGoesOn) {
  const fs::path aside = store_.folder() / "aside";
  fs::create_directory(aside);
  fs::copy(store_.tokens(), aside / "tokens", fs::copy_options::recursive);
  fs::copy(pin_sharing_file(settings_file_), aside / "pin-sharing");
  const MemoryLedger ledger = ledger_;
  const v1::HsmState state = state_;
  const std::vector<std::string> points = cut_points();
  EXPECT_GE(points.size(), 10U);
  for (const std::string& point : points) {
    SCOPED_TRACE(point);
    fs::remove_all(store_.tokens());
    fs::remove_all(store_.folder() / "new");
    fs::copy(aside / "tokens", store_.tokens(), fs::copy_options::recursive);
    fs::copy(aside / "pin-sharing", pin_sharing_file(settings_file_), fs::copy_options::overwrite_existing);
    ledger_ = ledger;
    state_ = state;
    setenv("KEYFERRY_CUT", point.c_str(), 1);
    EXPECT_THROW(change(old_shares()), Error);
    unsetenv("KEYFERRY_CUT");
    const bool old_open = opens(old_shares());
    ASSERT_TRUE(old_open || opens(new_shares())) << "neither set opens the HSM: " << refused_;
    if (read_pin_sharing(settings_file_).current == before_) {
      change(old_open ? old_shares() : new_shares());
    }
    EXPECT_TRUE(opens(new_shares()));
    EXPECT_FALSE(opens(old_shares()));
    EXPECT_FALSE(read_pin_sharing(settings_file_).next);
    EXPECT_EQ(state_.pin_sharing().total(), 2U);
  }
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
