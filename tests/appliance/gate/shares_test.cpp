#include "appliance/gate/shares.h"

#include <gtest/gtest.h>

#include <cctype>
#include <fstream>

#include "appliance/gate/pin_custody.h"
#include "appliance/gate/share_files.h"
#include "tests/support/no_terminal.h"
#include "tests/support/temp_folder.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
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
  std::string text = text_of(share_text(ShareKind::BackupKey, shares[1], 2, {2, 3}));
  for (const bool windows : {false, true}) {
    if (windows) {
      for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos; at += 2) text.insert(at, 1, '\r');
    }
    const auto parsed = parse_share_text(secret_text(text));
    ASSERT_TRUE(std::holds_alternative<ShareFile>(parsed));
    const auto& file = std::get<ShareFile>(parsed);
    EXPECT_EQ(file.kind, ShareKind::BackupKey);
    EXPECT_EQ(file.number, 2U);
    EXPECT_EQ(file.counts, (ShareCounts{2, 3}));
    EXPECT_EQ(file.check_value, backup_key_check(counting_key()));
    EXPECT_TRUE(equal(file.share.expose(), shares[1].expose()));
  }
}

TEST(BackupShareText, AMistypedDigitAndAMissingLineAreRefused) {
  const std::string text = text_of(share_text(ShareKind::BackupKey, split_backup_key(counting_key(), {2, 3})[0], 1, {2, 3}));
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '\n') continue;
    std::string changed = text;
    changed[at] = changed[at] == '7' ? '6' : '7';
    const auto parsed = parse_share_text(secret_text(changed));
    EXPECT_TRUE(std::holds_alternative<Refusal>(parsed)) << at;
  }
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_share_text(secret_text(text.substr(0, text.find("line 9"))))));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_share_text(secret_text(""))));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_share_text(SecretBytes{kMaxShareFileBytes + 1})));
}

TEST(BackupShareText, TheFormOfBeforeIsReadAsItWas) {
  // As the version before wrote them, of the key 01 02 ... 20.
  const std::string old =
      "keyferry-backup-share 1\nshare 1\nof 3\nneeded 2\ncheck 60136eabbdccdcfb761675130d835105\ndata ";
  const SecretBytes share = SecretBytes::copy_of(split_backup_key(counting_key(), {2, 3})[0].expose());
  const Digest sum = crypto::sha256_of({as_bytes("keyferry/v1/backup-share"), ByteView{}, share.expose()});
  const std::string text = old + to_hex(share.expose()) + "\nsum " + to_hex(sum.bytes().first(8)) + "\n";
  const auto parsed = parse_share_text(secret_text(text));
  ASSERT_TRUE(std::holds_alternative<ShareFile>(parsed)) << std::get<Refusal>(parsed).text;
  EXPECT_TRUE(equal(std::get<ShareFile>(parsed).share.expose(), share.expose()));
  std::string changed = text;
  changed[text.find("data") + 60] = changed[text.find("data") + 60] == '7' ? '6' : '7';
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_share_text(secret_text(changed))));
}

class PinShares : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<SecretBytes> split(ShareKind kind, ShareCounts counts) const {
    return split_pin_seed(kind, seed_, set_, counts);
  }

  SecretBytes seed_ = SecretBytes::copy_of(as_bytes("0123456789abcdef"));
  Bytes set_ = Bytes(kShareSetIdBytes, 0x5a);
};

TEST_F(PinShares, EveryPairOfThreeGivesThePinBack) {
  const auto shares = split(ShareKind::UserPin, {2, 3});
  for (const auto& which : {std::initializer_list<std::size_t>{0, 1}, {0, 2}, {2, 1}}) {
    const auto combined = combine_pin_seed(ShareKind::UserPin, some_of(shares, which));
    ASSERT_TRUE(std::holds_alternative<SecretBytes>(combined));
    EXPECT_TRUE(equal(std::get<SecretBytes>(combined).expose(), seed_.expose()));
  }
  EXPECT_EQ(refusal_of(combine_pin_seed(ShareKind::UserPin, some_of(shares, {0}))), "share-missing");
  EXPECT_EQ(refusal_of(combine_pin_seed(ShareKind::UserPin, some_of(shares, {1, 1}))), "share-twice");
}

TEST_F(PinShares, AShareOfTheSoPinNeverCountsForTheUserPin) {
  auto mixed = some_of(split(ShareKind::UserPin, {2, 3}), {0});
  mixed.push_back(std::move(some_of(split(ShareKind::SoPin, {2, 3}), {1}).front()));
  EXPECT_EQ(refusal_of(combine_pin_seed(ShareKind::UserPin, mixed)), "share-wrong");
  EXPECT_EQ(refusal_of(combine_pin_seed(ShareKind::UserPin, split(ShareKind::SoPin, {2, 3}))), "share-wrong");
}

TEST_F(PinShares, ThePinIsTheSeedInTwentySixLetters) {
  // python3: base64.b32encode(b"0123456789abcdef").decode().lower().rstrip("=")
  EXPECT_EQ(text_of(pin_of_seed(seed_)), "gaytemzugu3doobzmfrggzdfmy");
}

TEST_F(PinShares, AChangedCharacterIsNamedByShareAndLine) {
  const auto shares = split(ShareKind::UserPin, {2, 3});
  const std::string text = text_of(share_text(ShareKind::UserPin, shares[1], 2, {2, 3}));
  ASSERT_TRUE(std::holds_alternative<ShareFile>(parse_share_text(secret_text(text))));
  for (unsigned line = 1; line <= 8; ++line) {
    std::string changed = text;
    char& digit = changed[text.find("line " + std::to_string(line)) + 9];
    digit = digit == 'a' ? 'b' : 'a';
    const auto parsed = parse_share_text(secret_text(changed));
    ASSERT_TRUE(std::holds_alternative<Refusal>(parsed));
    const std::string said = std::get<Refusal>(parsed).text;
    EXPECT_NE(said.find("share 2: line " + std::to_string(line)), std::string::npos) << said;
  }
}

TEST_F(PinShares, AreTypedInCapitalsWithoutBlanksAndALineAgain) {
  const auto shares = split(ShareKind::SoPin, {3, 5});
  ShareTyping typing;
  for (const SecretBytes& line : share_lines(ShareKind::SoPin, shares[4], 5)) {
    std::string typed;
    for (const char c : text_of(line)) {
      if (c != ' ') typed += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    std::string wrong = typed;
    std::swap(wrong[2], wrong[wrong[2] == wrong[9] ? 10 : 9]);
    EXPECT_TRUE(wrong == typed || typing.add(secret_text(wrong)));
    EXPECT_TRUE(typing.add(secret_text(typed.substr(1))));
    EXPECT_FALSE(typing.add(secret_text(typed)));
  }
  ASSERT_TRUE(typing.complete());
  const auto taken = typing.take();
  ASSERT_TRUE(std::holds_alternative<ShareFile>(taken));
  const auto& file = std::get<ShareFile>(taken);
  EXPECT_EQ(file.kind, ShareKind::SoPin);
  EXPECT_EQ(file.number, 5U);
  EXPECT_EQ(file.counts, (ShareCounts{3, 5}));
  EXPECT_TRUE(equal(file.share.expose(), shares[4].expose()));
}

TEST_F(PinShares, LinesOfTwoSharesAreNoShare) {
  const auto shares = split(ShareKind::UserPin, {2, 3});
  const auto first = share_lines(ShareKind::UserPin, shares[0], 3);
  const auto second = share_lines(ShareKind::UserPin, shares[1], 3);
  ShareTyping typing;
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_FALSE(typing.add(i == 5 ? second[i] : first[i]));
  const auto taken = typing.take();
  ASSERT_TRUE(std::holds_alternative<Refusal>(taken));
  EXPECT_EQ(std::get<Refusal>(taken).reason, "share-malformed");
}

class PinSharingFile : public ::testing::Test {
 protected:
  test::TempFolder folder_;
  std::filesystem::path settings_ = folder_.path() / "gate.toml";
  PinSharing first_{2, 3, Bytes(kShareSetIdBytes, 1)}, second_{3, 5, Bytes(kShareSetIdBytes, 2)};
};

TEST_F(PinSharingFile, SaysWhichSetOpensTheHsmAndHowFarAChangeHasCome) {
  EXPECT_EQ(read_pin_sharing(settings_), PinSharingRecord{});
  for (const PinChangeStage stage : {PinChangeStage::HandedOut, PinChangeStage::Begun, PinChangeStage::SoDone, PinChangeStage::UserDone}) {
    const PinSharingRecord record{first_, second_, stage};
    write_pin_sharing(settings_, record);
    EXPECT_EQ(read_pin_sharing(settings_), record);
  }
}

TEST_F(PinSharingFile, IsRefusedWhenItDoesNotReadWell) {
  const std::string id(32, '0');
  for (const std::string& text : {std::string{"x\n"}, "keyferry-pin-sharing 1\ncurrent " + id + " 1/3\n",
                                  "keyferry-pin-sharing 1\nnext " + id + " 2/3 begun\n",
                                  "keyferry-pin-sharing 1\ncurrent " + id + " 2/3\nnext " + id + " 2/3 soon\n",
                                  "keyferry-pin-sharing 1\ncurrent " + id.substr(2) + " 2/3\n"}) {
    write_file_durably(pin_sharing_file(settings_), as_bytes(text), Overwrite::Replace);
    EXPECT_THROW(static_cast<void>(read_pin_sharing(settings_)), Error) << text;
  }
}

class PinCustody : public PinSharingFile {
 protected:
  PinCustody() {
    test::leave_terminal();
    options_ = {.settings_file = settings_, .appliance = "demo", .targets = {}, .custodians = {}, .share_tokens = {}};
  }

  std::filesystem::path file(ShareKind kind, unsigned number) {
    return options_.targets.folders.front() / share_file_name(kind, "demo", number, {2, 3});
  }

  PinPair first() {
    options_.targets.folders = {folder_.path() / "first"};
    std::vector<GivenShare> none;
    return first_pins(options_, {2, 3}, none);
  }

  std::vector<GivenShare> brought(ShareKind kind, std::initializer_list<unsigned> numbers) {
    std::vector<std::filesystem::path> files;
    for (const unsigned number : numbers) files.push_back(file(kind, number));
    return read_given_shares(files, {});
  }

  std::string refusal_to_log_in(std::vector<GivenShare> given) {
    try {
      static_cast<void>(pin_for_login(options_, given));
    } catch (const Error& error) {
      return error.what();
    }
    return "opened";
  }

  PinCustodyOptions options_;
};

TEST_F(PinCustody, MakesTwoPinsWhoseSharesAreNotedAndGiveThemBack) {
  const PinPair pins = first();
  EXPECT_EQ(read_pin_sharing(settings_).current, pins.sharing);
  EXPECT_FALSE(equal(pins.user_pin.expose(), pins.so_pin.expose()));
  auto given = brought(ShareKind::UserPin, {3, 1});
  EXPECT_TRUE(equal(pin_for_login(options_, given).user_pin.expose(), pins.user_pin.expose()));
}

TEST_F(PinCustody, GoesOnWithTheSharesOfATryThatWasCutOff) {
  const PinPair pins = first();
  const PinPair again = first();
  EXPECT_EQ(again.sharing, pins.sharing);
  EXPECT_TRUE(equal(again.so_pin.expose(), pins.so_pin.expose()));
  std::filesystem::remove(pin_sharing_file(settings_));  // as if cut before it was noted: the set is whole
  EXPECT_EQ(first().sharing, pins.sharing);
  std::filesystem::remove(pin_sharing_file(settings_));
  std::filesystem::remove(file(ShareKind::SoPin, 2));
  EXPECT_NE(first().sharing, pins.sharing) << "no HSM has heard of a half set";
}

TEST_F(PinCustody, RefusesFewerOnesTwiceOthersAndTheSoSharesAlone) {
  static_cast<void>(first());
  EXPECT_NE(refusal_to_log_in(brought(ShareKind::UserPin, {2})).find("1 shares of the user PIN were given, 2 are needed"), std::string::npos);
  EXPECT_NE(refusal_to_log_in(brought(ShareKind::UserPin, {2, 2})).find("share 2 of the user PIN"), std::string::npos);
  EXPECT_NE(refusal_to_log_in(brought(ShareKind::SoPin, {1, 2, 3})).find("0 shares of the user PIN were given"), std::string::npos);
  write_pin_sharing(settings_, {first_, std::nullopt, PinChangeStage::HandedOut});
  const std::string other = refusal_to_log_in(brought(ShareKind::UserPin, {1, 2}));
  EXPECT_NE(other.find("share 1 of the user PIN"), std::string::npos) << other;
  EXPECT_NE(other.find("the HSM's is 01010101"), std::string::npos) << other;
}

TEST_F(PinCustody, AChangeNeverWritesOverTheSharesInUse) {
  const PinPair pins = first();
  std::vector<GivenShare> none;
  EXPECT_THROW(static_cast<void>(new_pins(options_, {2, 3}, none)), Error);
  options_.targets.folders = {folder_.path() / "second"};
  const NewPins changed = new_pins(options_, {2, 3}, none);
  EXPECT_NE(changed.pins.sharing, pins.sharing);
  EXPECT_EQ(read_pin_sharing(settings_).next, changed.pins.sharing);
  EXPECT_EQ(read_pin_sharing(settings_).current, pins.sharing);
}

TEST_F(PinCustody, TheStageOfAChangeSaysWhichSharesOpen) {
  const PinPair before = first();
  options_.targets.folders = {folder_.path() / "second"};
  std::vector<GivenShare> none;
  const NewPins changed = new_pins(options_, {2, 3}, none);
  const auto opened = [&](PinChangeStage stage, unsigned first_file, const char* folder) {
    write_pin_sharing(settings_, {before.sharing, changed.pins.sharing, stage});
    options_.targets.folders = {folder_.path() / folder};
    auto given = brought(ShareKind::UserPin, {first_file, 3});
    return pin_for_login(options_, given).sharing;
  };
  EXPECT_EQ(opened(PinChangeStage::Begun, 1, "first"), before.sharing);
  EXPECT_THROW(static_cast<void>(opened(PinChangeStage::Begun, 1, "second")), Error);
  EXPECT_EQ(opened(PinChangeStage::SoDone, 1, "first"), before.sharing);
  EXPECT_EQ(opened(PinChangeStage::SoDone, 1, "second"), changed.pins.sharing);
  EXPECT_EQ(opened(PinChangeStage::UserDone, 2, "second"), changed.pins.sharing);
  EXPECT_THROW(static_cast<void>(opened(PinChangeStage::UserDone, 1, "first")), Error);
}

TEST(BackupShareCounts, AreMOfNWithMAtLeastTwo) {
  EXPECT_EQ(parse_share_counts("2/3"), (ShareCounts{2, 3}));
  for (const char* text : {"", "2", "1/3", "4/3", "2/99", "2/3/4", "a/b", "2/ 3", "0/0"}) {
    EXPECT_THROW(static_cast<void>(parse_share_counts(text)), Error) << text;
  }
}

TEST(BackupShareFiles, AWholeSetIsReadAgainAndAHalfOneIsMadeAnew) {
  const test::TempFolder folder;
  const auto first = make_share_files({folder.path() / "shares"}, {2, 3}, "demo");
  const auto again = make_share_files({folder.path() / "shares"}, {2, 3}, "demo");
  EXPECT_EQ(first.check_value, again.check_value);
  std::filesystem::remove(folder.path() / "shares" / share_file_name(ShareKind::BackupKey, "demo", 2, {2, 3}));
  const auto anew = make_share_files({folder.path() / "shares"}, {2, 3}, "demo");
  EXPECT_NE(first.check_value, anew.check_value) << "no HSM has seen the key of a half set";
  EXPECT_EQ(anew.shares.size(), 2U);
}

TEST(BackupShareFiles, GoToOneFolderOrToOneForEachCustodian) {
  const test::TempFolder folder;
  const std::vector<std::filesystem::path> media{folder.path() / "a", folder.path() / "b", folder.path() / "c"};
  static_cast<void>(make_share_files(media, {2, 3}, "demo"));
  for (unsigned number = 1; number <= 3; ++number) {
    EXPECT_TRUE(std::filesystem::exists(media[number - 1] / share_file_name(ShareKind::BackupKey, "demo", number, {2, 3})));
  }
  EXPECT_THROW(static_cast<void>(make_share_files({media[0], media[1]}, {2, 3}, "demo")), Error);
  EXPECT_THROW(static_cast<void>(make_share_files({}, {2, 3}, "demo")), Error);
}

}  // namespace
}  // namespace keyferry::appliance
