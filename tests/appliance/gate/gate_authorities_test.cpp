// CAs past the front end: what the gate and its worker refuse whatever a front end says, and what a request's
// certificate must be.
#include <algorithm>

#include "tests/appliance/gate/gate_fixture.h"
#include "tests/appliance/gate/test_ca_chain.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/crl.h"
#include "wrap/x509/path.h"
#include "wrap/x509/request.h"

namespace keyferry::appliance::test {
namespace {

UtcMillis in_years(int years) {
  static const UtcMillis kNow = SystemClock{}.now();  // once: a CA must not outlive its issuer by a second
  return UtcMillis{kNow.value + std::int64_t{years} * 365 * 86'400'000};
}

class Authorities : public GateFixture {
 protected:
  void SetUp() override {
    gate_ = start_gate();
    static_cast<void>(open(*gate_));
    make_appliance(*gate_);
  }

  template <typename Detail>
  [[nodiscard]] Plan plan_of(Operation operation, Detail detail) {
    Plan made = plan(operation);
    made.detail = std::move(detail);
    return parsed(made);
  }

  v1::GateReply done(Operation operation, decltype(Plan::detail) detail) {
    return run(*gate_, plan_of(operation, std::move(detail)));
  }

  void expect_refused(const Plan& plan, std::string_view words) {
    const Error refusal = refusal_of(*gate_, run_request(plan));
    EXPECT_NE(std::string{refusal.what()}.find(words), std::string::npos) << refusal.what();
  }

  [[nodiscard]] static CaCreatePlan ca(std::string name, x509::CaKind kind, std::string issuer,
                                       std::uint8_t path_length) {
    CaCreatePlan plan{name, "CN=" + name, in_years(-1), in_years(10)};
    plan.kind = kind;
    plan.issuer = std::move(issuer);
    plan.path_length = path_length;
    return plan;
  }

  [[nodiscard]] static CaCreatePlan matter(std::string name, x509::CaKind kind, std::string issuer,
                                           std::uint16_t vendor) {
    CaCreatePlan plan = ca(std::move(name), kind, std::move(issuer), kind == x509::CaKind::MatterPaa ? 1 : 0);
    plan.matter.vendor_id = vendor;
    return plan;
  }

  [[nodiscard]] const v1::CertificateAuthority& row(const std::string& name) const {
    const auto found = std::ranges::find_if(registry_.authorities(),
                                            [&](const v1::CertificateAuthority& one) { return one.name() == name; });
    if (found == registry_.authorities().end()) throw Error{Code::NotFound, name};
    return *found;
  }

  /// A batch under that CA.
  [[nodiscard]] Plan under(const std::string& authority, const std::string& of, const std::string& subject,
                           const std::string& more = "") {
    Plan batch = batch_plan(4, 4);
    auto& detail = std::get<BatchPlan>(batch.detail);
    detail.certificate_authority = authority;
    detail.certificate_template = of;
    detail.certificate_subject = subject;
    detail.certificate_text = "template = \"" + of + "\"\nsubject = \"" + subject + "\"\n" + more;
    return parsed(batch);
  }

  /// A PAA elsewhere certifies `key`: the chain to install.
  [[nodiscard]] std::vector<Bytes> certified(const crypto::PublicKey& key, const std::string& subject,
                                             std::uint16_t vendor) {
    const auto sign = [this](const Bytes& tbs) { return x509::assemble(tbs, paa_.sign_digest(crypto::sha256(tbs))); };
    const x509::CaSpec above{"CN=PAA", in_years(-2), in_years(20), std::uint8_t{1}, x509::CaKind::MatterPaa, {}};
    const Bytes anchor = sign(x509::ca_to_be_signed(above, x509::make_serial(random_), paa_.public_key()));
    const auto issuer = std::get<x509::CertificateFacts>(x509::parse_certificate(anchor));
    x509::CaSpec spec{subject, in_years(-1), in_years(10), std::uint8_t{0}, x509::CaKind::MatterPai, {}};
    spec.matter.vendor_id = vendor;
    return {sign(x509::ca_to_be_signed(spec, x509::make_serial(random_), key, issuer)), anchor};
  }

  [[nodiscard]] crypto::PublicKey requested() {
    CaRequestPlan plan{"pai", "CN=PAI"};
    plan.kind = x509::CaKind::MatterPai;
    plan.matter.vendor_id = std::uint16_t{0xFFF1};
    done(Operation::CaRequest, plan);
    const auto request = x509::parse_request(as_bytes(row("pai").request()));
    return std::get<x509::RequestFacts>(request).key;
  }

  [[nodiscard]] Bytes serial_of(const std::string& name) const {
    const auto facts = std::get<x509::CertificateFacts>(x509::parse_certificate(as_bytes(row(name).certificate())));
    return to_bytes(x509::serial_from_content(facts.serial).value().bytes());
  }

  SystemRandom random_;
  crypto::SoftKey paa_ = crypto::SoftKey::generate();
  std::unique_ptr<GateClient> gate_;
};

TEST_F(Authorities, StandBelowEachOtherAndTheirChainVerifies) {
  done(Operation::CaCreate, ca("root", x509::CaKind::Root, "", 2));
  done(Operation::CaCreate, ca("middle", x509::CaKind::Intermediate, "root", 1));
  done(Operation::CaCreate, ca("low", x509::CaKind::Intermediate, "middle", 0));
  const v1::CertificateAuthority& low = row("low");
  ASSERT_EQ(low.issuers_size(), 2);
  EXPECT_EQ(low.issuers(0), row("middle").certificate());
  EXPECT_EQ(low.issuers(1), row("root").certificate());
  expect_refused(plan_of(Operation::CaCreate, ca("deeper", x509::CaKind::Intermediate, "low", 0)), "");
  expect_refused(plan_of(Operation::CaCreate, ca("wide", x509::CaKind::Intermediate, "middle", 1)), "path length");
}

TEST_F(Authorities, OfMatterFitTheirPaa) {
  done(Operation::CaCreate, matter("paa", x509::CaKind::MatterPaa, "", 0xFFF1));
  expect_refused(plan_of(Operation::CaCreate, matter("other", x509::CaKind::MatterPai, "paa", 0xFFF2)), "FFF2");
  expect_refused(plan_of(Operation::CaCreate, matter("under-root", x509::CaKind::MatterPai, "ca", 0xFFF1)), "no matter-pai");
  expect_refused(plan_of(Operation::CaCreate, ca("sub", x509::CaKind::Intermediate, "paa", 0)), "intermediate");
  CaCreatePlan longer = matter("long", x509::CaKind::MatterPai, "paa", 0xFFF1);
  longer.not_after = in_years(11);
  expect_refused(plan_of(Operation::CaCreate, longer), "valid from");
  done(Operation::CaCreate, matter("pai", x509::CaKind::MatterPai, "paa", 0xFFF1));
  EXPECT_EQ(row("pai").vendor_id(), 0xFFF1U);
  expect_refused(plan_of(Operation::CaCreate, matter("pai", x509::CaKind::MatterPai, "paa", 0xFFF1)), "already");
}

TEST_F(Authorities, OfMatterIssueNothingButDacsAlsoWhereTheirSubjectNamesNoVendor) {
  done(Operation::CaCreate, ca("bare", x509::CaKind::MatterPaa, "", 1));
  done(Operation::CaCreate, matter("paa", x509::CaKind::MatterPaa, "", 0xFFF1));
  done(Operation::CaCreate, matter("pai", x509::CaKind::MatterPai, "paa", 0xFFF1));
  for (const char* name : {"bare", "paa", "pai"}) {
    for (const char* of : {"device", "custom"})
      expect_refused(under(name, of, "CN={device_serial}"), "it issues no certificates of template");
  }
}

TEST_F(Authorities, OfMatterSignNoDacThatMayBeLongerThan600Octets) {
  done(Operation::CaCreate, matter("paa", x509::CaKind::MatterPaa, "", 0xFFF1));
  done(Operation::CaCreate, matter("pai", x509::CaKind::MatterPai, "paa", 0xFFF1));
  const auto batch_of = [this](const std::string& more) {
    return under("pai", "matter-dac", "CN={device_serial}" + more, "vendor_id = \"FFF1\"\nproduct_id = \"8000\"\n");
  };
  const Plan longer = batch_of(",O=" + std::string(64, 'o') + ",OU=" + std::string(64, 'u'));
  run(*gate_, longer);  // the front end's check of the plan was passed by
  const Made refused = make(*gate_, segment_request(longer, 0));
  ASSERT_TRUE(refused.error);
  EXPECT_NE(refused.error->text().find("a Matter attestation certificate has at most 600"), std::string::npos)
      << refused.error->text();
  const Plan fits = batch_of("");
  run(*gate_, fits);
  const Made taken = make(*gate_, segment_request(fits, 0));
  EXPECT_FALSE(taken.error) << taken.error->text();
}

TEST_F(Authorities, ThatArePendingOrOutsideIssueNothing) {
  static_cast<void>(requested());
  done(Operation::CaImport, CaImportPlan{"outside", x509::CaKind::Intermediate, test_ca_chain(2)});
  EXPECT_TRUE(row("outside").outside());
  expect_refused(plan_of(Operation::CaImport, CaImportPlan{"again", x509::CaKind::Intermediate, test_ca_chain(2)}),
                 "outside");
  for (const auto& [name, words] : {std::pair{"pai", "request is out"}, std::pair{"outside", "outside"}}) {
    Plan batch = batch_plan(4, 4);
    std::get<BatchPlan>(batch.detail).certificate_authority = name;
    expect_refused(parsed(batch), words);
    expect_refused(plan_of(Operation::CaCreate, ca("below", x509::CaKind::Intermediate, name, 0)), "");
    expect_refused(plan_of(Operation::CrlIssue, CrlIssuePlan{name, 1, {0, crypto::sha256({})}, in_years(1)}), name);
  }
}

TEST_F(Authorities, ThatOfficersRevokedIssueNothingNorDoThoseBelow) {
  done(Operation::CaCreate, ca("root", x509::CaKind::Root, "", 2));
  done(Operation::CaCreate, ca("middle", x509::CaKind::Intermediate, "root", 1));
  done(Operation::CaCreate, ca("low", x509::CaKind::Intermediate, "middle", 0));
  const CaRevokePlan good{"middle", "root", serial_of("middle"), "cACompromise", "key copied"};
  CaRevokePlan other = good;
  other.issuer = "ca";
  expect_refused(plan_of(Operation::CaRevoke, other), "another certificate or issuer");
  other = good;
  other.certificate_serial = serial_of("low");
  expect_refused(plan_of(Operation::CaRevoke, other), "another certificate or issuer");
  other = good;
  other.name = "nobody";
  expect_refused(plan_of(Operation::CaRevoke, other), "no certificate authority");
  expect_refused(plan_of(Operation::CaRevoke, CaRevokePlan{"root", "ca", serial_of("root"), "superseded", "x"}),
                 "is a root");

  done(Operation::CaRevoke, good);
  EXPECT_TRUE(row("middle").revoked());
  EXPECT_FALSE(row("low").revoked());
  expect_refused(plan_of(Operation::CaRevoke, good), "revoked before");
  for (const auto& [name, words] :
       {std::pair{"middle", "kf-ca/middle is revoked"}, std::pair{"low", "stands below kf-ca/middle"}}) {
    Plan batch = batch_plan(4, 4);
    std::get<BatchPlan>(batch.detail).certificate_authority = name;
    expect_refused(parsed(batch), words);
    expect_refused(plan_of(Operation::CaCreate, ca("below", x509::CaKind::Intermediate, name, 0)), words);
  }
  std::vector<Bytes> chain;
  for (const char* name : {"low", "middle", "root"}) chain.push_back(to_bytes(as_bytes(row(name).certificate())));
  expect_refused(plan_of(Operation::CaImport, CaImportPlan{"again", x509::CaKind::Intermediate, chain}),
                 "stands below kf-ca/middle");
  done(Operation::CaCreate, ca("beside", x509::CaKind::Intermediate, "root", 0));  // the root is as it was
}

TEST_F(Authorities, ThatAnOutsideOneCertifiedAreRevokedThere) {
  const crypto::PublicKey key = requested();
  done(Operation::CaInstall, CaInstallPlan{"pai", certified(key, "CN=PAI", 0xFFF1)});
  expect_refused(plan_of(Operation::CaRevoke, CaRevokePlan{"pai", "ca", serial_of("pai"), "superseded", "x"}),
                 "certified by CN=PAA, which is no CA in this HSM");
}

TEST_F(Authorities, ThatStandOutsideAreBelievedByTheirOwnCrlAlone) {
  const auto sign = [](crypto::SoftKey& key, const Bytes& tbs) {
    return x509::assemble(tbs, key.sign_digest(crypto::sha256(tbs)));
  };
  crypto::SoftKey outside = crypto::SoftKey::generate();
  const x509::CaSpec above{"CN=Outside root", in_years(-2), in_years(20), std::uint8_t{1}, x509::CaKind::Root, {}};
  const Bytes root = sign(paa_, x509::ca_to_be_signed(above, x509::make_serial(random_), paa_.public_key()));
  const x509::CaSpec spec{"CN=Outside", in_years(-1), in_years(10), std::uint8_t{0}, x509::CaKind::Intermediate, {}};
  const auto anchor = std::get<x509::CertificateFacts>(x509::parse_certificate(root));
  const Bytes issuing =
      sign(paa_, x509::ca_to_be_signed(spec, x509::make_serial(random_), outside.public_key(), anchor));
  done(Operation::CaImport, CaImportPlan{"outside", x509::CaKind::Intermediate, {issuing, root}});
  const auto issuer = std::get<x509::CertificateFacts>(x509::parse_certificate(issuing));

  const UtcMillis now{SystemClock{}.now().value / 1000 * 1000};
  const auto crl_of = [&](crypto::SoftKey& key, UtcMillis time) {
    x509::CrlBuilder builder{{issuer.subject_name, issuer.subject_key_identifier, 7, time, in_years(1)}};
    builder.add(Bytes(16, 0x11), time, 1);
    return sign(key, builder.to_be_signed());
  };
  const auto plan_for = [&](const Bytes& crl, UtcMillis time, const char* name = "outside", std::uint64_t records = 1) {
    return plan_of(Operation::CrlImport, CrlImportPlan{name, crypto::sha256(crl), time, {records, crypto::sha256({})}});
  };
  const auto request = [&](const Plan& plan, const Bytes& crl) {
    v1::GateRequest asked = run_request(plan);
    asked.mutable_run_plan()->set_outside_crl(to_string(crl));
    return asked;
  };
  const auto refused = [&](const Plan& plan, const Bytes& crl, std::string_view words) {
    const Error refusal = refusal_of(*gate_, request(plan, crl));
    EXPECT_NE(std::string{refusal.what()}.find(words), std::string::npos) << refusal.what();
  };

  const Bytes crl = crl_of(outside, now);
  const Bytes older = crl_of(outside, UtcMillis{now.value - 60'000});
  const UtcMillis in_two_days{now.value + 2 * 86'400'000};
  refused(plan_for(crl, now), older, "not the one that officers approved");
  refused(plan_for(crl, UtcMillis{now.value - 60'000}), crl, "does not say what the plan says");
  refused(plan_for(crl, now, "outside", 2), crl, "does not say what the plan says");
  refused(plan_for(crl, now, "ca"), crl, "no outside CA");
  refused(plan_for(Bytes(8, 0x30), now), Bytes(8, 0x30), "malformed");
  const Bytes forged = crl_of(paa_, now);
  refused(plan_for(forged, now), forged, "not signed by the enrolled key");
  const Bytes late = crl_of(outside, in_two_days);
  refused(plan_for(late, in_two_days), late, "24 hours");
  static_cast<void>(open(*gate_));

  gate_->call(request(plan_for(crl, now), crl));
  static_cast<void>(open(*gate_));
  v1::LogLeaf leaf;
  ASSERT_TRUE(leaf.ParseFromArray(ledger_.log.back().data(), static_cast<int>(ledger_.log.back().size())));
  EXPECT_EQ(leaf.outside_crl().authority(), "outside");
  EXPECT_EQ(leaf.outside_crl().crl_sha256(), crypto::sha256(crl).str());
  EXPECT_EQ(leaf.outside_crl().records(), 1U);
  refused(plan_for(older, UtcMillis{now.value - 60'000}), older, "was taken in before");
}

TEST_F(Authorities, TakeTheCertificateOfTheirRequestAndNoOther) {
  const crypto::PublicKey key = requested();
  const auto install = [this](std::vector<Bytes> chain) {
    return plan_of(Operation::CaInstall, CaInstallPlan{"pai", std::move(chain)});
  };
  expect_refused(install(certified(crypto::SoftKey::generate().public_key(), "CN=PAI", 0xFFF1)), "another key");
  expect_refused(install(certified(key, "CN=Other", 0xFFF1)), "CN=Other");
  expect_refused(install(certified(key, "CN=PAI", 0xFFF2)), "FFF2");
  expect_refused(install(test_ca_chain(2)), "another key");
  EXPECT_TRUE(row("pai").pending());
  const std::vector<Bytes> good = certified(key, "CN=PAI", 0xFFF1);
  done(Operation::CaInstall, CaInstallPlan{"pai", good});
  EXPECT_FALSE(row("pai").pending());
  EXPECT_EQ(row("pai").certificate(), to_string(good[0]));
  EXPECT_EQ(row("pai").issuers(0), to_string(good[1]));
  expect_refused(install(certified(key, "CN=PAI", 0xFFF1)), "already");
}

}  // namespace
}  // namespace keyferry::appliance::test
