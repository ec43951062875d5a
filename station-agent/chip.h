// The driver's seam: one secure element in a fixture. A driver passes records on, it does not
// understand them. What the chip or its module refuses is a Refusal; a chip (or its helper process)
// that is gone is ChipLost: then nobody knows what it holds, and the next start asks it first.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "station-agent/chip_lost.h"
#include "station-agent/firmware.h"
#include "station-agent/lane-p11/messages.h"
#include "token/items.h"
#include "token/receipt.h"
#include "wrap/base/error.h"
#include "wrap/evidence/possession.h"

namespace keyferry::station {

using lane_p11::KeyHandle;

/// Name of a record's key on a chip: first 16 octets of SHA-256("keyferry/v1/key-handle", 0x00,
/// batch id, u32be record number). Not secret; the same for every try of the record.
[[nodiscard]] KeyHandle key_handle(const BatchId& batch_id, RecordNo record_no);

struct ChipFacts {
  SeSerial serial;
  std::string model;
  bool prepared = false;  // it has a transport key
};

/// The chip says no: not the one expected, no PIN, nothing there. `found`: the serial of another SE
/// that is there.
struct ChipRefusal {
  Refusal refusal;
  std::optional<SeSerial> found = {};
};

enum class Holding {
  Empty,    // provably no key of this record, and none that this station did not put there
  Key,      // a key under this record's handle, with the attributes it must have; it has not proved
            // anything yet
  Foreign,  // a key that this station did not put there
  Unsound,  // a key under this handle with other attributes, or two
};

struct Asked {
  Holding holding = Holding::Unsound;
  std::string detail;
};

enum class ChipSigns { Challenge, Receipt };

/// What a receipt's evidence will be, and what it is verified with.
struct PromisedEvidence {
  token::EvidenceKind kind = token::EvidenceKind::Possession;
  std::optional<crypto::PublicKey> attestation_key = {};  // of Attested
  std::optional<evidence::Atecc608Slot> slot = {};        // of Attested: as the plan has it
};

/// Leaf first. Of the certificates, the first `from_se` came out of the SE.
struct ReadChain {
  std::vector<Bytes> certificates;
  std::size_t from_se = 0;
};

struct FirmwareAnswer {
  token::FirmwareCheck check = token::FirmwareCheck::StoredKey;
  std::optional<crypto::PublicKey> key = {};  // in the SE, by which it verified; if it can be read
  std::optional<Refusal> refusal = {};        // nothing: the signature verifies
};

class Chip {
 public:
  virtual ~Chip() = default;

  /// First. Reads the serial; opens what has to be opened.
  [[nodiscard]] virtual std::variant<ChipFacts, ChipRefusal> identify() = 0;

  /// Before anything is noted: can this record go into this chip as it is? Nothing is written.
  /// firmware: what will have to be verified; null when the batch asks for none.
  [[nodiscard]] virtual std::optional<Refusal> check(const token::Record& record,
                                                     const FirmwareImage* firmware) = 0;

  /// Read only. `known`: handles of this station's other records for this chip.
  [[nodiscard]] virtual Asked ask(const KeyHandle& handle,
                                  const std::vector<KeyHandle>& known,
                                  const token::Record& record) = 0;

  /// The step that cannot be taken back.
  [[nodiscard]] virtual std::optional<Refusal> inject(const KeyHandle& handle,
                                                      const token::Record& record) = 0;

  /// Leaf and issuers; what is there already is left alone.
  [[nodiscard]] virtual std::optional<Refusal> write_chain(const KeyHandle& handle,
                                                           const token::Record& record) = 0;

  /// Whatever keeps the key from being replaced; read back. Again on a locked chip changes nothing.
  [[nodiscard]] virtual std::optional<Refusal> lock(const token::Record& record) = 0;

  /// As the chip has it. Issuers that the chip has no room for are the record's.
  [[nodiscard]] virtual std::variant<ReadChain, Refusal> read_chain(
      const KeyHandle& handle, const token::Record& record) = 0;

  /// Raw r || s over signing_digest(kind, message), made by the record's key. Not verified here.
  [[nodiscard]] virtual std::variant<Bytes, Refusal> sign(const KeyHandle& handle,
                                                          const token::Record& record,
                                                          ChipSigns kind,
                                                          ByteView message) = 0;

  /// A signature of kind challenge by whichever of the chip's keys is `key`. Of a settled record, whose
  /// payload is gone. Refusal: the chip has no such key.
  [[nodiscard]] virtual std::variant<Bytes, Refusal> answer(const KeyHandle& handle,
                                                            const crypto::PublicKey& key,
                                                            ByteView message) = 0;

  /// The image's signature, by the key for it that stands in the chip.
  [[nodiscard]] virtual FirmwareAnswer verify_firmware(const token::Record& record,
                                                       const FirmwareImage& firmware) = 0;

  /// The best that this chip can give for the record's key.
  [[nodiscard]] virtual PromisedEvidence evidence(const token::Record& record) = 0;

  /// What attests the key for this core; empty where the evidence is Possession. Not verified here.
  [[nodiscard]] virtual std::variant<Bytes, Refusal> attest(const token::Record& record,
                                                            ByteView core) = 0;

 protected:
  Chip() = default;
  Chip(const Chip&) = default;
  Chip& operator=(const Chip&) = default;
};

}  // namespace keyferry::station
