#include "token/audit/checkpoint.h"

#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "token/audit/merkle.h"
#include "wrap/base/base64.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::audit {
namespace {

constexpr std::string_view kName = "keyferry/0123abcd";

std::string reason(const auto& result) {
  const auto* refusal = std::get_if<Refusal>(&result);
  return refusal != nullptr ? refusal->reason : "";
}

std::string text_of_size(std::uint64_t size) {
  return checkpoint_text(kName, size, leaf_hash(as_bytes("x")));
}

TEST(CheckpointText, IsOriginSizeAndRoot) {
  EXPECT_EQ(
      checkpoint_text(
          "example.com/behind-the-sofa",
          20852163,
          *Digest::from_bytes(*from_base64("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="))),
      "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n");
}

TEST(CheckpointText, ComesBackFromItsText) {
  for (const std::uint64_t size :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{10}, ~std::uint64_t{0}}) {
    const auto parsed = parse_checkpoint_text(text_of_size(size));
    ASSERT_EQ(reason(parsed), "") << size;
    EXPECT_EQ(std::get<Checkpoint>(parsed),
              (Checkpoint{std::string{kName}, size, leaf_hash(as_bytes("x"))}));
  }
}

TEST(CheckpointText, KeepsExtensionLines) {
  const auto parsed = parse_checkpoint_text(text_of_size(1) + "one\ntwo 2\n");
  ASSERT_EQ(reason(parsed), "");
  EXPECT_EQ(std::get<Checkpoint>(parsed).extensions, (std::vector<std::string>{"one", "two 2"}));
  EXPECT_EQ(checkpoint_digest(std::get<Checkpoint>(parsed)),
            crypto::sha256(as_bytes(text_of_size(1) + "one\ntwo 2\n")));
}

TEST(CheckpointText, RefusesWhatIsNotOfTheForm) {
  const std::string root = to_base64(empty_root().bytes());
  for (const std::string& bad :
       std::initializer_list<std::string>{std::string{},
                                          std::string{"\n"},
                                          "log\n0\n" + root,
                                          "log\n0\n",
                                          "log\n\n" + root + "\n",
                                          "\n0\n" + root + "\n",
                                          "log\n00\n" + root + "\n",
                                          "log\n01\n" + root + "\n",
                                          "log\n+1\n" + root + "\n",
                                          "log\n-1\n" + root + "\n",
                                          "log\n 1\n" + root + "\n",
                                          "log\n1 \n" + root + "\n",
                                          "log\n0x1\n" + root + "\n",
                                          "log\n18446744073709551616\n" + root + "\n",
                                          "log\n0\nAAAA\n",
                                          "log\n0\n*" + root + "\n",
                                          "log\n0\n" + root + "\n\n",
                                          "log\n0\n" + root + "\n\nx\n",
                                          "l og\n0\n" + root + "\n"}) {
    EXPECT_EQ(reason(parse_checkpoint_text(bad)), "checkpoint-malformed") << bad;
  }
}

TEST(Checkpoint, IsAcceptedAsItWasSigned) {
  auto key = crypto::SoftKey::generate();
  const std::string note = sign_checkpoint(text_of_size(42), kName, key);
  const auto verified = verify_checkpoint(note, kName, key.public_key());
  ASSERT_EQ(reason(verified), "");
  EXPECT_EQ(std::get<Checkpoint>(verified).size, 42U);
  EXPECT_EQ(std::get<Checkpoint>(verified).origin, kName);
  EXPECT_EQ(std::get<Checkpoint>(verified).root, leaf_hash(as_bytes("x")));
}

TEST(Checkpoint, HasASignatureThatOpensslVerifiesOverTheText) {
  auto key = crypto::SoftKey::generate();
  const std::string note = sign_checkpoint(text_of_size(7), kName, key);
  // Taken apart by hand, as the standard describes the form, without parse_note.
  const std::size_t split = note.find("\n\n");
  const std::string line = note.substr(split + 2, note.size() - split - 3);
  ASSERT_TRUE(line.starts_with("\xe2\x80\x94 " + std::string{kName} + " "));
  const Bytes octets = *from_base64(line.substr(line.rfind(' ') + 1));
  EXPECT_EQ(to_hex(ByteView{octets}.first(4)),
            crypto::sha256(key.public_key().spki_der()).hex().substr(0, 8));

  const keyferry::test::TempFolder folder;
  write_file_durably(folder / "text", as_bytes(note.substr(0, split + 1)), Overwrite::Refuse);
  write_file_durably(folder / "signature", ByteView{octets}.subspan(4), Overwrite::Refuse);
  write_file_durably(folder / "key.der", key.public_key().spki_der(), Overwrite::Refuse);
  const auto result =
      keyferry::test::run_command("cd " + folder.path().string() +
                                  " && openssl dgst -sha256 -verify key.der -keyform DER"
                                  " -signature signature text");
  EXPECT_EQ(result.status, 0) << result.output;
}

TEST(Checkpoint, IsRefusedForAnotherNameOrKey) {
  auto key = crypto::SoftKey::generate();
  const auto other = crypto::SoftKey::generate();
  const std::string note = sign_checkpoint(text_of_size(1), kName, key);
  EXPECT_EQ(reason(verify_checkpoint(note, "keyferry/other", key.public_key())),
            "checkpoint-unsigned");
  EXPECT_EQ(reason(verify_checkpoint(note, kName, other.public_key())), "checkpoint-unsigned");
}

TEST(Checkpoint, IsRefusedWhenAnythingInItWasChanged) {
  auto key = crypto::SoftKey::generate();
  const std::string note = sign_checkpoint(text_of_size(42), kName, key);
  for (std::size_t at = 0; at < note.size(); ++at) {
    std::string changed = note;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    EXPECT_NE(reason(verify_checkpoint(changed, kName, key.public_key())), "") << at;
  }
}

TEST(Checkpoint, IsRefusedWhenOneOfTwoLinesByTheKeyIsFalse) {
  auto key = crypto::SoftKey::generate();
  const std::string note = sign_checkpoint(text_of_size(1), kName, key);
  const std::string other = sign_checkpoint(text_of_size(2), kName, key);
  const std::string both = note + other.substr(other.find("\n\n") + 2);
  EXPECT_EQ(reason(verify_checkpoint(both, kName, key.public_key())), "checkpoint-signature");
}

TEST(Checkpoint, IgnoresLinesOfOtherSigners) {
  auto key = crypto::SoftKey::generate();
  auto witness = crypto::SoftKey::generate();
  const std::string note = sign_checkpoint(text_of_size(1), kName, key);
  const std::string cosigned = sign_checkpoint(text_of_size(1), "witness.example", witness);
  EXPECT_EQ(reason(verify_checkpoint(
                note + cosigned.substr(cosigned.find("\n\n") + 2), kName, key.public_key())),
            "");
}

TEST(Checkpoint, IsRefusedForALogOfAnotherOrigin) {
  auto key = crypto::SoftKey::generate();
  const std::string note = sign_checkpoint(text_of_size(1), "other-name", key);
  EXPECT_EQ(reason(verify_checkpoint(note, "other-name", key.public_key())), "checkpoint-origin");
}

TEST(Checkpoint, IsRefusedWhenTheSignedTextIsNone) {
  auto key = crypto::SoftKey::generate();
  EXPECT_THROW(static_cast<void>(sign_checkpoint("anything\n", kName, key)), Error);
  EXPECT_THROW(static_cast<void>(sign_checkpoint(text_of_size(1), "two words", key)), Error);

  const std::string text = "anything\n";
  const Bytes raw = key.sign_digest(crypto::sha256(as_bytes(text)));
  const std::string note = format_note({text,
                                        {{std::string{kName},
                                          ecdsa_note_key_id(key.public_key()),
                                          crypto::raw_to_der_signature(raw)}}});
  EXPECT_EQ(reason(verify_checkpoint(note, kName, key.public_key())), "checkpoint-malformed");
}

TEST(Checkpoint, IsSixteenWordsOfItsText) {
  const auto checkpoint = std::get<Checkpoint>(parse_checkpoint_text(text_of_size(9)));
  const std::string words = checkpoint_words(checkpoint);
  EXPECT_EQ(words.size(), 16 * 5 + 15U);
  EXPECT_EQ(from_words(words), to_bytes(crypto::sha256(as_bytes(text_of_size(9))).bytes()));
}

}  // namespace
}  // namespace keyferry::audit
