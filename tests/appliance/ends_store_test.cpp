// How batches, stations and records end in the ledger: what a plan binds, what is done in one transaction, and that
// the sums agree whatever ended.
#include "appliance/ledger/ends_store.h"

#include <gtest/gtest.h>

#include "appliance/ledger/crl_store.h"
#include "tests/appliance/ferry_fixture.h"
#include "token/audit/merkle.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

using token::Outcome;

class Ends : public FerryTest {
 protected:
  Ends() {
    register_end_actions(*ledger_);
    register_crl_actions(*ledger_);
  }

  void apply(const Action& action) {
    store::WriteTransaction transaction{ledger_->database()};
    ledger_->apply_in_transaction(action);
    transaction.commit();
  }

  [[nodiscard]] EndsStore ends() { return EndsStore{*ledger_}; }

  [[nodiscard]] Digest leaf_of(std::uint32_t record) {
    Bytes leaf = to_bytes(batch_.bytes());
    append_u32be(leaf, record);
    append(leaf, records_[record].certificate_serial);
    return audit::leaf_hash(leaf);
  }

  void close() { apply(batches_closed_action({batch_}, kNow)); }

  /// Three ended in three ways, one is outstanding.
  void end_three() {
    expect_imported(
        {.entries = {entry(core(0)), entry(core(1, Outcome::Quarantined)), entry(core(2, Outcome::Returned))}});
  }

  [[nodiscard]] std::int64_t generation(std::uint32_t record) {
    return count("se", "se_id = " + std::to_string(record + 1) + " AND generation = 2");
  }
};

TEST_F(Ends, APlanBindsWhatIsOutstandingByNumberAndRoot) {
  const std::vector<Digest> all{leaf_of(0), leaf_of(1), leaf_of(2), leaf_of(3)};
  EXPECT_EQ(ends().outstanding({batch_}), (RecordSet{4, audit::tree_root(all)}));
  end_three();
  EXPECT_EQ(ends().outstanding({batch_}), (RecordSet{1, leaf_of(3)}));
  close();
  EXPECT_EQ(ends().outstanding({batch_}), (RecordSet{0, crypto::sha256(Bytes{})}));
}

TEST_F(Ends, ClosingRevokesWhatIsOutstandingAndNothingElse) {
  end_three();
  close();
  EXPECT_EQ(sums(), (Sums{.issued = 4, .injected = 1, .quarantined = 1, .returned = 1, .revoked = 1}));
  EXPECT_TRUE(agrees());
  EXPECT_EQ(batches().find(batch_)->state, BatchState::Closed);
  EXPECT_EQ(count("record", "revoked = 1"), 1);
  EXPECT_EQ(count("record", "crl_due = 1"), 3);
}

TEST_F(Ends, WhatWasNotSealedNeverLeft) {
  // One segment of two is only prepared.
  exec("UPDATE batch SET state = 'generating', segment_count = 2, segment_size = 2");
  exec("UPDATE record SET segment_idx = 1 WHERE record_no >= 2");
  exec(
      "INSERT INTO segment SELECT batch_id, 1, 'prepared', 2, randomblob(16), randomblob(32), 1, 9, NULL FROM "
      "segment");
  EXPECT_EQ(ends().outstanding({batch_}).count, 2U);
  close();
  EXPECT_EQ(sums(), (Sums{.issued = 4, .never_left = 2, .revoked = 2}));
  EXPECT_TRUE(agrees());
}

TEST_F(Ends, AReceiptAfterTheEndIsAnIncidentAndChangesNoSum) {
  close();
  expect_imported({.entries = {entry(core(0)), entry(core(1, Outcome::Returned))}});
  EXPECT_EQ(sums(), (Sums{.issued = 4, .revoked = 4}));
  EXPECT_TRUE(agrees());
  EXPECT_EQ(count("incident", "kind = 'receipt-after-end'"), 2);
  EXPECT_EQ(count("receipt"), 0);
}

TEST_F(Ends, AStationTakesItsBatchesWithItAndTheirSesMayHaveANewRecord) {
  end_three();
  EXPECT_EQ(ends().open_batches(station_id_), std::vector<BatchId>{batch_});
  apply(station_retired_action({station_id_, 1, 3, {}, "burnt"}, kNow));
  EXPECT_TRUE(ends().open_batches(station_id_).empty());
  EXPECT_EQ(sums().revoked, 1U);
  EXPECT_TRUE(agrees());
  EXPECT_EQ(generation(3), 1) << "the outstanding one";
  EXPECT_EQ(generation(0) + generation(1) + generation(2), 0);
  EXPECT_EQ(count("incident", "kind = 'station-retired' AND subject LIKE '%size=3'"), 1);
}

TEST_F(Ends, AReleasedSeHasTheNextGenerationAndItsCertificateIsRevoked) {
  end_three();
  const auto release = [&](std::uint32_t record) { apply(quarantine_released_action(batch_, RecordNo{record}, "cleaned", kNow)); };
  EXPECT_EQ(ends().releasable(batch_, RecordNo{1})->state, RecordState::Quarantined);
  EXPECT_FALSE(ends().releasable(batch_, RecordNo{1})->released);
  release(1);
  EXPECT_TRUE(ends().releasable(batch_, RecordNo{1})->released);
  release(1);
  EXPECT_EQ(generation(1), 1) << "grown once";
  EXPECT_EQ(count("record", "record_no = 1 AND revoked = 1 AND crl_due = 1 AND state = 'quarantined'"), 1);
  EXPECT_THROW(release(0), Error) << "an injected one";
  EXPECT_THROW(release(3), Error) << "an outstanding one";
  EXPECT_FALSE(ends().releasable(batch_, RecordNo{9}));
  EXPECT_TRUE(agrees());
}

TEST_F(Ends, OnlyWhatCameBackCanBeInHand) {
  end_three();
  EXPECT_FALSE(ends().note_in_hand(batch_, RecordNo{0}, kNow));
  EXPECT_FALSE(ends().note_in_hand(batch_, RecordNo{3}, kNow));
  EXPECT_TRUE(ends().note_in_hand(batch_, RecordNo{1}, kNow));
  EXPECT_TRUE(ends().note_in_hand(batch_, RecordNo{1}, kNow));
  EXPECT_EQ(ends().in_hand(batch_), 1U);
}

TEST_F(Ends, ACrlKeepsTheEntriesOfTheLastOneInFront) {
  CrlStore crls{*ledger_};
  EXPECT_TRUE(crls.next_entries("ca").empty());
  end_three();
  const Bytes first = crls.next_entries("ca");
  ASSERT_EQ(first.size(), 50U);
  EXPECT_TRUE(equal(ByteView{first}.first(16), records_[1].certificate_serial));
  EXPECT_EQ(first[24], 1) << "quarantined: keyCompromise";
  EXPECT_EQ(first[49], 5) << "returned: cessationOfOperation";
  Action issued = crl_issued_action({"ca", 1, crl_record_set(first), kDue}, kNow);
  append(issued.data, as_bytes("the CRL"));
  apply(issued);
  EXPECT_EQ(crls.newest("ca")->der, to_bytes(as_bytes("the CRL")));
  EXPECT_EQ(crls.newest("ca")->entries, 2U);
  EXPECT_EQ(crls.next_entries("ca"), first);
  close();
  const Bytes more = crls.next_entries("ca");
  ASSERT_EQ(more.size(), 75U);
  EXPECT_TRUE(equal(ByteView{more}.first(50), first));
  EXPECT_TRUE(crls.next_entries("other").empty());
  EXPECT_EQ(crl_record_set(more).count, 3U);
}

TEST_F(Ends, ACrlThatHasOtherEntriesThanTheLedgerIsNotKept) {
  end_three();
  Action issued = crl_issued_action({"ca", 1, {3, {}}, kDue}, kNow);
  append(issued.data, as_bytes("the CRL"));
  EXPECT_THROW(apply(issued), Error);
  EXPECT_FALSE(CrlStore{*ledger_}.newest("ca"));
}

}  // namespace
}  // namespace keyferry::appliance
