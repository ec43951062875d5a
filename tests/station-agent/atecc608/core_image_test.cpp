// No device private key and no transport key of an ATECC608 is in the station's memory (I1): whole
// core images, taken in the middle of an injection, after GenDig and before PrivWrite, and again
// after it. The same search finds both in the image of the virtual chip: it can find.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <thread>

#include "tests/station-agent/atecc608/chip_place.h"
#include "wrap/base/process.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;

std::string base64(ByteView octets) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  unsigned bits = 0;
  unsigned pending = 0;
  for (const std::uint8_t octet : octets) {
    pending = (pending << 8U | octet) & 0xFFFFU;
    for (bits += 8; bits >= 6; bits -= 6) text += kDigits[pending >> (bits - 6) & 0x3FU];
  }
  return text;
}

/// Raw, hex and base64 in each alignment, both byte orders.
std::map<std::string, std::string> forms(const Bytes& secret) {
  std::map<std::string, std::string> found;
  Bytes turned{secret.rbegin(), secret.rend()};
  for (const auto& [order, octets] :
       {std::pair{"big-endian ", secret}, {"little-endian ", turned}}) {
    std::string upper = to_hex(octets);
    found[std::string{order} + "raw"] = to_string(octets);
    found[std::string{order} + "hex"] = upper;
    std::ranges::transform(upper, upper.begin(), [](char c) { return c >= 'a' ? c - 32 : c; });
    found[std::string{order} + "HEX"] = upper;
    for (std::size_t shift = 0; shift < 3; ++shift) {
      Bytes shifted(shift);
      append(shifted, octets);
      // The digits at both ends depend on what stands beside.
      const std::string text = base64(shifted);
      found[order + ("base64+" + std::to_string(shift))] =
          text.substr(shift == 0 ? 0 : shift + 1, 38);
    }
  }
  return found;
}

class Atecc608CoreImage : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0 || keyferry::test::run_command("command -v gcore").status != 0)
      GTEST_SKIP() << "needs root and gcore (package gdb)";
    place_.enrol();
    place_.add_chips(1);
    static_cast<void>(place_.load_batch());
    place_.write_chip_lanes();
    secrets_ = {{"device key", place_.appliance.scalars.at(0)},
                {"transport key", place_.chips[0]->transport_key}};
  }

  /// "NAME as FORM" for each secret that is in the process's image. known: octets that must be
  /// there.
  std::vector<std::string> finds(int process, ByteView known) {
    const auto image = place_.folder() / "image";
    const auto dumped = keyferry::test::run_command("gcore -o " + image.string() + " " +
                                                    std::to_string(process) + " 2>&1");
    const fs::path file = image.string() + "." + std::to_string(process);
    EXPECT_TRUE(fs::exists(file)) << dumped.output;
    const std::string octets = text_of(file);
    fs::remove(file);
    EXPECT_NE(octets.find(as_chars(known)), std::string::npos) << "this is no image of it";
    std::vector<std::string> found;
    for (const auto& [name, secret] : secrets_) {
      for (const auto& [form, pattern] : forms(secret)) {
        if (octets.find(pattern) != std::string::npos) found.push_back(name + " as " + form);
      }
    }
    return found;
  }

  /// What is in the station's image while it waits at `point`.
  std::vector<std::string> finds_at(const std::string& point) {
    const auto pipe = place_.folder() / "hold";
    const auto trace = place_.folder() / "trace";
    mkfifo(pipe.c_str(), 0600);
    Ran ran;
    std::thread station{[&] {
      ran = place_.run("KEYFERRY_HOLD=" + point + ":" + pipe.string() +
                       " KEYFERRY_CUT_TRACE=" + trace.string());
    }};
    const int writer = open(pipe.c_str(), O_WRONLY | O_CLOEXEC);  // until the station is there
    const auto found = finds(process_in(trace), place_.chips[0]->serial.bytes());
    fs::remove(pipe);
    close(writer);
    station.join();
    EXPECT_EQ(ran.json["injected"], 1) << ran.errors;
    return found;
  }

  static int process_in(const fs::path& trace) {
    std::istringstream lines{text_of(trace)};
    std::string name;
    int process = 0;
    while (lines >> name >> process) {
    }
    return process;
  }

  ChipPlace place_;
  std::map<std::string, Bytes> secrets_;
};

TEST_F(Atecc608CoreImage, OfTheStationBeforePrivWriteHoldsNoKey) {
  EXPECT_EQ(finds_at("atecc608.priv-write-before"), std::vector<std::string>{});
}

TEST_F(Atecc608CoreImage, OfTheStationAfterPrivWriteHoldsNoKey) {
  EXPECT_EQ(finds_at("station.inject-after"), std::vector<std::string>{});
}

TEST_F(Atecc608CoreImage, OfTheVirtualChipHoldsBoth) {
  ASSERT_EQ(place_.run().json["injected"], 1);
  place_.chips[0]->power_off();
  const auto folder = place_.folder();
  ChildSpec chip;
  chip.program = KEYFERRY_BIN_DIR "/keyferry-vse";
  chip.arguments = {"atecc608",
                    "--unix",
                    (folder / "spare-bus").string(),
                    "--config",
                    KEYFERRY_VECTORS_DIR "/atecc608/example-configuration.hex",
                    "--state",
                    (folder / "chip-1" / "cells").string()};
  Child process{chip};
  for (int i = 0; i < 12'000 && !fs::exists(folder / "spare-bus"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  const auto configuration = place_.chips[0]->cells().config;
  const auto found = finds(process.pid(), configuration);
  EXPECT_NE(std::ranges::find(found, "device key as big-endian raw"), found.end());
  EXPECT_NE(std::ranges::find(found, "transport key as big-endian raw"), found.end());
}

}  // namespace
}  // namespace keyferry::station::test
