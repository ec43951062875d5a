// keyferry-audit: what can be checked without the appliance and without us. Reads files, writes nothing, reaches no key.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "token/audit-tool/certificate_view.h"
#include "token/audit-tool/plan_view.h"
#include "token/audit-tool/transcript_view.h"
#include "token/audit-tool/verify.h"
#include "token/audit-tool/verify_text.h"
#include "token/ordered_crew.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace {

using namespace keyferry;  // NOLINT(google-build-using-namespace): a main of its own
using Json = nlohmann::ordered_json;

constexpr int kUsage = 2;
constexpr int kBug = 70;

struct Line {
  bool json = false;
  std::filesystem::path file;
  std::vector<std::filesystem::path> files;
  std::string profile = "auto";
  std::string fingerprint;
  std::optional<std::string> challenge;
  bool rehearsal = false;
  std::function<int()> run;
};

void print_json(const char* noun, Json fields) {
  Json whole{{"schema", fmt::format("keyferry.{}.v1", noun)}};
  whole.update(fields);
  fmt::print(stdout, "{}\n", whole.dump(2));
}

int show_plan(const Line& line) {
  const std::string origin = line.file.string();
  const audit_tool::PlanView view = audit_tool::view_plan(read_file(line.file, audit_tool::kMaxPlanBytes), origin);
  if (line.json) {
    Json fields = Json::object();
    for (const auto& [name, value] : view.fields) fields[name] = value;
    print_json("audit-plan", Json{{"sha256", view.digest.hex()}, {"words", view.words}, {"fields", fields}});
    return 0;
  }
  for (const auto& [name, value] : view.fields) fmt::print(stdout, "{} = {}\n", name, value);
  fmt::print(stdout, "\ndigest  {}\nwords   {}\n", view.digest.hex(), view.words);
  return 0;
}

int show_transcript(const Line& line) {
  const auto view = audit_tool::view_transcript(read_file(line.file, audit_tool::kMaxTranscriptBytes), line.file.string());
  if (line.json) {
    print_json("audit-transcript", Json{{"sha256", view.digest.hex()}, {"words", view.words}});
  } else {
    fmt::print(stdout, "sha-256  {}\nwords    {}\n", view.digest.hex(), view.words);
  }
  return 0;
}

int show_hash(const Line& line) {
  constexpr std::uint64_t kMaxBytes = std::uint64_t{256} * 1024 * 1024;
  const Digest digest = crypto::sha256(read_file(line.file, kMaxBytes));
  if (line.json) {
    print_json("audit-hash", Json{{"sha256", digest.hex()}, {"words", to_words(digest.bytes())}});
  } else {
    fmt::print(stdout, "sha-256  {}\nwords    {}\n", digest.hex(), to_words(digest.bytes()));
  }
  return 0;
}

Json lint_json(const audit_tool::CertificateLint& lint) {
  Json certificates = Json::array();
  for (const auto& one : lint.certificates)
    certificates.push_back(Json{{"origin", one.origin}, {"subject", one.subject}, {"sha256", one.sha256}});
  Json findings = Json::array();
  for (const x509::Finding& finding : lint.findings) {
    findings.push_back(Json{{"certificate", finding.certificate},
                            {"rule", finding.rule->name},
                            {"clause", finding.rule->clause},
                            {"sentence", finding.rule->sentence},
                            {"found", finding.text}});
  }
  return Json{{"profile", x509::lint_profile_name(lint.profile)}, {"certificates", certificates}, {"findings", findings}};
}

int lint_certificates(const Line& line) {
  const auto profile = x509::lint_profile_from_name(line.profile);
  if (!profile) {
    throw Error{Code::Usage, fmt::format("--profile {}: no such profile", printable(line.profile)),
                "use auto, general, matter-dac, matter-pai or matter-paa"};
  }
  const audit_tool::CertificateLint lint = audit_tool::lint_files(line.files, *profile);
  if (line.json) {
    print_json("audit-cert-lint", lint_json(lint));
  } else {
    fmt::print(stdout, "{}", audit_tool::lint_text(lint));
  }
  return lint.findings.empty() ? 0 : 1;
}

int show_declaration(const Line& line) {
  const audit_tool::DeclarationView view = audit_tool::view_declaration(line.file, line.files);
  Json fields = Json::array();
  for (const auto& [name, value] : audit_tool::declaration_fields(view)) {
    if (line.json) {
      fields.push_back(Json{{"name", name}, {"value", value}});
    } else {
      fmt::print(stdout, "{} = {}\n", name, value);
    }
  }
  if (line.json) print_json("audit-declaration", Json{{"fields", fields}});
  return 0;
}

int show_rules(const Line& line) {
  Json rules = Json::array();
  for (const x509::LintRule& rule : x509::lint_rules()) {
    if (line.json) {
      rules.push_back(Json{{"rule", rule.name}, {"clause", rule.clause}, {"sentence", rule.sentence}});
    } else {
      fmt::print(stdout, "{}\n  {} ({})\n", rule.name, rule.sentence, rule.clause);
    }
  }
  if (line.json) print_json("audit-cert-rules", Json{{"rules", rules}});
  return 0;
}

/// The first 128 bits of the log key's SHA-256: what eight words stand for.
Bytes fingerprint_of(const std::string& words) {
  constexpr std::size_t kBytes = 16;
  auto octets = from_words(words);
  if (octets && octets->size() == kBytes) return std::move(*octets);
  throw Error{Code::Usage, fmt::format("--fingerprint {}: not the eight words of an appliance", printable(words)),
              "they stood on the first screen, at keyferry-appliance init, and in the transcript of that ceremony"};
}

int verify_bundle(const Line& line) {
  audit_tool::Verification work{audit_tool::VerifyOptions{.folder = line.file,
                                                          .fingerprint = fingerprint_of(line.fingerprint),
                                                          .challenge = line.challenge,
                                                          .rehearsal = line.rehearsal,
                                                          .threads = token::usual_threads()}};
  const bool terminal = isatty(STDERR_FILENO) == 1;
  if (terminal) {
    work.options.progress = [](std::uint64_t done, std::uint64_t total) {
      if (done % (std::uint64_t{1} << 14U) == 0 || done == total) fmt::print(stderr, "\r{} of {} leaves", done, total);
    };
  }
  audit_tool::verify(work);
  if (terminal) fmt::print(stderr, "\n");
  if (line.json) {
    print_json("audit-verify", audit_tool::verification_json(work));
  } else {
    fmt::print(stdout, "{}", audit_tool::verification_text(work));
  }
  return work.holds() ? 0 : 1;
}

int run(const Line& line) {
  try {
    return line.run();
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-audit: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-audit: {}\n", error.what());
    return kBug;
  }
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  Line line;
  CLI::App app{"keyferry-audit: checks without the appliance"};
  app.require_subcommand(1)->fallthrough()->footer("example:\n  keyferry-audit plan show batch.toml");
  app.add_flag("--json", line.json, "the result as one JSON object on stdout");
  const auto add = [&line](CLI::App& parent, const char* name, const char* description, int (*function)(const Line&)) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->add_option("FILE", line.file)->required();
    command->fallthrough()->callback([&line, function] { line.run = [&line, function] { return function(line); }; });
  };
  CLI::App* plan = app.add_subcommand("plan", "plans that officers approve");
  plan->require_subcommand(1)->fallthrough();
  add(*plan, "show", "every field, and the digest as hex and words: compare them with what plan approve shows", show_plan);
  add(app, "transcript", "a ceremony's transcript: its SHA-256 as hex and words", show_transcript);
  add(app, "hash", "any file of at most 256 MiB: its SHA-256 as hex and words", show_hash);
  CLI::App* verify = app.add_subcommand("verify", "an evidence bundle, from the bytes up; exit 1 when anything in it does not hold");
  verify->add_option("DIR", line.file, "the bundle's folder")->required();
  verify->add_option("--fingerprint", line.fingerprint, "the eight words from the appliance's first screen")->required();
  verify->add_option("--challenge", line.challenge, "words of your own that were given to audit challenge: must be in the log");
  verify->add_flag("--rehearsal", line.rehearsal, "a rehearsal's bundle is expected");
  verify->footer("example:\n  keyferry-audit verify ./evidence --fingerprint \"pafav-zopos-...\" --challenge \"blue heron at noon\"\n"
                 "exit status: 0 it holds, 1 it does not, 2 wrong usage, 3 the folder cannot be read");
  verify->fallthrough()->callback([&line] { line.run = [&line] { return verify_bundle(line); }; });
  CLI::App* cert = app.add_subcommand("cert", "certificates, whoever made them");
  cert->require_subcommand(1)->fallthrough();
  CLI::App* lint = cert->add_subcommand("lint", "each broken rule with its name, clause and sentence; exit 1 on a finding");
  lint->add_option("FILE", line.files, "PEM, DER or PKCS#7; several certificates are one chain, leaf first")->required();
  lint->add_option("--profile", line.profile, "auto, general, matter-dac, matter-pai or matter-paa: what the leaf is")
      ->capture_default_str();
  lint->footer("example:\n  keyferry-audit cert lint dac.pem pai.pem paa.pem");
  lint->fallthrough()->callback([&line] { line.run = [&line] { return lint_certificates(line); }; });
  CLI::App* rules = cert->add_subcommand("rules", "every rule of the lint");
  rules->fallthrough()->callback([&line] { line.run = [&line] { return show_rules(line); }; });
  CLI::App* declaration =
      cert->add_subcommand("declaration", "a Matter certification declaration: its fields, and whose signature it has");
  declaration->add_option("FILE", line.file, "CMS in DER")->required();
  declaration->add_option("--signer", line.files, "certificates that are trusted to sign declarations");
  declaration->fallthrough()->callback([&line] { line.run = [&line] { return show_declaration(line); }; });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11's only way to say help or no
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  return run(line);
}
