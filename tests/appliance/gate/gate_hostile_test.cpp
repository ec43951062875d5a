// A front end that lies: each request must get nothing, and leave a refusal in the log.
#include <functional>
#include <set>

#include "tests/appliance/gate/gate_fixture.h"
#include "tests/wrap/se/atecc608_example.h"
#include "token/container.h"
#include "wrap/base/random.h"

namespace keyferry::appliance::test {
namespace {

class HostileFrontEnd : public GateFixture {
 protected:
  void SetUp() override {
    gate_ = start_gate();
    make_appliance(*gate_);
    plan_ = batch_plan(8, 4);
  }

  void expect_refused(v1::GateRequest request, const std::string& part_of_text) {
    const std::size_t before = ledger_.log.size();
    const v1::HsmState state_before = state_;
    const Error error = refusal_of(*gate_, std::move(request));
    EXPECT_NE(std::string{error.what()}.find(part_of_text), std::string::npos) << error.what();
    EXPECT_EQ(ledger_.log.size(), before + 1) << "a refusal is a leaf";
    v1::LogLeaf leaf;
    ASSERT_TRUE(leaf.ParseFromString(to_string(ledger_.log.back())));
    EXPECT_TRUE(leaf.has_refused());
    static_cast<void>(open(*gate_));
    EXPECT_EQ(state_.log_size(), ledger_.log.size());
    expect_only_a_leaf_more_than(state_before);
  }

  /// kf-state was written once, for the refusal's leaf, and says the same of everything else.
  void expect_only_a_leaf_more_than(v1::HsmState before) {
    EXPECT_EQ(state_.counter(), before.counter() + 1);
    v1::HsmState after = state_;
    for (v1::HsmState* state : {&before, &after}) {
      state->clear_counter();
      state->clear_log_size();
      state->clear_frontier();
      state->clear_checkpoint();
      state->clear_last_leaf_ms();
    }
    EXPECT_EQ(after.ShortDebugString(), before.ShortDebugString());
  }

  [[nodiscard]] v1::GateRequest commit_request(std::uint32_t index, bool manifest = false) const {
    v1::GateRequest request;
    request.mutable_segment_commit()->set_plan_digest(plan_.digest.str());
    request.mutable_segment_commit()->set_index(index);
    request.mutable_segment_commit()->set_manifest(manifest);
    request.mutable_segment_commit()->set_first_leaf(ledger_.log.size());
    return request;
  }

  void run_plan_and_look() {
    run(*gate_, plan_);
    static_cast<void>(open(*gate_));
  }

  std::unique_ptr<GateClient> gate_;
  Plan plan_;
};

TEST_F(HostileFrontEnd, GetsNothingForARequestThatIsNotInTheSet) { expect_refused({}, "does not know"); }

TEST_F(HostileFrontEnd, GetsNoSegmentOfAPlanThatWasNotRun) { expect_refused(segment_request(plan_, 0), "no approved batch"); }

TEST_F(HostileFrontEnd, GetsNothingForAnUnapprovedPlan) {
  v1::GateRequest request = run_request(plan_);
  request.mutable_run_plan()->clear_approvals();
  expect_refused(request, "0 of 1 officers");
}

TEST_F(HostileFrontEnd, GetsNothingForAnApprovalOfAnotherPlan) {
  v1::GateRequest request = run_request(plan_);
  Plan other = plan_;
  std::get<BatchPlan>(other.detail).target_count = 7;
  request.mutable_run_plan()->set_plan(to_string(parsed(other).octets));
  expect_refused(request, "digest differs");
}

TEST_F(HostileFrontEnd, GetsNothingForAnApprovalBySomebodyElse) {
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  v1::Approval approval = approval_of(plan_);
  v1::GateRequest request = run_request(plan_);
  *request.mutable_run_plan()->mutable_approvals(0) = sign_approval(approval, stranger);
  expect_refused(request, "no officer");
}

TEST_F(HostileFrontEnd, GetsNothingForAnApprovalWithABitFlipped) {
  v1::GateRequest request = run_request(plan_);
  std::string& signature = *request.mutable_run_plan()->mutable_approvals(0)->mutable_signatures(0)->mutable_signature();
  signature[40] = static_cast<char>(signature[40] ^ 1);
  expect_refused(request, "does not verify");
}

TEST_F(HostileFrontEnd, GetsNothingForAUsedPlanNumber) {
  run(*gate_, plan_);
  expect_refused(run_request(plan_), "is used");
}

TEST_F(HostileFrontEnd, GetsNothingForApprovalsOfAnotherApplianceEnvironmentEpochOrTime) {
  const auto with = [&](const std::function<void(v1::Approval&)>& change) {
    v1::Approval approval = approval_of(plan_);
    change(approval);
    v1::GateRequest request = run_request(plan_);
    *request.mutable_run_plan()->mutable_approvals(0) = sign_approval(approval, officer_);
    return request;
  };
  expect_refused(with([](v1::Approval& a) { a.set_appliance_id(std::string(32, 'x')); }), "another appliance");
  expect_refused(with([](v1::Approval& a) { a.set_environment(v1::ENVIRONMENT_REHEARSAL); }), "another environment");
  expect_refused(with([](v1::Approval& a) { a.set_policy_epoch(9); }), "policy or registry changed");
  expect_refused(with([](v1::Approval& a) { a.set_registry_epoch(0); }), "policy or registry changed");
  expect_refused(with([](v1::Approval& a) { a.set_expires_ms(1); }), "expired");
  expect_refused(with([](v1::Approval& a) { a.set_operation("ca-create"); }), "another operation");
  expect_refused(with([](v1::Approval& a) { a.set_plan_number(a.plan_number() + 1); }), "another plan number");
  expect_refused(with([](v1::Approval& a) { a.set_last_checkpoint("nonsense"); }), "never signed");
  expect_refused(with([](v1::Approval& a) { a.set_kind("keyferry/v1/container"); }), "another kind");
}

TEST_F(HostileFrontEnd, GetsNothingForPlansOfAnotherApplianceEnvironmentOrTime) {
  Plan plan = plan_;
  plan.appliance = *ApplianceId::from_bytes(Bytes(32, 7));
  expect_refused(run_request(parsed(plan)), "another appliance");
  plan = plan_;
  plan.environment = Environment::Rehearsal;
  expect_refused(run_request(parsed(plan)), "environment rehearsal");
  plan = plan_;
  plan.expires = UtcMillis{1'000'000'000'000};
  expect_refused(run_request(parsed(plan)), "expired");
  plan = plan_;
  std::get<BatchPlan>(plan.detail).family = se::Family::Tpm2;
  expect_refused(run_request(parsed(plan)), "tpm2");
  plan = plan_;
  std::get<BatchPlan>(plan.detail).family = se::Family::Atecc608;
  std::get<BatchPlan>(plan.detail).atecc608 = se::example_profile();
  expect_refused(run_request(parsed(plan)), "family atecc608 is off");
  plan = plan_;
  std::get<BatchPlan>(plan.detail).station = *StationId::from_bytes(Bytes(16, 7));
  expect_refused(run_request(parsed(plan)), "not enrolled");
}

TEST_F(HostileFrontEnd, GetsNothingForEntriesThatTheOfficersDidNotApprove) {
  run(*gate_, plan_);
  v1::GateRequest changed = segment_request(plan_, 0);
  se::Entry other = entries_[0];
  other.serial = *SeSerial::from_bytes(as_bytes("ffffffffffffffff"));
  changed.mutable_segment()->set_entries(0, to_string(se::canonical_entry(other)));
  expect_refused(changed, "not those that the officers approved");

  v1::GateRequest one_more = segment_request(plan_, 0);
  one_more.mutable_segment()->add_entries(to_string(se::canonical_entry(other)));
  expect_refused(one_more, "4 entries in the plan, 5 were given");

  v1::GateRequest elsewhere = segment_request(plan_, 1);
  elsewhere.mutable_segment()->set_index(0);
  expect_refused(elsewhere, "not those that the officers approved");

  v1::GateRequest beyond = segment_request(plan_, 0);
  beyond.mutable_segment()->set_index(2);
  expect_refused(beyond, "the plan has 2 segments");
}

TEST_F(HostileFrontEnd, GetsASegmentOnceThoughItAsksTwiceAtTheSameTime) {
  run(*gate_, plan_);
  int prepared = 0, refused = 0;
  const auto count = [&](const v1::GateReply& reply) {
    prepared += reply.has_prepared() ? 1 : 0;
    refused += reply.has_error() ? 1 : 0;
  };
  gate_->start(segment_request(plan_, 0), count);
  gate_->start(segment_request(plan_, 0), count);
  while (gate_->under_way() != 0) gate_->pump();
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(refused, 1);
}

TEST_F(HostileFrontEnd, GetsNoTrailerForWhatItDidNotPrepare) {
  run(*gate_, plan_);
  v1::GateRequest commit;
  commit.mutable_segment_commit()->set_plan_digest(plan_.digest.str());
  commit.mutable_segment_commit()->set_first_leaf(ledger_.log.size());
  expect_refused(commit, "was not prepared");
  const Made made = make(*gate_, segment_request(plan_, 0));
  ASSERT_FALSE(made.error);
  commit.mutable_segment_commit()->set_first_leaf(ledger_.log.size() + 17);
  expect_refused(commit, "the log stands at");
}

TEST_F(HostileFrontEnd, CannotReportWhatOnlyTheGateDoes) {
  v1::GateRequest request;
  request.mutable_report()->add_leaves()->mutable_key_issued()->set_record_no(1);
  expect_refused(request, "not the front end's to report");
}

TEST_F(HostileFrontEnd, GetsNoKeyForAContainerOfAStranger) {
  SystemRandom random;
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  v1::Opened opened = open(*gate_);
  Bytes card_octets(opened.card().ByteSizeLong());
  opened.card().SerializeToArray(card_octets.data(), static_cast<int>(card_octets.size()));
  const auto signed_card = std::get<token::SignedBytes>(token::parse_signed_bytes(card_octets));
  const auto card = std::get<token::ApplianceCard>(token::open_appliance_card(signed_card));
  const auto seal = [&](crypto::SoftKey& sender, token::ContainerType type) {
    const token::Header header{.type = type,
                               .container_id = random.id<ContainerId>(),
                               .batch_id = {},
                               .body_bound_bytes = 1000,
                               .sender = sender.public_key().key_id(),
                               .recipient = card.inbox_key.key_id()};
    Bytes body;
    token::Sealer sealer{header, card.inbox_key, [&](ByteView octets) { append(body, octets); }};
    const token::Sealed sealed = sealer.finish();
    v1::GateRequest request;
    request.mutable_inbox()->set_header(to_string(ByteView{body}.first(token::kHeaderSizeBytes)));
    request.mutable_inbox()->set_trailer(to_string(token::make_trailer(
        sealed, crypto::sign(sender, crypto::SignatureKind::Container, sealed.digest.bytes()))));
    request.mutable_inbox()->add_chunk_hashes(
        crypto::sha256(ByteView{body}.subspan(token::kHeaderSizeBytes)).str());
    return request;
  };
  expect_refused(seal(stranger, token::ContainerType::Receipts), "no enrolled station");
  expect_refused(seal(station_.signing, token::ContainerType::Segment), "receipts only");
  v1::GateRequest tampered = seal(station_.signing, token::ContainerType::Receipts);
  tampered.mutable_inbox()->set_chunk_hashes(0, std::string(32, 'h'));
  expect_refused(tampered, "");
  EXPECT_TRUE(gate_->call(seal(station_.signing, token::ContainerType::Receipts)).has_inbox_key());
}

TEST_F(HostileFrontEnd, GetsNothingForARequestWithAFieldThatNobodyKnows) {
  v1::GateRequest request = run_request(plan_);
  v1::RunPlanRequest& inside = *request.mutable_run_plan();
  inside.GetReflection()->MutableUnknownFields(&inside)->AddVarint(4095, 1);
  expect_refused(request, "does not know");
}

TEST_F(HostileFrontEnd, GetsNothingForFieldsBeyondTheirBounds) {
  v1::GateRequest request;
  request.mutable_run_plan()->set_plan(std::string(65'537, 'p'));
  expect_refused(request, "at most 65536 are taken");
  request.Clear();
  for (int i = 0; i < 4097; ++i) request.mutable_report()->add_leaves()->mutable_note()->set_event("flood");
  expect_refused(request, "at most 4096 are taken");
  request = segment_request(plan_, 0);
  request.mutable_segment()->set_entries(0, std::string(5000, 'e'));
  expect_refused(request, "at most 4096 are taken");
}

TEST_F(HostileFrontEnd, GetsNothingForAlteredOctetsOfAnApprovedPlan) {
  run_plan_and_look();
  v1::GateRequest request = segment_request(plan_, 0);
  request.mutable_segment()->set_plan(to_string(plan_.octets) + "# one comment more\n");
  expect_refused(request, "no approved batch");
  Plan other = plan_;
  std::get<BatchPlan>(other.detail).certificate_subject = "CN=root-{device_serial}";
  request.mutable_segment()->set_plan(to_string(parsed(other).octets));
  expect_refused(request, "no approved batch");
}

TEST_F(HostileFrontEnd, GetsNoSecondTrailerForOneSegment) {
  run_plan_and_look();
  const Made made = make(*gate_, segment_request(plan_, 0));
  static_cast<void>(commit(*gate_, plan_, made, 0));
  static_cast<void>(open(*gate_));
  expect_refused(commit_request(0), "was not prepared");
}

TEST_F(HostileFrontEnd, GetsNoTrailerForWhatItAbandoned) {
  run_plan_and_look();
  ASSERT_FALSE(make(*gate_, segment_request(plan_, 0)).error);
  v1::GateRequest abandon;
  abandon.mutable_segment_abandon()->set_plan_digest(plan_.digest.str());
  EXPECT_TRUE(gate_->call(abandon).has_done());
  expect_refused(commit_request(0), "was not prepared");
  expect_refused(abandon, "was not prepared");
}

TEST_F(HostileFrontEnd, GetsNoTrailerAtAWrongPlaceOfTheLog) {
  run_plan_and_look();
  ASSERT_FALSE(make(*gate_, segment_request(plan_, 0)).error);
  for (const std::uint64_t wrong : {std::uint64_t{0}, std::uint64_t{UINT64_MAX}, static_cast<std::uint64_t>(ledger_.log.size()) + 1}) {
    v1::GateRequest request = commit_request(0);
    request.mutable_segment_commit()->set_first_leaf(wrong);
    expect_refused(request, "the log stands at");
  }
}

TEST_F(HostileFrontEnd, GetsNoManifestOrExportBeforeAllSegmentsAreSealed) {
  run_plan_and_look();
  static_cast<void>(commit(*gate_, plan_, make(*gate_, segment_request(plan_, 1)), 1));
  static_cast<void>(open(*gate_));
  v1::GateRequest manifest;
  manifest.mutable_manifest()->set_plan(to_string(plan_.octets));
  expect_refused(manifest, "1 of 2 segments are sealed");
  expect_refused(commit_request(0, true), "the manifest was not prepared");
  v1::GateRequest export_request;
  export_request.mutable_export_token()->set_plan(to_string(plan_.octets));
  export_request.mutable_export_token()->set_token_id(std::string(16, 't'));
  expect_refused(export_request, "not sealed yet");
  v1::GateRequest close;
  close.mutable_close_batch()->set_plan_digest(plan_.digest.str());
  expect_refused(close, "no manifest yet");
}

TEST_F(HostileFrontEnd, CannotReportAnyKindOfLeafButItsOwn) {
  const auto* details = v1::LogLeaf::descriptor()->FindOneofByName("detail");
  ASSERT_NE(details, nullptr);
  const std::set<std::string> own{"receipt_accepted", "receipts_imported", "incident", "refused", "note", "custody", "ceremony"};
  v1::GateRequest report;
  v1::LogLeaf& leaf = *report.mutable_report()->add_leaves();
  int refused = 0;
  for (int i = 0; i < details->field_count(); ++i) {
    leaf.Clear();
    leaf.GetReflection()->MutableMessage(&leaf, details->field(i));
    if (own.contains(details->field(i)->name())) continue;
    const Error error = refusal_of(*gate_, report);
    EXPECT_NE(std::string{error.what()}.find("not the front end's to report"), std::string::npos) << details->field(i)->name();
    ++refused;
  }
  EXPECT_EQ(refused, details->field_count() - static_cast<int>(own.size()));
}

TEST_F(HostileFrontEnd, CannotReportACeremonyOfAnotherEnvironmentOrWithoutItsDigests) {
  v1::GateRequest good;
  v1::CeremonyLeaf& leaf = *good.mutable_report()->add_leaves()->mutable_ceremony();
  leaf.set_script("batch");
  leaf.set_script_sha256(std::string(32, 's'));
  leaf.set_transcript_sha256(std::string(32, 't'));
  leaf.set_html_sha256(std::string(32, 'h'));
  leaf.set_environment(v1::ENVIRONMENT_DEVELOPMENT);
  leaf.set_ended_ms(1'700'000'000'000);
  const auto refused = [&](const std::function<void(v1::CeremonyLeaf&)>& change) {
    v1::GateRequest request = good;
    change(*request.mutable_report()->mutable_leaves(0)->mutable_ceremony());
    expect_refused(request, "the report of a ceremony is malformed");
  };
  refused([](v1::CeremonyLeaf& one) { one.set_environment(v1::ENVIRONMENT_PRODUCTION); });
  refused([](v1::CeremonyLeaf& one) { one.set_environment(v1::ENVIRONMENT_REHEARSAL); });
  refused([](v1::CeremonyLeaf& one) { one.set_transcript_sha256("short"); });
  refused([](v1::CeremonyLeaf& one) { one.clear_html_sha256(); });
  refused([](v1::CeremonyLeaf& one) { one.set_script("a b"); });
  refused([](v1::CeremonyLeaf& one) { one.set_ended_ms(-1); });
  EXPECT_TRUE(gate_->call(good).has_done());
}

TEST_F(HostileFrontEnd, LosesItsConnectionForAnswersThatNobodyAskedFor) {
  v1::GateRequest answer;
  answer.mutable_stored()->set_store_id(99);
  EXPECT_EQ(refusal_of(*gate_, answer).code(), Code::Channel);
  gate_ = start_gate();
  EXPECT_TRUE(open(*gate_).initialized());
  answer.mutable_leaf_hashes()->add_hashes("x");
  EXPECT_EQ(refusal_of(*gate_, answer).code(), Code::Channel);
}

TEST_F(HostileFrontEnd, LosesItsConnectionForMoreRequestsThanAreServedAtOnce) {
  run_plan_and_look();
  const auto many = [&] {
    for (int i = 0; i < 64; ++i) gate_->start(segment_request(plan_, static_cast<std::uint32_t>(i % 2)), [](const v1::GateReply&) {});
    while (gate_->under_way() != 0) gate_->pump();
  };
  EXPECT_THROW(many(), Error);
  gate_ = start_gate();
  EXPECT_TRUE(open(*gate_).initialized());
  EXPECT_EQ(state_.open_plans(0).trailers_size(), 0) << "nothing was issued";
}

TEST_F(HostileFrontEnd, CannotFloodTheLogWithRefusals) {
  const std::size_t before = ledger_.log.size();
  for (int i = 0; i < 100; ++i) static_cast<void>(refusal_of(*gate_, {}));
  EXPECT_EQ(ledger_.log.size(), before + 16);
  v1::GateRequest report;
  report.mutable_report()->add_leaves()->mutable_note()->set_event("test");
  static_cast<void>(gate_->call(report));
  ASSERT_EQ(ledger_.log.size(), before + 18);
  v1::LogLeaf leaf;
  ASSERT_TRUE(leaf.ParseFromString(to_string(ledger_.log[before + 16])));
  EXPECT_EQ(leaf.refused().count(), 84U);
}

}  // namespace
}  // namespace keyferry::appliance::test
