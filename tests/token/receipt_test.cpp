#include "token/receipt.h"

#include <gtest/gtest.h>

#include "keyferry/v1/batch.pb.h"
#include "tests/token/sample_items.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

using test::reason_of;
using test::sample_core;

std::string core_reason(const std::function<void(pb::ReceiptCore&)>& change) {
  pb::ReceiptCore message;
  const Bytes octets = serialise_core(sample_core());
  EXPECT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  change(message);
  const std::string changed = message.SerializeAsString();
  return reason_of(parse_core(as_bytes(changed)));
}

TEST(ReceiptCoreOctets, ComeBackAsTheyWere) {
  const Bytes octets = serialise_core(sample_core());
  const auto parsed = parse_core(octets);
  ASSERT_EQ(reason_of(parsed), "");
  EXPECT_EQ(std::get<ReceiptCore>(parsed), sample_core());
  EXPECT_EQ(serialise_core(std::get<ReceiptCore>(parsed)), octets);
}

TEST(ReceiptCoreOctets, ComeBackWithAProofThatWentOnlySoFar) {
  ReceiptCore core = sample_core();
  core.proof = LineProof{.chain_sha256 = {core.certificate_sha256}, .from_se = 1};
  for (Verdict* verdict : {&core.verdicts.challenge, &core.verdicts.serial_registered})
    *verdict = Verdict::NotRun;
  EXPECT_EQ(std::get<ReceiptCore>(parse_core(serialise_core(core))), core);
  core.proof.reset();
  EXPECT_EQ(std::get<ReceiptCore>(parse_core(serialise_core(core))), core);
}

TEST(ReceiptCoreOctets, OfTheLargestProofFitIntoALeaf) {
  ReceiptCore core = sample_core();
  core.proof->chain_sha256.resize(kMaxProofChain);
  core.proof->certificate_serial.resize(kMaxSerialBytes);
  core.se_serial = *SeSerial::from_bytes(Bytes(64, 1));
  core.device_serial = std::string(64, 'S');
  core.key_name = std::string(63, 'k');
  const Bytes octets = serialise_core(core);
  EXPECT_LE(octets.size(), 1024U) << "token/FORMAT.md names this bound";
  EXPECT_NO_THROW(static_cast<void>(serialise_leaf({{1}, CoreLeaf{octets}})));
}

TEST(ReceiptCoreOctets, AreRefusedByTheirField) {
  struct Case {
    std::function<void(pb::ReceiptCore&)> change;
    const char* reason;
  };

  const std::vector<Case> cases{
      {[](auto& m) { m.set_kind("keyferry/v1/approval"); }, "kind"},
      {[](auto& m) { m.clear_kind(); }, "kind"},
      {[](auto& m) { m.set_batch_id("x"); }, "batch-id"},
      {[](auto& m) { m.clear_manifest_digest(); }, "manifest-digest"},
      {[](auto& m) { m.set_certificate_sha256(std::string(31, 'x')); }, "certificate-sha256"},
      {[](auto& m) { m.set_challenge(std::string(33, 'x')); }, "challenge"},
      {[](auto& m) { m.set_family(static_cast<pb::Family>(9)); }, "family"},
      {[](auto& m) { m.clear_se_serial(); }, "se-serial"},
      {[](auto& m) { m.set_key_name("a b"); }, "key-name"},
      {[](auto& m) { m.set_device_serial("-1"); }, "device-serial"},
      {[](auto& m) { m.clear_station_id(); }, "station-id"},
      {[](auto& m) { m.set_start_ms(-1); }, "start-ms"},
      {[](auto& m) { m.set_end_ms(253'402'300'800'000); }, "end-ms"},
      {[](auto& m) { m.clear_verdicts(); }, "verdicts"},
      {[](auto& m) { m.mutable_verdicts()->set_firmware(static_cast<pb::Verdict>(5)); },
       "verdicts"},
      {[](auto& m) { m.mutable_proof()->add_chain_sha256("x"); }, "proof-chain"},
      {[](auto& m) { m.mutable_proof()->set_from_se(3); }, "proof-chain"},
      {[](auto& m) {
         while (m.proof().chain_sha256_size() <= 8)
           m.mutable_proof()->add_chain_sha256(std::string(32, 'x'));
       },
       "proof-chain"},
      {[](auto& m) { m.mutable_proof()->set_anchor_sha256("x"); }, "proof-anchor"},
      {[](auto& m) { m.mutable_proof()->set_verified_at_ms(-1); }, "proof-time"},
      {[](auto& m) { m.mutable_proof()->set_challenge_signature(std::string(63, 'x')); },
       "proof-challenge"},
      {[](auto& m) { m.mutable_proof()->set_certificate_serial(std::string(21, 'x')); },
       "proof-serial"},
      {[](auto& m) { m.mutable_proof()->mutable_firmware()->clear_image_sha256(); },
       "proof-firmware"},
      {[](auto& m) { m.mutable_proof()->mutable_firmware()->set_signature_sha256("x"); },
       "proof-firmware"},
      {[](auto& m) {
         m.mutable_proof()->mutable_firmware()->set_check(pb::FIRMWARE_CHECK_UNSPECIFIED);
       },
       "proof-firmware"},
      {[](auto& m) { m.mutable_proof()->mutable_firmware()->set_key_sha256("x"); },
       "proof-firmware"},
      {[](auto& m) { m.set_evidence_kind(pb::EVIDENCE_KIND_UNSPECIFIED); }, "evidence-kind"},
      {[](auto& m) { m.set_evidence_kind(pb::EVIDENCE_KIND_NONE); }, "evidence-kind"},
      {[](auto& m) { m.set_outcome(pb::OUTCOME_QUARANTINED); }, "evidence-kind"},
      {[](auto& m) { m.set_outcome(static_cast<pb::Outcome>(4)); }, "outcome"},
      {[](auto& m) { m.set_reason("chain"); }, "reason"},
      {[](auto& m) {
         m.set_outcome(pb::OUTCOME_QUARANTINED);
         m.set_evidence_kind(pb::EVIDENCE_KIND_NONE);
       },
       "reason"},
      {[](auto& m) {
         m.set_outcome(pb::OUTCOME_QUARANTINED);
         m.set_evidence_kind(pb::EVIDENCE_KIND_NONE);
         m.set_reason("=cmd()");
       },
       "reason"},
  };
  for (const Case& wrong : cases) EXPECT_EQ(core_reason(wrong.change), wrong.reason);
}

TEST(ReceiptCoreOctets, OfQuarantineAndReturnCarryNoEvidence) {
  ReceiptCore core = sample_core();
  core.outcome = Outcome::Quarantined;
  core.evidence_kind = EvidenceKind::None;
  core.reason = "signature-invalid";
  EXPECT_EQ(reason_of(parse_core(serialise_core(core))), "");
  core.outcome = Outcome::Returned;
  EXPECT_THROW(serialise_core(core), Error);
  core.reason.clear();
  core.device_serial.clear();
  EXPECT_EQ(reason_of(parse_core(serialise_core(core))), "");
}

TEST(StationLeafOctets, ComeBackAsTheyWere) {
  const std::vector<StationLeaf> leaves{
      test::sample_leaf(),
      {{5}, VoidLeaf{17, "power-lost"}},
      {{5}, EventLeaf{"batch.loaded 00ff"}},
  };
  for (const StationLeaf& leaf : leaves) {
    const auto parsed = parse_leaf(serialise_leaf(leaf));
    ASSERT_EQ(reason_of(parsed), "");
    EXPECT_EQ(std::get<StationLeaf>(parsed), leaf);
  }
}

TEST(StationLeafOctets, AreRefusedWhenTheyAreNotOfTheForm) {
  EXPECT_THROW(serialise_leaf({{5}, EventLeaf{""}}), Error);
  EXPECT_THROW(serialise_leaf({{5}, EventLeaf{"a\nb"}}), Error);
  EXPECT_THROW(serialise_leaf({{5}, EventLeaf{std::string(129, 'a')}}), Error);
  EXPECT_THROW(serialise_leaf({{5}, VoidLeaf{1, "Lost"}}), Error);
  EXPECT_THROW(serialise_leaf({{5}, CoreLeaf{}}), Error);
  EXPECT_THROW(serialise_leaf({{5}, CoreLeaf{Bytes(kMaxLeafBytes, 1)}}), Error);
  pb::StationLeaf message;
  message.set_version(1);
  EXPECT_EQ(reason_of(parse_leaf(as_bytes(message.SerializeAsString()))), "leaf");
  message.set_event("log.opened");
  message.set_version(2);
  EXPECT_EQ(reason_of(parse_leaf(as_bytes(message.SerializeAsString()))), "version");
}

TEST(StationLogHeadOctets, ComeBackAsTheyWere) {
  const auto parsed = parse_head(serialise_head(test::sample_head()));
  ASSERT_EQ(reason_of(parsed), "");
  EXPECT_EQ(std::get<StationLogHead>(parsed), test::sample_head());
  StationLogHead head = test::sample_head();
  head.generation = 0;
  EXPECT_THROW(serialise_head(head), Error);
}

}  // namespace
}  // namespace keyferry::token
