// Revocations beside our own records: CAs of ours on the CRL of the CA above them, and what outside CAs revoked.
#include "appliance/ledger/revocation_store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "appliance/ledger/crl_store.h"
#include "appliance/ledger/device_history.h"
#include "appliance/ledger/device_store.h"
#include "tests/appliance/ferry_fixture.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/crl.h"

namespace keyferry::appliance {
namespace {

using token::Outcome;

constexpr std::size_t kEntryBytes = 25;

/// Of CA "ca": record 1 quarantined and 2 returned, so both are due; 0 is injected, 3 outstanding.
class Revocations : public FerryTest {
 protected:
  Revocations() {
    register_crl_actions(*ledger_);
    register_device_actions(*ledger_);
    register_revocation_actions(*ledger_);
    expect_imported(
        {.entries = {entry(core(0)), entry(core(1, Outcome::Quarantined)), entry(core(2, Outcome::Returned))}});
  }

  void apply(const Action& action) {
    store::WriteTransaction transaction{ledger_->database()};
    ledger_->apply_in_transaction(action);
    transaction.commit();
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

  void revoke_ca(const std::string& name, std::uint8_t serial, const std::string& issuer = "ca") {
    const CaRevokePlan plan{name, issuer, Bytes(16, serial), "cACompromise", "key copied"};
    apply(*ca_revoked_action(plan_of(Operation::CaRevoke, plan), kNow));
  }

  [[nodiscard]] std::vector<Bytes> serials(const std::string& authority) {
    const Bytes entries = CrlStore{*ledger_}.next_entries(authority);
    std::vector<Bytes> found;
    for (std::size_t at = 0; at < entries.size(); at += kEntryBytes)
      found.push_back(to_bytes(ByteView{entries}.subspan(at, 16)));
    return found;
  }

  void issue(const std::string& authority, std::uint64_t number) {
    const CrlIssuePlan plan{authority, number, crl_record_set(CrlStore{*ledger_}.next_entries(authority)),
                            UtcMillis{kNow.value + 1'000'000}};
    Action action = crl_issued_action(plan, kNow);
    append(action.data, as_bytes("a CRL"));
    apply(action);
  }

  /// The certificate has this serial of an outside CA.
  void give(std::uint32_t record, const std::string& serial) {
    exec("UPDATE record SET outside_serial = x'" + serial + "' WHERE record_no = " + std::to_string(record));
  }

  [[nodiscard]] Bytes crl(std::initializer_list<const char*> serials, std::int64_t at = 0, std::uint8_t reason = 1) {
    x509::CrlBuilder builder{{*from_hex("300d310b3009060355040313024341"), Bytes(20, 1), 1, UtcMillis{kNow.value + at},
                              UtcMillis{kNow.value + 1'000'000'000}}};
    for (const char* serial : serials) builder.add(*from_hex(serial), kNow, reason);
    const Bytes tbs = builder.to_be_signed();
    return x509::assemble(tbs, key_.sign_digest(crypto::sha256(tbs)));
  }

  static x509::CrlContents read(const Bytes& der) { return std::get<x509::CrlContents>(x509::parse_crl(der)); }

  [[nodiscard]] RevocationStore store() { return RevocationStore{*ledger_}; }

  [[nodiscard]] Action import_action(const Bytes& der) {
    const x509::CrlContents contents = read(der);
    const CrlImportPlan plan{"ca", contents.sha256, contents.this_update, store().due_and_on("ca", contents)};
    return outside_crl_action(plan_of(Operation::CrlImport, plan), der, kNow);
  }

  [[nodiscard]] std::vector<std::uint32_t> due() {
    std::vector<std::uint32_t> records;
    CrlStore{*ledger_}.visit_due("ca", [&](const DueRecord& record) { records.push_back(record.record_no); });
    return records;
  }

  crypto::SoftKey key_ = crypto::SoftKey::generate();
};

TEST_F(Revocations, ACaStandsBehindTheRecordsOnTheCrlOfItsIssuerAndOnceOnly) {
  revoke_ca("line", 0xcc);
  revoke_ca("beside", 0x0a);
  EXPECT_EQ(serials("ca"), (std::vector<Bytes>{records_[1].certificate_serial, records_[2].certificate_serial,
                                               Bytes(16, 0x0a), Bytes(16, 0xcc)}));
  EXPECT_TRUE(serials("line").empty());
  issue("ca", 1);
  const auto first = serials("ca");
  revoke_ca("another", 0x01);
  auto second = first;
  second.push_back(Bytes(16, 0x01));
  EXPECT_EQ(serials("ca"), second) << "a later CRL begins with the entries of the one before";
  issue("ca", 2);
  EXPECT_EQ(serials("ca"), second);
  EXPECT_TRUE(CrlStore{*ledger_}.due().empty());
}

TEST_F(Revocations, ACaIsDueWithItsNameAndReasonUntilThen) {
  revoke_ca("line", 0xcc, "root");  // a CA that has no batch and no CRL yet
  std::vector<DueEntries> found;
  for (const DueEntries& one : CrlStore{*ledger_}.due()) {
    if (one.authority == "root") found.push_back(one);
  }
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found.front().state, "ca");
  EXPECT_EQ(found.front().reason, 2);
  std::vector<std::pair<std::string, Bytes>> named;
  CrlStore{*ledger_}.visit_due("root", [&](const DueRecord& one) { named.emplace_back(one.ca, one.serial); });
  EXPECT_EQ(named, (std::vector<std::pair<std::string, Bytes>>{{"line", Bytes(16, 0xcc)}}));
  EXPECT_ANY_THROW(revoke_ca("line", 0xcd, "root")) << "once";
  EXPECT_ANY_THROW(exec("UPDATE ca_revoked SET crl_reason = 0"));
}

TEST_F(Revocations, WhatStandsOnTheOutsideCasCrlIsNotDueAnyMore) {
  give(0, "00c0ffee00");
  give(1, "01");
  give(2, "00ff000000000000000000000000000000000002");
  give(3, "c0ffee03");
  ASSERT_EQ(due(), (std::vector<std::uint32_t>{1, 2}));
  const Bytes der = crl({"ff000000000000000000000000000000000002", "c0ffee00", "77"});
  EXPECT_EQ(store().due_and_on("ca", read(der)).count, 1U);
  EXPECT_EQ(store().due_and_on("other", read(der)).count, 0U);
  std::vector<std::uint32_t> unasked;
  store().visit_unasked("ca", read(der), [&](const OutsideRecord& record) { unasked.push_back(record.record_no); });
  EXPECT_EQ(unasked, std::vector<std::uint32_t>{0}) << "revoked there, and in use here";

  apply(import_action(der));
  EXPECT_EQ(due(), std::vector<std::uint32_t>{1});
  const auto row = DeviceStore{*ledger_}.record(batch_, RecordNo{2});
  EXPECT_EQ(row->outside_crl, crypto::sha256(der));
  EXPECT_EQ(store().newest_outside_crl("ca")->sha256, crypto::sha256(der));
  EXPECT_EQ(store().outside_crl(crypto::sha256(der))->records, 1U);
  EXPECT_FALSE(store().outside_crl(Digest{}).has_value());
  const DeviceThread thread = device_thread(*ledger_, {*row});
  EXPECT_TRUE(
      std::ranges::any_of(thread.events, [](const ThreadEvent& event) { return event.event == "on-outside-crl"; }));
}

TEST_F(Revocations, TheSameListAgainNotesWhatBecameDueSince) {
  give(0, "aa");
  give(1, "bb");
  const Bytes der = crl({"aa", "bb"});
  apply(import_action(der));
  exec("UPDATE record SET crl_due = 1, revoked = 1 WHERE record_no = 0");
  EXPECT_EQ(store().due_and_on("ca", read(der)).count, 1U);
  apply(import_action(der));
  EXPECT_EQ(store().outside_crl(crypto::sha256(der))->records, 2U);
  EXPECT_EQ(due(), std::vector<std::uint32_t>{2});
}

TEST_F(Revocations, TheNewestOutsideCrlIsTheOneWithTheLatestTime) {
  give(1, "bb");
  give(2, "cc");
  apply(import_action(crl({"bb"}, 60'000)));
  apply(import_action(crl({"cc"}, 0)));
  EXPECT_EQ(store().newest_outside_crl("ca")->this_update, UtcMillis{kNow.value + 60'000});
  EXPECT_EQ(store().newest_outside_crl("nobody").has_value(), false);
}

TEST_F(Revocations, OtherRecordsThanOfficersApprovedAreNotNoted) {
  give(1, "bb");
  give(2, "cc");
  const Action action = import_action(crl({"bb", "cc"}));
  exec("UPDATE record SET crl_due = 0 WHERE record_no = 2");
  EXPECT_THROW(apply(action), Error);
  EXPECT_EQ(count("outside_crl"), 0);
  EXPECT_EQ(count("outside_revoked"), 0);
}

}  // namespace
}  // namespace keyferry::appliance
