// The four verdicts at the end of the line, each family through its own driver: SoftHSM behind the
// lane's helper, and the virtual ATECC608. A hand reaches into the SE between the steps. Every fail
// ends in quarantine, once and for good.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "station-agent/atecc608_chip.h"
#include "station-agent/lane.h"
#include "station-agent/pkcs11_chip.h"
#include "tests/station-agent/soft_appliance.h"
#include "tests/station-agent/virtual_chip.h"
#include "tests/support/temp_folder.h"
#include "wrap/crypto/hash.h"
#include "wrap/se/pkcs11_device.h"
#include "wrap/store/database.h"
#include "wrap/x509/certificate.h"

namespace keyferry::station::test {
namespace {

using token::Verdict;

class MovableClock final : public Clock {
 public:
  [[nodiscard]] UtcMillis now() const override { return UtcMillis{system_.now().value + shift_ms}; }

  std::int64_t shift_ms = 0;

 private:
  SystemClock system_;
};

/// Called before the step; they may throw ChipLost.
struct Hands {
  std::function<void()> before_read, before_challenge, before_firmware;
};

/// The real driver, with somebody's hands on the chip.
class HandledChip final : public Chip {
 public:
  HandledChip(std::unique_ptr<Chip> chip, const Hands& hands)
      : chip_{std::move(chip)}, hands_{hands} {}

  std::variant<ChipFacts, ChipRefusal> identify() override { return chip_->identify(); }

  std::optional<Refusal> check(const token::Record& record, const FirmwareImage* image) override {
    return chip_->check(record, image);
  }

  Asked ask(const KeyHandle& handle,
            const std::vector<KeyHandle>& known,
            const token::Record& record) override {
    return chip_->ask(handle, known, record);
  }

  std::optional<Refusal> inject(const KeyHandle& handle, const token::Record& record) override {
    return chip_->inject(handle, record);
  }

  std::optional<Refusal> write_chain(const KeyHandle& handle,
                                     const token::Record& record) override {
    return chip_->write_chain(handle, record);
  }

  std::optional<Refusal> lock(const token::Record& record) override { return chip_->lock(record); }

  std::variant<ReadChain, Refusal> read_chain(const KeyHandle& handle,
                                              const token::Record& record) override {
    if (hands_.before_read) hands_.before_read();
    return chip_->read_chain(handle, record);
  }

  std::variant<Bytes, Refusal> sign(const KeyHandle& handle,
                                    const token::Record& record,
                                    ChipSigns kind,
                                    ByteView message) override {
    if (kind == ChipSigns::Challenge && hands_.before_challenge) hands_.before_challenge();
    return chip_->sign(handle, record, kind, message);
  }

  std::variant<Bytes, Refusal> answer(const KeyHandle& handle,
                                      const crypto::PublicKey& key,
                                      ByteView message) override {
    return chip_->answer(handle, key, message);
  }

  FirmwareAnswer verify_firmware(const token::Record& record, const FirmwareImage& image) override {
    if (hands_.before_firmware) hands_.before_firmware();
    return chip_->verify_firmware(record, image);
  }

  PromisedEvidence evidence(const token::Record& record) override {
    return chip_->evidence(record);
  }

  std::variant<Bytes, Refusal> attest(const token::Record& record, ByteView core) override {
    return chip_->attest(record, core);
  }

 private:
  std::unique_ptr<Chip> chip_;
  const Hands& hands_;
};

/// Two SEs of one family, and what somebody who holds one can do to it.
class Ses {
 public:
  Ses() = default;
  Ses(const Ses&) = delete;
  Ses& operator=(const Ses&) = delete;
  virtual ~Ses() = default;

  [[nodiscard]] virtual token::Family family() const = 0;
  [[nodiscard]] virtual SoftBatch batch(SoftAppliance& appliance) = 0;
  [[nodiscard]] virtual SePlace place() const = 0;  // of the first
  [[nodiscard]] virtual std::unique_ptr<Chip> open() const = 0;

  /// Another leaf, in place of the one that was written.
  virtual void put_leaf(const token::Record& record, ByteView leaf) = 0;
  virtual void spoil_leaf(const token::Record& record) = 0;
  virtual void drop_chain(const token::Record& record) = 0;
  /// Another private key under the record's name.
  virtual void put_other_key(const token::Record& record) = 0;
  virtual void make_it_refuse(const token::Record& record) = 0;

  BatchId batch_id;
};

class Pkcs11Ses final : public Ses {
 public:
  explicit Pkcs11Ses(const std::filesystem::path& folder) {
    for (const char* name : {"se-0", "se-1"}) ses_.push_back(make_se(folder / name));
  }

  [[nodiscard]] token::Family family() const override { return token::Family::Pkcs11; }

  [[nodiscard]] SoftBatch batch(SoftAppliance& appliance) override {
    return appliance.make_batch(ses_, 2);
  }

  [[nodiscard]] SePlace place() const override {
    return {p11::uri_or_throw(ses_[0].uri()), ses_[0].conf(), "DEV-1"};
  }

  [[nodiscard]] std::unique_ptr<Chip> open() const override {
    return std::make_unique<Pkcs11Chip>(place(),
                                        HelperSettings{KEYFERRY_BIN_DIR "/keyferry-lane-p11"});
  }

  void put_leaf(const token::Record& record, ByteView leaf) override {
    const Bytes der = to_bytes(leaf);
    in_se(record, [der](p11::Session& session, ByteView id) {
      destroy(session, p11::ObjectClass::Certificate, id);
      static_cast<void>(session.create_object(p11::Template{}
                                                  .x509_certificate()
                                                  .token(true)
                                                  .private_(false)
                                                  .label("dac")
                                                  .id(id)
                                                  .subject(as_bytes("s"))
                                                  .value(der)));
    });
  }

  void spoil_leaf(const token::Record& record) override {
    Bytes leaf = record.certificate;
    leaf.back() ^= 1;
    put_leaf(record, leaf);
  }

  void drop_chain(const token::Record& record) override {
    in_se(record, [](p11::Session& session, ByteView id) {
      destroy(session, p11::ObjectClass::Certificate, id);
    });
  }

  void put_other_key(const token::Record& record) override {
    in_se(record, [](p11::Session& session, ByteView id) {
      destroy(session, p11::ObjectClass::PrivateKey, id);
      static_cast<void>(session.generate_p256_pair(p11::Template{}
                                                       .object_class(p11::ObjectClass::PublicKey)
                                                       .key_type(p11::KeyType::Ec)
                                                       .token(true)
                                                       .p256(),
                                                   se::injected_key_template("dac", id)));
    });
  }

  void make_it_refuse(const token::Record& record) override {
    in_se(record, [](p11::Session& session, ByteView id) {
      destroy(session, p11::ObjectClass::PrivateKey, id);
    });
  }

 private:
  static void destroy(p11::Session& session, p11::ObjectClass what, ByteView id) {
    for (const auto object : session.find(p11::Template{}.object_class(what).id(id)))
      session.destroy(object);
  }

  void in_se(const token::Record& record,
             const std::function<void(p11::Session&, ByteView)>& body) const {
    const KeyHandle handle = key_handle(batch_id, record.record_no);
    static_cast<void>(ask_se(ses_[0], [&](p11::Session& session) {
      body(session, handle.bytes());
      return std::string{};
    }));
  }

  std::vector<SeStore> ses_;
};

constexpr std::size_t kScalarAt = 4;       // of a private slot: padding, scalar (facts, section 2)
constexpr std::size_t kSlotConfigAt = 20;  // octets 20 to 51 of the configuration, two a slot
constexpr std::uint8_t kExternalSign = 0x01;

class Atecc608Ses final : public Ses {
 public:
  explicit Atecc608Ses(const std::filesystem::path& folder, const ChipMaking& making = {})
      : profile_{making.profile} {
    for (const unsigned number : {1U, 2U}) {
      chips_.push_back(std::make_unique<VirtualChip>(
          folder / ("chip-" + std::to_string(number)), number, making));
      chips_.back()->power();
    }
  }

  [[nodiscard]] token::Family family() const override { return token::Family::Atecc608; }

  [[nodiscard]] SoftBatch batch(SoftAppliance& appliance) override {
    std::vector<AteccChip> known;
    for (const auto& chip : chips_)
      known.push_back({chip->serial, chip->transport_key, chip->attestation_key});
    return appliance.make_batch(known, profile_, 2, firmware);
  }

  [[nodiscard]] SePlace place() const override { return {{}, std::nullopt, "DEV-1"}; }

  [[nodiscard]] std::unique_ptr<Chip> open() const override {
    const auto address = atecc608::parse_chip_address(chips_[0]->address());
    return std::make_unique<Atecc608Chip>([address = std::get<atecc608::ChipAddress>(address)] {
      return atecc608::open_wire(address);
    });
  }

  void put_leaf(const token::Record&, ByteView leaf) override {
    const auto area = se::plain_certificate_area(profile_, leaf, {});
    write_area(std::get<Bytes>(area));
  }

  void spoil_leaf(const token::Record&) override {
    chips_[0]->alter([this](auto& cells) { cells.slots.at(first_slot()).at(100) ^= 1; });
  }

  void drop_chain(const token::Record&) override {
    chips_[0]->alter(
        [this](auto& cells) { std::ranges::fill(cells.slots.at(first_slot()), std::uint8_t{0}); });
  }

  void put_other_key(const token::Record&) override {
    const Bytes scalar = SystemRandom{}.bytes(32);
    chips_[0]->alter([this, scalar](auto& cells) {
      std::ranges::copy(scalar, cells.slots.at(profile_.target_slot).begin() + kScalarAt);
    });
  }

  void make_it_refuse(const token::Record&) override {
    chips_[0]->alter([this](auto& cells) {
      cells.config.at(kSlotConfigAt + 2U * profile_.target_slot) &=
          static_cast<std::uint8_t>(~kExternalSign);
    });
  }

  void put_boot_key(const crypto::PublicKey& key) {
    const Bytes point = to_bytes(key.point());
    chips_[0]->alter([this, point](auto& cells) {
      Bytes& slot = cells.slots.at(*profile_.secure_boot_slot);
      std::copy_n(point.begin() + 1, 32, slot.begin() + 4);
      std::copy_n(point.begin() + 33, 32, slot.begin() + 40);
    });
  }

  std::optional<Digest> firmware;

 private:
  [[nodiscard]] std::size_t first_slot() const { return profile_.certificate_slots.front(); }

  void write_area(Bytes area) {
    chips_[0]->alter([this, area = std::move(area)](auto& cells) {
      ByteView rest = area;
      for (const std::uint8_t slot : profile_.certificate_slots) {
        Bytes& content = cells.slots.at(slot);
        const ByteView part = rest.first(std::min(rest.size(), content.size()));
        std::ranges::copy(part, content.begin());
        rest = rest.subspan(part.size());
      }
    });
  }

  se::Atecc608Profile profile_;
  std::vector<std::unique_ptr<VirtualChip>> chips_;
};

class VerdictLine : public testing::Test {
 protected:
  VerdictLine() {
    station_ =
        std::make_unique<StationFacts>(StationFacts{token::station_id_of(signing_.public_key()),
                                                    "cm",
                                                    "factory-a",
                                                    token::Environment::Development,
                                                    signing_.public_key(),
                                                    agreement_.public_key()});
    store_.set_station(*station_);
    appliance_.adopt({"cm",
                      "factory-a",
                      token::Environment::Development,
                      signing_.public_key(),
                      agreement_.public_key(),
                      Bytes(16),
                      clock_.now()});
  }

  void load(const std::function<void(SoftBatch&)>& bend = {}) {
    SoftBatch batch = ses_->batch(appliance_);
    if (bend) bend(batch);
    appliance_.manifests.insert_or_assign(batch.manifest.batch_id, batch.manifest);
    store_.add_manifest(
        batch.manifest, SystemRandom{}.id<ContainerId>(), SystemRandom{}.id<Digest>());
    Store::SegmentLoad segment{store_, batch.manifest.batch_id, SegmentIndex{0}};
    for (const token::Record& record : batch.segments[0]) EXPECT_FALSE(segment.add(record));
    segment.commit(batch.sealed[0].id, batch.sealed[0].digest);
    records_ = batch.segments[0];
    ses_->batch_id = batch.manifest.batch_id;
  }

  DeviceOutcome handle() {
    LanePlan plan{LaneNo{1}, ses_->family(), 7, {}};
    Admission admission{store_};
    const LaneParts parts{*station_, store_, clock_, admission, [&](const SePlace&) {
                            return std::make_unique<HandledChip>(ses_->open(), hands_);
                          }};
    Lane lane{plan, parts, firmware_ ? &*firmware_ : nullptr};
    return lane.handle(ses_->place()).at(0);
  }

  [[nodiscard]] StoredRecord record() const {
    return *store_.record({ses_->batch_id, RecordNo{0}});
  }

  [[nodiscard]] token::ReceiptCore last_core() {
    std::optional<token::ReceiptCore> last;
    for (const auto& entry : store_.entries(0, 1000)) {
      const auto leaf = std::get<token::StationLeaf>(token::parse_leaf(entry.leaf));
      if (const auto* core = std::get_if<token::CoreLeaf>(&leaf.leaf))
        last = std::get<token::ReceiptCore>(token::parse_core(core->core));
    }
    return last.value();
  }

  /// Red, in quarantine with its payload gone, the verdicts in the receipt, and no second try.
  token::LineProof expect_quarantine(const std::string& reason, const token::Verdicts& verdicts) {
    const DeviceOutcome outcome = handle();
    EXPECT_EQ(outcome.colour, DeviceColour::Red);
    EXPECT_EQ(outcome.result, "quarantined") << outcome.text;
    EXPECT_EQ(outcome.reason, reason) << outcome.text;
    EXPECT_EQ(record().state, RecordState::Quarantined);
    EXPECT_TRUE(record().record.payload.empty());
    const token::ReceiptCore core = last_core();
    EXPECT_EQ(core.outcome, token::Outcome::Quarantined);
    EXPECT_EQ(core.reason, reason);
    EXPECT_EQ(core.verdicts, verdicts)
        << token::name_of(core.verdicts.chain) << ' ' << token::name_of(core.verdicts.challenge)
        << ' ' << token::name_of(core.verdicts.serial_registered) << ' '
        << token::name_of(core.verdicts.firmware);
    OpenedReceipts receipts;
    receipts.entries = store_.entries(0, 1000);
    EXPECT_EQ(appliance_.sums(receipts), (Sums{.quarantined = 1}));
    hands_ = {};
    clock_.shift_ms = 0;
    const DeviceOutcome again = handle();
    EXPECT_EQ(again.colour, DeviceColour::Red);
    EXPECT_EQ(again.result, "quarantined");
    EXPECT_EQ(again.reason, reason);
    EXPECT_EQ(store_.entries(0, 1000).size(), receipts.entries.size()) << "a second try";
    return core.proof.value_or(token::LineProof{});
  }

  keyferry::test::TempFolder folder_;
  MovableClock clock_;
  Store store_{folder_ / "station.db", store::Role::Writer, clock_};
  crypto::SoftKey signing_ = crypto::SoftKey::generate();
  crypto::SoftKey agreement_ = crypto::SoftKey::generate();
  SoftAppliance appliance_;
  std::unique_ptr<StationFacts> station_;
  std::unique_ptr<Ses> ses_;
  Hands hands_;
  std::optional<FirmwareImage> firmware_;
  std::vector<token::Record> records_;
};

constexpr token::Verdicts kChainFails{.chain = Verdict::Fail};
constexpr token::Verdicts kChallengeFails{.chain = Verdict::Pass, .challenge = Verdict::Fail};
constexpr token::Verdicts kSerialFails{
    .chain = Verdict::Pass, .challenge = Verdict::Pass, .serial_registered = Verdict::Fail};

class EachFamily : public VerdictLine, public testing::WithParamInterface<token::Family> {
 protected:
  void SetUp() override {
    if (GetParam() == token::Family::Pkcs11) {
      ses_ = std::make_unique<Pkcs11Ses>(folder_.path());
    } else {
      ses_ = std::make_unique<Atecc608Ses>(folder_.path());
    }
  }

  [[nodiscard]] std::size_t from_se() const {
    return GetParam() == token::Family::Pkcs11 ? 2 : 1;  // the example chip holds leaves alone
  }
};

TEST_P(EachFamily, AllVerdictsPassAndTheReceiptBringsWhatTheyRestOn) {
  load();
  const DeviceOutcome outcome = handle();
  EXPECT_EQ(outcome.result, "injected") << outcome.reason << ": " << outcome.text;
  OpenedReceipts receipts;
  receipts.entries = store_.entries(0, 1000);
  EXPECT_EQ(appliance_.sums(receipts).injected, 1U) << "token::check_line takes its proof";
  const token::ReceiptCore core = last_core();
  EXPECT_EQ(core.verdicts.firmware, Verdict::NotApplicable);
  EXPECT_EQ(core.proof->from_se, from_se());
  EXPECT_FALSE(core.proof->firmware);
}

TEST_P(EachFamily, AnotherChainThanWasWrittenIsNotTakenThoughItWouldHold) {
  load();
  hands_.before_read = [this] { ses_->put_leaf(records_[0], records_[1].certificate); };
  const auto proof = expect_quarantine("chain-differs", kChainFails);
  ASSERT_GE(proof.chain_sha256.size(), 1U);
  EXPECT_EQ(proof.chain_sha256[0], crypto::sha256(records_[1].certificate)) << "what the SE gave";
  EXPECT_TRUE(proof.anchor_sha256) << "it does hold";
}

TEST_P(EachFamily, AChainWithOneBitChangedFails) {
  load();
  hands_.before_read = [this] { ses_->spoil_leaf(records_[0]); };
  const auto proof = expect_quarantine("chain-differs", kChainFails);
  EXPECT_FALSE(proof.anchor_sha256);
}

TEST_P(EachFamily, AChainOfAnotherAuthorityFails) {
  load();
  SoftAppliance stranger;
  stranger.adopt({"x",
                  "y",
                  token::Environment::Development,
                  signing_.public_key(),
                  agreement_.public_key(),
                  Bytes(16),
                  clock_.now()});
  const Bytes other = ses_->batch(stranger).segments[0][0].certificate;
  hands_.before_read = [this, other] { ses_->put_leaf(records_[0], other); };
  const auto proof = expect_quarantine("chain-differs", kChainFails);
  EXPECT_FALSE(proof.anchor_sha256) << "another anchor";
}

TEST_P(EachFamily, AChainThatIsGoneFails) {
  load();
  hands_.before_read = [this] { ses_->drop_chain(records_[0]); };
  const DeviceOutcome outcome = handle();
  EXPECT_EQ(outcome.result, "quarantined");
  EXPECT_EQ(last_core().verdicts, kChainFails);
  EXPECT_TRUE(record().record.payload.empty());
  EXPECT_EQ(handle().result, "quarantined");
}

TEST_P(EachFamily, AChainThatEndedMeanwhileFails) {
  load();
  constexpr std::int64_t kTenYearsMs = 3'653LL * 86'400'000;
  hands_.before_read = [this] { clock_.shift_ms = kTenYearsMs; };
  const auto proof = expect_quarantine("chain-invalid", kChainFails);
  EXPECT_FALSE(proof.anchor_sha256);
  EXPECT_GT(proof.verified_at.value, clock_.now().value + kTenYearsMs / 2);
}

TEST_P(EachFamily, AnAnswerByAnotherKeyFails) {
  load();
  hands_.before_challenge = [this] { ses_->put_other_key(records_[0]); };
  const auto proof = expect_quarantine("challenge-failed", kChallengeFails);
  EXPECT_EQ(proof.challenge_signature.size(), crypto::kSignatureBytes) << "what it answered";
}

TEST_P(EachFamily, ARefusedAnswerFails) {
  load();
  hands_.before_challenge = [this] { ses_->make_it_refuse(records_[0]); };
  const auto proof = expect_quarantine("challenge-failed", kChallengeFails);
  EXPECT_TRUE(proof.challenge_signature.empty());
}

TEST_P(EachFamily, ASerialThatIsNotRegisteredInTheBatchFails) {
  load();
  hands_.before_challenge = [this] {
    SQLite::Database store{(folder_ / "station.db").string(), SQLite::OPEN_READWRITE};
    store.exec("UPDATE record SET certificate_serial = randomblob(16) WHERE record_no = 0");
  };
  const auto proof = expect_quarantine("serial-not-registered", kSerialFails);
  const auto facts = x509::parse_certificate(records_[0].certificate);
  EXPECT_EQ(proof.certificate_serial, std::get<x509::CertificateFacts>(facts).serial);
}

TEST_P(EachFamily, AnSeThatIsPulledWhileItIsVerifiedIsInDoubtAndAskedAgain) {
  load();
  hands_.before_challenge = [] { throw ChipLost{"pulled"}; };
  EXPECT_EQ(handle().result, "lost");
  EXPECT_EQ(record().state, RecordState::Doubtful);
  hands_ = {};
  EXPECT_EQ(handle().result, "injected");
}

INSTANTIATE_TEST_SUITE_P(Families,
                         EachFamily,
                         testing::Values(token::Family::Pkcs11, token::Family::Atecc608),
                         [](const auto& one) {
                           return std::string{one.param == token::Family::Pkcs11 ? "pkcs11"
                                                                                 : "atecc608"};
                         });

// --- firmware: of the families that exist only the ATECC608 can verify it
// -------------------------

constexpr std::size_t kSecureBootAt = 70;  // of the configuration: mode, off and FullBoth

class FirmwareVerdict : public VerdictLine, public testing::WithParamInterface<std::uint8_t> {
 protected:
  void set_up(const std::optional<Digest>& demanded_key = std::nullopt) {
    ChipMaking making;
    making.firmware_key = maker_.public_key();
    making.profile.configuration[kSecureBootAt] = GetParam();
    auto chips = std::make_unique<Atecc608Ses>(folder_.path(), making);
    chips_ = chips.get();
    ses_ = std::move(chips);
    const Digest image = crypto::sha256(as_bytes("firmware, version 7"));
    chips_->firmware = image;
    firmware_ = FirmwareImage{image, maker_.sign_digest(image)};
    load([&](SoftBatch& batch) {
      batch.manifest.line_checks->secure_boot_key_sha256 = demanded_key;
    });
  }

  [[nodiscard]] static Digest named(const crypto::SoftKey& key) {
    return crypto::sha256(key.public_key().point());
  }

  static constexpr token::Verdicts kFails{.chain = Verdict::Pass,
                                          .challenge = Verdict::Pass,
                                          .serial_registered = Verdict::Pass,
                                          .firmware = Verdict::Fail};
  crypto::SoftKey maker_ = crypto::SoftKey::generate();
  Atecc608Ses* chips_ = nullptr;
};

TEST_P(FirmwareVerdict, PassesByTheKeyInTheSe) {
  set_up(named(maker_));
  const DeviceOutcome outcome = handle();
  EXPECT_EQ(outcome.result, "injected") << outcome.reason << ": " << outcome.text;
  const token::ReceiptCore core = last_core();
  EXPECT_EQ(core.verdicts.firmware, Verdict::Pass);
  EXPECT_EQ(core.proof->firmware->image_sha256, firmware_->sha256);
  EXPECT_EQ(core.proof->firmware->signature_sha256, crypto::sha256(firmware_->signature));
  EXPECT_EQ(core.proof->firmware->key_sha256, named(maker_));
  EXPECT_EQ(core.proof->firmware->check,
            GetParam() == 0 ? token::FirmwareCheck::StoredKey : token::FirmwareCheck::SecureBoot);
  OpenedReceipts receipts;
  receipts.entries = store_.entries(0, 1000);
  EXPECT_EQ(appliance_.sums(receipts).injected, 1U);
}

TEST_P(FirmwareVerdict, FailsForASignatureWithOneBitChanged) {
  set_up();
  firmware_->signature[40] ^= 1;
  const auto proof = expect_quarantine("firmware-signature", kFails);
  EXPECT_EQ(proof.firmware->signature_sha256, crypto::sha256(firmware_->signature));
}

TEST_P(FirmwareVerdict, FailsForASignatureOverAnotherImage) {
  set_up();
  firmware_->signature = maker_.sign_digest(crypto::sha256(as_bytes("firmware, version 6")));
  expect_quarantine("firmware-signature", kFails);
}

TEST_P(FirmwareVerdict, FailsForASignatureByAnotherKey) {
  set_up();
  crypto::SoftKey other = crypto::SoftKey::generate();
  firmware_->signature = other.sign_digest(firmware_->sha256);
  expect_quarantine("firmware-signature", kFails);
}

TEST_P(FirmwareVerdict, FailsWhenTheKeyInTheSeWasExchanged) {
  set_up();
  const crypto::SoftKey other = crypto::SoftKey::generate();
  hands_.before_firmware = [&] { chips_->put_boot_key(other.public_key()); };
  const auto proof = expect_quarantine("firmware-signature", kFails);
  EXPECT_EQ(proof.firmware->key_sha256, named(other)) << "the key that is there";
}

TEST_P(FirmwareVerdict, FailsForAnotherSecureBootKeyThanThePlansThoughTheSignatureIsByIt) {
  set_up(named(crypto::SoftKey::generate()));
  const auto proof = expect_quarantine("secure-boot-key-other", kFails);
  EXPECT_EQ(proof.firmware->key_sha256, named(maker_));
}

TEST_P(FirmwareVerdict, IsNotReachedWhenAnEarlierOneFailed) {
  set_up();
  hands_.before_challenge = [this] { ses_->put_other_key(records_[0]); };
  token::Verdicts verdicts = kChallengeFails;
  verdicts.firmware = Verdict::NotRun;
  expect_quarantine("challenge-failed", verdicts);
}

TEST_P(FirmwareVerdict, OfAnImageWithOneBitChangedIsRefusedBeforeAnythingIsWritten) {
  set_up();
  Bytes image = to_bytes(firmware_->sha256.bytes());
  image[0] ^= 1;
  firmware_->sha256 = *Digest::from_bytes(image);
  const DeviceOutcome outcome = handle();
  EXPECT_EQ(outcome.result, "refused");
  EXPECT_EQ(outcome.reason, "firmware-other");
  EXPECT_EQ(record().state, RecordState::Loaded);
}

TEST_P(FirmwareVerdict, CannotBeTurnedOffByALaneThatNamesNoImage) {
  set_up();
  firmware_.reset();
  const DeviceOutcome outcome = handle();
  EXPECT_EQ(outcome.result, "refused");
  EXPECT_EQ(outcome.reason, "firmware-missing");
  EXPECT_EQ(record().state, RecordState::Loaded);
  EXPECT_FALSE(record().record.payload.empty());
}

INSTANTIATE_TEST_SUITE_P(Ways,
                         FirmwareVerdict,
                         testing::Values(std::uint8_t{0x00}, std::uint8_t{0x01}),
                         [](const auto& one) {
                           return std::string{one.param == 0 ? "StoredKey" : "SecureBoot"};
                         });

}  // namespace
}  // namespace keyferry::station::test
