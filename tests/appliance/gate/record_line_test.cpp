// The records of a segment on SoftHSM behind the shim: order, recovery in the middle, serials. A program of its own: the
// shim reads its script when the module is loaded.
#include "appliance/gate/record_line.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "appliance/gate/key_acts.h"
#include "keyferry/v1/worker.pb.h"
#include "tests/shim/shim_store.h"
#include "tests/wrap/x509/matter_fixture.h"
#include "wrap/base/clock.h"

namespace keyferry::appliance {
namespace {

using test_support::kUserPin;
using test_support::pin;
using test_support::ShimStore;

constexpr std::uint32_t kFirst = 1000;
constexpr std::int64_t kDayMs = 86'400'000;

GateSettings settings() {
  GateSettings settings;
  settings.uri = "pkcs11:token=behind-the-shim?module-path=" + ShimStore::shim().string();
  return settings;
}

/// A logged-in Hsm under `script`. One at a time.
class ShimHsm {
 public:
  explicit ShimHsm(std::string_view script, unsigned threads = 1) {
    static_cast<void>(ShimStore::shared().load(script));  // writes the script; the Hsm loads the module itself
    GateSettings with_threads = settings();
    with_threads.threads = threads;
    hsm_ = std::make_unique<Hsm>(with_threads, pin(kUserPin), BlankToken::Refuse);
    if (hsm_->login(pin(kUserPin)) != p11::LoginResult::Ok) throw Error{Code::Hsm, "no login"};
    hsm_->probe();
  }

  Hsm& operator*() { return *hsm_; }

  void recover(p11::Recovery recovery) {
    recoveries.push_back(recovery);
    hsm_->recover(recovery, pin(kUserPin));
  }

  std::vector<p11::Recovery> recoveries;

 private:
  std::unique_ptr<Hsm> hsm_;
};

class RecordLineTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ShimHsm hsm{""};
    v1::MakeKey authority;
    authority.set_role("ca");
    authority.set_name("ca");
    authority.set_subject("CN=Test CA");
    authority.set_not_before_ms(now().value);
    authority.set_not_after_ms(now().value + 365 * kDayMs);
    v1::KeyMade made;
    make_key(*hsm, random_, authority, nullptr, made);
    request_.set_ca_certificate(made.certificate());
    v1::MakeKey master;
    master.set_role("transport-master");
    master.set_name("m");
    master.set_kdf("kf-kdf-1");
    make_key(*hsm, random_, master, nullptr, made);
    v1::TransportMaster& known = *request_.add_transport_masters();
    known.set_name("m");
    known.set_kdf("kf-kdf-1");
    batch_.certificate_authority = "ca";
    batch_.certificate_template = "device";
    batch_.certificate_subject = "CN={device_serial}";
    batch_.not_before = now();
    batch_.not_after = UtcMillis{now().value + 30 * kDayMs};
  }

  static UtcMillis now() {
    static const UtcMillis moment = SystemClock{}.now();
    return moment;
  }

  static std::vector<se::Entry> entries(std::uint32_t count) {
    std::vector<se::Entry> all;
    for (std::uint32_t i = 0; i < count; ++i) {
      all.push_back(se::Entry{.serial = *SeSerial::from_bytes(as_bytes(fmt::format("{:016x}", i + 1))),
                              .part = "",
                              .lot = "",
                              .device_serial = fmt::format("D{:05}", i),
                              .transport_name = "m",
                              .transport_data = {}});
    }
    return all;
  }

  /// Makes a segment of `count` under `script` and holds each record against its entry; serials and keys against all that
  /// this program ever saw.
  void make(std::string_view script, unsigned threads, std::uint32_t count) {
    ShimHsm hsm{script, threads};
    const std::vector<se::Entry> all = entries(count);
    RecordLine line{*hsm, random_, RecordLine::Order{batch_, request_, all, RecordNo{kFirst}, threads},
                    [&hsm](p11::Recovery recovery) { hsm.recover(recovery); }};
    for (std::uint32_t i = 0; i < count; ++i) {
      const MadeRecord made = line.next();
      ASSERT_EQ(made.record.record_no, RecordNo{kFirst + i});
      ASSERT_EQ(made.record.se_serial, all[i].serial);
      const ByteView subject = as_bytes(all[i].device_serial);
      ASSERT_FALSE(std::ranges::search(made.record.certificate, subject).empty()) << "another one's certificate at " << i;
      ASSERT_TRUE(seen_serials_.insert(made.serial).second) << "a serial that was used before at " << i;
      ASSERT_TRUE(seen_keys_.insert(to_hex(made.record.public_key.point())).second) << "a key that was used before at " << i;
    }
    recoveries_ = hsm.recoveries;
  }

  std::vector<p11::Recovery> recoveries_;

  static inline SystemRandom random_;
  static inline v1::MakeSegment request_;
  static inline BatchPlan batch_;
  static inline std::set<x509::CertificateSerial> seen_serials_;
  static inline std::set<std::string> seen_keys_;
};

TEST_F(RecordLineTest, OneThreadUsesTheHsmsOwnSession) {
  make("", 1, 20);
  EXPECT_TRUE(recoveries_.empty());
}

TEST_F(RecordLineTest, FourThreadsKeepTheOrder) {
  make("latency C_GenerateKeyPair 300\n", 4, 120);
  EXPECT_TRUE(recoveries_.empty());
}

TEST_F(RecordLineTest, TakesAsManyThreadsAsTheModuleGivesSessions) {
  make("max-sessions 3\n", 4, 40);
  make("max-sessions 1\n", 4, 40);
  EXPECT_TRUE(recoveries_.empty());
}

TEST_F(RecordLineTest, BeginsTheRecordAgainInANewSession) {
  for (const unsigned threads : {1U, 4U}) {
    make("fault C_WrapKey label= rv=CKR_SESSION_HANDLE_INVALID close nth=10\n", threads, 40);
    EXPECT_EQ(recoveries_, std::vector{p11::Recovery::NewSession});
  }
}

TEST_F(RecordLineTest, LoadsTheModuleAgainWhenTheDeviceWasGone) {
  for (const unsigned threads : {1U, 4U}) {
    const auto once = ShimStore::shared().folder() / fmt::format("gone-{}", threads);
    make(fmt::format("fault C_Sign label=kf-ca/* rv=CKR_DEVICE_REMOVED gone sticky nth=10 once={}\n", once.string()), threads, 40);
    // Another thread may have been told of its session before anybody was told of the device.
    ASSERT_FALSE(recoveries_.empty());
    EXPECT_EQ(recoveries_.back(), p11::Recovery::NewModule);
  }
}

TEST_F(RecordLineTest, ARecordWhoseKeysWereNotDestroyedIsGoodAndItsSessionIsClosed) {
  make("fault C_DestroyObject class=private label= rv=CKR_GENERAL_ERROR nth=10\n", 1, 20);
  EXPECT_EQ(recoveries_, std::vector{p11::Recovery::NewSession});
  make("fault C_DestroyObject class=private label= rv=CKR_GENERAL_ERROR nth=10\n", 4, 40);
  EXPECT_TRUE(recoveries_.empty());  // the threads' sessions are its own
}

TEST_F(RecordLineTest, ANewSessionThatFailsAfterAGoodRecordDoesNotCostTheRecord) {
  make("fault C_DestroyObject class=private label= rv=CKR_GENERAL_ERROR nth=10\n"
       "fault C_OpenSession rv=CKR_DEVICE_MEMORY nth=2\n",
       1, 15);  // the counts begin anew with the module
  EXPECT_EQ(recoveries_, (std::vector{p11::Recovery::NewSession, p11::Recovery::NewModule}));
}

TEST_F(RecordLineTest, WhatFailsEachTimeIsToldWithTheRecordAndWhatToDo) {
  for (const unsigned threads : {1U, 4U}) {
    try {
      make("fault C_WrapKey label= rv=CKR_DEVICE_MEMORY nth=10 repeat\n", threads, 20);
      FAIL() << "it was made";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::Hsm);
      EXPECT_NE(std::string{error.what()}.find("record 10"), std::string::npos) << error.what();
      EXPECT_NE(std::string{error.what()}.find("C_WrapKey: CKR_DEVICE_MEMORY"), std::string::npos) << error.what();
      EXPECT_NE(error.hint().find("the same command again"), std::string::npos) << error.hint();
    }
  }
}

TEST_F(RecordLineTest, AnAnswerThatRepeatingCannotHelpIsNotRepeated) {
  try {
    make("fault C_WrapKey label= rv=CKR_KEY_NOT_WRAPPABLE nth=10\n", 1, 20);
    FAIL() << "it was made";
  } catch (const p11::Pkcs11Error& error) {
    EXPECT_EQ(error.function(), "C_WrapKey");
  }
}

/// The worker is told the issuer's certificate: one that the lint refuses gets nothing below it, and no key is made for it.
TEST_F(RecordLineTest, MakesNoCaKeyWhoseCertificateWouldNotPassTheLint) {
  ShimHsm hsm{""};
  const auto parsed = x509::parse_certificate(as_bytes(request_.ca_certificate()));
  const auto& issuer = std::get<x509::CertificateFacts>(parsed);
  v1::MakeKey below;
  below.set_role("ca");
  below.set_name("below");
  below.set_profile("intermediate");
  below.set_subject("CN=Below");
  below.set_not_before_ms(issuer.not_before.value);
  below.set_not_after_ms(issuer.not_after.value);
  below.set_issuer("ca");
  // The same CA with room below it, but its basicConstraints are not critical (RFC 5280 4.2.1.9).
  x509::test::Parts parts = x509::test::Parts::of(to_bytes(as_bytes(request_.ca_certificate())));
  parts.set(19, false, x509::der::sequence({x509::der::boolean(true), x509::der::integer(1)}));
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  below.set_issuer_certificate(to_string(parts.build(stranger)));
  v1::KeyMade made;
  try {
    make_key(*hsm, random_, below, nullptr, made);
    ADD_FAILURE() << "it was made";
  } catch (const Error& error) {
    EXPECT_NE(std::string{error.what()}.find("x509-ca-constraints"), std::string::npos) << error.what();
  }
  EXPECT_FALSE((*hsm).session().find_one(p11::ObjectClass::PrivateKey, "kf-ca/below"));
}

}  // namespace
}  // namespace keyferry::appliance
