// The container against an implementation of its own (tests/vectors/make_container_v1.py) and
// against token/FORMAT.md.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/token/token_fixture.h"
#include "token/container.h"
#include "token/container_open.h"

namespace keyferry::token {
namespace {

using nlohmann::json;
using test::reason_of;

std::string text_of(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

json cases() {
  return json::parse(text_of(std::string{KEYFERRY_VECTORS_DIR} + "/container/container_v1.json"))
      .at("cases");
}

crypto::SoftKey soft_key(const json& hex) {
  return *crypto::SoftKey::from_scalar(SecretBytes::copy_of(*from_hex(hex.get<std::string>())));
}

Header header_of(const json& vector) {
  Header header;
  header.type = *container_type_from_number(vector.at("type"));
  header.environment = *environment_from_number(vector.at("environment"));
  header.container_id = *ContainerId::from_hex(vector.at("container_id").get<std::string>());
  header.batch_id = *BatchId::from_hex(vector.at("batch_id").get<std::string>());
  header.index = vector.at("index");
  header.count = vector.at("count");
  header.body_bound_bytes = vector.at("body_bound_bytes");
  header.sender = test::id_of(soft_key(vector.at("sender_scalar")));
  header.recipient = test::id_of(soft_key(vector.at("recipient_scalar")));
  return header;
}

Bytes body_of(const json& vector) {
  if (vector.at("name") == "one chunk") return to_bytes(as_bytes("keyferry"));
  return test::pattern(2 * kChunkBytes + 5);
}

class ContainerVector : public testing::TestWithParam<std::size_t> {
 protected:
  json vector_ = cases().at(GetParam());
  Sealed sealed_;

  /// Sealed with the vector's ephemeral key, up to the trailer, which is the vector's: ECDSA is not
  /// repeated here.
  Bytes whole_ = [this] {
    Bytes out;
    const auto recipient = soft_key(vector_.at("recipient_scalar"));
    Sealer sealer{header_of(vector_),
                  recipient.public_key(),
                  [&](ByteView octets) { append(out, octets); },
                  soft_key(vector_.at("ephemeral_scalar"))};
    sealer.write(body_of(vector_));
    sealed_ = sealer.finish();
    append(out, *from_hex(vector_.at("trailer").get<std::string>()));
    return out;
  }();

  Expectation expectation() const {
    const Header header = header_of(vector_);
    Expectation expected;
    expected.type = header.type;
    expected.environment = header.environment;
    expected.recipient = header.recipient;
    expected.max_body_bytes = header.body_bound_bytes;
    return expected;
  }
};

TEST_P(ContainerVector, HasTheseOctets) {
  EXPECT_EQ(to_hex(encode(header_of(vector_))), vector_.at("header"));
  EXPECT_EQ(whole_.size(), vector_.at("file_size_bytes"));
  EXPECT_EQ(crypto::sha256(whole_).hex(), vector_.at("file_sha256"));
}

TEST_P(ContainerVector, IsSealedWithTheseValues) {
  EXPECT_EQ(to_hex(sealed_.enc), vector_.at("enc"));
  EXPECT_EQ(sealed_.digest.hex(), vector_.at("digest"));
  EXPECT_EQ(sealed_.chunk_count, vector_.at("chunk_hashes").size());
  EXPECT_EQ(crypto::signing_digest(crypto::SignatureKind::Container, sealed_.digest.bytes()).hex(),
            vector_.at("signing_digest"));
}

TEST_P(ContainerVector, IsOutlinedWithTheseHashes) {
  const auto outlined = outline(test::file_of(whole_), expectation());
  ASSERT_EQ(reason_of(outlined), "");
  const auto& found = std::get<Outline>(outlined);
  EXPECT_EQ(found.header_hash.hex(), vector_.at("header_hash"));
  EXPECT_EQ(found.digest.hex(), vector_.at("digest"));
  std::vector<std::string> hashes;
  for (const Digest& hash : found.chunk_hashes) hashes.push_back(hash.hex());
  EXPECT_EQ(json(hashes), vector_.at("chunk_hashes"));
}

TEST_P(ContainerVector, IsOpenedWithThisContentKey) {
  crypto::SoftDhKey recipient{soft_key(vector_.at("recipient_scalar"))};
  const auto key = open_content_key(*from_hex(vector_.at("enc").get<std::string>()),
                                    *from_hex(vector_.at("header").get<std::string>()),
                                    recipient);
  ASSERT_TRUE(key);
  EXPECT_EQ(to_hex(key->key.expose()), vector_.at("content_key"));
  EXPECT_EQ(to_hex(key->nonce_prefix), vector_.at("nonce_prefix"));
}

TEST_P(ContainerVector, VerifiesAndOpens) {
  const auto opened = test::open_whole(test::file_of(whole_),
                                       expectation(),
                                       soft_key(vector_.at("sender_scalar")),
                                       soft_key(vector_.at("recipient_scalar")));
  ASSERT_EQ(reason_of(opened), "");
  EXPECT_EQ(std::get<Bytes>(opened), body_of(vector_));
}

INSTANTIATE_TEST_SUITE_P(V1, ContainerVector, testing::Values(0, 1));

TEST(FormatPage, ShowsTheVectorsOctetsAndDigests) {
  const json vector = cases().at(0);
  const std::string page = text_of(std::string{KEYFERRY_SOURCE_DIR} + "/token/FORMAT.md");
  for (const char* field :
       {"header_hash", "content_key", "nonce_prefix", "digest", "signing_digest"}) {
    EXPECT_NE(page.find(vector.at(field).get<std::string>()), std::string::npos) << field;
  }
  // The dump of the whole file, line by line.
  const std::string hex = vector.at("header").get<std::string>() +
                          vector.at("first_chunk").get<std::string>() +
                          vector.at("trailer").get<std::string>();
  for (std::size_t at = 0; at < hex.size(); at += 32) {
    std::ostringstream line;
    line << "    " << std::hex;
    line.width(8);
    line.fill('0');
    line << at / 2 << " ";
    for (std::size_t i = at; i < std::min(at + 32, hex.size()); i += 2)
      line << " " << hex.substr(i, 2);
    EXPECT_NE(page.find(line.str() + "\n"), std::string::npos) << line.str();
  }
}

}  // namespace
}  // namespace keyferry::token
