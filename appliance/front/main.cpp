// keyferry-appliance: what the command line said is done here, and what went wrong is told.
#include <fmt/format.h>

#include <cstdio>

#include "appliance/front/internal/command_line.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;             // NOLINT(google-build-using-namespace): a main of its own
using namespace keyferry::appliance;  // NOLINT(google-build-using-namespace)

constexpr int kUsage = 2;
constexpr int kBug = 70;

int fail(Output& out, const Error& error) {
  fmt::print(stderr, "keyferry-appliance: {}\n", error.what());
  if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
  if (out.json()) {
    out.result(
        "error",
        Json{{"code", code_name(error.code())}, {"text", error.what()}, {"hint", error.hint()}},
        {});
  }
  return exit_status(error.code());
}

int run(Line& line) {
  Output out{line.json ? OutputForm::Machine : OutputForm::Plain};
  line.common.form = line.json ? OutputForm::Machine : OutputForm::Plain;
  try {
    if (line.ceremony.rehearsal && !line.common.home.empty()) {
      throw Error{Code::Usage, "--rehearsal DIR stands in place of --home: name one of them"};
    }
    if (line.ceremony.rehearsal) line.common.home = *line.ceremony.rehearsal / "appliance";
    if (line.common.home.empty() && line.needs_home) throw Error{Code::Usage, "--home DIR is needed"};
    if (line.needs_home) line.common.home = std::filesystem::absolute(line.common.home).lexically_normal();
    return line.run(out);
  } catch (const PlanWritten& written) {  // it has told what comes next
    return written.status;
  } catch (const Error& error) {
    return fail(out, error);
  } catch (const std::filesystem::filesystem_error& error) {
    return fail(out, Error{Code::Storage, error.what()});
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-appliance: {}\n", error.what());
    return kBug;
  }
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  Line line;
  CLI::App app{"keyferry-appliance: the offline appliance: plans, batches, tokens, receipts"};
  app.require_subcommand(1)->footer(
      "example:\n  keyferry-appliance plan check batch.toml --home /srv/keyferry");
  add_common(app, line);
  add_init(app, line);
  add_setup(app, line);
  add_plan(app, line);
  add_batch(app, line);
  add_return(app, line);
  add_officers(app, line);
  add_log(app, line);
  add_evidence(app, line);
  add_audit(app, line);
  add_hsm(app, line);
  add_machine(app, line);
  add_family(app, line);
  add_ceremony(app, line);
  add_ends(app, line);
  add_devices(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11's only way to say help or no
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return run(line);
}
