#include "appliance/front/ceremony/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "appliance/front/ceremony/answers.h"
#include "appliance/front/ceremony/give_command.h"
#include "appliance/front/ceremony/names.h"
#include "appliance/front/ceremony/transcript.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::ceremony {
namespace {

constexpr const char* kRehearsal = "rehearsal";
constexpr const char* kProduction = "production";

Json run_entry(const Step& step, const std::vector<std::string>& argv, bool is_check) {
  return Json{{"step", step.id}, {"command", command_line(argv)}, {"check", is_check}, {"at", step.at}};
}

/// Where `path` ("batches.0.id") leads in `json`: text, number or truth value as text.
std::optional<std::string> value_at(const Json& json, const std::string& path) {
  const Json* at = &json;
  std::istringstream parts{path};
  for (std::string part; std::getline(parts, part, '.');) {
    if (at->is_array() && !part.empty() && part.size() < 6 && part.find_first_not_of("0123456789") == std::string::npos) {
      const std::size_t index = std::stoul(part);
      if (index >= at->size()) return std::nullopt;
      at = &(*at)[index];
    } else if (at->is_object() && at->contains(part)) {
      at = &(*at)[part];
    } else {
      return std::nullopt;
    }
  }
  if (at->is_string()) return at->get<std::string>();
  if (at->is_number_integer() || at->is_boolean()) return at->dump();
  return std::nullopt;
}

bool may_be_captured(const std::string& value) {
  return !value.empty() && value.size() <= kMaxValueChars && value.front() != '-' &&
         std::ranges::all_of(value, [](char c) { return c >= 0x20 && c < 0x7f; });
}

void show_lines(Desk& desk, const std::string& text) {
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) desk.line("  " + line);
}

}  // namespace

Facts facts_of(const Script& script, const Progress& progress) {
  if (!progress.transcript || !progress.html) throw Error{Code::Internal, "the ceremony has no transcript yet"};
  return Facts{.title = script.title,
               .environment = progress.environment,
               .script = script.digest,
               .transcript = *progress.transcript,
               .html = *progress.html,
               .journal_head = progress.closed_head,
               .steps = static_cast<std::uint32_t>(script.steps.size()),
               .exceptions = static_cast<std::uint32_t>(progress.exceptions.size()),
               .ended = progress.closed};
}

Progress Engine::now() const {
  return fold(script_, journal_.entries(), files_.journal().string());
}

void Engine::open(const Opening& opening) {
  if (!journal_.entries().empty()) throw Error{Code::Internal, "the ceremony was opened before"};
  Json fields{{"version", 1},
              {"id", script_.id},
              {"title", script_.title},
              {"script_sha256", script_.digest.hex()},
              {"environment", opening.environment},
              {"home", opening.home.string()},
              {"folder", files_.folder.string()}};
  if (opening.rehearsed) fields["rehearsed_sha256"] = opening.rehearsed->hex();
  journal_.append("opened", fields);
}

End Engine::run() {
  if (!now().is_closed) {
    call_the_roll();
    for (std::size_t next = now().next_step(); next + 1 < script_.steps.size(); next = now().next_step()) {
      if (run_step(next) == End::Stopped) return End::Stopped;
    }
  }
  close();
  gather_signatures();
  return End::Finished;
}

void Engine::call_the_roll() {
  const Progress progress = now();
  if (progress.people.size() == script_.people.size()) return;
  desk_.heading(fmt::format("{}: who is here ({})", script_.title, progress.environment));
  std::vector<std::string> taken;
  for (const Present& one : progress.people) taken.push_back(one.initials);
  for (const Person& person : script_.people) {
    if (progress.present(person.id) != nullptr) continue;
    const std::string name = desk_.name_of(person);
    std::string initials = desk_.initials_of(person);
    while (std::ranges::find(taken, initials) != taken.end()) {
      if (!desk_.attended()) throw Error{Code::Usage, "two people have the same initials: " + initials};
      desk_.line("  somebody else has these initials: take a letter more");
      initials = desk_.initials_of(person);
    }
    const Digest hash = keep_name(files_.names(), person.id, name, random_);
    KF_CUT("ceremony.engine.name");
    journal_.append("arrived", Json{{"person", person.id},
                                    {"number", person.number},
                                    {"role", person.role},
                                    {"initials", initials},
                                    {"name_hash", hash.hex()}});
    taken.push_back(std::move(initials));
  }
}

void Engine::show_step(std::size_t index) {
  const Step& step = script_.steps[index];
  const Progress progress = now();
  desk_.heading(fmt::format("step {} of {}: {}{}", index + 1, script_.steps.size(), expand(step.title, progress.values),
                            progress.environment == kProduction ? "" : " [" + progress.environment + "]"));
  std::string who;
  for (const std::string& id : step.who) {
    const Person& person = *script_.person(id);
    who += fmt::format("{}{} ({})", who.empty() ? "" : ", ", person.id, person.role);
  }
  desk_.line("who: " + who);
  if (step.kind == Kind::Say) desk_.line("read aloud:");
  if (step.kind == Kind::Confirm) desk_.line("each confirms:");
  show_lines(desk_, expand(step.text, progress.values));
}

End Engine::run_step(std::size_t index) {
  const Step& step = script_.steps[index];
  const StepRecord before = now().steps[index];
  show_step(index);
  journal_.append("begun", Json{{"step", step.id}});
  std::string how = before.excepted ? "exception" : "done";
  auto failure = before.excepted ? std::nullopt : act(step, before.open_command, how);
  while (failure) {
    journal_.append("refused", Json{{"step", step.id}, {"what", *failure}});
    switch (desk_.choose(step, *failure)) {
      case Choice::Repeat:
        failure = act(step, false, how);
        break;
      case Choice::Exception:
        except(step, *failure);
        how = "exception";
        failure.reset();
        break;
      case Choice::Stop:
        return End::Stopped;
    }
  }
  const Json initials = initials_of(step, step.who);
  KF_CUT("ceremony.engine.step-acted");
  journal_.append("done", Json{{"step", step.id}, {"how", how}, {"initials", initials}});
  return End::Finished;
}

std::optional<std::string> Engine::act(const Step& step, bool interrupted, std::string& how) {
  switch (step.kind) {
    case Kind::Say:
      return std::nullopt;
    case Kind::Ask: {
      const Field& field = *script_.field(step.field);
      std::string value = desk_.answer(step, field);
      journal_.append("answered", Json{{"step", step.id}, {"field", field.id}, {"value", std::move(value)}});
      return std::nullopt;
    }
    case Kind::Confirm:
      return confirm(step);
    case Kind::Command:
    case Kind::Custodian:
      if (interrupted && found_done(step)) {
        how = "found done";
        return std::nullopt;
      }
      return !step.at.empty() && desk_.attended() ? command_elsewhere(step) : command(step);
    case Kind::Sign:
      break;  // the last one: close() and gather_signatures()
  }
  throw Error{Code::Internal, "a step of kind sign is not acted"};
}

std::optional<std::string> Engine::confirm(const Step& step) {
  for (const std::string& id : step.who) {
    if (!desk_.confirms(step, *script_.person(id))) return fmt::format("{} did not confirm it", id);
  }
  return std::nullopt;
}

std::vector<std::string> Engine::expanded(const Step& step, const Values& values) const {
  std::vector<std::string> argv;
  const auto add = [&](const std::vector<std::string>& arguments) {
    for (const std::string& argument : arguments) argv.push_back(expand(argument, values));
  };
  add(step.argv);
  add(values.find("environment")->second == kRehearsal ? step.rehearsal : step.real);
  return argv;
}

Values Engine::values_with_names() const {
  Progress progress = now();
  for (const Present& one : progress.people) {
    const auto name = name_of(files_.names(), one.person, one.name_hash);
    if (name) progress.values[name_placeholder(one.person)] = *name;
  }
  return std::move(progress.values);
}

bool Engine::found_done(const Step& step) {
  if (step.check.empty() || (!step.at.empty() && desk_.attended())) return false;
  const Progress progress = now();
  std::vector<std::string> argv;
  for (const std::string& argument : step.check) argv.push_back(expand(argument, progress.values));
  desk_.line("this step was cut off; was it carried out? " + command_line(argv));
  const Given given = give_command(argv, {}, Record::Everything, desk_.attended(),
                                   [this](const std::string& line) { desk_.line("| " + line); });
  Json entry = run_entry(step, argv, true);
  entry.update(Json{{"status", given.status}, {"recorded", true}, {"output", given.output},
                    {"messages", given.messages}, {"output_sha256", given.output_sha256}, {"cut", given.cut}});
  journal_.append("ran", entry);
  return given.status == 0;
}

std::optional<std::string> Engine::command(const Step& step) {
  Additions additions = desk_.additions(step);
  std::vector<std::string> argv = expanded(step, now().values);
  std::vector<std::string> given_argv = expanded(step, values_with_names());
  argv.insert(argv.end(), additions.arguments.begin(), additions.arguments.end());
  given_argv.insert(given_argv.end(), additions.arguments.begin(), additions.arguments.end());
  const bool secret = step.kind == Kind::Custodian;
  Json entry = run_entry(step, argv, false);
  desk_.line("command: " + command_line(argv));
  journal_.append("giving", Json{{"step", step.id}, {"command", command_line(argv)}});
  KF_CUT("ceremony.engine.giving");
  if (secret) desk_.clear();
  const Given given = give_command(given_argv, additions, secret ? Record::Nothing : Record::Everything, desk_.attended(),
                                   [this](const std::string& line) { desk_.line("| " + line); });
  if (secret) desk_.clear();
  KF_CUT("ceremony.engine.given");
  entry.update(Json{{"status", given.status}, {"recorded", !secret}});
  if (!secret) {
    entry.update(Json{{"output", given.output}, {"messages", given.messages},
                      {"output_sha256", given.output_sha256}, {"cut", given.cut}});
  }
  std::optional<std::string> failure;
  if (given.status != step.expect) failure = fmt::format("the command ended with status {}", given.status);
  Json captured = Json::object();
  const Json result = step.capture.empty() ? Json{} : Json::parse(given.raw_output, nullptr, false);
  for (const Capture& capture : step.capture) {
    const auto value = value_at(result, capture.json);
    if (value && may_be_captured(*value)) {
      captured[capture.name] = *value;
    } else if (!failure) {
      failure = fmt::format("the command's result has no \"{}\" that could be used", capture.json);
    }
  }
  if (!failure && !captured.empty()) entry["captured"] = captured;
  journal_.append("ran", entry);
  return failure;
}

std::optional<std::string> Engine::command_elsewhere(const Step& step) {
  const std::vector<std::string> argv = expanded(step, now().values);
  desk_.line(fmt::format("on the {}: {}", step.at, command_line(argv)));
  const bool well = desk_.went_well(step);
  Json entry = run_entry(step, argv, false);
  entry.update(Json{{"status", well ? step.expect : step.expect + 1}, {"recorded", false}});
  journal_.append("ran", entry);
  return well ? std::nullopt : std::optional{fmt::format("it did not end well on the {}", step.at)};
}

void Engine::except(const Step& step, const std::string& what) {
  const std::string reason = desk_.reason(step);
  std::vector<std::string> people;
  for (const std::string& role : script_.exception_roles) {
    std::vector<const Person*> candidates;
    for (const Person& person : script_.people) {
      if (person.role == role && std::ranges::find(people, person.id) == people.end()) candidates.push_back(&person);
    }
    people.push_back(desk_.pick(step, role, candidates).id);
  }
  const Json initials = initials_of(step, people);
  journal_.append("exception", Json{{"step", step.id}, {"what", what}, {"reason", reason}, {"initials", initials}});
}

Json Engine::initials_of(const Step& step, const std::vector<std::string>& people) {
  const Progress progress = now();
  Json all = Json::array();
  for (const std::string& id : people) {
    const Present* present = progress.present(id);
    if (present == nullptr) throw Error{Code::Internal, "somebody who is not here cannot initial anything"};
    std::string initials = desk_.initials_under(step, *script_.person(id), present->initials);
    all.push_back(Json{{"person", id}, {"initials", std::move(initials)}});
  }
  return all;
}

void Engine::close() {
  if (!now().is_closed) {
    const CheckpointNow checkpoint = recorder_.checkpoint();
    journal_.append("closed", Json{{"checkpoint", checkpoint.note}, {"words", checkpoint.words}});
  }
  const Progress progress = now();
  if (!progress.transcript) {
    const Rendered rendered = write_transcript(script_, progress, files_);
    KF_CUT("ceremony.engine.transcript");
    journal_.append("transcribed", Json{{"transcript_sha256", rendered.text.hex()}, {"html_sha256", rendered.html.hex()}});
  }
  const Progress transcribed = now();
  if (transcribed.logged) return;
  const std::string how = recorder_.log(facts_of(script_, transcribed));
  KF_CUT("ceremony.engine.logged");
  journal_.append("logged", Json{{"how", how}});
}

std::optional<std::string> Engine::sign(const Person& person, const Facts& facts) {
  for (;;) {
    const auto key = desk_.signing_key(person);
    if (!key) return std::nullopt;
    try {
      return recorder_.sign(person, *key, facts);
    } catch (const Error& error) {  // a slip of the hand; another key, or none, is named next
      if (!desk_.attended()) throw;
      desk_.line(fmt::format("  not signed: {}{}{}", error.what(), error.hint().empty() ? "" : "; ", error.hint()));
    }
  }
}

void Engine::gather_signatures() {
  const Progress progress = now();
  if (progress.ended) return;
  const Facts facts = facts_of(script_, progress);
  const Step& step = script_.steps.back();
  show_step(script_.steps.size() - 1);
  desk_.line("transcript  " + files_.transcript().string());
  desk_.line("SHA-256     " + facts.transcript.hex());
  desk_.line("words       " + transcript_words(facts.transcript));
  for (const std::string& id : step.who) {
    if (std::ranges::find(progress.signatures, id, &SignedBy::person) != progress.signatures.end()) continue;
    const Person& person = *script_.person(id);
    const auto key_id = sign(person, facts);
    if (!key_id) {
      desk_.line(fmt::format("{} signs later: keyferry-appliance ceremony sign --person {}", id, id));
      continue;
    }
    KF_CUT("ceremony.engine.signed");
    journal_.append("signed", Json{{"person", id}, {"key_id", *key_id}});
  }
  journal_.append("ended", Json::object());
}

}  // namespace keyferry::ceremony
