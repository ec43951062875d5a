// Receipts that come home: what is accepted, what each outcome does, how a log is extended, and
// that the sums agree.
#include <gtest/gtest.h>

#include "tests/appliance/ferry_fixture.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using token::Outcome;

TEST_F(FerryTest, NothingHasComeHomeAtFirst) {
  EXPECT_EQ(sums(), (Sums{.issued = 4, .outstanding = 4}));
  EXPECT_TRUE(agrees());
}

TEST_F(FerryTest, EachOutcomeEndsItsRecord) {
  expect_imported({.entries = {event("log.opened"),
                               entry(core(0)),
                               entry(core(1, Outcome::Quarantined)),
                               entry(core(2, Outcome::Returned))}});
  EXPECT_EQ(sums(),
            (Sums{.issued = 4, .injected = 1, .quarantined = 1, .returned = 1, .outstanding = 1}));
  EXPECT_TRUE(agrees());
  EXPECT_EQ(batches().find(batch_)->state, BatchState::Reconciling);
}

TEST_F(FerryTest, WhatIsNotProvedToBeInItsSeGoesOnTheCrl) {
  expect_imported({.entries = {entry(core(0)),
                               entry(core(1, Outcome::Quarantined)),
                               entry(core(2, Outcome::Returned))}});
  EXPECT_EQ(count("record", "crl_due = 1 AND record_no IN (1, 2)"), 2);
  EXPECT_EQ(count("record", "crl_due = 1"), 2);
}

TEST_F(FerryTest, ABatchIsClosedWhenNothingIsOutstanding) {
  std::vector<token::ReceiptEntry> entries;
  for (std::uint32_t i = 0; i < kRecords; ++i) entries.push_back(entry(core(i)));
  expect_imported({.entries = entries});
  EXPECT_EQ(batches().find(batch_)->state, BatchState::Closed);
  EXPECT_EQ(sums(), (Sums{.issued = 4, .injected = 4}));
  EXPECT_TRUE(agrees());
}

TEST_F(FerryTest, TheSumsAgreeAfterEveryPieceOfAnImport) {
  EXPECT_EQ(
      stage({.entries = {entry(core(0)), entry(core(1)), event("batch.loaded"), entry(core(2))}}),
      "");
  EXPECT_EQ(sums().outstanding, 4U);
  carry_out(1);
  EXPECT_EQ(sums().outstanding, 1U);
  EXPECT_EQ(count("receipt_staged"), 0);
}

TEST_F(FerryTest, TheSameFileTwiceChangesNothing) {
  const auto file = seal({.entries = {entry(core(0))}});
  EXPECT_EQ(stage(file), "");
  carry_out();
  EXPECT_EQ(stage(file), "known");
}

TEST_F(FerryTest, UnloadingAgainWithNothingNewIsNoIncident) {
  const std::vector<token::ReceiptEntry> log{entry(core(0)), entry(core(1, Outcome::Quarantined))};
  expect_imported({.entries = log});
  expect_imported({.entries = log});
  EXPECT_EQ(count("incident"), 0);
  EXPECT_EQ(sums().outstanding, 2U);
}

TEST_F(FerryTest, ALogMayBeExtendedWithOverlap) {
  std::vector<token::ReceiptEntry> log{event("log.opened"), entry(core(0))};
  expect_imported({.entries = log});
  log.push_back(entry(core(1)));
  log.push_back(entry(core(2)));
  expect_imported({.entries = log, .from = 1});
  EXPECT_EQ(sums().injected, 3U);
  EXPECT_EQ(count("incident"), 0);
  EXPECT_EQ(ReceiptStore{*ledger_}.station_log(station_id_)->frontier.size(), 4U);
}

TEST_F(FerryTest, ALogMayBeExtendedWithoutOverlap) {
  std::vector<token::ReceiptEntry> log{entry(core(0))};
  expect_imported({.entries = log});
  log.push_back(entry(core(1)));
  expect_imported({.entries = log, .from = 1});
  EXPECT_EQ(sums().injected, 2U);
}

TEST_F(FerryTest, AReceiptWithoutItsSignatureLeavesTheRecordOutstanding) {
  expect_imported({.entries = {unsigned_entry(core(0))}});
  EXPECT_EQ(state_of(0), "issued");
  EXPECT_TRUE(agrees());
}

TEST_F(FerryTest, AVoidedReceiptIsFollowedByTheOneThatCounts) {
  expect_imported(
      {.entries = {unsigned_entry(core(0)), void_of(0), entry(core(0, Outcome::Quarantined))}});
  EXPECT_EQ(state_of(0), "quarantined");
  EXPECT_EQ(count("incident"), 0);
}

TEST_F(FerryTest, AVoidMayComeOnALaterToken) {
  std::vector<token::ReceiptEntry> log{unsigned_entry(core(0))};
  expect_imported({.entries = log});
  log.push_back(void_of(0));
  log.push_back(entry(core(0, Outcome::Quarantined)));
  expect_imported({.entries = log, .from = 1});
  EXPECT_EQ(state_of(0), "quarantined");
}

TEST_F(FerryTest, ASignatureThatCameLateIsTakenFromTheOverlap) {
  std::vector<token::ReceiptEntry> log{unsigned_entry(core(0))};
  expect_imported({.entries = log});
  log[0] = entry(core(0));  // the same leaf, now with what the SE said
  expect_imported({.entries = log});
  EXPECT_EQ(state_of(0), "injected");
}

TEST_F(FerryTest, TheDeviceSerialIsBoundByTheReceipt) {
  expect_imported({.entries = {entry(core(1))}});
  EXPECT_EQ(count("record", "record_no = 1 AND device_serial_bound = 'dev-1'"), 1);
}

// --- incidents beside an accepted file -----------------------------------------------------------

TEST_F(FerryTest, AnotherReceiptForARecordIsAnIncidentAndTheFirstStays) {
  expect_imported({.entries = {entry(core(0)), entry(core(0, Outcome::Quarantined))}});
  EXPECT_EQ(state_of(0), "injected");
  EXPECT_EQ(count("incident", "kind = 'receipt-doubled' AND state = 'open'"), 1);
  EXPECT_EQ(count("receipt"), 1);
}

TEST_F(FerryTest, AnotherReceiptOnALaterTokenIsAnIncidentToo) {
  std::vector<token::ReceiptEntry> log{entry(core(0))};
  expect_imported({.entries = log});
  auto second = core(0);
  second.end = UtcMillis{kNow.value + 1000};
  log.push_back(entry(second));
  expect_imported({.entries = log});
  EXPECT_EQ(count("incident", "kind = 'receipt-doubled'"), 1);
}

TEST_F(FerryTest, AnotherSignatureOverTheSameCoreIsNothing) {
  const Bytes octets = token::serialise_core(core(0));
  expect_imported({.entries = {signed_entry(0, octets), signed_entry(0, octets)}});
  EXPECT_EQ(count("incident"), 0);
  EXPECT_EQ(state_of(0), "injected");
}

TEST_F(FerryTest, AVoidOfAnAcceptedReceiptIsAnIncident) {
  expect_imported({.entries = {entry(core(0)), void_of(0)}});
  EXPECT_EQ(state_of(0), "injected");
  EXPECT_EQ(count("incident", "kind = 'receipt-voided'"), 1);
}

TEST_F(FerryTest, OneDeviceSerialForTwoSesIsAnIncidentAndIsBoundOnce) {
  auto second = core(2);
  second.device_serial = "dev-1";
  expect_imported({.entries = {entry(core(1)), entry(second)}});
  EXPECT_EQ(count("incident", "kind = 'device-serial-doubled'"), 1);
  EXPECT_EQ(count("record", "device_serial_bound = 'dev-1'"), 1);
  EXPECT_EQ(sums().injected, 2U);
}

TEST_F(FerryTest, TheDeviceSerialOfAnotherInventoryRowIsAnIncident) {
  auto second = core(1);
  second.device_serial = "dev-0";
  expect_imported({.entries = {entry(second)}});
  EXPECT_EQ(count("incident", "kind = 'device-serial-doubled'"), 1);
}

TEST_F(FerryTest, AReceiptForAnEndedRecordWhoseSeIsForAnotherDeviceByNowIsAnIncidentAlone) {
  exec("UPDATE record SET state = 'revoked', revoked = 1, crl_due = 1 WHERE record_no = 1");
  exec("UPDATE se SET device_serial = 'dev-reworked' WHERE se_id = (SELECT se_id FROM record WHERE record_no = 1)");
  expect_imported({.entries = {entry(core(1)), entry(core(2))}});
  EXPECT_EQ(count("incident", "kind = 'receipt-after-end' AND record_no = 1"), 1);
  EXPECT_EQ(count("incident"), 1);
  EXPECT_EQ(state_of(1), "revoked");
  EXPECT_EQ(state_of(2), "injected");
}

// --- conservation --------------------------------------------------------------------------------

TEST_F(FerryTest, WhatIsOutstandingIsNamedInOrder) {
  expect_imported({.entries = {entry(core(1))}});
  std::vector<std::uint32_t> numbers;
  ReconcileStore{*ledger_}.visit_outstanding(*batches().find(batch_), [&](const OutstandingSe& se) {
    numbers.push_back(se.record_no);
    EXPECT_TRUE(se.sealed);
  });
  EXPECT_EQ(numbers, (std::vector<std::uint32_t>{0, 2, 3}));
}

TEST_F(FerryTest, AnEntryWithoutASealedKeyIsOutstandingOnceTheBatchHasStarted) {
  exec("DELETE FROM record WHERE record_no = 3");
  EXPECT_EQ(sums(), (Sums{.issued = 4, .outstanding = 4}));
  EXPECT_TRUE(agrees());
}

TEST_F(FerryTest, ABatchThatHasNotStartedIssuedNothing) {
  exec("UPDATE batch SET state = 'approved'");
  EXPECT_EQ(sums(), Sums{});
}

TEST_F(FerryTest, ADeletedReceiptIsNoticed) {
  expect_imported({.entries = {entry(core(0))}});
  exec("DELETE FROM receipt");
  EXPECT_FALSE(agrees());
}

TEST_F(FerryTest, ARecordThatWasEditedToInjectedIsNoticed) {
  exec("UPDATE record SET state = 'injected' WHERE record_no = 0");
  EXPECT_FALSE(agrees());
}

TEST_F(FerryTest, AnEntryThatWasTakenFromTheListIsNoticed) {
  exec("DELETE FROM se_list_entry WHERE idx = 3");
  EXPECT_FALSE(agrees());
}

TEST_F(FerryTest, TheLedgerItselfKeepsAnEndedRecordAsItIs) {
  expect_imported({.entries = {entry(core(0))}});
  EXPECT_THROW(exec("UPDATE record SET state = 'returned' WHERE record_no = 0"), SQLite::Exception);
  EXPECT_THROW(exec("UPDATE receipt SET outcome = 'returned'"), SQLite::Exception);
}

}  // namespace
}  // namespace keyferry::appliance
