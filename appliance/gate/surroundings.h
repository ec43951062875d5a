// The air gap (design.md section 12): no login is held while a network interface but loopback is up, swap is on, core
// dumps are on or memory cannot be locked, unless each is overridden by name: in development and rehearsal by an option, in production
// by officers, for a time.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "appliance/gate/permits.h"
#include "appliance/gate/settings.h"
#include "wrap/base/error.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

struct Surroundings {
  std::vector<std::string> networks;  // interfaces that are up, but for loopback
  bool swap_on = false;
  bool core_dumps_on = false;
  std::uint64_t memlock_bytes = 0;    // UINT64_MAX: no limit
  bool pin_locked = true;             // as the kernel says; with no PIN yet: memory where one would be
};

/// Locks the memory of `pin` where the pool has not.
[[nodiscard]] Surroundings look_around(const SecretBytes& pin);

/// Locked memory that the gate and each worker want: PINs and keys of one record.
inline constexpr std::uint64_t kWantedMemlockBytes = 512 * 1024;

struct AirGapCheck {
  std::vector<std::string> problems;    // not overridden: sentences
  std::vector<std::string> overridden;  // "network (eth0 is up)"
  std::vector<Permit> used;             // permits without which there would be a problem
  std::string memlock;                  // what can be locked, as a sentence
};

/// `allow` and the settings' list count outside production; `permits`, at `now`, everywhere.
[[nodiscard]] AirGapCheck check_air_gap(const Surroundings& around, const GateSettings& settings,
                                        const std::vector<std::string>& allow, const std::vector<Permit>& permits,
                                        UtcMillis now);

/// Error{Refused} for a production store in a build that can be cut off, clock-shifted and faulted from its environment.
void refuse_test_hooks(Environment environment);

/// refuse_test_hooks(), then look_around() and check_air_gap() without a PIN yet. Error{Refused} naming every problem.
void refuse_unfit(const std::filesystem::path& settings_file, const GateSettings& settings,
                  const std::vector<std::string>& allow, UtcMillis now);

/// What is thrown for problems that nobody allowed.
[[nodiscard]] Error unfit_machine(const AirGapCheck& check, Environment environment);

}  // namespace keyferry::appliance
