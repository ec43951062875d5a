#include <gtest/gtest.h>

#include "appliance/gate/internal/backup_file.h"
#include "appliance/gate/shares.h"
#include "keyferry/v1/governance.pb.h"
#include "token/audit/checkpoint.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance {
namespace {

SecretBytes octets_of(std::uint8_t value) {
  SecretBytes key{kBackupKeyBytes};
  for (std::uint8_t& octet : key.expose_writable()) octet = value;
  return key;
}

/// An appliance in software: whoever owns its keys can sign what he likes, but the custodians' key is not his.
struct SoftAppliance {
  crypto::SoftKey log = crypto::SoftKey::generate();
  crypto::SoftKey outgoing = crypto::SoftKey::generate();
  crypto::SoftKey inbox = crypto::SoftKey::generate();

  [[nodiscard]] v1::BackupContent content(const SecretBytes& backup_key, const SecretBytes& mac_key) {
    const ApplianceId id = token::appliance_id_of(log.public_key());
    const token::ApplianceCard card{.appliance_id = id,
                                    .environment = token::Environment::Development,
                                    .name = "test",
                                    .log_key = log.public_key(),
                                    .export_key = outgoing.public_key(),
                                    .inbox_key = inbox.public_key()};
    const Bytes signed_card =
        token::encode(token::sign_payload(log, crypto::SignatureKind::ApplianceCard, token::serialise(card)));
    const std::string origin = "keyferry/" + id.hex().substr(0, 32);
    v1::BackupContent content;
    content.set_version(1);
    content.set_backup_id(std::string(16, 'b'));
    content.set_appliance_id(id.str());
    content.set_environment(v1::ENVIRONMENT_DEVELOPMENT);
    content.set_hsm_epoch(1);
    content.set_checkpoint(audit::sign_checkpoint(audit::checkpoint_text(origin, 3, crypto::sha256({})), origin, log));
    EXPECT_TRUE(content.mutable_card()->ParseFromString(to_string(signed_card)));
    content.set_registry("the registry");
    content.set_plan_digest(std::string(32, 'p'));
    content.set_backup_key_check(to_string(backup_key_check(backup_key)));
    content.set_shares_needed(2);
    content.set_shares(3);
    content.set_wrapped_mac_key(to_string(crypto::wrap_kwp(backup_key, mac_key)));
    for (const char* label : {"kf-ca/a", "kf-tk/m"}) {
      v1::BackedUpKey& key = *content.add_keys();
      key.set_label(label);
      key.set_wrapped(std::string(40, 'w'));
    }
    return content;
  }
};

class BackupFileTest : public ::testing::Test {
 protected:
  std::string opened(const Bytes& file) {
    const auto result = open_backup(key_, file);
    const auto* refusal = std::get_if<Refusal>(&result);
    return refusal == nullptr ? "opened" : refusal->reason;
  }

  SecretBytes key_ = octets_of(1);
  SecretBytes mac_key_ = octets_of(2);
  SoftAppliance appliance_;
};

TEST_F(BackupFileTest, OpensUnderTheCustodiansKey) {
  EXPECT_EQ(opened(encode_backup(appliance_.content(key_, mac_key_), mac_key_, appliance_.outgoing)), "opened");
}

TEST_F(BackupFileTest, AnotherRegistryNeedsTheMacKeyAndNotOnlyTheSignature) {
  v1::BackupContent forged = appliance_.content(key_, mac_key_);
  forged.set_registry("a registry with another officer");
  EXPECT_EQ(opened(encode_backup(forged, octets_of(3), appliance_.outgoing)), "backup-mac");
}

TEST_F(BackupFileTest, AnotherApplianceCannotTakeTheKeysOver) {
  SoftAppliance other;
  v1::BackupContent stolen = other.content(key_, mac_key_);
  *stolen.mutable_keys() = appliance_.content(key_, mac_key_).keys();
  EXPECT_EQ(opened(encode_backup(stolen, octets_of(3), other.outgoing)), "backup-mac");
}

TEST_F(BackupFileTest, AMacKeyThatIsNotWrappedUnderTheBackupKeyIsRefused) {
  v1::BackupContent forged = appliance_.content(key_, mac_key_);
  forged.set_wrapped_mac_key(to_string(crypto::wrap_kwp(octets_of(4), mac_key_)));
  EXPECT_EQ(opened(encode_backup(forged, mac_key_, appliance_.outgoing)), "backup-mac");
}

TEST_F(BackupFileTest, SharesOfAnotherKeyAreTold) {
  const Bytes file = encode_backup(appliance_.content(octets_of(5), mac_key_), mac_key_, appliance_.outgoing);
  EXPECT_EQ(opened(file), "backup-shares");
}

TEST_F(BackupFileTest, OnlyTheExportKeyOfItsCardSignsIt) {
  EXPECT_EQ(opened(encode_backup(appliance_.content(key_, mac_key_), mac_key_, appliance_.inbox)), "backup-signature");
}

TEST_F(BackupFileTest, KeysOutOfOrderOrTwiceAreRefused) {
  v1::BackupContent content = appliance_.content(key_, mac_key_);
  *content.add_keys() = content.keys(1);
  EXPECT_EQ(opened(encode_backup(content, mac_key_, appliance_.outgoing)), "backup-malformed");
}

TEST_F(BackupFileTest, NoCutAndNoFlippedBitIsTaken) {
  const Bytes file = encode_backup(appliance_.content(key_, mac_key_), mac_key_, appliance_.outgoing);
  for (std::size_t at = 0; at < file.size(); ++at) {
    EXPECT_NE(opened(Bytes{file.begin(), file.begin() + static_cast<std::ptrdiff_t>(at)}), "opened") << at;
    Bytes changed = file;
    changed[at] ^= 1;
    EXPECT_NE(opened(changed), "opened") << at;
  }
}

}  // namespace
}  // namespace keyferry::appliance
