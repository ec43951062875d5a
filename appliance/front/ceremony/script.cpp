#include "appliance/front/ceremony/script.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>

#include "appliance/front/ceremony/toml_reader.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::ceremony {
namespace {

constexpr std::size_t kMaxPeople = 32;
constexpr std::size_t kMaxFields = 64;
constexpr std::size_t kMaxSteps = 200;
constexpr std::size_t kMaxTextChars = 8000;
constexpr std::size_t kMaxTitleChars = 120;
constexpr std::size_t kMaxPatternChars = 200;
constexpr std::size_t kMaxArguments = 64;
constexpr std::size_t kMaxArgumentChars = 1000;
constexpr std::size_t kMaxCaptures = 16;
constexpr int kMostStatus = 255;

constexpr std::array<std::string_view, 6> kRoles{"officer",   "custodian", "technician",
                                                 "line-lead", "auditor",   "witness"};
constexpr std::array<std::string_view, 3> kEnvironments{"development", "rehearsal", "production"};

/// What a step may start: programs of this product, found beside the running one.
constexpr std::array<std::string_view, 3> kPrograms{"keyferry-appliance", "keyferry-station", "keyferry-audit"};

struct KindRow {
  Kind kind;
  std::string_view name;
  std::size_t least_people;
  std::size_t most_people;
};

constexpr std::array kKinds{
    KindRow{Kind::Say, "say", 1, kMaxPeople},         KindRow{Kind::Ask, "ask", 1, kMaxPeople},
    KindRow{Kind::Confirm, "confirm", 2, kMaxPeople}, KindRow{Kind::Command, "command", 1, kMaxPeople},
    KindRow{Kind::Custodian, "custodian", 1, 1},      KindRow{Kind::Sign, "sign", 1, kMaxPeople},
};

const KindRow& row_of(Kind kind) {
  return *std::ranges::find(kKinds, kind, &KindRow::kind);
}

template <typename Names>
bool among(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != std::end(names);
}

/// Matches in time that is polynomial in pattern and answer (libstdc++'s breadth-first executor): no script and no
/// answer can hang the program.
std::regex compiled(const std::string& pattern) {
  return std::regex{pattern, std::regex::ECMAScript | std::regex_constants::__polynomial};
}

Field read_field(const toml::table& table, const std::string& where) {
  TomlReader reader{table, where};
  Field field{reader.name("id"), reader.text("label", kMaxTitleChars), reader.text("pattern", kMaxPatternChars)};
  reader.end();
  try {
    static_cast<void>(compiled(field.pattern));
  } catch (const std::regex_error&) {  // the library's only way to say no
    reader.refuse("\"pattern\" is no regular expression, or it has a back reference");
  }
  return field;
}

Person read_person(const toml::table& table, const std::string& where, std::uint32_t number) {
  TomlReader reader{table, where};
  Person person{reader.name("id"), reader.text("role", kMaxTitleChars), number};
  reader.end();
  if (!among(kRoles, person.role)) {
    reader.refuse("\"role\" must be officer, custodian, technician, line-lead, auditor or witness");
  }
  return person;
}

std::vector<std::string> read_arguments(TomlReader& reader, std::string_view key) {
  if (!reader.has(key)) return {};
  return reader.texts(key, kMaxArguments, kMaxArgumentChars);
}

void check_program(const TomlReader& reader, const std::vector<std::string>& argv, std::string_view key) {
  if (!among(kPrograms, argv.front())) {
    reader.refuse(fmt::format("\"{}\" must begin with a program of this product: {}", key,
                              fmt::join(kPrograms, ", ")));
  }
}

std::vector<Capture> read_captures(TomlReader& reader, const std::string& where) {
  std::vector<Capture> captures;
  for (const toml::table* table : reader.tables("capture", kMaxCaptures)) {
    TomlReader one{*table, where + ": capture"};
    captures.push_back({one.name("name"), one.text("json", kMaxTitleChars)});
    one.end();
  }
  return captures;
}

void read_command(TomlReader& reader, Step& step, const std::string& where) {
  step.argv = reader.texts("argv", kMaxArguments, kMaxArgumentChars);
  step.real = read_arguments(reader, "real");
  step.rehearsal = read_arguments(reader, "rehearsal");
  step.check = read_arguments(reader, "check");
  if (reader.has("again")) step.again = reader.flag("again");
  if (reader.has("expect")) step.expect = static_cast<int>(reader.integer("expect", 0, kMostStatus));
  if (reader.has("at")) step.at = reader.name("at");
  step.capture = read_captures(reader, where);
  check_program(reader, step.argv, "argv");
  if (!step.check.empty()) check_program(reader, step.check, "check");
  if (step.again != step.check.empty()) {
    reader.refuse("a command needs either \"check\" (how a later run finds out that it was carried out) "
                  "or \"again = true\" (the same command once more does no harm)");
  }
  if (!step.capture.empty() && (!step.again || step.kind == Kind::Custodian || !step.at.empty())) {
    reader.refuse("\"capture\" needs a command that is run here, shown to all, with \"again = true\"");
  }
  if (step.kind == Kind::Custodian && !step.at.empty()) reader.refuse("\"at\" is not for a custodian's step");
}

Step read_step(const toml::table& table, const std::string& where) {
  TomlReader reader{table, where};
  Step step;
  step.id = reader.name("id");
  step.title = reader.text("title", kMaxTitleChars);
  const std::string kind = reader.text("kind", kMaxTitleChars);
  const auto* row = std::ranges::find(kKinds, kind, &KindRow::name);
  if (row == kKinds.end()) reader.refuse("\"kind\" must be say, ask, confirm, command, custodian or sign");
  step.kind = row->kind;
  step.who = reader.texts("who", kMaxPeople, kMaxTitleChars);
  const std::set<std::string> different{step.who.begin(), step.who.end()};
  if (different.size() != step.who.size() || step.who.size() < row->least_people ||
      step.who.size() > row->most_people) {
    reader.refuse(fmt::format("a step of kind {} is for {} to {} different people", row->name, row->least_people,
                              row->most_people));
  }
  const bool text_needed = step.kind == Kind::Say || step.kind == Kind::Confirm;
  if (text_needed || reader.has("text")) {
    step.text = reader.text("text", kMaxTextChars, TomlReader::Lines::Allowed);
  }
  if (step.kind == Kind::Ask) step.field = reader.name("field");
  if (step.runs()) read_command(reader, step, where);
  reader.end();
  return step;
}

/// What later steps may name, grown step by step.
class Flow {
 public:
  Flow(const Script& script, std::string origin) : script_{script}, origin_{std::move(origin)} {
    for (const Person& person : script.people) known_.insert(name_placeholder(person.id));
  }

  void check() {
    for (std::size_t i = 0; i < script_.steps.size(); ++i) {
      where_ = fmt::format("{}: step {} (\"{}\")", origin_, i + 1, script_.steps[i].id);
      check_step(script_.steps[i]);
      if ((script_.steps[i].kind == Kind::Sign) != (i + 1 == script_.steps.size())) {
        refuse("the last step, and no other, is of kind sign");
      }
    }
    where_ = origin_;
    for (const Field& field : script_.fields) {
      if (!known_.contains(field.id)) refuse(fmt::format("no step asks for field \"{}\"", field.id));
    }
    if (script_.exception_roles.size() != 2) refuse("\"exception_roles\" must name two roles");
    check_exception_roles();
  }

 private:
  [[noreturn]] void refuse(const std::string& text) const {
    throw Error{Code::Usage, where_ + ": " + text, "the format stands in appliance/front/CEREMONY.md"};
  }

  void add(const std::string& name) {
    if (!known_.insert(name).second) refuse(fmt::format("\"{}\" is filled twice", name));
  }

  void check_text(const std::string& text) const {
    for (const std::string& name : placeholders(text)) {
      if (!known_.contains(name)) refuse(fmt::format("no earlier step fills {{{}}}", printable(name)));
    }
  }

  void check_step(const Step& step) {
    if (!ids_.insert(step.id).second) refuse("another step has this id");
    for (const std::string& who : step.who) {
      if (script_.person(who) == nullptr) refuse(fmt::format("\"{}\" is none of the people", who));
    }
    check_text(step.text);
    check_text(step.title);
    for (const auto* part : {&step.argv, &step.real, &step.rehearsal, &step.check}) {
      for (const std::string& argument : *part) check_text(argument);
    }
    if (step.kind == Kind::Ask) {
      if (script_.field(step.field) == nullptr) refuse(fmt::format("there is no field \"{}\"", step.field));
      add(step.field);
    }
    for (const Capture& capture : step.capture) add(capture.name);
  }

  void check_exception_roles() const {
    for (const std::string& role : script_.exception_roles) {
      const auto has = std::ranges::count(script_.people, role, &Person::role);
      const auto wanted = std::ranges::count(script_.exception_roles, role);
      if (has < wanted) refuse(fmt::format("\"exception_roles\" wants {} of role {}: there are {}", wanted, role, has));
    }
  }

  const Script& script_;
  std::string origin_;
  std::string where_;
  std::set<std::string, std::less<>> known_ = built_in_values();
  std::set<std::string, std::less<>> ids_;
};

template <typename Rows>
void refuse_doubles(const Rows& rows, const std::string& origin, std::string_view what) {
  std::set<std::string> seen;
  for (const auto& row : rows) {
    if (!seen.insert(row.id).second) {
      throw Error{Code::Usage, fmt::format("{}: there are two {}s \"{}\"", origin, what, row.id)};
    }
  }
}

}  // namespace

std::string name_placeholder(std::string_view person) {
  return "name." + std::string{person};
}

std::string_view kind_name(Kind kind) {
  return row_of(kind).name;
}

const Person* Script::person(std::string_view person_id) const {
  const auto found = std::ranges::find(people, person_id, &Person::id);
  return found == people.end() ? nullptr : &*found;
}

const Field* Script::field(std::string_view field_id) const {
  const auto found = std::ranges::find(fields, field_id, &Field::id);
  return found == fields.end() ? nullptr : &*found;
}

const Step* Script::step(std::string_view step_id) const {
  const auto found = std::ranges::find(steps, step_id, &Step::id);
  return found == steps.end() ? nullptr : &*found;
}

Script parse_script(ByteView octets, const std::string& origin) {
  const toml::table root = parse_toml(octets, kMaxScriptBytes, origin);
  TomlReader reader{root, origin};
  Script script;
  if (reader.integer("ceremony", 1, 1) != 1) reader.refuse("\"ceremony\" must be 1");
  script.id = reader.name("id");
  script.title = reader.text("title", kMaxTitleChars);
  if (reader.has("environment")) {
    script.environment = reader.text("environment", kMaxTitleChars);
    if (!among(kEnvironments, script.environment)) {
      reader.refuse("\"environment\" must be development, rehearsal or production");
    }
  }
  if (reader.has("rehearsal_required")) script.rehearsal_required = reader.flag("rehearsal_required");
  script.exception_roles = reader.texts("exception_roles", 2, kMaxTitleChars);
  for (const toml::table* table : reader.tables("person", kMaxPeople)) {
    const auto number = static_cast<std::uint32_t>(script.people.size() + 1);
    script.people.push_back(read_person(*table, fmt::format("{}: person {}", origin, number), number));
  }
  for (const toml::table* table : reader.tables("field", kMaxFields)) {
    script.fields.push_back(read_field(*table, fmt::format("{}: field {}", origin, script.fields.size() + 1)));
  }
  for (const toml::table* table : reader.tables("step", kMaxSteps)) {
    script.steps.push_back(read_step(*table, fmt::format("{}: step {}", origin, script.steps.size() + 1)));
  }
  reader.end();
  if (script.steps.empty()) reader.refuse("there is no [[step]]");
  refuse_doubles(script.people, origin, "person");
  refuse_doubles(script.fields, origin, "field");
  Flow{script, origin}.check();
  script.octets = to_bytes(octets);
  script.digest = crypto::sha256(octets);
  return script;
}

const std::set<std::string, std::less<>>& built_in_values() {
  static const std::set<std::string, std::less<>> names{"environment", "home", "folder"};
  return names;
}

std::vector<std::string> placeholders(std::string_view text) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '{' && text[i] != '}') continue;
    if (i + 1 < text.size() && text[i + 1] == text[i]) {
      ++i;
      continue;
    }
    const std::size_t end = text.find('}', i);
    const bool closed = text[i] == '{' && end != std::string_view::npos;
    const std::string_view name = closed ? text.substr(i + 1, end - i - 1) : std::string_view{};
    if (!is_name(name)) {
      throw Error{Code::Usage, fmt::format("braces that are no {{name}}: \"{}\"", printable(text.substr(i, 40))),
                  "write {{ for a brace"};
    }
    names.emplace_back(name);
    i = end;
  }
  return names;
}

std::string expand(std::string_view text, const Values& values) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool doubled = i + 1 < text.size() && text[i + 1] == text[i];
    if ((text[i] != '{' && text[i] != '}') || doubled) {
      out += text[i];
      if (doubled && (text[i] == '{' || text[i] == '}')) ++i;
      continue;
    }
    const std::size_t end = std::min(text.find('}', i), text.size());
    const std::string_view name = text.substr(i + 1, end - i - 1);
    const auto value = values.find(name);
    if (value == values.end()) throw Error{Code::Internal, fmt::format("no value for {{{}}}", printable(name))};
    out += value->second;
    i = end;
  }
  return out;
}

std::optional<std::string> refuse_value(const Field& field, std::string_view value) {
  if (value.empty() || value.size() > kMaxValueChars) {
    return fmt::format("1 to {} characters are allowed", kMaxValueChars);
  }
  const bool plain = std::ranges::all_of(value, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (!plain) return "only printable ASCII is allowed";
  if (value.front() == '-') return "it begins with '-', and would pass for an option";
  if (!std::regex_match(value.begin(), value.end(), compiled(field.pattern))) {
    return fmt::format("it does not match {}", field.pattern);
  }
  return std::nullopt;
}

std::string command_line(const std::vector<std::string>& argv) {
  constexpr std::string_view kBare = "-_./:=@+{}";  // braces are a shell's own only with a comma between them
  std::string line;
  for (const std::string& argument : argv) {
    const bool bare = !argument.empty() && std::ranges::all_of(argument, [&](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             kBare.find(c) != std::string_view::npos;
    });
    if (!line.empty()) line += ' ';
    if (bare) {
      line += argument;
      continue;
    }
    line += '\'';
    for (const char c : argument) line += c == '\'' ? std::string{"'\\''"} : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace keyferry::ceremony
