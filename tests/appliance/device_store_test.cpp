// One device in the ledger: what may be done about a record that has ended, and what each act leaves behind.
#include "appliance/ledger/device_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "appliance/ledger/crl_store.h"
#include "appliance/ledger/device_history.h"
#include "appliance/ledger/ends_store.h"
#include "appliance/ledger/fleet_store.h"
#include "tests/appliance/ferry_fixture.h"

namespace keyferry::appliance {
namespace {

using token::Outcome;

/// Record 0 is injected, 1 quarantined, 2 returned, 3 outstanding; SE "spare-1" is in the inventory for no device.
class Devices : public FerryTest {
 protected:
  Devices() {
    register_end_actions(*ledger_);
    register_crl_actions(*ledger_);
    register_device_actions(*ledger_);
    station_log_ = {entry(core(0)), entry(core(1, Outcome::Quarantined)), entry(core(2, Outcome::Returned))};
    expect_imported({.entries = station_log_});
    exec(
        "INSERT INTO se (family, se_serial, key_name, part, lot, device_serial, transport_kind, transport_name, "
        "transport_data, import_id, line) SELECT family, x'73706172652d31', key_name, part, lot, '', transport_kind, "
        "transport_name, transport_data, import_id, 99 FROM se WHERE se_id = 1");
  }

  void apply(const Action& action) {
    store::WriteTransaction transaction{ledger_->database()};
    ledger_->apply_in_transaction(action);
    transaction.commit();
  }

  [[nodiscard]] DeviceStore devices() { return DeviceStore{*ledger_}; }

  [[nodiscard]] DeviceRow row(std::uint32_t record) { return *devices().record(batch_, RecordNo{record}); }

  [[nodiscard]] DeviceRecord bound(std::uint32_t record) {
    const DeviceRow found = row(record);
    return {.batch = batch_,
            .record_no = record,
            .family = found.family,
            .se_serial = to_bytes(found.se_serial.bytes()),
            .certificate_serial = found.certificate_serial,
            .device_serial = found.device_serial.empty() ? "dev-x" : found.device_serial};
  }

  template <typename Detail>
  static Plan plan_of(Operation operation, Detail detail) {
    Plan draft;
    draft.operation = operation;
    draft.number = 1;
    draft.expires = UtcMillis{1'900'000'000'000};
    draft.detail = std::move(detail);
    return std::get<Plan>(parse_plan(as_bytes(plan_text(draft))));
  }

  [[nodiscard]] Plan revoke(std::uint32_t record) {
    return plan_of(Operation::DeviceRevoke, DeviceRevokePlan{bound(record), "privilegeWithdrawn", "stolen"});
  }

  [[nodiscard]] Plan revoke_outstanding(std::uint32_t record) {
    return plan_of(Operation::DeviceRevoke, DeviceRevokePlan{bound(record), "privilegeWithdrawn", "stolen", true});
  }

  [[nodiscard]] Plan scrap(std::uint32_t record) {
    return plan_of(Operation::DeviceScrap,
                   DeviceScrapPlan{.record = bound(record), .by = 1, .witness = 2, .reason = "crushed"});
  }

  [[nodiscard]] Plan rework(std::uint32_t record, std::string_view se = "spare-1") {
    return plan_of(Operation::DeviceRework,
                   DeviceReworkPlan{bound(record), se::Family::Pkcs11, to_bytes(as_bytes(se)), "failed"});
  }

  [[nodiscard]] Plan rma(std::uint32_t record) {
    return plan_of(Operation::DeviceRma, DeviceRmaPlan{bound(record), "R-1", "superseded", "no network"});
  }

  [[nodiscard]] std::string refused(const Plan& plan) {
    const auto refusal = devices().refusal(plan, kNow);
    return refusal ? refusal->reason : "";
  }

  void run(const Plan& plan) {
    EXPECT_EQ(refused(plan), "");
    apply(*device_action(plan, kNow));
  }

  std::vector<token::ReceiptEntry> station_log_;

  /// Reason that the next CRL gives for a record's certificate.
  [[nodiscard]] std::optional<int> crl_reason(std::uint32_t record) {
    const Bytes entries = CrlStore{*ledger_}.next_entries("ca");
    for (std::size_t at = 0; at < entries.size(); at += 25) {
      if (equal(ByteView{entries}.subspan(at, 16), records_[record].certificate_serial)) return entries[at + 24];
    }
    return std::nullopt;
  }
};

TEST_F(Devices, ARevokedOneIsOnTheNextCrlWithItsReasonAndStaysInjected) {
  EXPECT_EQ(crl_reason(0), std::nullopt);
  run(revoke(0));
  EXPECT_EQ(crl_reason(0), 9);
  EXPECT_EQ(refused(revoke(0)), "certificate-revoked");
  EXPECT_EQ(sums().injected, 1U);
  EXPECT_TRUE(agrees());
  EXPECT_EQ(row(0).state, RecordState::Injected);
}

TEST_F(Devices, WhatIsOnItsWayToACrlAnywayIsNotRevokedAgain) {
  EXPECT_EQ(refused(revoke(1)), "certificate-revoked");
  EXPECT_EQ(refused(revoke(2)), "certificate-revoked");
  EXPECT_EQ(refused(revoke(3)), "record-outstanding");
}

TEST_F(Devices, AnOutstandingRecordEndsAsRevokedAndIsOnTheNextCrl) {
  const Sums before = sums();
  ASSERT_EQ(before.outstanding, 1U);
  run(revoke_outstanding(3));
  EXPECT_EQ(row(3).state, RecordState::Revoked);
  EXPECT_EQ(crl_reason(3), 9) << "what officers said, not cessationOfOperation as for a closed batch";
  EXPECT_EQ(sums().revoked, before.revoked + 1);
  EXPECT_EQ(sums().outstanding, 0U);
  EXPECT_TRUE(agrees());
  EXPECT_EQ(refused(revoke_outstanding(3)), "record-state");
  EXPECT_EQ(refused(revoke(3)), "certificate-revoked");
}

TEST_F(Devices, WithTheLastOutstandingRecordItsBatchIsClosed) {
  ASSERT_EQ(BatchStore{*ledger_}.find(batch_)->state, BatchState::Reconciling);
  run(revoke_outstanding(3));
  EXPECT_EQ(BatchStore{*ledger_}.find(batch_)->state, BatchState::Closed);
}

TEST_F(Devices, AReceiptForARecordThatOfficersRevokedIsAnIncident) {
  run(revoke_outstanding(3));
  station_log_.push_back(entry(core(3)));
  expect_imported({.entries = station_log_});
  EXPECT_EQ(row(3).state, RecordState::Revoked);
  const auto incidents = ReceiptStore{*ledger_}.incidents();
  ASSERT_EQ(incidents.size(), 1U);
  EXPECT_EQ(incidents.front().kind, "receipt-after-end");
  EXPECT_TRUE(agrees());
}

TEST_F(Devices, NoRecordIsEndedWhileAnImportIsUnfinished) {
  station_log_.push_back(entry(core(3)));
  ASSERT_EQ(stage({.entries = station_log_}), "");
  EXPECT_EQ(refused(revoke_outstanding(3)), "import-unfinished");
  carry_out();
  EXPECT_EQ(refused(revoke_outstanding(3)), "record-state");
  EXPECT_EQ(refused(revoke(3)), "");
}

/// Between approval and run its receipt may have come: then it is a device in use, and another plan.
TEST_F(Devices, APlanForAnOutstandingRecordIsForNoOther) {
  EXPECT_EQ(refused(revoke_outstanding(0)), "record-state");
  EXPECT_EQ(refused(revoke_outstanding(1)), "record-state");
}

TEST_F(Devices, TheSeOfARevokedRecordMayBeReleasedScrappedOrReworked) {
  run(revoke_outstanding(3));
  EXPECT_EQ(refused(scrap(3)), "");
  EXPECT_EQ(refused(rework(3)), "");
  EXPECT_EQ(EndsStore{*ledger_}.releasable(batch_, RecordNo{3})->state, RecordState::Revoked);
}

/// What was revoked one by one is not released with the station's other records.
TEST_F(Devices, ARetiredStationsRevokedRecordGetsNoNewGenerationOfItself) {
  run(revoke_outstanding(3));
  exec("UPDATE batch SET state = 'reconciling', closed_ms = NULL");  // as with others outstanding
  apply(station_retired_action(StationRetirePlan{station_id_, 1, 3, {}, "burnt"}, kNow));
  EXPECT_FALSE(row(3).released);
}

TEST_F(Devices, APlanForAnotherCertificateSeOrDeviceIsRefused) {
  DeviceRecord other = bound(0);
  other.certificate_serial = bound(1).certificate_serial;
  EXPECT_EQ(refused(plan_of(Operation::DeviceRevoke, DeviceRevokePlan{other, "superseded", "x"})), "record-changed");
  other = bound(0);
  other.se_serial = bound(1).se_serial;
  EXPECT_EQ(refused(plan_of(Operation::DeviceRevoke, DeviceRevokePlan{other, "superseded", "x"})), "record-changed");
  other = bound(0);
  other.device_serial = "dev-other";
  EXPECT_EQ(refused(plan_of(Operation::DeviceRevoke, DeviceRevokePlan{other, "superseded", "x"})), "record-changed");
  other = bound(0);
  other.record_no = 77;
  EXPECT_EQ(refused(plan_of(Operation::DeviceRevoke, DeviceRevokePlan{other, "superseded", "x"})), "record-unknown");
}

TEST_F(Devices, AScrappedSeIsInNoListAndGetsNoRecord) {
  EXPECT_EQ(refused(scrap(0)), "record-state");
  EXPECT_EQ(devices().waiting(std::nullopt, 1000).size(), 2U);
  run(scrap(1));
  EXPECT_EQ(refused(scrap(1)), "se-scrapped");
  EXPECT_TRUE(row(1).scrapped && row(1).in_hand);
  EXPECT_EQ(scrapped_in(*ledger_, batch_), 1U);
  EXPECT_EQ(EndsStore{*ledger_}.in_hand(batch_), 1U);
  EXPECT_TRUE(EndsStore{*ledger_}.releasable(batch_, RecordNo{1})->scrapped);
  EXPECT_EQ(devices().waiting(batch_, 1000).size(), 1U);
  EXPECT_EQ(crl_reason(1), 1) << "as its quarantine said";
  EXPECT_TRUE(agrees());
  // Whatever is tried behind the program's back:
  exec("UPDATE se SET generation = generation + 1");
  exec("UPDATE record SET revoked = 1 WHERE record_no < 3");
  InventoryStore inventory{*ledger_};
  EXPECT_TRUE(std::holds_alternative<InventoryStore::MadeList>(inventory.make_list({.count = 3}, kNow)));
  EXPECT_TRUE(std::holds_alternative<Refusal>(inventory.make_list({.count = 4}, kNow)));
  const auto made_again = [&](std::uint32_t of, std::uint32_t segment) {
    RecordRow row = records_[of];
    row.record_no = RecordNo{10 + segment};
    row.generation = 9;
    row.public_key = to_bytes(crypto::SoftKey::generate().public_key().point());
    row.certificate_serial = random_.bytes(16);
    const SealedPart part{.index = SegmentIndex{segment}, .count = 1, .container = random_.id<ContainerId>(),
                          .digest = random_.id<Digest>(), .body_size_bytes = 1};
    try {
      static_cast<void>(BatchStore{*ledger_}.prepare(batch_, part, {row}, {to_bytes(as_bytes("x"))}));
    } catch (const Error& error) {
      return std::string{error.what()};
    }
    return std::string{"made"};
  };
  EXPECT_NE(made_again(1, 1).find("was scrapped"), std::string::npos) << made_again(1, 1);
  EXPECT_EQ(made_again(2, 2), "made");
}

TEST_F(Devices, AReworkMovesTheDeviceToTheOtherSe) {
  run(rework(1));
  EXPECT_EQ(refused(rework(1)), "se-replaced");
  EXPECT_TRUE(row(1).replaced);
  EXPECT_EQ(count("se", "se_serial = x'73706172652d31' AND device_serial = '" + bound(1).device_serial + "'"), 1);
  EXPECT_TRUE(EndsStore{*ledger_}.releasable(batch_, RecordNo{1})->replaced);
  EXPECT_EQ(refused(rework(0)), "device-serial") << "the other SE is for a device by now";
  const DeviceThread thread = device_thread(*ledger_, {row(1)});
  ASSERT_EQ(thread.events.size(), 3U);
  EXPECT_EQ(thread.events.back().event, "reworked");
}

TEST_F(Devices, AReworkOfWhatWasInjectedSupersedesItsCertificate) {
  run(rework(0));
  EXPECT_EQ(crl_reason(0), 4);
}

TEST_F(Devices, AReworkWantsAnSeThatIsFree) {
  EXPECT_EQ(refused(rework(1, "no-such-se")), "se-unknown");
  exec("UPDATE se SET device_serial = ''");
  const Bytes taken = bound(0).se_serial;
  EXPECT_EQ(refused(rework(1, to_string(taken))), "se-in-use");
  run(scrap(2));
  EXPECT_EQ(refused(rework(1, to_string(bound(2).se_serial))), "se-scrapped");
}

TEST_F(Devices, AReworkIsRefusedWhileAThirdSeOfTheInventoryIsForTheDevice) {
  const std::string device = bound(1).device_serial;
  exec("UPDATE se SET device_serial = '" + device + "' WHERE se_id = 4");
  EXPECT_EQ(refused(rework(1)), "device-serial");
  exec("UPDATE se SET key_name = 'other' WHERE se_id = 4");
  EXPECT_EQ(refused(rework(1)), "") << "another key name is another matter";
  exec("UPDATE se SET key_name = 'dac', device_replaced = 1 WHERE se_id = 4");
  EXPECT_EQ(refused(rework(1)), "");
}

TEST_F(Devices, AReworkIsRefusedWhileTheOldSeIsInAnApprovedBatch) {
  exec("UPDATE batch SET state = 'generating'");
  EXPECT_EQ(refused(rework(1)), "se-reserved");
  exec("UPDATE batch SET state = 'out'");
  EXPECT_EQ(refused(rework(1)), "");
}

TEST_F(Devices, OneThatCameBackIsRevokedOnceAndMayBeScrapped) {
  EXPECT_EQ(refused(rma(1)), "record-state");
  run(rma(0));
  EXPECT_EQ(refused(rma(0)), "rma-open");
  EXPECT_EQ(crl_reason(0), 4);
  run(scrap(0));
  EXPECT_EQ(crl_reason(0), 4) << "the first reason stays";
  EXPECT_TRUE(agrees());
}

TEST_F(Devices, AnEarlierRevocationKeepsItsReasonWhenTheDeviceComesBack) {
  run(revoke(0));
  run(rma(0));
  EXPECT_EQ(crl_reason(0), 9);
  EXPECT_EQ(count("device_act", "crl_reason IS NOT NULL"), 1);
}

TEST_F(Devices, AreFoundByEachOfTheirNames) {
  const DeviceRow expected = row(0);
  EXPECT_EQ(devices().of_certificate(expected.certificate_serial)->record_no, 0U);
  EXPECT_EQ(devices().of_se(std::nullopt, expected.se_serial).size(), 1U);
  EXPECT_EQ(devices().of_se(se::Family::Atecc608, expected.se_serial).size(), 0U);
  EXPECT_EQ(devices().of_device(expected.device_serial).size(), 1U);
  EXPECT_FALSE(devices().of_certificate(Bytes(16, 1)));
  EXPECT_TRUE(devices().of_device("").empty());
}

TEST_F(Devices, OnlyThoseThatPassedAreForTheFleet) {
  std::vector<std::uint32_t> listed;
  const auto visit = [&](const FleetDevice& device) { listed.push_back(device.core.record_no.value); };
  FleetStore fleet{*ledger_};
  EXPECT_EQ(fleet.visit(batch_, std::nullopt, visit).devices, 1U);
  EXPECT_EQ(listed, std::vector<std::uint32_t>{0});
  EXPECT_EQ(fleet.visit(batch_, UtcMillis{kNow.value + 1'000'000'000}, visit).devices, 0U);
  run(revoke(0));
  const FleetCounts after = fleet.visit(batch_, std::nullopt, visit);
  EXPECT_EQ((std::pair{after.devices, after.revoked}), (std::pair<std::uint64_t, std::uint64_t>{0, 1}));
}

TEST_F(Devices, ADeviceSerialThatTheImportRefusedIsNotInTheFleet) {
  token::ReceiptCore doubled = core(3);
  doubled.device_serial = "dev-0";
  expect_imported({.entries = {entry(core(0)), entry(core(1, Outcome::Quarantined)), entry(core(2, Outcome::Returned)),
                               entry(doubled)}});
  EXPECT_EQ(count("incident", "kind = 'device-serial-doubled'"), 1);
  std::vector<std::pair<std::uint32_t, std::string>> listed;
  FleetStore{*ledger_}.visit(batch_, std::nullopt, [&](const FleetDevice& device) {
    listed.emplace_back(device.core.record_no.value, device.device_serial);
  });
  EXPECT_EQ(listed, (std::vector<std::pair<std::uint32_t, std::string>>{{0, "dev-0"}, {3, ""}}));
}

TEST_F(Devices, OneWhoseVerdictsWereNotRunIsNotInTheFleet) {
  using token::Verdict;
  const std::vector<std::pair<token::Verdicts, std::uint64_t>> cases{
      {{Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::NotApplicable}, 1},
      {{Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Pass}, 1},
      {{Verdict::NotRun, Verdict::Pass, Verdict::Pass, Verdict::Pass}, 0},
      {{Verdict::Pass, Verdict::NotApplicable, Verdict::Pass, Verdict::Pass}, 0},
      {{Verdict::Pass, Verdict::Pass, Verdict::NotRun, Verdict::Pass}, 0},
      {{Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::NotRun}, 0},
      {{Verdict::Pass, Verdict::Pass, Verdict::Pass, Verdict::Fail}, 0}};
  exec("DROP TRIGGER receipt_is_final");
  for (const auto& [verdicts, devices] : cases) {
    token::ReceiptCore changed = core(0);
    changed.verdicts = verdicts;
    exec("UPDATE receipt SET core = x'" + to_hex(token::serialise_core(changed)) + "' WHERE record_no = 0");
    const FleetCounts counts = FleetStore{*ledger_}.visit(batch_, std::nullopt, [](const FleetDevice&) {});
    EXPECT_EQ(counts.devices, devices);
    EXPECT_EQ(counts.failed, 1 - devices);
  }
}

TEST_F(Devices, WhatIsDueIsCountedByReason) {
  run(revoke(0));
  std::vector<std::pair<int, std::uint64_t>> found;
  for (const DueEntries& due : CrlStore{*ledger_}.due()) found.emplace_back(due.reason, due.count);
  EXPECT_EQ(found, (std::vector<std::pair<int, std::uint64_t>>{{1, 1}, {5, 1}, {9, 1}}));
}

TEST_F(Devices, TheSerialShownIsTheOneThatTheOutsideCaGave) {
  EXPECT_EQ(row(1).shown_serial(), row(1).certificate_serial);
  EXPECT_FALSE(row(1).outside());
  exec("UPDATE record SET outside_serial = x'0102030405' WHERE record_no = 1");
  const Bytes given{1, 2, 3, 4, 5};
  EXPECT_EQ(row(1).shown_serial(), given);
  EXPECT_TRUE(row(1).outside());
  EXPECT_NE(row(1).certificate_serial, given) << "plans bind what stands for it";
  const auto refusal = devices().refusal(revoke(1), kNow);
  EXPECT_EQ(refusal->text.find("the outside CA ca must revoke certificate 0102030405") == std::string::npos, false);
  const DeviceThread thread = device_thread(*ledger_, {row(1)});
  const auto& fields = thread.events.front().fields;
  EXPECT_NE(std::ranges::find(fields, std::pair<std::string, std::string>{"certificate_serial", "0102030405"}),
            fields.end());
}

TEST_F(Devices, WhatIsDueIsNamedOneByOneWithTheSerialOfItsCertificate) {
  exec("UPDATE record SET outside_serial = x'0102030405' WHERE record_no = 1");
  run(revoke(0));
  std::vector<std::tuple<std::uint32_t, std::string, int>> found;
  CrlStore{*ledger_}.visit_due("ca", [&](const DueRecord& due) {
    EXPECT_EQ(due.batch, batch_);
    found.emplace_back(due.record_no, to_hex(due.serial), due.reason);
  });
  EXPECT_EQ(found, (std::vector<std::tuple<std::uint32_t, std::string, int>>{
                       {0, to_hex(row(0).certificate_serial), 9},
                       {1, "0102030405", 1},
                       {2, to_hex(row(2).certificate_serial), 5}}));
  CrlStore{*ledger_}.visit_due("other", [](const DueRecord&) { ADD_FAILURE(); });
}

TEST_F(Devices, WhatWaitsIsListedUpToALimitAndCountedInFull) {
  EXPECT_EQ(devices().waiting(std::nullopt, 1).size(), 1U);
  EXPECT_EQ(devices().waiting(batch_, 1).front().record_no, 1U);
  EXPECT_EQ(devices().count_waiting(std::nullopt), 2U);
  EXPECT_EQ(devices().count_waiting(batch_), 2U);
  run(scrap(1));
  EXPECT_EQ(devices().count_waiting(batch_), 1U);
  EXPECT_EQ(devices().count_waiting(*BatchId::from_bytes(Bytes(16, 0xEE))), 0U);
}

TEST_F(Devices, TheSameActIsKnownAgainAndOneWithOtherArgumentsIsNot) {
  const auto same = [&](const char* kind, std::uint32_t record, const auto& plan) {
    const auto act = devices().act(row(record), kind);
    return act && same_act(*act, plan);
  };
  const DeviceRevokePlan revoked{bound(0), "privilegeWithdrawn", "stolen"};
  EXPECT_FALSE(devices().act(row(0), "revoked"));
  run(plan_of(Operation::DeviceRevoke, revoked));
  EXPECT_TRUE(same("revoked", 0, revoked));
  EXPECT_FALSE(same("revoked", 0, DeviceRevokePlan{bound(0), "keyCompromise", "stolen"}));

  const DeviceRmaPlan back{bound(0), "R-1", "superseded", "no network"};
  run(plan_of(Operation::DeviceRma, back));
  EXPECT_TRUE(same("rma", 0, back)) << "its certificate was revoked before: no reason is kept with this act";
  EXPECT_FALSE(same("rma", 0, DeviceRmaPlan{bound(0), "R-2", "superseded", "no network"}));

  const DeviceReworkPlan reworked{bound(1), se::Family::Pkcs11, to_bytes(as_bytes("spare-1")), "failed"};
  run(plan_of(Operation::DeviceRework, reworked));
  EXPECT_TRUE(same("reworked", 1, reworked));
  EXPECT_FALSE(same("reworked", 1,
                    DeviceReworkPlan{bound(1), se::Family::Pkcs11, to_bytes(as_bytes("spare-2")), "failed"}));
  EXPECT_FALSE(same("reworked", 1,
                    DeviceReworkPlan{bound(1), se::Family::Atecc608, to_bytes(as_bytes("spare-1")), "failed"}));

  const DeviceScrapPlan scrapped{.record = bound(2), .by = 1, .witness = 2, .reason = "crushed"};
  run(plan_of(Operation::DeviceScrap, scrapped));
  EXPECT_TRUE(same("scrapped", 2, scrapped));
  DeviceScrapPlan other = scrapped;
  other.witness = 3;
  EXPECT_FALSE(same("scrapped", 2, other));
  other = scrapped;
  other.evidence_sha256 = Digest{};
  EXPECT_FALSE(same("scrapped", 2, other));
}

TEST_F(Devices, AnActIsNeitherEditedNorTakenBack) {
  run(revoke(0));
  EXPECT_THROW(exec("UPDATE device_act SET reason = 'other'"), std::exception);
  EXPECT_THROW(exec("DELETE FROM device_act"), std::exception);
  EXPECT_THROW(apply(*device_action(revoke(0), kNow)), std::exception) << "once";
  EXPECT_FALSE(device_action(plan_of(Operation::CaRetire, CaRetirePlan{"ca", "x"}), kNow));
}

}  // namespace
}  // namespace keyferry::appliance
