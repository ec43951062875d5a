#include "wrap/se/atecc608_builder.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/softhsm_store.h"
#include "tests/wrap/se/atecc608_chip.h"
#include "tests/wrap/se/atecc608_example.h"
#include "tests/wrap/se/example.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::se {
namespace {

using p11::KeyType;
using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;
using test_support::SoftHsmStore;

/// Nonce and challenge of the page's vector, then counting octets.
class PageRandom final : public RandomSource {
 public:
  void fill(std::span<std::uint8_t> out) override {
    const nlohmann::json vector = atecc608_vectors()["injection"];
    const Bytes octets = atecc608_octets(vector[calls_ == 0 ? "nonce" : "challenge"]);
    ++calls_;
    ASSERT_EQ(out.size(), octets.size());
    std::ranges::copy(octets, out.begin());
  }

 private:
  int calls_ = 0;
};

struct Injection {
  nlohmann::json json = atecc608_vectors()["injection"];

  [[nodiscard]] Bytes octets(const char* name) const { return atecc608_octets(json[name]); }

  [[nodiscard]] SecretBytes secret(const char* name) const {
    return SecretBytes::copy_of(octets(name));
  }

  [[nodiscard]] Atecc608Fresh fresh() const {
    Atecc608Fresh drawn;
    std::ranges::copy(octets("nonce"), drawn.nonce.begin());
    std::ranges::copy(octets("challenge"), drawn.challenge.begin());
    return drawn;
  }

  void expect_equal(const Atecc608Payload& payload) const {
    EXPECT_EQ(to_hex(payload.serial.bytes()), json["serial"]);
    EXPECT_EQ(to_hex(payload.nonce), json["nonce"]);
    EXPECT_EQ(to_hex(payload.cipher), json["cipher"]);
    EXPECT_EQ(to_hex(payload.mac), json["mac"]);
    EXPECT_EQ(to_hex(payload.challenge), json["challenge"]);
    EXPECT_EQ(to_hex(payload.response), json["response"]);
  }
};

TEST(Atecc608Sealing, IsThePagesVectorByteForByte) {
  const Injection page;
  const SecretBytes transport = page.secret("transport_key");
  page.expect_equal(seal_scalar(
      software_hash(transport), example_chip(), example_profile(), page.fresh(), page.secret("d")));
}

TEST(Atecc608Sealing, IsTheExampleOfFormatMd) {
  Atecc608Fresh fresh;
  std::ranges::copy(*from_hex(in_format_md("a-nonce")), fresh.nonce.begin());
  std::ranges::copy(*from_hex(in_format_md("a-challenge")), fresh.challenge.begin());
  const SecretBytes transport = SecretBytes::copy_of(*from_hex(in_format_md("a-wk")));
  const SecretBytes scalar = SecretBytes::copy_of(*from_hex(in_format_md("a-d")));
  const Atecc608Payload payload =
      seal_scalar(software_hash(transport), example_chip(), example_profile(), fresh, scalar);
  EXPECT_EQ(to_hex(payload.cipher), in_format_md("a-cipher"));
  EXPECT_EQ(to_hex(payload.mac), in_format_md("a-mac"));
  EXPECT_EQ(to_hex(payload.response), in_format_md("a-response"));
}

TEST(Atecc608Sealing, DependsOnSlotsNonceSerialAndKey) {
  const Injection page;
  const SecretBytes transport = page.secret("transport_key");
  const SecretBytes scalar = page.secret("d");
  std::set<std::string> macs;
  const auto add = [&](const SeSerial& serial,
                       const Atecc608Profile& profile,
                       const Atecc608Fresh& fresh) {
    macs.insert(to_hex(seal_scalar(software_hash(transport), serial, profile, fresh, scalar).mac));
  };
  add(example_chip(), example_profile(), page.fresh());
  add(*SeSerial::from_hex("0123a5c7e90b2d4f01"), example_profile(), page.fresh());
  Atecc608Profile other_target = example_profile();
  other_target.target_slot = 2;
  add(example_chip(), other_target, page.fresh());
  Atecc608Profile other_transport = example_profile();
  other_transport.transport_slot = 5;
  add(example_chip(), other_transport, page.fresh());
  Atecc608Fresh other_nonce = page.fresh();
  other_nonce.nonce[31] ^= 1;
  add(example_chip(), example_profile(), other_nonce);
  EXPECT_EQ(macs.size(), 5U);
}

TEST(Atecc608Sealing, TakesScalarsOf32OctetsOnly) {
  const Injection page;
  const SecretBytes transport = page.secret("transport_key");
  for (const std::size_t size : {0UL, 31UL, 33UL}) {
    EXPECT_THROW(static_cast<void>(seal_scalar(software_hash(transport),
                                               example_chip(),
                                               example_profile(),
                                               page.fresh(),
                                               SecretBytes{size})),
                 Error);
  }
  EXPECT_THROW(static_cast<void>(software_hash(SecretBytes{31})), Error);
}

TEST(Atecc608NonceId, IsOfChipAndNonce) {
  const Bytes nonce(32, 7);
  const Bytes other(32, 8);
  const SeSerial second = *SeSerial::from_hex("0123a5c7e90b2d4f01");
  EXPECT_EQ(atecc608_nonce_id(example_chip(), nonce), atecc608_nonce_id(example_chip(), nonce));
  EXPECT_NE(atecc608_nonce_id(example_chip(), nonce), atecc608_nonce_id(example_chip(), other));
  EXPECT_NE(atecc608_nonce_id(example_chip(), nonce), atecc608_nonce_id(second, nonce));
}

class Atecc608BuilderTest : public ::testing::Test {
 protected:
  static SoftHsmStore& store() { return SoftHsmStore::shared(); }

  static const p11::TokenInfo& token() {
    static const p11::TokenInfo made = store().add_token("atecc608-builder");
    return made;
  }

  p11::Key secret_key(const SecretBytes& octets, Template uses, bool sensitive = true) {
    return session_->create_object(uses.object_class(ObjectClass::SecretKey)
                                       .key_type(KeyType::Aes)
                                       .token(false)
                                       .private_(true)
                                       .sensitive(sensitive)
                                       .extractable(!sensitive)
                                       .secret_value(octets));
  }

  static SecretBytes master_octets() {
    SecretBytes octets{32};
    std::uint8_t next = 0;
    for (std::uint8_t& octet : octets.expose_writable()) octet = next++;
    return octets;
  }

  Atecc608Builder builder(p11::ProbeResult facts) {
    return Atecc608Builder{*session_, facts, pkcs11_, example_profile()};
  }

  std::unique_ptr<p11::Session> session_ = store().user_session(token());
  p11::ProbeResult facts_ = p11::probe(*session_);
  Pkcs11Builder pkcs11_{*session_, facts_};
  SystemRandom random_;
};

TEST_F(Atecc608BuilderTest, UsesNonceAndChallengeOfThePageInTheirOrder) {
  const Injection page;
  const p11::Key transport = secret_key(page.secret("transport_key"), Template{}, false);
  p11::ProbeResult facts = facts_;
  facts.digests_secret_key = false;
  PageRandom drawn;
  const auto built = builder(facts).build(example_chip_entry(), transport, drawn);
  EXPECT_EQ(to_hex(built.payload.nonce), page.json["nonce"]);
  EXPECT_EQ(to_hex(built.payload.response), page.json["response"])
      << "of transport key and challenge alone";
  const auto key = open_as_chip(built.payload, page.octets("transport_key"));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->public_key(), built.public_key);
}

TEST_F(Atecc608BuilderTest, DigestsAKeyInTheModuleToWhatSoftwareComputes) {
  const Injection page;
  const SecretBytes transport = page.secret("transport_key");
  const p11::Key readable = secret_key(transport, Template{}, false);
  const TransportHash in_module = [&](std::initializer_list<ByteView> followed_by) {
    return session_->digest_key(readable, followed_by);
  };
  page.expect_equal(
      seal_scalar(in_module, example_chip(), example_profile(), page.fresh(), page.secret("d")));
}

TEST_F(Atecc608BuilderTest, MakesWhatOnlyTheChipWithTheDerivedKeyOpens) {
  const p11::Key master = secret_key(master_octets(), Template{}.derive(true));
  const Bytes input = kdf_input("chips-a", example_chip_entry());
  for (const bool reads : {true, false}) {
    p11::ProbeResult facts = facts_;
    facts.reads_scalar = facts.reads_scalar && reads;
    Atecc608Builder made = builder(facts);
    const p11::Key transport =
        made.derive_transport_key(master, "chips-a", example_chip_entry(), Kdf::KfKdf1);
    const auto built = made.build(example_chip_entry(), transport, random_);
    const p11::Key same = session_->derive_aes_ecb_data(
        master,
        [&] {
          const Digest h = crypto::sha256(input);  // FORMAT.md section 2
          Bytes data{1};
          append(data, h.bytes().first(15));
          data.push_back(2);
          append(data, h.bytes().first(15));
          return data;
        }(),
        Template{}
            .object_class(ObjectClass::SecretKey)
            .key_type(KeyType::Aes)
            .value_len(32)
            .token(false)
            .sensitive(false)
            .extractable(true));
    const auto octets = session_->read_secret(same);
    ASSERT_TRUE(octets);
    const auto key = open_as_chip(built.payload, octets.value.expose());
    ASSERT_TRUE(key) << (reads ? "read" : "unwrapped");
    EXPECT_EQ(key->public_key(), built.public_key);
    EXPECT_FALSE(open_as_chip(built.payload, Bytes(32)));
    EXPECT_EQ(built.payload.serial, example_chip());
  }
}

TEST_F(Atecc608BuilderTest, MakesTwoRecordsWithTwoNoncesAndTwoKeys) {
  const p11::Key master = secret_key(master_octets(), Template{}.derive(true));
  Atecc608Builder made = builder(facts_);
  const p11::Key transport =
      made.derive_transport_key(master, "chips-a", example_chip_entry(), Kdf::KfKdf1);
  const auto one = made.build(example_chip_entry(), transport, random_);
  const auto two = made.build(example_chip_entry(), transport, random_);
  EXPECT_NE(one.payload.nonce, two.payload.nonce);
  EXPECT_NE(one.payload.challenge, two.payload.challenge);
  EXPECT_FALSE(one.public_key == two.public_key);
}

TEST_F(Atecc608BuilderTest, OpensADeliveredTransportKey) {
  const SecretBytes vendor = master_octets();
  const p11::Key vendor_key = secret_key(vendor, Template{}.unwrap(true));
  const SecretBytes transport = Injection{}.secret("transport_key");
  Atecc608Builder made = builder(facts_);
  const Bytes blob = crypto::wrap_kwp(vendor, transport);
  const auto opened = made.unwrap_transport_key(Delivery::AesKwp, vendor_key, blob);
  ASSERT_TRUE(std::holds_alternative<p11::Key>(opened));
  const auto built = made.build(example_chip_entry(), std::get<p11::Key>(opened), random_);
  EXPECT_TRUE(open_as_chip(built.payload, transport.expose()));
  Bytes spoiled = blob;
  spoiled[5] ^= 1;
  EXPECT_TRUE(std::holds_alternative<Refusal>(
      made.unwrap_transport_key(Delivery::AesKwp, vendor_key, spoiled)));
}

TEST_F(Atecc608BuilderTest, LeavesNoKeyBehind) {
  const p11::Key master = secret_key(master_octets(), Template{}.derive(true));
  const std::size_t before = session_->find({}).size();
  {
    Atecc608Builder made = builder(facts_);
    const p11::Key transport =
        made.derive_transport_key(master, "chips-a", example_chip_entry(), Kdf::KfKdf1);
    static_cast<void>(made.build(example_chip_entry(), transport, random_));
  }
  EXPECT_EQ(session_->find({}).size(), before);
  EXPECT_EQ(session_->failed_destroys(), 0);
}

TEST_F(Atecc608BuilderTest, RefusesAProfileThatNoPayloadWorksWith) {
  Atecc608Profile profile = example_profile();
  profile.configuration[96 + 8] |= 0x40;  // KeyConfig[4].ReqRandom
  EXPECT_THROW((Atecc608Builder{*session_, facts_, pkcs11_, profile}), Error);
}

TEST_F(Atecc608BuilderTest, SaysWhichKeysAreInTheClear) {
  EXPECT_NE(plaintext_sentence(TransportPlace::Hsm, ScalarWay::Read).find("stay in the HSM"),
            std::string::npos);
  EXPECT_NE(plaintext_sentence(TransportPlace::Worker, ScalarWay::Unwrapped).find("throw-away"),
            std::string::npos);
}

TEST_F(Atecc608BuilderTest, NeverSeesTheTransportKeyWhereSoftHsmHoldsIt) {
  ASSERT_EQ(transport_place(facts_), TransportPlace::Hsm) << "SoftHSM 2.6 has C_DigestKey";
  const p11::Key master = secret_key(master_octets(), Template{}.derive(true));
  const p11::Key transport =
      builder(facts_).derive_transport_key(master, "chips-a", example_chip_entry(), Kdf::KfKdf1);
  EXPECT_TRUE(session_->stays_inside(transport));
  EXPECT_FALSE(session_->read_secret(transport));
}

}  // namespace
}  // namespace keyferry::se
