// kf-backup on a real SoftHSM: what a taken-over worker could do with the keys that may be backed up.
#include "appliance/gate/backup_key.h"

#include <gtest/gtest.h>

#include "appliance/gate/shares.h"
#include "tests/support/softhsm_store.h"
#include "wrap/crypto/kwp.h"
#include "wrap/p11/error.h"

namespace keyferry::appliance {
namespace {

using p11::Attribute;
using p11::Mechanism;
using p11::Template;
using test_support::kSoPin;
using test_support::kUserPin;
using test_support::pin;

SecretBytes key_octets() {
  SecretBytes key{kBackupKeyBytes};
  std::uint8_t next = 7;
  for (std::uint8_t& octet : key.expose_writable()) octet = next++;
  return key;
}

template <typename Call>
std::string rv_of(const Call& call) {
  try {
    call();
  } catch (const p11::Pkcs11Error& error) {
    return p11::rv_name(error.rv());
  }
  return "CKR_OK";
}

class WithBackupKey : public ::testing::Test {
 protected:
  WithBackupKey() {
    static int number = 0;
    token_ = store().add_token("backup-" + std::to_string(number++));
    session_ = std::make_unique<p11::Session>(store().module(), token_.slot, p11::Access::ReadWrite);
    make_backup_key(*session_, pin(kSoPin), pin(kUserPin), key_octets());
    session_->login_or_throw(p11::Role::User, pin(kUserPin));
    make_role_key(*session_, KeyRole::TransportMaster, "m");
    make_role_key(*session_, KeyRole::CertificateAuthority, "ca");
    make_role_key(*session_, KeyRole::Log, "");
  }

  static test_support::SoftHsmStore& store() { return test_support::SoftHsmStore::shared(); }

  [[nodiscard]] p11::ObjectHandle master() { return find_role_key(*session_, KeyRole::TransportMaster, "m"); }
  [[nodiscard]] p11::ObjectHandle backup() { return find_role_key(*session_, KeyRole::Backup, ""); }

  [[nodiscard]] p11::Key own_wrapping_key(bool token) {
    return session_->create_object(Template{}
                                       .object_class(p11::ObjectClass::SecretKey)
                                       .key_type(p11::KeyType::Aes)
                                       .token(token)
                                       .private_(true)
                                       .label("mine")
                                       .wrap(true)
                                       .secret_value(key_octets()));
  }

  p11::TokenInfo token_;
  std::unique_ptr<p11::Session> session_;
};

TEST_F(WithBackupKey, WrapsAMasterAndTheCustodiansKeyOpensIt) {
  const Bytes blob = session_->wrap(Mechanism::AesKeyWrapPad, backup(), master());
  const auto opened = crypto::unwrap_kwp(key_octets(), blob);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->size(), 32U);
}

TEST_F(WithBackupKey, NoKeyThatIsNotTrustedWrapsAMasterOrACa) {
  for (const bool token : {false, true}) {
    const p11::Key mine = own_wrapping_key(token);
    EXPECT_EQ(rv_of([&] { static_cast<void>(session_->wrap(Mechanism::AesKeyWrapPad, mine, master())); }),
              "CKR_KEY_NOT_WRAPPABLE");
    EXPECT_EQ(rv_of([&] {
                static_cast<void>(session_->wrap(Mechanism::AesKeyWrapPad, mine,
                                                 find_role_key(*session_, KeyRole::CertificateAuthority, "ca")));
              }),
              "CKR_KEY_NOT_WRAPPABLE");
  }
}

TEST_F(WithBackupKey, TheUserMakesNoKeyTrusted) {
  const p11::Key mine = own_wrapping_key(false);
  EXPECT_NE(rv_of([&] { session_->set_attributes(mine, Template{}.trusted(true)); }), "CKR_OK");
  EXPECT_NE(rv_of([&] {
              static_cast<void>(session_->create_object(Template{}
                                                            .object_class(p11::ObjectClass::SecretKey)
                                                            .key_type(p11::KeyType::Aes)
                                                            .token(false)
                                                            .wrap(true)
                                                            .trusted(true)
                                                            .secret_value(key_octets())));
            }),
            "CKR_OK");
}

TEST_F(WithBackupKey, ACopyOfKfBackupCanDoNothingMore) {
  for (const Template& change : {Template{}.unwrap(true), Template{}.decrypt(true), Template{}.extractable(true),
                                 Template{}.sensitive(false), Template{}.modifiable(true)}) {
    EXPECT_NE(rv_of([&] { static_cast<void>(session_->copy_object(backup(), change)); }), "CKR_OK");
    EXPECT_NE(rv_of([&] { session_->set_attributes(backup(), change); }), "CKR_OK");
  }
}

TEST_F(WithBackupKey, ACopyOfAMasterDoesNotLoseWrapWithTrusted) {
  EXPECT_NE(rv_of([&] { static_cast<void>(session_->copy_object(master(), Template{}.wrap_with_trusted(false))); }), "CKR_OK");
  EXPECT_NE(rv_of([&] { session_->set_attributes(master(), Template{}.wrap_with_trusted(false)); }), "CKR_OK");
}

TEST_F(WithBackupKey, TheLogKeyNeverLeaves) {
  EXPECT_EQ(rv_of([&] {
              static_cast<void>(session_->wrap(Mechanism::AesKeyWrapPad, backup(), find_role_key(*session_, KeyRole::Log, "")));
            }),
            "CKR_KEY_UNEXTRACTABLE");
}

TEST_F(WithBackupKey, IsPrivateAndItsCheckValueIsTheOneOfItsShares) {
  EXPECT_TRUE(session_->read_bool(backup(), Attribute::Private).is(true)) << "else SoftHSM keeps it in the clear";
  EXPECT_EQ(backup_key_check_in(*session_, Mechanism::AesKeyWrapPad), backup_key_check(key_octets()));
}

TEST_F(WithBackupKey, TheRoleTableIsContent) {
  EXPECT_TRUE(check_roles(*session_).drift.empty());
  EXPECT_TRUE(check_roles(*session_).strangers.empty());
}

TEST_F(WithBackupKey, AMasterThatAnyKeyCouldWrapIsDrift) {
  destroy_role_key(*session_, KeyRole::TransportMaster, "m");
  Template bare = private_template(key_role(KeyRole::TransportMaster), "kf-tk/m", std::nullopt, BackupKey::Present);
  static_cast<void>(session_->generate_aes(bare.wrap_with_trusted(false)));
  const RoleCheck check = check_roles(*session_);
  ASSERT_EQ(check.drift.size(), 1U);
  EXPECT_NE(check.drift.front().find("CKA_WRAP_WITH_TRUSTED"), std::string::npos) << check.drift.front();
}

TEST_F(WithBackupKey, AKfBackupThatIsNotTrustedIsDrift) {
  destroy_role_key(*session_, KeyRole::Backup, "");
  Template weak = private_template(key_role(KeyRole::Backup), "kf-backup");
  weak.remove(Attribute::Trusted).remove(Attribute::ValueLen).private_(true).unwrap(true).secret_value(key_octets());
  static_cast<void>(session_->create_object(weak));
  const RoleCheck check = check_roles(*session_);
  ASSERT_EQ(check.drift.size(), 1U);
  EXPECT_NE(check.drift.front().find("CKA_TRUSTED"), std::string::npos) << check.drift.front();
  EXPECT_NE(check.drift.front().find("CKA_UNWRAP"), std::string::npos) << check.drift.front();
}

TEST_F(WithBackupKey, WithoutKfBackupAnExtractableMasterIsDrift) {
  destroy_role_key(*session_, KeyRole::Backup, "");
  EXPECT_EQ(check_roles(*session_).drift.size(), 2U) << "master and CA";
}

}  // namespace
}  // namespace keyferry::appliance
