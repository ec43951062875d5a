#include "appliance/gate/buses.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

class Buses : public ::testing::Test {
 protected:
  void put(const std::string& file, const std::string& value) {
    const fs::path path = sys_.path() / "bus" / file;
    fs::create_directories(path.parent_path());
    std::ofstream{path} << value << '\n';
  }

  void put_usb(const std::string& name, const std::string& product, const std::vector<std::string>& interfaces) {
    put("usb/devices/" + name + "/idVendor", "046d");
    put("usb/devices/" + name + "/idProduct", product);
    put("usb/devices/" + name + "/bDeviceClass", "00");
    for (std::size_t i = 0; i < interfaces.size(); ++i) {
      put("usb/devices/" + name + "/" + name + ":1." + std::to_string(i) + "/bInterfaceClass", interfaces[i]);
    }
  }

  test::TempFolder sys_;
};

TEST_F(Buses, NamesDevicesByTheirNumbersAndClasses) {
  put_usb("1-1", "c31c", {"03", "03"});
  put("pci/devices/0000:00:02.0/vendor", "0x8086");
  put("pci/devices/0000:00:02.0/device", "0x1237");
  put("pci/devices/0000:00:02.0/class", "0x060000");
  EXPECT_EQ(bus_devices(sys_.path()),
            (std::vector<std::string>{"pci 8086:1237 class 060000", "usb 046d:c31c class 00 interfaces 03,03"}));
}

TEST_F(Buses, LeavesAStickOutButNotAStickThatTypes) {
  put_usb("1-2", "0001", {"08"});
  EXPECT_TRUE(bus_devices(sys_.path()).empty());
  put_usb("1-3", "0002", {"08", "03"});
  EXPECT_EQ(bus_devices(sys_.path()).size(), 1U);
}

TEST_F(Buses, AreEmptyWhereThereIsNothingToRead) { EXPECT_TRUE(bus_devices(sys_.path() / "none").empty()); }

TEST(BusStrangers, AreWhatWasNotThereOrNotSoOften) {
  EXPECT_TRUE(bus_strangers({"a", "b"}, {"b", "a"}).empty());
  EXPECT_EQ(bus_strangers({"a"}, {"a", "a"}), std::vector<std::string>{"a"});
  EXPECT_EQ(bus_strangers({"a"}, {"c"}), std::vector<std::string>{"c"});
  EXPECT_TRUE(bus_strangers({"a", "b"}, {}).empty());
}

}  // namespace
}  // namespace keyferry::appliance
