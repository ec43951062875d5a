#include "wrap/crypto/soft_key.h"

#include <botan/data_src.h>
#include <botan/ecdh.h>
#include <botan/ecdsa.h>
#include <botan/pkcs8.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"
#include "tests/wrap/crypto/vectors.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/pbes2.h"

namespace keyferry::crypto {
namespace {

using test::hex;
using test::secret;
using test::secret_hex;
using test::secret_text;

constexpr std::string_view kPassphrase = "correct horse battery staple";
constexpr const char* kOrder = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// A folder with the passphrase in a file, in which the OpenSSL command line works.
class OpensslFolder {
 public:
  OpensslFolder() { put("pass", as_bytes(kPassphrase)); }

  void put(const std::string& name, ByteView content) {
    write_file_durably(folder_ / name, content, Overwrite::Replace);
  }

  [[nodiscard]] Bytes get(const std::string& name) { return read_file(folder_ / name, 1 << 16); }

  [[nodiscard]] std::string at(const std::string& name) { return (folder_ / name).string(); }

  [[nodiscard]] std::string pass() { return "file:" + at("pass"); }

  [[nodiscard]] int openssl(std::vector<std::string> arguments) {
    Child child{ChildSpec{.program = OPENSSL_PROGRAM,
                          .arguments = std::move(arguments),
                          .descriptors = {},
                          .environment = {}}};
    return child.wait();
  }

 private:
  test::TempFolder folder_;
};

TEST(SoftKeyScalar, GivesTheGeneratorForOne) {
  const auto key = SoftKey::from_scalar(secret_hex(std::string(63, '0') + "1"));
  ASSERT_TRUE(key);
  EXPECT_EQ(to_hex(key->public_key().point()),
            "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");
}

TEST(SoftKeyScalar, IsRefusedOutOfRange) {
  EXPECT_FALSE(SoftKey::from_scalar(SecretBytes{32}));
  EXPECT_FALSE(SoftKey::from_scalar(SecretBytes{}));
  EXPECT_FALSE(SoftKey::from_scalar(secret(Bytes(31, 1))));
  EXPECT_FALSE(SoftKey::from_scalar(secret(Bytes(33, 1))));
  EXPECT_FALSE(SoftKey::from_scalar(secret(Bytes(32, 0xff))));
  EXPECT_FALSE(SoftKey::from_scalar(secret_hex(kOrder)));
  Bytes largest = hex(kOrder);
  --largest.back();
  EXPECT_TRUE(SoftKey::from_scalar(secret(largest)));
}

TEST(SoftKeyGeneration, MakesADifferentKeyEachTimeThatSigns) {
  SoftKey a = SoftKey::generate();
  SoftKey b = SoftKey::generate();
  EXPECT_NE(a.public_key(), b.public_key());
  const Bytes signature = sign(a, SignatureKind::Approval, as_bytes("plan"));
  EXPECT_TRUE(verify(a.public_key(), SignatureKind::Approval, as_bytes("plan"), signature));
  EXPECT_FALSE(verify(b.public_key(), SignatureKind::Approval, as_bytes("plan"), signature));
}

TEST(SoftKeyMovedAway, DoesNotSignWithNothing) {
  SoftKey key = SoftKey::generate();
  SoftKey taken = std::move(key);
  EXPECT_EQ(taken.sign_digest(Digest{}).size(), kSignatureBytes);
  EXPECT_THROW(static_cast<void>(key.sign_digest(Digest{})),
               Error);  // NOLINT(bugprone-use-after-move)
}

TEST(Ecdh, AgreesWithWycheproof) {
  std::size_t computed = 0;
  for (const auto& [group, example] : test::wycheproof("ecdh_secp256r1_test.json")) {
    SCOPED_TRACE(test::label(example));
    // A two's complement hex number: one leading zero octet may stand before it, others may be
    // missing.
    Bytes scalar = hex(example.at("private"));
    if (scalar.size() == 33 && scalar[0] == 0) scalar.erase(scalar.begin());
    scalar.insert(scalar.begin(), 32 - scalar.size(), 0);
    const auto key = SoftKey::from_scalar(secret(scalar));
    ASSERT_TRUE(key);
    const auto peer = PublicKey::from_spki(hex(example.at("public")));
    const std::string result = example.at("result");
    if (result == "valid") {
      ASSERT_TRUE(peer);
    } else if (result == "acceptable") {
      // Only other encodings of valid keys: we take the one form of DER and the named curve,
      // nothing else.
      EXPECT_FALSE(peer);
    } else {
      EXPECT_EQ(result, "invalid");
      EXPECT_FALSE(peer);
    }
    if (!peer) continue;
    EXPECT_EQ(to_hex(key->ecdh_x(*peer).expose()), example.at("shared"));
    ++computed;
  }
  EXPECT_EQ(computed, 330U);
}

TEST(Ecdh, IsTheSameFromBothSides) {
  const SoftKey a = SoftKey::generate();
  const SoftKey b = SoftKey::generate();
  EXPECT_TRUE(equal(a.ecdh_x(b.public_key()).expose(), b.ecdh_x(a.public_key()).expose()));
}

TEST(EncryptedPem, GoesThereAndBack) {
  const SoftKey key = SoftKey::generate();
  const Bytes pem = key.to_encrypted_pem(secret_text(kPassphrase));
  EXPECT_TRUE(to_string(pem).starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
  auto back = SoftKey::from_encrypted_pem(pem, secret_text(kPassphrase));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->public_key(), key.public_key());
  EXPECT_TRUE(verify(key.public_key(), Digest{}, back->sign_digest(Digest{})));
}

TEST(EncryptedPem, GivesNothingForAnotherPassphrase) {
  const Bytes pem = SoftKey::generate().to_encrypted_pem(secret_text(kPassphrase));
  EXPECT_FALSE(SoftKey::from_encrypted_pem(pem, secret_text("Correct horse battery staple")));
  EXPECT_FALSE(SoftKey::from_encrypted_pem(pem, secret_text("x")));
}

/// The one form of PKCS#8 of a P-256 key, as in soft_key.cpp.
Bytes pkcs8(const std::string& scalar, ByteView point) {
  Bytes der = hex("308187020100301306072a8648ce3d020106082a8648ce3d030107046d306b0201010420" +
                  scalar + "a144034200");
  append(der, point);
  return der;
}

std::optional<SoftKey> read_under_cheap_scrypt(const Bytes& inside) {
  const SecretBytes passphrase = secret_text(kPassphrase);
  return SoftKey::from_encrypted_pem(pbes2_encrypt_pem(secret(inside), passphrase, {2, 1, 1}),
                                     passphrase);
}

TEST(EncryptedPem, GivesNothingForAPublicKeyThatDoesNotFit) {
  const std::string one = std::string(63, '0') + "1";
  const SoftKey key = *SoftKey::from_scalar(secret_hex(one));
  EXPECT_TRUE(read_under_cheap_scrypt(pkcs8(one, key.public_key().point())));
  EXPECT_FALSE(
      read_under_cheap_scrypt(pkcs8(std::string(63, '0') + "2", key.public_key().point())));
  EXPECT_FALSE(read_under_cheap_scrypt(pkcs8(one, SoftKey::generate().public_key().point())));
}

TEST(EncryptedPem, GivesNothingForEachChangedOctetInside) {
  const std::string one = std::string(63, '0') + "1";
  const Bytes good = pkcs8(one, SoftKey::from_scalar(secret_hex(one))->public_key().point());
  for (std::size_t i = 0; i < good.size(); ++i) {
    Bytes damaged = good;
    damaged[i] ^= 1;
    EXPECT_FALSE(read_under_cheap_scrypt(damaged)) << i;
  }
  EXPECT_FALSE(read_under_cheap_scrypt({}));
  EXPECT_FALSE(read_under_cheap_scrypt(Bytes(good.begin(), good.end() - 1)));
}

TEST(EncryptedPem, IsReadByBotan) {
  const SoftKey key = SoftKey::generate();
  Botan::DataSource_Memory source{to_string(key.to_encrypted_pem(secret_text(kPassphrase)))};
  const auto botan_key = Botan::PKCS8::load_key(source, std::string{kPassphrase});
  EXPECT_EQ(botan_key->subject_public_key(), key.public_key().spki_der());
}

TEST(EncryptedPem, IsReadByTheOpensslCommandLine) {
  OpensslFolder folder;
  const SoftKey key = SoftKey::generate();
  folder.put("key.pem", key.to_encrypted_pem(secret_text(kPassphrase)));
  ASSERT_EQ(folder.openssl({"pkcs8",
                            "-in",
                            folder.at("key.pem"),
                            "-passin",
                            folder.pass(),
                            "-out",
                            folder.at("plain.pem")}),
            0);
  ASSERT_EQ(folder.openssl({"pkey", "-in", folder.at("plain.pem"), "-check", "-noout"}), 0);
  ASSERT_EQ(folder.openssl({"pkey",
                            "-in",
                            folder.at("plain.pem"),
                            "-pubout",
                            "-outform",
                            "DER",
                            "-out",
                            folder.at("public.der")}),
            0);
  EXPECT_EQ(folder.get("public.der"), key.public_key().spki_der());
}

TEST(EncryptedPem, OfTheOpensslCommandLineIsRead) {
  OpensslFolder folder;
  ASSERT_EQ(folder.openssl({"genpkey",
                            "-algorithm",
                            "EC",
                            "-pkeyopt",
                            "ec_paramgen_curve:P-256",
                            "-out",
                            folder.at("plain.pem")}),
            0);
  ASSERT_EQ(folder.openssl({"pkcs8",
                            "-topk8",
                            "-scrypt",
                            "-in",
                            folder.at("plain.pem"),
                            "-passout",
                            folder.pass(),
                            "-out",
                            folder.at("key.pem")}),
            0);
  ASSERT_EQ(folder.openssl({"pkey",
                            "-in",
                            folder.at("plain.pem"),
                            "-pubout",
                            "-outform",
                            "DER",
                            "-out",
                            folder.at("public.der")}),
            0);
  const auto key = SoftKey::from_encrypted_pem(folder.get("key.pem"), secret_text(kPassphrase));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->public_key().spki_der(), folder.get("public.der"));
}

TEST(EncryptedPem, OfOtherAlgorithmsGivesNothing) {
  OpensslFolder folder;
  const auto written_by = [&](const std::vector<std::string>& genpkey,
                              const std::vector<std::string>& pkcs8_options) {
    std::vector<std::string> make{"genpkey", "-out", folder.at("plain.pem")};
    make.insert(make.end(), genpkey.begin(), genpkey.end());
    EXPECT_EQ(folder.openssl(make), 0);
    std::vector<std::string> convert{"pkcs8",
                                     "-topk8",
                                     "-in",
                                     folder.at("plain.pem"),
                                     "-out",
                                     folder.at("key.pem"),
                                     "-passout",
                                     folder.pass()};
    convert.insert(convert.end(), pkcs8_options.begin(), pkcs8_options.end());
    EXPECT_EQ(folder.openssl(convert), 0);
    return SoftKey::from_encrypted_pem(folder.get("key.pem"), secret_text(kPassphrase)).has_value();
  };
  const std::vector<std::string> p256{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"};
  EXPECT_TRUE(written_by(p256, {"-scrypt"}));
  EXPECT_FALSE(written_by(p256, {"-v2", "aes-256-cbc"}));  // PBKDF2
  EXPECT_FALSE(written_by(p256, {"-scrypt", "-v2", "aes-128-cbc"}));
  EXPECT_FALSE(
      written_by({"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}, {"-scrypt"}));
  EXPECT_FALSE(written_by({"-algorithm", "ED25519"}, {"-scrypt"}));
}

TEST(SoftKeySignature, VerifiesOnTheOpensslCommandLine) {
  OpensslFolder folder;
  SoftKey key = SoftKey::generate();
  const Digest digest = sha256(as_bytes("message"));
  folder.put("public.der", key.public_key().spki_der());
  folder.put("digest", digest.bytes());
  folder.put("signature", raw_to_der_signature(key.sign_digest(digest)));
  EXPECT_EQ(folder.openssl({"pkeyutl",
                            "-verify",
                            "-pubin",
                            "-keyform",
                            "DER",
                            "-inkey",
                            folder.at("public.der"),
                            "-in",
                            folder.at("digest"),
                            "-sigfile",
                            folder.at("signature")}),
            0);
}

TEST(OpensslSignature, Verifies) {
  OpensslFolder folder;
  const SoftKey key = SoftKey::generate();
  const Digest digest = sha256(as_bytes("message"));
  folder.put("key.pem", key.to_encrypted_pem(secret_text(kPassphrase)));
  folder.put("digest", digest.bytes());
  ASSERT_EQ(folder.openssl({"pkeyutl",
                            "-sign",
                            "-inkey",
                            folder.at("key.pem"),
                            "-passin",
                            folder.pass(),
                            "-in",
                            folder.at("digest"),
                            "-out",
                            folder.at("signature")}),
            0);
  const auto raw = der_to_raw_signature(folder.get("signature"));
  ASSERT_TRUE(raw);
  EXPECT_TRUE(verify(key.public_key(), digest, *raw));
}

}  // namespace
}  // namespace keyferry::crypto
