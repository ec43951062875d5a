// What SoftHSM 2.6 does and we rely on, or work around. A newer module that behaves otherwise shows
// up here first; the product itself asks the probe and depends on none of it.
#include "tests/wrap/p11/fixture.h"
#include "wrap/base/error.h"
#include "wrap/crypto/kwp.h"

namespace keyferry::p11 {
namespace {

using SoftHsmTest = OnToken;

TEST_F(SoftHsmTest, EnforcesAllowedMechanisms) {
  const Key key = session().generate_aes(aes(true, false)
                                             .value_len(32)
                                             .wrap(true)
                                             .encrypt(true)
                                             .allowed_mechanisms({Mechanism::AesKeyWrapPad}));
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().aes_ecb_encrypt(key, Bytes(16))); }),
            "CKR_MECHANISM_INVALID");
}

TEST_F(SoftHsmTest, EnforcesUsage) {
  const Key kek = session().generate_aes(aes(true, false).value_len(32).wrap(false).encrypt(false));
  const Key other = session().generate_aes(aes(true, true).value_len(32));
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().wrap(Mechanism::AesKeyWrapPad, kek, other)); }),
            "CKR_KEY_FUNCTION_NOT_PERMITTED");
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().aes_ecb_encrypt(kek, Bytes(16))); }),
            "CKR_KEY_FUNCTION_NOT_PERMITTED");
}

TEST_F(SoftHsmTest, KeepsWhatIsNotModifiableAsItWasMade) {
  const Key key =
      session().generate_aes(aes(true, false).value_len(32).modifiable(false).wrap(false));
  EXPECT_EQ(rv_of([&] { session().set_attributes(key, Template{}.wrap(true)); }),
            "CKR_ACTION_PROHIBITED");
}

TEST_F(SoftHsmTest, LetsUsageBeSwitchedOnWithoutModifiableFalse) {
  const Key key = session().generate_aes(aes(true, false).value_len(32).wrap(false));
  EXPECT_EQ(rv_of([&] { session().set_attributes(key, Template{}.wrap(true)); }), "CKR_OK")
      << "so every template of ours says MODIFIABLE false";
}

TEST_F(SoftHsmTest, CopiesNothingThatIsNotCopyable) {
  const Key key = session().generate_aes(aes(true, false).value_len(32).copyable(false));
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().copy_object(key, Template{}.wrap(true))); }),
            "CKR_ACTION_PROHIBITED");
}

TEST_F(SoftHsmTest, NeverMakesASensitiveKeyReadable) {
  const Key key = session().generate_aes(aes(true, false).value_len(32));
  EXPECT_NE(rv_of([&] { session().set_attributes(key, Template{}.sensitive(false)); }), "CKR_OK");
  EXPECT_NE(rv_of([&] { session().set_attributes(key, Template{}.extractable(true)); }), "CKR_OK");
}

TEST_F(SoftHsmTest, DestroysNothingThatIsNotDestroyable) {
  Key key = session().generate_aes(aes(true, false).value_len(32).destroyable(false));
  EXPECT_EQ(rv_of([&] { session().destroy(key); }), "CKR_ACTION_PROHIBITED");
  static_cast<void>(key.release());
}

TEST_F(SoftHsmTest, WrapsWithTrustedKeysOnly) {
  const Key kek = session().generate_aes(aes(true, false).value_len(32).wrap(true));
  const Key key = session().generate_aes(aes(true, true).value_len(32).wrap_with_trusted(true));
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().wrap(Mechanism::AesKeyWrapPad, kek, key)); }),
            "CKR_KEY_NOT_WRAPPABLE");
  EXPECT_NE(rv_of([&] { session().set_attributes(kek, Template{}.trusted(true)); }), "CKR_OK")
      << "the user cannot make a key trusted";
}

TEST_F(SoftHsmTest, UnwrapsTwentyOctetsAsAnAesKey) {
  const SecretBytes value = counting(32);
  const Key kek = session().create_object(aes(true, false).unwrap(true).secret_value(value));
  const Bytes blob = crypto::wrap_kwp(value, counting(20));
  EXPECT_EQ(
      rv_of([&] {
        static_cast<void>(session().unwrap(Mechanism::AesKeyWrapPad, kek, blob, aes(true, false)));
      }),
      "CKR_OK")
      << "so the length is checked by us";
}

TEST_F(SoftHsmTest, DoesNotTellTheLengthOfAnUnwrappedKey) {
  const SecretBytes value = counting(32);
  const Key kek = session().create_object(aes(true, false).unwrap(true).secret_value(value));
  const Key key = session().unwrap(
      Mechanism::AesKeyWrapPad, kek, crypto::wrap_kwp(value, counting(32)), aes(true, false));
  EXPECT_TRUE(session().read_number(key, Attribute::ValueLen).is(0))
      << "so the blob's length has to tell";
}

TEST_F(SoftHsmTest, MakesAnEcKeyReadableUnlessTold) {
  const Template bare =
      Template{}.object_class(ObjectClass::PrivateKey).key_type(KeyType::Ec).token(false);
  const KeyPair pair = session().generate_p256_pair(p256_public(), bare);
  EXPECT_TRUE(session().read_bool(pair.private_key, Attribute::Sensitive).is(false))
      << "so templates are whole";
}

TEST_F(SoftHsmTest, DerivesAReadableKeyFromASensitiveOne) {
  const Key base = session().generate_aes(aes(true, false).value_len(32).derive(true));
  const Key derived =
      session().derive_aes_ecb_data(base, Bytes(32, 1), aes(false, true).value_len(32));
  EXPECT_TRUE(session().read_secret(derived))
      << "so only the worker's template keeps a derived key inside";
}

TEST_F(SoftHsmTest, SeesSessionObjectsInEverySessionUntilTheirOwnEnds) {
  auto second = store().user_session(token());
  const ObjectHandle handle =
      second->generate_aes(aes(true, false).value_len(32).label("of-second")).release();
  EXPECT_TRUE(session().find_one(ObjectClass::SecretKey, "of-second"));
  second.reset();
  EXPECT_EQ(session().find_one(ObjectClass::SecretKey, "of-second"), std::nullopt);
  EXPECT_NE(rv_of([&] { session().destroy(handle); }), "CKR_OK");
}

TEST_F(SoftHsmTest, DoesNotChangeTheValueOfADataObject) {
  const Key object = session().create_object(Template{}
                                                 .object_class(ObjectClass::Data)
                                                 .token(false)
                                                 .private_(true)
                                                 .label("state")
                                                 .value(Bytes{1}));
  EXPECT_NE(rv_of([&] { session().set_attributes(object, Template{}.value(Bytes{2})); }), "CKR_OK");
}

TEST_F(SoftHsmTest, GivesAGeneralErrorForATamperedBlob) {
  const SecretBytes value = counting(32);
  const Key kek = session().create_object(aes(true, false).unwrap(true).secret_value(value));
  Bytes blob = crypto::wrap_kwp(value, counting(32));
  blob[3] ^= 1;
  EXPECT_EQ(
      rv_of([&] {
        static_cast<void>(session().unwrap(Mechanism::AesKeyWrapPad, kek, blob, aes(true, false)));
      }),
      "CKR_GENERAL_ERROR");
}

}  // namespace
}  // namespace keyferry::p11
