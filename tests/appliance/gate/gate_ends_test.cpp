// What ends: closed batches, retired stations and CAs, CRLs that only grow, keys that are gone, all by the gate's own
// checks, with a front end that says whatever it likes.
#include <algorithm>

#include "keyferry/v1/log.pb.h"
#include "tests/appliance/gate/gate_fixture.h"
#include "token/audit/merkle.h"
#include "token/revocations.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance::test {
namespace {

UtcMillis in_days(int days) {
  return from_rfc3339(to_rfc3339(UtcMillis{SystemClock{}.now().value + days * 86'400'000LL})).value();
}

RecordSet some_records(std::uint64_t count = 3) {
  return {count, crypto::sha256(as_bytes("records"))};
}

/// CRL entries as a request has them: serial of `fill`, a time, a reason.
Bytes entries_of(std::initializer_list<std::uint8_t> fills) {
  Bytes entries;
  for (const std::uint8_t fill : fills) {
    append(entries, Bytes(16, fill));
    append_u64be(entries, 1'790'000'000'000);
    entries.push_back(5);
  }
  return entries;
}

RecordSet set_of(ByteView entries) {
  audit::Frontier frontier;
  for (std::size_t at = 0; at < entries.size(); at += 25) frontier.append(audit::leaf_hash(entries.subspan(at, 25)));
  return {frontier.size(), frontier.root()};
}

class GateEnds : public GateFixture {
 protected:
  void SetUp() override {
    gate_ = start_gate();
    make_appliance(*gate_);
  }

  template <typename Detail>
  Plan plan_of(Operation operation, Detail detail) {
    Plan draft = plan(operation);
    draft.detail = std::move(detail);
    return parsed(draft);
  }

  Plan a_batch() {
    Plan batch = batch_plan(4, 2);
    run(*gate_, batch);
    commit(*gate_, batch, make(*gate_, segment_request(batch, 0)), 0);
    static_cast<void>(open(*gate_));
    return batch;
  }

  Plan sealed_batch() {
    Plan batch = a_batch();
    commit(*gate_, batch, make(*gate_, segment_request(batch, 1)), 1);
    v1::GateRequest manifest;
    manifest.mutable_manifest()->set_plan(to_string(batch.octets));
    commit(*gate_, batch, make(*gate_, std::move(manifest)), 0, true);
    static_cast<void>(open(*gate_));
    return batch;
  }

  Error refused_plan(const Plan& plan) { return refusal_of(*gate_, run_request(plan)); }

  v1::GateReply issue_crl(const Plan& plan, const Bytes& entries) {
    v1::GateRequest request = run_request(plan);
    request.mutable_run_plan()->set_crl_entries(to_string(entries));
    v1::GateReply reply = gate_->call(std::move(request));
    static_cast<void>(open(*gate_));
    return reply;
  }

  Error refused_crl(const Plan& plan, const Bytes& entries) {
    v1::GateRequest request = run_request(plan);
    request.mutable_run_plan()->set_crl_entries(to_string(entries));
    Error error = refusal_of(*gate_, std::move(request));
    static_cast<void>(open(*gate_));  // the refusal is a leaf
    return error;
  }

  Plan crl_plan(std::uint64_t number, const Bytes& entries, int days = 30) {
    return plan_of(Operation::CrlIssue, CrlIssuePlan{"ca", number, set_of(entries), in_days(days)});
  }

  token::RevocationList list() {
    v1::GateRequest request;
    request.mutable_revocations();
    const v1::GateReply reply = gate_->call(std::move(request));
    const auto octets = reply.revocations().SerializeAsString();
    const auto parsed = token::parse_signed_bytes(as_bytes(octets));
    const auto& bytes = std::get<token::SignedBytes>(parsed);
    const auto card_octets = open(*gate_).card().SerializeAsString();
    const auto card_bytes = std::get<token::SignedBytes>(token::parse_signed_bytes(as_bytes(card_octets)));
    const auto card = std::get<token::ApplianceCard>(token::open_appliance_card(card_bytes));
    EXPECT_TRUE(token::verify_signed(bytes, crypto::SignatureKind::RevocationList, card.export_key));
    EXPECT_FALSE(token::verify_signed(bytes, crypto::SignatureKind::TokenCard, card.export_key));
    return std::get<token::RevocationList>(token::parse_revocations(bytes.payload));
  }

  v1::LogLeaf last_leaf() {
    v1::LogLeaf leaf;
    EXPECT_TRUE(leaf.ParseFromArray(ledger_.log.back().data(), static_cast<int>(ledger_.log.back().size())));
    return leaf;
  }

  v1::GateRequest export_request(const Plan& batch) {
    v1::GateRequest request;
    request.mutable_export_token()->set_plan(to_string(batch.octets));
    request.mutable_export_token()->set_token_id(std::string(16, 't'));
    return request;
  }

  static bool says(const Error& error, std::string_view words) {
    return std::string_view{error.what()}.find(words) != std::string_view::npos;
  }

  std::unique_ptr<GateClient> gate_;
};

TEST_F(GateEnds, ThereIsNoRevocationListBeforeAnythingWasRevoked) {
  v1::GateRequest request;
  request.mutable_revocations();
  EXPECT_EQ(refusal_of(*gate_, std::move(request)).code(), Code::NotFound);
}

TEST_F(GateEnds, AClosedBatchIsOnTheListAndNothingIsMadeOrExportedOfIt) {
  const Plan batch = sealed_batch();
  run(*gate_, plan_of(Operation::BatchClose, BatchClosePlan{batch.batch_id(), some_records(), "over"}));
  EXPECT_EQ(state_.revocation_number(), 1U);
  const token::RevocationList revoked = list();
  EXPECT_EQ(revoked.number, 1U);
  EXPECT_EQ(revoked.batches, std::vector<BatchId>{batch.batch_id()});
  EXPECT_TRUE(revoked.stations.empty());
  const v1::LogLeaf leaf = last_leaf();
  ASSERT_TRUE(leaf.has_batch_closed());
  EXPECT_EQ(leaf.batch_closed().records(), 3U);
  EXPECT_EQ(leaf.batch_closed().records_root(), some_records().root.str());
  EXPECT_TRUE(says(refusal_of(*gate_, export_request(batch)), "closed"));
  static_cast<void>(open(*gate_));
  EXPECT_TRUE(
      says(refused_plan(plan_of(Operation::BatchReexport, BatchReexportPlan{batch.batch_id(), "again"})), "closed"));
  static_cast<void>(open(*gate_));
  EXPECT_TRUE(
      says(refused_plan(plan_of(Operation::BatchClose, BatchClosePlan{batch.batch_id(), some_records(), "again"})),
           "closed before"));
}

TEST_F(GateEnds, ABatchThatIsClosedInTheMakingGetsNoMoreSegmentAndNoManifest) {
  const Plan batch = a_batch();
  run(*gate_, plan_of(Operation::BatchClose, BatchClosePlan{batch.batch_id(), some_records(), "over"}));
  const Made segment = make(*gate_, segment_request(batch, 1));
  ASSERT_TRUE(segment.error);
  EXPECT_NE(segment.error->text().find("closed"), std::string::npos);
  v1::GateRequest manifest;
  manifest.mutable_manifest()->set_plan(to_string(batch.octets));
  ASSERT_TRUE(make(*gate_, std::move(manifest)).error);
}

TEST_F(GateEnds, ASegmentThatWasPreparedBeforeTheCloseIsNotSignedAfterIt) {
  const Plan batch = a_batch();
  const Made made = make(*gate_, segment_request(batch, 1));
  run(*gate_, plan_of(Operation::BatchClose, BatchClosePlan{batch.batch_id(), some_records(), "over"}));
  EXPECT_THROW(commit(*gate_, batch, made, 1), Error);
}

TEST_F(GateEnds, NothingEndsWithoutAnApproval) {
  const Plan batch = sealed_batch();
  const std::vector<Plan> plans{
      plan_of(Operation::BatchClose, BatchClosePlan{batch.batch_id(), some_records(), "x"}),
      plan_of(Operation::StationRetire, StationRetirePlan{station_.id(), 0, 0, some_records(), "x"}),
      plan_of(Operation::CaRetire, CaRetirePlan{"ca", "x"}),
      plan_of(Operation::CrlIssue, CrlIssuePlan{"ca", 1, set_of({}), in_days(30)}),
      plan_of(Operation::QuarantineRelease, QuarantineReleasePlan{batch.batch_id(), 0, "x"}),
      plan_of(Operation::HsmDestroyKey, HsmDestroyKeyPlan{"kf-tk/m", "x"})};
  const std::string before = open(*gate_).registry();
  for (const Plan& plan : plans) {
    v1::GateRequest request = run_request(plan);
    request.mutable_run_plan()->clear_approvals();
    EXPECT_EQ(refusal_of(*gate_, std::move(request)).code(), Code::Quorum) << operation_name(plan.operation);
  }
  EXPECT_EQ(open(*gate_).registry(), before);
  EXPECT_EQ(state_.revocation_number(), 0U);
  EXPECT_EQ(state_.crl_numbers_size(), 0);
}

TEST_F(GateEnds, ADeviceEndsInABatchThatTheHsmKnowsAndItsSeIsScrappedByTwoKnownPersons) {
  const Plan batch = sealed_batch();
  const crypto::SoftKey key = crypto::SoftKey::generate();
  run(*gate_, plan_of(Operation::OfficerAdd, OfficerAddPlan{2, "witness", crypto::sha256(as_bytes("W. Itness")),
                                                            to_bytes(key.public_key().point())}));
  DeviceRecord record{.batch = batch.batch_id(),
                      .record_no = 1,
                      .family = se::Family::Pkcs11,
                      .se_serial = Bytes(16, 'a'),
                      .certificate_serial = Bytes(16, 7),
                      .device_serial = "SN-1"};
  const auto scrap = [&](std::uint32_t by, std::uint32_t witness) {
    return plan_of(Operation::DeviceScrap, DeviceScrapPlan{record, by, witness, some_records().root, "crushed"});
  };
  EXPECT_TRUE(says(refused_plan(scrap(1, 3)), "no person 3"));
  static_cast<void>(open(*gate_));
  run(*gate_, scrap(1, 2));
  const v1::DeviceLeaf leaf = last_leaf().device();
  EXPECT_EQ(leaf.act(), "device-scrap");
  EXPECT_EQ(leaf.batch_id(), batch.batch_id().str());
  EXPECT_EQ(leaf.certificate_serial(), std::string(16, 7));
  EXPECT_EQ((std::vector<std::uint32_t>{leaf.persons().begin(), leaf.persons().end()}), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(leaf.evidence_sha256(), some_records().root.str());
  run(*gate_, plan_of(Operation::OfficerDisable, OfficerDisablePlan{2, "left"}));
  EXPECT_TRUE(says(refused_plan(scrap(1, 2)), "is disabled"));
  static_cast<void>(open(*gate_));
  record.batch = *BatchId::from_bytes(Bytes(16, 'x'));
  const Plan unknown = plan_of(Operation::DeviceRevoke, DeviceRevokePlan{record, "keyCompromise", "stolen"});
  EXPECT_TRUE(says(refused_plan(unknown), "knows no batch"));
}

TEST_F(GateEnds, ALostTokenIsOneThatTheBatchWasExportedTo) {
  const Plan batch = sealed_batch();
  static_cast<void>(gate_->call(export_request(batch)));
  static_cast<void>(open(*gate_));
  const TokenId other = *TokenId::from_bytes(Bytes(16, 'o'));
  const TokenId token = *TokenId::from_bytes(Bytes(16, 't'));
  const auto lost = [&](const TokenId& id, const std::string& decision) {
    return plan_of(Operation::TokenLost, TokenLostPlan{id, batch.batch_id(), decision, some_records(), "lost"});
  };
  EXPECT_TRUE(says(refused_plan(lost(other, "revoke")), "never exported"));
  static_cast<void>(open(*gate_));
  run(*gate_, lost(token, "accept"));
  EXPECT_EQ(last_leaf().token_lost().decision(), "accept");
  EXPECT_EQ(state_.revocation_number(), 0U) << "accepted: nothing is revoked";
  run(*gate_, lost(token, "revoke"));
  EXPECT_TRUE(last_leaf().has_batch_closed());
  EXPECT_EQ(list().batches, std::vector<BatchId>{batch.batch_id()});
}

TEST_F(GateEnds, ARetiredStationTakesItsBatchesWithItAndGetsNoOther) {
  const Plan batch = sealed_batch();
  run(*gate_, plan_of(Operation::StationRetire, StationRetirePlan{station_.id(), 1, 9, some_records(), "burnt"}));
  const v1::LogLeaf leaf = last_leaf();
  ASSERT_TRUE(leaf.has_station_retired());
  EXPECT_EQ(leaf.station_retired().batches_size(), 1);
  const token::RevocationList revoked = list();
  EXPECT_EQ(revoked.stations, std::vector<StationId>{station_.id()});
  EXPECT_EQ(revoked.batches, std::vector<BatchId>{batch.batch_id()});
  EXPECT_TRUE(says(refused_plan(batch_plan(4, 4)), "not enrolled"));
  static_cast<void>(open(*gate_));
  EXPECT_TRUE(says(refused_plan(plan_of(Operation::StationRetire,
                                        StationRetirePlan{station_.id(), 1, 9, some_records(), "again"})),
                   "retired before"));
}

TEST_F(GateEnds, ACrlHasTheNextNumberAndTheEntriesThatWereApproved) {
  const Bytes entries = entries_of({0x41, 0x42});
  EXPECT_TRUE(says(refused_crl(crl_plan(2, entries), entries), "has number 1"));
  EXPECT_TRUE(says(refused_crl(crl_plan(1, entries), entries_of({0x41, 0x43})), "not those that officers approved"));
  EXPECT_TRUE(says(refused_crl(crl_plan(1, entries), entries_of({0x41})), "octets"));
  EXPECT_TRUE(says(refused_crl(crl_plan(1, entries, -1), entries), "past"));
  const v1::GateReply reply = issue_crl(crl_plan(1, entries), entries);
  EXPECT_EQ(crypto::sha256(as_bytes(reply.done().made())).str(), last_leaf().crl_issued().crl_sha256());
  ASSERT_EQ(state_.crl_numbers_size(), 1);
  EXPECT_EQ(state_.crl_numbers(0).entries(), 2U);
}

TEST_F(GateEnds, ALaterCrlBeginsWithTheEntriesOfTheLastOne) {
  const Bytes first = entries_of({0x41, 0x42, 0x43});
  issue_crl(crl_plan(1, first), first);
  for (const Bytes& spoilt :
       {entries_of({0x41, 0x42}), entries_of({0x41, 0x44, 0x43, 0x45}), entries_of({0x42, 0x41, 0x43})}) {
    EXPECT_EQ(refused_crl(crl_plan(2, spoilt), spoilt).code(), Code::Refused);
  }
  const Bytes more = entries_of({0x41, 0x42, 0x43, 0x44});
  issue_crl(crl_plan(2, more), more);
  issue_crl(crl_plan(3, more), more);
  EXPECT_EQ(state_.crl_numbers(0).number(), 3U);
}

TEST_F(GateEnds, ARetiredCaIssuesNothingAndStillSignsCrls) {
  const Plan batch = a_batch();
  run(*gate_, plan_of(Operation::CaRetire, CaRetirePlan{"ca", "end of product"}));
  EXPECT_TRUE(make(*gate_, segment_request(batch, 1)).error) << "also a batch that had begun";
  EXPECT_TRUE(says(refused_plan(batch_plan(2, 2)), "retired"));
  static_cast<void>(open(*gate_));
  issue_crl(crl_plan(1, {}), {});
  EXPECT_EQ(state_.crl_numbers_size(), 1);
}

TEST_F(GateEnds, ACaIsDestroyedOnlyWhenItIsRetiredAndHasAFinalCrl) {
  const auto destroy = [&] { return plan_of(Operation::HsmDestroyKey, HsmDestroyKeyPlan{"kf-ca/ca", "over"}); };
  EXPECT_TRUE(says(refused_plan(destroy()), "not retired"));
  static_cast<void>(open(*gate_));
  run(*gate_, plan_of(Operation::CaRetire, CaRetirePlan{"ca", "over"}));
  EXPECT_TRUE(says(refused_plan(destroy()), "no final CRL"));
  static_cast<void>(open(*gate_));
  issue_crl(crl_plan(1, {}, 3651), {});
  run(*gate_, destroy());
  const v1::LogLeaf leaf = last_leaf();
  ASSERT_TRUE(leaf.has_key_destroyed());
  EXPECT_EQ(leaf.key_destroyed().label(), "kf-ca/ca");
  EXPECT_EQ(leaf.key_destroyed().public_key().size(), 65U);
  EXPECT_EQ(leaf.key_destroyed().destroyed(), 2U) << "both halves";
  EXPECT_EQ(leaf.key_destroyed().found(), 0U);
  EXPECT_TRUE(says(refused_crl(crl_plan(2, {}), {}), "no certificate authority"));
}

TEST_F(GateEnds, ADestroyedMasterIsGoneAfterAReopeningAndItsNameStaysUsedUp) {
  run(*gate_, plan_of(Operation::HsmDestroyKey, HsmDestroyKeyPlan{"kf-tk/m", "over"}));
  EXPECT_EQ(last_leaf().key_destroyed().check_value().size(), 16U);
  EXPECT_EQ(state_.destroying_size(), 0);
  gate_.reset();
  gate_ = start_gate();
  ASSERT_TRUE(open(*gate_).initialized());
  v1::GateRequest inventory;
  inventory.mutable_inventory();
  const v1::GateReply found = gate_->call(std::move(inventory));
  EXPECT_TRUE(
      std::ranges::none_of(found.inventory().objects(), [](const auto& one) { return one.label() == "kf-tk/m"; }));
  EXPECT_TRUE(
      std::ranges::any_of(found.inventory().objects(), [](const auto& one) { return one.label() == "kf-ca/ca"; }));
  EXPECT_TRUE(
      says(refused_plan(plan_of(Operation::TransportMasterCreate, TransportMasterPlan{"m", "kf-kdf-1"})), "already"));
  static_cast<void>(open(*gate_));
  EXPECT_TRUE(says(refused_plan(plan_of(Operation::HsmDestroyKey, HsmDestroyKeyPlan{"kf-tk/m", "again"})), "no key"));
}

TEST_F(GateEnds, AKeyIsNotDestroyedWhileABatchIsBeingMade) {
  a_batch();
  EXPECT_TRUE(
      says(refused_plan(plan_of(Operation::HsmDestroyKey, HsmDestroyKeyPlan{"kf-tk/m", "over"})), "being made"));
}

TEST_F(GateEnds, ADestructionIsFinishedOnlyForWhatOfficersGaveUp) {
  for (const char* label : {"kf-tk/m", "kf-ca/ca", "kf-log", "kf-export", ""}) {
    v1::GateRequest request;
    request.mutable_finish_destroy()->set_label(label);
    EXPECT_TRUE(says(refusal_of(*gate_, std::move(request)), "did not give up")) << label;
  }
}

TEST_F(GateEnds, TheFrontEndReportsALossOnTheWayHomeAndNoOtherEnd) {
  const auto report = [](const auto& fill) {
    v1::GateRequest request;
    fill(*request.mutable_report()->add_leaves());
    return request;
  };
  static_cast<void>(
      gate_->call(report([](v1::LogLeaf& leaf) { leaf.mutable_token_lost()->set_decision("unload-again"); })));
  const std::vector<v1::GateRequest> others{
      report([](v1::LogLeaf& leaf) { leaf.mutable_token_lost()->set_decision("revoke"); }),
      report([](v1::LogLeaf& leaf) { leaf.mutable_batch_closed()->set_records(1); }),
      report([](v1::LogLeaf& leaf) { leaf.mutable_station_retired()->set_records(1); }),
      report([](v1::LogLeaf& leaf) { leaf.mutable_key_destroyed()->set_label("kf-tk/m"); }),
      report([](v1::LogLeaf& leaf) { leaf.mutable_crl_issued()->set_number(1); })};
  for (const v1::GateRequest& other : others)
    EXPECT_TRUE(says(refusal_of(*gate_, other), "not the front end's to report"));
}

}  // namespace
}  // namespace keyferry::appliance::test
