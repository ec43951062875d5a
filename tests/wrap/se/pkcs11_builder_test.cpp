#include "wrap/se/pkcs11_builder.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <array>
#include <memory>

#include "tests/support/softhsm_store.h"
#include "tests/wrap/se/example.h"
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

SecretBytes counting() {
  SecretBytes octets{32};
  std::uint8_t next = 0;
  for (std::uint8_t& octet : octets.expose_writable()) octet = next++;
  return octets;
}

/// libcrypto's own RFC 5649, which shares no code with ours.
std::optional<Bytes> open_with_openssl(ByteView kek, ByteView blob) {
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context{
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free};
  EVP_CIPHER_CTX_set_flags(context.get(), EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
  Bytes out(blob.size() + 16);
  int size = 0;
  if (EVP_DecryptInit_ex(context.get(), EVP_aes_256_wrap_pad(), nullptr, kek.data(), nullptr) !=
          1 ||
      EVP_DecryptUpdate(
          context.get(), out.data(), &size, blob.data(), static_cast<int>(blob.size())) != 1) {
    return std::nullopt;
  }
  out.resize(static_cast<std::size_t>(size));
  return out;
}

class Pkcs11BuilderTest : public ::testing::Test {
 protected:
  static SoftHsmStore& store() { return SoftHsmStore::shared(); }

  static const p11::TokenInfo& token() {
    static const p11::TokenInfo made = store().add_token("builder");
    return made;
  }

  p11::Session& session() { return *session_; }

  p11::Key master(bool with_derive = true) {
    return session().create_object(Template{}
                                       .object_class(ObjectClass::SecretKey)
                                       .key_type(KeyType::Aes)
                                       .token(false)
                                       .private_(true)
                                       .sensitive(true)
                                       .extractable(false)
                                       .derive(with_derive)
                                       .allowed_mechanisms({Mechanism::AesEcbEncryptData})
                                       .secret_value(counting()));
  }

  /// A vendor key with the value of counting(): unwraps only.
  p11::Key vendor_key() {
    return session().create_object(Template{}
                                       .object_class(ObjectClass::SecretKey)
                                       .key_type(KeyType::Aes)
                                       .token(false)
                                       .private_(true)
                                       .sensitive(true)
                                       .extractable(false)
                                       .unwrap(true)
                                       .allowed_mechanisms({*facts_.kwp})
                                       .secret_value(counting()));
  }

  /// The transport key that FORMAT.md gives for example_entry().
  static Bytes example_transport_key() { return *from_hex(in_format_md("key")); }

  std::unique_ptr<p11::Session> session_ = store().user_session(token());
  p11::ProbeResult facts_ = p11::probe(*session_);
  Pkcs11Builder builder_{*session_, facts_};
};

TEST_F(Pkcs11BuilderTest, WrapsADeviceKeyThatOpenSslOpens) {
  const p11::Key base = master();
  const p11::Key transport = builder_.derive_transport_key(base, "site-a", example_entry());
  const p11::DeviceKeyPair device = builder_.generate_device_key();
  const Bytes blob = builder_.wrap(transport, device.private_key);
  EXPECT_EQ(blob.size(), 80U) << "SoftHSM 2.6";

  const auto plain = open_with_openssl(example_transport_key(), blob);
  ASSERT_TRUE(plain);
  const auto size = check_wrapped_plaintext(*plain);
  ASSERT_TRUE(std::holds_alternative<std::size_t>(size));
  EXPECT_LE(plain->size() - std::get<std::size_t>(size), 7U);
  const auto key = crypto::SoftKey::from_scalar(scalar_in_wrapped_plaintext(*plain));
  ASSERT_TRUE(key);
  EXPECT_TRUE(equal(key->public_key().point(), device.point));
}

TEST_F(Pkcs11BuilderTest, WrapsADeviceKeyThatOurOwnKwpOpensToTheSameOctets) {
  const p11::Key base = master();
  const p11::Key transport = builder_.derive_transport_key(base, "site-a", example_entry());
  const p11::DeviceKeyPair device = builder_.generate_device_key();
  const Bytes blob = builder_.wrap(transport, device.private_key);
  const auto ours = crypto::unwrap_kwp(SecretBytes::copy_of(example_transport_key()), blob);
  ASSERT_TRUE(ours);
  EXPECT_TRUE(equal(ours->expose(), *open_with_openssl(example_transport_key(), blob)));
}

TEST_F(Pkcs11BuilderTest, WrapsForOneChipOnly) {
  const p11::Key base = master();
  Entry other = example_entry();
  other.serial = serial_of("5e11a07c00000002");
  const p11::Key transport = builder_.derive_transport_key(base, "site-a", other);
  const p11::DeviceKeyPair device = builder_.generate_device_key();
  EXPECT_EQ(
      open_with_openssl(example_transport_key(), builder_.wrap(transport, device.private_key)),
      std::nullopt);
}

TEST_F(Pkcs11BuilderTest, MakesTransportKeysThatDoNothingButWrap) {
  const p11::Key base = master();
  const p11::Key transport = builder_.derive_transport_key(base, "site-a", example_entry());
  EXPECT_EQ(session().differences(transport, transport_key_template(*facts_.kwp)),
            std::vector<std::string>{});
  EXPECT_FALSE(session().read_secret(transport));
  EXPECT_THROW(static_cast<void>(session().aes_ecb_encrypt(transport, Bytes(16))),
               p11::Pkcs11Error);
  EXPECT_THROW(session().set_attributes(transport, Template{}.decrypt(true)), p11::Pkcs11Error);
  EXPECT_THROW(static_cast<void>(session().copy_object(transport, Template{}.token(false))),
               p11::Pkcs11Error);
  const p11::Key again = builder_.derive_transport_key(base, "site-a", example_entry());
  EXPECT_THROW(static_cast<void>(session().wrap(*facts_.kwp, transport, again)), p11::Pkcs11Error)
      << "a transport key is never wrapped itself";
}

TEST_F(Pkcs11BuilderTest, MakesDeviceKeysThatLeaveOnlyWrapped) {
  const p11::DeviceKeyPair device = builder_.generate_device_key();
  EXPECT_EQ(session().differences(device.private_key, device_private_template()),
            std::vector<std::string>{});
  EXPECT_FALSE(session().read_secret(device.private_key));
  EXPECT_THROW(session().set_attributes(device.private_key, Template{}.derive(true)),
               p11::Pkcs11Error);
}

TEST_F(Pkcs11BuilderTest, LeavesNoKeyBehind) {
  const p11::Key base = master();
  const std::size_t before = session().find({}).size();
  {
    const p11::Key transport = builder_.derive_transport_key(base, "site-a", example_entry());
    const p11::DeviceKeyPair device = builder_.generate_device_key();
    static_cast<void>(builder_.wrap(transport, device.private_key));
    static_cast<void>(builder_.transport_check_value(transport));
  }
  EXPECT_EQ(session().find({}).size(), before);
}

TEST_F(Pkcs11BuilderTest, GivesACheckValueThatTheOtherSideComputes) {
  const p11::Key base = master();
  const p11::Key transport = builder_.derive_transport_key(base, "site-a", example_entry());
  const Digest published = crypto::sha256(as_bytes("keyferry/v1/transport-check"));
  const Bytes wrapped = crypto::wrap_kwp(SecretBytes::copy_of(example_transport_key()),
                                         SecretBytes::copy_of(published.bytes()));
  EXPECT_EQ(to_hex(builder_.transport_check_value(transport)),
            to_hex(crypto::sha256(wrapped).bytes().first(16)));
}

TEST_F(Pkcs11BuilderTest, TakesADeliveredTransportKey) {
  const p11::Key vendor = vendor_key();
  const SecretBytes transport_value = SecretBytes::copy_of(example_transport_key());
  auto delivered = builder_.unwrap_transport_key(
      Delivery::AesKwp, vendor, crypto::wrap_kwp(counting(), transport_value));
  ASSERT_TRUE(std::holds_alternative<DeliveredKey>(delivered));
  const DeliveredKey& transport = std::get<DeliveredKey>(delivered);
  EXPECT_EQ(transport.check_value.size(), 16U);
  EXPECT_FALSE(session().read_secret(transport.key));
  const p11::DeviceKeyPair device = builder_.generate_device_key();
  EXPECT_TRUE(open_with_openssl(transport_value.expose(),
                                builder_.wrap(transport.key, device.private_key)));
}

TEST_F(Pkcs11BuilderTest, RefusesADeliveredKeyThatIsNoAes256Key) {
  const p11::Key vendor = vendor_key();
  for (const std::size_t size : {16UL, 20UL, 24UL, 25UL, 28UL, 31UL, 33UL, 40UL, 64UL}) {
    const auto delivered = builder_.unwrap_transport_key(
        Delivery::AesKwp, vendor, crypto::wrap_kwp(counting(), SecretBytes{size}));
    ASSERT_TRUE(std::holds_alternative<Refusal>(delivered)) << size;
    EXPECT_EQ(std::get<Refusal>(delivered).reason, "transport-key-invalid");
  }
}

TEST_F(Pkcs11BuilderTest, RefusesATamperedDeliveredKey) {
  const p11::Key vendor = vendor_key();
  Bytes blob = crypto::wrap_kwp(counting(), SecretBytes{32});
  for (std::size_t at = 0; at < blob.size(); ++at) {
    blob[at] ^= 0x01;
    EXPECT_TRUE(
        std::holds_alternative<Refusal>(builder_.unwrap_transport_key(Delivery::AesKwp, vendor, blob)))
        << at;
    blob[at] ^= 0x01;
  }
}

TEST_F(Pkcs11BuilderTest, SaysWhyAMasterDoesNotDerive) {
  const p11::Key base = master(false);
  try {
    static_cast<void>(builder_.derive_transport_key(base, "site-a", example_entry()));
    FAIL();
  } catch (const p11::Pkcs11Error& error) {
    EXPECT_EQ(p11::rv_name(error.rv()), "CKR_KEY_FUNCTION_NOT_PERMITTED");
    EXPECT_EQ(error.function(), "C_DeriveKey");
  }
}

TEST(Pkcs11BuilderWithoutKwp, IsNotBuilt) {
  auto& store = SoftHsmStore::shared();
  const p11::TokenInfo token = store.add_token("without-kwp");
  const auto session = store.user_session(token);
  EXPECT_THROW((Pkcs11Builder{*session, p11::ProbeResult{}}), Error);
}

}  // namespace
}  // namespace keyferry::se
