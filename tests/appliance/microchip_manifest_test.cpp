#include "appliance/front/microchip_manifest.h"

#include <gtest/gtest.h>

#include "tests/appliance/manifest_signer.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/x509/certificate.h"

namespace keyferry::appliance {
namespace {

using nlohmann::json;
using test::base64url;
using test::OpensslSigner;

class MicrochipManifest : public ::testing::Test {
 protected:
  static OpensslSigner& signer() {
    static OpensslSigner made;
    return made;
  }

  static ManifestTerms terms() {
    const auto facts = x509::parse_certificate(signer().certificate());
    return ManifestTerms{.signer = std::get<x509::CertificateFacts>(facts).key,
                         .certificate_sha256 = signer().sha256(),
                         .master = "chips",
                         .lot = "L7",
                         .attestation_slot = 1};
  }

  static json element(const std::string& id) {
    const ByteView point = attestation_key().point();
    return {{"version", 1},
            {"model", "ATECC608B"},
            {"partNumber", "ATECC608B-OUR00"},
            {"manufacturer", {{"organizationName", "Microchip Technology Inc"}}},
            {"uniqueId", id},
            {"publicKeySet",
             {{"keys",
               {{{"kid", "1"},
                 {"kty", "EC"},
                 {"crv", "P-256"},
                 {"x", base64url(point.subspan(1, 32))},
                 {"y", base64url(point.subspan(33, 32))}},
                {{"kid", "2"}, {"kty", "EC"}, {"crv", "P-256"}, {"x", "AA"}, {"y", "AA"}}}}}},
            {"newMember", {1, 2, {{"deep", true}}}}};
  }

  static const crypto::PublicKey& attestation_key() {
    static const crypto::PublicKey made = crypto::SoftKey::generate().public_key();
    return made;
  }

  static json header() { return signer().header(); }

  static json entry(const json& head, const json& body) { return signer().entry(head, body); }

  struct Result {
    std::vector<std::variant<se::Entry, Refusal>> entries;
    std::optional<Refusal> refusal;
  };

  /// `piece`: octets that one read gives at most.
  static Result read(const std::string& text, std::size_t piece = 7) { return read(text, terms(), piece); }

  static Result read(const std::string& text, const ManifestTerms& with, std::size_t piece = 7) {
    Result result;
    std::size_t at = 0;
    result.refusal = read_manifest(
        [&](std::span<std::uint8_t> out) {
          const std::size_t size = std::min({out.size(), piece, text.size() - at});
          std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(at), size, out.begin());
          at += size;
          return size;
        },
        with,
        [&](std::uint64_t place, const std::variant<se::Entry, Refusal>& read_entry) {
          EXPECT_EQ(place, result.entries.size() + 1);
          result.entries.push_back(read_entry);
        });
    return result;
  }

  static std::string reason_of(const json& made) {
    const Result result = read(json::array({made}).dump());
    if (result.refusal) return result.refusal->reason;
    const auto* refusal = std::get_if<Refusal>(&result.entries.at(0));
    return refusal != nullptr ? refusal->reason : "";
  }
};

TEST_F(MicrochipManifest, GivesAnEntryForEachChip) {
  const json manifest = {entry(header(), element("0123f1822c38dd7a01")), entry(header(), element("0123f1822c38dd7a02"))};
  for (const std::size_t piece : {1UL, 7UL, 100'000UL}) {
    const Result result = read(manifest.dump(2), piece);
    ASSERT_FALSE(result.refusal) << result.refusal->text;
    ASSERT_EQ(result.entries.size(), 2U);
    const auto* chip = std::get_if<se::Entry>(&result.entries[1]);
    ASSERT_NE(chip, nullptr) << std::get<Refusal>(result.entries[1]).text;
    EXPECT_EQ(chip->family, se::Family::Atecc608);
    EXPECT_EQ(chip->serial.hex(), "0123f1822c38dd7a02");
    EXPECT_EQ(chip->part, "ATECC608B-OUR00");
    EXPECT_EQ(chip->lot, "L7");
    EXPECT_EQ(chip->transport_kind, se::TransportKind::Derived);
    EXPECT_EQ(chip->transport_name, "chips");
    EXPECT_EQ(chip->attestation_key, attestation_key());
  }
}

TEST_F(MicrochipManifest, RefusesAChipWithoutTheAttestationKeyThatThePlanSpeaksOf) {
  json body = element("0123f1822c38dd7a01");
  body.erase("publicKeySet");
  EXPECT_EQ(reason_of(entry(header(), body)), "manifest-key");
}

TEST_F(MicrochipManifest, TakesTheShortFormWhereNoAttestationKeyIsAskedFor) {
  json body = element("0123f1822c38dd7a01");
  body.erase("publicKeySet");
  body.erase("partNumber");
  body["version"] = 2;
  ManifestTerms without = terms();
  without.attestation_slot.reset();
  const Result result = read(json::array({entry(header(), body)}).dump(), without);
  ASSERT_EQ(result.entries.size(), 1U);
  const auto* chip = std::get_if<se::Entry>(&result.entries[0]);
  ASSERT_NE(chip, nullptr);
  EXPECT_FALSE(chip->attestation_key);
  EXPECT_EQ(chip->part, "ATECC608B");
}

TEST_F(MicrochipManifest, RefusesAnEntryThatAnybodyChanged) {
  const json good = entry(header(), element("0123f1822c38dd7a01"));
  EXPECT_EQ(reason_of(good), "");
  json changed = good;
  json body = element("0123f1822c38dd7a02");
  changed["payload"] = base64url(as_bytes(body.dump()));
  EXPECT_EQ(reason_of(changed), "manifest-signature");
  changed = good;
  std::string signature = changed["signature"];
  signature[10] = signature[10] == 'A' ? 'B' : 'A';
  changed["signature"] = signature;
  EXPECT_EQ(reason_of(changed), "manifest-signature");
  changed = good;
  changed["signature"] = "";
  EXPECT_EQ(reason_of(changed), "manifest-signature");
  changed = good;
  changed["header"]["uniqueId"] = "0123f1822c38dd7a02";
  EXPECT_EQ(reason_of(changed), "manifest-id");
  changed = good;
  changed["signature"] = std::string{good["signature"]} + "==";
  EXPECT_EQ(reason_of(changed), "manifest-signature") << "padding is not base64url here";
}

TEST_F(MicrochipManifest, AcceptsEs256OfThePinnedCertificateOnly) {
  const json body = element("0123f1822c38dd7a01");
  for (const char* algorithm : {"none", "HS256", "RS256", "es256", ""}) {
    json head = header();
    head["alg"] = algorithm;
    EXPECT_EQ(reason_of(entry(head, body)), "manifest-header") << algorithm;
  }
  json head = header();
  head["x5t#S256"] = base64url(Bytes(32, 7));
  EXPECT_EQ(reason_of(entry(head, body)), "manifest-header");
  head = header();
  head.erase("x5t#S256");
  EXPECT_EQ(reason_of(entry(head, body)), "manifest-header");
  head = header();
  head["crit"] = {"b64"};
  EXPECT_EQ(reason_of(entry(head, body)), "manifest-header");
}

TEST_F(MicrochipManifest, RefusesPayloadsThatAreNoChipOfOurs) {
  json body = element("0123f1822c38dd7a01");
  body["model"] = "ATECC508A";
  EXPECT_EQ(reason_of(entry(header(), body)), "manifest-model");
  body = element("0123f1822c38dd7a01");
  body["version"] = 4;
  EXPECT_EQ(reason_of(entry(header(), body)), "manifest-payload");
  EXPECT_EQ(reason_of(entry(header(), element("0123F1822C38DD7A01"))), "manifest-id") << "lower case";
  EXPECT_EQ(reason_of(entry(header(), element("0124f1822c38dd7a01"))), "serial-invalid");
  EXPECT_EQ(reason_of(entry(header(), element("0123f1822c38dd7a"))), "serial-invalid");
  body = element("0123f1822c38dd7a01");
  body["publicKeySet"]["keys"][0]["x"] = base64url(Bytes(32, 1));
  EXPECT_EQ(reason_of(entry(header(), body)), "manifest-key") << "not on the curve";
  body = element("0123f1822c38dd7a01");
  body["publicKeySet"]["keys"].push_back(body["publicKeySet"]["keys"][0]);
  EXPECT_EQ(reason_of(entry(header(), body)), "manifest-key") << "twice";
  body = element("0123f1822c38dd7a01");
  body["partNumber"] = "=cmd";
  EXPECT_EQ(reason_of(entry(header(), body)), "entry-part");
}

TEST_F(MicrochipManifest, RefusesFilesOfAnotherForm) {
  const json good = entry(header(), element("0123f1822c38dd7a01"));
  const std::string text = json::array({good}).dump();
  for (const std::string& bad : {std::string{}, std::string{"{}"}, std::string{"[1]"}, std::string{"[[]]"},
                                 std::string{"[\"x\"]"}, std::string{"7"}, text + "x", text.substr(0, text.size() - 1),
                                 std::string(100'000, '['), good.dump()}) {
    const auto refusal = read(bad, 4096).refusal;
    ASSERT_TRUE(refusal) << bad.substr(0, 60);
    EXPECT_EQ(refusal->reason, "manifest-form");
  }
  json incomplete = good;
  incomplete.erase("signature");
  EXPECT_EQ(reason_of(incomplete), "manifest-form");
  std::string doubled = text;
  doubled.insert(2, "\"payload\":\"x\",");
  EXPECT_EQ(read(doubled).refusal->reason, "manifest-form") << "a member twice";
}

TEST_F(MicrochipManifest, IsBoundedForEachEntry) {
  json large = entry(header(), element("0123f1822c38dd7a01"));
  large["unknown"] = std::string(3 * kMaxManifestEntryBytes, 'a');
  const auto refusal = read(json::array({large}).dump(), 4096).refusal;
  ASSERT_TRUE(refusal);
  EXPECT_NE(refusal->text.find("longer than"), std::string::npos) << refusal->text;
}

TEST_F(MicrochipManifest, ReadsAHundredThousandEntriesInBoundedMemory) {
  const std::string one = entry(header(), element("0123f1822c38dd7a01")).dump();
  constexpr std::uint64_t kEntries = 100'000;
  std::uint64_t made = 0, seen = 0, good = 0;
  std::string rest = "[";
  const auto refusal = read_manifest(
      [&](std::span<std::uint8_t> out) {
        if (rest.empty() && made <= kEntries) {
          rest = made < kEntries ? (made == 0 ? "" : ",") + one : "]";
          ++made;
        }
        const std::size_t size = std::min(out.size(), rest.size());
        std::copy_n(rest.begin(), size, out.begin());
        rest.erase(0, size);
        return size;
      },
      terms(),
      [&](std::uint64_t, const std::variant<se::Entry, Refusal>& chip) {
        ++seen;
        if (std::holds_alternative<se::Entry>(chip)) ++good;
      });
  EXPECT_FALSE(refusal) << refusal->text;
  EXPECT_EQ(seen, kEntries);
  EXPECT_EQ(good, kEntries);
}

}  // namespace
}  // namespace keyferry::appliance
