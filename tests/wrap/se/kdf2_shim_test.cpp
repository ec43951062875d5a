// kf-kdf-2 and KWP under its other number in a module: the shim's, since SoftHSM has neither.
#include <gtest/gtest.h>

#include "tests/shim/shim_store.h"
#include "tests/wrap/se/example.h"
#include "wrap/crypto/kwp.h"
#include "wrap/se/check_value.h"
#include "wrap/se/pkcs11_builder.h"

namespace keyferry::se {
namespace {

using p11::KeyType;
using p11::ObjectClass;
using p11::Template;
using test_support::ShimStore;

class Kdf2InAModule : public ::testing::Test {
 protected:
  void SetUp() override {
    module_ = ShimStore::shared().load("sp800-108\nkwp-number 0x210B\nec-point raw\n");
    session_ = ShimStore::log_in(*module_);
    facts_ = p11::probe(*session_);
  }

  /// The published master, as officers import one.
  p11::Key master() {
    SecretBytes value{32};
    std::uint8_t next = 0;
    for (std::uint8_t& octet : value.expose_writable()) octet = next++;
    return session_->create_object(Template{}
                                       .object_class(ObjectClass::SecretKey)
                                       .key_type(KeyType::Aes)
                                       .token(false)
                                       .private_(true)
                                       .sensitive(true)
                                       .extractable(false)
                                       .derive(true)
                                       .allowed_mechanisms({kdf_mechanism(Kdf::KfKdf2)})
                                       .secret_value(value));
  }

  std::unique_ptr<p11::Module> module_;
  std::unique_ptr<p11::Session> session_;
  p11::ProbeResult facts_;
};

TEST_F(Kdf2InAModule, IsSeenByTheProbe) {
  EXPECT_EQ(check_kdf(Kdf::KfKdf2, facts_), std::nullopt);
  EXPECT_EQ(facts_.kwp, p11::Mechanism::AesKeyWrapKwp);
}

TEST_F(Kdf2InAModule, WrapsForTheChipOfTheExample) {
  Pkcs11Builder builder{*session_, facts_};
  const p11::Key base = master();
  const p11::Key transport =
      builder.derive_transport_key(base, "site-a", example_entry(), Kdf::KfKdf2);
  EXPECT_TRUE(session_->stays_inside(transport));
  const p11::DeviceKeyPair device = builder.generate_device_key();
  const auto opened = crypto::unwrap_kwp(SecretBytes::copy_of(*from_hex(in_format_md("k2-key"))),
                                         builder.wrap(transport, device.private_key));
  EXPECT_TRUE(opened);
}

TEST_F(Kdf2InAModule, GivesTheCheckValueOfTheFormat) {
  EXPECT_EQ(to_hex(master_check_value(*session_, master(), Kdf::KfKdf2, facts_)),
            in_format_md("kcv-2"));
}

// In the delivered form: an accident is no bad blob.
TEST_F(Kdf2InAModule, AnAccidentIsNoBadBlob) {
  const auto deliver = [this](const std::string& fault) {
    session_.reset();
    module_.reset();
    module_ = ShimStore::shared().load(fault);
    session_ = ShimStore::log_in(*module_);
    facts_ = p11::probe(*session_);
    Pkcs11Builder builder{*session_, facts_};
    const p11::Key vendor = session_->create_object(Template{}
                                                        .object_class(ObjectClass::SecretKey)
                                                        .key_type(KeyType::Aes)
                                                        .label("kf-vendor/acme")
                                                        .token(false)
                                                        .private_(true)
                                                        .sensitive(true)
                                                        .unwrap(true)
                                                        .secret_value(SecretBytes{32}));
    return builder.opens_vendor_proof(
        Delivery::AesKwp, vendor, check_vendor_key(SecretBytes{32}).proof);
  };
  EXPECT_TRUE(deliver("fault C_UnwrapKey label=kf-vendor/* rv=CKR_GENERAL_ERROR\n"));
  EXPECT_TRUE(deliver("fault C_UnwrapKey label=kf-vendor/* rv=CKR_FUNCTION_FAILED after\n"));
  EXPECT_THROW(
      static_cast<void>(deliver("fault C_UnwrapKey label=kf-vendor/* rv=CKR_DEVICE_MEMORY\n")),
      p11::Pkcs11Error);
  EXPECT_THROW(static_cast<void>(deliver(
                   "fault C_UnwrapKey label=kf-vendor/* rv=CKR_SESSION_HANDLE_INVALID close\n")),
               p11::Pkcs11Error);
}

TEST_F(Kdf2InAModule, IsTheOnlyUseOfItsMaster) {
  Pkcs11Builder builder{*session_, facts_};
  const p11::Key base = master();
  EXPECT_THROW(
      static_cast<void>(builder.derive_transport_key(base, "site-a", example_entry(), Kdf::KfKdf1)),
      p11::Pkcs11Error);
}

}  // namespace
}  // namespace keyferry::se
