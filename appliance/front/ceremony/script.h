// The script of a ceremony: a TOML file of people, fields and steps, read strictly (../CEREMONY.md). What is not
// understood is refused before the first step: an unknown field could mean something.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"

namespace keyferry::ceremony {

inline constexpr std::size_t kMaxScriptBytes = 256 * 1024;
inline constexpr std::size_t kMaxValueChars = 1000;  // a field's answer, a captured value
inline constexpr std::size_t kMaxNameChars = 100;    // of a person

enum class Kind { Say, Ask, Confirm, Command, Custodian, Sign };

/// Text as it stands in scripts and journals: "say", "ask", ...
[[nodiscard]] std::string_view kind_name(Kind kind);

struct Field {
  std::string id;
  std::string label;
  std::string pattern;  // ECMAScript regular expression without back references; the whole answer must match
};

struct Person {
  std::string id;
  std::string role;         // officer, custodian, technician, line-lead, auditor, witness
  std::uint32_t number = 0;  // place in the script, from 1
};

struct Capture {
  std::string name;  // placeholder that later steps use
  std::string json;  // where it stands in the command's JSON: names and array indices joined by '.'
};

struct Step {
  std::string id;
  std::string title;
  Kind kind = Kind::Say;
  std::vector<std::string> who;  // person ids
  std::string text;              // read aloud, or what is to be compared
  std::string field;             // ask: the field's id
  std::vector<std::string> argv;       // command, custodian: program and arguments, with {placeholders}
  std::vector<std::string> real;       // arguments added outside a rehearsal
  std::vector<std::string> rehearsal;  // arguments added in a rehearsal
  std::vector<std::string> check;      // exit status 0: the command was carried out already
  bool again = false;                  // the same command once more does no harm
  int expect = 0;                      // exit status that means well done
  std::string at;                      // machine where a person gives the command; empty: here
  std::vector<Capture> capture;

  [[nodiscard]] bool runs() const { return kind == Kind::Command || kind == Kind::Custodian; }
};

struct Script {
  std::string id;
  std::string title;
  std::string environment;  // "development", "rehearsal", "production"; empty: the appliance's
  bool rehearsal_required = true;  // counts only while there is no appliance whose policy says it
  std::vector<std::string> exception_roles;  // two: whose initials an exception needs
  std::vector<Person> people;
  std::vector<Field> fields;
  std::vector<Step> steps;  // the last one, and no other, is of kind sign
  Bytes octets;
  Digest digest;  // SHA-256 of the octets

  /// Null when there is none of that id.
  [[nodiscard]] const Person* person(std::string_view person_id) const;
  [[nodiscard]] const Field* field(std::string_view field_id) const;
  [[nodiscard]] const Step* step(std::string_view step_id) const;
};

/// Error{Usage} naming the place in `origin` (a file's name): no TOML, unknown or missing fields, too much of anything,
/// a placeholder that no earlier step fills, a person, role, program or pattern that is none.
[[nodiscard]] Script parse_script(ByteView octets, const std::string& origin);

using Values = std::map<std::string, std::string, std::less<>>;

/// Placeholders that every step has: {environment}, {home}, {folder} (of this ceremony). Commands have {name.PERSON}
/// too: the name is put in when the command is given, and stands in no record.
[[nodiscard]] const std::set<std::string, std::less<>>& built_in_values();

/// "name.PERSON"
[[nodiscard]] std::string name_placeholder(std::string_view person);

/// Names between single braces in `text`, in their order. Error{Usage} when braces do not fit; {{ and }} stand for
/// themselves.
[[nodiscard]] std::vector<std::string> placeholders(std::string_view text);

/// `text` with each {name} replaced. Error{Internal} for a name without a value: the parser has looked.
[[nodiscard]] std::string expand(std::string_view text, const Values& values);

/// Nothing when `value` may be the field's answer, else why not.
[[nodiscard]] std::optional<std::string> refuse_value(const Field& field, std::string_view value);

/// A command as a person would type it: arguments with other than A-Z a-z 0-9 - _ . / : = @ + { } in single quotes.
[[nodiscard]] std::string command_line(const std::vector<std::string>& argv);

}  // namespace keyferry::ceremony
