#include "wrap/x509/request.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/matter_fixture.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/issued.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

using test::at;
using test::reason;

DeviceTemplate wanted() {
  return DeviceTemplate{.name = "custom",
                        .subject = "CN={device_serial},O=ACME",
                        .not_before = at("2026-06-01T00:00:00Z"),
                        .not_after = at("2036-06-01T00:00:00Z"),
                        .alt_names = {"dns:{device_serial}.devices.example"},
                        .extended_key_usage = {"clientAuth"}};
}

struct Request {
  crypto::SoftKey key = crypto::SoftKey::generate();
  Bytes der;

  explicit Request(const DeviceTemplate& from = wanted(),
                   const SubjectFields& fields = test::fields()) {
    der = test::sign_tbs(RequestBuilder{from}.to_be_signed(fields, key.public_key()), key);
  }
};

std::string read(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Request, SaysWhatTheTemplateWantsAndIsReadBack) {
  const Request request;
  const auto parsed = parse_request(request.der);
  ASSERT_EQ(reason(parsed), "");
  const auto& facts = std::get<RequestFacts>(parsed);
  EXPECT_EQ(facts.subject, "CN=DEV-0001,O=ACME");
  EXPECT_EQ(facts.key, request.key.public_key());
  std::vector<std::string> oids;
  for (const RequestedExtension& extension : facts.extensions) oids.push_back(extension.oid);
  EXPECT_EQ(oids, (std::vector<std::string>{"2.5.29.19", "2.5.29.15", "2.5.29.37", "2.5.29.17"}));
  EXPECT_TRUE(facts.extensions[0].critical);
}

TEST(Request, IsVerifiedAndShownByOpenssl) {
  const Request request;
  const keyferry::test::TempFolder folder;
  std::ofstream{folder / "r.pem"} << to_pem(kPemRequest, request.der);
  const auto shown = keyferry::test::run_command("openssl req -in " + (folder / "r.pem").string() +
                                                 " -noout -verify -text");
  EXPECT_EQ(shown.status, 0) << shown.output;
  for (const char* part : {"verify OK",
                           "Subject: CN = DEV-0001, O = ACME",
                           "DNS:DEV-0001.devices.example",
                           "Digital Signature",
                           "TLS Web Client Authentication"}) {
    EXPECT_NE(shown.output.find(part), std::string::npos) << part << "\n" << shown.output;
  }
}

TEST(Request, OfOpensslIsRead) {
  const keyferry::test::TempFolder folder;
  const auto made = keyferry::test::run_command(
      "cd " + folder.path().string() +
      " && openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -sha256 "
      "-subj /CN=x/O=y -addext subjectAltName=DNS:x.example -outform DER -out r.der"
      " && openssl req -new -newkey rsa:2048 -nodes -keyout k2 -subj /CN=x -outform DER -out "
      "rsa.der"
      " && openssl req -new -key k -sha384 -subj /CN=x -outform DER -out sha384.der");
  ASSERT_EQ(made.status, 0) << made.output;
  const auto parsed = parse_request(as_bytes(read(folder / "r.der")));
  ASSERT_EQ(reason(parsed), "");
  EXPECT_EQ(std::get<RequestFacts>(parsed).subject, "CN=x,O=y");
  EXPECT_EQ(reason(parse_request(as_bytes(read(folder / "rsa.der")))), "request-profile");
  EXPECT_EQ(reason(parse_request(as_bytes(read(folder / "sha384.der")))), "request-profile");
}

TEST(Request, RefusesWhatIsNoneOrIsNotItsOwn) {
  const Request request;
  EXPECT_EQ(reason(parse_request({})), "request-size");
  EXPECT_EQ(reason(parse_request(Bytes(20000, 0x30))), "request-size");
  Bytes longer = request.der;
  longer.push_back(0);
  EXPECT_EQ(reason(parse_request(longer)), "request-malformed");
  const Request other;
  const auto tbs = std::get<RequestFacts>(parse_request(request.der)).tbs;
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  EXPECT_EQ(reason(parse_request(test::sign_tbs(tbs, stranger))), "request-signature");
  for (std::size_t octet = 0; octet < request.der.size(); ++octet) {
    Bytes bent = request.der;
    bent[octet] ^= 0x41U;
    EXPECT_NE(reason(parse_request(bent)), "") << octet;
  }
}

TEST(Request, OfAPaiAsksForACa) {
  const test::MatterPki pki;
  crypto::SoftKey key = crypto::SoftKey::generate();
  const Bytes request =
      test::sign_tbs(ca_request_to_be_signed(pki.pai_spec, key.public_key()), key);
  const auto facts = std::get<RequestFacts>(parse_request(request));
  EXPECT_EQ(facts.subject, "CN=ACME PAI,VendorID=FFF1,ProductID=8000");
  EXPECT_EQ(to_hex(facts.extensions[0].value), "30060101ff020100");
}

/// An outside CA by `openssl ca`: takes the request's extensions, adds key identifiers.
class OutsideCa : public testing::Test {
 protected:
  void SetUp() override {
    std::ofstream{folder_ / "ca.cnf"}
        << "[ca]\ndefault_ca=d\n[d]\ndir=.\ndatabase=index\nnew_certs_dir=.\nserial=serial\n"
           "certificate=ca.pem\nprivate_key=ca.key\ndefault_md=sha256\npolicy=p\nunique_subject="
           "no\n"
           "copy_extensions=copy\nx509_extensions=x\nstring_mask=utf8only\npreserve=yes\n"
           "[p]\ncommonName=supplied\norganizationName=optional\n"
           "[x]\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    std::ofstream{folder_ / "index"};
    std::ofstream{folder_ / "serial"} << "1000\n";
    run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out "
        "ca.pem -subj /CN=Outside "
        "-days 9000 -addext keyUsage=critical,keyCertSign,cRLSign");
  }

  void run(const std::string& command) {
    const auto done =
        keyferry::test::run_command("cd " + folder_.path().string() + " && " + command);
    ASSERT_EQ(done.status, 0) << command << "\n" << done.output;
  }

  /// The certificate that `openssl ca` gives for this request.
  Bytes issue(const Bytes& request,
              const std::string& options = "-startdate 20260601000000Z -enddate 20360601000000Z") {
    std::ofstream{folder_ / "r.pem"} << to_pem(kPemRequest, request);
    run("openssl ca -config ca.cnf -batch -notext -in r.pem -out c.pem " + options);
    const auto certificates =
        std::get<std::vector<Bytes>>(read_certificates(as_bytes(read(folder_ / "c.pem"))));
    return certificates.front();
  }

  keyferry::test::TempFolder folder_;
};

TEST_F(OutsideCa, GivesWhatIsAccepted) {
  const Request request;
  const Bytes certificate = issue(request.der);
  EXPECT_EQ(reason(check_outside_certificate(
                certificate, wanted(), test::fields(), request.key.public_key())),
            "");
}

TEST_F(OutsideCa, GivesACertificateForAnotherKeyOrSubject) {
  const Request request;
  const Request other;
  const Bytes certificate = issue(request.der);
  EXPECT_EQ(reason(check_outside_certificate(
                certificate, wanted(), test::fields(), other.key.public_key())),
            "certificate-key");
  SubjectFields fields = test::fields();
  fields.device_serial = "DEV-0002";
  EXPECT_EQ(
      reason(check_outside_certificate(certificate, wanted(), fields, request.key.public_key())),
      "certificate-subject");
}

TEST_F(OutsideCa, GivesALongerValidityOrSha1) {
  const Request request;
  const auto check = [&](const std::string& options) {
    return reason(check_outside_certificate(
        issue(request.der, options), wanted(), test::fields(), request.key.public_key()));
  };
  EXPECT_EQ(check("-startdate 20260601000000Z -enddate 20360601000001Z"), "certificate-validity");
  EXPECT_EQ(check("-startdate 20260530000000Z -enddate 20360601000000Z"), "certificate-validity");
  EXPECT_EQ(check("-startdate 20260531230000Z -enddate 20350601000000Z"), "");
  EXPECT_EQ(check("-startdate 20260601000000Z -enddate 20360601000000Z -md sha1"),
            "certificate-profile");
}

TEST_F(OutsideCa, LeavesOutOrAddsWhatWasNotAsked) {
  const Request request;
  const auto check = [&](DeviceTemplate device_template, const char* dates = "") {
    static_cast<void>(dates);
    return reason(check_outside_certificate(
        issue(request.der), device_template, test::fields(), request.key.public_key()));
  };
  DeviceTemplate other = wanted();
  other.extended_key_usage.clear();
  EXPECT_EQ(check(other), "certificate-usage");
  other = wanted();
  other.alt_names = {"dns:{device_serial}.other.example"};
  EXPECT_EQ(check(other), "certificate-alt-name");
  other = wanted();
  other.policies = {"1.2.3.4"};
  EXPECT_EQ(check(other), "certificate-extension");
}

TEST_F(OutsideCa, CertifiesAPaiOfOurs) {
  const test::MatterPki pki;
  crypto::SoftKey key = crypto::SoftKey::generate();
  SystemRandom random;
  const CertificateFacts paa = test::facts_of(pki.paa);
  crypto::SoftKey paa_key = crypto::SoftKey::generate();
  const Bytes certificate = test::sign_tbs(
      ca_to_be_signed(pki.pai_spec, make_serial(random), key.public_key(), paa), paa_key);
  EXPECT_EQ(reason(check_outside_ca(certificate, pki.pai_spec, key.public_key())), "");
  EXPECT_EQ(reason(check_outside_ca(certificate, pki.pai_spec, paa_key.public_key())),
            "certificate-key");
  CaSpec other = pki.pai_spec;
  other.matter.product_id.reset();
  EXPECT_EQ(reason(check_outside_ca(certificate, other, key.public_key())), "certificate-subject");
  other = pki.pai_spec;
  other.not_after = at("2050-01-01T00:00:00Z");
  EXPECT_EQ(reason(check_outside_ca(certificate, other, key.public_key())), "certificate-validity");
  EXPECT_EQ(reason(check_outside_ca(pki.dac, pki.pai_spec, pki.dac_key.public_key())),
            "certificate-subject");
}

TEST(OutsideCertificate, MayHaveOtherStringTypesButNotForMattersIds) {
  test::MatterPki pki;
  const auto check = [&](const Bytes& subject) {
    test::Parts parts = test::Parts::of(pki.dac);
    parts.subject = subject;
    return reason(check_outside_certificate(
        parts.build(pki.pai_key), pki.dac_template, test::fields(), pki.dac_key.public_key()));
  };
  const Bytes printable_cn = test::rdn(test::kCn, der::kPrintableString, "ACME DEV-0001");
  const Bytes vid = test::rdn(test::kVid, der::kUtf8String, "FFF1");
  const Bytes pid = test::rdn(test::kPid, der::kUtf8String, "8000");
  EXPECT_EQ(check(der::sequence({printable_cn, vid, pid})), "");
  const Bytes printable_vid = test::rdn(test::kVid, der::kPrintableString, "FFF1");
  EXPECT_EQ(check(der::sequence({printable_cn, printable_vid, pid})), "certificate-subject");
  EXPECT_EQ(check(der::sequence({vid, pid, printable_cn})), "certificate-subject");
}

TEST(RequestFile, IsToldByWhatIsInIt) {
  const Request request;
  const std::string pem = to_pem(kPemRequest, request.der);
  EXPECT_TRUE(is_request_file(request.der));
  EXPECT_TRUE(is_request_file(as_bytes(pem)));
  EXPECT_TRUE(is_request_file(as_bytes("subject=CN=x\r\n" + pem + pem)));
  const test::MatterPki pki;
  const std::string certificate = to_pem(kPemCertificate, pki.dac);
  EXPECT_FALSE(is_request_file(pki.dac));
  EXPECT_FALSE(is_request_file(as_bytes(certificate)));
  EXPECT_FALSE(is_request_file(as_bytes(pem + certificate))) << "what else is in it is looked at";
  EXPECT_FALSE(is_request_file(as_bytes(certificate + pem)));
  Bytes bent = request.der;
  bent.back() ^= 1U;
  EXPECT_FALSE(is_request_file(bent));
  EXPECT_FALSE(is_request_file({}));
  EXPECT_FALSE(is_request_file(as_bytes("hello")));
}

}  // namespace
}  // namespace keyferry::x509
