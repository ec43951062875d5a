// keyferry-vse as a person starts it, against an HSM that holds kf-tk/test.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <toml++/toml.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/temp_folder.h"
#include "tests/vse/atecc608/maker.h"
#include "tests/vse/chip_keys.h"
#include "tests/vse/chip_store.h"
#include "tests/vse/secure_room.h"
#include "tests/vse/test/own_process.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::vse {
namespace {

namespace fs = std::filesystem;
using test_support::kUserPin;

constexpr std::string_view kAppliance = "appliance";

std::string text_of(const fs::path& file) {
  return to_string(read_file(file, 1 << 20));
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::istringstream in{text_of(file)};
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class VseProgram : public testing::Test {
 protected:
  VseProgram() {
    hsm_.init_token_outside(std::string{kAppliance});
    EXPECT_TRUE(in_own_process(hsm_.config(), [] { return make_master("test"); }));
    write_file_durably(folder_ / "pin", as_bytes(kUserPin), Overwrite::Replace);
    std::ofstream{gate()} << "version = 1\n[hsm]\nuri = \"pkcs11:token=" << kAppliance
                          << "?module-path=" << test_support::softhsm_module().string()
                          << "&pin-source=file:" << (folder_ / "pin").string()
                          << "\"\n[hsm.environment]\nSOFTHSM2_CONF = \"" << hsm_.config().string()
                          << "\"\n";
  }

  static std::string make_master(const std::string& name) {
    OpenToken token{std::string{kAppliance}, test_support::pin(kUserPin)};
    static_cast<void>(
        token.session->generate_aes(p11::Template{}
                                        .object_class(p11::ObjectClass::SecretKey)
                                        .key_type(p11::KeyType::Aes)
                                        .label("kf-tk/" + name)
                                        .token(true)
                                        .private_(true)
                                        .sensitive(true)
                                        .extractable(false)
                                        .modifiable(false)
                                        .copyable(false)
                                        .derive(true)
                                        .wrap(false)
                                        .encrypt(false)
                                        .allowed_mechanisms({p11::Mechanism::AesEcbEncryptData})
                                        .value_len(32)));
    return "";
  }

  [[nodiscard]] fs::path gate() const { return folder_ / "gate.toml"; }

  [[nodiscard]] fs::path chips() const { return folder_ / "se"; }

  [[nodiscard]] fs::path inventory() const { return folder_ / "inventory.csv"; }

  [[nodiscard]] fs::path lanes() const { return folder_ / "lanes.toml"; }

  static int run(std::vector<std::string> arguments) {
    ChildSpec spec;
    spec.program = fs::path{KEYFERRY_BIN_DIR} / "keyferry-vse";
    spec.arguments = std::move(arguments);
    return Child{spec}.wait();
  }

  [[nodiscard]] int make(const std::string& count, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments{"pkcs11",
                                       "make",
                                       "--count",
                                       count,
                                       "--dir",
                                       chips().string(),
                                       "--inventory",
                                       inventory().string(),
                                       "--lanes",
                                       lanes().string(),
                                       "--master",
                                       "test",
                                       "--gate-settings",
                                       gate().string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run(std::move(arguments));
  }

  [[nodiscard]] ChipFacts facts(std::uint32_t number) const {
    return ChipStore{chips(), number}.facts().value();
  }

  /// The transport key of chip 0, from the appliance's HSM. In a process of its own only.
  [[nodiscard]] static SecretBytes transport_key(const ApplianceHsm& hsm, const ChipFacts& chip) {
    SecureRoom room{hsm, test_support::pin(kUserPin), "test"};
    return room.transport_key(chip.part, "dac", chip.serial);
  }

  test::TempFolder folder_;
  test_support::SoftHsmFolder hsm_;
};

TEST_F(VseProgram, MakesChipsThatOpenWhatIsWrappedForThem) {
  ASSERT_EQ(make("3"), 0);
  const ChipFacts chip = facts(1);
  // The key of a record, wrapped by software under the key that the appliance's HSM derives: made
  // there, opened here.
  const fs::path blob = folder_ / "blob";
  const fs::path point = folder_ / "point";
  ASSERT_TRUE(in_own_process(hsm_.config(), [&]() -> std::string {
    const SecretBytes transport = transport_key(read_gate_settings(gate()), chip);
    SystemRandom random;
    SecretBytes pkcs8 = SecretBytes::copy_of(
        *from_hex("3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420" +
                  std::string(64, '0')));
    const auto scalar = pkcs8.expose_writable().last(32);
    random.fill(scalar.last(31));
    const auto key = crypto::SoftKey::from_scalar(SecretBytes::copy_of(scalar));
    write_file_durably(point, key->public_key().point(), Overwrite::Refuse);
    write_file_durably(blob, crypto::wrap_kwp(transport, pkcs8), Overwrite::Refuse);
    return "";
  }));
  const ChipStore store{chips(), 1};
  EXPECT_TRUE(in_own_process(store.config(), [&]() -> std::string {
    OpenToken token{chip.label, read_secret_file(store.pin())};
    const auto transport = token.session->find_one(p11::ObjectClass::SecretKey, "kf-transport/dac");
    if (!transport) return "no transport key";
    const p11::Key key = token.session->unwrap(p11::Mechanism::AesKeyWrapPad,
                                               *transport,
                                               read_file(blob, 1024),
                                               device_key_template().label("dac"));
    const Digest digest = crypto::sha256(as_bytes("any text"));
    const auto expected = crypto::PublicKey::from_point(read_file(point, 1024));
    return crypto::verify(*expected, digest, token.session->sign_ecdsa(key, digest))
               ? ""
               : "another key came out";
  }));
  EXPECT_FALSE(in_own_process(ChipStore{chips(), 2}.config(), [&]() -> std::string {
    OpenToken token{facts(2).label, read_secret_file(ChipStore{chips(), 2}.pin())};
    const auto transport = token.session->find_one(p11::ObjectClass::SecretKey, "kf-transport/dac");
    static_cast<void>(token.session->unwrap(p11::Mechanism::AesKeyWrapPad,
                                            *transport,
                                            read_file(blob, 1024),
                                            device_key_template().label("dac")));
    return "";
  })) << "a blob opened in another chip than its own";
}

TEST_F(VseProgram, LeavesNothingButATransportKeyOnAChip) {
  ASSERT_EQ(make("1"), 0);
  EXPECT_TRUE(in_own_process(ChipStore{chips(), 0}.config(), [&]() -> std::string {
    OpenToken token{facts(0).label, read_secret_file(ChipStore{chips(), 0}.pin())};
    const auto all = token.session->find(p11::Template{}.token(true));
    if (all.size() != 1) return std::to_string(all.size()) + " objects";
    const auto other = token.session->differences(
        all.front(), transport_key_template("kf-transport/dac", p11::Mechanism::AesKeyWrapPad));
    return other.empty() ? "" : other.front() + " differs";
  }));
}

TEST_F(VseProgram, WritesAnInventoryOfTheSerialsAsAsciiInHex) {
  ASSERT_EQ(make("2", {"--part", "P/1", "--lot", "L-7", "--device-serial-prefix", "SN"}), 0);
  const auto lines = lines_of(inventory());
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0],
            "family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data");
  EXPECT_EQ(lines[1], "pkcs11," + to_hex(facts(0).serial) + ",P/1,L-7,dac,SN00000,derived:test,");
  EXPECT_EQ(lines[2], "pkcs11," + to_hex(facts(1).serial) + ",P/1,L-7,dac,SN00001,derived:test,");
}

TEST_F(VseProgram, WritesALanesFileThatLeadsToEachChip) {
  ASSERT_EQ(make("3", {"--lane-count", "2", "--bind-at-line"}), 0);
  const toml::table table = toml::parse(text_of(lanes()));
  std::set<std::string> serials;
  for (const toml::node& lane : *table["lane"].as_array()) {
    for (const toml::node& node : *(*lane.as_table())["se"].as_array()) {
      const toml::table& se = *node.as_table();
      const p11::Uri uri = p11::uri_or_throw(*se["uri"].value<std::string>());
      serials.insert(*uri.serial);
      const fs::path conf = *se["softhsm2_conf"].value<std::string>();
      EXPECT_TRUE(se["device_serial"].value<std::string>().has_value());
      EXPECT_TRUE(in_own_process(conf, [&]() -> std::string {
        OpenToken token{*uri.token, read_secret_file(*p11::pin_file(uri))};
        return token.info.serial == *uri.serial ? "" : "another serial";
      }));
    }
  }
  EXPECT_EQ(serials.size(), 3U);
  EXPECT_EQ((*table["lane"].as_array()).size(), 2U);
  EXPECT_NE(lines_of(inventory())[1].find(",dac,,derived:test,"), std::string::npos)
      << "bound at the line";
}

TEST_F(VseProgram, KeepsThePinOfAChipFromOthers) {
  ASSERT_EQ(make("1"), 0);

  struct stat status {};

  ASSERT_EQ(stat(ChipStore{chips(), 0}.pin().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(VseProgram, KeepsFinishedChipsAndMakesACutOffOneAnew) {
  ASSERT_EQ(make("3"), 0);
  const ChipFacts first = facts(0);
  const ChipFacts second = facts(1);
  fs::remove(ChipStore{chips(), 1}.marker());  // cut before the last step
  ASSERT_EQ(make("4"), 0);
  EXPECT_EQ(facts(0), first);
  EXPECT_NE(facts(1).serial, second.serial);
  EXPECT_EQ(lines_of(inventory()).size(), 5U);
}

TEST_F(VseProgram, RefusesChipsThatWereMadeForAnotherMaster) {
  ASSERT_EQ(make("1"), 0);
  ASSERT_TRUE(in_own_process(hsm_.config(), [] { return make_master("other"); }));
  EXPECT_EQ(run({"pkcs11",
                 "make",
                 "--count",
                 "1",
                 "--dir",
                 chips().string(),
                 "--inventory",
                 inventory().string(),
                 "--lanes",
                 lanes().string(),
                 "--master",
                 "other",
                 "--gate-settings",
                 gate().string()}),
            1);
}

TEST_F(VseProgram, DoesNotTouchAFolderThatIsNoChip) {
  fs::create_directories(chips() / "se-00000");
  std::ofstream{chips() / "se-00000" / "thesis.txt"} << "years of work\n";
  EXPECT_NE(make("1"), 0);
  EXPECT_TRUE(fs::exists(chips() / "se-00000" / "thesis.txt"));
}

TEST_F(VseProgram, NamesAMasterThatIsNotThere) {
  EXPECT_EQ(run({"pkcs11",
                 "make",
                 "--count",
                 "1",
                 "--dir",
                 chips().string(),
                 "--inventory",
                 inventory().string(),
                 "--lanes",
                 lanes().string(),
                 "--master",
                 "nobody",
                 "--gate-settings",
                 gate().string()}),
            exit_status(Code::NotFound));
}

TEST_F(VseProgram, MakesAnInventoryOfSerialsThatDoNotRepeat) {
  ASSERT_EQ(run({"pkcs11",
                 "inventory-only",
                 "--count",
                 "5000",
                 "--inventory",
                 inventory().string(),
                 "--master",
                 "test"}),
            0);
  const auto lines = lines_of(inventory());
  ASSERT_EQ(lines.size(), 5001U);
  std::set<std::string> serials;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string serial = lines[i].substr(7, 32);
    EXPECT_EQ(from_hex(serial).value_or(Bytes{}).size(), 16U);
    serials.insert(serial);
  }
  EXPECT_EQ(serials.size(), 5000U);
}

TEST_F(VseProgram, GivesDeliveredKeysToTheVendorAndNoneToTheInventory) {
  const fs::path keys = folder_ / "vendor.keys";
  const auto arguments = [&](const std::string& name) {
    return std::vector<std::string>{"pkcs11", "make", "--count", "2", "--dir", chips().string(), "--inventory",
                                    inventory().string(), "--lanes", lanes().string(), "--master", name, "--transport",
                                    "delivered", "--vendor-keys", keys.string()};
  };
  ASSERT_EQ(run(arguments("acme")), 0);
  const std::string table = to_string(read_file(keys, 4096));
  const std::string rows = to_string(read_file(inventory(), 4096));
  for (std::uint32_t number = 0; number < 2; ++number) {
    const ChipFacts chip = facts(number);
    const std::size_t at = table.find(to_hex(chip.serial) + " ");
    ASSERT_NE(at, std::string::npos);
    const std::string key = table.substr(at + 2 * chip.serial.size() + 1, 64);
    EXPECT_EQ(check_value(SecretBytes::copy_of(from_hex(key).value())), chip.check_value);
    EXPECT_EQ(rows.find(key), std::string::npos);
  }
  EXPECT_NE(rows.find(",delivered:acme,\n"), std::string::npos);
  EXPECT_EQ(run(arguments("acme")), 0);
  EXPECT_EQ(to_string(read_file(keys, 4096)), table);
}

TEST_F(VseProgram, PreparesAtecc608ChipsWithTheKeysThatTheMasterGivesThem) {
  const fs::path config =
      fs::path{KEYFERRY_VECTORS_DIR} / "atecc608" / "example-configuration.hex";
  const std::vector<std::string> order{
      "atecc608", "make", "--count", "3", "--folder", chips().string(), "--config", config.string(),
      "--inventory", inventory().string(), "--lanes", lanes().string(), "--lane-count", "2",
      "--master", "test", "--gate-settings", gate().string(), "--attestation-slot", "1"};
  ASSERT_EQ(run(order), 0);
  const auto memory = atecc608::load_memory(atecc608::state_file(chips(), 1));
  ASSERT_TRUE(memory);
  EXPECT_TRUE(memory->config_locked() && memory->data_locked());
  EXPECT_TRUE(memory->slot_locked(1) && !memory->slot_locked(0));
  const std::string row = lines_of(inventory()).at(2);
  EXPECT_TRUE(row.starts_with("atecc608," + to_hex(memory->serial()) + ",ATECC608B,LOT-1,dac,"));
  EXPECT_NE(row.find(",derived:test,,04"), std::string::npos);
  EXPECT_NE(text_of(lanes()).find("chip = \"unix:" + (chips() / "chip-00001.sock").string()),
            std::string::npos);
  EXPECT_TRUE(in_own_process(hsm_.config(), [&]() -> std::string {
    SecureRoom room{read_gate_settings(gate()), test_support::pin(kUserPin), "test", "atecc608"};
    const SecretBytes key = room.transport_key("ATECC608B", "dac", memory->serial());
    return equal(key.expose(), memory->key(4)) ? "" : "slot 4 holds another key";
  }));
  const std::string before = text_of(atecc608::state_file(chips(), 1));
  ASSERT_EQ(run(order), 0) << "chips that are there are kept";
  EXPECT_EQ(text_of(atecc608::state_file(chips(), 1)), before);
}

}  // namespace
}  // namespace keyferry::vse
