// The sandwich against a chip of our own making, on a real store: what each answer of a chip leads
// to.
#include "station-agent/crew.h"

#include <gtest/gtest.h>

#include "station-agent/line_verify.h"
#include "tests/station-agent/soft_appliance.h"
#include "tests/support/temp_folder.h"

namespace keyferry::station::test {
namespace {

/// A chip that does as it is told, and lies where a test says so.
class FakeChip final : public Chip {
 public:
  struct State {
    SeSerial serial;
    std::optional<KeyHandle> held;
    std::vector<Bytes> chain;
    std::unique_ptr<crypto::SoftKey> key;
    int injections = 0;
    std::string lie;      // where
    std::string lose_at;  // ChipLost there
    bool locked = false;
    std::optional<crypto::PublicKey> boot_key = std::nullopt;
    std::vector<std::string> asked = {};  // at the end of the line, in order
  };

  explicit FakeChip(State& state, const SeStore& se) : state_{state}, se_{se} {}

  std::variant<ChipFacts, ChipRefusal> identify() override {
    return ChipFacts{state_.serial, "fake", true};
  }

  std::optional<Refusal> check(const token::Record&, const FirmwareImage*) override {
    if (state_.lie == "other-transport-key") return Refusal{"transport-key-wrong", "no"};
    return std::nullopt;
  }

  Asked ask(const KeyHandle& handle,
            const std::vector<KeyHandle>&,
            const token::Record&) override {
    if (state_.lie == "foreign") return {Holding::Foreign, "it holds a key"};
    if (state_.lie == "unsound" && state_.held) return {Holding::Unsound, "CKA_EXTRACTABLE"};
    return {state_.held == handle ? Holding::Key : Holding::Empty, ""};
  }

  std::optional<Refusal> inject(const KeyHandle& handle, const token::Record& record) override {
    if (state_.lose_at == "before-inject") throw ChipLost{"pulled"};
    if (state_.lie == "refuse") return Refusal{"blob-refused", "no"};
    ++state_.injections;
    state_.held = handle;
    state_.key = std::make_unique<crypto::SoftKey>(open_payload(se_, record));
    if (state_.lose_at == "after-inject") throw ChipLost{"pulled"};
    return std::nullopt;
  }

  std::optional<Refusal> write_chain(const KeyHandle&, const token::Record& record) override {
    state_.chain = {record.certificate};
    state_.chain.insert(state_.chain.end(), record.issuers.begin(), record.issuers.end());
    if (state_.lie == "chain") state_.chain.front()[state_.chain.front().size() - 1] ^= 1;
    return std::nullopt;
  }

  std::optional<Refusal> lock(const token::Record&) override {
    if (state_.lie == "lock") return Refusal{"not-locked", "no"};
    state_.locked = true;
    return std::nullopt;
  }

  std::variant<ReadChain, Refusal> read_chain(const KeyHandle&, const token::Record&) override {
    state_.asked.emplace_back("chain");
    if (state_.lie == "no-chain") return Refusal{"chain-unreadable", "no"};
    if (state_.lose_at == "chain") throw ChipLost{"pulled"};
    return ReadChain{state_.chain, state_.chain.size()};
  }

  std::variant<Bytes, Refusal> sign(const KeyHandle&,
                                    const token::Record&,
                                    ChipSigns kind,
                                    ByteView message) override {
    state_.asked.emplace_back(kind == ChipSigns::Receipt ? "receipt" : "challenge");
    if (kind == ChipSigns::Receipt && state_.lose_at == "receipt") throw ChipLost{"pulled"};
    if (kind == ChipSigns::Receipt && state_.lie == "receipt") return Bytes(64, 1);
    if (kind == ChipSigns::Challenge && state_.lie == "challenge") return Bytes(64, 1);
    if (kind == ChipSigns::Challenge && state_.lie == "no-answer")
      return Refusal{"sign-refused", "no"};
    return crypto::sign(*state_.key,
                        kind == ChipSigns::Receipt ? crypto::SignatureKind::Receipt
                                                   : crypto::SignatureKind::Challenge,
                        message);
  }

  std::variant<Bytes, Refusal> answer(const KeyHandle&,
                                      const crypto::PublicKey&,
                                      ByteView message) override {
    if (state_.lie == "answer") return Bytes(64, 1);
    if (!state_.key) return Refusal{"key-not-here", "no"};
    return crypto::sign(*state_.key, crypto::SignatureKind::Challenge, message);
  }

  FirmwareAnswer verify_firmware(const token::Record&, const FirmwareImage&) override {
    state_.asked.emplace_back("firmware");
    FirmwareAnswer answer{.check = token::FirmwareCheck::SecureBoot, .key = state_.boot_key};
    if (state_.lie == "firmware") answer.refusal = Refusal{"firmware-signature", "no"};
    return answer;
  }

  PromisedEvidence evidence(const token::Record&) override { return {}; }

  std::variant<Bytes, Refusal> attest(const token::Record&, ByteView) override {
    if (state_.lie == "attest") return Refusal{"not-attested", "no"};
    return Bytes{};
  }

 private:
  State& state_;
  const SeStore& se_;
};

class LaneSandwich : public testing::Test {
 protected:
  LaneSandwich() {
    station_ =
        std::make_unique<StationFacts>(StationFacts{token::station_id_of(signing_.public_key()),
                                                    "cm",
                                                    "factory-a",
                                                    token::Environment::Development,
                                                    signing_.public_key(),
                                                    agreement_.public_key()});
    store_.set_station(*station_);
    appliance_.adopt({"cm",
                      "factory-a",
                      token::Environment::Development,
                      signing_.public_key(),
                      agreement_.public_key(),
                      Bytes(16),
                      clock_.now()});
    for (int i = 0; i < 2; ++i) {
      ses_.push_back({"",
                      *SeSerial::from_bytes(as_bytes("se-" + std::to_string(i))),
                      SystemRandom{}.bytes(32)});
    }
  }

  void load(std::uint32_t target = 2, std::optional<Digest> firmware = std::nullopt) {
    SoftBatch batch = appliance_.make_batch(ses_, 2);
    batch.manifest.target_count = target;
    batch.manifest.firmware_sha256 = firmware;
    load(batch);
  }

  void load(const SoftBatch& batch) {
    appliance_.manifests.insert_or_assign(batch.manifest.batch_id, batch.manifest);
    store_.add_manifest(
        batch.manifest, SystemRandom{}.id<ContainerId>(), SystemRandom{}.id<Digest>());
    Store::SegmentLoad segment{store_, batch.manifest.batch_id, SegmentIndex{0}};
    for (const token::Record& record : batch.segments[0]) EXPECT_FALSE(segment.add(record));
    segment.commit(batch.sealed[0].id, batch.sealed[0].digest);
    batch_id_ = batch.manifest.batch_id;
  }

  DeviceOutcome handle(std::size_t se = 0) {
    states_.at(se).serial = ses_[se].serial;
    LanePlan plan{LaneNo{1}, token::Family::Pkcs11, 7, {}};
    Admission admission{store_};
    const LaneParts parts{*station_, store_, clock_, admission, [&](const SePlace&) {
                            return std::make_unique<FakeChip>(states_.at(se), ses_[se]);
                          }};
    Lane lane{plan, parts, firmware_ ? &*firmware_ : nullptr};
    return lane.handle(SePlace{{}, std::nullopt, device_serial_}).at(0);
  }

  /// Two lanes with one SE each.
  CrewReport run_both() {
    for (std::size_t se = 0; se < 2; ++se) states_.at(se).serial = ses_[se].serial;
    std::vector<LanePlan> plans;
    for (std::uint32_t number = 1; number <= 2; ++number) {
      SePlace place;
      place.device_serial = "DEV-" + std::to_string(number);
      plans.push_back({LaneNo{number}, token::Family::Pkcs11, 7, {place}});
    }
    Admission admission{store_};
    const LaneParts parts{*station_, store_, clock_, admission, [&](const SePlace& place) {
                            const std::size_t se = place.device_serial == "DEV-1" ? 0 : 1;
                            return std::make_unique<FakeChip>(states_.at(se), ses_[se]);
                          }};
    return run_lanes(plans, {nullptr, nullptr}, parts, [](const DeviceOutcome&) {}, [] {});
  }

  token::ReceiptCore last_core() {
    std::optional<token::ReceiptCore> last;
    for (const auto& entry : store_.entries(0, 1000)) {
      const auto leaf = std::get<token::StationLeaf>(token::parse_leaf(entry.leaf));
      if (const auto* core = std::get_if<token::CoreLeaf>(&leaf.leaf))
        last = std::get<token::ReceiptCore>(token::parse_core(core->core));
    }
    return last.value();
  }

  RecordState state(std::uint32_t number = 0) {
    return store_.record({batch_id_, RecordNo{number}})->state;
  }

  Sums sums() {
    OpenedReceipts receipts;
    receipts.entries = store_.entries(0, 1000);
    return appliance_.sums(receipts);
  }

  keyferry::test::TempFolder folder_;
  SystemClock clock_;
  Store store_{folder_ / "station.db", store::Role::Writer, clock_};
  crypto::SoftKey signing_ = crypto::SoftKey::generate();
  crypto::SoftKey agreement_ = crypto::SoftKey::generate();
  SoftAppliance appliance_;
  std::unique_ptr<StationFacts> station_;
  std::vector<SeStore> ses_;
  std::map<std::size_t, FakeChip::State> states_ = make_states();
  std::string device_serial_;
  std::optional<FirmwareImage> firmware_;
  BatchId batch_id_;

 private:
  static std::map<std::size_t, FakeChip::State> make_states() {
    std::map<std::size_t, FakeChip::State> states;
    for (std::size_t i = 0; i < 2; ++i) {
      states.emplace(
          i, FakeChip::State{*SeSerial::from_bytes(as_bytes("x")), {}, {}, nullptr, 0, {}, {}});
    }
    return states;
  }
};

TEST_F(LaneSandwich, EndsGreenWithASignedReceipt) {
  load();
  EXPECT_EQ(handle().result, "injected");
  EXPECT_EQ(state(), RecordState::Injected);
  EXPECT_EQ(sums(), (Sums{1, 0, 0, 0}));
  EXPECT_TRUE(store_.record({batch_id_, RecordNo{0}})->record.payload.empty())
      << "a settled record keeps no payload";
}

TEST_F(LaneSandwich, QuarantinesEachFailureOnceAndForGood) {
  const std::array<std::pair<const char*, const char*>, 10> kCases{
      {{"refuse", "blob-refused"},
       {"foreign", "se-not-empty"},
       {"unsound", "key-unsound"},
       {"chain", "chain-differs"},
       {"no-chain", "chain-unreadable"},
       {"challenge", "challenge-failed"},
       {"no-answer", "challenge-failed"},
       {"receipt", "receipt-not-signed"},
       {"lock", "not-locked"},
       {"attest", "not-attested"}}};
  for (const auto& [lie, reason] : kCases) {
    SCOPED_TRACE(lie);
    load();
    states_.at(0) = FakeChip::State{ses_[0].serial, {}, {}, nullptr, 0, lie, {}};
    const DeviceOutcome outcome = handle();
    EXPECT_EQ(outcome.result, "quarantined");
    EXPECT_EQ(outcome.reason, reason);
    EXPECT_EQ(state(), RecordState::Quarantined);
    states_.at(0).lie.clear();
    EXPECT_EQ(handle().colour, DeviceColour::Red) << "no second try on the line";
    for (SeStore& se : ses_) se.serial = *SeSerial::from_bytes(SystemRandom{}.bytes(8));
  }
  OpenedReceipts receipts;
  receipts.entries = store_.entries(0, 1000);
  std::size_t voided = 0;
  for (const auto& entry : receipts.entries) {
    const auto leaf = std::get<token::StationLeaf>(token::parse_leaf(entry.leaf));
    if (std::holds_alternative<token::VoidLeaf>(leaf.leaf)) ++voided;
  }
  EXPECT_EQ(voided, 2U) << "the core that the chip did not sign, and the one it did not attest";
}

TEST_F(LaneSandwich, AsksTheChipFirstAfterItWasPulled) {
  for (const char* where : {"before-inject", "after-inject", "receipt"}) {
    SCOPED_TRACE(where);
    load();
    states_.at(0) = FakeChip::State{ses_[0].serial, {}, {}, nullptr, 0, {}, where};
    EXPECT_EQ(handle().result, "lost");
    EXPECT_EQ(state(), RecordState::Doubtful);
    states_.at(0).lose_at.clear();
    EXPECT_EQ(handle().result, "injected");
    EXPECT_EQ(states_.at(0).injections, 1) << "the key was written once";
    for (SeStore& se : ses_) se.serial = *SeSerial::from_bytes(SystemRandom{}.bytes(8));
  }
}

TEST_F(LaneSandwich, QuarantinesAKeyInDoubtThatCannotProveItself) {
  load();
  states_.at(0).lose_at = "after-inject";
  EXPECT_EQ(handle().result, "lost");
  states_.at(0).lose_at.clear();
  states_.at(0).key = std::make_unique<crypto::SoftKey>(crypto::SoftKey::generate());
  EXPECT_EQ(handle().reason, "challenge-failed");
  EXPECT_EQ(state(), RecordState::Quarantined);
}

TEST_F(LaneSandwich, ARecordThatDoesNotFitTheChipIsRefusedAndKept) {
  load();
  states_.at(0).lie = "other-transport-key";
  const DeviceOutcome outcome = handle();
  EXPECT_EQ(outcome.result, "refused");
  EXPECT_EQ(outcome.reason, "transport-key-wrong");
  EXPECT_EQ(state(), RecordState::Loaded) << "nothing was noted, nothing was written";
  EXPECT_EQ(states_.at(0).injections, 0);
}

TEST_F(LaneSandwich, LocksTheChipBeforeItSigns) {
  load();
  EXPECT_EQ(handle().result, "injected");
  EXPECT_TRUE(states_.at(0).locked);
}

TEST_F(LaneSandwich, AsksForTheApprovedFirmware) {
  load(2, SystemRandom{}.id<Digest>());
  EXPECT_EQ(handle().reason, "firmware-missing");
  firmware_ = FirmwareImage{SystemRandom{}.id<Digest>(), Bytes(64)};
  EXPECT_EQ(handle().reason, "firmware-other");
  EXPECT_EQ(state(), RecordState::Loaded);
  firmware_->sha256 = *store_.batch(batch_id_)->firmware_sha256;
  EXPECT_EQ(handle().result, "injected");
  EXPECT_EQ(last_core().verdicts.firmware, token::Verdict::Pass);
  states_.at(1).lie = "firmware";
  EXPECT_EQ(handle(1).reason, "firmware-signature");
  EXPECT_EQ(last_core().verdicts.firmware, token::Verdict::Fail);
  EXPECT_EQ(state(1), RecordState::Quarantined);
}

TEST_F(LaneSandwich, ChecksInOrderAndNothingMoreOnceOneFailed) {
  using Asked = std::vector<std::string>;
  const std::array<std::pair<const char*, Asked>, 4> kCases{
      {{"", {"chain", "challenge", "firmware", "receipt"}},
       {"chain", {"chain"}},
       {"challenge", {"chain", "challenge"}},
       {"firmware", {"chain", "challenge", "firmware"}}}};
  firmware_ = FirmwareImage{SystemRandom{}.id<Digest>(), Bytes(64)};
  for (const auto& [lie, asked] : kCases) {
    SCOPED_TRACE(lie);
    load(2, firmware_->sha256);
    states_.at(0) = FakeChip::State{ses_[0].serial, {}, {}, nullptr, 0, lie, {}};
    EXPECT_EQ(handle().result, *lie == '\0' ? "injected" : "quarantined");
    EXPECT_EQ(states_.at(0).asked, asked);
    for (SeStore& se : ses_) se.serial = *SeSerial::from_bytes(SystemRandom{}.bytes(8));
  }
}

TEST_F(LaneSandwich, VerifiesForTheTimeOfThePlansPolicy) {
  SoftBatch batch = appliance_.make_batch(ses_, 2);
  // The certificates are valid from 2024 on, the authority since ten days ago.
  batch.manifest.line_checks->chain_time = token::ChainTime::Issuing;
  batch.manifest.line_checks->issuing = UtcMillis{clock_.now().value - 20LL * 86'400'000};
  load(batch);
  const DeviceOutcome early = handle();
  EXPECT_EQ(early.reason, "record-chain") << "by the clock it would be valid";
  EXPECT_EQ(state(), RecordState::Loaded);
  for (SeStore& se : ses_) se.serial = *SeSerial::from_bytes(SystemRandom{}.bytes(8));
  batch = appliance_.make_batch(ses_, 2);
  batch.manifest.line_checks->chain_time = token::ChainTime::Issuing;
  batch.manifest.line_checks->issuing = UtcMillis{clock_.now().value - 86'400'000};
  load(batch);
  EXPECT_EQ(handle().result, "injected");
  EXPECT_EQ(last_core().proof->verified_at, batch.manifest.line_checks->issuing);
}

TEST_F(LaneSandwich, AllowsTheClockToBeWrongBySoMuchAsThePlanSays) {
  const std::int64_t ten_days = 10LL * 86'400;
  for (const std::uint32_t skew : {0U, 7U * 86'400}) {
    SCOPED_TRACE(skew);
    SoftBatch batch = appliance_.make_batch(ses_, 2);
    batch.manifest.line_checks->clock_skew_s = skew;
    load(batch);
    const UtcMillis early{clock_.now().value - (ten_days + 5 * 86'400) * 1000};  // 5 days too early
    const auto chain =
        verify_chain_of(*store_.batch(batch_id_), chain_of(batch.segments[0][0]), early);
    EXPECT_EQ(std::holds_alternative<x509::ChainFacts>(chain.result), skew != 0);
    EXPECT_EQ(chain.at.value, early.value + (skew == 0 ? 0 : skew * 1000LL));
    for (SeStore& se : ses_) se.serial = *SeSerial::from_bytes(SystemRandom{}.bytes(8));
  }
}

TEST_F(LaneSandwich, LanesAtTheSameTimeDoNotPassTheTarget) {
  for (int round = 0; round < 20; ++round) {
    load(1);
    for (std::size_t se = 0; se < 2; ++se) {
      states_.at(se) = FakeChip::State{ses_[se].serial, {}, {}, nullptr, 0, {}, {}};
    }
    const auto report = run_both();
    std::map<std::string, int> results;
    for (const auto& lane : report.outcomes) ++results[lane.at(0).result];
    EXPECT_EQ(results["injected"], 1) << "round " << round;
    EXPECT_EQ(results["spare"], 1) << "round " << round;
    for (SeStore& se : ses_) se.serial = *SeSerial::from_bytes(SystemRandom{}.bytes(8));
  }
}

TEST_F(LaneSandwich, ALaneThatFailsDoesNotStopTheOthers) {
  load();
  states_.at(0).lose_at = "before-inject";
  const auto report = run_both();
  EXPECT_EQ(report.outcomes[0].at(0).result, "lost");
  EXPECT_EQ(report.outcomes[1].at(0).result, "injected");
  EXPECT_FALSE(report.stopped);
}

TEST_F(LaneSandwich, StopsAtTheTargetAndLeavesSpares) {
  load(1);
  EXPECT_EQ(handle(0).result, "injected");
  const DeviceOutcome spare = handle(1);
  EXPECT_EQ(spare.result, "spare");
  EXPECT_EQ(spare.colour, DeviceColour::Yellow);
  EXPECT_EQ(state(1), RecordState::Loaded);
}

TEST_F(LaneSandwich, BindsTheDeviceSerialOfTheLine) {
  load();
  device_serial_ = "DEV-77";
  EXPECT_EQ(handle().result, "injected");
  for (const auto& entry : store_.entries(0, 1000)) {
    const auto leaf = std::get<token::StationLeaf>(token::parse_leaf(entry.leaf));
    if (const auto* core = std::get_if<token::CoreLeaf>(&leaf.leaf)) {
      EXPECT_EQ(std::get<token::ReceiptCore>(token::parse_core(core->core)).device_serial,
                "DEV-77");
    }
  }
}

TEST_F(LaneSandwich, ShowsNothingGreenForASerialNumberAlone) {
  load();
  EXPECT_EQ(handle().result, "injected");
  EXPECT_EQ(handle().result, "already-injected");
  states_.at(0).lie = "answer";
  const DeviceOutcome copy = handle();
  EXPECT_EQ(copy.colour, DeviceColour::Red);
  EXPECT_EQ(copy.reason, "key-not-here");
  EXPECT_EQ(state(), RecordState::Injected) << "its receipt stands";
}

TEST_F(LaneSandwich, LeavesAnSeAloneThatAnotherLaneHas) {
  load();
  Admission admission{store_};
  const LaneParts parts{*station_, store_, clock_, admission, [&](const SePlace&) {
                          return std::make_unique<FakeChip>(states_.at(0), ses_[0]);
                        }};
  states_.at(0).serial = ses_[0].serial;
  LanePlan plan{LaneNo{2}, token::Family::Pkcs11, 7, {}};
  Lane lane{plan, parts, nullptr};
  {
    const auto claim = admission.claim(token::Family::Pkcs11, ses_[0].serial);
    ASSERT_TRUE(claim);
    EXPECT_FALSE(admission.claim(token::Family::Pkcs11, ses_[0].serial));
    EXPECT_TRUE(admission.claim(token::Family::Pkcs11, ses_[1].serial));
    const DeviceOutcome refused = lane.handle(SePlace{{}, std::nullopt, device_serial_}).at(0);
    EXPECT_EQ(refused.result, "refused");
    EXPECT_EQ(refused.reason, "se-in-another-lane");
  }
  const DeviceOutcome after = lane.handle(SePlace{{}, std::nullopt, device_serial_}).at(0);
  EXPECT_EQ(after.result, "injected") << after.reason << ": " << after.text;
}

TEST_F(LaneSandwich, RefusesAnSeWithoutARecordAndChangesNothing) {
  load();
  ses_[0].serial = *SeSerial::from_bytes(as_bytes("stranger"));
  const DeviceOutcome outcome = handle();
  EXPECT_EQ(outcome.reason, "se-unknown");
  EXPECT_EQ(store_.counts(batch_id_).of(RecordState::Loaded), 2U);
}

TEST_F(LaneSandwich, TheStoreRefusesStepsThatTheTableDoesNotHave) {
  load();
  const RecordKey key{batch_id_, RecordNo{0}};
  EXPECT_THROW(store_.append_core(key, Bytes(10)), Error);
  EXPECT_THROW(store_.store_signature(key, Bytes(64), {}, {}), Error);
  EXPECT_THROW(store_.note_cut_off(key, {}, "x"), Error);
  store_.note_intent(key, {});
  EXPECT_THROW(store_.note_intent(key, {}), Error);
  EXPECT_THROW(store_.give_back(key, Bytes(10), {}), Error);
}

}  // namespace
}  // namespace keyferry::station::test
