#include "wrap/se/check_value.h"

#include <gtest/gtest.h>

#include "tests/support/softhsm_store.h"
#include "tests/wrap/se/example.h"
#include "wrap/crypto/cmac.h"
#include "wrap/crypto/kwp.h"
#include "wrap/se/kdf1.h"
#include "wrap/se/kdf2.h"
#include "wrap/se/pkcs11_builder.h"

namespace keyferry::se {
namespace {

using p11::KeyType;
using p11::ObjectClass;
using p11::Template;
using test_support::SoftHsmStore;

SecretBytes counting(std::size_t size_bytes = 32) {
  SecretBytes octets{size_bytes};
  std::uint8_t next = 0;
  for (std::uint8_t& octet : octets.expose_writable()) octet = next++;
  return octets;
}

Template inside() {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(KeyType::Aes)
      .token(false)
      .private_(true)
      .sensitive(true)
      .extractable(false);
}

class CheckValueTest : public ::testing::Test {
 protected:
  static const p11::TokenInfo& token() {
    static const p11::TokenInfo made = SoftHsmStore::shared().add_token("check-value");
    return made;
  }

  p11::Key master() {
    return session_->create_object(inside()
                                       .derive(true)
                                       .allowed_mechanisms({kdf_mechanism(Kdf::KfKdf1)})
                                       .secret_value(counting()));
  }

  p11::Key vendor_key(const SecretBytes& value) {
    return session_->create_object(
        inside().unwrap(true).allowed_mechanisms({*facts_.kwp}).secret_value(value));
  }

  std::unique_ptr<p11::Session> session_ = SoftHsmStore::shared().user_session(token());
  p11::ProbeResult facts_ = p11::probe(*session_);
  Pkcs11Builder builder_{*session_, facts_};
};

TEST(CheckValue, OfAMasterIsThatOfTheFormat) {
  EXPECT_EQ(to_hex(kf_kdf_1(counting(), kdf_check_input(), 32).expose()),
            in_format_md("kcv-key-1"));
  EXPECT_EQ(to_hex(kf_kdf_2(counting(), kdf_check_input(), 32).expose()),
            in_format_md("kcv-key-2"));
  EXPECT_EQ(to_hex(master_check_value(counting(), Kdf::KfKdf1)), in_format_md("kcv-1"));
  EXPECT_EQ(to_hex(master_check_value(counting(), Kdf::KfKdf2)), in_format_md("kcv-2"));
}

TEST(CheckValue, IsTakenOfMastersOf32OctetsOnly) {
  for (const Kdf kdf : {Kdf::KfKdf1, Kdf::KfKdf2}) {
    EXPECT_THROW(static_cast<void>(master_check_value(counting(16), kdf)), Error);
  }
}

TEST(CheckValue, OfAVendorKeyIsThatOfTheFormat) {
  const VendorKeyCheck check = check_vendor_key(counting());
  EXPECT_EQ(to_hex(vendor_check_constant().expose()), in_format_md("vendor-constant"));
  EXPECT_EQ(to_hex(check.check_value), in_format_md("vendor-check"));
  EXPECT_EQ(to_hex(check.proof), in_format_md("vendor-proof"));
  EXPECT_EQ(to_hex(vendor_check_constant_value()), in_format_md("constant-value"));
}

TEST_F(CheckValueTest, OfAMasterIsComputedInTheHsm) {
  const p11::Key base = master();
  const std::size_t before = session_->find({}).size();
  EXPECT_EQ(to_hex(master_check_value(*session_, base, Kdf::KfKdf1, facts_)),
            in_format_md("kcv-1"));
  EXPECT_EQ(session_->find({}).size(), before) << "the derived key is gone";
}

TEST_F(CheckValueTest, OfAMasterNeedsNoCmac) {
  p11::ProbeResult facts = facts_;
  facts.aes_cmac = false;
  EXPECT_EQ(to_hex(master_check_value(*session_, master(), Kdf::KfKdf1, facts)),
            in_format_md("kcv-1"));
}

TEST_F(CheckValueTest, WithoutCmacIsRightForAnyKey) {
  // The doubling of RFC 4493 has a carry for half of all keys.
  p11::ProbeResult facts = facts_;
  facts.aes_cmac = false;
  for (std::uint8_t i = 0; i < 8; ++i) {
    SecretBytes value = counting();
    value.expose_writable()[0] = static_cast<std::uint8_t>(0x50 + i);
    const p11::Key base = session_->create_object(inside().derive(true).secret_value(value));
    EXPECT_EQ(master_check_value(*session_, base, Kdf::KfKdf1, facts),
              master_check_value(value, Kdf::KfKdf1));
  }
}

TEST_F(CheckValueTest, OfATransportKeyIsTheSameInSoftware) {
  const p11::Key transport = session_->create_object(inside().wrap(true).secret_value(counting()));
  EXPECT_EQ(builder_.transport_check_value(transport), transport_check_value(counting()));
}

TEST_F(CheckValueTest, AProofOpensUnderItsVendorKeyOnly) {
  const VendorKeyCheck check = check_vendor_key(counting());
  EXPECT_TRUE(builder_.opens_vendor_proof(Delivery::AesKwp, vendor_key(counting()), check.proof));
  SecretBytes other = counting();
  other.expose_writable()[31] ^= 1;
  EXPECT_FALSE(builder_.opens_vendor_proof(Delivery::AesKwp, vendor_key(other), check.proof));
  Bytes another_key = crypto::wrap_kwp(counting(), counting());
  EXPECT_FALSE(builder_.opens_vendor_proof(Delivery::AesKwp, vendor_key(counting()), another_key))
      << "the key opens it, but to something else";
}

}  // namespace
}  // namespace keyferry::se
