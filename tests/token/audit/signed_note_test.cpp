#include "token/audit/signed_note.h"

#include <botan/ed25519.h>
#include <botan/pubkey.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "wrap/base/base64.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::audit {
namespace {

std::string reason(const auto& result) {
  const auto* refusal = std::get_if<Refusal>(&result);
  return refusal != nullptr ? refusal->reason : "";
}

nlohmann::json example() {
  std::ifstream file{KEYFERRY_VECTORS_DIR "/c2sp-signed-note/note.json"};
  return nlohmann::json::parse(file);
}

std::string example_note() {
  const auto vector = example();
  return vector.at("text").get<std::string>() + "\n" + vector.at("sigline").get<std::string>() +
         "\n";
}

TEST(SignedNote, SplitsTheExampleOfTheGoPackage) {
  const auto vector = example();
  const auto parsed = parse_note(example_note());
  ASSERT_EQ(reason(parsed), "");
  const auto& note = std::get<SignedNote>(parsed);
  EXPECT_EQ(note.text, vector.at("text").get<std::string>());
  ASSERT_EQ(note.signatures.size(), 1U);
  EXPECT_EQ(note.signatures[0].name, "PeterNeumann");
  EXPECT_EQ(to_hex(note.signatures[0].key_id), "c74f20a3");
  EXPECT_EQ(note.signatures[0].signature.size(), 64U);
}

TEST(SignedNote, DerivesTheKeyIdOfTheExample) {
  const std::string vkey = example().at("vkey").get<std::string>();
  const auto octets = *from_base64(vkey.substr(vkey.rfind('+') + 1));
  ASSERT_EQ(octets.front(), 0x01);
  const auto id = note_key_id("PeterNeumann", NoteKeyType::Ed25519, ByteView{octets}.subspan(1));
  EXPECT_EQ(to_hex(id), "c74f20a3");
}

TEST(SignedNote, KeepsTheTextThatTheSignatureOfTheExampleIsOver) {
  const std::string vkey = example().at("vkey").get<std::string>();
  const auto octets = *from_base64(vkey.substr(vkey.rfind('+') + 1));
  const auto note = std::get<SignedNote>(parse_note(example_note()));
  const Botan::Ed25519_PublicKey key{std::vector<std::uint8_t>{octets.begin() + 1, octets.end()}};
  Botan::PK_Verifier verifier{key, "Pure"};
  const ByteView text = as_bytes(note.text);
  const Bytes& signature = note.signatures[0].signature;
  EXPECT_TRUE(
      verifier.verify_message(text.data(), text.size(), signature.data(), signature.size()));
}

TEST(SignedNote, WritesTheExampleOctetByOctet) {
  EXPECT_EQ(format_note(std::get<SignedNote>(parse_note(example_note()))), example_note());
}

TEST(SignedNote, SplitsAtTheLastEmptyLine) {
  const std::string line = example().at("sigline").get<std::string>() + "\n";
  const auto parsed = parse_note("a\n\nb\n\n" + line + line);
  ASSERT_EQ(reason(parsed), "");
  EXPECT_EQ(std::get<SignedNote>(parsed).text, "a\n\nb\n");
  EXPECT_EQ(std::get<SignedNote>(parsed).signatures.size(), 2U);
}

TEST(SignedNote, RefusesWhatIsNotOfTheForm) {
  const std::string dash = "\xe2\x80\x94 ";
  const std::string line = dash + "name AAAAAAA=\n";  // four octets of key id, one of signature
  ASSERT_EQ(reason(parse_note("text\n\n" + line)), "");
  for (const std::string& bad : std::initializer_list<std::string>{
           std::string{},
           std::string{"text\n"},
           "text\n" + line,                                // no empty line
           "\n\n" + line,                                  // no text
           std::string{"text\n\n"},                        // no signature
           "text\n\n" + line.substr(0, line.size() - 1),   // last line does not end
           "text\n\n- name AAAAAAA=\n",                    // hyphen
           "text\n\n\xe2\x80\x93 name AAAAAAA=\n",         // en dash
           "text\n\n" + dash + "nameAAAAAAA=\n",           // no space
           "text\n\n" + dash + " AAAAAAA=\n",              // no name
           "text\n\n" + dash + "na+me AAAAAAA=\n",         //
           "text\n\n" + dash + "na\xc2\xa0me AAAAAAA=\n",  // no-break space
           "text\n\n" + dash + "name AAAAAA==\n",          // key id without signature
           "text\n\n" + dash + "name AAAAAAB=\n",          // unused bits not zero
           "text\n\n" + dash + "name AAAAAAA\n",           // no padding
           "text\n\n" + dash + "name AAAAAAA= \n",         //
           "text\n\n" + line + "more\n",                   //
           "te\txt\n\n" + line,
           "te\rxt\n\n" + line,
           "te\xffxt\n\n" + line,
           "text\n\n" + line + "\n",  // empty line after the signatures
           std::string(kMaxNoteBytes, 'x') + "\n\n" + line}) {
    EXPECT_EQ(reason(parse_note(bad)), "note-malformed") << bad.substr(0, 100);
  }
}

TEST(SignedNote, AcceptsSixteenSignaturesAndBoundsThem) {
  const std::string line = "\xe2\x80\x94 name AAAAAAA=\n";
  std::string note = "text\n\n";
  for (int i = 0; i < 16; ++i) note += line;
  EXPECT_EQ(reason(parse_note(note)), "");
  for (int i = 0; i < 17; ++i) note += line;
  EXPECT_EQ(reason(parse_note(note)), "note-malformed");
}

TEST(SignedNote, RefusesToWriteWhatWouldNotParse) {
  const NoteSignature signature{"name", {1, 2, 3, 4}, {5}};
  EXPECT_NO_THROW(static_cast<void>(format_note({"text\n", {signature}})));
  EXPECT_THROW(static_cast<void>(format_note({"text", {signature}})), Error);
  EXPECT_THROW(static_cast<void>(format_note({"", {signature}})), Error);
  EXPECT_THROW(static_cast<void>(format_note({"text\n", {}})), Error);
  EXPECT_THROW(static_cast<void>(format_note({"text\n", {{"a b", {1, 2, 3, 4}, {5}}}})), Error);
}

TEST(VerifierKey, ComesBackFromItsText) {
  const auto key = crypto::SoftKey::generate();
  const std::string text = verifier_key("keyferry/0123", key.public_key());
  const auto parsed = parse_verifier_key(text);
  ASSERT_EQ(reason(parsed), "");
  EXPECT_EQ(std::get<VerifierKey>(parsed).name, "keyferry/0123");
  EXPECT_EQ(std::get<VerifierKey>(parsed).key, key.public_key());
  EXPECT_EQ(text.substr(0, 23),
            "keyferry/0123+" + to_hex(ecdsa_note_key_id(key.public_key())) + "+");
}

TEST(VerifierKey, RefusesOtherFormsTypesAndIds) {
  const auto key = crypto::SoftKey::generate();
  const std::string good = verifier_key("log", key.public_key());
  std::string other_id = good;
  other_id[4] = other_id[4] == '0' ? '1' : '0';
  for (const std::string& bad :
       std::initializer_list<std::string>{std::string{},
                                          std::string{"log"},
                                          std::string{"log+12345678"},
                                          other_id,
                                          good.substr(0, good.size() - 4),
                                          "lo g" + good.substr(3),
                                          good + "\n",
                                          example().at("vkey").get<std::string>()}) {
    EXPECT_EQ(reason(parse_verifier_key(bad)), "verifier-key") << bad;
  }
}

}  // namespace
}  // namespace keyferry::audit
