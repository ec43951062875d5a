#include "wrap/x509/path.h"

#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/fixture.h"
#include "wrap/base/durable_file.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::at;
using test::reason;

/// verify_chain with vectors written in place.
std::variant<ChainFacts, Refusal> verify(const std::vector<Bytes>& chain,
                                         const std::vector<Bytes>& anchors,
                                         UtcMillis time) {
  return verify_chain(chain, anchors, time);
}

const UtcMillis kNow = *from_rfc3339("2027-01-01T12:00:00Z");

/// root -> intermediate(s) -> leaf, made by openssl with the wanted constraints: our own builders
/// make roots only.
class OpensslChain {
 public:
  explicit OpensslChain(const std::string& root_constraints,
                        const std::string& intermediate_extensions,
                        int intermediates = 1) {
    const std::string folder = folder_.path().string();
    std::string script =
        "set -e; cd " + folder + "\n" + key("root") +
        "openssl req -x509 -key root.key -subj /CN=root -days 20000 -out root.pem -addext "
        "basicConstraints=critical," +
        root_constraints + " -addext keyUsage=critical,keyCertSign\n";
    std::string issuer = "root";
    for (int i = 0; i < intermediates; ++i) {
      const std::string name = "ca" + std::to_string(i);
      script += issue(name, issuer, intermediate_extensions);
      issuer = name;
    }
    script += issue(
        "leaf", issuer, "basicConstraints=critical,CA:FALSE\\nkeyUsage=critical,digitalSignature");
    const auto made = keyferry::test::run_command("bash -c '" + script + "'");
    if (made.status != 0) throw std::runtime_error(made.output);
    root_ = read("root");
    chain_.push_back(read("leaf"));
    for (int i = intermediates; i-- > 0;) chain_.push_back(read("ca" + std::to_string(i)));
  }

  const Bytes& root() const { return root_; }

  const std::vector<Bytes>& chain() const { return chain_; }

 private:
  static std::string key(const std::string& name) {
    return "openssl ecparam -name prime256v1 -genkey -noout -out " + name + ".key\n";
  }

  static std::string issue(const std::string& name,
                           const std::string& issuer,
                           const std::string& extensions) {
    return key(name) + "printf \"" + extensions +
           "\\nsubjectKeyIdentifier=hash\\nauthorityKeyIdentifier=keyid\\n\" > x.cnf\nopenssl req "
           "-new -key " +
           name + ".key -subj /CN=" + name + " -out r.csr\nopenssl x509 -req -in r.csr -CA " +
           issuer + ".pem -CAkey " + issuer +
           ".key -CAcreateserial -days 10000 -extfile x.cnf -out " + name + ".pem\n";
  }

  Bytes read(const std::string& name) const {
    const Bytes file = read_file(folder_ / (name + ".pem"), kMaxPemBytes);
    return std::get<std::vector<Bytes>>(read_certificates(file)).front();
  }

  keyferry::test::TempFolder folder_;
  Bytes root_;
  std::vector<Bytes> chain_;
};

// Certificates that openssl makes begin now; this is a time inside of all of them.
UtcMillis soon() {
  return UtcMillis{SystemClock{}.now().value + 3'600'000};
}

constexpr const char* kCa = "basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,keyCertSign";

TEST(VerifyChain, AcceptsALeafUnderItsAnchor) {
  test::Ca ca;
  const test::Leaf leaf = test::make_leaf(ca);
  const std::vector<Bytes> anchors{ca.certificate};
  const std::vector<Bytes> chain{leaf.certificate};
  const auto result = verify(chain, anchors, kNow);
  ASSERT_EQ(reason(result), "");
  const auto& facts = std::get<ChainFacts>(result);
  EXPECT_EQ(facts.key, leaf.key.public_key());
  EXPECT_EQ(facts.subject, "CN=DEV-0001,O=ACME,serialNumber=01ab02cd");
  EXPECT_EQ(facts.serial, std::get<CertificateFacts>(parse_certificate(leaf.certificate)).serial);
  EXPECT_EQ(facts.not_before, at("2026-06-01T00:00:00Z"));
  EXPECT_EQ(facts.not_after, at("2056-05-31T23:59:59Z"));
  EXPECT_EQ(facts.sha256, crypto::sha256(leaf.certificate));
  EXPECT_EQ(facts.anchor_sha256, crypto::sha256(ca.certificate));
}

TEST(VerifyChain, AcceptsTheAnchorAtTheEndOfTheChain) {
  test::Ca ca;
  const std::vector<Bytes> anchors{test::Ca{}.certificate, ca.certificate};
  const std::vector<Bytes> chain{test::make_leaf(ca).certificate, ca.certificate};
  EXPECT_EQ(reason(verify(chain, anchors, kNow)), "");
}

TEST(VerifyChain, AcceptsIntermediatesWithAndWithoutTheAnchor) {
  const OpensslChain made{"CA:TRUE,pathlen:2", kCa, 2};
  std::vector<Bytes> chain = made.chain();
  EXPECT_EQ(reason(verify(chain, {made.root()}, soon())), "");
  chain.push_back(made.root());
  EXPECT_EQ(reason(verify(chain, {made.root()}, soon())), "");
}

TEST(VerifyChain, AcceptsAnIntermediateAsAnchor) {
  const OpensslChain made{"CA:TRUE", kCa, 2};
  EXPECT_EQ(reason(verify({made.chain()[0], made.chain()[1]}, {made.chain()[2]}, soon())), "");
}

TEST(VerifyChain, RefusesMoreIntermediatesThanThePathLengthAllows) {
  const OpensslChain made{"CA:TRUE,pathlen:1", kCa, 2};
  EXPECT_EQ(reason(verify(made.chain(), {made.root()}, soon())), "chain-path-length");
}

TEST(VerifyChain, RefusesAnIssuerThatIsNoCa) {
  const OpensslChain no_ca{"CA:TRUE",
                           "basicConstraints=critical,CA:FALSE\\nkeyUsage=critical,keyCertSign"};
  EXPECT_EQ(reason(verify(no_ca.chain(), {no_ca.root()}, soon())), "chain-not-a-ca");
  const OpensslChain no_usage{"CA:TRUE",
                              "basicConstraints=critical,CA:TRUE\\nkeyUsage=critical,cRLSign"};
  EXPECT_EQ(reason(verify(no_usage.chain(), {no_usage.root()}, soon())), "chain-not-a-ca");
}

TEST(VerifyChain, RefusesAMissingOrMisplacedIntermediate) {
  const OpensslChain made{"CA:TRUE", kCa, 2};
  const std::vector<Bytes> missing{made.chain()[0], made.chain()[2]};
  EXPECT_EQ(reason(verify(missing, {made.root()}, soon())), "chain-name");
  const std::vector<Bytes> alone{made.chain()[0]};
  EXPECT_EQ(reason(verify(alone, {made.root()}, soon())), "chain-anchor");
}

TEST(VerifyChain, RefusesAnAnchorThatIsNotTrusted) {
  test::Ca ca;
  const std::vector<Bytes> chain{test::make_leaf(ca).certificate, ca.certificate};
  EXPECT_EQ(reason(verify(chain, {}, kNow)), "chain-anchor");
}

TEST(VerifyChain, RefusesAnotherKeyUnderTheAnchorsName) {
  test::Ca ca, other;  // same name, other key
  const std::vector<Bytes> chain{test::make_leaf(ca).certificate};
  EXPECT_EQ(reason(verify(chain, {other.certificate}, kNow)), "chain-key-identifier");

  DeviceTemplate forged = test::device_template(other);
  const std::vector<Bytes> forged_chain{
      test::make_leaf(ca, forged).certificate};  // names other, signed by ca
  EXPECT_EQ(reason(verify(forged_chain, {other.certificate}, kNow)), "chain-signature");
}

TEST(VerifyChain, RefusesAChangedCertificate) {
  test::Ca ca;
  Bytes changed = test::make_leaf(ca).certificate;
  const std::string_view from = "DEV-0001";
  const auto found = std::ranges::search(changed, as_bytes(from));
  *found.begin() = 'X';
  EXPECT_EQ(reason(verify({changed}, {ca.certificate}, kNow)), "chain-signature");
}

TEST(VerifyChain, HoldsLeafAndAnchorAgainstTheClock) {
  test::Ca ca;
  const std::vector<Bytes> chain{test::make_leaf(ca).certificate};
  const std::vector<Bytes> anchors{ca.certificate};
  const UtcMillis first = at("2026-06-01T00:00:00Z"), last = at("2056-05-31T23:59:59Z");
  EXPECT_EQ(reason(verify(chain, anchors, UtcMillis{first.value - 1})), "chain-not-yet-valid");
  EXPECT_EQ(reason(verify(chain, anchors, first)), "");
  EXPECT_EQ(reason(verify(chain, anchors, UtcMillis{last.value + 999})), "");
  EXPECT_EQ(reason(verify(chain, anchors, UtcMillis{last.value + 1000})), "chain-expired");

  test::Ca expired;
  expired.spec.not_after = at("2026-12-31T00:00:00Z");
  expired.certificate = expired.make();
  const std::vector<Bytes> under_expired{test::make_leaf(expired).certificate};
  EXPECT_EQ(reason(verify(under_expired, {expired.certificate}, kNow)), "chain-expired");
}

TEST(VerifyChain, RefusesACaInPlaceOfADevice) {
  const OpensslChain made{"CA:TRUE", kCa};
  EXPECT_EQ(reason(verify({made.chain()[1]}, {made.root()}, soon())), "chain-leaf-usage");
  EXPECT_EQ(reason(verify({made.root()}, {made.root()}, soon())), "chain-anchor");
}

TEST(VerifyChain, RefusesTooManyOrNone) {
  test::Ca ca;
  const Bytes leaf = test::make_leaf(ca).certificate;
  EXPECT_EQ(reason(verify({}, {ca.certificate}, kNow)), "chain-empty");
  EXPECT_EQ(reason(verify(std::vector<Bytes>(kMaxChainLength + 2, leaf), {ca.certificate}, kNow)),
            "chain-too-long");
  EXPECT_EQ(reason(verify(std::vector<Bytes>(kMaxChainLength + 1, leaf), {ca.certificate}, kNow)),
            "chain-too-long");
}

TEST(VerifyChain, SaysWhichCertificateIsMalformed) {
  test::Ca ca;
  const std::vector<Bytes> chain{test::make_leaf(ca).certificate, *from_hex("3000")};
  const auto result = verify(chain, {ca.certificate}, kNow);
  ASSERT_EQ(reason(result), "certificate-malformed");
  EXPECT_TRUE(std::get<Refusal>(result).text.starts_with("certificate 2:"));
}

}  // namespace
}  // namespace keyferry::x509
