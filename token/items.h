// What is inside a container: a stream of items, each a u32be length and a protobuf BodyItem
// (proto/keyferry/v1/batch.proto). Order: BodyOpening, then
//   segment    header.count times Record, record numbers ascending
//   manifest   one Manifest with header.count segments
//   receipts   ReceiptsOpening, then header.count = to_size - from_size times ReceiptEntry
//   waiting    header.count times WaitingRecord, record numbers ascending
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "token/container_open.h"
#include "token/receipt.h"
#include "token/signed_bytes.h"
#include "token/types.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace keyferry::token {

inline constexpr std::size_t kMaxItemBytes = 64U << 10;
inline constexpr std::size_t kMaxManifestItemBytes = 4U << 20;
inline constexpr std::size_t kMaxPayloadBytes = 16U << 10;
inline constexpr std::size_t kMaxCertificateBytes = 4096;
inline constexpr std::size_t kMaxAttestationBytes = 512;
inline constexpr std::size_t kMaxIssuers = 3;
inline constexpr std::size_t kMaxAnchors = 16;
inline constexpr std::uint32_t kMaxSegmentRecords = 16'384;  // design.md section 4
inline constexpr std::size_t kMaxSegments = 16'384;

/// Repeats the header, so that a header glued to another body is noticed.
struct BodyOpening {
  ContainerType type = ContainerType::Segment;
  KeyId sender;
  BatchId batch_id;
  std::uint32_t index = 0;
  std::uint32_t count = 0;

  friend bool operator==(const BodyOpening&, const BodyOpening&) = default;
};

/// One key for one SE.
struct Record {
  RecordNo record_no;
  Family family = Family::Pkcs11;
  SeSerial se_serial;
  std::string key_name;
  std::string device_serial = {};  // may be empty: bound at the line
  std::uint32_t generation = 1;    // first is 1
  Bytes payload;                   // 1..16 KiB, opaque: for a driver to pass on
  crypto::PublicKey public_key;
  Bytes certificate;           // leaf, DER, 1..4096
  std::vector<Bytes> issuers;  // issuer first, anchor last, DER, 1..3 of 1..4096
  Digest challenge;            // 32 octets

  friend bool operator==(const Record&, const Record&) = default;
};

struct SegmentLine {
  SegmentIndex index;
  ContainerId container_id;
  Digest digest;            // what the segment's trailer signs
  std::uint32_t count = 0;  // records: 1..16,384
  RecordNo first_record_no;
  SeSerial first_se_serial;
  SeSerial last_se_serial;

  friend bool operator==(const SegmentLine&, const SegmentLine&) = default;
};

struct StationLogSeen {
  std::uint32_t generation = 1;
  std::uint64_t size = 0;
  Digest root;

  friend bool operator==(const StationLogSeen&, const StationLogSeen&) = default;
};

enum class ChainTime : std::uint8_t { Now = 1, Issuing = 2 };

inline constexpr std::uint32_t kMaxClockSkewSeconds = 7 * 24 * 3600;

/// How the chain that is read back from an SE is verified.
struct LineChecks {
  ChainTime chain_time = ChainTime::Now;
  UtcMillis issuing = {};          // from when the batch's certificates are valid
  std::uint32_t clock_skew_s = 0;  // at most kMaxClockSkewSeconds; 0 with Issuing
  std::optional<Digest> secure_boot_key_sha256 = {};  // that verifies the firmware; of 65 octets

  friend bool operator==(const LineChecks&, const LineChecks&) = default;
};

/// Segments ascend in index and in record numbers and do not overlap; none reaches beyond se_count.
struct Manifest {
  BatchId batch_id;
  Digest plan_digest;
  ApplianceId appliance_id;
  Environment environment = Environment::Development;
  StationId station_id;
  std::string site;
  std::string customer = {};  // may be empty
  Family family = Family::Pkcs11;
  Mode mode = Mode::Inject;
  std::string key_name;
  std::uint32_t se_count = 0;
  std::uint32_t target_count = 0;  // at most se_count
  Digest se_list_root;
  std::vector<SegmentLine> segments = {};
  std::vector<Bytes> anchors = {};             // DER, 0..16 of 1..4096
  std::optional<Digest> firmware_sha256 = {};  // nothing: no firmware check in this batch
  std::string checkpoint = {};                 // signed note, at most 4096 octets; may be empty
  std::optional<StationLogSeen> station_log = {};
  std::optional<LineChecks> line_checks = {};  // nothing: the station's clock; no proof in receipts
  Bytes certification_declaration = {};  // CMS in DER, at most 4096 octets; empty: none
  Bytes declaration_signer = {};         // DER certificate, at most 4096 octets; empty: none given

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

struct ReceiptsOpening {
  SignedBytes head;  // of a StationLogHead at to_size, kind station-log-head
  std::uint64_t from_size = 0;
  std::uint64_t to_size = 0;            // at least from_size
  std::string highest_checkpoint = {};  // may be empty

  friend bool operator==(const ReceiptsOpening&, const ReceiptsOpening&) = default;
};

struct ReceiptEntry {
  Bytes leaf;       // a serialised StationLeaf, 1..8192
  Bytes signature;  // 64, by the injected key; or empty
  Bytes attestation = {};  // opaque here, 0..512: the family's verifier (wrap/evidence) reads it

  friend bool operator==(const ReceiptEntry&, const ReceiptEntry&) = default;
};

/// A wrapped key without a certificate yet; never leaves the appliance.
struct WaitingRecord {
  RecordNo record_no;
  SeSerial se_serial;
  Bytes payload;  // as Record's
  crypto::PublicKey public_key;
  Digest request_sha256;  // of the PKCS#10, DER

  friend bool operator==(const WaitingRecord&, const WaitingRecord&) = default;
};

using Item =
    std::variant<BodyOpening, Record, Manifest, ReceiptsOpening, ReceiptEntry, WaitingRecord>;

/// The opening that belongs to `header`.
[[nodiscard]] BodyOpening opening_for(const Header& header);

/// The item with its u32be length before it. Error{InvalidArgument} for a value that a reader would
/// refuse.
[[nodiscard]] Bytes encode_item(const Item& item);

/// One item without its length. Refusals: "size", "protobuf", "item", or the name of the field that
/// is wrong.
[[nodiscard]] std::variant<Item, Refusal> parse_item(ByteView octets);

/// Writes items to a sealer, a file or a Bytes:
/// `ItemWriter items{[&](ByteView octets) { sealer.write(octets); }};`
class ItemWriter {
 public:
  explicit ItemWriter(std::function<void(ByteView)> sink) : sink_{std::move(sink)} {}

  void write(const Item& item) { sink_(encode_item(item)); }

 private:
  std::function<void(ByteView)> sink_;
};

struct NeedMore {};

/// Takes plaintext as it comes and gives whole items. Holds at most one item and what was fed last.
/// Enforces the order above, that the opening repeats the header, and the counts. Refusals: those
/// of parse_item, "order", "opening", "count", "record-order", "truncated".
class ItemReader {
 public:
  /// max_total_bytes: of all plaintext that is fed.
  ItemReader(const Header& header, std::uint64_t max_total_bytes);

  /// Call next() until it needs more, then feed again.
  void feed(ByteView plaintext);

  /// After a Refusal always the same one.
  [[nodiscard]] std::variant<NeedMore, Item, Refusal> next();

  /// At the end of the body: Refusal "truncated" or "count" when something is missing.
  [[nodiscard]] Checked finish();

 private:
  [[nodiscard]] std::optional<Refusal> accept(const Item& item);
  template <typename One>
  [[nodiscard]] std::optional<Refusal> accept_record(const Item& item);
  Refusal refuse(Refusal refusal);

  Header header_;
  std::size_t max_item_bytes_;
  std::uint64_t left_bytes_;
  Bytes buffer_;
  std::size_t taken_ = 0;  // octets of buffer_ that are done with
  std::uint64_t items_ = 0;
  std::optional<RecordNo> last_record_no_;
  std::optional<Refusal> refused_ = {};
};

/// Second pass over a container whose signature was checked: body to items to `take`, which may
/// refuse.
[[nodiscard]] Checked read_items(const Fd& file,
                                 const Outline& outline,
                                 const ContentKey& key,
                                 const std::function<Checked(Item&&)>& take,
                                 unsigned threads = 1);

}  // namespace keyferry::token
