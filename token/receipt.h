// Receipts and the station's log, as values. The octets of a core, a leaf and a head are made once,
// kept and compared as octets: serialise_* is called by who signs or logs them, parse_* by everyone
// else. All parse_* refuse wrong lengths, unknown or unspecified enum values, and text outside its
// pattern; unknown protobuf fields are ignored. All serialise_* throw Error{InvalidArgument} for a
// value that parse_* would refuse.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "token/signed_bytes.h"
#include "token/types.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::token {

inline constexpr std::string_view kReceiptKind = "keyferry/v1/receipt";
inline constexpr std::size_t kMaxLeafBytes = 8192;
inline constexpr std::size_t kMaxReasonChars = 64;
inline constexpr std::size_t kMaxEventChars = 128;
inline constexpr std::size_t kMaxCheckpointBytes = 4096;
inline constexpr std::size_t kMaxProofChain = 8;    // certificates
inline constexpr std::size_t kMaxSerialBytes = 20;  // RFC 5280 section 4.1.2.2

enum class Verdict : std::uint8_t {
  Pass = 1,
  Fail = 2,
  NotApplicable = 3,  // the plan does not ask for it
  NotRun = 4,         // it does; the device was set aside before it came to that
};
enum class EvidenceKind : std::uint8_t { Possession = 1, Attested = 2, None = 3 };
enum class Outcome : std::uint8_t { Injected = 1, Quarantined = 2, Returned = 3 };

/// "pass", "fail", "not-applicable", "not-run"; "injected", "quarantined", "returned";
/// "possession", "attested", "none".
[[nodiscard]] std::string_view name_of(Verdict verdict);
[[nodiscard]] std::string_view name_of(Outcome outcome);
[[nodiscard]] std::string_view name_of(EvidenceKind kind);

struct Verdicts {
  Verdict chain = Verdict::NotRun;      // read back from the SE, valid to the batch's anchor
  Verdict challenge = Verdict::NotRun;  // answered with that certificate's key
  Verdict serial_registered = Verdict::NotRun;  // the certificate's serial is in the batch
  Verdict firmware = Verdict::NotApplicable;    // its signature is by the secure-boot key in the SE

  friend bool operator==(const Verdicts&, const Verdicts&) = default;
};

enum class FirmwareCheck : std::uint8_t { StoredKey = 1, SecureBoot = 2 };

struct FirmwareProof {
  Digest image_sha256 = {};
  Digest signature_sha256 = {};  // of the signature as r || s
  FirmwareCheck check = FirmwareCheck::StoredKey;
  std::optional<Digest> key_sha256 = {};  // of the key in the SE, 65 octets; nothing: not readable

  friend bool operator==(const FirmwareProof&, const FirmwareProof&) = default;
};

/// What the verdicts rest on, as far as the checks came (token/line_checks.h holds it against what
/// was issued).
struct LineProof {
  std::vector<Digest> chain_sha256 = {};  // as read back, leaf first; at most kMaxProofChain
  std::uint32_t from_se = 0;              // so many of them, leaf first, came out of the SE itself
  std::optional<Digest> anchor_sha256 = {};
  UtcMillis verified_at = {};
  Bytes challenge_signature = {};  // 64, or empty
  Bytes certificate_serial = {};   // 1..20, or empty
  std::optional<FirmwareProof> firmware = {};

  friend bool operator==(const LineProof&, const LineProof&) = default;
};

/// Injected has evidence Possession or Attested and no reason; Quarantined evidence None and a
/// reason `a-z-` (1..64); Returned evidence None and no reason.
struct ReceiptCore {
  RecordNo record_no;
  BatchId batch_id;
  Digest manifest_digest;  // what the manifest's trailer signs
  Digest certificate_sha256;
  Digest challenge;  // the record's 32 octets from the appliance
  Family family = Family::Pkcs11;
  SeSerial se_serial;
  std::string key_name;
  std::string device_serial = {};  // may be empty
  StationId station_id;
  LaneNo lane;
  std::uint32_t person_number = 0;
  UtcMillis start;  // 1970..9999; claimed, not ordered by us
  UtcMillis end;
  Verdicts verdicts;
  std::optional<LineProof> proof = {};
  EvidenceKind evidence_kind = EvidenceKind::None;
  Outcome outcome = Outcome::Returned;
  std::string reason = {};

  friend bool operator==(const ReceiptCore&, const ReceiptCore&) = default;
};

/// A serialised ReceiptCore.
struct CoreLeaf {
  Bytes core;

  friend bool operator==(const CoreLeaf&, const CoreLeaf&) = default;
};

/// The core at `position` of this log never got its SE's signature.
struct VoidLeaf {
  std::uint64_t position = 0;
  std::string reason = {};  // `a-z-`, 1..64

  friend bool operator==(const VoidLeaf&, const VoidLeaf&) = default;
};

/// "log.opened", "batch.loaded <hex>": 1..128 of `a-z 0-9 . - _` and blank, beginning with a
/// letter.
struct EventLeaf {
  std::string text;

  friend bool operator==(const EventLeaf&, const EventLeaf&) = default;
};

struct StationLeaf {
  UtcMillis time;
  std::variant<CoreLeaf, VoidLeaf, EventLeaf> leaf;

  friend bool operator==(const StationLeaf&, const StationLeaf&) = default;
};

struct StationLogHead {
  StationId station_id;
  std::uint32_t generation = 0;  // first is 1
  std::uint64_t size = 0;        // leaves
  Digest root;                   // RFC 6962
  UtcMillis time;

  friend bool operator==(const StationLogHead&, const StationLogHead&) = default;
};

[[nodiscard]] Bytes serialise_core(const ReceiptCore& core);
[[nodiscard]] std::variant<ReceiptCore, Refusal> parse_core(ByteView octets);

[[nodiscard]] Bytes serialise_leaf(const StationLeaf& leaf);
/// A core inside stays octets: parse_core is a second step.
[[nodiscard]] std::variant<StationLeaf, Refusal> parse_leaf(ByteView octets);

[[nodiscard]] Bytes serialise_head(const StationLogHead& head);
[[nodiscard]] std::variant<StationLogHead, Refusal> parse_head(ByteView octets);

}  // namespace keyferry::token
