// A secure room in software: an appliance that orders, a preparer's key, and virtual chips whose
// power a test cuts.
#pragma once

#include <botan/auto_rng.h>
#include <botan/pubkey.h>
#include <botan/rsa.h>
#include <botan/x509_key.h>
#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "keyferry/v1/atecc608.pb.h"
#include "station-agent/atecc608/stream_wire.h"
#include "station-agent/prepare/preparer.h"
#include "tests/support/temp_folder.h"
#include "tests/vse/atecc608/maker.h"
#include "tests/vse/atecc608/server.h"
#include "tests/wrap/se/atecc608_example.h"
#include "wrap/base/process.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::prepare::test {

namespace vse = keyferry::vse::atecc608;

/// One RSA key for all tests: making it takes longer than they do.
inline const Botan::RSA_PrivateKey& vendor_key() {
  static Botan::AutoSeeded_RNG rng;
  static const Botan::RSA_PrivateKey key{rng, 2048};
  return key;
}

inline Bytes vendor_spki() {
  const auto der = Botan::X509::BER_encode(vendor_key());
  return {der.begin(), der.end()};
}

/// What the appliance's HSM would open.
inline Bytes opened(const Bytes& blob) {
  Botan::AutoSeeded_RNG rng;
  Botan::PK_Decryptor_EME decryptor{vendor_key(), rng, "OAEP(SHA-256)"};
  const auto plain = decryptor.decrypt(blob);
  return {plain.begin(), plain.end()};
}

struct Appliance {
  crypto::SoftKey log = crypto::SoftKey::generate();
  crypto::SoftKey exports = crypto::SoftKey::generate();
  crypto::SoftKey inbox = crypto::SoftKey::generate();

  [[nodiscard]] token::SignedBytes card() {
    const token::ApplianceCard card{.appliance_id = token::appliance_id_of(log.public_key()),
                                    .environment = token::Environment::Development,
                                    .name = "home",
                                    .log_key = log.public_key(),
                                    .export_key = exports.public_key(),
                                    .inbox_key = inbox.public_key()};
    return token::sign_payload(log, crypto::SignatureKind::ApplianceCard, token::serialise(card));
  }

  [[nodiscard]] token::PreparationOrder order(const crypto::PublicKey& preparer,
                                              const crypto::PublicKey& secure_boot) {
    v1::Atecc608Profile profile;
    se::to_message(se::example_profile(), profile);
    return {.appliance_id = token::appliance_id_of(log.public_key()),
            .environment = token::Environment::Development,
            .card = card(),
            .plan_digest = crypto::sha256(as_bytes("plan")),
            .plan_number = 7,
            .preparer = preparer,
            .part = "ATECC608B",
            .lot = "L7",
            .key_name = "dac",
            .count = 5,
            .profile = to_bytes(as_bytes(profile.SerializeAsString())),
            .secure_boot_key = secure_boot,
            .vendor = "room",
            .mechanism = "rsa-oaep-sha256",
            .vendor_public_key = vendor_spki(),
            .expires = UtcMillis{4'000'000'000'000}};
  }

  [[nodiscard]] Bytes signed_order(const token::PreparationOrder& order) {
    return token::encode(token::sign_payload(
        exports, crypto::SignatureKind::PreparationOrder, token::serialise(order)));
  }
};

/// A blank chip on a bench; its power can be cut and comes back with the next connection.
class BenchChip {
 public:
  explicit BenchChip(const std::filesystem::path& state, const std::string& faults = "") {
    settings_.state = state;
    settings_.faults = vse::read_faults(faults, "test");
    bus_ = std::make_unique<vse::Bus>(settings_, random_);
  }

  ~BenchChip() { unplug(); }

  BenchChip(const BenchChip&) = delete;
  BenchChip& operator=(const BenchChip&) = delete;

  /// A new connection to it. One at a time.
  [[nodiscard]] std::unique_ptr<atecc608::Session> plug_in() {
    unplug();
    auto [ours, theirs] = socket_pair();
    server_ =
        std::jthread{[this, fd = std::move(theirs)] { vse::serve_connection(fd.get(), *bus_); }};
    return std::make_unique<atecc608::Session>(
        std::make_unique<atecc608::StreamWire>(std::move(ours), "bench"));
  }

  [[nodiscard]] const vse::Memory& memory() const { return bus_->chip().memory(); }

  [[nodiscard]] std::uint64_t commands() const { return bus_->commands(); }

 private:
  void unplug() {
    if (server_.joinable()) server_.join();  // the session was destroyed, or the power was cut
  }

  SystemRandom random_;
  vse::BusSettings settings_;
  std::unique_ptr<vse::Bus> bus_;
  std::jthread server_;
};

class Room : public testing::Test {
 protected:
  Room() {
    auto checked = check_order(
        order_, preparer_key_.public_key(), token::Environment::Development, UtcMillis{1});
    checked_ = std::get<CheckedOrder>(std::move(checked));
  }

  /// A blank chip's state file with that number.
  [[nodiscard]] std::filesystem::path blank(std::uint8_t number) {
    const Bytes serial{0x01, 0x23, number, 2, 3, 4, 5, 6, 0xEE};
    std::filesystem::path file = vse::state_file(folder_.path(), number);
    vse::save_memory(file, vse::blank_memory(serial, Bytes{0x00, 0x00, 0x60, 0x03}));
    return file;
  }

  [[nodiscard]] Journal journal() const { return {folder_ / "orders", order_.plan_digest}; }

  /// One run over the chip as it stands. Nothing when it went away.
  [[nodiscard]] std::optional<Outcome> run(BenchChip& chip) {
    const Journal works = journal();
    Preparer preparer{checked_, works, preparer_key_, random_, clock_};
    try {
      const auto session = chip.plug_in();
      return preparer.prepare(*session);
    } catch (const station::ChipLost&) {
      return std::nullopt;
    }
  }

  /// Everything that a prepared chip and its receipt must be.
  void expect_prepared(const BenchChip& chip) {
    const vse::Memory& memory = chip.memory();
    EXPECT_TRUE(memory.config_locked() && memory.data_locked());
    EXPECT_TRUE(memory.slot_locked(1) && memory.slot_locked(15) && !memory.slot_locked(0));
    const auto work = journal().find(memory.serial());
    ASSERT_TRUE(work);
    ASSERT_EQ(work->stage, Stage::Done);
    const auto kept = token::parse_signed_bytes(work->receipt);
    const auto opened_receipt = token::open_preparation_receipt(std::get<token::SignedBytes>(kept),
                                                                preparer_key_.public_key());
    ASSERT_TRUE(std::holds_alternative<token::PreparationReceipt>(opened_receipt));
    const auto& receipt = std::get<token::PreparationReceipt>(opened_receipt);
    EXPECT_EQ(receipt.serial, memory.serial());
    EXPECT_EQ(to_hex(opened(receipt.delivered)), to_hex(memory.key(4)));
    ASSERT_TRUE(receipt.attestation_key);
    vse::Chip twin{memory, random_};
    const Bytes point = twin.answer(public_key_command());
    EXPECT_TRUE(equal(ByteView{point}.subspan(1, 64), receipt.attestation_key->point().subspan(1)));
  }

  /// GenKey(public) of slot 1.
  [[nodiscard]] static Bytes public_key_command() {
    Bytes packet{0x07, 0x40, 0x00, 0x01, 0x00};
    vse::append_u16le(packet, vse::crc16(packet));
    return packet;
  }

  keyferry::test::TempFolder folder_;
  SystemRandom random_;
  SystemClock clock_;
  Appliance appliance_;
  crypto::SoftKey preparer_key_ = crypto::SoftKey::generate();
  crypto::SoftKey secure_boot_ = crypto::SoftKey::generate();
  token::PreparationOrder order_ =
      appliance_.order(preparer_key_.public_key(), secure_boot_.public_key());
  CheckedOrder checked_{order_, {}};
};

}  // namespace keyferry::prepare::test
