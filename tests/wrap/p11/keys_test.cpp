// Session's keys held against software: Botan and libcrypto.
#include <botan/block_cipher.h>

#include "tests/wrap/p11/fixture.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hpke.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/p11/hsm_keys.h"

namespace keyferry::p11 {
namespace {

using KeysTest = OnToken;

TEST_F(KeysTest, SignRawSignaturesThatSoftwareVerifies) {
  const DeviceKeyPair pair = session().generate_device_pair(p256_public(), p256_private(false));
  const Digest digest = crypto::sha256(as_bytes("message"));
  const Bytes signature = session().sign_ecdsa(pair.private_key, digest);
  const crypto::PublicKey key = session().ec_point(pair.public_key);
  EXPECT_TRUE(equal(key.point(), pair.point));
  EXPECT_TRUE(crypto::verify(key, digest, signature));
  EXPECT_TRUE(session().verify_ecdsa(pair.public_key, digest, signature));
  EXPECT_FALSE(
      session().verify_ecdsa(pair.public_key, crypto::sha256(as_bytes("other")), signature));
  EXPECT_FALSE(session().verify_ecdsa(pair.public_key, digest, Bytes(63)));
}

TEST_F(KeysTest, AgreeOnTheSecretThatSoftwareComputes) {
  const KeyPair pair =
      session().generate_p256_pair(p256_public(), p256_private(false).sign(false).derive(true));
  const crypto::SoftKey peer = crypto::SoftKey::generate();
  const SecretBytes secret = session().ecdh(pair.private_key, peer.public_key());
  EXPECT_TRUE(equal(secret.expose(), peer.ecdh_x(session().ec_point(pair.public_key)).expose()));
}

TEST_F(KeysTest, LeaveNoSharedSecretBehind) {
  const KeyPair pair =
      session().generate_p256_pair(p256_public(), p256_private(false).sign(false).derive(true));
  const auto secrets =
      Template{}.object_class(ObjectClass::SecretKey).key_type(KeyType::GenericSecret);
  const std::size_t before = session().find(secrets).size();
  static_cast<void>(session().ecdh(pair.private_key, crypto::SoftKey::generate().public_key()));
  EXPECT_EQ(session().find(secrets).size(), before);
}

TEST_F(KeysTest, OpenHpkeMessagesThroughTheModule) {
  const KeyPair pair =
      session().generate_p256_pair(p256_public(), p256_private(false).sign(false).derive(true));
  HsmDhKey recipient{session(), pair.private_key, session().ec_point(pair.public_key)};
  auto sender = crypto::setup_base_sender(
      crypto::HpkeSuite::Aes256Gcm, recipient.public_key(), as_bytes("info"));
  auto receiver = crypto::setup_base_receiver(
      crypto::HpkeSuite::Aes256Gcm, sender.enc, recipient, as_bytes("info"));
  ASSERT_TRUE(receiver);
  const auto opened = receiver->open({}, sender.context.seal({}, as_bytes("across the gap")));
  ASSERT_TRUE(opened);
  EXPECT_EQ(as_chars(opened->expose()), "across the gap");
}

TEST_F(KeysTest, SignThroughTheInterfaceOfCrypto) {
  const KeyPair pair = session().generate_p256_pair(p256_public(), p256_private(false));
  HsmSigner signer{session(), pair.private_key, session().ec_point(pair.public_key)};
  const Bytes signature = crypto::sign(signer, crypto::SignatureKind::TokenCard, as_bytes("card"));
  EXPECT_TRUE(crypto::verify(
      signer.public_key(), crypto::SignatureKind::TokenCard, as_bytes("card"), signature));
}

TEST_F(KeysTest, DeriveWhatAesEcbComputes) {
  const SecretBytes master = counting(32);
  const Key base = session().create_object(aes(true, false).derive(true).secret_value(master));
  const Bytes data = to_bytes(counting(48).expose());
  const Key derived = session().derive_aes_ecb_data(base, data, aes(false, true).value_len(32));
  const auto cipher = Botan::BlockCipher::create_or_throw("AES-256");
  cipher->set_key(master.expose().data(), master.size());
  Bytes expected(32);
  cipher->encrypt_n(data.data(), expected.data(), 2);
  const auto value = session().read_secret(derived);
  ASSERT_TRUE(value);
  EXPECT_EQ(to_hex(value.value.expose()), to_hex(expected)) << "the leading octets";
}

TEST_F(KeysTest, RefuseDerivationDataThatIsNoWholeBlock) {
  const Key base = session().generate_aes(aes(true, false).value_len(32).derive(true));
  for (const std::size_t size : {0UL, 15UL, 17UL, 80UL}) {
    EXPECT_THROW(static_cast<void>(session().derive_aes_ecb_data(
                     base, Bytes(size), aes(true, false).value_len(16))),
                 Error)
        << size;
  }
}

TEST_F(KeysTest, UnwrapWhatSoftwareWrapped) {
  const SecretBytes value = counting(32);
  const Key kek = session().create_object(aes(true, false).unwrap(true).secret_value(value));
  const SecretBytes inner = SecretBytes::copy_of(session().generate_random(32));
  const Key key = session().unwrap(Mechanism::AesKeyWrapPad,
                                   kek,
                                   crypto::wrap_kwp(value, inner),
                                   aes(false, true).encrypt(true));
  EXPECT_TRUE(equal(session().read_secret(key).value.expose(), inner.expose()));
}

TEST_F(KeysTest, WrapAKeyThatDoesNotFitTheFirstBuffer) {
  const Key kek = session().generate_aes(aes(true, false).value_len(32).wrap(true));
  const KeyPair rsa = session().generate_rsa_pair(Template{}
                                                      .object_class(ObjectClass::PublicKey)
                                                      .key_type(KeyType::Rsa)
                                                      .token(false)
                                                      .modulus_bits(2048)
                                                      .public_exponent(Bytes{1, 0, 1}),
                                                  Template{}
                                                      .object_class(ObjectClass::PrivateKey)
                                                      .key_type(KeyType::Rsa)
                                                      .token(false)
                                                      .sensitive(true)
                                                      .extractable(true));
  EXPECT_GT(session().wrap(Mechanism::AesKeyWrapPad, kek, rsa.private_key).size(), 1000U);
}

TEST_F(KeysTest, EncryptBlocksForCheckValues) {
  const SecretBytes value = counting(32);
  const Key key = session().create_object(aes(true, false).encrypt(true).secret_value(value));
  const auto cipher = Botan::BlockCipher::create_or_throw("AES-256");
  cipher->set_key(value.expose().data(), value.size());
  Bytes expected(16);
  cipher->encrypt(expected);
  EXPECT_EQ(session().aes_ecb_encrypt(key, Bytes(16)), expected);
}

}  // namespace
}  // namespace keyferry::p11
