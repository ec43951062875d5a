#include "wrap/x509/crl_reader.h"

#include <gtest/gtest.h>

#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "tests/wrap/x509/fixture.h"
#include "wrap/base/durable_file.h"
#include "wrap/x509/crl.h"
#include "wrap/x509/der.h"
#include "wrap/x509/pem.h"
#include "wrap/x509/serial.h"

namespace keyferry::x509 {
namespace {

constexpr UtcMillis kThis{1'790'000'000'000};
constexpr UtcMillis kNext{1'800'000'000'000};

// OIDs of id-ce (RFC 5280 section 5.2 and 5.3) and what the tests put under them.
Bytes extension(std::string_view oid, const Bytes& value, bool critical) {
  return der::sequence(
      {der::oid(oid), critical ? der::boolean(true) : Bytes{}, der::octet_string(value)});
}

/// A CRL in parts, each whole DER.
struct Parts {
  Bytes version = der::integer(1);
  Bytes algorithm = *from_hex("300a06082a8648ce3d040302");
  Bytes issuer;
  Bytes this_update = der::time(kThis);
  Bytes next_update = der::time(kNext);
  std::vector<Bytes> entries;
  std::vector<Bytes> extensions;

  [[nodiscard]] Bytes tbs() const {
    Bytes list, all;
    for (const Bytes& entry : entries) append(list, entry);
    for (const Bytes& one : extensions) append(all, one);
    return der::sequence(
        {version,
         algorithm,
         issuer,
         this_update,
         next_update,
         list.empty() ? Bytes{} : der::sequence({list}),
         all.empty() ? Bytes{} : der::tlv(der::context_constructed(0), der::sequence({all}))});
  }
};

Bytes entry(const Bytes& serial, const Bytes& extensions = {}) {
  return der::sequence(
      {serial, der::time(kThis), extensions.empty() ? Bytes{} : der::sequence({extensions})});
}

Bytes reason_extension(std::uint8_t code) {
  return extension("2.5.29.21", der::tlv(der::kEnumerated, ByteView{&code, 1}), false);
}

class CrlReader : public ::testing::Test {
 protected:
  CrlReader() { parts_.issuer = ca_.facts().subject_name; }

  [[nodiscard]] Bytes sign(const Bytes& tbs) { return test::sign_tbs(tbs, ca_.key); }

  [[nodiscard]] Bytes made() { return sign(parts_.tbs()); }

  [[nodiscard]] std::string refused() { return test::reason(parse_crl(made())); }

  [[nodiscard]] CrlContents read(const Bytes& der) {
    auto parsed = parse_crl(der);
    EXPECT_EQ(test::reason(parsed), "");
    return std::get<CrlContents>(std::move(parsed));
  }

  test::Ca ca_;
  Parts parts_;
};

TEST_F(CrlReader, ReadsWhatOurBuilderMakes) {
  const CertificateFacts issuer = ca_.facts();
  CrlBuilder builder{{issuer.subject_name, issuer.subject_key_identifier, 300, kThis, kNext}};
  builder.add(Bytes(16, 0xcc), kThis, 5);
  builder.add(*from_hex("00000000000000000000000000000102"), kThis, 0);
  const CrlContents crl = read(sign(builder.to_be_signed()));
  EXPECT_EQ(crl.this_update, kThis);
  EXPECT_EQ(crl.next_update, kNext);
  EXPECT_EQ(crl.number, (Bytes{0x01, 0x2c}));
  ASSERT_EQ(crl.entries.size(), 2U);
  ASSERT_NE(crl.find(Bytes(16, 0xcc)), nullptr);
  EXPECT_EQ(crl.find(Bytes(16, 0xcc))->reason, 5);
  EXPECT_NE(crl.find(*stored_serial(Bytes{0x01, 0x02})), nullptr);
  EXPECT_EQ(crl.find(Bytes(16, 0xcd)), nullptr);
  EXPECT_EQ(check_crl_issuer(crl, issuer), std::nullopt);
}

/// The CRLs of `openssl ca`, with and without extensions of its own (RFC 5280 v2 and v1).
TEST_F(CrlReader, ReadsWhatOpensslMakes) {
  const keyferry::test::TempFolder folder;
  const auto path = [&](const char* name) { return (folder / name).string(); };
  const auto write = [&](const char* name, std::string_view text) {
    write_file_durably(folder / name, as_bytes(text), Overwrite::Replace);
  };
  const auto run = [](const std::string& command) {
    const auto done = keyferry::test::run_command(command + " 2>&1");
    EXPECT_EQ(done.status, 0) << done.output;
  };
  run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=Outside' "
      "-days 365 -addext "
      "keyUsage=critical,keyCertSign,cRLSign -keyout " +
      path("key") + " -out " + path("ca"));
  write("conf",
        "[ca]\ndefault_ca=c\n[c]\ndatabase=" + path("index") + "\ncertificate=" + path("ca") +
            "\nprivate_key=" + path("key") + "\ncrlnumber=" + path("number") +
            "\ndefault_md=sha256\ndefault_crl_days=30\n[ext]\n"
            "authorityKeyIdentifier=keyid\n");
  write("index",
        "R\t350101000000Z\t261001000000Z,keyCompromise\t00C0FFEE\tunknown\t/CN=a\n"
        "R\t350101000000Z\t261001000000Z,certificateHold\t02\tunknown\t/CN=b\n"
        "R\t350101000000Z\t261001000000Z\tFF0102030405060708090A0B0C0D0E0F\tunknown\t/CN=c\n");
  write("number", "0A\n");
  const CertificateFacts issuer = std::get<CertificateFacts>(
      parse_certificate(std::get<std::vector<Bytes>>(
                            from_pem(as_chars(read_file(folder / "ca", 10'000)), kPemCertificate))
                            .front()));
  for (const char* more : {"", " -crlexts ext"}) {
    run("openssl ca -config " + path("conf") + " -gencrl -out " + path("crl") + more);
    const CrlContents crl =
        read(std::get<std::vector<Bytes>>(
                 from_pem(as_chars(read_file(folder / "crl", 10'000)), "X509 CRL"))
                 .front());
    EXPECT_EQ(check_crl_issuer(crl, issuer), std::nullopt) << more;
    EXPECT_EQ(crl.on_hold, 1U);
    ASSERT_EQ(crl.entries.size(), 2U);
    ASSERT_NE(crl.find(*stored_serial(Bytes{0xc0, 0xff, 0xee})), nullptr);
    EXPECT_EQ(crl.find(*stored_serial(Bytes{0xc0, 0xff, 0xee}))->reason, 1);
    EXPECT_NE(crl.find(*from_hex("ff0102030405060708090a0b0c0d0e0f")), nullptr);
  }
}

TEST_F(CrlReader, TakesAPartitionedCrlOfDevices) {
  const Bytes only_user_certificates = der::tlv(der::context_primitive(1), Bytes{0xff});
  parts_.entries = {entry(der::integer(7))};
  parts_.extensions = {extension("2.5.29.28", der::sequence({only_user_certificates}), true)};
  EXPECT_EQ(refused(), "");
}

TEST_F(CrlReader, RefusesKindsThatSayOtherThings) {
  const Bytes yes{0xff};
  const auto point = [&](unsigned field) {
    return extension(
        "2.5.29.28", der::sequence({der::tlv(der::context_primitive(field), yes)}), true);
  };
  for (const Bytes& bad : {point(4),
                           point(5),
                           extension("2.5.29.27", der::integer(3), true),  // delta
                           extension("1.2.3.4", der::integer(3), true)}) {
    parts_.extensions = {bad};
    EXPECT_EQ(refused(), "crl-profile");
  }
  parts_.extensions = {extension("1.2.3.4", der::integer(3), false)};
  EXPECT_EQ(refused(), "") << "one that is not critical may be anything";
  parts_.entries = {
      entry(der::integer(7), extension("2.5.29.29", der::integer(1), true))};  // certificateIssuer
  EXPECT_EQ(refused(), "crl-profile");
}

TEST_F(CrlReader, RefusesAnotherSignatureAlgorithm) {
  parts_.algorithm = *from_hex("300a06082a8648ce3d040303");  // ecdsa-with-SHA384
  EXPECT_EQ(refused(), "crl-malformed") << "inside and outside differ";
  Bytes crl = made();
  const Bytes sha256 = *from_hex("300a06082a8648ce3d040302");
  const auto at = std::ranges::search(crl, sha256);
  ASSERT_FALSE(at.empty());
  *(at.end() - 1) = 0x03;
  EXPECT_EQ(test::reason(parse_crl(crl)), "crl-profile");
}

TEST_F(CrlReader, RefusesWhatIsNotStrict) {
  const auto with = [this](auto change) {
    Parts parts = parts_;
    change(parts);
    return test::reason(parse_crl(sign(parts.tbs())));
  };
  EXPECT_EQ(with([](Parts& p) {
              p.entries = {entry(der::integer(7)), entry(der::integer(7))};
            }),
            "crl-malformed");
  EXPECT_EQ(with([](Parts& p) { p.entries = {entry(der::tlv(der::kInteger, Bytes{0x80}))}; }),
            "crl-malformed")
      << "negative";
  EXPECT_EQ(with([](Parts& p) {
              p.entries = {entry(der::tlv(der::kInteger, Bytes{0x00, 0x01}))};
            }),
            "crl-malformed");
  EXPECT_EQ(with([](Parts& p) { p.entries = {entry(der::integer(Bytes(21, 0x11)))}; }),
            "crl-malformed");
  EXPECT_EQ(with([](Parts& p) { p.entries = {entry(der::integer(7), reason_extension(11))}; }),
            "crl-malformed");
  EXPECT_EQ(with([](Parts& p) { p.this_update = der::utf8_string("now"); }), "crl-malformed");
  EXPECT_EQ(with([](Parts& p) { p.next_update = der::time(UtcMillis{kThis.value - 1000}); }),
            "crl-malformed");
  EXPECT_EQ(with([](Parts& p) { p.version = der::integer(2); }), "crl-profile");
  EXPECT_EQ(with([](Parts& p) { p.issuer = der::sequence({}); }), "crl-malformed");
  EXPECT_EQ(with([](Parts& p) { p.next_update.clear(); }), "") << "nextUpdate is optional";
}

TEST_F(CrlReader, CountsWhatIsOnHoldAndDoesNotCallItRevoked) {
  parts_.entries = {entry(der::integer(7), reason_extension(6)),
                    entry(der::integer(8), reason_extension(4))};
  const CrlContents crl = read(made());
  EXPECT_EQ(crl.on_hold, 1U);
  EXPECT_EQ(crl.find(*stored_serial(Bytes{7})), nullptr);
  EXPECT_NE(crl.find(*stored_serial(Bytes{8})), nullptr);
}

TEST_F(CrlReader, IsOfTheCaThatSignedItAndOfNoOther) {
  const CrlContents crl = read(made());
  test::Ca same_name;
  EXPECT_EQ(test::reason(check_crl_issuer(crl, same_name.facts())), "crl-signature");
  test::Ca other;
  other.spec.subject = "CN=Other";
  other.certificate = other.make();
  EXPECT_EQ(test::reason(check_crl_issuer(crl, other.facts())), "crl-issuer");
  parts_.extensions = {extension(
      "2.5.29.35", der::sequence({der::tlv(der::context_primitive(0), Bytes(20, 1))}), false)};
  EXPECT_EQ(test::reason(check_crl_issuer(read(made()), ca_.facts())), "crl-issuer")
      << "another key of that name";
}

/// No cut and no changed octet makes it another list of the same CA.
TEST_F(CrlReader, RefusesEveryCutAndEveryChangedOctet) {
  parts_.entries = {entry(der::integer(7)), entry(der::integer(8), reason_extension(1))};
  parts_.extensions = {extension("2.5.29.20", der::integer(9), false)};
  const Bytes good = made();
  for (std::size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(test::reason(parse_crl(ByteView{good}.first(size))), "") << size;
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= 0x01;
    const auto parsed = parse_crl(bad);
    const auto* crl = std::get_if<CrlContents>(&parsed);
    EXPECT_TRUE(crl == nullptr || check_crl_issuer(*crl, ca_.facts())) << at;
  }
  EXPECT_EQ(test::reason(parse_crl(Bytes(kMaxCrlBytes + 1, 0x30))), "crl-size");
}

}  // namespace
}  // namespace keyferry::x509
