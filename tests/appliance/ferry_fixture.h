// A ledger that has issued one batch, with the keys of everyone in software: station, appliance,
// and the keys that "sit" in the SEs. No gate, no HSM: what comes home is made by hand here and
// opened with a soft inbox key.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "appliance/front/receipts_check.h"
#include "appliance/ledger/batch_store.h"
#include "appliance/ledger/receipt_store.h"
#include "appliance/ledger/reconcile_store.h"
#include "tests/support/temp_folder.h"
#include "token/items.h"
#include "token/receipt.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hpke.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance {

inline constexpr UtcMillis kNow{1'800'000'000'000};
inline constexpr UtcMillis kDue{1'900'000'000'000};

/// Of the image that a batch with firmware names.
[[nodiscard]] Digest image_sha256();
/// Of the secure-boot key that chips say they verified it with.
inline const Digest kBootKey = *Digest::from_bytes(Bytes(32, 0xB0));

/// What a receipts container is made of; tests spoil one thing at a time.
struct HomeComing {
  std::vector<token::ReceiptEntry> entries;  // of the station's whole log
  std::uint64_t from = 0;
  std::uint32_t generation = 1;
  UtcMillis head_time{kNow};
  token::Environment environment = token::Environment::Development;
  token::ContainerType type = token::ContainerType::Receipts;
  std::optional<ContainerId> container = {};
  std::optional<Digest> root = {};  // instead of the right one
  std::string checkpoint = {};
  crypto::SoftKey* head_signer = nullptr;        // instead of the station's key
  crypto::SoftKey* container_signer = nullptr;   // instead of the station's key
  const crypto::PublicKey* recipient = nullptr;  // instead of kf-inbox
};

class FerryTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kRecords = 4;

  FerryTest() : FerryTest{se::Family::Pkcs11} {}

  /// atecc608: a real plan with the example profile; chips 0 and 1 have an attestation key.
  explicit FerryTest(se::Family family,
                     bool with_firmware = false,
                     const std::optional<VerifyPlan>& verify = VerifyPlan{});

  // --- what the station writes ---
  [[nodiscard]] token::ReceiptCore core(std::uint32_t record,
                                        token::Outcome outcome = token::Outcome::Injected) const;
  /// What its verdicts rest on, as an honest station says it.
  [[nodiscard]] token::LineProof proof(std::uint32_t record) const;
  /// A core leaf, signed by the record's key when the outcome is injected.
  [[nodiscard]] token::ReceiptEntry entry(const token::ReceiptCore& core);
  [[nodiscard]] token::ReceiptEntry signed_entry(std::uint32_t record, ByteView core_octets);
  [[nodiscard]] token::ReceiptEntry unsigned_entry(const token::ReceiptCore& core) const;
  [[nodiscard]] static token::ReceiptEntry event(const std::string& text);
  [[nodiscard]] static token::ReceiptEntry void_of(std::uint64_t position);
  /// The sealed container as a file.
  [[nodiscard]] std::filesystem::path seal(const HomeComing& home);

  // --- what the appliance does with it ---
  /// Outline, signature, body: the refusal's reason, or "" when it is staged, or "known".
  [[nodiscard]] std::string stage(const std::filesystem::path& file);

  [[nodiscard]] std::string stage(const HomeComing& home) { return stage(seal(home)); }

  /// Carries a staged import out in pieces of `step` entries.
  void carry_out(std::uint64_t step = 1000);

  void expect_imported(const HomeComing& home) {
    EXPECT_EQ(stage(home), "");
    carry_out();
  }

  [[nodiscard]] Sums sums() { return ReconcileStore{*ledger_}.sums(*batches().find(batch_)); }

  [[nodiscard]] bool agrees() {
    return sums().agree() &&
           sums() == ReconcileStore{*ledger_}.cross_check(*batches().find(batch_));
  }

  [[nodiscard]] Bytes serial_of(std::uint32_t record) const;
  [[nodiscard]] std::string state_of(std::uint32_t record);
  [[nodiscard]] std::int64_t count(const std::string& table, const std::string& where = "1");

  void exec(const std::string& sql) { ledger_->database().exec(sql); }

  [[nodiscard]] BatchStore batches() { return BatchStore{*ledger_}; }

  test::TempFolder folder_;
  SystemRandom random_;
  crypto::SoftKey station_ = crypto::SoftKey::generate();
  crypto::SoftKey station_agreement_ = crypto::SoftKey::generate();
  crypto::SoftKey other_station_ = crypto::SoftKey::generate();
  crypto::SoftKey log_ = crypto::SoftKey::generate();
  crypto::SoftKey export_ = crypto::SoftKey::generate();
  crypto::SoftDhKey inbox_{crypto::SoftKey::generate()};
  se::Family family_;
  bool with_firmware_;
  std::optional<VerifyPlan> verify_;
  std::vector<Bytes> answers_;  // of each SE to its record's challenge
  std::vector<crypto::SoftKey> se_keys_;
  std::vector<crypto::SoftKey> attestation_keys_;  // of all chips; the inventory knows two
  std::vector<RecordRow> records_;
  Digest manifest_digest_;
  BatchId batch_;
  StationId station_id_;
  std::optional<token::ApplianceCard> card_;
  std::unique_ptr<Ledger> ledger_;
  std::optional<RefusedReceipts> refused_;

 private:
  void fill_registry();
  void fill_batch();
  void seal_batch();

  int files_ = 0;
};

}  // namespace keyferry::appliance
