// A station's work place for one test: homes, tokens, SEs, and the programs as they are shipped.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/station-agent/soft_appliance.h"
#include "tests/support/command.h"
#include "tests/support/temp_folder.h"

namespace keyferry::station::test {

struct Ran {
  int status = -1;  // 137: killed by a cut point
  nlohmann::json json;
  std::string errors;
};

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

class WorkPlace {
 public:
  WorkPlace() {
    std::ofstream{pin_file()} << "2468135\n";
    std::filesystem::permissions(pin_file(), std::filesystem::perms::owner_read);
    std::filesystem::create_directory(token());
  }

  [[nodiscard]] std::filesystem::path home() const { return folder_ / "station"; }

  [[nodiscard]] std::filesystem::path token() const { return folder_ / "token"; }

  [[nodiscard]] std::filesystem::path pin_file() const { return folder_ / "pin"; }

  [[nodiscard]] std::filesystem::path lanes_file() const { return folder_ / "lanes.toml"; }

  [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }

  /// `environment`: assignments before the program, e.g. KEYFERRY_CUT=...
  Ran station(const std::string& arguments, const std::string& environment = "") {
    const auto errors = folder_ / "stderr";
    const auto result = keyferry::test::run_command(
        "( " + environment + " " KEYFERRY_BIN_DIR "/keyferry-station --json --home " +
        home().string() + " " + arguments + " 2>" + errors.string() + " )");
    Ran ran{result.status, nlohmann::json::parse(result.output, nullptr, false), text_of(errors)};
    return ran;
  }

  Ran init(const std::string& environment = "") {
    return station("init --name cm-line-1 --site factory-a --hsm 'pkcs11:?pin-source=file:" +
                       pin_file().string() + "'",
                   environment);
  }

  Ran load(const std::string& environment = "") {
    return station("load " + token().string(), environment);
  }

  Ran run(const std::string& environment = "") {
    return station("run --lanes " + lanes_file().string(), environment);
  }

  Ran unload(const std::string& environment = "") {
    return station("unload --to " + token().string(), environment);
  }

  void enrol() {
    ASSERT_EQ(init().status, 0);
    ASSERT_EQ(station("enroll --to " + token().string()).status, 0);
    appliance.answer_enrolment(token());
    ASSERT_EQ(
        station("enroll --from " + token().string() + " --fingerprint " + appliance.words()).status,
        0);
  }

  void add_ses(int count) {
    for (int i = 0; i < count; ++i)
      ses.push_back(make_se(folder_ / ("se-" + std::to_string(ses.size()))));
  }

  /// One lane with these SEs.
  void write_lanes(const std::vector<SeStore>& places) {
    std::ofstream out{lanes_file()};
    out << "[[lane]]\nnumber = 1\nfamily = \"pkcs11\"\nperson = 7\n";
    for (const SeStore& se : places) {
      out << "[[lane.se]]\nuri = \"" << se.uri() << "\"\nsofthsm2_conf = \"" << se.conf().string()
          << "\"\n";
    }
  }

  SoftAppliance appliance;
  std::vector<SeStore> ses;

 private:
  keyferry::test::TempFolder folder_;
};

}  // namespace keyferry::station::test
