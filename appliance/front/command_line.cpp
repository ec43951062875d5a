#include <fmt/format.h>

#include "appliance/front/internal/command_line.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kCommonFooter =
    "everywhere: --home DIR, --json, --pin-fd N, --officer-key FILE|URI, --officer-passphrase-fd N,\n"
    "  --plan-out FILE (write the plan for officers to approve, run nothing),\n"
    "  --share FILE, --share-fd N, --share-token URI (PIN in shares),\n"
    "  --insecure-allow network,swap,memlock";

}  // namespace

void bind(CLI::App* command, Line& line, Access access, std::function<int(Context&)> function) {
  command->callback([&line, access, function = std::move(function)] {
    line.run = [&line, access, function](Output& out) {
      Context context{line.common, access, line.clock, line.random, out};
      return function(context);
    };
  });
}

CLI::App* add_group(CLI::App& app, const std::string& name, const std::string& description) {
  CLI::App* group = app.add_subcommand(name, description);
  group->require_subcommand(1)->fallthrough()->footer("");
  return group;
}

CLI::App* add_command(CLI::App& parent,
                      const std::string& name,
                      const std::string& description,
                      const std::string& example) {
  const std::string shown =
      fmt::format("example:\n  keyferry-appliance {} --home /srv/keyferry", example);
  if (parent.get_footer().empty()) parent.footer(shown);  // a group shows its first command's
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough()->footer(fmt::format("{}\n{}", kCommonFooter, shown));
  return command;
}

void add_common(CLI::App& app, Line& line) {
  app.add_option("--home", line.common.home, "the appliance's folder");
  app.add_flag("--json", line.json, "the result as one JSON object on stdout");
  app.add_option("--pin-fd",
                 line.common.pin_fd,
                 "descriptor that the gate reads the HSM's PIN from (else pin-source of the URI, "
                 "else a prompt)");
  app.add_option("--officer-key",
                 line.common.officer_key,
                 "the officer's key: a file, or pkcs11:... of the officer's own token (default: that of init)");
  app.add_option("--plan-out",
                 line.common.plan_out,
                 "write the plan of what was asked for to this file, and run nothing");
  app.add_option("--officer-passphrase-fd",
                 line.common.officer_passphrase_fd,
                 "descriptor to read its passphrase or PIN from (else a prompt)");
  app.add_option("--share", line.common.shares, "a custodian's share file, read by the gate; repeatable (else a prompt)")
      ->allow_extra_args(false);
  app.add_option("--share-fd", line.common.share_fds, "descriptor that the gate reads a share from; repeatable")
      ->allow_extra_args(false);
  app.add_option("--share-token", line.common.share_tokens, "PKCS#11 URI of a custodian's token with a share; repeatable")
      ->allow_extra_args(false);
  app.add_option("--insecure-allow",
                 line.common.insecure_allow,
                 "network, swap, memlock: go on although they are open (development, rehearsal)")
      ->delimiter(',')
      ->allow_extra_args(false);
}

void add_share_targets(CLI::App* command, Line& line) {
  command->add_option("--pin-share-dir", line.common.pin_share_folders, "folder for them: one for all, or one for each custodian")
      ->allow_extra_args(false);
  command->add_option("--pin-share-fd", line.common.pin_share_fds, "descriptor that leads to a printer, one for each custodian")
      ->allow_extra_args(false);
  command->add_option("--pin-share-token", line.common.pin_share_tokens, "PKCS#11 URI of each custodian's own token")
      ->allow_extra_args(false);
}

std::vector<std::pair<std::string, std::string>> variables_of(const Line& line) {
  std::vector<std::pair<std::string, std::string>> variables;
  for (const std::string& pair : line.hsm_environment) {
    const std::size_t sign = pair.find('=');
    if (sign == 0 || sign == std::string::npos) throw Error{Code::Usage, "--hsm-env: NAME=VALUE"};
    variables.emplace_back(pair.substr(0, sign), pair.substr(sign + 1));
  }
  return variables;
}

}  // namespace keyferry::appliance
