// One good value of each kind that crosses the gap; tests and seed corpora change one field at a
// time.
#pragma once

#include "tests/token/token_fixture.h"
#include "token/enrolment.h"
#include "token/items.h"
#include "token/receipt.h"

namespace keyferry::token::test {

inline SeSerial serial_of(std::uint8_t octet) {
  return *SeSerial::from_bytes(Bytes(16, octet));
}

inline std::string sample_note() {
  return "keyferry.example/log\n12\nJH8i2r8dN2RlbW8gcm9vdCBoYXNoIG9mIHRoZSBsb2c=\n\n\xe2\x80\x94 "
         "keyferry.example "
         "q6urqw==\n";
}

inline Record sample_record(std::uint32_t number = 0) {
  return Record{
      .record_no = {number},
      .family = Family::Pkcs11,
      .se_serial = serial_of(0x31),
      .key_name = "dac",
      .device_serial = "",
      .generation = 1,
      .payload = pattern(160),
      .public_key = key_of(0x55).public_key(),
      .certificate = pattern(420),
      .issuers = {pattern(400), pattern(410)},
      .challenge = id_filled<Digest>(0xc4),
  };
}

inline SegmentLine sample_segment(std::uint32_t index, std::uint32_t first, std::uint32_t count) {
  return SegmentLine{
      .index = {index},
      .container_id = id_filled<ContainerId>(static_cast<std::uint8_t>(index)),
      .digest = id_filled<Digest>(0xd1),
      .count = count,
      .first_record_no = {first},
      .first_se_serial = serial_of(0x31),
      .last_se_serial = serial_of(0x32),
  };
}

inline Manifest sample_manifest() {
  return Manifest{
      .batch_id = id_filled<BatchId>(0xb1),
      .plan_digest = id_filled<Digest>(0xb2),
      .appliance_id = id_filled<ApplianceId>(0xa1),
      .environment = Environment::Development,
      .station_id = id_filled<StationId>(0x51),
      .site = "shenzhen-2",
      .customer = "acme",
      .family = Family::Pkcs11,
      .mode = Mode::Inject,
      .key_name = "dac",
      .se_count = 10,
      .target_count = 9,
      .se_list_root = id_filled<Digest>(0xe1),
      .segments = {sample_segment(0, 0, 4), sample_segment(1, 4, 4), sample_segment(2, 8, 2)},
      .anchors = {pattern(400)},
      .firmware_sha256 = id_filled<Digest>(0xf1),
      .checkpoint = sample_note(),
      .station_log = StationLogSeen{1, 5, id_filled<Digest>(0x99)},
      .line_checks =
          LineChecks{ChainTime::Now, UtcMillis{1'780'000'000'000}, 300, id_filled<Digest>(0xb0)},
      .certification_declaration = pattern(300),
      .declaration_signer = pattern(400),
  };
}

inline LineProof sample_proof() {
  return LineProof{
      .chain_sha256 = {id_filled<Digest>(0xce), id_filled<Digest>(0xca)},
      .from_se = 1,
      .anchor_sha256 = id_filled<Digest>(0xca),
      .verified_at = {1'790'000'001'000},
      .challenge_signature = Bytes(64, 0x5b),
      .certificate_serial = Bytes(16, 0x5e),
      .firmware = FirmwareProof{.image_sha256 = id_filled<Digest>(0xf1),
                                .signature_sha256 = id_filled<Digest>(0xf2),
                                .check = FirmwareCheck::SecureBoot,
                                .key_sha256 = id_filled<Digest>(0xb0)},
  };
}

inline ReceiptCore sample_core() {
  return ReceiptCore{
      .record_no = {7},
      .batch_id = id_filled<BatchId>(0xb1),
      .manifest_digest = id_filled<Digest>(0xd2),
      .certificate_sha256 = id_filled<Digest>(0xce),
      .challenge = id_filled<Digest>(0xc4),
      .family = Family::Pkcs11,
      .se_serial = serial_of(0x31),
      .key_name = "dac",
      .device_serial = "SN-0001",
      .station_id = id_filled<StationId>(0x51),
      .lane = {3},
      .person_number = 12,
      .start = {1'790'000'000'000},
      .end = {1'790'000'001'500},
      .verdicts = {.chain = Verdict::Pass,
                   .challenge = Verdict::Pass,
                   .serial_registered = Verdict::Pass,
                   .firmware = Verdict::Pass},
      .proof = sample_proof(),
      .evidence_kind = EvidenceKind::Possession,
      .outcome = Outcome::Injected,
      .reason = "",
  };
}

inline StationLeaf sample_leaf() {
  return StationLeaf{{1'790'000'001'600}, CoreLeaf{serialise_core(sample_core())}};
}

inline StationLogHead sample_head() {
  return StationLogHead{
      id_filled<StationId>(0x51), 1, 8, id_filled<Digest>(0x77), {1'790'000'002'000}};
}

inline SignedBytes sample_signed_head() {
  auto key = sender_key();
  return sign_payload(key, crypto::SignatureKind::StationLogHead, serialise_head(sample_head()));
}

inline ReceiptsOpening sample_receipts_opening() {
  return ReceiptsOpening{sample_signed_head(), 5, 8, sample_note()};
}

inline ReceiptEntry sample_entry() {
  return ReceiptEntry{serialise_leaf(sample_leaf()), Bytes(64, 0x5a)};
}

inline ApplianceCard sample_card() {
  const auto log = key_of(0x61);
  return ApplianceCard{appliance_id_of(log.public_key()),
                       Environment::Development,
                       "hq-1",
                       log.public_key(),
                       key_of(0x62).public_key(),
                       key_of(0x63).public_key()};
}

inline SignedBytes sample_signed_card() {
  auto log = key_of(0x61);
  return sign_payload(log, crypto::SignatureKind::ApplianceCard, serialise(sample_card()));
}

inline EnrolmentRequest sample_request() {
  return EnrolmentRequest{"line-1",
                          "shenzhen-2",
                          Environment::Development,
                          key_of(0x71).public_key(),
                          key_of(0x72).public_key(),
                          Bytes(16, 0x0e),
                          {1'790'000'000'000}};
}

inline SignedBytes sample_signed_request() {
  auto key = key_of(0x71);
  return sign_payload(key, crypto::SignatureKind::EnrolmentRequest, serialise(sample_request()));
}

inline EnrolmentAnswer sample_answer() {
  const auto signing = key_of(0x71);
  return EnrolmentAnswer{station_id_of(signing.public_key()),
                         "line-1",
                         "shenzhen-2",
                         Environment::Development,
                         signing.public_key(),
                         key_of(0x72).public_key(),
                         id_filled<Digest>(0x3e),
                         sample_signed_card(),
                         sample_note(),
                         {1'790'000'000'500}};
}

inline TokenCard sample_token_card() {
  return TokenCard{id_filled<TokenId>(0x70),
                   id_filled<ApplianceId>(0xa1),
                   Environment::Development,
                   id_filled<BatchId>(0xb1),
                   id_filled<StationId>(0x51),
                   sample_note(),
                   "",
                   {1'790'000'000'600}};
}

}  // namespace keyferry::token::test
