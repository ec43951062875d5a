// The command line of keyferry-appliance in parts: what it said, and who describes which commands. Each command binds
// its options to a function of this folder. Nobody but the program includes this: CLI11 is large.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "appliance/front/audit_challenge.h"
#include "appliance/front/authority_commands.h"
#include "appliance/front/batch_status.h"
#include "appliance/front/ceremony_commands.h"
#include "appliance/front/context.h"
#include "appliance/front/crl_commands.h"
#include "appliance/front/custody.h"
#include "appliance/front/devices.h"
#include "appliance/front/doctor.h"
#include "appliance/front/ends.h"
#include "appliance/front/evidence_export.h"
#include "appliance/front/export.h"
#include "appliance/front/family_commands.h"
#include "appliance/front/fleet_export.h"
#include "appliance/front/hsm_backup.h"
#include "appliance/front/hsm_entropy.h"
#include "appliance/front/hsm_inventory.h"
#include "appliance/front/hsm_pins.h"
#include "appliance/front/init.h"
#include "appliance/front/key_commands.h"
#include "appliance/front/log_view.h"
#include "appliance/front/machine_commands.h"
#include "appliance/front/officer_commands.h"
#include "appliance/front/operation.h"
#include "appliance/front/outside.h"
#include "appliance/front/plan_commands.h"
#include "appliance/front/plan_new.h"
#include "appliance/front/preparations.h"
#include "appliance/front/quarantine_view.h"
#include "appliance/front/receipts_import.h"
#include "appliance/front/reconcile.h"
#include "appliance/front/revocations.h"
#include "appliance/front/se_import.h"
#include "appliance/front/setup_commands.h"
#include "appliance/front/station_enroll.h"

namespace keyferry::appliance {

/// What the command line said; the chosen command's function runs after all of it was read.
struct Line {
  CommonOptions common;
  bool json = false;
  std::function<int(Output&)> run;

  SystemClock clock;
  SystemRandom random;

  InitOptions init;
  std::string environment = "development";
  std::vector<std::string> hsm_environment;
  std::vector<std::string> what;
  std::string until;
  std::string name, id, reason;
  SourceOptions source;
  MasterOptions master;
  ImportOptions import;
  OrderOptions order;
  CaOptions ca;
  CaRequestOptions ca_request;
  CaChainOptions ca_chain;
  KeyImportOptions key_import;
  VendorKeyOptions vendor_key;
  EnrollOptions enroll;
  PlanNewOptions plan;
  LogShowOptions log;
  RestoreOptions restore;
  OfficerRequestOptions card_request;
  OfficerCardOptions card;
  PolicyChangeOptions policy;
  CeremonyOptions ceremony;
  bool needs_home = true;
  EndOptions end;
  TokenLostOptions lost;
  StationRetireOptions retire;
  CrlOptions crl;
  CrlDueOptions crl_due;
  CrlImportOptions crl_import;
  CaRevokeOptions ca_revoke;
  CustodyOptions custody;
  DeviceOptions device;
  std::uint32_t listed = kQuarantineListed;
  LabelFiles label;
  FleetOptions fleet;
  EvidenceOptions evidence;
  std::vector<std::uint32_t> records;
  std::filesystem::path file;
  std::vector<std::filesystem::path> files;
  bool der = false;
  std::uint32_t shares_needed = 0;
  std::optional<std::string> batch;
};

/// A command that works in a Context.
void bind(CLI::App* command, Line& line, Access access, std::function<int(Context&)> function);

/// Of commands: it does nothing by itself.
CLI::App* add_group(CLI::App& app, const std::string& name, const std::string& description);

/// `example`: without program and home; the first one of a group stands in the group's help too.
CLI::App* add_command(CLI::App& parent,
                      const std::string& name,
                      const std::string& description,
                      const std::string& example);

/// Where the shares of new PINs go; none of them: shown on the terminal and typed back there.
void add_share_targets(CLI::App* command, Line& line);

/// `NAME=VALUE` of --hsm-env.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> variables_of(const Line& line);

// Each makes its commands below `app`, in the order of main().
void add_common(CLI::App& app, Line& line);
void add_init(CLI::App& app, Line& line);
void add_setup(CLI::App& app, Line& line);
void add_plan(CLI::App& app, Line& line);
void add_batch(CLI::App& app, Line& line);
void add_return(CLI::App& app, Line& line);
void add_officers(CLI::App& app, Line& line);
void add_log(CLI::App& app, Line& line);
void add_evidence(CLI::App& app, Line& line);
void add_audit(CLI::App& app, Line& line);
void add_hsm(CLI::App& app, Line& line);
void add_machine(CLI::App& app, Line& line);
void add_family(CLI::App& app, Line& line);
void add_ceremony(CLI::App& app, Line& line);
void add_ends(CLI::App& app, Line& line);
void add_devices(CLI::App& app, Line& line);

}  // namespace keyferry::appliance
