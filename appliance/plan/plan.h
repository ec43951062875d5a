// Plans: one declarative TOML file per operation. Officers approve its octets; gate and workers parse exactly those
// octets (design.md section 6). What is not understood is refused: an unknown field could mean something.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/se/family.h"

namespace keyferry::appliance {

enum class Environment { Development, Rehearsal, Production };
enum class BatchMode { Inject, OnDevice, PreProvisioned };

enum class Operation {
  SourceAdd,
  TransportMasterCreate,
  SeImport,
  StationEnroll,
  CaCreate,
  Batch,
  BatchReexport,
  TransportMasterImport,
  VendorKeyImport,
  VendorKeyCreate,
  HsmBackup,
  HsmAdoptState,
};

/// Text as it stands in plans, approvals and the log: "source-add", "batch", ...
[[nodiscard]] std::string_view operation_name(Operation operation);
[[nodiscard]] std::optional<Operation> operation_from_name(std::string_view name);
[[nodiscard]] std::string_view environment_name(Environment environment);
[[nodiscard]] std::optional<Environment> environment_from_name(std::string_view name);

inline constexpr std::size_t kMaxPlanBytes = 64 * 1024;
inline constexpr std::uint32_t kMaxSegmentRecords = 16'384;
inline constexpr std::uint32_t kMaxBatchRecords = 16'000'000;
/// Stored trailers make kf-state grow; it has to stay below 1 MiB with several batches open.
inline constexpr std::uint32_t kMaxSegmentsPerBatch = 2048;
inline constexpr std::size_t kCheckValueBytes = 16;  // wrap/se/FORMAT.md
inline constexpr std::size_t kBackupIdBytes = 16;
inline constexpr std::uint32_t kMaxBackupShares = 32;

struct SourceAddPlan {
  std::string name;
  std::string kind;  // "officer-approved", "vendor-key"
  Bytes public_key;  // 65; vendor-key only
};

struct TransportMasterPlan {
  std::string name;
  std::string kdf;  // "kf-kdf-1" or "kf-kdf-2", for life
};

/// The master's 32 octets come from outside; the officers approve their check value.
struct TransportMasterImportPlan {
  std::string name;
  std::string kdf;
  Bytes check_value;  // kCheckValueBytes
};

/// kf-vendor/NAME, AES-256: unwraps the transport keys that a vendor delivers.
struct VendorKeyImportPlan {
  std::string name;
  std::string mechanism;  // "aes-kwp"
  Bytes check_value;      // kCheckValueBytes
};

/// kf-vendor/NAME, an RSA pair of the HSM's: the vendor gets the public half.
struct VendorKeyCreatePlan {
  std::string name;
  std::string mechanism;   // "rsa-oaep-sha1" or "rsa-oaep-sha256"
  std::uint32_t bits = 0;  // 3072 or 4096
};

/// Wraps every key that the role table lets into a backup under a key split into shares.
struct HsmBackupPlan {
  std::uint32_t shares_needed = 0;  // 2 to shares
  std::uint32_t shares = 0;         // at most kMaxBackupShares
  std::string reason;
};

/// A restored HSM goes on where a lost one ended, which counts as dead from then on.
struct HsmAdoptStatePlan {
  ApplianceId old_appliance;
  std::uint64_t last_checkpoint_size = 0;
  Digest last_checkpoint_root;
  std::uint64_t last_plan_number = 0;
  Digest registry_digest;
  Bytes backup_id;  // kBackupIdBytes
};

struct SeImportPlan {
  std::string source;
  std::string file_name;  // for people
  Digest file_sha256;
  std::uint64_t rows = 0;
  // Rows whose transport key was delivered: RFC 6962 root over their canonical entries, in the file's order.
  std::optional<Digest> delivered_root;
  std::uint64_t delivered_count = 0;  // 0 without a root
};

struct StationEnrollPlan {
  std::string name;
  std::string site;
  Digest request_sha256;  // of the enrolment request's payload
  StationId station;
};

struct CaCreatePlan {
  std::string name;
  std::string subject;  // "CN=...,O=..."
  UtcMillis not_before, not_after;
};

struct BatchPlan {
  std::string site, customer;
  StationId station;
  se::Family family = se::Family::Pkcs11;
  BatchMode mode = BatchMode::Inject;
  std::string key_name;
  std::uint32_t target_count = 0;
  std::uint32_t segment_size = 0;  // a power of two, at most kMaxSegmentRecords
  std::uint32_t se_count = 0;
  Digest se_list_root;
  std::string certificate_authority, certificate_template, certificate_subject;
  UtcMillis not_before, not_after;
  std::optional<Digest> firmware_sha256;
  UtcMillis due;  // when what is outstanding becomes overdue

  [[nodiscard]] std::uint32_t segment_count() const {
    return static_cast<std::uint32_t>((std::uint64_t{se_count} + segment_size - 1) / segment_size);
  }
};

struct BatchReexportPlan {
  BatchId batch;
  std::string reason;
};

struct Plan {
  Operation operation = Operation::Batch;
  std::uint64_t number = 0;
  Environment environment = Environment::Development;
  ApplianceId appliance;
  UtcMillis expires;
  std::map<std::string, Digest> files;  // outside files by name
  std::variant<SourceAddPlan, TransportMasterPlan, SeImportPlan, StationEnrollPlan, CaCreatePlan, BatchPlan,
               BatchReexportPlan, TransportMasterImportPlan, VendorKeyImportPlan, VendorKeyCreatePlan, HsmBackupPlan,
               HsmAdoptStatePlan>
      detail;

  Bytes octets;   // as parsed
  Digest digest;  // SHA-256 of octets

  [[nodiscard]] BatchId batch_id() const;  // first 16 octets of the digest
  [[nodiscard]] const BatchPlan& batch() const { return std::get<BatchPlan>(detail); }
};

/// Parses and validates everything that the octets alone can tell. Refusal names field and reason.
[[nodiscard]] std::variant<Plan, Refusal> parse_plan(ByteView octets);

/// TOML text of a plan; parse_plan of it gives the same plan back. `octets` and `digest` of the argument are not read.
[[nodiscard]] std::string plan_text(const Plan& plan);

/// What would happen, in sentences, for the person who approves it.
[[nodiscard]] std::vector<std::string> plan_sentences(const Plan& plan);

/// Name or id that the operation is about, for logs.
[[nodiscard]] std::string plan_subject(const Plan& plan);

}  // namespace keyferry::appliance
