// Receipts of ATECC608 chips: where plan and inventory make an attestation possible, nothing less is taken.
#include <gtest/gtest.h>

#include "tests/appliance/ferry_fixture.h"
#include "wrap/crypto/hash.h"
#include "wrap/evidence/atecc608.h"

namespace keyferry::appliance {
namespace {

class Atecc608Receipts : public FerryTest {
 protected:
  Atecc608Receipts() : FerryTest{se::Family::Atecc608} {}

  /// What the chip of `record` says of itself, over `core`.
  [[nodiscard]] Bytes attestation(std::uint32_t record, ByteView core, crypto::SoftKey& by) const {
    evidence::Atecc608Attestation made{.slot = slot_};
    const auto message = evidence::attestation_message(
        slot_,
        se_keys_[record].public_key(),
        crypto::signing_digest(crypto::SignatureKind::Receipt, core),
        serial_of(record));
    std::ranges::copy(by.sign_digest(crypto::sha256(message)), made.signature.begin());
    return evidence::serialise_attestation(made);
  }

  [[nodiscard]] token::ReceiptEntry attested(std::uint32_t record) {
    auto claimed = core(record);
    claimed.evidence_kind = token::EvidenceKind::Attested;
    const Bytes octets = token::serialise_core(claimed);
    token::ReceiptEntry made = signed_entry(record, octets);
    made.attestation = attestation(record, octets, attestation_keys_[record]);
    return made;
  }

  [[nodiscard]] std::string evidence_of(std::uint32_t record) {
    SQLite::Statement query{ledger_->database(),
                            "SELECT evidence, length(attestation) FROM receipt WHERE record_no = :no"};
    query.bind(":no", record);
    if (!query.executeStep()) return "none stored";
    return query.getColumn(0).getString() + (query.getColumn(1).getInt() == 0 ? "" : " with octets");
  }

  evidence::Atecc608Slot slot_{.target_slot = 0,
                               .attestation_slot = 1,
                               .slot_config = {0x81, 0x44},
                               .key_config = {0x33, 0x00}};
};

TEST_F(Atecc608Receipts, AreTakenAttestedWhereTheChipsKeyIsKnownAndPossessionElsewhere) {
  expect_imported({.entries = {attested(0), attested(1), entry(core(2)), entry(core(3))}});
  EXPECT_EQ(sums().injected, 4U);
  EXPECT_TRUE(agrees());
  EXPECT_EQ(evidence_of(0), "attested with octets");
  EXPECT_EQ(evidence_of(1), "attested with octets");
  EXPECT_EQ(evidence_of(2), "possession");
}

TEST_F(Atecc608Receipts, AreRefusedWithPossessionWhereTheChipCouldAttest) {
  EXPECT_EQ(stage({.entries = {entry(core(0))}}), "receipt-evidence");
}

TEST_F(Atecc608Receipts, AreRefusedAsAttestedWhereNoKeyOfTheChipIsKnown) {
  EXPECT_EQ(stage({.entries = {attested(2)}}), "receipt-evidence");
}

TEST_F(Atecc608Receipts, AreRefusedWithTheAttestationOfAnotherChip) {
  token::ReceiptEntry swapped = attested(0);
  swapped.attestation = attested(1).attestation;
  EXPECT_EQ(stage({.entries = {swapped}}), "attestation-invalid");
}

TEST_F(Atecc608Receipts, AreRefusedWithTheAttestationOfAnotherSlot) {
  slot_.target_slot = 2;
  EXPECT_EQ(stage({.entries = {attested(0)}}), "attestation-slot");
}

TEST_F(Atecc608Receipts, AreRefusedWithoutTheAttestationTheyClaim) {
  token::ReceiptEntry bare = attested(0);
  bare.attestation.clear();
  EXPECT_EQ(stage({.entries = {bare}}), "attestation-missing");
}

TEST_F(Atecc608Receipts, AreRefusedWithAnAttestationThatTheyDoNotClaim) {
  token::ReceiptEntry odd = entry(core(2));
  odd.attestation = attested(0).attestation;
  EXPECT_EQ(stage({.entries = {odd}}), "receipt-evidence");
}

TEST_F(Atecc608Receipts, MayBeQuarantinedWithoutEvidence) {
  expect_imported({.entries = {entry(core(0, token::Outcome::Quarantined))}});
  EXPECT_EQ(evidence_of(0), "none");
}

TEST_F(Atecc608Receipts, ComeFromRecordsWhoseNoncesNeverRepeat) {
  EXPECT_EQ(count("seen_nonce"), 4);
  std::vector<RecordRow> again = records_;
  for (RecordRow& row : again) {
    row.public_key = to_bytes(crypto::SoftKey::generate().public_key().point());
    row.certificate_serial = random_.bytes(16);
    row.nonce_id = random_.bytes(16);
  }
  again[3].nonce_id = records_[1].nonce_id;
  exec("UPDATE record SET revoked = 1, state = 'revoked'");
  for (RecordRow& row : again) row.generation = 2;
  BatchStore store{*ledger_};
  const SealedPart part{.index = SegmentIndex{1},
                        .count = kRecords,
                        .container = random_.id<ContainerId>(),
                        .digest = random_.id<Digest>(),
                        .body_size_bytes = 1};
  for (std::uint32_t i = 0; i < kRecords; ++i) again[i].record_no = RecordNo{kRecords + i};
  const auto prepare = [&] { static_cast<void>(store.prepare(batch_, part, again, {to_bytes(as_bytes("x"))})); };
  try {
    prepare();
    ADD_FAILURE() << "a nonce was taken twice";
  } catch (const Error& error) {
    EXPECT_NE(std::string{error.what()}.find("seen_nonce"), std::string::npos) << error.what();
  }
  EXPECT_EQ(count("seen_nonce"), 4);
  again[3].nonce_id = random_.bytes(16);
  prepare();
  EXPECT_EQ(count("seen_nonce"), 8);
}

}  // namespace
}  // namespace keyferry::appliance
