#include "station-agent/line_verify.h"

#include <algorithm>
#include <array>
#include <utility>

#include "token/line_checks.h"
#include "wrap/crypto/hash.h"

namespace keyferry::station {
namespace {

using token::Verdict;

constexpr std::int64_t kMillisOfSecond = 1000;

class LineCheck {
 public:
  LineCheck(Chip& chip, const LineTask& task)
      : chip_{chip}, task_{task}, record_{task.stored.record} {
    found_.verdicts = verdicts_before(task.batch);
  }

  LineFindings run() {
    found_.refusal = check_chain();
    if (!found_.refusal) found_.refusal = check_challenge();
    if (!found_.refusal) found_.refusal = check_serial();
    if (!found_.refusal) found_.refusal = check_firmware();
    return std::move(found_);
  }

 private:
  static Verdict verdict(const std::optional<Refusal>& refusal) {
    return refusal ? Verdict::Fail : Verdict::Pass;
  }

  std::optional<Refusal> check_chain() {
    auto read = chip_.read_chain(task_.handle, record_);
    if (auto* refusal = std::get_if<Refusal>(&read)) {
      found_.verdicts.chain = Verdict::Fail;
      return std::move(*refusal);
    }
    auto refusal = hold_against_record(std::get<ReadChain>(read));
    found_.verdicts.chain = verdict(refusal);
    return refusal;
  }

  std::optional<Refusal> hold_against_record(const ReadChain& read) {
    note_chain(read);
    const TimedChain chain = verify_chain_of(task_.batch, read.certificates, task_.clock.now());
    found_.proof.verified_at = chain.at;
    const auto* invalid = std::get_if<Refusal>(&chain.result);
    if (const auto* facts = std::get_if<x509::ChainFacts>(&chain.result)) {
      found_.proof.anchor_sha256 = facts->anchor_sha256;
      found_.proof.certificate_serial = facts->serial;
      key_ = facts->key;
    }
    // Another chain may be as valid: what counts is the one that was issued for this record.
    if (read.certificates != chain_of(record_)) {
      return Refusal{"chain-differs",
                     std::string{"the SE gives back another chain than was written"} +
                         (invalid == nullptr ? "" : ", and it does not hold: " + invalid->text)};
    }
    if (invalid != nullptr)
      return Refusal{"chain-invalid", "the chain read back from the SE: " + invalid->text};
    return std::nullopt;
  }

  void note_chain(const ReadChain& read) {
    const std::size_t count = std::min(read.certificates.size(), token::kMaxProofChain);
    for (std::size_t i = 0; i < count; ++i)
      found_.proof.chain_sha256.push_back(crypto::sha256(read.certificates[i]));
    found_.proof.from_se = static_cast<std::uint32_t>(std::min(read.from_se, count));
  }

  /// With the key of the certificate that was read back, which must be the record's.
  std::optional<Refusal> check_challenge() {
    const Bytes message =
        token::challenge_message(task_.stored.batch_id, record_.record_no, record_.challenge);
    const auto answer = chip_.sign(task_.handle, record_, ChipSigns::Challenge, message);
    const auto* signature = std::get_if<Bytes>(&answer);
    if (signature != nullptr && signature->size() == crypto::kSignatureBytes)
      found_.proof.challenge_signature = *signature;
    const bool proved =
        signature != nullptr && key_ == record_.public_key &&
        crypto::verify(*key_, crypto::SignatureKind::Challenge, message, *signature);
    found_.verdicts.challenge = proved ? Verdict::Pass : Verdict::Fail;
    if (proved) return std::nullopt;
    const auto* refusal = std::get_if<Refusal>(&answer);
    return Refusal{"challenge-failed",
                   "the SE did not answer the challenge with the certificate's key" +
                       (refusal == nullptr ? "" : ": " + refusal->text)};
  }

  std::optional<Refusal> check_serial() {
    const bool registered =
        task_.store.serial_registered(task_.stored.batch_id, found_.proof.certificate_serial);
    found_.verdicts.serial_registered = registered ? Verdict::Pass : Verdict::Fail;
    if (registered) return std::nullopt;
    return Refusal{"serial-not-registered",
                   "the certificate's serial " + to_hex(found_.proof.certificate_serial) +
                       " is not that of exactly one record of this batch"};
  }

  std::optional<Refusal> check_firmware() {
    if (!task_.batch.firmware_sha256) return std::nullopt;
    if (task_.firmware == nullptr || task_.firmware->sha256 != *task_.batch.firmware_sha256)
      throw Error{Code::Internal, "a lane without the batch's firmware came to its check"};
    FirmwareAnswer answer = chip_.verify_firmware(record_, *task_.firmware);
    found_.proof.firmware =
        token::FirmwareProof{.image_sha256 = task_.firmware->sha256,
                             .signature_sha256 = crypto::sha256(task_.firmware->signature),
                             .check = answer.check};
    if (answer.key) found_.proof.firmware->key_sha256 = token::point_sha256(*answer.key);
    if (!answer.refusal) answer.refusal = boot_key_refusal();
    found_.verdicts.firmware = verdict(answer.refusal);
    return answer.refusal;
  }

  [[nodiscard]] std::optional<Refusal> boot_key_refusal() const {
    const auto& checks = task_.batch.line_checks;
    if (!checks || !checks->secure_boot_key_sha256 ||
        found_.proof.firmware->key_sha256 == checks->secure_boot_key_sha256)
      return std::nullopt;
    return Refusal{"secure-boot-key-other",
                   "the firmware verifies with another secure-boot key than the plan's"};
  }

  Chip& chip_;
  const LineTask& task_;
  const token::Record& record_;
  std::optional<crypto::PublicKey> key_;  // of the leaf that was read back
  LineFindings found_;
};

}  // namespace

LineFindings verify_line(Chip& chip, const LineTask& task) {
  return LineCheck{chip, task}.run();
}

token::Verdicts verdicts_before(const BatchFacts& batch) {
  token::Verdicts verdicts;
  verdicts.firmware = batch.firmware_sha256 ? Verdict::NotRun : Verdict::NotApplicable;
  return verdicts;
}

std::vector<Bytes> chain_of(const token::Record& record) {
  std::vector<Bytes> chain{record.certificate};
  chain.insert(chain.end(), record.issuers.begin(), record.issuers.end());
  return chain;
}

TimedChain verify_chain_of(const BatchFacts& batch, std::span<const Bytes> chain, UtcMillis now) {
  const token::LineChecks checks = batch.line_checks.value_or(token::LineChecks{});
  if (checks.chain_time == token::ChainTime::Issuing)
    return {checks.issuing, x509::verify_chain(chain, batch.anchors, checks.issuing)};
  TimedChain first{now, x509::verify_chain(chain, batch.anchors, now)};
  const auto* refusal = std::get_if<Refusal>(&first.result);
  if (refusal == nullptr || checks.clock_skew_s == 0) return first;
  const std::int64_t skew = checks.clock_skew_s * kMillisOfSecond;
  const bool early = refusal->reason == "chain-not-yet-valid";
  if (!early && refusal->reason != "chain-expired") return first;
  const UtcMillis other{early ? now.value + skew : std::max<std::int64_t>(0, now.value - skew)};
  TimedChain second{other, x509::verify_chain(chain, batch.anchors, other)};
  return std::holds_alternative<Refusal>(second.result) ? first : second;
}

}  // namespace keyferry::station
