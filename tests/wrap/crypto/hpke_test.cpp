#include "wrap/crypto/hpke.h"

#include <gtest/gtest.h>

#include "tests/wrap/crypto/vectors.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"

namespace keyferry::crypto {
namespace {

using nlohmann::json;
using test::hex;
using test::secret_hex;

SoftKey soft_key(const json& scalar) {
  return *SoftKey::from_scalar(secret_hex(scalar));
}

class HpkeVector : public testing::TestWithParam<const char*> {
 protected:
  json vector_ = test::load_vectors(GetParam());
  HpkeSuite suite_ = static_cast<HpkeSuite>(vector_.at("aead_id").get<std::uint16_t>());
  Bytes info_ = hex(vector_.at("info"));
  SoftKey ephemeral_ = soft_key(vector_.at("skEm"));
  SoftKey recipient_ = soft_key(vector_.at("skRm"));
};

TEST_P(HpkeVector, HasTheseIntermediateValues) {
  ASSERT_EQ(vector_.at("mode"), 0);
  ASSERT_EQ(vector_.at("kem_id"), 0x0010);
  ASSERT_EQ(vector_.at("kdf_id"), 0x0001);
  EXPECT_EQ(to_hex(ephemeral_.public_key().point()), vector_.at("pkEm"));
  EXPECT_EQ(to_hex(recipient_.public_key().point()), vector_.at("pkRm"));
  const SecretBytes shared_secret = hpke_kem_shared_secret(
      ephemeral_.ecdh_x(recipient_.public_key()), hex(vector_.at("enc")), recipient_.public_key());
  EXPECT_EQ(to_hex(shared_secret.expose()), vector_.at("shared_secret"));
  const HpkeKeySchedule schedule = hpke_key_schedule(suite_, shared_secret, info_);
  EXPECT_EQ(to_hex(schedule.key_schedule_context), vector_.at("key_schedule_context"));
  EXPECT_EQ(to_hex(schedule.secret.expose()), vector_.at("secret"));
  EXPECT_EQ(to_hex(schedule.key.expose()), vector_.at("key"));
  EXPECT_EQ(to_hex(schedule.base_nonce.expose()), vector_.at("base_nonce"));
  EXPECT_EQ(to_hex(schedule.exporter_secret.expose()), vector_.at("exporter_secret"));
}

TEST_P(HpkeVector, IsSealedToTheseCiphertextsAndOpenedAgain) {
  auto [enc, sender] = setup_base_sender(suite_, recipient_.public_key(), info_, ephemeral_);
  EXPECT_EQ(to_hex(enc), vector_.at("enc"));
  SoftDhKey private_half{std::move(recipient_)};
  auto receiver = setup_base_receiver(suite_, enc, private_half, info_);
  ASSERT_TRUE(receiver);
  std::uint64_t sequence = 0;
  for (const json& message : vector_.at("encryptions")) {
    SCOPED_TRACE(message.at("sequence number").dump());
    for (; sequence < message.at("sequence number");
         ++sequence) {  // messages between those of the vector
      ASSERT_TRUE(receiver->open({}, sender.seal({}, {})));
    }
    const Bytes aad = hex(message.at("aad"));
    const Bytes ciphertext = sender.seal(aad, hex(message.at("pt")));
    EXPECT_EQ(to_hex(ciphertext), message.at("ct"));
    const auto plaintext = receiver->open(aad, ciphertext);
    ASSERT_TRUE(plaintext);
    EXPECT_EQ(to_hex(plaintext->expose()), message.at("pt"));
    ++sequence;
  }
  EXPECT_EQ(sequence, 257U);
}

TEST_P(HpkeVector, ExportsTheseSecretsOnBothSides) {
  const auto [enc, sender] = setup_base_sender(suite_, recipient_.public_key(), info_, ephemeral_);
  SoftDhKey private_half{std::move(recipient_)};
  const auto receiver = setup_base_receiver(suite_, enc, private_half, info_);
  ASSERT_TRUE(receiver);
  for (const json& exported : vector_.at("exports")) {
    const Bytes exporter_context = hex(exported.at("exporter_context"));
    const auto size = exported.at("L").get<std::size_t>();
    EXPECT_EQ(to_hex(sender.export_secret(exporter_context, size).expose()),
              exported.at("exported_value"));
    EXPECT_EQ(to_hex(receiver->export_secret(exporter_context, size).expose()),
              exported.at("exported_value"));
  }
}

INSTANTIATE_TEST_SUITE_P(P256Sha256,
                         HpkeVector,
                         testing::Values("hpke/rfc9180_p256_sha256_aes128gcm.json",
                                         "hpke/p256_sha256_aes256gcm.json"),
                         [](const auto& vector) {
                           return std::string{vector.param}.find("aes128") != std::string::npos
                                      ? "Aes128Gcm"
                                      : "Aes256Gcm";
                         });

TEST(HpkeSender, TakesANewEphemeralKeyEachTime) {
  const SoftKey recipient = SoftKey::generate();
  const auto first = setup_base_sender(HpkeSuite::Aes256Gcm, recipient.public_key(), {});
  const auto second = setup_base_sender(HpkeSuite::Aes256Gcm, recipient.public_key(), {});
  EXPECT_EQ(first.enc.size(), PublicKey::kPointBytes);
  EXPECT_NE(first.enc, second.enc);
  EXPECT_FALSE(equal(first.context.export_secret({}, 32).expose(),
                     second.context.export_secret({}, 32).expose()));
}

TEST(HpkeReceiver, OpensNothingUnderAnotherInfoSuiteOrKey) {
  SoftDhKey recipient{SoftKey::generate()};
  SoftDhKey stranger{SoftKey::generate()};
  auto [enc, sender] =
      setup_base_sender(HpkeSuite::Aes256Gcm, recipient.public_key(), as_bytes("info"));
  const Bytes ciphertext = sender.seal({}, as_bytes("message"));
  const auto opens = [&](HpkeSuite suite, DhPrivateKey& key, std::string_view info) {
    auto receiver = setup_base_receiver(suite, enc, key, as_bytes(info));
    return receiver && receiver->open({}, ciphertext).has_value();
  };
  EXPECT_TRUE(opens(HpkeSuite::Aes256Gcm, recipient, "info"));
  EXPECT_FALSE(opens(HpkeSuite::Aes256Gcm, recipient, "Info"));
  EXPECT_FALSE(opens(HpkeSuite::Aes128Gcm, recipient, "info"));
  EXPECT_FALSE(opens(HpkeSuite::Aes256Gcm, stranger, "info"));
}

TEST(HpkeReceiver, StaysWhereItIsAfterADamagedMessage) {
  SoftDhKey recipient{SoftKey::generate()};
  auto [enc, sender] = setup_base_sender(HpkeSuite::Aes128Gcm, recipient.public_key(), {});
  auto receiver = setup_base_receiver(HpkeSuite::Aes128Gcm, enc, recipient, {});
  ASSERT_TRUE(receiver);
  const Bytes first = sender.seal({}, as_bytes("first"));
  const Bytes second = sender.seal({}, as_bytes("second"));
  Bytes damaged = first;
  damaged[0] ^= 1;
  EXPECT_FALSE(receiver->open({}, damaged));
  EXPECT_FALSE(receiver->open({}, second)) << "out of order";
  EXPECT_TRUE(receiver->open({}, first));
  EXPECT_FALSE(receiver->open({}, first)) << "twice";
  EXPECT_TRUE(receiver->open({}, second));
}

TEST(HpkeReceiver, RefusesAnEncapsulatedKeyThatIsNoPoint) {
  SoftDhKey recipient{SoftKey::generate()};
  Bytes off_curve = to_bytes(SoftKey::generate().public_key().point());
  off_curve[40] ^= 1;
  for (const Bytes& enc : {off_curve, Bytes{}, Bytes(65), Bytes{0}, Bytes(64, 4)}) {
    EXPECT_FALSE(setup_base_receiver(HpkeSuite::Aes256Gcm, enc, recipient, {})) << to_hex(enc);
  }
}

/// A module that says yes and gives what the test wants.
class BrokenDhKey final : public DhPrivateKey {
 public:
  explicit BrokenDhKey(Bytes answer) : answer_{std::move(answer)} {}

  [[nodiscard]] const PublicKey& public_key() const override { return key_.public_key(); }

  [[nodiscard]] SecretBytes dh(const PublicKey&) override { return test::secret(answer_); }

 private:
  SoftKey key_ = SoftKey::generate();
  Bytes answer_;
};

TEST(HpkeReceiver, RefusesASharedSecretOfZerosOrOfAnotherLength) {
  const Bytes enc = to_bytes(SoftKey::generate().public_key().point());
  const auto accepts = [&](Bytes answer) {
    BrokenDhKey key{std::move(answer)};
    return setup_base_receiver(HpkeSuite::Aes256Gcm, enc, key, {}).has_value();
  };
  EXPECT_TRUE(accepts(Bytes(32, 1)));
  EXPECT_FALSE(accepts(Bytes(32)));
  EXPECT_FALSE(accepts({}));
  EXPECT_FALSE(accepts(Bytes(31, 1)));
  EXPECT_FALSE(accepts(Bytes(33, 1)));
}

TEST(HpkeExport, RefusesSizesThatHkdfDoesNotHave) {
  const auto setup = setup_base_sender(HpkeSuite::Aes256Gcm, SoftKey::generate().public_key(), {});
  EXPECT_THROW(static_cast<void>(setup.context.export_secret({}, 0)), Error);
  EXPECT_THROW(static_cast<void>(setup.context.export_secret({}, kHkdfMaxOutputBytes + 1)), Error);
  EXPECT_THROW(static_cast<void>(setup.context.export_secret({}, 65536 + 32)), Error);
  EXPECT_EQ(setup.context.export_secret({}, kHkdfMaxOutputBytes).size(), kHkdfMaxOutputBytes);
}

}  // namespace
}  // namespace keyferry::crypto
