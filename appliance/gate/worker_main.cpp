// keyferry-hsm-worker: started by keyferry-hsm-gate alone, with a socket to it as descriptor 3.
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "appliance/gate/hardening.h"
#include "appliance/gate/worker.h"
#include "wrap/base/process.h"

namespace {

constexpr int kGateFd = 3;

int serve(const std::string& settings_file) {
  keyferry::appliance::close_descriptors_but({kGateFd});
  keyferry::appliance::detach_input();
  keyferry::SystemRandom random;
  const keyferry::appliance::GateSettings settings = keyferry::appliance::read_settings(settings_file);
  return keyferry::appliance::run_worker(kGateFd, settings, settings_file, random);
}

}  // namespace

int main(int argc, char** argv) {
  keyferry::harden_process();
  google::protobuf::SetLogHandler(nullptr);  // what others send is refused in our words, not in the library's
  CLI::App app{"keyferry-hsm-worker: holds one login to the HSM; started by keyferry-hsm-gate"};
  std::string settings_file;
  app.add_option("--settings", settings_file, "gate.toml beside the HSM's store")->required();
  CLI11_PARSE(app, argc, argv);
  try {
    if (!keyferry::die_with_parent()) return 3;
    return serve(settings_file);
  } catch (const keyferry::Error& error) {
    fmt::print(stderr, "keyferry-hsm-worker: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return keyferry::exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-hsm-worker: {}\n", error.what());
    return 70;
  }
}
