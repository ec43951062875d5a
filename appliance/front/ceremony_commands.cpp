#include "appliance/front/ceremony_commands.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "appliance/front/ceremony/answers.h"
#include "appliance/front/ceremony/initialization.h"
#include "appliance/front/ceremony/names.h"
#include "appliance/front/ceremony/pages.h"
#include "appliance/front/ceremony/printed.h"
#include "appliance/front/ceremony/terminal_desk.h"
#include "appliance/front/ceremony/transcript.h"
#include "appliance/front/ceremony_folders.h"
#include "appliance/front/ceremony_record.h"
#include "appliance/plan/plan.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr const char* kProduction = "production";

ceremony::Script read_script(const fs::path& file) {
  const Bytes octets = read_file(file, ceremony::kMaxScriptBytes);
  if (!ceremony::is_initialization(octets)) return ceremony::parse_script(octets, file.string());
  return ceremony::parse_script(ceremony::expand_initialization(octets, file.string()), file.string());
}

std::optional<std::string> environment_of_home(const CeremonyDesk& with) {
  const fs::path settings = Paths{with.common.home}.settings();
  if (!fs::exists(settings)) return std::nullopt;
  return std::string{environment_name(read_home_settings(settings).environment)};
}

std::string environment_for(const CeremonyDesk& with, const ceremony::Script& script) {
  const auto at_home = environment_of_home(with);
  if (with.options.rehearsal) {
    if (at_home && *at_home != "rehearsal") {
      throw Error{Code::Refused, fmt::format("{} is an appliance of environment {}, not one to rehearse on", with.common.home.string(), *at_home),
                  "name another folder with --rehearsal"};
    }
    return "rehearsal";
  }
  if (at_home && !script.environment.empty() && *at_home != script.environment) {
    throw Error{Code::Refused, fmt::format("the script is for environment {}, the appliance is of {}", script.environment, *at_home),
                "rehearse a script with --rehearsal DIR"};
  }
  if (at_home) return *at_home;
  if (script.environment.empty()) {
    throw Error{Code::NotFound, "there is no appliance at " + with.common.home.string() + ", and the script names no environment"};
  }
  return script.environment;
}

/// Once there is an appliance, its policy alone says it.
bool rehearsal_required(const CeremonyDesk& with, const ceremony::Script& script) {
  if (!is_initialised(with.common, with.clock, with.random, with.out)) return script.rehearsal_required;
  Context context{with.common, Access::Read, with.clock, with.random, with.out};
  return context.ledger().registry().rehearsal_required;
}

std::optional<Digest> rehearsal_for(const CeremonyDesk& with, const ceremony::Script& script, const std::string& environment) {
  if (with.options.rehearsed) {
    if (environment == "rehearsal") throw Error{Code::Usage, "--rehearsed is for the real run, this is a rehearsal"};
    const CheckedRehearsal checked = check_rehearsal(read_file(*with.options.rehearsed, kMaxRecordBytes), script);
    with.out.note(fmt::format("rehearsed: record {}, {} exceptions", checked.digest.hex(), checked.exceptions));
    return checked.digest;
  }
  if (environment == kProduction && rehearsal_required(with, script)) {
    throw Error{Code::Refused, "this script was never rehearsed: the policy wants the record of its rehearsal",
                "ceremony run SCRIPT --rehearsal DIR, then name its record with --rehearsed FILE"};
  }
  return std::nullopt;
}

std::unique_ptr<ceremony::Desk> desk_for(const CeremonyDesk& with, const ceremony::Script& script, const std::string& environment) {
  if (!with.options.answers) {
    if (environment == kProduction && isatty(STDIN_FILENO) != 1) {
      throw Error{Code::Refused, "a ceremony of environment production is attended by people at a terminal", "give the command at a terminal"};
    }
    return std::make_unique<ceremony::TerminalDesk>();
  }
  if (environment == kProduction) {
    throw Error{Code::Refused, "--answers: a ceremony of environment production is attended by people", "give the command without --answers"};
  }
  return std::make_unique<ceremony::AnswersDesk>(script, read_file(*with.options.answers, ceremony::kMaxAnswersBytes),
                                                 with.options.answers->string());
}

int report(const CeremonyDesk& with, const KeptCeremony& kept) {
  const ceremony::Progress& progress = kept.progress;
  Json signers = Json::array();
  for (const auto& one : progress.signatures) signers.push_back(one.person);
  const std::size_t next = progress.next_step();
  Json json{{"ceremony", kept.name()},
            {"script", kept.script.id},
            {"script_sha256", kept.script.digest.hex()},
            {"environment", progress.environment},
            {"folder", kept.files.folder.string()},
            {"finished", !kept.unfinished()},
            {"step", next + 1},
            {"steps", kept.script.steps.size()},
            {"exceptions", progress.exceptions.size()},
            {"signed", signers}};
  std::vector<std::string> lines{fmt::format("{}  {}  {}, {} exceptions", kept.name(), progress.environment,
                                             kept.unfinished() ? fmt::format("at step {} of {}", next + 1, kept.script.steps.size()) : "finished",
                                             progress.exceptions.size())};
  if (!kept.unfinished()) {
    json["transcript"] = kept.files.transcript().string();
    json["transcript_sha256"] = progress.transcript->hex();
    json["words"] = ceremony::transcript_words(*progress.transcript);
    json["logged"] = progress.logged_how;
    lines.push_back("transcript  " + kept.files.transcript().string());
    lines.push_back("sha-256     " + progress.transcript->hex());
    lines.push_back("words       " + ceremony::transcript_words(*progress.transcript));
    lines.push_back("logged      " + progress.logged_how);
    std::string who;
    for (const auto& one : progress.signatures) who += (who.empty() ? "" : ", ") + one.person;
    lines.push_back("signed by   " + (who.empty() ? "nobody yet" : who));
    if (fs::exists(kept.files.folder / "rehearsal.record")) {
      json["rehearsal_record"] = (kept.files.folder / "rehearsal.record").string();
      lines.push_back("record      " + (kept.files.folder / "rehearsal.record").string());
    }
  } else {
    lines.push_back("next        " + (next < kept.script.steps.size() ? kept.script.steps[next].id : std::string{"the end"}));
  }
  with.out.result("ceremony", json, lines);
  return kept.unfinished() ? 1 : 0;
}

int go_on(const CeremonyDesk& with, const ceremony::Script& script, const ceremony::CeremonyFiles& files, ceremony::Journal& journal,
          ceremony::Desk& desk) {
  HomeRecorder recorder{with.common, files, script.id, with.clock, with.random, with.out};
  ceremony::Engine engine{script, files, journal, desk, recorder, with.random};
  const ceremony::End end = engine.run();
  if (end == ceremony::End::Stopped) with.out.note("stopped: go on with keyferry-appliance ceremony resume");
  return report(with, open_ceremony(files.folder));
}

/// The one that is not finished, if all are the newest; by name if one was named.
KeptCeremony chosen(const CeremonyDesk& with, bool only_unfinished) {
  const fs::path all = ceremonies_folder(with.common.home);
  if (with.options.ceremony) {
    const fs::path folder = all / *with.options.ceremony;
    if (folder.parent_path() != all || !fs::is_directory(folder)) {
      throw Error{Code::NotFound, "there is no ceremony \"" + printable(*with.options.ceremony) + "\"", "keyferry-appliance ceremony status"};
    }
    return open_ceremony(folder);
  }
  std::vector<KeptCeremony> unfinished;
  const std::vector<fs::path> folders = ceremony_folders(all);
  if (folders.empty()) throw Error{Code::NotFound, "no ceremony was begun at " + all.string()};
  if (!only_unfinished) return open_ceremony(folders.back());
  for (const fs::path& folder : folders) {
    KeptCeremony kept = open_ceremony(folder);
    if (kept.unfinished()) unfinished.push_back(std::move(kept));
  }
  if (unfinished.empty()) return open_ceremony(folders.back());
  if (unfinished.size() > 1) throw Error{Code::Usage, "several ceremonies are unfinished", "name one with --ceremony (ceremony status lists them)"};
  return std::move(unfinished.front());
}

void refuse_second(const CeremonyDesk& with, const ceremony::Script& script, const fs::path& all) {
  if (with.options.anew) return;
  for (const fs::path& folder : ceremony_folders(all)) {
    const KeptCeremony kept = open_ceremony(folder);
    if (kept.script.id == script.id && kept.unfinished()) {
      throw Error{Code::Refused, fmt::format("{} is not finished", kept.name()), "go on with ceremony resume; or begin anew with --anew"};
    }
  }
}

int run_script(const CeremonyDesk& with, const ceremony::Script& script) {
  const std::string environment = environment_for(with, script);
  const auto rehearsed = rehearsal_for(with, script, environment);
  const auto desk = desk_for(with, script, environment);
  const fs::path all = ceremonies_folder(with.common.home);
  make_private_directory(all);
  const FileLock lock{all / "lock"};
  refuse_second(with, script, all);
  const ceremony::CeremonyFiles files = new_ceremony(all, script);
  ceremony::Journal journal{files.journal(), with.clock};
  HomeRecorder recorder{with.common, files, script.id, with.clock, with.random, with.out};
  ceremony::Engine{script, files, journal, *desk, recorder, with.random}.open({environment, with.common.home, rehearsed});
  return go_on(with, script, files, journal, *desk);
}

ceremony::Names names_in(const KeptCeremony& kept) {
  ceremony::Names names;
  for (const ceremony::Person& person : kept.script.people) {
    const ceremony::Present* present = kept.progress.present(person.id);
    names.push_back(present == nullptr ? "" : ceremony::name_of(kept.files.names(), person.id, present->name_hash).value_or(""));
  }
  return names;
}

void put(const CeremonyDesk& with, const std::string& text) {
  if (with.options.to) {
    write_file_durably(*with.options.to, as_bytes(text), Overwrite::Refuse);
    with.out.note("written: " + with.options.to->string());
    return;
  }
  fmt::print(stdout, "{}", text);
  std::fflush(stdout);
}

}  // namespace

fs::path ceremonies_folder(const fs::path& home) {
  fs::path clean = fs::absolute(home).lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  return clean.string() + "-ceremony";
}

int ceremony_init(const CeremonyDesk& with) {
  if (!ceremony::is_initialization(read_file(with.options.script, ceremony::kMaxScriptBytes))) {
    throw Error{Code::Usage, with.options.script.string() + ": no plan of an initialization", "a script is run with: ceremony run"};
  }
  return run_script(with, read_script(with.options.script));
}

int ceremony_run(const CeremonyDesk& with) {
  return run_script(with, read_script(with.options.script));
}

int ceremony_resume(const CeremonyDesk& with) {
  const fs::path all = ceremonies_folder(with.common.home);
  if (!fs::is_directory(all)) throw Error{Code::NotFound, "no ceremony was begun at " + all.string()};
  const FileLock lock{all / "lock"};
  const KeptCeremony kept = chosen(with, true);
  if (!kept.unfinished()) {
    with.out.note("every ceremony is finished; the newest:");
    return report(with, kept);
  }
  const auto desk = desk_for(with, kept.script, kept.progress.environment);
  ceremony::Journal journal{kept.files.journal(), with.clock};
  return go_on(with, kept.script, kept.files, journal, *desk);
}

int ceremony_status(const CeremonyDesk& with) {
  if (with.options.ceremony) {
    static_cast<void>(report(with, chosen(with, false)));
    return 0;
  }
  Json list = Json::array();
  std::vector<std::string> lines;
  for (const fs::path& folder : ceremony_folders(ceremonies_folder(with.common.home))) {
    const KeptCeremony kept = open_ceremony(folder);
    const std::size_t next = kept.progress.next_step();
    const std::string where = kept.unfinished() ? fmt::format("at step {} of {}: {}", next + 1, kept.script.steps.size(),
                                                              kept.script.steps[std::min(next, kept.script.steps.size() - 1)].id)
                                                : std::string{"finished"};
    list.push_back(Json{{"ceremony", kept.name()}, {"environment", kept.progress.environment}, {"finished", !kept.unfinished()},
                        {"step", next + 1}, {"steps", kept.script.steps.size()}, {"exceptions", kept.progress.exceptions.size()}});
    lines.push_back(fmt::format("{}  {}  {}, {} exceptions", kept.name(), kept.progress.environment, where, kept.progress.exceptions.size()));
  }
  if (lines.empty()) lines.push_back("no ceremony was begun");
  with.out.result("ceremonies", Json{{"ceremonies", list}}, lines);
  return 0;
}

int ceremony_show(const CeremonyDesk& with) {
  const KeptCeremony kept = chosen(with, false);
  const ceremony::Names names = with.options.with_names ? names_in(kept) : ceremony::Names{};
  put(with, with.options.html ? ceremony::transcript_html(kept.script, kept.progress, names)
                              : ceremony::transcript_text(kept.script, kept.progress, names));
  return 0;
}

int ceremony_sign(const CeremonyDesk& with) {
  const FileLock lock{ceremonies_folder(with.common.home) / "lock"};
  KeptCeremony kept = chosen(with, false);
  const auto& signers = kept.script.steps.back().who;
  if (std::ranges::find(signers, with.options.person) == signers.end()) {
    throw Error{Code::Usage, fmt::format("\"{}\" is none of those who sign: {}", printable(with.options.person), fmt::join(signers, ", "))};
  }
  if (kept.unfinished()) throw Error{Code::Refused, kept.name() + " is not finished: there is nothing to sign yet", "ceremony resume"};
  if (!with.common.officer_key) throw Error{Code::Usage, "--officer-key is needed: the key of who signs"};
  if (std::ranges::find(kept.progress.signatures, with.options.person, &ceremony::SignedBy::person) == kept.progress.signatures.end()) {
    const ceremony::Facts facts = ceremony::facts_of(kept.script, kept.progress);
    with.out.note("transcript " + facts.transcript.hex());
    with.out.note("words      " + ceremony::transcript_words(facts.transcript));
    HomeRecorder recorder{with.common, kept.files, kept.script.id, with.clock, with.random, with.out};
    const std::string key_id = recorder.sign(*kept.script.person(with.options.person), {with.common.officer_key->string(), std::nullopt}, facts);
    ceremony::Journal journal{kept.files.journal(), with.clock};
    journal.append("signed", Json{{"person", with.options.person}, {"key_id", key_id}});
  }
  return report(with, open_ceremony(kept.files.folder));
}

int ceremony_verify(const CeremonyDesk& with) {
  const fs::path folder = fs::absolute(with.options.script).parent_path();
  const Digest digest = crypto::sha256(read_file(with.options.script, ceremony::kMaxJournalBytes));
  const KeptCeremony kept = open_ceremony(folder);  // script, chain and order of events
  const ceremony::Progress& progress = kept.progress;
  std::vector<std::string> wrong;
  const auto expect = [&wrong](bool holds, const std::string& otherwise) {
    if (!holds) wrong.push_back(otherwise);
  };
  expect(progress.transcript == digest, "the transcript is not the one that the journal names");
  const auto html = read_file_if_exists(kept.files.html(), ceremony::kMaxJournalBytes);
  expect(!html || (progress.html && crypto::sha256(*html) == *progress.html), "the HTML page is not the one that the journal names");
  std::optional<std::uint64_t> leaf;
  std::optional<Registry> registry;
  if (is_initialised(with.common, with.clock, with.random, with.out)) {
    Context context{with.common, Access::Read, with.clock, with.random, with.out};
    leaf = find_ceremony_leaf(context.ledger(), digest);
    registry = context.ledger().registry();
    expect(leaf.has_value(), "no leaf of the log names this transcript");
  } else {
    expect(progress.environment != kProduction, "there is no appliance at --home to hold it against");
  }
  std::vector<std::string> signers;
  for (const std::string& person : kept.script.steps.back().who) {
    const auto octets = read_file_if_exists(kept.files.statement(person), kMaxStatementBytes);
    if (!octets) continue;
    const auto opened = open_statement(*octets);
    const auto* statement = std::get_if<CheckedStatement>(&opened);
    if (statement == nullptr) {
      wrong.push_back(person + ": " + std::get<Refusal>(opened).text);
      continue;
    }
    expect(statement->person == person && statement->transcript == digest && statement->journal_head == progress.closed_head &&
               statement->script == kept.script.digest,
           person + " signed something else");
    const bool known = !registry || std::ranges::any_of(registry->officers, [&](const KnownOfficer& one) {
      const auto is_it = [&](const Bytes& key) { return equal(key, statement->public_key); };
      return is_it(one.public_key) || std::ranges::any_of(one.former_keys, is_it);
    });
    expect(known, person + ": the key is nobody's whom this appliance knows");
    signers.push_back(person);
  }
  Json problems = Json::array();
  std::vector<std::string> lines{fmt::format("transcript {} of {}", digest.hex(), kept.name()),
                                 fmt::format("log        {}", leaf ? fmt::format("leaf {}", *leaf) : "no leaf"),
                                 fmt::format("signed by  {}", signers.empty() ? "nobody" : fmt::format("{}", fmt::join(signers, ", ")))};
  for (const std::string& one : wrong) {
    problems.push_back(one);
    lines.push_back("WRONG      " + one);
  }
  if (!leaf && signers.empty()) lines.push_back("neither log nor signature vouches for it: the journal alone could be made by anyone");
  Json json{{"transcript_sha256", digest.hex()}, {"signed", signers}, {"exceptions", progress.exceptions.size()}, {"wrong", problems}};
  if (leaf) json["leaf"] = *leaf;
  with.out.result("ceremony-verify", json, lines);
  return wrong.empty() && (leaf || !signers.empty()) ? 0 : 1;
}

int ceremony_print(const CeremonyDesk& with) {
  const ceremony::Script script = read_script(with.options.script);
  put(with, with.options.html ? ceremony::printed_html(script) : ceremony::printed_text(script));
  return 0;
}

}  // namespace keyferry::appliance
