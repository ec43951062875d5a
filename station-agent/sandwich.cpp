#include "station-agent/sandwich.h"

#include <algorithm>
#include <utility>

#include "station-agent/line_verify.h"
#include "station-agent/revocations.h"
#include "token/line_checks.h"
#include "wrap/base/cut.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"
#include "wrap/evidence/possession.h"

namespace keyferry::station {
namespace {

/// What goes into receipts: `a-z-`, 1 to 64.
std::string reason_code(const std::string& reason) {
  const bool sound =
      !reason.empty() && reason.size() <= token::kMaxReasonChars &&
      std::ranges::all_of(reason, [](char c) { return (c >= 'a' && c <= 'z') || c == '-'; });
  return sound ? reason : "chip-refused";
}

class Sandwich {
 public:
  Sandwich(const LinePlace& place, Chip& chip, StoredRecord stored)
      : store_{place.store},
        clock_{place.clock},
        station_{place.station},
        hand_{place.hand},
        admission_{place.admission},
        firmware_{place.firmware},
        chip_{chip},
        stored_{std::move(stored)},
        handle_{key_handle(stored_.batch_id, stored_.record.record_no)},
        start_{clock_.now()} {
    outcome_.lane = hand_.lane;
    outcome_.family = stored_.record.family;
    outcome_.se_serial = stored_.record.se_serial;
    outcome_.record = stored_.key();
    outcome_.key_name = stored_.record.key_name;
    outcome_.device_serial =
        stored_.record.device_serial.empty() ? hand_.device_serial : stored_.record.device_serial;
  }

  DeviceOutcome run() {
    const auto batch = store_.batch(stored_.batch_id);
    if (!batch) throw Error{Code::Storage, "a record is of no batch: " + stored_.batch_id.hex()};
    batch_ = *batch;
    if (!may_begin()) return finish();
    try {
      if (stored_.state == RecordState::Injected) {
        ask_again();
      } else {
        begin();
      }
    } catch (const ChipLost& lost) {
      note_lost(lost);
    }
    return finish();
  }

 private:
  using Verdict = token::Verdict;

  /// Part and state, before the chip sees an octet and before anything is noted.
  bool may_begin() {
    if (const auto revoked = revoked_refusal(store_, stored_.batch_id)) {
      return red("refused", revoked->reason, revoked->text, revoked->hint);
    }
    switch (stored_.state) {
      case RecordState::Injected:
        return true;  // has its receipt; a serial alone shows nothing
      case RecordState::Quarantined:
        return red("quarantined",
                   stored_.reason,
                   "this SE is in quarantine: " + stored_.reason,
                   "set it aside; only a new record in a new batch can release it");
      case RecordState::Returned:
        return red("refused",
                   "record-returned",
                   "this SE's record was returned unused",
                   "ask for a new batch");
      case RecordState::Loaded:
      case RecordState::Injecting:
      case RecordState::Doubtful:
        break;
    }
    if (!stored_.record.device_serial.empty() && !hand_.device_serial.empty() &&
        stored_.record.device_serial != hand_.device_serial) {
      return red("refused",
                 "device-serial-mismatch",
                 "the record is for device " + stored_.record.device_serial + ", this is " +
                     hand_.device_serial,
                 "put the right device into the fixture, or mend the lanes file");
    }
    if (!own_chain_holds()) return false;
    if (!firmware_is_the_batchs()) return false;
    place_in_target_ = admission_.enter(batch_, stored_.state);
    if (!place_in_target_) {
      outcome_.colour = DeviceColour::Yellow;
      outcome_.result = "spare";
      outcome_.reason = "target-reached";
      outcome_.text = "the batch has its " + std::to_string(batch_.target_count) + " devices";
      outcome_.hint = "return what is left: keyferry-station return " + stored_.batch_id.hex();
      return false;
    }
    return true;
  }

  /// The record's own certificates lead to the batch's anchor.
  bool own_chain_holds() {
    const TimedChain chain = verify_chain_of(batch_, chain_of(stored_.record), clock_.now());
    const auto* refusal = std::get_if<Refusal>(&chain.result);
    if (refusal == nullptr) return true;
    return red("refused",
               "record-chain",
               "the record's own certificates are not valid at " + to_rfc3339(chain.at) + ": " +
                   refusal->text,
               "check this station's clock; nothing was written");
  }

  /// It has its receipt: is this the SE that signed it? A fresh question, not the record's challenge, whose answer a
  /// copy could know.
  void ask_again() {
    SystemRandom random;
    const Bytes message =
        token::challenge_message(stored_.batch_id, stored_.record.record_no, random.id<Digest>());
    outcome_.device_serial = stored_.record.device_serial;  // the lane's is not what its receipt says
    const auto answer = chip_.answer(handle_, stored_.record.public_key, message);
    const auto* signature = std::get_if<Bytes>(&answer);
    if (signature != nullptr && crypto::verify(stored_.record.public_key,
                                               crypto::SignatureKind::Challenge,
                                               message,
                                               *signature)) {
      green("already-injected");
      return;
    }
    red("refused",
        "key-not-here",
        "this serial number has its receipt already, and what is in the fixture cannot sign with its key",
        "set it aside: it may be another chip that says the same number");
  }

  /// The image that this lane's devices run is the one that officers approved.
  bool firmware_is_the_batchs() {
    if (!batch_.firmware_sha256) return true;
    if (firmware_ == nullptr) {
      return red("refused",
                 "firmware-missing",
                 "the batch asks for firmware " + batch_.firmware_sha256->hex() +
                     " and this lane names no image",
                 "name `firmware` and `firmware_signature` in the lanes file");
    }
    if (firmware_->sha256 != *batch_.firmware_sha256) {
      return red("refused",
                 "firmware-other",
                 "the batch asks for firmware " + batch_.firmware_sha256->hex() +
                     ", this lane's image is " + firmware_->sha256.hex(),
                 "put the approved image into the lanes file; nothing was written");
    }
    return true;
  }

  [[nodiscard]] const FirmwareImage* firmware_to_verify() const {
    return batch_.firmware_sha256 ? firmware_ : nullptr;
  }

  void begin() {
    if (stored_.state == RecordState::Injecting) {
      // The last run was cut off between intent and receipt: nobody knows what the chip holds.
      store_.note_cut_off(stored_.key(), hand_, "cut-off");
      stored_.state = RecordState::Doubtful;
    }
    if (const auto refusal = chip_.check(stored_.record, firmware_to_verify())) {
      red("refused", refusal->reason, refusal->text, refusal->hint);
      return;
    }
    const Asked asked = ask();
    switch (asked.holding) {
      case Holding::Foreign:
        quarantine("se-not-empty", "the SE is not empty: " + asked.detail);
        return;
      case Holding::Unsound:
        quarantine("key-unsound", asked.detail);
        return;
      case Holding::Empty:
        enter(RecordEvent::FoundEmpty);
        inject();
        return;
      case Holding::Key:
        enter(RecordEvent::FoundKey);
        complete();
        return;
    }
  }

  Asked ask() {
    std::vector<KeyHandle> known;
    for (const RecordKey& key :
         store_.all_records_for(stored_.record.family, stored_.record.se_serial)) {
      if (key != stored_.key()) known.push_back(key_handle(key.batch_id, key.record_no));
    }
    Asked asked = chip_.ask(handle_, known, stored_.record);
    // A later generation replaces a revoked key that another station may have put there.
    if (asked.holding == Holding::Foreign && stored_.record.generation > 1)
      asked.holding = Holding::Empty;
    return asked;
  }

  /// Durable before the chip sees an octet.
  void enter(RecordEvent found) {
    if (stored_.state == RecordState::Loaded) {
      store_.note_intent(stored_.key(), hand_);
    } else {
      store_.note_found(stored_.key(), found, hand_);
    }
    stored_.state = RecordState::Injecting;
  }

  void inject() {
    KF_CUT("station.inject-before");
    if (const auto refusal = chip_.inject(handle_, stored_.record)) {
      quarantine(refusal->reason, refusal->text);
      return;
    }
    KF_CUT("station.inject-after");  // cut here: doubtful; the chip is asked first and has the key
    const Asked asked = ask();
    if (asked.holding != Holding::Key) {
      quarantine("key-unsound", "the key on the SE is not as it must be: " + asked.detail);
      return;
    }
    complete();
  }

  /// The key is on the chip: certificates, verification, receipt.
  void complete() {
    if (const auto refusal = chip_.write_chain(handle_, stored_.record)) {
      quarantine(refusal->reason, refusal->text);
      return;
    }
    KF_CUT("station.chain-after");
    if (const auto refusal = chip_.lock(stored_.record)) {
      quarantine(refusal->reason, refusal->text);
      return;
    }
    KF_CUT(
        "station.locked");  // cut here: the chip has the key, locked; the next run goes on from it
    if (const auto refusal = verify()) {
      quarantine(refusal->reason, refusal->text);
      return;
    }
    KF_CUT("station.verified");
    write_receipt();
  }

  std::optional<Refusal> verify() {
    LineFindings found = verify_line(chip_,
                                     {.batch = batch_,
                                      .store = store_,
                                      .stored = stored_,
                                      .handle = handle_,
                                      .firmware = firmware_to_verify(),
                                      .clock = clock_});
    verdicts_ = found.verdicts;
    proof_ = std::move(found.proof);
    return std::move(found.refusal);
  }

  /// The core is a leaf, durably, before the SE is asked to sign it.
  void write_receipt() {
    token::ReceiptCore core = new_core();
    core.outcome = token::Outcome::Injected;
    const PromisedEvidence promised = chip_.evidence(stored_.record);
    core.evidence_kind = promised.kind;
    const Bytes octets = token::serialise_core(core);
    store_.append_core(stored_.key(), octets);
    const auto answer = chip_.sign(handle_, stored_.record, ChipSigns::Receipt, octets);
    KF_CUT("station.receipt-signed");  // cut here: the signature is lost, the core is voided, a new
                                       // one is signed
    const auto* signature = std::get_if<Bytes>(&answer);
    if (signature == nullptr) {
      quarantine("receipt-not-signed", "the SE did not sign its receipt with the injected key");
      return;
    }
    const auto attested = chip_.attest(stored_.record, octets);
    KF_CUT("station.receipt-attested");  // cut here: as above
    const auto* attestation = std::get_if<Bytes>(&attested);
    if (attestation == nullptr) {
      quarantine("not-attested", std::get<Refusal>(attested).text);
      return;
    }
    if (const auto refusal = check_evidence(promised, octets, *signature, *attestation)) {
      quarantine(refusal->reason, refusal->text);
      return;
    }
    store_.store_signature(stored_.key(), *signature, *attestation, hand_);
    stored_.state = RecordState::Injected;
    green("injected");
  }

  /// Success is a signature that verifies, never a status octet.
  std::optional<Refusal> check_evidence(const PromisedEvidence& promised,
                                        ByteView core,
                                        ByteView signature,
                                        ByteView attestation) {
    const bool attested = promised.kind == token::EvidenceKind::Attested;
    const auto refusal = evidence::verify_evidence(evidence::Evidence{
        .family = token::name_of(stored_.record.family),
        .kind = attested ? evidence::EvidenceKind::Attested : evidence::EvidenceKind::Possession,
        .key = stored_.record.public_key,
        .core = core,
        .signature = signature,
        .attestation = attestation,
        .attestation_key = promised.attestation_key,
        .se_serial = stored_.record.se_serial.bytes(),
        .expected = promised.slot});
    if (!refusal) return std::nullopt;
    const bool by_key = refusal->reason.starts_with("signature");
    return Refusal{by_key ? "receipt-not-signed" : "not-attested",
                   "what the SE signed does not verify: " + refusal->text};
  }

  [[nodiscard]] token::ReceiptCore new_core() const {
    token::ReceiptCore core = core_for(stored_, batch_, station_, hand_, start_, clock_.now());
    if (verdicts_) core.verdicts = *verdicts_;
    core.proof = proof_;
    return core;
  }

  void quarantine(const std::string& reason, const std::string& text) {
    token::ReceiptCore core = new_core();
    core.outcome = token::Outcome::Quarantined;
    core.evidence_kind = token::EvidenceKind::None;
    core.reason = reason_code(reason);
    store_.quarantine(stored_.key(), token::serialise_core(core), core.reason, hand_);
    stored_.state = RecordState::Quarantined;
    red("quarantined",
        core.reason,
        text,
        "set this device aside; there is no second try on the line");
  }

  /// Nothing is proved either way: the next run asks the chip.
  void note_lost(const ChipLost& lost) {
    if (stored_.state == RecordState::Injecting) {
      store_.note_cut_off(stored_.key(), hand_, "se-lost");
      stored_.state = RecordState::Doubtful;
    }
    red("lost", "se-lost", lost.what(), lost.hint());
  }

  bool green(const std::string& result) {
    outcome_.colour = DeviceColour::Green;
    outcome_.result = result;
    return false;
  }

  bool red(const std::string& result,
           const std::string& reason,
           const std::string& text,
           const std::string& hint) {
    outcome_.colour = DeviceColour::Red;
    outcome_.result = result;
    outcome_.reason = reason;
    outcome_.text = text;
    outcome_.hint = hint;
    return false;
  }

  DeviceOutcome finish() {
    outcome_.duration_ms = clock_.now().value - start_.value;
    return outcome_;
  }

  Store& store_;
  const Clock& clock_;
  const StationFacts& station_;
  Hand hand_;
  Admission& admission_;
  const FirmwareImage* firmware_;
  Chip& chip_;
  StoredRecord stored_;
  KeyHandle handle_;
  UtcMillis start_;
  BatchFacts batch_;
  std::optional<Admission::Place> place_in_target_;  // given back when the outcome is known
  std::optional<token::Verdicts> verdicts_;          // once the checks began
  std::optional<token::LineProof> proof_;
  DeviceOutcome outcome_;
};

}  // namespace

DeviceOutcome run_sandwich(const LinePlace& place, Chip& chip, StoredRecord stored) {
  return Sandwich{place, chip, std::move(stored)}.run();
}

token::ReceiptCore core_for(const StoredRecord& stored,
                            const BatchFacts& batch,
                            const StationFacts& station,
                            const Hand& hand,
                            UtcMillis start,
                            UtcMillis end) {
  const token::Record& record = stored.record;
  token::ReceiptCore core{
      .record_no = record.record_no,
      .batch_id = stored.batch_id,
      .manifest_digest = batch.manifest_digest,
      .certificate_sha256 = crypto::sha256(record.certificate),
      .challenge = record.challenge,
      .family = record.family,
      .se_serial = record.se_serial,
      .key_name = record.key_name,
      .device_serial = record.device_serial.empty() ? hand.device_serial : record.device_serial,
      .station_id = station.station_id,
      .lane = hand.lane,
      .person_number = hand.person_number,
      .start = start,
      .end = end,
      .verdicts = verdicts_before(batch)};
  return core;
}

}  // namespace keyferry::station
