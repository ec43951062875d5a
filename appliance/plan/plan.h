// Plans: one declarative TOML file per operation. Officers approve its octets; gate and workers
// parse exactly those octets (design.md section 6). What is not understood is refused: an unknown
// field could mean something.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/se/atecc608_profile.h"
#include "wrap/se/family.h"
#include "wrap/x509/certificate_builder.h"

namespace keyferry::appliance {

enum class Environment { Development, Rehearsal, Production };
enum class BatchMode { Inject, OnDevice, PreProvisioned };

enum class Operation {
  SourceAdd,
  TransportMasterCreate,
  SeImport,
  StationEnroll,
  CaCreate,
  CaRequest,
  CaInstall,
  CaImport,
  Batch,
  BatchReexport,
  TransportMasterImport,
  VendorKeyImport,
  VendorKeyCreate,
  HsmBackup,
  HsmAdoptState,
  OfficerAdd,
  OfficerReplace,
  OfficerDisable,
  PolicyChange,
  HsmPinChange,
  BatchSuspend,
  BatchResume,
  BatchClose,
  TokenLost,
  QuarantineRelease,
  CrlIssue,
  StationRetire,
  CaRetire,
  HsmDestroyKey,
  ClockSet,
  InsecureAllow,
  FamilyEnable,
  SePrepare,
  DeviceRevoke,
  DeviceScrap,
  DeviceRework,
  DeviceRma,
  BatchCertify,
  CaRevoke,
  CrlImport,
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
  std::string kind;  // "officer-approved", "vendor-key", "microchip-manifest"
  Bytes public_key;  // 65; not of officer-approved
  std::optional<Digest> certificate_sha256 = {};  // of the signer's, DER; microchip-manifest only
};

struct TransportMasterPlan {
  std::string name;
  std::string kdf;  // "kf-kdf-1" or "kf-kdf-2", for life
  se::Family family = se::Family::Pkcs11;  // derives for this one alone
};

/// The master's 32 octets come from outside; the officers approve their check value.
struct TransportMasterImportPlan {
  std::string name;
  std::string kdf;
  Bytes check_value;  // kCheckValueBytes
  std::vector<Bytes> components =
      {};  // none, or the check value of each of two or three parts (wrap/se/FORMAT.md)
  se::Family family = se::Family::Pkcs11;  // as of TransportMasterPlan
};

/// kf-vendor/NAME, AES-256: unwraps the transport keys that a vendor delivers.
struct VendorKeyImportPlan {
  std::string name;
  std::string mechanism;               // "aes-kwp"
  Bytes check_value;                   // kCheckValueBytes
  std::vector<Bytes> components = {};  // as of TransportMasterImportPlan
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

/// Records by number and RFC 6962 root, in the order of batch id and record number; a leaf is batch
/// id (16), u32be record number, certificate serial (16). The root of none is SHA-256 of nothing.
struct RecordSet {
  std::uint64_t count = 0;
  Digest root;
  friend bool operator==(const RecordSet&, const RecordSet&) = default;
};

/// A restored HSM goes on where a lost one ended, which counts as dead from then on.
struct HsmAdoptStatePlan {
  /// The last CRL of one CA: numbers go on above it, and none of its entries is taken off.
  struct Crl {
    std::string authority;
    std::uint64_t number = 0;
    RecordSet entries;  // leaves as of CrlIssuePlan
    friend bool operator==(const Crl&, const Crl&) = default;
  };

  ApplianceId old_appliance;
  std::uint64_t last_checkpoint_size = 0;
  Digest last_checkpoint_root;
  std::uint64_t last_plan_number = 0;
  Digest registry_digest;
  Bytes backup_id;  // kBackupIdBytes
  std::vector<Crl> crls = {};  // by name
};

struct SeImportPlan {
  std::string source;
  std::string file_name;  // for people
  Digest file_sha256;
  std::uint64_t rows = 0;
  // Rows whose transport key was delivered: RFC 6962 root over their canonical entries, in the
  // file's order.
  std::optional<Digest> delivered_root;
  std::uint64_t delivered_count = 0;  // 0 without a root
  // A manifest of Microchip's: what its lines do not say.
  struct Manifest {
    std::string master;  // NAME of kf-tk/NAME
    std::string lot;
    std::optional<std::uint8_t> attestation_slot = {};  // whose public key is the attestation key
    friend bool operator==(const Manifest&, const Manifest&) = default;
  };

  std::optional<Manifest> manifest = {};
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
  x509::CaKind kind = x509::CaKind::Root;
  std::string issuer = {};       // NAME of the kf-ca that signs; empty: self-signed
  std::uint8_t path_length = 0;  // CAs that may follow below it
  x509::MatterIds matter = {};   // Matter's kinds alone

  [[nodiscard]] x509::CaSpec spec() const { return {subject, not_before, not_after, path_length, kind, matter}; }
};

/// kf-ca/NAME is made; its certificate will come from outside. Until then it issues nothing.
struct CaRequestPlan {
  std::string name;
  std::string subject;
  x509::CaKind kind = x509::CaKind::Intermediate;  // or MatterPai
  x509::MatterIds matter = {};
};

/// The most certificates from an issuing CA up to its anchor, and octets of one.
inline constexpr std::size_t kMaxCaChain = 3;
inline constexpr std::size_t kMaxCaCertificateBytes = 4096;

/// The certificate for the request of kf-ca/NAME, then each one's issuer up to the self-signed anchor.
struct CaInstallPlan {
  std::string name;
  std::vector<Bytes> chain;  // DER, 2 to kMaxCaChain
};

/// An outside CA that signs for our requests: its certificate, then each one's issuer.
struct CaImportPlan {
  std::string name;
  x509::CaKind kind = x509::CaKind::Intermediate;
  std::vector<Bytes> chain;  // DER, 1 to kMaxCaChain
};

/// When a chain that is read back from an SE has to be valid.
enum class ChainTime {
  Now,      // by the station's clock
  Issuing,  // when the batch's certificates begin: for lines whose clock is not trusted
};

inline constexpr std::uint32_t kMaxClockSkewSeconds = 7 * 24 * 3600;

/// How the checks at the end of the line are made (plan_verify.h).
struct VerifyPlan {
  ChainTime chain_time = ChainTime::Now;
  std::uint32_t clock_skew_s = 0;  // at most kMaxClockSkewSeconds; 0 with Issuing
  // SHA-256 of the 65 octets of the key that verifies the firmware; nothing: whichever is in the slot.
  std::optional<Digest> secure_boot_key_sha256 = {};

  friend bool operator==(const VerifyPlan&, const VerifyPlan&) = default;
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
  std::string certificate_text = {};  // table [certificate]: x509::template_text; empty: "device" with that subject
  UtcMillis not_before, not_after;
  std::optional<Digest> firmware_sha256;
  std::optional<VerifyPlan> verify = {};  // nothing: a plan of an older form, whose receipts need no proof
  UtcMillis due;  // when what is outstanding becomes overdue
  std::optional<se::Atecc608Profile> atecc608 = {};  // exactly for that family
  bool outside = false;  // the CA is an outside one: requests go out, certificates come in, then it seals

  /// Without issuer; with the plan's validity.
  [[nodiscard]] x509::DeviceTemplate device_template() const;

  [[nodiscard]] std::uint32_t segment_count() const {
    return static_cast<std::uint32_t>((std::uint64_t{se_count} + segment_size - 1) / segment_size);
  }
};

struct BatchReexportPlan {
  BatchId batch;
  std::string reason;
};

/// A person's row in the registry. Whose number it is stands in the ledger's table of names.
struct OfficerAddPlan {
  std::uint32_t number = 0;
  std::string role;  // officer, custodian, technician, line-lead, auditor, witness
  Digest name_hash;  // SHA-256(salt || name)
  Bytes public_key;  // 65
};

/// The same person with another key, at once: the old one approves nothing any more.
struct OfficerReplacePlan {
  std::uint32_t number = 0;
  Bytes public_key;  // 65
  std::string reason;
};

struct OfficerDisablePlan {
  std::uint32_t number = 0;
  std::string reason;
};

/// The whole table anew; an operation that is not named cannot be done any more, but for
/// policy-change itself.
struct PolicyChangePlan {
  struct Rule {
    Operation operation = Operation::Batch;
    std::uint32_t officers_needed = 0;
    friend bool operator==(const Rule&, const Rule&) = default;
  };

  std::vector<Rule> rules;
  bool rehearsal_required = false;  // a ceremony's real run needs the record of its rehearsal
  std::string reason;
};

/// New random user PIN and SO PIN, each split anew; the old shares open nothing afterwards.
struct HsmPinChangePlan {
  std::vector<std::uint32_t> custodians;  // person numbers: each gets one share of both
  std::uint32_t shares_needed = 0;
  std::string reason;
};

struct BatchSuspendPlan {
  BatchId batch;
  std::string reason;
};

struct BatchResumePlan {
  BatchId batch;
  std::string reason;
};

/// What is outstanding is revoked, what was not sealed never left.
struct BatchClosePlan {
  BatchId batch;
  RecordSet outstanding;
  std::string reason;
};

/// Outbound: a token with a batch on it is gone.
struct TokenLostPlan {
  TokenId token;
  BatchId batch;
  std::string decision;  // "revoke" (the batch is closed) or "accept"
  RecordSet exposed;     // outstanding records on it
  std::string reason;
};

/// A quarantined or returned SE may get a new record in a new batch: its certificate is revoked,
/// its generation grows.
struct QuarantineReleasePlan {
  BatchId batch;
  std::uint32_t record_no = 0;
  std::string reason;
};

/// The CA's next CRL: all entries in the order in which they were added. A leaf is certificate
/// serial (16), u64be revocation time in UTC milliseconds, reason code (1 octet, RFC 5280
/// section 5.3.1).
struct CrlIssuePlan {
  std::string authority;
  std::uint64_t number = 0;  // crlNumber, one more than the last
  RecordSet entries;
  UtcMillis next_update;
};

/// Its log ends at what was accepted last, its outstanding records are revoked, its batches closed.
struct StationRetirePlan {
  StationId station;
  std::uint32_t log_generation = 0;  // 0: nothing ever came from it
  std::uint64_t log_size = 0;
  RecordSet outstanding;
  std::string reason;
};

struct CaRetirePlan {
  std::string name;
  std::string reason;
};

/// Proved by opening the token anew and finding nothing under the label.
struct HsmDestroyKeyPlan {
  std::string label;  // "kf-tk/NAME", "kf-vendor/NAME", "kf-ca/NAME"
  std::string reason;
};

/// Order comes from sequence numbers: this only says what the clock may show from now on.
struct ClockSetPlan {
  UtcMillis floor;
  std::string reason;
};

/// Production only: what --insecure-allow does elsewhere, until a time.
struct InsecureAllowPlan {
  std::vector<std::string> what;  // of network, swap, memlock, usb
  UtcMillis until;
  std::string reason;
};

/// Records of a family whose format no HSM can make: a worker sees each device key.
struct FamilyEnablePlan {
  se::Family family = se::Family::Atecc608;
  std::string reason;
};

/// An outside CA's certificates for a batch that waits for them: its wrapped keys may be opened once, for these.
struct BatchCertifyPlan {
  BatchId batch;
  std::string authority;
  std::uint32_t count = 0;
  Digest certificates_root;  // RFC 6962, over the certificates in DER, by record number
};

inline constexpr std::uint32_t kMaxPreparedChips = 1'000'000;

/// A secure room makes blank chips ready; its receipts are taken in as inventory. Family atecc608.
struct SePreparePlan {
  std::string preparer;         // source of kind preparation
  std::string part, lot;        // is_part_text
  std::string key_name;         // is_name
  std::uint32_t count = 0;      // at most kMaxPreparedChips
  std::string vendor;           // NAME of kf-vendor/NAME
  std::string mechanism;        // "rsa-oaep-sha1" or "rsa-oaep-sha256"
  Bytes vendor_public_key;      // DER SubjectPublicKeyInfo
  Bytes secure_boot_key = {};   // 65, or empty
  se::Atecc608Profile profile = {};

  friend bool operator==(const SePreparePlan&, const SePreparePlan&) = default;
};

/// One record that has ended: its certificate, the SE that it was made for, the device if it is known.
struct DeviceRecord {
  BatchId batch;
  std::uint32_t record_no = 0;
  se::Family family = se::Family::Pkcs11;
  Bytes se_serial;             // SeSerial
  Bytes certificate_serial;    // 16
  std::string device_serial = {};  // empty, or is_device_serial
  Bytes outside_serial = {};   // under an outside CA, 1 to 20: what certificate_serial stands for

  /// The serial that stands in the certificate.
  [[nodiscard]] const Bytes& shown_serial() const {
    return outside_serial.empty() ? certificate_serial : outside_serial;
  }

  friend bool operator==(const DeviceRecord&, const DeviceRecord&) = default;
};

/// The certificate of an injected device goes on the next CRL; or that of an outstanding record, which then ends as
/// those of a closed batch do.
struct DeviceRevokePlan {
  DeviceRecord record;
  std::string crl_reason;  // name of RFC 5280 section 5.3.1
  std::string reason;
  bool outstanding = false;  // as the officers saw it
};

/// An SE that was quarantined, came back or was revoked is destroyed: never again in a batch.
struct DeviceScrapPlan {
  DeviceRecord record;
  std::uint32_t by = 0, witness = 0;  // persons of the registry, not the same one
  std::optional<Digest> evidence_sha256 = {};
  std::string reason;
};

/// The device gets another SE; the certificate in the old one is superseded.
struct DeviceReworkPlan {
  DeviceRecord record;  // with its device serial
  se::Family new_family = se::Family::Pkcs11;
  Bytes new_se_serial;
  std::string reason;
};

/// A device came back from the field.
struct DeviceRmaPlan {
  DeviceRecord record;
  std::string rma;         // the return's number: is_part_text, not empty
  std::string crl_reason;  // as of DeviceRevokePlan
  std::string reason;
};

/// A CA's own certificate goes on the next CRL of the CA above it, which is ours too; nothing below it is issued any
/// more.
struct CaRevokePlan {
  std::string name;
  std::string issuer;        // by whose CRL
  Bytes certificate_serial;  // 16
  std::string crl_reason;    // name of RFC 5280 section 5.3.1
  std::string reason;
};

/// An outside CA's CRL revokes records that are due there: they are noted with it.
struct CrlImportPlan {
  std::string authority;
  Digest crl_sha256;  // of the DER
  UtcMillis this_update;
  RecordSet records;  // due, and on it; leaves as of ledger/revocation_store.h
};

/// As crl_reason_code, for a CA's own certificate: "cACompromise" in place of "keyCompromise".
[[nodiscard]] std::optional<std::uint8_t> ca_crl_reason_code(std::string_view name);
/// RFC 5280 section 5.3.1, the reasons a device certificate can have: "unspecified", "keyCompromise",
/// "affiliationChanged", "superseded", "cessationOfOperation", "privilegeWithdrawn".
[[nodiscard]] std::optional<std::uint8_t> crl_reason_code(std::string_view name);
/// Any code of that section; "unknown" for others.
[[nodiscard]] std::string_view crl_reason_name(std::uint8_t code);

struct Plan {
  Operation operation = Operation::Batch;
  std::uint64_t number = 0;
  Environment environment = Environment::Development;
  ApplianceId appliance;
  UtcMillis expires;
  std::map<std::string, Digest> files;  // outside files by name
  std::variant<SourceAddPlan,
               TransportMasterPlan,
               SeImportPlan,
               StationEnrollPlan,
               CaCreatePlan,
               CaRequestPlan,
               CaInstallPlan,
               CaImportPlan,
               BatchPlan,
               BatchReexportPlan,
               TransportMasterImportPlan,
               VendorKeyImportPlan,
               VendorKeyCreatePlan,
               HsmBackupPlan,
               HsmAdoptStatePlan,
               OfficerAddPlan,
               OfficerReplacePlan,
               OfficerDisablePlan,
               PolicyChangePlan,
               HsmPinChangePlan,
               BatchSuspendPlan,
               BatchResumePlan,
               BatchClosePlan,
               TokenLostPlan,
               QuarantineReleasePlan,
               CrlIssuePlan,
               StationRetirePlan,
               CaRetirePlan,
               HsmDestroyKeyPlan,
               ClockSetPlan,
               InsecureAllowPlan,
               FamilyEnablePlan,
               SePreparePlan,
               DeviceRevokePlan,
               DeviceScrapPlan,
               DeviceReworkPlan,
               DeviceRmaPlan,
               BatchCertifyPlan,
               CaRevokePlan,
               CrlImportPlan>
      detail;

  Bytes octets;   // as parsed
  Digest digest;  // SHA-256 of octets

  [[nodiscard]] BatchId batch_id() const;  // first 16 octets of the digest

  [[nodiscard]] const BatchPlan& batch() const { return std::get<BatchPlan>(detail); }
};

/// Parses and validates everything that the octets alone can tell. Refusal names field and reason.
[[nodiscard]] std::variant<Plan, Refusal> parse_plan(ByteView octets);

/// TOML text of a plan; parse_plan of it gives the same plan back. `octets` and `digest` of the
/// argument are not read.
[[nodiscard]] std::string plan_text(const Plan& plan);

/// What would happen, in sentences, for the person who approves it.
[[nodiscard]] std::vector<std::string> plan_sentences(const Plan& plan);

/// Name or id that the operation is about, for logs.
[[nodiscard]] std::string plan_subject(const Plan& plan);

}  // namespace keyferry::appliance
