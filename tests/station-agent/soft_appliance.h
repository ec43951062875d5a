// An appliance in software for the station's tests: it answers enrolment, seals batches with the
// product's containers, wraps keys with the software twin of KWP, and opens receipts. Everything it
// does can be bent by a test.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/station-agent/se_store.h"
#include "token/container.h"
#include "token/enrolment.h"
#include "token/items.h"
#include "token/receipt.h"
#include "wrap/base/clock.h"
#include "wrap/base/random.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/atecc608_profile.h"
#include "wrap/x509/certificate_builder.h"

namespace keyferry::station::test {

/// What an appliance knows of a prepared ATECC608.
struct AteccChip {
  SeSerial serial;
  Bytes transport_key;  // 32
  std::optional<crypto::PublicKey> attestation_key;
};

struct SealedFile {
  Bytes octets;
  ContainerId id;
  Digest digest;
};

/// One batch as the appliance has it before it is written to a token.
struct SoftBatch {
  token::Manifest manifest;
  std::vector<std::vector<token::Record>> segments;  // records of each
  std::vector<SealedFile> sealed;                    // the same, sealed
};

struct OpenedReceipts {
  token::StationLogHead head;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::vector<token::ReceiptEntry> entries;
};

struct Sums {
  std::uint64_t injected = 0;
  std::uint64_t quarantined = 0;
  std::uint64_t returned = 0;
  std::uint64_t voided = 0;
  std::uint64_t attested = 0;  // of the injected ones

  friend bool operator==(const Sums&, const Sums&) = default;
};

class SoftAppliance {
 public:
  SoftAppliance();

  [[nodiscard]] const ApplianceId& id() const { return id_; }

  [[nodiscard]] std::string words() const;

  /// Reads the one request on the token and answers it.
  void answer_enrolment(const std::filesystem::path& token);

  /// A station that was enrolled in another way.
  void adopt(const token::EnrolmentRequest& station) {
    station_ = std::make_unique<token::EnrolmentRequest>(station);
  }

  /// Keys and certificates for these SEs, wrapped for each, in segments of `segment_size`, sealed
  /// for the station.
  [[nodiscard]] SoftBatch make_batch(const std::vector<SeStore>& ses,
                                     std::uint32_t segment_size = 2);

  /// The same for chips of family atecc608 under `profile`.
  [[nodiscard]] SoftBatch make_batch(const std::vector<AteccChip>& chips,
                                     const se::Atecc608Profile& profile,
                                     std::uint32_t segment_size = 2,
                                     std::optional<Digest> firmware_sha256 = std::nullopt);

  /// Sealed again from `records`, with a new container id unless one is given.
  [[nodiscard]] SealedFile seal_segment(const SoftBatch& batch,
                                        std::uint32_t index,
                                        const std::vector<token::Record>& records,
                                        std::optional<ContainerId> id = std::nullopt);
  [[nodiscard]] SealedFile seal_manifest(const token::Manifest& manifest,
                                         std::optional<ContainerId> id = std::nullopt);

  /// Token card, manifest and segments. `manifest`: another file than the batch's own.
  void write_token(const std::filesystem::path& token,
                   const SoftBatch& batch,
                   const std::optional<SealedFile>& manifest = std::nullopt);
  void write_card(const std::filesystem::path& token, const SoftBatch& batch);

  /// Verifies container, head and, for each injected core, the SE's signature with the key that was
  /// issued. Throws with a sentence when something is not as it must be.
  [[nodiscard]] OpenedReceipts open_receipts(const std::filesystem::path& token);
  [[nodiscard]] Sums sums(const OpenedReceipts& receipts) const;

  [[nodiscard]] const token::EnrolmentRequest& station() const { return *station_; }

  crypto::SoftKey log_key = crypto::SoftKey::generate();
  crypto::SoftKey export_key = crypto::SoftKey::generate();
  crypto::SoftKey inbox_key = crypto::SoftKey::generate();
  crypto::SoftKey ca_key = crypto::SoftKey::generate();
  Bytes ca_certificate;
  std::map<std::uint32_t, Bytes> scalars;    // of each record, for who looks for them elsewhere
  std::map<BatchId, token::Manifest> manifests;  // of each batch that was made; tests bend theirs
  std::optional<crypto::PublicKey> seal_to;  // another recipient than the station
  crypto::Signer* seal_by = nullptr;         // another sender than export_key

 private:
  struct Issued {
    crypto::PublicKey key;
    Bytes serial;  // of the certificate
  };

  /// Throws when an injected receipt's verdicts are not what its manifest asks for and rest on.
  void check_line(const token::ReceiptCore& core, const Issued& issued) const;
  /// Key, certificate and payload by `seal`, which gets the private scalar.
  [[nodiscard]] token::Record make_record(const SeSerial& serial,
                                          std::uint32_t number,
                                          const std::function<Bytes(ByteView scalar)>& seal);
  /// A batch of these records; `next` makes the record of a number.
  [[nodiscard]] SoftBatch make_batch(std::uint32_t count,
                                     std::uint32_t segment_size,
                                     token::Family family,
                                     std::optional<Digest> firmware_sha256,
                                     const std::function<token::Record(std::uint32_t)>& next);
  [[nodiscard]] SealedFile seal(token::Header header, const std::vector<token::Item>& items);

  SystemRandom random_;
  SystemClock clock_;
  ApplianceId id_;
  std::unique_ptr<token::EnrolmentRequest> station_;
  Digest request_sha256_;
  std::map<Bytes, Issued> issued_;  // by certificate hash
  std::map<SeSerial, crypto::PublicKey> attestors_;
};

/// What an SE does with a payload: the device key that comes out under its transport key. Throws
/// when it does not open.
[[nodiscard]] crypto::SoftKey open_payload(const SeStore& se, const token::Record& record);

}  // namespace keyferry::station::test
