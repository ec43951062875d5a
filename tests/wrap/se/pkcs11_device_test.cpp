// An SE that is a PKCS#11 token, played by SoftHSM: what goes in, and what must not come out.
#include "wrap/se/pkcs11_device.h"

#include <gtest/gtest.h>

#include "tests/support/softhsm_store.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::se {
namespace {

using p11::Attribute;
using p11::KeyType;
using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;
using test_support::SoftHsmStore;

constexpr Mechanism kKwp = Mechanism::AesKeyWrapPad;

// RFC 6979 section A.2.5's key as PKCS#8 with its public key, as `openssl pkcs8` writes it: 138
// octets.
const std::string kPkcs8 =
    "308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420"
    "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721a14403420004"
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
const std::string kScalar = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";

class Pkcs11DeviceTest : public ::testing::Test {
 protected:
  static SoftHsmStore& store() { return SoftHsmStore::shared(); }

  static const p11::TokenInfo& token() {
    static const p11::TokenInfo made = store().add_token("device");
    return made;
  }

  p11::Session& session() { return *session_; }

  p11::Key transport() {
    Template attributes = device_transport_key_template("keyferry-tk", kKwp);
    return session().create_object(
        attributes.token(false).secret_value(SecretBytes::copy_of(value_.expose())));
  }

  Template injected() { return injected_key_template("dac", as_bytes("dac")).token(false); }

  SecretBytes value_ = SecretBytes::copy_of(crypto::sha256(as_bytes("transport")).bytes());
  Bytes blob_ = crypto::wrap_kwp(value_, SecretBytes::copy_of(*from_hex(kPkcs8)));
  std::unique_ptr<p11::Session> session_ = store().user_session(token());
};

TEST_F(Pkcs11DeviceTest, TakesAKeyAndSignsWithIt) {
  const p11::Key tk = transport();
  const p11::Key key = session().unwrap(kKwp, tk, blob_, injected());
  const Digest digest = crypto::sha256(as_bytes("challenge"));
  const auto expected = crypto::SoftKey::from_scalar(SecretBytes::copy_of(*from_hex(kScalar)));
  EXPECT_TRUE(crypto::verify(expected->public_key(), digest, session().sign_ecdsa(key, digest)));
}

TEST_F(Pkcs11DeviceTest, HoldsAnInjectedKeyAsTheTemplateSays) {
  const p11::Key tk = transport();
  const p11::Key key = session().unwrap(kKwp, tk, blob_, injected());
  EXPECT_EQ(session().differences(key, injected()), std::vector<std::string>{});
  EXPECT_TRUE(session().read_bool(key, Attribute::NeverExtractable).is(false))
      << "rightly so: it came from outside";
  EXPECT_FALSE(session().read_secret(key));
}

TEST_F(Pkcs11DeviceTest, HoldsItsTransportKeyAsTheTemplateSays) {
  const p11::Key tk = transport();
  Template expected = device_transport_key_template("keyferry-tk", kKwp);
  EXPECT_EQ(session().differences(tk, expected.token(false)), std::vector<std::string>{});
}

TEST_F(Pkcs11DeviceTest, KeepsAnInjectedKeyThatIsFoundAgainByItsId) {
  const p11::Key tk = transport();
  static_cast<void>(
      session().unwrap(kKwp, tk, blob_, injected_key_template("dac", as_bytes("dac"))));
  const auto found =
      session().find(Template{}.object_class(ObjectClass::PrivateKey).id(as_bytes("dac")));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(session().differences(found[0], injected_key_template("dac", as_bytes("dac"))),
            std::vector<std::string>{});
  session().destroy(found[0]);
}

TEST_F(Pkcs11DeviceTest, LetsNoAbuseThrough) {
  EXPECT_EQ(device_abuses(session(), kKwp), std::vector<std::string>{});
}

TEST_F(Pkcs11DeviceTest, LeavesNothingOfTheAbusesBehind) {
  const std::size_t before = session().find({}).size();
  static_cast<void>(device_abuses(session(), kKwp));
  EXPECT_EQ(session().find({}).size(), before);
}

TEST_F(Pkcs11DeviceTest, RefusesABlobForAnotherChip) {
  const p11::Key tk = transport();
  const SecretBytes other = SecretBytes::copy_of(crypto::sha256(as_bytes("other")).bytes());
  const Bytes foreign = crypto::wrap_kwp(other, SecretBytes::copy_of(*from_hex(kPkcs8)));
  EXPECT_THROW(static_cast<void>(session().unwrap(kKwp, tk, foreign, injected())),
               p11::Pkcs11Error);
}

TEST_F(Pkcs11DeviceTest, RefusesEveryChangedOctetOfABlob) {
  const p11::Key tk = transport();
  for (std::size_t at = 0; at < blob_.size(); ++at) {
    blob_[at] ^= 0x01;
    EXPECT_THROW(static_cast<void>(session().unwrap(kKwp, tk, blob_, injected())), p11::Pkcs11Error)
        << at;
    blob_[at] ^= 0x01;
  }
}

// What the template prevents: the same key without CKA_UNWRAP_TEMPLATE gives its content away
// (se/pkcs11-token.md).
TEST_F(Pkcs11DeviceTest, WouldGiveTheKeyAwayWithoutTheUnwrapTemplate) {
  Template bare =
      device_transport_key_template("bare", kKwp).token(false).remove(Attribute::UnwrapTemplate);
  const p11::Key tk =
      session().create_object(bare.secret_value(SecretBytes::copy_of(value_.expose())));
  const p11::Key readable = session().unwrap(kKwp,
                                             tk,
                                             blob_,
                                             Template{}
                                                 .object_class(ObjectClass::SecretKey)
                                                 .key_type(KeyType::GenericSecret)
                                                 .token(false)
                                                 .sensitive(false)
                                                 .extractable(true));
  EXPECT_TRUE(session().read_secret(readable));
}

}  // namespace
}  // namespace keyferry::se
