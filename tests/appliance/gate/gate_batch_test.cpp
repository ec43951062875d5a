#include <chrono>
#include <fstream>
#include <iterator>

#include "tests/appliance/gate/gate_fixture.h"
#include "token/items.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/path.h"

namespace keyferry::appliance::test {
namespace {

class GateBatch : public GateFixture {
 protected:
  /// The station's view of body and trailer: records in order.
  std::vector<token::Record> open_segment(const Made& made, const v1::SegmentIssued& issued) {
    const std::filesystem::path file = store_.folder() / "segment.kf";
    Bytes whole = made.body;
    append(whole, as_bytes(issued.trailer()));
    write_file_durably(file, whole, Overwrite::Replace);
    const Fd fd = open_regular_file(file, Code::Storage);
    const auto outlined = token::outline(fd, {.type = token::ContainerType::Segment,
                                              .environment = token::Environment::Development,
                                              .recipient = station_.agreement.public_key().key_id(),
                                              .max_body_bytes = 1U << 30});
    const auto& outline = std::get<token::Outline>(outlined);
    EXPECT_EQ(outline.digest.str(), issued.digest());
    crypto::SoftDhKey key{std::move(station_.agreement)};
    const auto content_key = token::open_content_key(outline.trailer.enc, outline.header_bytes, key);
    std::vector<token::Record> records;
    const auto read = token::read_items(fd, outline, *content_key, [&](token::Item&& item) -> token::Checked {
      if (auto* record = std::get_if<token::Record>(&item)) records.push_back(std::move(*record));
      return std::monostate{};
    });
    EXPECT_TRUE(std::holds_alternative<std::monostate>(read));
    return records;
  }
};

TEST_F(GateBatch, MakesASegmentThatOnlyItsStationOpensWithCertificatesThatChainToTheCa) {
  const auto gate = start_gate();
  EXPECT_FALSE(open(*gate).initialized());
  make_appliance(*gate);
  const Plan plan = batch_plan(5, 4);
  run(*gate, plan);
  const Made made = make(*gate, segment_request(plan, 0));
  ASSERT_FALSE(made.error) << made.error->text();
  ASSERT_EQ(made.records.size(), 4U);
  const v1::SegmentIssued issued = commit(*gate, plan, made, 0);

  Bytes certificates;
  SecretBytes key = SecretBytes::copy_of(as_bytes(issued.certificates_key()));
  ASSERT_TRUE(crypto::AesGcm{key}.open(Bytes(12), as_bytes(issued.container_id()), made.sealed_certificates, certificates));
  const auto records = open_segment(made, issued);
  ASSERT_EQ(records.size(), 4U);
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].record_no.value, i);
    EXPECT_EQ(records[i].payload.size(), 80U);
    EXPECT_EQ(to_string(records[i].public_key.point()), made.records[i].public_key());
    EXPECT_EQ(crypto::sha256(records[i].certificate).str(), made.records[i].certificate_sha256());
    const std::vector<Bytes> chain{records[i].certificate};
    const auto verified = x509::verify_chain(chain, records[i].issuers, UtcMillis{SystemClock{}.now().value + 1000});
    ASSERT_TRUE(std::holds_alternative<x509::ChainFacts>(verified)) << std::get<Refusal>(verified).text;
    EXPECT_EQ(std::get<x509::ChainFacts>(verified).key, records[i].public_key);
  }
}

TEST_F(GateBatch, HandsOutTheSameTrailerAgainOctetForOctetAlsoAfterARestart) {
  auto gate = start_gate();
  make_appliance(*gate);
  const Plan plan = batch_plan(4, 4);
  run(*gate, plan);
  const v1::SegmentIssued first = commit(*gate, plan, make(*gate, segment_request(plan, 0)), 0);
  const Made again = make(*gate, segment_request(plan, 0));
  ASSERT_TRUE(again.issued);
  EXPECT_EQ(again.issued->trailer(), first.trailer());
  EXPECT_TRUE(again.body.empty());
  gate.reset();
  gate = start_gate();
  ASSERT_TRUE(open(*gate).initialized());
  const Made later = make(*gate, segment_request(plan, 0));
  ASSERT_TRUE(later.issued);
  EXPECT_EQ(later.issued->trailer(), first.trailer());
}

/// Processes that the gate has started and that have not ended.
std::size_t children_of(pid_t parent) {
  std::ifstream children{"/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children"};
  return static_cast<std::size_t>(std::distance(std::istream_iterator<pid_t>{children}, {}));
}

TEST_F(GateBatch, StartsEveryKeyWorkerAtOnceWhereABatchIsExpectedAndElseOne) {
  initialize(*start_gate());
  GateSettings settings = read_settings(settings_file_);
  settings.workers = 3;
  write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
  {
    const auto gate = start_gate();
    static_cast<void>(open(*gate));
    EXPECT_EQ(children_of(gate->gate_pid()), 2U) << "one for the state, one for keys";
  }
  start_workers_ = true;
  const auto gate = start_gate();
  static_cast<void>(open(*gate));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  while (children_of(gate->gate_pid()) != 4 && std::chrono::steady_clock::now() < end) {
    static_cast<void>(open(*gate));  // the gate goes on with its own work between two requests
  }
  EXPECT_EQ(children_of(gate->gate_pid()), 4U) << "no segment was asked for";
}

TEST_F(GateBatch, MakesASegmentAnewWhenItsTrailerWasNeverStored) {
  auto gate = start_gate();
  make_appliance(*gate);
  const Plan plan = batch_plan(4, 4);
  run(*gate, plan);
  const Made lost = make(*gate, segment_request(plan, 0));
  gate.reset();  // cut before the commit
  gate = start_gate();
  ASSERT_TRUE(open(*gate).initialized());
  const Made made = make(*gate, segment_request(plan, 0));
  ASSERT_FALSE(made.issued);
  EXPECT_NE(made.prepared.container_id(), lost.prepared.container_id());
  EXPECT_NE(made.records[0].certificate_serial(), lost.records[0].certificate_serial());
  EXPECT_FALSE(commit(*gate, plan, made, 0).trailer().empty());
}

// A front end that asks for a segment again while its trailer is being signed: two keys for one SE would be out (I7).
TEST_F(GateBatch, MakesNoSegmentTwiceAlsoWhileItIsBeingCommitted) {
  const auto gate = start_gate();
  make_appliance(*gate);
  const Plan plan = batch_plan(8, 4);
  run(*gate, plan);
  const Made made = make(*gate, segment_request(plan, 0));
  ASSERT_FALSE(made.error);
  std::optional<v1::GateReply> committed;
  gate->start(commit_request(plan, made, 0), [&](const v1::GateReply& reply) { committed = reply; });
  const Made again = make(*gate, segment_request(plan, 0));
  while (!committed) gate->pump();
  ASSERT_TRUE(committed->has_issued()) << committed->error().text();
  ledger_.checkpoint = committed->issued().checkpoint();
  EXPECT_TRUE(again.records.empty());
  EXPECT_TRUE(again.body.empty());
  ASSERT_TRUE(again.issued || again.error);
  if (again.issued) {
    EXPECT_EQ(again.issued->trailer(), committed->issued().trailer());
  } else {
    EXPECT_NE(again.error->text().find("being made already"), std::string::npos) << again.error->text();
  }
  const Made afterwards = make(*gate, segment_request(plan, 0));
  ASSERT_TRUE(afterwards.issued);
  EXPECT_EQ(afterwards.issued->trailer(), committed->issued().trailer());
}

TEST_F(GateBatch, SealsTheManifestLastAndExportsToOneTokenOnly) {
  const auto gate = start_gate();
  make_appliance(*gate);
  const Plan plan = batch_plan(6, 4);
  run(*gate, plan);
  v1::GateRequest manifest;
  manifest.mutable_manifest()->set_plan(to_string(plan.octets));
  v1::GateRequest export_request;
  export_request.mutable_export_token()->set_plan(to_string(plan.octets));
  export_request.mutable_export_token()->set_token_id(std::string(16, 't'));
  commit(*gate, plan, make(*gate, segment_request(plan, 0)), 0);
  const Made early = make(*gate, manifest);
  ASSERT_TRUE(early.error);
  EXPECT_NE(early.error->text().find("1 of 2 segments"), std::string::npos) << early.error->text();
  EXPECT_EQ(refusal_of(*gate, export_request).code(), Code::Refused);
  commit(*gate, plan, make(*gate, segment_request(plan, 1)), 1);
  v1::GateRequest with_declaration = manifest;
  with_declaration.mutable_manifest()->set_certification_declaration("not in the plan");
  const Made foreign = make(*gate, with_declaration);
  ASSERT_TRUE(foreign.error);
  EXPECT_NE(foreign.error->text().find("names no Certification Declaration"), std::string::npos) << foreign.error->text();
  const Made made = make(*gate, manifest);
  ASSERT_FALSE(made.error) << made.error->text();
  const v1::SegmentIssued issued = commit(*gate, plan, made, 0, true);
  EXPECT_EQ(make(*gate, manifest).issued->trailer(), issued.trailer());

  EXPECT_TRUE(gate->call(export_request).has_ticket());
  EXPECT_TRUE(gate->call(export_request).has_ticket()) << "the same token again is the same export";
  export_request.mutable_export_token()->set_token_id(std::string(16, 'u'));
  EXPECT_EQ(refusal_of(*gate, export_request).code(), Code::Refused);
  static_cast<void>(open(*gate));
  Plan again = this->plan(Operation::BatchReexport);
  again.detail = BatchReexportPlan{plan.batch_id(), "first token was lost"};
  run(*gate, parsed(again));
  EXPECT_TRUE(gate->call(export_request).has_ticket());

  v1::GateRequest close;
  close.mutable_close_batch()->set_plan_digest(plan.digest.str());
  EXPECT_TRUE(gate->call(close).has_done());
  EXPECT_TRUE(gate->call(close).has_done()) << "closing twice changes nothing";
  ASSERT_TRUE(make(*gate, segment_request(plan, 0)).error) << "a sealed batch makes nothing more";
}

}  // namespace
}  // namespace keyferry::appliance::test
