// A batch under an outside CA, at the gate: what waits is opened once, for what officers approved, and never otherwise.
#include <functional>

#include "appliance/plan/outside_certificate.h"
#include "tests/appliance/gate/gate_fixture.h"
#include "token/audit/merkle.h"
#include "token/items.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/request.h"

namespace keyferry::appliance::test {
namespace {

constexpr std::uint32_t kRecords = 4;
constexpr std::uint32_t kSegment = 2;

/// A CA whose key is nowhere near the appliance.
class SoftCa {
 public:
  explicit SoftCa(UtcMillis now) : from_{now.value - 172'800'000}, until_{now.value + 400'000'000'000} {
    const x509::CaSpec spec{.subject = "CN=Outside Root,O=Outside", .not_before = from_, .not_after = until_};
    const Bytes tbs = x509::ca_to_be_signed(spec, x509::make_serial(random_), key_.public_key());
    certificate_ = x509::assemble(tbs, key_.sign_digest(crypto::sha256(tbs)));
  }

  [[nodiscard]] const Bytes& certificate() const { return certificate_; }

  [[nodiscard]] Bytes issue(const BatchPlan& batch, const se::Entry& entry, const crypto::PublicKey& key) {
    const auto issuer = std::get<x509::CertificateFacts>(x509::parse_certificate(certificate_));
    x509::DeviceTemplate device = batch.device_template();
    device.issuer_name = issuer.subject_name;
    device.issuer_key_identifier = issuer.subject_key_identifier;
    const Bytes tbs =
        x509::CertificateBuilder{device}.to_be_signed(x509::make_serial(random_), subject_fields(entry), key);
    return x509::assemble(tbs, key_.sign_digest(crypto::sha256(tbs)));
  }

 private:
  SystemRandom random_;
  crypto::SoftKey key_ = crypto::SoftKey::generate();
  UtcMillis from_, until_;
  Bytes certificate_;
};

class GateOutside : public GateFixture {
 protected:
  void SetUp() override {
    gate_ = start_gate();
    make_appliance(*gate_);
    Plan import = plan(Operation::CaImport);
    import.detail = CaImportPlan{"outside", x509::CaKind::Root, {ca_.certificate()}};
    run(*gate_, parsed(import));
    plan_ = outside_plan();
    run(*gate_, plan_);
  }

  [[nodiscard]] Plan outside_plan() {
    Plan made = batch_plan(kRecords, kSegment);
    BatchPlan batch = made.batch();
    batch.certificate_authority = "outside";
    batch.outside = true;
    made.detail = batch;
    return parsed(made);
  }

  /// Keys and requests of one segment: the waiting container as it lies on the disk.
  Bytes wait(std::uint32_t index) {
    const Made made = make(*gate_, segment_request(plan_, index));
    EXPECT_FALSE(made.error) << made.error->text();
    const v1::SegmentIssued issued = commit(*gate_, plan_, made, index);
    Bytes whole = made.body;
    append(whole, as_bytes(issued.trailer()));
    Bytes requests;
    SecretBytes key = SecretBytes::copy_of(as_bytes(issued.certificates_key()));
    EXPECT_TRUE(crypto::AesGcm{key}.open(Bytes(12), as_bytes(issued.container_id()), made.sealed_certificates, requests));
    for (ByteView rest = requests; rest.size() > 2;) {
      const std::size_t size = read_u16be(rest);
      const auto request = x509::parse_request(rest.subspan(2, size));
      EXPECT_TRUE(std::holds_alternative<x509::RequestFacts>(request));
      requests_.push_back(std::get<x509::RequestFacts>(request));
      rest = rest.subspan(2 + size);
    }
    return whole;
  }

  void wait_for_all() {
    for (std::uint32_t index = 0; index < kRecords / kSegment; ++index) waiting_.push_back(wait(index));
    v1::GateRequest close;
    close.mutable_close_batch()->set_plan_digest(plan_.digest.str());
    close.mutable_close_batch()->set_waiting(true);
    EXPECT_TRUE(gate_->call(close).has_done());
    EXPECT_TRUE(gate_->call(close).has_done()) << "given twice it changes nothing";
    static_cast<void>(open(*gate_));
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      certificates_.push_back(ca_.issue(plan_.batch(), entries_[i], requests_[i].key));
    }
  }

  [[nodiscard]] std::vector<Digest> certificate_leaves() const {
    std::vector<Digest> leaves;
    for (const Bytes& certificate : certificates_) leaves.push_back(audit::leaf_hash(certificate));
    return leaves;
  }

  [[nodiscard]] Plan certify_plan() {
    Plan certify = plan(Operation::BatchCertify);
    certify.detail = BatchCertifyPlan{plan_.batch_id(), "outside", kRecords, audit::tree_root(certificate_leaves())};
    return parsed(certify);
  }

  [[nodiscard]] v1::GateRequest certified_request(std::uint32_t index) {
    v1::GateRequest request = segment_request(plan_, index);
    v1::SegmentRequest& segment = *request.mutable_segment();
    segment.set_waiting(to_string(waiting_.at(index)));
    for (std::uint32_t i = 0; i < kSegment; ++i) segment.add_certificates(to_string(certificates_.at(index * kSegment + i)));
    const auto roots = audit::block_roots(certificate_leaves(), kSegment);
    for (const Digest& hash : audit::subtree_path(roots, index, kSegment, kRecords)) segment.add_certificates_path(hash.str());
    return request;
  }

  void expect_refused(const v1::GateRequest& request, const std::string& words) {
    const Made made = make(*gate_, request);
    ASSERT_TRUE(made.error) << "the gate did what it should have refused";
    EXPECT_NE(made.error->text().find(words), std::string::npos) << made.error->text();
    EXPECT_TRUE(made.body.empty()) << "nothing was sealed";
  }

  std::unique_ptr<GateClient> gate_;
  SoftCa ca_{SystemClock{}.now()};
  Plan plan_;
  std::vector<Bytes> waiting_;
  std::vector<x509::RequestFacts> requests_;
  std::vector<Bytes> certificates_;
};

TEST_F(GateOutside, SealsToTheStationWhatWaitedOnceOfficersApprovedTheCertificates) {
  wait_for_all();
  ASSERT_EQ(requests_.size(), kRecords);
  run(*gate_, certify_plan());
  for (std::uint32_t index = 0; index < 2; ++index) {
    const Made made = make(*gate_, certified_request(index));
    ASSERT_FALSE(made.error) << made.error->text();
    const v1::SegmentIssued issued = commit(*gate_, plan_, made, index);
    const Made again = make(*gate_, certified_request(index));
    ASSERT_TRUE(again.issued) << "opened once: the same trailer is handed out again";
    EXPECT_EQ(again.issued->trailer(), issued.trailer());
    for (std::uint32_t i = 0; i < kSegment; ++i) {
      const auto facts = std::get<x509::CertificateFacts>(x509::parse_certificate(certificates_[index * kSegment + i]));
      EXPECT_EQ(made.records[i].certificate_sha256(), facts.sha256.str());
      EXPECT_EQ(made.records[i].outside_serial(), to_string(facts.serial));
      EXPECT_EQ(made.records[i].certificate_serial(), to_string(outside_serial_id(facts)));
    }
  }
  v1::GateRequest manifest;
  manifest.mutable_manifest()->set_plan(to_string(plan_.octets));
  const Made made = make(*gate_, manifest);
  ASSERT_FALSE(made.error) << made.error->text();
  commit(*gate_, plan_, made, 0, true);
  v1::GateRequest close;
  close.mutable_close_batch()->set_plan_digest(plan_.digest.str());
  EXPECT_TRUE(gate_->call(close).has_done());
  expect_refused(certified_request(0), "sealed");
  static_cast<void>(open(*gate_));
  EXPECT_EQ(refusal_of(*gate_, run_request(certify_plan())).code(), Code::Refused) << "a sealed batch waits for nothing";
}

TEST_F(GateOutside, OpensNothingBeforeOfficersApproved) {
  wait_for_all();
  expect_refused(certified_request(0), "before officers approve");
  expect_refused(segment_request(plan_, 0), "before officers approve");
}

TEST_F(GateOutside, ApprovesNoCertificatesBeforeEveryKeyIsMade) {
  waiting_.push_back(wait(0));
  static_cast<void>(open(*gate_));
  Plan certify = plan(Operation::BatchCertify);
  certify.detail = BatchCertifyPlan{plan_.batch_id(), "outside", kRecords, Digest{}};
  const Error refused = refusal_of(*gate_, run_request(parsed(certify)));
  EXPECT_NE(std::string{refused.what()}.find("does not wait"), std::string::npos) << refused.what();
  v1::GateRequest close;
  close.mutable_close_batch()->set_plan_digest(plan_.digest.str());
  close.mutable_close_batch()->set_waiting(true);
  EXPECT_NE(std::string{refusal_of(*gate_, close).what()}.find("1 of 2"), std::string::npos);
}

TEST_F(GateOutside, TakesNoCertificateThatWasNotApproved) {
  wait_for_all();
  run(*gate_, certify_plan());
  const v1::GateRequest good = certified_request(0);
  v1::GateRequest other = good;
  other.mutable_segment()->set_certificates(1, to_string(ca_.issue(plan_.batch(), entries_[1], requests_[1].key)));
  expect_refused(other, "not those that the officers approved");
  v1::GateRequest swapped = good;
  swapped.mutable_segment()->mutable_certificates()->SwapElements(0, 1);
  expect_refused(swapped, "not those that the officers approved");
  v1::GateRequest fewer = good;
  fewer.mutable_segment()->mutable_certificates()->RemoveLast();
  expect_refused(fewer, "1 certificates were given");
  EXPECT_FALSE(make(*gate_, good).error) << "and then the right ones are taken";
}

// Officers may approve other certificates as long as nothing is sealed: what was prepared with the old ones never is.
TEST_F(GateOutside, SealsNothingWithCertificatesWhoseApprovalWasReplaced) {
  wait_for_all();
  run(*gate_, certify_plan());
  const Made made = make(*gate_, certified_request(0));
  ASSERT_FALSE(made.error) << made.error->text();
  certificates_[kSegment] = ca_.issue(plan_.batch(), entries_[kSegment], requests_[kSegment].key);
  run(*gate_, certify_plan());
  const Error refused = refusal_of(*gate_, commit_request(plan_, made, 0));
  EXPECT_NE(std::string{refused.what()}.find("other certificates"), std::string::npos) << refused.what();
}

/// Whatever the front end took in and officers approved unread: the worker looks itself.
TEST_F(GateOutside, ChecksEachApprovedCertificateAgainstKeyEntryAndCa) {
  wait_for_all();
  BatchPlan longer = plan_.batch();
  longer.not_after.value += 86'400'000;
  SoftCa other_ca{SystemClock{}.now()};
  struct Case {
    Bytes certificate;
    const char* words;
  };
  const std::vector<Case> cases{
      {ca_.issue(plan_.batch(), entries_[1], crypto::SoftKey::generate().public_key()), "another key"},
      {ca_.issue(plan_.batch(), entries_[2], requests_[1].key), "was requested"},
      {ca_.issue(longer, entries_[1], requests_[1].key), "was ordered"},
      {other_ca.issue(plan_.batch(), entries_[1], requests_[1].key), "not signed by the enrolled key"},
      {ca_.certificate(), "another key"},
      {Bytes(40, 7), "certificate"},
  };
  const Bytes good = certificates_[1];
  for (const Case& wrong : cases) {
    certificates_[1] = wrong.certificate;
    run(*gate_, certify_plan());
    expect_refused(certified_request(0), wrong.words);
    expect_refused(certified_request(0), "record 1");
  }
  certificates_[1] = good;
  run(*gate_, certify_plan());
  EXPECT_FALSE(make(*gate_, certified_request(0)).error);
}

TEST_F(GateOutside, OpensNoContainerButItsOwnInItsPlace) {
  wait_for_all();
  run(*gate_, certify_plan());
  const Bytes good = waiting_[0];
  struct Case {
    Bytes container;
    const char* words;
  };
  Bytes changed = good;
  changed[200] ^= 1;
  Bytes trailer = good;
  trailer.back() ^= 1;
  Bytes of_another = good;
  std::ranges::copy(ByteView{waiting_[1]}.last(token::kTrailerSizeBytes), of_another.end() - token::kTrailerSizeBytes);
  Bytes another_type = good;
  another_type[12] = 1;
  const std::vector<Case> cases{{waiting_[1], "number 1"},
                                {changed, "sign"},
                                {trailer, "sign"},
                                {of_another, "sign"},
                                {another_type, "type"},
                                {Bytes(good.begin(), good.end() - 1), ""},
                                {Bytes(good.begin(), good.begin() + 100), ""},
                                {Bytes(4096, 0), "container"}};
  for (const Case& wrong : cases) {
    waiting_[0] = wrong.container;
    expect_refused(certified_request(0), wrong.words);
  }
  waiting_[0] = good;
  EXPECT_FALSE(make(*gate_, certified_request(0)).error);
}

TEST_F(GateOutside, MakesKeysAnewWhenTheirTrailerWasNeverStoredAndHandsOutTheSameOneAfterwards) {
  const Made lost = make(*gate_, segment_request(plan_, 0));
  gate_.reset();  // cut before the commit
  gate_ = start_gate();
  ASSERT_TRUE(open(*gate_).initialized());
  const Made made = make(*gate_, segment_request(plan_, 0));
  ASSERT_FALSE(made.error) << made.error->text();
  EXPECT_NE(made.records[0].public_key(), lost.records[0].public_key());
  const v1::SegmentIssued issued = commit(*gate_, plan_, made, 0);
  gate_.reset();
  gate_ = start_gate();
  ASSERT_TRUE(open(*gate_).initialized());
  const Made again = make(*gate_, segment_request(plan_, 0));
  ASSERT_TRUE(again.issued);
  EXPECT_EQ(again.issued->trailer(), issued.trailer());
}

TEST_F(GateOutside, OpensNothingOfABatchThatOfficersClosed) {
  wait_for_all();
  run(*gate_, certify_plan());
  Plan close = plan(Operation::BatchClose);
  close.detail = BatchClosePlan{plan_.batch_id(), RecordSet{0, crypto::sha256({})}, "the CA is gone"};
  run(*gate_, parsed(close));
  expect_refused(certified_request(0), "closed");
}

TEST_F(GateOutside, SaysInThePlanThatTheCaIsAnOutsideOne) {
  Plan hidden = outside_plan();
  BatchPlan batch = hidden.batch();
  batch.outside = false;
  hidden.detail = batch;
  EXPECT_NE(std::string{refusal_of(*gate_, run_request(parsed(hidden))).what()}.find("outside"), std::string::npos);
  batch.outside = true;
  batch.certificate_authority = "ca";
  hidden.detail = batch;
  EXPECT_NE(std::string{refusal_of(*gate_, run_request(parsed(hidden))).what()}.find("kept in the HSM"), std::string::npos);
}

}  // namespace
}  // namespace keyferry::appliance::test
