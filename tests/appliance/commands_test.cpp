// The front end's commands against a real gate, worker and SoftHSM store in a temporary folder.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/appliance/manifest_signer.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"
#include "token/enrolment.h"
#include "token/layout.h"
#include "token/signed_bytes.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kHeader =
    "family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data\n";

void write_text(const fs::path& file, const std::string& text) {
  std::ofstream{file, std::ios::binary} << text;
}

std::string read_text(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream{file, std::ios::binary}.rdbuf();
  return text.str();
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string inventory(int first, int count, const std::string& lot, bool device_serials = true) {
  std::string text = kHeader;
  for (int i = first; i < first + count; ++i) {
    text += fmt::format("pkcs11,{},P-1,{},,{},derived:m1,\n",
                        to_hex(as_bytes(fmt::format("SE{:06d}", i))),
                        lot,
                        device_serials ? fmt::format("SN-{:06d}", i) : "");
  }
  return text;
}

struct Answer {
  int status = -1;
  Json json;
};

/// One appliance for the whole suite: set up once, every test adds what it needs.
class Commands : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<test::TempFolder>();
    write_text(path("pin"), "123456\n");
    fs::permissions(path("pin"), fs::perms::owner_read | fs::perms::owner_write);
    write_text(path("passphrase"), "correct horse\n");
    ASSERT_EQ(initialise().status, 0);
    ASSERT_EQ(run("source add acme").status, 0);
    ASSERT_EQ(run("transport-master create m1").status, 0);
    ASSERT_EQ(run("ca create dev1 --subject CN=Device,O=ACME").status, 0);
    write_text(path("lot-a.csv"), inventory(0, 20, "A"));
    ASSERT_EQ(run("se import " + path("lot-a.csv").string() + " --source acme").status, 0);
    ASSERT_EQ(enroll("line1", path("token")).status, 0);
  }

  static void TearDownTestSuite() { folder_.reset(); }

  static fs::path path(const std::string& name) { return *folder_ / name; }

  static Answer initialise() {
    return run(
        fmt::format("init --name test --officer-name 'A. Smith' --officer-key {} --pin-file {} "
                    "--insecure-allow network,swap,memlock",
                    path("officer.pem").string(),
                    path("pin").string()));
  }

  static Answer run(const std::string& command) {
    const auto result = test::run_command(fmt::format(
        "({}/keyferry-appliance {} --home {} --json --officer-passphrase-fd 5 5<{} 2>>{})",
        KEYFERRY_BIN_DIR,
        command,
        path("home").string(),
        path("passphrase").string(),
        path("stderr").string()));
    return Answer{result.status, Json::parse(result.output, nullptr, false)};
  }

  /// A station's request as keyferry-station would leave it, from two keys made here.
  static Answer enroll(const std::string& name, const fs::path& token, bool right_words = true) {
    auto signing = crypto::SoftKey::generate();
    const auto agreement = crypto::SoftKey::generate();
    const token::EnrolmentRequest request{.name = name,
                                          .site = "factory-a",
                                          .environment = token::Environment::Development,
                                          .signing_key = signing.public_key(),
                                          .agreement_key = agreement.public_key(),
                                          .nonce = Bytes(16, 7),
                                          .time = UtcMillis{1}};
    const Bytes payload = token::serialise(request);
    const Digest digest = crypto::sha256(payload);
    const fs::path file = token / token::request_name(digest);
    fs::create_directories(file.parent_path());
    write_text(file,
               to_string(token::encode(token::sign_payload(
                   signing, crypto::SignatureKind::EnrolmentRequest, payload))));
    const std::string words = right_words ? key_words(digest.bytes()) : key_words(Digest{}.bytes());
    return run(
        fmt::format("station enroll {} --name {} --fingerprint {}", token.string(), name, words));
  }

  static Answer plan_new(const std::string& file, const std::string& more = {}) {
    return run(fmt::format("plan new --station line1 --ca dev1 --lot A --count 4 --out {} {}",
                           path(file).string(),
                           more));
  }

  /// The first refusal's reason of `plan check`.
  static std::string refused(const std::string& file) {
    const Answer answer = run("plan check " + path(file).string());
    if (answer.status != 1 || !answer.json.contains("refusals"))
      return fmt::format("status {}", answer.status);
    return answer.json["refusals"][0]["reason"];
  }

  /// A plan whose text is changed; what stands for the changed text decides, not who changed it.
  static void change_plan(const std::string& from_file,
                          const std::string& to_file,
                          const std::string& from,
                          const std::string& to) {
    write_text(path(to_file), replaced(read_text(path(from_file)), from, to));
  }

  static std::size_t log_lines_with(const std::string& text) {
    const auto shown = test::run_command(fmt::format(
        "{}/keyferry-appliance log show --home {}", KEYFERRY_BIN_DIR, path("home").string()));
    std::size_t count = 0;
    std::istringstream lines{shown.output};
    for (std::string line; std::getline(lines, line);)
      count += line.find(text) == std::string::npos ? 0 : 1;
    return count;
  }

 private:
  static std::unique_ptr<test::TempFolder> folder_;
};

std::unique_ptr<test::TempFolder> Commands::folder_;

TEST_F(Commands, SayThatTheApplianceIsThereWhenInitIsGivenAgain) {
  const Answer again = initialise();
  EXPECT_EQ(again.status, 0);
  EXPECT_EQ(again.json["done_before"], true);
}

TEST_F(Commands, DoNothingWhenASetUpStepWasDoneBefore) {
  EXPECT_EQ(run("source add acme").json["done_before"], true);
  EXPECT_EQ(run("transport-master create m1").json["done_before"], true);
  EXPECT_EQ(run("ca create dev1 --subject CN=Device,O=ACME").json["done_before"], true);
  EXPECT_EQ(run("se import " + path("lot-a.csv").string() + " --source acme").json["done_before"],
            true);
}

TEST_F(Commands, RefuseAnotherSubjectForACaThatIsThere) {
  EXPECT_EQ(run("ca create dev1 --subject CN=Other,O=ACME").status, 1);
}

TEST_F(Commands, RefuseAWrongPassphrase) {
  write_text(path("wrong"), "wrong horse\n");
  const auto result = test::run_command(
      fmt::format("{}/keyferry-appliance source add other --home {} --officer-passphrase-fd 5 5<{}",
                  KEYFERRY_BIN_DIR,
                  path("home").string(),
                  path("wrong").string()));
  EXPECT_EQ(result.status, 1);
}

TEST_F(Commands, RefuseAWrongPinWithoutTryingTwice) {
  write_text(path("wrong-pin"), "654321\n");
  const auto result = test::run_command(
      fmt::format("{}/keyferry-appliance source add other --home {} --pin-fd 6 6<{}",
                  KEYFERRY_BIN_DIR,
                  path("home").string(),
                  path("wrong-pin").string()));
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(run("source add acme").status, 0);
}

TEST_F(Commands, TakeNothingOfAFileWithOneDoubledRowAndLogIt) {
  const std::size_t before = log_lines_with("inventory-invalid");
  write_text(path("doubled.csv"),
             inventory(100, 3, "B") + inventory(101, 1, "B").substr(std::string{kHeader}.size()));
  EXPECT_EQ(run("se import " + path("doubled.csv").string() + " --source acme").status, 1);
  EXPECT_EQ(log_lines_with("inventory-invalid"), before + 1);
  write_text(path("single.csv"), inventory(100, 3, "B"));
  EXPECT_EQ(run("se import " + path("single.csv").string() + " --source acme").json["rows"], 3);
}

TEST_F(Commands, RefuseAFileOfAnUnknownSource) {
  EXPECT_EQ(run("se import " + path("lot-a.csv").string() + " --source nobody").status, 1);
}

TEST_F(Commands, RefuseAStationWhoseWordsDiffer) {
  EXPECT_EQ(enroll("line9", path("token9"), false).status, 1);
  EXPECT_EQ(
      run("plan new --station line9 --ca dev1 --count 1 --out " + path("x.toml").string()).status,
      1);
}

TEST_F(Commands, MakeTheAnswerAgainWhenTheTokenLostIt) {
  const Answer first = enroll("line2", path("token2"));
  ASSERT_EQ(first.status, 0);
  const fs::path answer = path("token2") / first.json["answer"].get<std::string>();
  fs::remove(answer);
  const std::string words =
      key_words(Digest::from_hex(first.json["request_sha256"].get<std::string>())->bytes());
  const Answer again =
      run(fmt::format("station enroll {} --fingerprint {}", path("token2").string(), words));
  EXPECT_EQ(again.status, 0);
  EXPECT_TRUE(fs::exists(answer));
}

TEST_F(Commands, PassAPlanThatIsSound) {
  ASSERT_EQ(plan_new("sound.toml").status, 0);
  const Answer check = run("plan check " + path("sound.toml").string());
  EXPECT_EQ(check.status, 0);
  EXPECT_EQ(check.json["ok"], true);
}

TEST_F(Commands, NeedAnApprovalToRunAPlan) {
  ASSERT_EQ(plan_new("unapproved.toml").status, 0);
  EXPECT_EQ(run("plan run " + path("unapproved.toml").string()).status, 4);
}

TEST_F(Commands, RefuseToWriteOverAnotherPlan) {
  write_text(path("taken.toml"), "something else");
  EXPECT_EQ(plan_new("taken.toml").status, 1);
}

TEST_F(Commands, RefuseAUsedNumber) {
  ASSERT_EQ(plan_new("number.toml", "--number 1").status, 0);
  EXPECT_EQ(refused("number.toml"), "plan-number");
}

TEST_F(Commands, RefuseAnExpiredPlan) {
  ASSERT_EQ(plan_new("expired.toml", "--expires 2020-01-01").status, 0);
  EXPECT_EQ(refused("expired.toml"), "plan-expired");
}

TEST_F(Commands, RefuseAPlanOfAnotherEnvironmentOrAppliance) {
  ASSERT_EQ(plan_new("other.toml").status, 0);
  change_plan("other.toml", "environment.toml", "\"development\"", "\"rehearsal\"");
  EXPECT_EQ(refused("environment.toml"), "plan-environment");
  change_plan("other.toml", "appliance.toml", "appliance = \"", "appliance = \"00ff");
  const std::string text = read_text(path("appliance.toml"));
  const std::size_t end = text.find('"', text.find("appliance = \"") + 14);
  write_text(path("appliance.toml"), text.substr(0, end - 4) + text.substr(end));
  EXPECT_EQ(refused("appliance.toml"), "plan-appliance");
}

TEST_F(Commands, RefuseACertificateThatOutlivesItsCa) {
  ASSERT_EQ(plan_new("validity.toml", "--not-after 2999-01-01").status, 0);
  EXPECT_EQ(refused("validity.toml"), "validity");
}

TEST_F(Commands, RefuseAFieldThatIsNotKnown) {
  ASSERT_EQ(plan_new("field.toml").status, 0);
  change_plan("field.toml", "field2.toml", "site = ", "colour = \"red\"\nsite = ");
  EXPECT_EQ(run("plan check " + path("field2.toml").string()).status, 1);
}

TEST_F(Commands, RefuseAChangedOutsideFile) {
  ASSERT_EQ(plan_new("files.toml").status, 0);
  write_text(path("note.txt"), "as approved");
  change_plan("files.toml",
              "files2.toml",
              "\n[batch]",
              fmt::format("\n[[file]]\nname = \"note.txt\"\nsha256 = \"{}\"\n\n[batch]",
                          crypto::sha256(as_bytes("as approved")).hex()));
  EXPECT_EQ(run("plan check " + path("files2.toml").string()).status, 0);
  write_text(path("note.txt"), "changed");
  EXPECT_EQ(refused("files2.toml"), "file-changed");
}

TEST_F(Commands, NameTheSeThatHasNoDeviceSerialForItsTemplate) {
  write_text(path("bare.csv"), inventory(200, 2, "BARE", false));
  ASSERT_EQ(run("se import " + path("bare.csv").string() + " --source acme").status, 0);
  ASSERT_EQ(run(fmt::format("plan new --station line1 --ca dev1 --lot BARE --count 2 --out {}",
                            path("bare.toml").string()))
                .status,
            0);
  const Answer check = run("plan check " + path("bare.toml").string());
  EXPECT_EQ(check.json["refusals"][0]["reason"], "device-serial-missing");
  EXPECT_NE(check.json["refusals"][0]["text"].get<std::string>().find("SE000200"),
            std::string::npos);
}

TEST_F(Commands, NameTheRowThatWasChangedAfterApproval) {
  write_text(path("change.csv"), inventory(300, 2, "CHANGE"));
  ASSERT_EQ(run("se import " + path("change.csv").string() + " --source acme").status, 0);
  ASSERT_EQ(run(fmt::format("plan new --station line1 --ca dev1 --lot CHANGE --count 2 --out {}",
                            path("change.toml").string()))
                .status,
            0);
  ASSERT_EQ(run("plan approve " + path("change.toml").string()).status, 0);
  {
    SQLite::Database ledger{(path("home") / "ledger.db").string(), SQLite::OPEN_READWRITE};
    ledger.exec("UPDATE se SET part = 'X' WHERE lot = 'CHANGE' AND device_serial = 'SN-000301'");
  }
  EXPECT_EQ(refused("change.toml"), "se-changed");
  const std::size_t before = log_lines_with("se-changed");
  EXPECT_EQ(run("plan run " + path("change.toml").string()).status, 1);
  EXPECT_EQ(log_lines_with("se-changed"), before + 1);
}

TEST_F(Commands, ReserveTheSesOfAnApprovedPlanAndRefuseOnesWithALiveKey) {
  write_text(path("live.csv"), inventory(400, 4, "LIVE"));
  ASSERT_EQ(run("se import " + path("live.csv").string() + " --source acme").status, 0);
  const auto make = [](const std::string& file, const std::string& more) {
    return run(fmt::format("plan new --station line1 --ca dev1 --lot LIVE --count 4 --out {} {}",
                           path(file).string(),
                           more));
  };
  ASSERT_EQ(make("live1.toml", "").status, 0);
  ASSERT_EQ(make("live2.toml", "--customer second").status, 0);
  ASSERT_EQ(run("plan approve " + path("live1.toml").string()).status, 0);
  EXPECT_EQ(refused("live2.toml"), "se-reserved");
  EXPECT_EQ(run("plan approve " + path("live2.toml").string()).status, 1);
  ASSERT_EQ(run("plan run " + path("live1.toml").string()).status, 0);
  EXPECT_EQ(run("plan run " + path("live1.toml").string()).status, 0);
  EXPECT_EQ(refused("live2.toml"), "se-has-key");
  EXPECT_EQ(make("live3.toml", "").status, 1);
}

Json chip_element(int number) {
  const auto key = crypto::SoftKey::generate();
  const ByteView point = key.public_key().point();
  return {{"version", 1},
          {"model", "ATECC608B"},
          {"partNumber", "ATECC608B-OUR00"},
          {"uniqueId", fmt::format("0123a5c7{:08x}ee", number)},
          {"publicKeySet",
           {{"keys",
             {{{"kid", "1"},
               {"kty", "EC"},
               {"crv", "P-256"},
               {"x", test::base64url(point.subspan(1, 32))},
               {"y", test::base64url(point.subspan(33, 32))}}}}}}};
}

std::string profile_text(const std::string& configuration, const std::string& slots) {
  return "[atecc608]\nconfiguration = \"" + configuration +
         "\"\ntransport_slot = 4\ntarget_slot = 0\nattestation_slot = 1\nsecure_boot_slot = 15\n"
         "certificate_form = \"plain\"\ncertificate_slots = " +
         slots + "\n";
}

TEST_F(Commands, CarryAnAtecc608BatchFromAManifestToItsRun) {
  test::OpensslSigner signer;
  Json manifest = Json::array();
  for (int i = 0; i < 4; ++i) manifest.push_back(signer.entry(signer.header(), chip_element(i)));
  write_text(path("chips.json"), manifest.dump(1));
  const std::string import = "se import " + path("chips.json").string() + " --source mchp --lot B";

  EXPECT_EQ(run("transport-master create chips --family atecc608").status, 0);
  EXPECT_EQ(run("transport-master create chips --family atecc608").json["done_before"], true);
  EXPECT_EQ(run("transport-master create chips").status, 1) << "a master has one family for life";
  EXPECT_EQ(run("source add mchp --kind microchip-manifest").status, 2) << "its certificate is missing";
  EXPECT_EQ(run("source add mchp --kind microchip-manifest --certificate " + signer.certificate_file().string()).status, 0);
  EXPECT_EQ(run(import).status, 2) << "no master is named";
  EXPECT_EQ(run(import + " --master m1").status, 1) << "m1 is for pkcs11";
  Json tampered = manifest;
  tampered[2]["payload"] = test::base64url(as_bytes(chip_element(9).dump()));
  write_text(path("tampered.json"), tampered.dump());
  EXPECT_EQ(run("se import " + path("tampered.json").string() + " --source mchp --master chips").status, 1);
  Json doubled = manifest;
  doubled.push_back(manifest[0]);
  write_text(path("doubled.json"), doubled.dump());
  EXPECT_EQ(run("se import " + path("doubled.json").string() + " --source mchp --master chips").status, 1);
  const Answer taken = run(import + " --master chips --attestation-slot 1");
  ASSERT_EQ(taken.status, 0) << read_text(path("stderr"));
  EXPECT_EQ(taken.json["rows"], 4);
  EXPECT_EQ(run(import + " --master chips --attestation-slot 1").json["done_before"], true);

  std::string configuration;
  for (const char c : read_text(KEYFERRY_SOURCE_DIR "/tests/vectors/atecc608/example-configuration.hex"))
    if (c != '\n') configuration += c;
  write_text(path("image.bin"), std::string(3'000'000, 'i'));
  const auto plan = [&](const std::string& name, const std::string& profile) {
    write_text(path(name + "-profile.toml"), profile);
    return run(fmt::format("plan new --station line1 --ca dev1 --lot B --count 4 --family atecc608 "
                           "--subject CN={{se_serial}} --firmware {} --atecc608-profile {} --out {}",
                           path("image.bin").string(),
                           path(name + "-profile.toml").string(),
                           path(name + ".toml").string()))
        .status;
  };
  EXPECT_EQ(plan("bad", profile_text(replaced(configuration, "330033001c001c001c00", "330033001c001c005c00"), "[8, 10, 12]")), 1);
  ASSERT_EQ(plan("early", profile_text(configuration, "[8, 10, 12]")), 0) << read_text(path("stderr"));
  EXPECT_EQ(refused("early.toml"), "family-off");
  EXPECT_EQ(run("family enable pkcs11 --reason none").status, 2);
  EXPECT_EQ(run("family enable atecc608 --reason 'first line'").status, 0) << read_text(path("stderr"));
  EXPECT_EQ(run("family enable atecc608 --reason 'first line'").json["done_before"], true);
  EXPECT_EQ(run("policy show").json["enabled_families"], Json::array({"atecc608"}));
  ASSERT_EQ(plan("small", profile_text(configuration, "[10]")), 0);
  EXPECT_EQ(refused("small.toml"), "atecc608-certificate-room");
  const std::string leaf = profile_text(configuration, "[8, 10, 12]");
  ASSERT_EQ(plan("whole", replaced(leaf, "certificate_slots", "chain = \"whole\"\ncertificate_slots")), 0);
  EXPECT_EQ(refused("whole.toml"), "atecc608-certificate-room");
  const std::string compressed = profile_text(configuration, "[10]");
  ASSERT_EQ(plan("compressed", replaced(compressed, "\"plain\"", "\"compressed\"")), 0);
  EXPECT_EQ(refused("compressed.toml"), "atecc608-certificate-form");  // its validity is no number of years
  ASSERT_EQ(plan("chips", profile_text(configuration, "[8, 10, 12]")), 0);
  EXPECT_EQ(run("plan check " + path("chips.toml").string()).status, 0) << read_text(path("stderr"));
  change_plan("chips.toml", "no-key.toml", "secure_boot_slot = 15\n", "");
  EXPECT_EQ(refused("no-key.toml"), "batch-firmware");
  EXPECT_EQ(run("plan approve " + path("chips.toml").string()).status, 0);
  EXPECT_EQ(run("plan run " + path("chips.toml").string()).status, 0) << read_text(path("stderr"));
  EXPECT_EQ(log_lines_with("locked memory for one record"), 1U);
}

TEST_F(Commands, AnswerWrongUsageWithStatusTwo) {
  EXPECT_EQ(run("source add 'A B'").status, 2);
  EXPECT_EQ(run("source add").status, 2);
  EXPECT_EQ(run("plan new --station line1 --ca dev1 --count 1 --due tomorrow --out " +
                path("y.toml").string())
                .status,
            2);
}

TEST_F(Commands, SayThatThereIsNoApplianceInAnEmptyFolder) {
  const auto result = test::run_command(fmt::format(
      "{}/keyferry-appliance batch status --home {}", KEYFERRY_BIN_DIR, path("nowhere").string()));
  EXPECT_EQ(result.status, 1);
}

}  // namespace
}  // namespace keyferry::appliance
