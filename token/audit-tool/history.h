// What the leaves of an appliance's log say, taken in order: who could decide, what was decided,
// which keys were made for which SEs, and where each record ended. About 180 octets for each key.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "token/audit-tool/findings.h"
#include "token/types.h"
#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace keyferry::v1 {
class LogLeaf;
}

namespace keyferry::audit_tool {

enum class RecordEnd : std::uint8_t { Outstanding, Injected, Quarantined, Returned, Revoked };

struct Record {
  Digest certificate_sha256;
  Digest public_key_sha256;
  Digest core_sha256;                     // of the accepted receipt
  std::array<std::uint8_t, 20> serial{};  // of the certificate
  std::uint8_t serial_size = 0;
  RecordEnd end = RecordEnd::Outstanding;
  bool has_receipt = false;
  bool live = true;  // its certificate is not revoked
  StationId receipt_station;
  std::array<std::uint8_t, 16> se{};  // of family, serial and key name

  [[nodiscard]] ByteView serial_view() const { return ByteView{serial}.first(serial_size); }
};

struct Segment {
  std::vector<Record> records;
  std::optional<std::uint32_t> issued;  // count, by its summary leaf
};

struct BatchHistory {
  BatchId id;
  Digest plan;
  std::string site, customer, authority, family;
  StationId station;
  std::uint64_t se_count = 0;
  std::uint32_t segment_size = 0;
  std::map<std::uint32_t, Segment> segments;
  std::optional<Digest> manifest;
  bool closed = false;    // by officers
  bool outside = false;   // certificates by an outside CA
  std::string plaintext;  // where keys were in the clear, as the leaf says
  std::uint64_t certificates = 0, receipts = 0, attested = 0;  // that were checked and hold
};

struct Person {
  std::string role;
  std::optional<crypto::PublicKey> key;
  bool disabled = false;
};

struct StationKeys {
  std::optional<crypto::PublicKey> signing, agreement;
};

struct StationRoot {
  StationId station;
  std::uint32_t generation = 0;
  std::uint64_t size = 0;
  Digest root;
};

/// An approved plan's leaf, with who approved as of then.
struct PlanUse {
  std::uint64_t leaf = 0;
  Digest digest = {};
  std::uint64_t number = 0;
  std::string operation = {};
  std::vector<std::pair<KeyId, crypto::PublicKey>> officers = {};
};

struct Challenge {
  std::uint64_t leaf = 0;
  UtcMillis time;
};

class History {
 public:
  explicit History(Findings& findings) : findings_{findings} {}

  /// One shown leaf, in the order of the log. A plan leaf comes back as PlanUse, so that its files
  /// are looked at while it is known who was an officer; plan_is() then says what a batch's is
  /// about.
  std::optional<PlanUse> take(std::uint64_t index, ByteView octets);

  struct BatchPlanFacts {
    std::string site, customer, authority, family;
    StationId station;
    std::uint64_t se_count = 0;
    std::uint32_t segment_size = 0;
  };

  void batch_is(const Digest& plan, const BatchPlanFacts& facts);

  /// Looks for an auditor's words from now on.
  void expect_challenge(const std::string& words) { challenge_words_ = words; }

  /// After the last leaf: what must not occur twice in all of them.
  void finish();

  // --- what was seen
  std::map<BatchId, BatchHistory> batches;
  std::map<std::uint32_t, Person> persons;
  std::map<StationId, StationKeys> stations;
  std::map<std::string, Bytes> authority_keys;  // by CA name: point of the key in the HSM
  std::map<std::string, std::uint32_t> policy;  // officers needed, by operation
  std::vector<StationRoot> station_roots;
  std::vector<std::pair<std::uint64_t, Digest>> custody;  // leaf, statement
  std::set<Digest> crls, transcripts;
  std::map<std::string, std::uint64_t> incidents;  // by kind
  std::uint64_t refusals = 0;
  std::optional<Challenge> challenge;
  std::optional<ApplianceId> appliance;
  std::optional<token::Environment> environment;
  std::optional<ApplianceId> predecessor;  // this HSM went on for a lost one, whose log is another
  std::uint64_t unchecked_plans = 0;       // their officers were enrolled in that log
  std::set<BatchId> older_batches;         // made in that log
  UtcMillis last_time;                     // of the last leaf
  UtcMillis latest_time;                   // of any
  std::uint64_t shown = 0;

 private:
  void fault(Check check, std::string code, std::string text);
  std::optional<PlanUse> take_plan(const v1::LogLeaf& leaf);
  void take_person(const v1::LogLeaf& leaf);
  void take_key(const v1::LogLeaf& leaf);
  void take_segment(const v1::LogLeaf& leaf);
  void take_receipt(const v1::LogLeaf& leaf);
  void take_end(const std::vector<BatchId>& batches, std::uint64_t count, const std::string& root);
  void take_device(const v1::LogLeaf& leaf);
  BatchHistory* batch(const std::string& id);
  Record* record(const std::string& batch, std::uint32_t number);

  Findings& findings_;
  std::uint64_t at_ = 0;
  std::uint64_t last_plan_ = 0;
  std::string challenge_words_;

  struct SeKey {
    std::size_t operator()(const std::array<std::uint8_t, 16>& key) const;
  };

  struct Place {
    BatchId batch;
    std::uint32_t record = 0;
  };

  std::unordered_map<std::array<std::uint8_t, 16>, Place, SeKey> last_of_se_;
};

}  // namespace keyferry::audit_tool
