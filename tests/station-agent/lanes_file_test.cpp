#include "station-agent/lanes_file.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"

namespace keyferry::station {
namespace {

constexpr const char* kGood = R"([[lane]]
number = 2
family = "pkcs11"
person = 7
[[lane.se]]
uri = "pkcs11:serial=00ab?module-path=/usr/lib/x.so&pin-source=file:/srv/pin"
softhsm2_conf = "se/softhsm2.conf"
device_serial = "DEV-1"
)";

class LanesFile : public testing::Test {
 protected:
  std::vector<LanePlan> read(const std::string& text) {
    std::ofstream{folder_ / "lanes.toml"} << text;
    return read_lanes_file(folder_ / "lanes.toml");
  }

  static std::string with(const std::string& from, const std::string& to) {
    std::string text = kGood;
    text.replace(text.find(from), from.size(), to);
    return text;
  }

  void expect_usage(const std::string& text) {
    try {
      static_cast<void>(read(text));
      ADD_FAILURE() << "taken: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::Usage) << error.what();
    }
  }

  keyferry::test::TempFolder folder_;
};

TEST_F(LanesFile, GivesLanesAndPlaces) {
  const auto lanes = read(kGood);
  ASSERT_EQ(lanes.size(), 1U);
  EXPECT_EQ(lanes[0].number.value, 2U);
  EXPECT_EQ(lanes[0].person_number, 7U);
  ASSERT_EQ(lanes[0].places.size(), 1U);
  EXPECT_EQ(lanes[0].places[0].uri.serial, "00ab");
  EXPECT_EQ(lanes[0].places[0].softhsm2_conf, folder_ / "se/softhsm2.conf");
  EXPECT_EQ(lanes[0].places[0].device_serial, "DEV-1");
}

TEST_F(LanesFile, RefusesUnknownWords) {
  expect_usage(with("person = 7", "person = 7\noperator = 7"));
  expect_usage(with("device_serial", "serial"));
  expect_usage("line = 1\n" + std::string{kGood});
}

TEST_F(LanesFile, RefusesADoubledLane) {
  expect_usage(std::string{kGood} + kGood);
}

TEST_F(LanesFile, RefusesTheSameSeInTwoLanes) {
  expect_usage(std::string{kGood} + with("number = 2", "number = 3"));
}

TEST_F(LanesFile, RefusesFamiliesWithoutADriver) {
  expect_usage(with("\"pkcs11\"", "\"tpm2\""));
  expect_usage(with("\"pkcs11\"", "\"abacus\""));
}

TEST_F(LanesFile, RefusesPlacesThatCannotBeReached) {
  expect_usage(with("module-path=/usr/lib/x.so&", ""));
  expect_usage(with("&pin-source=file:/srv/pin", ""));
  expect_usage(with("pin-source=file:/srv/pin", "pin-value=1234"));
  expect_usage(with("pkcs11:serial", "http:serial"));
}

TEST_F(LanesFile, RefusesNumbersAndTextsThatAreNone) {
  expect_usage(with("number = 2", "number = 0"));
  expect_usage(with("number = 2", "number = 4294967296"));
  expect_usage(with("number = 2", "number = \"2\""));
  expect_usage(with("person = 7", "person = -1"));
  expect_usage(with("\"DEV-1\"", "\"=cmd()\""));
  expect_usage(with("\"DEV-1\"", "\"<script>\""));
  expect_usage("");
  expect_usage("[[lane]\n");
}

constexpr const char* kChips = R"([[lane]]
number = 3
family = "atecc608"
person = 7
firmware = "fw/image.bin"
firmware_signature = "fw/image.sig"
[[lane.se]]
chip = "i2c:/dev/i2c-1:0x60"
[[lane.se]]
chip = "tcp:127.0.0.1:4711"
device_serial = "DEV-2"
)";

TEST_F(LanesFile, GivesChipsOnTheirBuses) {
  const auto lanes = read(kChips);
  ASSERT_EQ(lanes.size(), 1U);
  EXPECT_EQ(lanes[0].family, token::Family::Atecc608);
  ASSERT_EQ(lanes[0].places.size(), 2U);
  EXPECT_EQ(atecc608::to_string(*lanes[0].places[0].chip), "i2c:/dev/i2c-1:0x60");
  EXPECT_EQ(lanes[0].places[1].device_serial, "DEV-2");
  EXPECT_EQ(lanes[0].firmware->image, folder_ / "fw/image.bin");
  EXPECT_EQ(lanes[0].firmware->signature, folder_ / "fw/image.sig");
}

TEST_F(LanesFile, RefusesChipsThatItCannotReach) {
  const auto changed = [](const std::string& from, const std::string& to) {
    std::string text = kChips;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  expect_usage(changed("i2c:/dev/i2c-1:0x60", "i2c:/dev/i2c-1"));
  expect_usage(changed("tcp:127.0.0.1:4711", "i2c:/dev/i2c-1:0x60"));
  expect_usage(changed("chip = \"tcp", "uri = \"tcp"));
  expect_usage(changed("firmware_signature = \"fw/image.sig\"\n", ""));
  expect_usage(changed("atecc608", "tpm2"));
}

}  // namespace
}  // namespace keyferry::station
