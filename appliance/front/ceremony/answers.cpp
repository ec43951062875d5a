#include "appliance/front/ceremony/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "appliance/front/ceremony/toml_reader.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::ceremony {
namespace {

constexpr std::size_t kMaxPathChars = 1000;
constexpr std::size_t kMaxAddedArguments = 32;
constexpr int kFirstFd = 3;  // exec closes what does not follow on from it
constexpr int kMostFds = 16;

std::vector<std::pair<int, std::filesystem::path>> read_fd_files(const toml::table& table, const std::string& where) {
  TomlReader reader{table, where};
  std::vector<std::pair<int, std::filesystem::path>> files;
  for (int fd = kFirstFd; fd < kFirstFd + kMostFds && reader.has(std::to_string(fd)); ++fd) {
    files.emplace_back(fd, reader.text(std::to_string(fd), kMaxPathChars));
  }
  reader.end();
  return files;
}

/// The tables below [key], by name; none when it is not there.
std::vector<std::pair<std::string, const toml::table*>> rows(TomlReader& root, std::string_view key) {
  std::vector<std::pair<std::string, const toml::table*>> found;
  const toml::table* all = root.table(key);
  if (all == nullptr) return found;
  for (const auto& [name, node] : *all) {
    if (!node.is_table()) root.refuse(fmt::format("[{}] has tables only", key));
    found.emplace_back(std::string{name.str()}, node.as_table());
  }
  return found;
}

}  // namespace

std::optional<std::string> refuse_initials(std::string_view text) {
  constexpr std::size_t kMost = 4;
  const bool good = !text.empty() && text.size() <= kMost &&
                    std::ranges::all_of(text, [](char c) { return c >= 'A' && c <= 'Z'; });
  return good ? std::nullopt : std::optional<std::string>{"initials are 1 to 4 of A-Z"};
}

std::optional<std::string> refuse_name(std::string_view text) {
  const bool good = !text.empty() && text.size() <= kMaxNameChars && printable(text) == text;
  return good ? std::nullopt : std::optional<std::string>{"a name is 1 to 100 printable ASCII characters"};
}

AnswersDesk::AnswersDesk(const Script& script, ByteView octets, const std::string& origin) {
  const toml::table root = parse_toml(octets, kMaxAnswersBytes, origin);
  TomlReader reader{root, origin};
  const auto need = [&](bool there, const std::string& what) {
    if (!there) reader.refuse(what);
  };
  for (const auto& [id, table] : rows(reader, "people")) {
    need(script.person(id) != nullptr, fmt::format("[people.{}]: the script has no such person", printable(id)));
    TomlReader one{*table, fmt::format("{}: [people.{}]", origin, id)};
    Answered answered{one.text("name", kMaxNameChars), one.text("initials", kMaxNameChars)};
    one.end();
    if (const auto why = refuse_name(answered.name)) one.refuse(*why);
    if (const auto why = refuse_initials(answered.initials)) one.refuse(*why);
    people_.emplace(id, std::move(answered));
  }
  for (const Person& person : script.people) {
    need(people_.contains(person.id), fmt::format("[people.{}] is missing", person.id));
  }
  if (const toml::table* table = reader.table("fields")) {
    TomlReader one{*table, origin + ": [fields]"};
    for (const Field& field : script.fields) {
      std::string value = one.text(field.id, kMaxValueChars);
      if (const auto why = refuse_value(field, value)) one.refuse(fmt::format("\"{}\": {}", field.id, *why));
      fields_.emplace(field.id, std::move(value));
    }
    one.end();
  }
  need(fields_.size() == script.fields.size(), "[fields] is missing");
  const toml::table* confirm = reader.table("confirm");
  const toml::table none;
  TomlReader confirming{confirm == nullptr ? none : *confirm, origin + ": [confirm]"};
  for (const Step& step : script.steps) {
    if (step.kind == Kind::Confirm) confirms_.emplace(step.id, confirming.flag(step.id));
  }
  confirming.end();
  for (const auto& [id, table] : rows(reader, "command")) {
    const Step* step = script.step(id);
    need(step != nullptr && step->runs(), fmt::format("[command.{}]: the script has no such command", printable(id)));
    TomlReader one{*table, fmt::format("{}: [command.{}]", origin, id)};
    Additions additions;
    if (one.has("arguments")) additions.arguments = one.texts("arguments", kMaxAddedArguments, kMaxPathChars);
    if (const toml::table* files = one.table("fd_files")) {
      additions.fd_files = read_fd_files(*files, fmt::format("{}: [command.{}.fd_files]", origin, id));
    }
    one.end();
    commands_.emplace(id, std::move(additions));
  }
  for (const auto& [id, table] : rows(reader, "exceptions")) {
    const Step* step = script.step(id);
    need(step != nullptr && (step->runs() || step->kind == Kind::Confirm),
         fmt::format("[exceptions.{}]: the script has no such step that could fail", printable(id)));
    TomlReader one{*table, fmt::format("{}: [exceptions.{}]", origin, id)};
    exceptions_.emplace(id, one.text("reason", kMaxValueChars));
    one.end();
  }
  for (const auto& [id, table] : rows(reader, "sign")) {
    const auto& signers = script.steps.back().who;
    need(std::ranges::find(signers, id) != signers.end(), fmt::format("[sign.{}]: signs nothing", printable(id)));
    TomlReader one{*table, fmt::format("{}: [sign.{}]", origin, id)};
    SigningKey key{one.text("key", kMaxPathChars), std::nullopt};
    if (one.has("passphrase_file")) key.passphrase_file = one.text("passphrase_file", kMaxPathChars);
    one.end();
    keys_.emplace(id, std::move(key));
  }
  reader.end();
}

void AnswersDesk::heading(const std::string& text) {
  fmt::print(stderr, "--- {}\n", text);
}

void AnswersDesk::line(const std::string& text) {
  fmt::print(stderr, "{}\n", text);
}

std::string AnswersDesk::answer(const Step&, const Field& field) {
  return fields_.at(field.id);
}

bool AnswersDesk::confirms(const Step& step, const Person&) {
  return confirms_.at(step.id);
}

Choice AnswersDesk::choose(const Step& step, const std::string& what) {
  if (exceptions_.contains(step.id)) return Choice::Exception;
  fmt::print(stderr, "{}: {}; the answers have no [exceptions.{}]: stopped\n", step.id, what, step.id);
  return Choice::Stop;
}

std::string AnswersDesk::reason(const Step& step) {
  return exceptions_.at(step.id);
}

const Person& AnswersDesk::pick(const Step&, const std::string&, const std::vector<const Person*>& candidates) {
  return *candidates.front();
}

Additions AnswersDesk::additions(const Step& step) {
  const auto found = commands_.find(step.id);
  return found == commands_.end() ? Additions{} : found->second;
}

std::optional<SigningKey> AnswersDesk::signing_key(const Person& person) {
  const auto found = keys_.find(person.id);
  return found == keys_.end() ? std::nullopt : std::optional{found->second};
}

}  // namespace keyferry::ceremony
