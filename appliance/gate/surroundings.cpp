#include "appliance/gate/surroundings.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "wrap/base/cut.h"
#include "wrap/base/locked_memory.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr unsigned long kInterfaceUp = 0x1;  // IFF_UP, linux/if.h

std::vector<std::string> networks_up() {
  std::vector<std::string> up;
  std::error_code failed;
  for (const fs::directory_entry& entry : fs::directory_iterator{"/sys/class/net", failed}) {
    const std::string name = entry.path().filename().string();
    std::string flags;
    std::ifstream{entry.path() / "flags"} >> flags;
    if (name != "lo" && (std::strtoul(flags.c_str(), nullptr, 16) & kInterfaceUp) != 0) up.push_back(printable(name));
  }
  std::ranges::sort(up);
  return up;
}

bool core_dumps_are_on() {
  rlimit limit{};
  getrlimit(RLIMIT_CORE, &limit);
  return limit.rlim_cur != 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0;
}

}  // namespace

Surroundings look_around(const SecretBytes& pin) {
  const SecretBytes fresh{32};
  return Surroundings{networks_up(), swap_is_on(), core_dumps_are_on(), memlock_limit_bytes().value_or(UINT64_MAX),
                      lock_memory(pin.empty() ? fresh.expose() : pin.expose())};
}

AirGapCheck check_air_gap(const Surroundings& around, const GateSettings& settings, const std::vector<std::string>& allow,
                          const std::vector<Permit>& permits, UtcMillis now) {
  AirGapCheck check;
  const bool may_override = settings.kind != Environment::Production;
  const auto judge = [&](const char* name, bool bad, const std::string& sentence) {
    if (!bad) return;
    const bool allowed = may_override && (std::ranges::find(allow, name) != allow.end() ||
                                          std::ranges::find(settings.insecure_allow, name) != settings.insecure_allow.end());
    const Permit* permit = allowed ? nullptr : permit_for(permits, name, now);
    if (permit != nullptr) {
      check.used.push_back(*permit);
      check.overridden.push_back(fmt::format("{} ({}; officers allow it until {})", name, sentence, to_rfc3339(permit->until)));
      return;
    }
    (allowed ? check.overridden : check.problems).push_back(fmt::format("{} ({})", name, sentence));
  };
  judge("network", !around.networks.empty(), fmt::format("up: {}", fmt::join(around.networks, ", ")));
  judge("swap", around.swap_on, "swap is on");
  judge("core-dumps", around.core_dumps_on, "core dumps are on");
  judge("memlock", around.memlock_bytes < kWantedMemlockBytes,
        fmt::format("only {} KiB of memory can be locked, {} are wanted: raise LimitMEMLOCK or ulimit -l",
                    around.memlock_bytes / 1024, kWantedMemlockBytes / 1024));
  judge("memlock", around.memlock_bytes >= kWantedMemlockBytes && !around.pin_locked,
        "the kernel did not lock the memory of the PIN");
  check.memlock = around.memlock_bytes == UINT64_MAX
                      ? std::string{"memory can be locked without limit"}
                      : fmt::format("{} KiB of memory can be locked", around.memlock_bytes / 1024);
  check.memlock += around.pin_locked ? "; the PIN is in locked memory" : "; the PIN is NOT in locked memory";
  return check;
}

Error unfit_machine(const AirGapCheck& check, Environment environment) {
  return Error{Code::Refused,
               fmt::format("this machine is no place for an HSM login: {}", fmt::join(check.problems, "; ")),
               environment == Environment::Production
                   ? "mend it; officers can allow it for a time while the machine is fit: keyferry-appliance insecure allow"
                   : "mend it, or for development and rehearsal name it: --insecure-allow network,swap,memlock"};
}

void refuse_test_hooks(Environment environment) {
  if (environment != Environment::Production || !kTestHooks) return;
  throw Error{Code::Refused, "this program was built with test hooks and refuses a production store",
              "use the release build: cmake --preset release"};
}

void refuse_unfit(const std::filesystem::path& settings_file, const GateSettings& settings,
                  const std::vector<std::string>& allow, UtcMillis now) {
  refuse_test_hooks(settings.kind);
  const AirGapCheck check = check_air_gap(look_around(SecretBytes{}), settings, allow, read_permits(settings_file), now);
  if (!check.problems.empty()) throw unfit_machine(check, settings.kind);
}

}  // namespace keyferry::appliance
