#include "appliance/front/ceremony/initialization.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "appliance/front/ceremony/script.h"
#include "appliance/front/ceremony/toml_reader.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::ceremony {
namespace {

constexpr std::int64_t kMostPeople = 32;
constexpr std::size_t kMaxChars = 300;
constexpr std::size_t kMaxRows = 16;

struct Counts {
  std::int64_t needed = 0, shares = 0;

  [[nodiscard]] std::string text() const { return fmt::format("{}/{}", needed, shares); }
};

struct Named {
  std::string name, detail;
};

struct Plan {
  std::string name, environment, hsm, hsm_store;
  std::vector<std::string> insecure_allow;
  std::int64_t officers_needed = 1;
  std::optional<Counts> pin_shares, backup_shares;
  bool rehearsal_required = true;
  std::vector<Person> people;
  std::vector<Field> fields;
  std::vector<Named> authorities, masters;

  [[nodiscard]] std::vector<std::string> of_role(std::string_view role) const {
    std::vector<std::string> ids;
    for (const Person& person : people) {
      if (person.role == role) ids.push_back(person.id);
    }
    return ids;
  }
};

/// "M/N", 2 <= M <= N.
Counts read_counts(TomlReader& reader, std::string_view key) {
  const std::string text = reader.text(key, 5);
  const std::size_t slash = text.find('/');
  const auto number = [](const std::string& digits) {
    const bool good = !digits.empty() && digits.size() <= 2 && digits.find_first_not_of("0123456789") == std::string::npos;
    return good ? std::stol(digits) : 0L;
  };
  Counts counts;
  if (slash != std::string::npos) counts = {number(text.substr(0, slash)), number(text.substr(slash + 1))};
  if (counts.needed < 2 || counts.shares < counts.needed || counts.shares > kMostPeople) {
    reader.refuse(fmt::format("\"{}\" must be M/N, any M of N shares, M at least 2", key));
  }
  return counts;
}

std::vector<Named> read_named(TomlReader& reader, std::string_view key, std::string_view detail, const std::string& origin) {
  std::vector<Named> rows;
  for (const toml::table* table : reader.tables(key, kMaxRows)) {
    TomlReader one{*table, fmt::format("{}: [[{}]]", origin, key)};
    rows.push_back({one.name("name"), one.text(detail, kMaxChars)});
    one.end();
  }
  return rows;
}

void check(const TomlReader& reader, const Plan& plan) {
  const auto officers = static_cast<std::int64_t>(plan.of_role("officer").size());
  const bool real = plan.environment == "production";
  if (plan.environment == "rehearsal") reader.refuse("\"environment\" is what the appliance will be; rehearse with --rehearsal DIR");
  if (plan.officers_needed > officers) reader.refuse(fmt::format("{} officers are needed, {} are named", plan.officers_needed, officers));
  if (plan.of_role("witness").empty()) reader.refuse("a person of role witness is missing");
  if (real && (plan.officers_needed < 2 || officers <= plan.officers_needed)) {
    reader.refuse("environment production needs at least 2 officers for each operation, and one more than are needed");
  }
  if (real && !plan.pin_shares) reader.refuse("environment production needs \"pin_shares\"");
  if (real && plan.hsm.empty()) reader.refuse("environment production needs a hardware HSM: \"hsm\", a PKCS#11 URI");
  if (real && !plan.insecure_allow.empty()) reader.refuse("\"insecure_allow\" is not for environment production");
  const auto custodians = static_cast<std::int64_t>(plan.of_role("custodian").size());
  for (const auto& counts : {plan.pin_shares, plan.backup_shares}) {
    if (counts && counts->shares > custodians) {
      reader.refuse(fmt::format("{} shares want {} people of role custodian: {} are named", counts->text(), counts->shares, custodians));
    }
  }
}

Plan read_plan(ByteView octets, const std::string& origin) {
  const toml::table root = parse_toml(octets, kMaxPlanFileBytes, origin);
  TomlReader reader{root, origin};
  static_cast<void>(reader.integer("initialization", 1, 1));
  Plan plan;
  plan.name = reader.name("name");
  plan.environment = reader.text("environment", kMaxChars);
  if (reader.has("hsm")) plan.hsm = reader.text("hsm", kMaxChars);
  if (reader.has("hsm_store")) plan.hsm_store = reader.text("hsm_store", kMaxChars);
  if (reader.has("insecure_allow")) plan.insecure_allow = reader.texts("insecure_allow", 4, 16);
  plan.officers_needed = reader.integer("officers_needed", 1, kMostPeople);
  if (reader.has("pin_shares")) plan.pin_shares = read_counts(reader, "pin_shares");
  if (reader.has("backup_shares")) plan.backup_shares = read_counts(reader, "backup_shares");
  if (const toml::table* policy = reader.table("policy")) {
    TomlReader one{*policy, origin + ": [policy]"};
    plan.rehearsal_required = one.flag("rehearsal_required");
    one.end();
  }
  for (const toml::table* table : reader.tables("person", kMostPeople)) {
    TomlReader one{*table, origin + ": [[person]]"};
    plan.people.push_back({one.name("id"), one.text("role", kMaxChars), 0});
    one.end();
  }
  for (const toml::table* table : reader.tables("field", kMostPeople)) {
    TomlReader one{*table, origin + ": [[field]]"};
    plan.fields.push_back({one.name("id"), one.text("label", kMaxChars), one.text("pattern", kMaxChars)});
    one.end();
  }
  plan.authorities = read_named(reader, "authority", "subject", origin);
  plan.masters = read_named(reader, "master", "kdf", origin);
  reader.end();
  check(reader, plan);
  return plan;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// A plan's own text in a script: its braces are no placeholders.
std::string literal(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '{' || c == '}' ? std::string(2, c) : std::string(1, c);
  return out;
}

std::string list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() == 1 ? "" : ", ") + quoted(text);
  return out + "]";
}

using Argv = std::vector<std::string>;

/// Writes the script, step by step.
class Writer {
 public:
  explicit Writer(const Plan& plan) : plan_{plan}, officers_{plan.of_role("officer")}, witness_{plan.of_role("witness").front()} {
    for (const std::string& id : officers_) carded_.push_back({id, "officer"});
    for (const std::string& id : plan.of_role("witness")) carded_.push_back({id, "witness"});
  }

  std::string script() {
    out_ = fmt::format("# Made from an initialization plan by keyferry-appliance.\nceremony = 1\nid = \"initialization\"\n"
                       "title = {}\nenvironment = {}\nrehearsal_required = {}\nexception_roles = [\"officer\", \"witness\"]\n",
                       quoted(fmt::format("Initialization of appliance {}", plan_.name)), quoted(plan_.environment), plan_.rehearsal_required);
    for (const Person& person : plan_.people) out_ += fmt::format("\n[[person]]\nid = {}\nrole = {}\n", quoted(person.id), quoted(person.role));
    for (const Field& field : plan_.fields) add_field(field);
    for (const auto& [id, role] : carded_) {
      add_field({"key-of." + id, fmt::format("key of {}: a file, or the PKCS#11 URI of a token", id), "[!-~]{1,300}"});
    }
    for (const std::string& id : backup_keepers()) {
      add_field({"medium-of." + id, fmt::format("folder of {}'s own medium, for a share of the backup key", id), "/[!-~]{1,300}"});
    }
    opening();
    cards();
    appliance();
    for (const Named& authority : plan_.authorities) {
      operation("ca-" + authority.name, "CA " + authority.name, {"ca", "create", authority.name, "--subject", literal(authority.detail)});
    }
    for (const Named& master : plan_.masters) {
      operation("master-" + master.name, "transport master " + master.name, {"transport-master", "create", master.name, "--kdf", master.detail});
    }
    closing();
    return std::move(out_);
  }

 private:
  void add_field(const Field& field) {
    out_ += fmt::format("\n[[field]]\nid = {}\nlabel = {}\npattern = {}\n", quoted(field.id), quoted(field.label), quoted(field.pattern));
  }

  /// Custodians who get a share of kf-backup.
  [[nodiscard]] Argv backup_keepers() const {
    Argv custodians = plan_.of_role("custodian");
    custodians.resize(plan_.backup_shares ? static_cast<std::size_t>(plan_.backup_shares->shares) : 0);
    return custodians;
  }

  /// Who is there when the HSM is logged in: with shares, as many custodians as open it.
  [[nodiscard]] Argv with_pin() const {
    Argv who{officers_.front(), witness_};
    const Argv custodians = plan_.of_role("custodian");
    const std::size_t needed = plan_.pin_shares ? static_cast<std::size_t>(plan_.pin_shares->needed) : 0;
    who.insert(who.end(), custodians.begin(), custodians.begin() + static_cast<std::ptrdiff_t>(needed));
    return who;
  }

  void step(const std::string& id, const std::string& title, std::string_view kind, const std::vector<std::string>& who) {
    out_ += fmt::format("\n[[step]]\nid = {}\ntitle = {}\nkind = \"{}\"\nwho = {}\n", quoted(id), quoted(title), kind, list(who));
  }

  void text(const std::string& said) { out_ += fmt::format("text = {}\n", quoted(said)); }

  void argv(const Argv& arguments) { out_ += fmt::format("argv = {}\n", list(arguments)); }

  static Argv at_home(const Argv& more, bool json = false) {
    Argv all{"keyferry-appliance", "--home", "{home}"};
    if (json) all.emplace_back("--json");
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  [[nodiscard]] Argv overrides() const {
    std::string names;
    for (const std::string& name : plan_.insecure_allow) names += (names.empty() ? "" : ",") + name;
    return names.empty() ? Argv{} : Argv{"--insecure-allow", names};
  }

  void additions(const Argv& real, const Argv& rehearsal) {
    if (!real.empty()) out_ += fmt::format("real = {}\n", list(real));
    if (!rehearsal.empty()) out_ += fmt::format("rehearsal = {}\n", list(rehearsal));
  }

  void opening() {
    step("rules", "The rules", "say", {officers_.front(), witness_});
    text("This is the initialization of appliance " + plan_.name +
         " for environment {environment}. Nobody is alone with the machine. Nothing is connected to it. Whoever sees something go "
         "otherwise than the script says, says so at once: it becomes an exception.");
    for (const Field& field : plan_.fields) {
      step("field-" + field.id, literal(field.label), "ask", {officers_.front(), witness_});
      out_ += fmt::format("field = {}\n", quoted(field.id));
    }
    step("machine", "Self test of the machine, before there is a key", "command", {officers_.front(), witness_});
    argv(at_home({"doctor"}));
    additions(overrides(), overrides());
    out_ += "again = true\n";
  }

  /// Each officer and each witness makes a card with the own key. Its screen shows a name: it is not recorded.
  void cards() {
    for (const auto& [id, role] : carded_) {
      step("key-of-" + id, "Where the key of " + id + " is", "ask", {id});
      out_ += fmt::format("field = {}\n", quoted("key-of." + id));
      step("card-of-" + id, "Card of " + id, "custodian", {id});
      text("Write the words of your card down.");
      argv({"keyferry-appliance", "officer", "request", "--officer-key", "{key-of." + id + "}", "--name", "{name." + id + "}", "--role",
            role, "--environment", "{environment}", "--out", "{folder}/" + id + ".card"});
      out_ += fmt::format("check = {}\n", list({"keyferry-audit", "hash", "{folder}/" + id + ".card"}));
    }
  }

  void appliance() {
    Argv init{"init", "--name", plan_.name, "--environment", "{environment}", "--officers-needed", std::to_string(plan_.officers_needed)};
    for (const auto& [id, role] : carded_) init.insert(init.end(), {"--officer-card", "{folder}/" + id + ".card"});
    if (plan_.rehearsal_required) init.emplace_back("--rehearsal-required");
    if (plan_.pin_shares) init.insert(init.end(), {"--pin-shares", plan_.pin_shares->text()});
    if (plan_.backup_shares) init.insert(init.end(), {"--backup-shares", plan_.backup_shares->text()});
    for (const std::string& id : backup_keepers()) {
      init.insert(init.end(), {"--backup-share-dir", "{medium-of." + id + "}"});
      step("medium-of-" + id, "Where the medium of " + id + " is", "ask", {id});
      out_ += fmt::format("field = {}\n", quoted("medium-of." + id));
    }
    Argv everybody = officers_;
    for (const std::string& id : plan_.of_role("custodian")) everybody.push_back(id);
    step("init", "Make the HSM's keys, and hand the shares out one by one", "command", everybody);
    argv(at_home(init, true));
    Argv real = overrides();
    if (!plan_.hsm.empty()) real.insert(real.end(), {"--hsm", literal(plan_.hsm)});
    if (!plan_.hsm_store.empty()) real.insert(real.end(), {"--hsm-store", literal(plan_.hsm_store)});
    additions(real, overrides());
    out_ += "again = true\ncapture = [{ name = \"fingerprint\", json = \"fingerprint\" }]\n";
    step("words", "The appliance's words", "confirm", {officers_.front(), witness_});
    text("Everybody writes down: {fingerprint}. One reads from the screen, the other from the paper.");
    step("self-test", "Self test of machine and HSM", "command", with_pin());
    argv(at_home({"doctor"}));
    out_ += "again = true\n";
    step("entropy", "Entropy check", "command", with_pin());
    text("It finds a generator that is stuck or far from even, and proves nothing more.");
    argv(at_home({"hsm", "entropy"}));
    out_ += "again = true\n";
  }

  /// One officer: at once. Several: the plan in a file, an approval of each, then the run.
  void operation(const std::string& id, const std::string& title, const Argv& command) {
    const std::string file = "{folder}/" + id + ".toml";
    if (plan_.officers_needed == 1) {
      step(id, "Make " + title, "command", {officers_.front()});
      Argv all = at_home(command);
      all.insert(all.end(), {"--officer-key", "{key-of." + officers_.front() + "}"});
      argv(all);
      out_ += "again = true\n";
      return;
    }
    step(id + "-plan", "Plan: " + title, "command", with_pin());
    Argv plan = at_home(command);
    plan.insert(plan.end(), {"--plan-out", file});
    argv(plan);
    out_ += fmt::format("check = {}\n", list({"keyferry-audit", "plan", "show", file}));
    for (std::int64_t i = 0; i < plan_.officers_needed; ++i) {
      const std::string& officer = officers_[static_cast<std::size_t>(i)];
      step(id + "-approval-" + std::to_string(i + 1), "Approval by " + officer + ": " + title, "command", {officer});
      argv(at_home({"plan", "approve", file, "--officer-key", "{key-of." + officer + "}"}));
      out_ += "again = true\n";
    }
    step(id + "-run", "Make " + title, "command", with_pin());
    argv(at_home({"plan", "run", file}));
    out_ += "again = true\n";
  }

  void closing() {
    step("inventory", "Every key against its role", "command", with_pin());
    argv(at_home({"hsm", "inventory"}));
    out_ += "again = true\n";
    step("checkpoint", "The first checkpoint", "command", {officers_.front(), witness_});
    text("Read the words aloud; everybody writes them down. They stand in the transcript as a QR code too.");
    argv(at_home({"log", "checkpoint"}));
    out_ += "again = true\n";
    Argv signers;
    for (const auto& [id, role] : carded_) signers.push_back(id);
    step("sign", "Sign the transcript", "sign", signers);
  }

  const Plan& plan_;
  struct Carded {
    std::string id, role;
  };
  std::vector<std::string> officers_;
  std::string witness_;         // the first one
  std::vector<Carded> carded_;  // who has a key, and signs: officers, then witnesses
  std::string out_;
};

}  // namespace

bool is_initialization(ByteView octets) {
  try {
    return parse_toml(octets, kMaxScriptBytes, "").contains("initialization");
  } catch (const Error&) {  // its own reader says what is wrong
    return false;
  }
}

Bytes expand_initialization(ByteView octets, const std::string& origin) {
  const Plan plan = read_plan(octets, origin);
  const std::string script = Writer{plan}.script();
  static_cast<void>(parse_script(as_bytes(script), origin));  // people, roles, fields: the script's own rules
  return to_bytes(as_bytes(script));
}

}  // namespace keyferry::ceremony
