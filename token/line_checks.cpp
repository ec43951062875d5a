#include "token/line_checks.h"

#include <algorithm>

#include "wrap/crypto/hash.h"

namespace keyferry::token {
namespace {

constexpr std::int64_t kMillisOfSecond = 1000;

ByteView without_zeros(ByteView serial) {
  while (!serial.empty() && serial.front() == 0) serial = serial.subspan(1);
  return serial;
}

std::optional<Refusal> check_verdicts(const Verdicts& verdicts, const IssuedLine& issued) {
  const bool demanded = verdicts.chain == Verdict::Pass && verdicts.challenge == Verdict::Pass &&
                        verdicts.serial_registered == Verdict::Pass;
  // Before there were line checks a station could pass what nobody had asked for.
  const bool firmware =
      verdicts.firmware == Verdict::Pass
          ? issued.firmware_sha256 || !issued.checks
          : !issued.firmware_sha256 && verdicts.firmware == Verdict::NotApplicable;
  if (demanded && firmware) return std::nullopt;
  return Refusal{"verdicts", "it says injected, and its verdicts are not what the plan asks for"};
}

std::optional<Refusal> check_time(const ReceiptCore& core,
                                  const LineProof& proof,
                                  const LineChecks& checks) {
  const std::int64_t at = proof.verified_at.value;
  if (checks.chain_time == ChainTime::Issuing) {
    if (at == checks.issuing.value) return std::nullopt;
    return Refusal{"proof-time", "the chain was verified for another time than the plan's"};
  }
  const std::int64_t skew = checks.clock_skew_s * kMillisOfSecond;
  const auto [first, last] = std::minmax(core.start.value, core.end.value);
  if (first - skew <= at && at <= last + skew) return std::nullopt;
  return Refusal{"proof-time", "the chain was verified for a time that is not the receipt's own"};
}

std::optional<Refusal> check_firmware(const LineProof& proof, const IssuedLine& issued) {
  if (!issued.firmware_sha256) return std::nullopt;
  if (!proof.firmware || proof.firmware->image_sha256 != *issued.firmware_sha256)
    return Refusal{"proof-firmware", "the firmware that was verified is not the plan's image"};
  const auto key = issued.checks ? issued.checks->secure_boot_key_sha256 : std::nullopt;
  if (!key || proof.firmware->key_sha256 == key) return std::nullopt;
  return Refusal{"proof-firmware", "the firmware was verified with another key than the plan's"};
}

std::optional<Refusal> check_proof(const ReceiptCore& core,
                                   const LineProof& proof,
                                   const IssuedLine& issued) {
  const bool chain = proof.from_se >= 1 &&
                     std::ranges::equal(proof.chain_sha256, issued.chain_sha256) &&
                     proof.anchor_sha256 == issued.chain_sha256.back();
  if (!chain)
    return Refusal{"proof-chain", "the chain that was read back is not the one that was issued"};
  if (auto refusal = check_time(core, proof, issued.checks.value_or(LineChecks{}))) return refusal;
  const Bytes message = challenge_message(core.batch_id, core.record_no, core.challenge);
  if (!crypto::verify(
          issued.key, crypto::SignatureKind::Challenge, message, proof.challenge_signature)) {
    return Refusal{"proof-challenge",
                   "the answer to the record's challenge is not by the issued certificate's key"};
  }
  if (!equal(without_zeros(proof.certificate_serial), without_zeros(issued.certificate_serial)))
    return Refusal{"proof-serial", "the serial that was read back is not the issued certificate's"};
  return check_firmware(proof, issued);
}

}  // namespace

Bytes challenge_message(const BatchId& batch, RecordNo record, const Digest& challenge) {
  Bytes message = to_bytes(batch.bytes());
  append_u32be(message, record.value);
  append(message, challenge.bytes());
  return message;
}

Digest point_sha256(const crypto::PublicKey& key) {
  return crypto::sha256(key.point());
}

std::optional<Refusal> check_line(const ReceiptCore& core, const IssuedLine& issued) {
  if (issued.chain_sha256.empty()) throw Error{Code::InvalidArgument, "a chain without a leaf"};
  if (auto refusal = check_verdicts(core.verdicts, issued)) return refusal;
  if (core.proof) return check_proof(core, *core.proof, issued);
  if (!issued.checks) return std::nullopt;
  return Refusal{"proof-missing", "it does not bring what its verdicts rest on"};
}

}  // namespace keyferry::token
