#include "appliance/plan/plan.h"

#include <gtest/gtest.h>

#include <functional>

namespace keyferry::appliance {
namespace {

Plan batch() {
  Plan plan;
  plan.number = 7;
  plan.appliance = *ApplianceId::from_bytes(Bytes(32, 0xab));
  plan.expires = *from_rfc3339("2030-01-01T00:00:00Z");
  plan.files.emplace("firmware.bin", *Digest::from_bytes(Bytes(32, 1)));
  BatchPlan detail;
  detail.site = "site-1";
  detail.station = *StationId::from_bytes(Bytes(16, 2));
  detail.key_name = "dac";
  detail.se_count = 200;
  detail.target_count = 190;
  detail.segment_size = 64;
  detail.certificate_authority = "ca";
  detail.certificate_template = "device";
  detail.certificate_subject = "CN={device_serial},O=ACME";
  detail.not_before = *from_rfc3339("2026-01-01T00:00:00Z");
  detail.not_after = *from_rfc3339("2036-01-01T00:00:00Z");
  detail.due = *from_rfc3339("2026-03-01T00:00:00Z");
  plan.detail = detail;
  return plan;
}

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  const std::size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), with);
}

TEST(Plan, ReadsBackWhatItWrites) {
  const std::string text = plan_text(batch());
  const auto parsed = parse_plan(as_bytes(text));
  ASSERT_TRUE(std::holds_alternative<Plan>(parsed)) << std::get<Refusal>(parsed).text;
  EXPECT_EQ(plan_text(std::get<Plan>(parsed)), text);
  EXPECT_EQ(std::get<Plan>(parsed).batch().segment_count(), 4U);
  EXPECT_EQ(std::get<Plan>(parsed).batch_id().hex(),
            std::get<Plan>(parsed).digest.hex().substr(0, 32));
}

struct BadPlan {
  const char* what;
  const char* with;
  const char* named;
};

class PlanRefusal : public ::testing::TestWithParam<BadPlan> {};

TEST_P(PlanRefusal, NamesTheField) {
  const std::string text = replaced(plan_text(batch()), GetParam().what, GetParam().with);
  const auto parsed = parse_plan(as_bytes(text));
  ASSERT_TRUE(std::holds_alternative<Refusal>(parsed)) << text;
  EXPECT_NE(std::get<Refusal>(parsed).text.find(GetParam().named), std::string::npos)
      << std::get<Refusal>(parsed).text;
}

INSTANTIATE_TEST_SUITE_P(
    Fields,
    PlanRefusal,
    ::testing::Values(BadPlan{"format = 1", "format = 2", "format"},
                      BadPlan{"number = 7", "number = 0", "number"},
                      BadPlan{"number = 7", "number = -7", "number"},
                      BadPlan{"number = 7", "number = \"7\"", "number"},
                      BadPlan{"\"batch\"", "\"bath\"", "operation"},
                      BadPlan{"development", "devel", "environment"},
                      BadPlan{"abab", "zzab", "appliance"},
                      BadPlan{"2030-01-01T", "2030-13-01T", "expires"},
                      BadPlan{"segment_size = 64", "segment_size = 63", "segment_size"},
                      BadPlan{"segment_size = 64", "segment_size = 32768", "segment_size"},
                      BadPlan{"target_count = 190", "target_count = 201", "target_count"},
                      BadPlan{"se_count = 200", "se_count = 99999999999", "se_count"},
                      BadPlan{"site = \"site-1\"", "site = \"../x\"", "site"},
                      BadPlan{"{device_serial}", "{nonsense}", "certificate_subject"},
                      BadPlan{"not_after = \"2036", "not_after = \"2016", "not_after"},
                      BadPlan{"due = ", "unknown = 1\ndue = ", "unknown"},
                      BadPlan{"format = 1", "format = 1\nmore = 2", "more"},
                      BadPlan{"[batch]", "[batch", "no TOML"},
                      BadPlan{"pkcs11", "pkcs12", "family"},
                      BadPlan{"inject", "eject", "mode"},
                      BadPlan{"\"device\"", "\"matter\"", "certificate_template"},
                      BadPlan{"name = \"firmware.bin\"", "name = \"\"", "file"}));

DeviceRecord a_device() {
  return {.batch = {},
          .record_no = 7,
          .family = se::Family::Pkcs11,
          .se_serial = Bytes(16, 'a'),
          .certificate_serial = Bytes(16, 7),
          .device_serial = "SN-1"};
}

struct KeyPlan {
  Operation operation;
  decltype(Plan::detail) detail;
  const char* what;  // replaced by `with`: refused
  const char* with;
  const char* named;
};

class PlanOfKeys : public ::testing::TestWithParam<KeyPlan> {
 protected:
  static std::string text() {
    Plan plan = batch();
    plan.operation = GetParam().operation;
    plan.detail = GetParam().detail;
    return plan_text(plan);
  }
};

TEST_P(PlanOfKeys, ReadsBackWhatItWrites) {
  const auto parsed = parse_plan(as_bytes(text()));
  ASSERT_TRUE(std::holds_alternative<Plan>(parsed)) << std::get<Refusal>(parsed).text;
  EXPECT_EQ(plan_text(std::get<Plan>(parsed)), text());
  EXPECT_FALSE(plan_subject(std::get<Plan>(parsed)).empty());
  EXPECT_GE(plan_sentences(std::get<Plan>(parsed)).size(), 3U);
}

TEST_P(PlanOfKeys, RefusesAFieldOutOfItsBounds) {
  const std::string bad = replaced(text(), GetParam().what, GetParam().with);
  const auto parsed = parse_plan(as_bytes(bad));
  ASSERT_TRUE(std::holds_alternative<Refusal>(parsed)) << bad;
  EXPECT_NE(std::get<Refusal>(parsed).text.find(GetParam().named), std::string::npos)
      << std::get<Refusal>(parsed).text;
}

INSTANTIATE_TEST_SUITE_P(
    Operations,
    PlanOfKeys,
    ::testing::Values(KeyPlan{Operation::TransportMasterCreate,
                              TransportMasterPlan{"m", "kf-kdf-2"},
                              "kf-kdf-2",
                              "kf-kdf-3",
                              "kdf"},
                      KeyPlan{Operation::TransportMasterImport,
                              TransportMasterImportPlan{"m", "kf-kdf-1", Bytes(16, 0xcd)},
                              "cdcd",
                              "cd",
                              "check_value"},
                      KeyPlan{Operation::VendorKeyImport,
                              VendorKeyImportPlan{"v", "aes-kwp", Bytes(16, 0xcd)},
                              "aes-kwp",
                              "rsa-oaep-sha1",
                              "mechanism"},
                      KeyPlan{Operation::VendorKeyCreate,
                              VendorKeyCreatePlan{"v", "rsa-oaep-sha1", 3072},
                              "bits = 3072",
                              "bits = 3073",
                              "bits"},
                      KeyPlan{Operation::VendorKeyCreate,
                              VendorKeyCreatePlan{"v", "rsa-oaep-sha256", 4096},
                              "rsa-oaep-sha256",
                              "aes-kwp",
                              "mechanism"},
                      KeyPlan{Operation::HsmBackup,
                              HsmBackupPlan{2, 3, "why"},
                              "shares_needed = 2",
                              "shares_needed = 4",
                              "shares_needed"},
                      KeyPlan{Operation::HsmBackup,
                              HsmBackupPlan{2, 3, "why"},
                              "shares = 3",
                              "shares = 33",
                              "shares"},
                      KeyPlan{Operation::HsmAdoptState,
                              HsmAdoptStatePlan{{}, 5, {}, 0, {}, Bytes(16, 0xcd)},
                              "last_checkpoint_size = 5",
                              "last_checkpoint_size = 0",
                              "last_checkpoint_size"},
                      KeyPlan{Operation::HsmAdoptState,
                              HsmAdoptStatePlan{{}, 5, {}, 0, {}, Bytes(16, 0xcd), {{"ca1", 3, {17, {}}}, {"ca2", 1, {}}}},
                              "ca2 1 0",
                              "ca1 1 0",
                              "crls"},
                      KeyPlan{Operation::HsmAdoptState,
                              HsmAdoptStatePlan{{}, 5, {}, 0, {}, Bytes(16, 0xcd), {{"ca1", 3, {17, {}}}}},
                              "ca1 3 17",
                              "ca1 0 17",
                              "crls"},
                      KeyPlan{Operation::SeImport,
                              SeImportPlan{"s", "f.csv", {}, 9, Digest{}, 9},
                              "delivered_count = 9",
                              "delivered_count = 10",
                              "delivered_count"},
                      KeyPlan{Operation::SeImport,
                              SeImportPlan{"s", "f.csv", {}, 9, Digest{}, 9},
                              "delivered_count = 9\n",
                              "",
                              "delivered_count"}));

/// The generator of P-256 (SEC 2, section 2.4.2).
Bytes some_point() {
  return from_hex(
             "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
             "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")
      .value();
}

using PolicyRule = PolicyChangePlan::Rule;

INSTANTIATE_TEST_SUITE_P(
    People,
    PlanOfKeys,
    ::testing::Values(
        KeyPlan{Operation::TransportMasterImport,
                TransportMasterImportPlan{
                    "m", "kf-kdf-1", Bytes(16, 0xcd), {Bytes(16, 1), Bytes(16, 2)}},
                ", \"02020202020202020202020202020202\"",
                "",
                "components"},
        KeyPlan{Operation::VendorKeyImport,
                VendorKeyImportPlan{"v", "aes-kwp", Bytes(16, 0xcd), {Bytes(16, 7), Bytes(16, 2)}},
                "\"0707",
                "\"07zz",
                "components"},
        KeyPlan{Operation::OfficerAdd,
                OfficerAddPlan{2, "officer", {}, some_point()},
                "\"officer\"",
                "\"king\"",
                "role"},
        KeyPlan{Operation::OfficerAdd,
                OfficerAddPlan{2, "witness", {}, some_point()},
                "046b17",
                "046b18",
                "public_key"},
        KeyPlan{Operation::OfficerAdd,
                OfficerAddPlan{2, "witness", {}, some_point()},
                "number = 2\nrole",
                "number = 0\nrole",
                "number"},
        KeyPlan{Operation::OfficerReplace,
                OfficerReplacePlan{2, some_point(), "lost card"},
                "lost card",
                "",
                "reason"},
        KeyPlan{Operation::OfficerDisable,
                OfficerDisablePlan{2, "left"},
                "number = 2\nreason",
                "number = 1000000\nreason",
                "number"},
        KeyPlan{Operation::PolicyChange,
                PolicyChangePlan{
                    {PolicyRule{Operation::PolicyChange, 3}, PolicyRule{Operation::Batch, 2}},
                    true,
                    "r"},
                "policy-change 3",
                "ca-create 3",
                "policy-change"},
        KeyPlan{Operation::PolicyChange,
                PolicyChangePlan{{PolicyRule{Operation::PolicyChange, 3}}, false, "r"},
                "policy-change 3",
                "policy-change 0",
                "rules"},
        KeyPlan{Operation::PolicyChange,
                PolicyChangePlan{{PolicyRule{Operation::PolicyChange, 3}}, false, "r"},
                "= false",
                "= 0",
                "rehearsal_required"},
        KeyPlan{Operation::HsmPinChange,
                HsmPinChangePlan{{4, 5, 6}, 2, "left"},
                "[4, 5, 6]",
                "[4, 5, 5]",
                "custodians"},
        KeyPlan{Operation::HsmPinChange,
                HsmPinChangePlan{{4, 5, 6}, 2, "left"},
                "needed = 2",
                "needed = 4",
                "shares_needed"},
        KeyPlan{Operation::ClockSet,
                ClockSetPlan{UtcMillis{1'800'000'000'000}, "battery"},
                "2027-",
                "2027:",
                "floor"},
        KeyPlan{Operation::InsecureAllow,
                InsecureAllowPlan{{"swap"}, UtcMillis{1'800'000'000'000}, "r"},
                "\"swap\"",
                "\"everything\"",
                "what"}));

INSTANTIATE_TEST_SUITE_P(
    Families,
    PlanOfKeys,
    ::testing::Values(
        KeyPlan{Operation::TransportMasterCreate,
                TransportMasterPlan{"m", "kf-kdf-1", se::Family::Atecc608},
                "\"atecc608\"",
                "\"pkcs11\"",
                "family"},
        KeyPlan{Operation::TransportMasterImport,
                TransportMasterImportPlan{
                    "m", "kf-kdf-1", Bytes(16, 0xcd), {}, se::Family::Atecc608},
                "\"atecc608\"",
                "\"tpm2\"",
                "family"},
        KeyPlan{Operation::SourceAdd,
                SourceAddPlan{"mchp", "microchip-manifest", some_point(), Digest{}},
                "certificate_sha256 = \"00",
                "certificate_sha256 = \"",
                "certificate_sha256"},
        KeyPlan{Operation::SeImport,
                SeImportPlan{"mchp", "m.json", {}, 7, {}, 0, SeImportPlan::Manifest{"m", "L1", 1}},
                "attestation_slot = 1",
                "attestation_slot = 16",
                "attestation_slot"},
        KeyPlan{Operation::FamilyEnable,
                FamilyEnablePlan{se::Family::Atecc608, "r"},
                "\"atecc608\"",
                "\"pkcs11\"",
                "family"}));

INSTANTIATE_TEST_SUITE_P(
    Ends,
    PlanOfKeys,
    ::testing::Values(
        KeyPlan{Operation::BatchSuspend,
                BatchSuspendPlan{{}, "r"},
                "batch = \"00",
                "batch = \"0",
                "batch"},
        KeyPlan{Operation::BatchResume, BatchResumePlan{{}, "found"}, "\"found\"", "7", "reason"},
        KeyPlan{Operation::BatchClose,
                BatchClosePlan{{}, {5, {}}, "r"},
                "outstanding_count = 5",
                "outstanding_count = -5",
                "outstanding_count"},
        KeyPlan{Operation::TokenLost,
                TokenLostPlan{{}, {}, "revoke", {5, {}}, "r"},
                "\"revoke\"",
                "\"forget\"",
                "decision"},
        KeyPlan{Operation::TokenLost,
                TokenLostPlan{{}, {}, "accept", {5, {}}, "r"},
                "exposed_root = \"0",
                "exposed_root = \"",
                "exposed_root"},
        KeyPlan{Operation::QuarantineRelease,
                QuarantineReleasePlan{{}, 7, "r"},
                "record_no = 7",
                "record_no = 99999999",
                "record_no"},
        KeyPlan{Operation::CrlIssue,
                CrlIssuePlan{"ca", 1, {2, {}}, UtcMillis{1'800'000'000'000}},
                "number = 1\nnext",
                "number = 0\nnext",
                "number"},
        KeyPlan{Operation::StationRetire,
                StationRetirePlan{{}, 1, 9, {2, {}}, "r"},
                "log_size = 9",
                "log_size = true",
                "log_size"},
        KeyPlan{Operation::DeviceRevoke,
                DeviceRevokePlan{a_device(), "keyCompromise", "r"},
                "\"keyCompromise\"",
                "\"certificateHold\"",
                "crl_reason"},
        KeyPlan{Operation::DeviceRevoke,
                DeviceRevokePlan{a_device(), "superseded", "r"},
                "\"SN-1\"",
                "\"=SN-1\"",
                "device_serial"},
        KeyPlan{Operation::DeviceRevoke,
                DeviceRevokePlan{a_device(), "superseded", "r", true},
                "outstanding = true",
                "outstanding = 1",
                "outstanding"},
        KeyPlan{Operation::CaRevoke,
                CaRevokePlan{"line", "root", Bytes(16, 'c'), "cACompromise", "r"},
                "\"cACompromise\"",
                "\"keyCompromise\"",
                "crl_reason"},
        KeyPlan{Operation::CaRevoke,
                CaRevokePlan{"line", "root", Bytes(16, 'c'), "superseded", "r"},
                "issuer = \"root\"",
                "issuer = \"line\"",
                "issuer"},
        KeyPlan{Operation::CrlImport,
                CrlImportPlan{"outside", {}, UtcMillis{1'800'000'000'000}, {2, {}}},
                "records_count = 2",
                "records_count = 0",
                "records_count"},
        KeyPlan{Operation::DeviceScrap,
                DeviceScrapPlan{a_device(), 1, 2, Digest{}, "r"},
                "witness = 2",
                "witness = 1",
                "witness"},
        KeyPlan{Operation::DeviceScrap,
                DeviceScrapPlan{a_device(), 1, 2, std::nullopt, "r"},
                "certificate_serial = \"07",
                "certificate_serial = \"",
                "certificate_serial"},
        KeyPlan{Operation::DeviceRework,
                DeviceReworkPlan{a_device(), se::Family::Pkcs11, Bytes(16, 'b'), "r"},
                "device_serial = \"SN-1\"\n",
                "",
                "device_serial"},
        KeyPlan{Operation::DeviceRework,
                DeviceReworkPlan{a_device(), se::Family::Pkcs11, Bytes(16, 'b'), "r"},
                "new_se_serial = \"62626262626262626262626262626262\"",
                "new_se_serial = \"61616161616161616161616161616161\"",
                "new_se_serial"},
        KeyPlan{Operation::DeviceRma,
                DeviceRmaPlan{a_device(), "R-1", "superseded", "r"},
                "rma = \"R-1\"",
                "rma = \"\"",
                "rma"},
        KeyPlan{Operation::CaRetire, CaRetirePlan{"ca", "r"}, "\"ca\"", "\"../ca\"", "name"},
        KeyPlan{Operation::HsmDestroyKey,
                HsmDestroyKeyPlan{"kf-tk/m1", "r"},
                "kf-tk/m1",
                "kf-log",
                "label"},
        KeyPlan{Operation::HsmDestroyKey,
                HsmDestroyKeyPlan{"kf-ca/x", "r"},
                "kf-ca/x",
                "kf-ca/",
                "label"}));

TEST(Plan, TakesADeliveredCountOnlyWithItsRoot) {
  Plan plan = batch();
  plan.operation = Operation::SeImport;
  plan.detail = SeImportPlan{"s", "f.csv", {}, 9, std::nullopt, 0};
  const auto parsed = parse_plan(as_bytes(plan_text(plan) + "delivered_count = 1\n"));
  ASSERT_TRUE(std::holds_alternative<Refusal>(parsed));
}

TEST(Plan, RefusesMoreThan64KiB) {
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_plan(Bytes(kMaxPlanBytes + 1, ' '))));
}

}  // namespace
}  // namespace keyferry::appliance
