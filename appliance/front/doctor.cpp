#include "appliance/front/doctor.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>

#include "appliance/gate/buses.h"
#include "appliance/gate/permits.h"
#include "appliance/gate/pin_tries.h"
#include "appliance/gate/settings.h"
#include "appliance/gate/surroundings.h"
#include "appliance/ledger/outside_store.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMiB = 1024 * 1024;
constexpr std::uint64_t kLowRoomBytes = 2048 * kMiB;  // a million records and their certificates
constexpr std::uint64_t kNoRoomBytes = 64 * kMiB;

enum class Level { Ok, Warn, Fail };

std::string_view level_name(Level level) {
  switch (level) {
    case Level::Ok:
      return "ok";
    case Level::Warn:
      return "warn";
    case Level::Fail:
      return "FAIL";
  }
  return "";
}

/// What was found, in the order of looking.
class Findings {
 public:
  void add(Level level, std::string_view topic, std::string text) {
    text = printable(text);
    counts_[static_cast<std::size_t>(level)] += 1;
    lines_.push_back(fmt::format("{:<5} {:<13} {}", level_name(level), topic, text));
    checks_.push_back(Json{{"level", level == Level::Fail ? "fail" : level_name(level)},
                           {"topic", topic},
                           {"text", text}});
  }

  void use(const std::string& what, const std::string& value) { uses_[what] = printable(value); }

  int finish(Output& out) {
    const int fails = counts_[static_cast<std::size_t>(Level::Fail)];
    const int warnings = counts_[static_cast<std::size_t>(Level::Warn)];
    lines_.push_back(fmt::format(
        "{} fail, {} warn, {} ok", fails, warnings, counts_[static_cast<std::size_t>(Level::Ok)]));
    out.result("doctor",
               Json{{"fail", fails}, {"warn", warnings}, {"uses", uses_}, {"checks", checks_}},
               lines_);
    return fails == 0 ? 0 : 1;
  }

 private:
  std::array<int, 3> counts_{};
  std::vector<std::string> lines_;
  Json checks_ = Json::array();
  Json uses_ = Json::object();
};

/// False: the gate would refuse to start here.
bool look_at_machine(Findings& findings,
                     const GateSettings& settings,
                     const std::vector<std::string>& allow,
                     const std::vector<Permit>& permits,
                     UtcMillis now) {
  const AirGapCheck gap =
      check_air_gap(look_around(SecretBytes{}), settings, allow, permits, now);
  for (const std::string& problem : gap.problems) findings.add(Level::Fail, "machine", problem);
  for (const std::string& open : gap.overridden)
    findings.add(Level::Warn, "machine", open + ", overridden");
  if (gap.problems.empty() && gap.overridden.empty()) {
    findings.add(Level::Ok, "machine", "no network but loopback, no swap, no core dumps");
  }
  findings.add(Level::Ok, "memory", gap.memlock);
  return gap.problems.empty();
}

/// Families whose records make a worker see keys: what officers have allowed.
void look_at_families(Findings& findings, const std::vector<std::string>& enabled) {
  findings.add(Level::Ok,
               "families",
               enabled.empty() ? std::string{"none is enabled whose keys a worker sees in the clear"}
                               : fmt::format("enabled, though a worker sees their device keys in the clear for one record: {}",
                                             fmt::join(enabled, ", ")));
}

/// Batches whose keys wait for an outside CA: each holds wrapped keys in containers that only this HSM opens.
void look_at_waiting(Findings& findings, Ledger& ledger, UtcMillis now) {
  std::size_t waiting = 0;
  for (const BatchRow& batch : BatchStore{ledger}.all()) {
    if (batch.state != BatchState::Waiting && batch.state != BatchState::Certifying) continue;
    ++waiting;
    OutsideStore outside{ledger};
    const OutsideStore::Counts counts = outside.counts(batch.id);
    const auto parts = outside.segments(batch.id);
    const UtcMillis since = batch.started.value_or(batch.made);
    const bool late = now.value >= batch.due.value;
    findings.add(Level::Warn, "outside CA",
                 fmt::format("batch {} waits for CA \"{}\" since {}: {} of {} certificates are in{}",
                             batch.id.hex(), batch.authority, to_rfc3339(since), counts.certificates, batch.se_count,
                             late ? fmt::format("; it was due {}", to_rfc3339(batch.due)) : ""));
    if (parts.empty()) continue;
    findings.add(Level::Warn, "outside CA",
                 fmt::format("its keys wait in {} container{}: {}{}", parts.size(), parts.size() == 1 ? "" : "s",
                             parts.front().container.hex(),
                             parts.size() == 1 ? "" : " to " + parts.back().container.hex()));
  }
  if (waiting == 0) findings.add(Level::Ok, "outside CA", "no batch waits for an outside CA's certificates");
}

/// The devices on the buses against those of the registry, and what else it says of this machine.
void look_at_buses(Findings& findings,
                   const CommonOptions& options,
                   Environment environment,
                   const std::vector<Permit>& permits,
                   const Clock& clock,
                   RandomSource& random,
                   Output& out) {
  Context context{options, Access::Read, clock, random, out};
  const std::vector<std::string> present = bus_devices();
  const auto octets = context.ledger().registry_octets();
  if (!octets) {
    findings.add(Level::Warn, "buses", "no registry yet: init notes what is there");
    return;
  }
  const Registry registry = parse_registry(*octets);
  look_at_families(findings, registry.enabled_families);
  look_at_waiting(findings, context.ledger(), clock.now());
  const std::vector<std::string> strangers = bus_strangers(registry.bus_devices, present);
  const bool allowed = permit_for(permits, "usb", clock.now()) != nullptr;
  const Level level =
      environment == Environment::Production && !allowed ? Level::Fail : Level::Warn;
  for (const std::string& stranger : strangers) {
    findings.add(level,
                 "buses",
                 stranger + " was not there when the appliance was set up" +
                     (allowed ? "; officers allow it for a time" : ""));
  }
  if (strangers.empty()) {
    findings.add(Level::Ok,
                 "buses",
                 fmt::format("{} devices, as when the appliance was set up", present.size()));
  }
}

void look_at_folder(Findings& findings, std::string_view topic, const fs::path& folder) {
  std::error_code failed;
  const fs::file_status status = fs::status(folder, failed);
  if (!fs::is_directory(status)) {
    findings.add(Level::Fail, topic, fmt::format("{} is no folder", folder.string()));
    return;
  }
  const bool open_to_others =
      (status.permissions() & (fs::perms::group_all | fs::perms::others_all)) != fs::perms::none;
  findings.add(open_to_others ? Level::Warn : Level::Ok,
               topic,
               open_to_others
                   ? fmt::format("{} is open to other users: chmod 0700", folder.string())
                   : fmt::format("{} is this user's alone", folder.string()));
  const fs::space_info room = fs::space(folder, failed);
  if (failed) return;
  const Level level = room.available < kNoRoomBytes    ? Level::Fail
                      : room.available < kLowRoomBytes ? Level::Warn
                                                       : Level::Ok;
  findings.add(level, topic, fmt::format("{} MiB are free", room.available / kMiB));
}

std::string_view filter_name(SystemCallFilter filter) {
  switch (filter) {
    case SystemCallFilter::Strict:
      return "strict";
    case SystemCallFilter::NetworkModule:
      return "network-module";
    case SystemCallFilter::Off:
      return "off";
  }
  return "";
}

void look_at_settings(Findings& findings, const Settings& home, const GateSettings& gate) {
  findings.add(
      Level::Ok,
      "settings",
      fmt::format(
          "appliance \"{}\", environment {}", home.name, environment_name(home.environment)));
  findings.add(Level::Ok,
               "settings",
               fmt::format("{} worker process{} of {} thread{}, replaced after {} keys",
                           gate.workers,
                           gate.workers == 1 ? "" : "es",
                           gate.threads,
                           gate.threads == 1 ? "" : "s",
                           gate.keys_per_worker));
  findings.add(gate.filter == SystemCallFilter::Off ? Level::Warn : Level::Ok,
               "settings",
               fmt::format("system call filter: {}", filter_name(gate.filter)));
  findings.use("processes", fmt::format("{}", gate.workers));
  findings.use("threads", fmt::format("{}", gate.threads));
  if (gate.store) look_at_folder(findings, "hsm store", *gate.store);
}

/// True when a login may be tried.
bool look_at_pin(Findings& findings,
                 const fs::path& settings_file,
                 const GateSettings& gate,
                 const CommonOptions& options) {
  if (const auto refusal = pin_tries_refusal(settings_file)) {
    findings.add(Level::Fail, "pin", refusal->text);
    return false;
  }
  findings.add(Level::Ok, "pin", "no wrong PIN stands in the way of a login");
  if (gate.pin == PinSource::Shares) {
    findings.add(Level::Ok, "pin", "in shares: the gate puts it together from what custodians bring");
    return true;
  }
  const bool from_file = pin_file(gate).has_value();
  findings.add(from_file && !options.pin_fd ? Level::Warn : Level::Ok,
               "pin",
               options.pin_fd ? "read by the gate from a descriptor"
               : from_file    ? "read by the gate from a file: for development and rehearsal"
                              : "typed at a terminal that the gate reads");
  return true;
}

/// "use kwp: CKM_..." -> {"kwp", "CKM_..."}
std::pair<std::string, std::string> split_use(const std::string& fact) {
  const std::size_t colon = fact.find(": ");
  return {fact.substr(4, colon - 4), fact.substr(colon + 2)};
}

bool shouts(const std::string& sentence) {
  return sentence.find("NO ") != std::string::npos || sentence.find("NOT ") != std::string::npos ||
         sentence.find("NEW PRIVILEGES") != std::string::npos ||
         sentence.find("no system call filter") != std::string::npos;
}

void take_facts(Findings& findings, const v1::HsmFacts& facts, unsigned threads) {
  findings.add(Level::Ok, "module", facts.module());
  bool drift = false;
  for (const std::string& fact : facts.facts()) {
    if (fact.starts_with("use ")) {
      const auto [what, value] = split_use(fact);
      findings.use(what, value);
      if (what == "sessions" && !value.ends_with("more") &&
          std::strtoul(value.c_str(), nullptr, 10) < threads) {
        findings.add(
            Level::Fail,
            "settings",
            fmt::format(
                "{} threads in a worker, the module gives {} sessions: set fewer", threads, value));
      }
      findings.add(Level::Ok, "will use", fmt::format("{}: {}", what, value));
    } else if (fact.starts_with("missing: ")) {
      findings.add(Level::Fail, "module", fact.substr(9));
    } else if (fact.starts_with("drift: ")) {
      drift = true;
      findings.add(Level::Fail, "roles", fact.substr(7));
    } else if (fact.starts_with("probe: ")) {
      findings.add(Level::Ok, "probed", fact.substr(7));
    } else {
      findings.add(shouts(fact) ? Level::Warn : Level::Ok, "hardening", fact);
    }
  }
  if (!drift) findings.add(Level::Ok, "roles", "every key has exactly the attributes of its role");
  for (const std::string& stranger : facts.strangers())
    findings.add(Level::Warn, "strangers", stranger);
  if (facts.strangers().empty())
    findings.add(Level::Ok, "strangers", "no object of others in the token");
}

void look_at_hsm(Findings& findings,
                 unsigned threads,
                 const CommonOptions& options,
                 const Clock& clock,
                 RandomSource& random,
                 Output& out) {
  // The border of this examination: whatever stops it is what was found.
  try {
    Context context{options, Access::Write, clock, random, out};
    v1::GateRequest request;
    request.mutable_probe();
    take_facts(
        findings, context.gate_unopened().call(std::move(request)).inventory().facts(), threads);
  } catch (const Error& error) {
    if (error.code() == Code::NotFound) {
      findings.add(
          Level::Warn,
          "hsm",
          std::string{error.what()} + ": there is no token of this appliance yet, init makes it");
    } else {
      findings.add(Level::Fail,
                   "hsm",
                   error.hint().empty() ? std::string{error.what()}
                                        : std::string{error.what()} + "; " + error.hint());
    }
  }
}

}  // namespace

int doctor(const CommonOptions& options, const Clock& clock, RandomSource& random, Output& out) {
  Findings findings;
  const fs::path settings_file = Paths{options.home}.settings();
  std::error_code failed;
  if (!fs::exists(settings_file, failed)) {
    look_at_machine(findings, GateSettings{}, options.insecure_allow, {}, clock.now());
    findings.add(
        Level::Warn,
        "appliance",
        fmt::format(
            "{} holds no appliance yet: keyferry-appliance init makes one; the HSM was not asked",
            options.home.string()));
    return findings.finish(out);
  }
  const Settings home = read_home_settings(settings_file);
  const GateSettings gate = read_settings(home.gate_settings);
  const bool may_start =
      look_at_machine(findings,
                      gate,
                      gate_options(home, options).insecure_allow,
                      read_permits(home.gate_settings),
                      clock.now());
  look_at_buses(findings, options, gate.kind, read_permits(home.gate_settings), clock, random, out);
  look_at_folder(findings, "home", options.home);
  look_at_settings(findings, home, gate);
  const bool may_login = look_at_pin(findings, home.gate_settings, gate, options);
  if (may_start && may_login) {
    look_at_hsm(findings, gate.threads, options, clock, random, out);
  } else {
    findings.add(Level::Warn, "hsm", "it was not asked: mend what fails first");
  }
  return findings.finish(out);
}

}  // namespace keyferry::appliance
