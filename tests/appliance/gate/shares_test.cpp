#include "appliance/gate/shares.h"

#include <gtest/gtest.h>

#include <fstream>

#include "appliance/gate/share_files.h"
#include "tests/support/temp_folder.h"
#include "wrap/crypto/kwp.h"

namespace keyferry::appliance {
namespace {

SecretBytes counting_key() {
  SecretBytes key{kBackupKeyBytes};
  std::uint8_t next = 1;
  for (std::uint8_t& octet : key.expose_writable()) octet = next++;
  return key;
}

std::vector<SecretBytes> some_of(const std::vector<SecretBytes>& shares, std::initializer_list<std::size_t> which) {
  std::vector<SecretBytes> chosen;
  for (const std::size_t i : which) chosen.push_back(SecretBytes::copy_of(shares.at(i).expose()));
  return chosen;
}

std::string refusal_of(std::variant<SecretBytes, Refusal> combined) {
  const auto* refusal = std::get_if<Refusal>(&combined);
  return refusal == nullptr ? "" : refusal->reason;
}

std::string text_of(const SecretBytes& secret) { return std::string{as_chars(secret.expose())}; }

SecretBytes secret_text(const std::string& text) { return SecretBytes::copy_of(as_bytes(text)); }

TEST(BackupShares, AnyTwoOfThreeGiveTheKeyBack) {
  const auto shares = split_backup_key(counting_key(), {2, 3});
  for (const auto& which : {std::initializer_list<std::size_t>{0, 1}, {0, 2}, {2, 1}, {0, 1, 2}}) {
    const auto combined = combine_shares(some_of(shares, which));
    ASSERT_TRUE(std::holds_alternative<SecretBytes>(combined));
    EXPECT_TRUE(equal(std::get<SecretBytes>(combined).expose(), counting_key().expose()));
  }
}

TEST(BackupShares, FewerThanNeededGiveNothing) {
  const auto shares = split_backup_key(counting_key(), {3, 5});
  EXPECT_EQ(refusal_of(combine_shares(some_of(shares, {0, 4}))), "share-missing");
  EXPECT_EQ(refusal_of(combine_shares({})), "share-missing");
}

TEST(BackupShares, OneShareGivenTwiceCountsOnce) {
  const auto shares = split_backup_key(counting_key(), {2, 3});
  EXPECT_EQ(refusal_of(combine_shares(some_of(shares, {1, 1}))), "share-twice");
}

TEST(BackupShares, SharesOfDifferentKeysAreNotMixed) {
  auto shares = some_of(split_backup_key(counting_key(), {2, 3}), {0});
  SecretBytes other = counting_key();
  other.expose_writable()[0] ^= 1;
  shares.push_back(std::move(some_of(split_backup_key(other, {2, 3}), {1}).front()));
  EXPECT_EQ(refusal_of(combine_shares(shares)), "share-mixed");
}

TEST(BackupShares, AnyChangedOctetIsNoticed) {
  const auto shares = split_backup_key(counting_key(), {2, 2});
  for (std::size_t at = 0; at < shares[0].size(); ++at) {
    auto chosen = some_of(shares, {0, 1});
    chosen[0].expose_writable()[at] ^= 0x20;
    EXPECT_NE(refusal_of(combine_shares(chosen)), "") << at;
  }
}

TEST(BackupShares, TheCheckValueIsThatOfTheWrappedConstant) {
  const Bytes blob = crypto::wrap_kwp(counting_key(), backup_check_constant());
  EXPECT_EQ(backup_check_of_blob(blob), backup_key_check(counting_key()));
  // By openssl enc -id-aes256-wrap-pad over SHA-256("keyferry/v1/backup-key-check"), key 01 02 ... 20; then sha256sum.
  EXPECT_EQ(to_hex(backup_key_check(counting_key())), "60136eabbdccdcfb761675130d835105");
}

TEST(BackupShareText, GoesThereAndBackAlsoWithTheLineEndsOfOtherSystems) {
  const auto shares = split_backup_key(counting_key(), {2, 3});
  std::string text = text_of(share_text(shares[1], 2, {2, 3}));
  for (const bool windows : {false, true}) {
    if (windows) {
      for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.insert(at, 1, '\r');
    }
    const auto parsed = parse_share_text(secret_text(text));
    ASSERT_TRUE(std::holds_alternative<ShareFile>(parsed));
    const auto& file = std::get<ShareFile>(parsed);
    EXPECT_EQ(file.number, 2U);
    EXPECT_EQ(file.counts, (ShareCounts{2, 3}));
    EXPECT_EQ(file.check_value, backup_key_check(counting_key()));
    EXPECT_TRUE(equal(file.share.expose(), shares[1].expose()));
  }
}

TEST(BackupShareText, AMistypedDigitAndAMissingLineAreRefused) {
  const std::string text = text_of(share_text(split_backup_key(counting_key(), {2, 3})[0], 1, {2, 3}));
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\n') continue;
    std::string changed = text;
    changed[at] = changed[at] == '7' ? '6' : '7';
    const auto parsed = parse_share_text(secret_text(changed));
    const std::string line = text.substr(text.substr(0, at).rfind('\n') + 1);
    // The numbers are for people; the share itself says how many are needed.
    if (line.starts_with("share ") || line.starts_with("of ") || line.starts_with("needed ")) continue;
    EXPECT_TRUE(std::holds_alternative<Refusal>(parsed)) << at;
  }
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_share_text(secret_text(text.substr(0, text.find("sum"))))));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_share_text(secret_text(""))));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_share_text(SecretBytes{kMaxShareFileBytes + 1})));
}

TEST(BackupShareCounts, AreMOfNWithMAtLeastTwo) {
  EXPECT_EQ(parse_share_counts("2/3"), (ShareCounts{2, 3}));
  for (const char* text : {"", "2", "1/3", "4/3", "2/99", "2/3/4", "a/b", "2/ 3", "0/0"}) {
    EXPECT_THROW(static_cast<void>(parse_share_counts(text)), Error) << text;
  }
}

TEST(BackupShareFiles, AWholeSetIsReadAgainAndAHalfOneIsMadeAnew) {
  const test::TempFolder folder;
  const auto first = make_share_files(folder.path() / "shares", {2, 3}, "demo");
  const auto again = make_share_files(folder.path() / "shares", {2, 3}, "demo");
  EXPECT_EQ(first.check_value, again.check_value);
  std::filesystem::remove(folder.path() / "shares" / share_file_name("demo", 2, {2, 3}));
  const auto anew = make_share_files(folder.path() / "shares", {2, 3}, "demo");
  EXPECT_NE(first.check_value, anew.check_value) << "no HSM has seen the key of a half set";
  EXPECT_EQ(anew.shares.size(), 2U);
}

}  // namespace
}  // namespace keyferry::appliance
