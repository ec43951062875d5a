// Transport keys under RSA-OAEP: SoftHSM 2.6 has SHA-1 only, and tells no length of what it
// unwraps.
#include "wrap/se/delivery.h"

#include <gtest/gtest.h>

#include "tests/support/softhsm_store.h"
#include "wrap/base/random.h"
#include "wrap/crypto/kwp.h"
#include "wrap/se/check_value.h"
#include "wrap/se/pkcs11_builder.h"

namespace keyferry::se {
namespace {

using p11::KeyType;
using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;
using test_support::SoftHsmStore;

class DeliveryTest : public ::testing::Test {
 protected:
  static const p11::TokenInfo& token() {
    static const p11::TokenInfo made = SoftHsmStore::shared().add_token("delivery");
    return made;
  }

  static SecretBytes transport_key(std::size_t size_bytes = 32) {
    SecretBytes key{size_bytes};
    std::uint8_t next = 0x11;
    for (std::uint8_t& octet : key.expose_writable()) octet = next++;
    return key;
  }

  static p11::KeyPair rsa_pair(p11::Session& session) {
    return session.generate_rsa_pair(Template{}
                                         .object_class(ObjectClass::PublicKey)
                                         .key_type(KeyType::Rsa)
                                         .token(false)
                                         .modulus_bits(2048)
                                         .public_exponent(Bytes{1, 0, 1}),
                                     Template{}
                                         .object_class(ObjectClass::PrivateKey)
                                         .key_type(KeyType::Rsa)
                                         .token(false)
                                         .private_(true)
                                         .sensitive(true)
                                         .extractable(false)
                                         .modifiable(false)
                                         .copyable(false)
                                         .unwrap(true)
                                         .decrypt(false)
                                         .sign(false)
                                         .allowed_mechanisms({Mechanism::RsaPkcsOaep}));
  }

  /// RSA keys take their time: made once.
  struct World {
    std::unique_ptr<p11::Session> session = SoftHsmStore::shared().user_session(token());
    p11::ProbeResult facts =
        p11::probe(*session, p11::ProbeFor::Appliance, p11::ProbeDepth::Thorough);
    p11::KeyPair rsa = rsa_pair(*session);
    Bytes spki = session->rsa_public_key(rsa.public_key);
  };

  static World& world() {
    static World made;
    return made;
  }

  p11::Session& session_ = *world().session;
  const p11::ProbeResult& facts_ = world().facts;
  const p11::KeyPair& rsa_ = world().rsa;
  const Bytes& spki_ = world().spki;
  Pkcs11Builder builder_{session_, facts_};
};

TEST(Delivery, HasANameEach) {
  for (const Delivery one : {Delivery::AesKwp, Delivery::RsaOaepSha1, Delivery::RsaOaepSha256}) {
    EXPECT_EQ(delivery_from_name(delivery_name(one)), one);
  }
  EXPECT_EQ(delivery_from_name("rsa-pkcs1"), std::nullopt);
}

TEST(Delivery, ByRsaIsRefusedBeforeAThoroughProbe) {
  p11::ProbeResult facts;
  facts.kwp = Mechanism::AesKeyWrapPad;
  facts.kwp_unwraps = true;
  EXPECT_EQ(check_delivery(Delivery::AesKwp, facts), std::nullopt);
  ASSERT_TRUE(check_delivery(Delivery::RsaOaepSha1, facts));
  EXPECT_EQ(check_delivery(Delivery::RsaOaepSha1, facts)->reason, "hsm-no-delivery");
}

TEST_F(DeliveryTest, IsFoundByAThoroughProbe) {
  EXPECT_EQ(facts_.oaep_sha1, true);
  EXPECT_EQ(facts_.oaep_sha256, false) << "SoftHSM 2.6";
  EXPECT_EQ(facts_.further_sessions, p11::kMaxProbedSessions);
  EXPECT_EQ(check_delivery(Delivery::RsaOaepSha1, facts_), std::nullopt);
  EXPECT_TRUE(check_delivery(Delivery::RsaOaepSha256, facts_));
  EXPECT_EQ(delivery_mechanism(Delivery::RsaOaepSha1, facts_), Mechanism::RsaPkcsOaep);
  EXPECT_EQ(delivery_mechanism(Delivery::AesKwp, facts_), *facts_.kwp);
}

TEST_F(DeliveryTest, ByOaepGivesATransportKeyThatWorks) {
  const auto delivered = builder_.unwrap_transport_key(
      Delivery::RsaOaepSha1,
      rsa_.private_key,
      crypto::wrap_oaep(crypto::OaepHash::Sha1, spki_, transport_key()));
  ASSERT_TRUE(std::holds_alternative<DeliveredKey>(delivered));
  const DeliveredKey& key = std::get<DeliveredKey>(delivered);
  EXPECT_EQ(key.check_value, transport_check_value(transport_key()));
  Template expected = transport_key_template(*facts_.kwp);
  EXPECT_EQ(session_.differences(key.key, expected.remove(p11::Attribute::ValueLen)),
            std::vector<std::string>{});
  const p11::DeviceKeyPair device = builder_.generate_device_key();
  EXPECT_TRUE(crypto::unwrap_kwp(transport_key(), builder_.wrap(key.key, device.private_key)));
}

TEST_F(DeliveryTest, ByOaepRefusesOtherLengths) {
  for (const std::size_t size : {16UL, 20UL, 24UL, 31UL, 33UL, 40UL, 64UL}) {
    const auto delivered = builder_.unwrap_transport_key(
        Delivery::RsaOaepSha1,
        rsa_.private_key,
        crypto::wrap_oaep(crypto::OaepHash::Sha1, spki_, transport_key(size)));
    ASSERT_TRUE(std::holds_alternative<Refusal>(delivered)) << size;
    EXPECT_EQ(std::get<Refusal>(delivered).reason, "transport-key-invalid");
  }
}

TEST_F(DeliveryTest, ByOaepRefusesWhatWasTamperedWith) {
  Bytes blob = crypto::wrap_oaep(crypto::OaepHash::Sha1, spki_, transport_key());
  for (const std::size_t at : {0UL, 1UL, 100UL, 255UL}) {
    blob[at] ^= 0x01;
    EXPECT_TRUE(std::holds_alternative<Refusal>(
        builder_.unwrap_transport_key(Delivery::RsaOaepSha1, rsa_.private_key, blob)))
        << at;
    blob[at] ^= 0x01;
  }
  blob.pop_back();
  EXPECT_TRUE(std::holds_alternative<Refusal>(
      builder_.unwrap_transport_key(Delivery::RsaOaepSha1, rsa_.private_key, blob)));
}

TEST_F(DeliveryTest, LeavesNothingBehind) {
  const std::size_t before = session_.find({}).size();
  static_cast<void>(builder_.unwrap_transport_key(
      Delivery::RsaOaepSha1,
      rsa_.private_key,
      crypto::wrap_oaep(crypto::OaepHash::Sha1, spki_, transport_key())));
  EXPECT_EQ(session_.find({}).size(), before);
  EXPECT_EQ(session_.failed_destroys(), 0);
}

TEST_F(DeliveryTest, ProvesAnRsaVendorKeyByItsPublicKey) {
  const Bytes proof = crypto::wrap_oaep(crypto::OaepHash::Sha1, spki_, vendor_check_constant());
  EXPECT_TRUE(builder_.opens_vendor_proof(Delivery::RsaOaepSha1, rsa_.private_key, proof));
  const p11::KeyPair other = rsa_pair(session_);
  EXPECT_FALSE(builder_.opens_vendor_proof(Delivery::RsaOaepSha1, other.private_key, proof));
}

TEST_F(DeliveryTest, ReadsTheVendorsPublicKeyAsSpki) {
  EXPECT_EQ(crypto::rsa_bits(spki_), 2048U);
  Bytes longer = spki_;
  longer.push_back(0);
  EXPECT_EQ(crypto::rsa_bits(longer), std::nullopt);
  EXPECT_EQ(crypto::rsa_bits(Bytes{}), std::nullopt);
  EXPECT_THROW(
      static_cast<void>(crypto::wrap_oaep(crypto::OaepHash::Sha1, longer, transport_key())), Error);
  EXPECT_THROW(static_cast<void>(crypto::wrap_oaep(crypto::OaepHash::Sha1, spki_, SecretBytes{65})),
               Error);
}

}  // namespace
}  // namespace keyferry::se
