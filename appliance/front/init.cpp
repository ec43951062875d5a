#include "appliance/front/init.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "appliance/front/internal/wire_environment.h"
#include "appliance/front/officer.h"
#include "appliance/front/officer_commands.h"
#include "appliance/front/officer_token.h"
#include "appliance/front/operation.h"
#include "appliance/gate/settings.h"
#include "appliance/ledger/person_store.h"
#include "keyferry/v1/gate.pb.h"
#include "token/enrolment.h"
#include "token/signed_bytes.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/uri.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSoftHsmModule = "/usr/lib/softhsm/libsofthsm2.so";
constexpr std::uint32_t kFirstOfficer = 1;

/// As the settings keep it: a token's URI is no path.
fs::path key_name(const CommonOptions& common) {
  if (!common.officer_key || is_token_uri(common.officer_key->string())) return common.officer_key.value_or("");
  return fs::absolute(*common.officer_key);
}

void check_options(const CommonOptions& common, const InitOptions& options) {
  if (!is_name(options.name)) {
    throw Error{Code::Usage, "--name: 1 to 63 of a-z 0-9 - _ . are allowed"};
  }
  if (options.officer_cards.empty()) {
    if (!is_person_name(options.officer_name)) {
      throw Error{Code::Usage,
                  "--officer-name: 1 to 100 printable ASCII characters",
                  "or give each officer's card: --officer-card FILE"};
    }
    if (!common.officer_key) throw Error{Code::Usage, "--officer-key is needed"};
    if (options.officers_needed.value_or(1) != 1) {
      throw Error{
          Code::Usage, "--officers-needed: there is one officer", "give each officer's card: --officer-card FILE"};
    }
  } else if (!options.officer_name.empty()) {
    throw Error{Code::Usage, "--officer-name is for one officer: with --officer-card the cards name them"};
  }
  if (options.environment == Environment::Production && !options.hsm_uri) {
    throw Error{Code::Usage, "environment production needs a hardware HSM: name it with --hsm"};
  }
}

/// gate.toml beside the HSM's store; one that is there was written by this command before, or by a
/// person.
fs::path make_gate_settings(const CommonOptions& common, const InitOptions& options) {
  const fs::path folder = hsm_folder(common.home);
  const fs::path file = folder / "gate.toml";
  make_private_directory(folder);
  if (fs::exists(file)) return file;
  GateSettings settings;
  settings.kind = options.environment;
  settings.insecure_allow = common.insecure_allow;
  settings.workers = options.workers.value_or(usual_workers());
  settings.threads = options.threads.value_or(1);
  if (common.pin_shares) settings.pin = PinSource::Shares;
  if (options.hsm_uri) {
    settings.uri = *options.hsm_uri;
    if (options.hsm_store) settings.store = fs::absolute(*options.hsm_store);
  } else {
    make_embedded_hsm(folder, options.name, settings);
  }
  for (const auto& [name, value] : options.hsm_environment) settings.environment[name] = value;
  if (options.pin_file) {
    p11::Uri uri = p11::uri_or_throw(settings.uri);
    uri.pin_source = "file:" + fs::absolute(*options.pin_file).string();
    settings.uri = p11::to_string(uri);
  }
  const std::string text = settings_text(settings);
  static_cast<void>(parse_settings(as_bytes(text), "options of init"));
  write_file_durably(file, as_bytes(text), Overwrite::Refuse);
  KF_CUT("front.init.gate-settings");
  return file;
}

/// Whoever is enrolled: by cards, or the one officer whose key is here.
struct FirstPersons {
  std::vector<OfficerCardFile> cards;
  std::unique_ptr<crypto::Signer> officer;  // without cards

  /// Points by number, from 1 on.
  [[nodiscard]] std::vector<Bytes> keys() const {
    if (officer) return {to_bytes(officer->public_key().point())};
    std::vector<Bytes> found;
    for (const OfficerCardFile& file : cards) found.push_back(to_bytes(file.card.public_key.point()));
    return found;
  }
};

FirstPersons first_persons(const CommonOptions& common, const InitOptions& options) {
  FirstPersons persons;
  if (options.officer_cards.empty()) {
    persons.officer = make_or_read_officer_key(common);
    return persons;
  }
  for (const fs::path& path : options.officer_cards) persons.cards.push_back(read_officer_card(path));
  return persons;
}

/// The salt of person 1, made once: a repeated ceremony hashes the same name.
Bytes person_salt(Ledger& ledger, const std::string& name, RandomSource& random) {
  PersonStore persons{ledger};
  if (const auto known = persons.find(kFirstOfficer); known && known->name == name) return known->salt;
  Bytes salt = random.bytes(kPersonSaltBytes);
  persons.keep({kFirstOfficer, salt, name});
  return salt;
}

void run_ceremony(Context& context, const InitOptions& options, const FirstPersons& persons) {
  v1::GateRequest request;
  v1::InitializeRequest& initialize = *request.mutable_initialize();
  initialize.set_name(options.name);
  initialize.set_environment(wire_environment(options.environment));
  initialize.set_officers_needed(options.officers_needed.value_or(1));
  initialize.set_rehearsal_required(options.rehearsal_required);
  if (persons.officer) {
    const Bytes salt = person_salt(context.ledger(), options.officer_name, context.random());
    initialize.set_officer_key(to_string(persons.officer->public_key().point()));
    initialize.set_officer_name_salt_hex(to_hex(salt));
    initialize.set_officer_name_hash(name_hash_of(salt, options.officer_name).str());
  }
  std::uint32_t number = kFirstOfficer;
  for (const OfficerCardFile& file : persons.cards) {
    set_signed(*initialize.add_officer_cards(), token::encode(file.signed_card));
    PersonStore{context.ledger()}.keep({number++, file.salt, file.name});
  }
  KF_CUT("front.init.before-ceremony");
  static_cast<void>(context.gate_of_any_hsm().call(std::move(request)));
  KF_CUT("front.init.ceremony-done");
}

/// The gate signs the card anew at each asking; what is kept and was handed out stays as long as it
/// says the same.
bool is_kept(Context& context, const token::SignedBytes& card) {
  const auto octets = read_file_if_exists(context.paths().card(), token::kMaxSignedBytes);
  if (!octets) return false;
  const auto kept = token::parse_signed_bytes(*octets);
  const auto* signed_card = std::get_if<token::SignedBytes>(&kept);
  return signed_card != nullptr && equal(signed_card->payload, card.payload) &&
         std::holds_alternative<token::ApplianceCard>(token::open_appliance_card(*signed_card));
}

token::ApplianceCard keep_card(Context& context) {
  const std::string octets = context.gate_of_any_hsm().card().SerializeAsString();
  auto signed_card = token::parse_signed_bytes(as_bytes(octets));
  if (const auto* refusal = std::get_if<Refusal>(&signed_card)) throw to_error(*refusal);
  auto card = token::open_appliance_card(std::get<token::SignedBytes>(signed_card));
  if (const auto* refusal = std::get_if<Refusal>(&card)) throw to_error(*refusal);
  const auto& known = std::get<token::ApplianceCard>(card);
  if (!is_kept(context, std::get<token::SignedBytes>(signed_card))) {
    write_file_durably(context.paths().card(), as_bytes(octets), Overwrite::Replace);
  }
  KF_CUT("front.init.card");
  context.ledger().set_value("appliance_id", known.appliance_id.bytes());
  KF_CUT("front.init.done");
  return known;
}

void check_same_appliance(Context& context,
                          const InitOptions& options,
                          const FirstPersons& persons) {
  const Registry registry = context.ledger().registry();
  if (registry.appliance_name != options.name ||
      context.settings().environment != options.environment) {
    throw Error{Code::Refused,
                fmt::format("the HSM belongs to appliance \"{}\" already",
                            printable(registry.appliance_name)),
                "name another HSM or home"};
  }
  std::uint32_t number = kFirstOfficer;
  for (const Bytes& key : persons.keys()) {
    const KnownOfficer* known = registry.person(number);
    const bool same = known != nullptr && (known->public_key == key ||
                                           (!known->former_keys.empty() && known->former_keys.front() == key));
    if (!same) {
      throw Error{Code::Refused,
                  number == kFirstOfficer ? "the first officer of this appliance has another key"
                                          : fmt::format("person {} of this appliance has another key", number),
                  "name the key or the cards that were used at the first time"};
    }
    ++number;
  }
}

int print(Context& context, const token::ApplianceCard& card, bool done_before) {
  const v1::HsmFacts& facts = context.gate_of_any_hsm().facts();
  const std::string words = key_words(card.appliance_id.bytes());
  Json json{{"name", card.name},
            {"environment", environment_name(context.settings().environment)},
            {"appliance_id", card.appliance_id.hex()},
            {"fingerprint", words},
            {"home", context.paths().home.string()},
            {"gate_settings", context.settings().gate_settings.string()},
            {"officer_key", context.settings().officer_key.string()},
            {"module", printable(facts.module())},
            {"insecure", Json::array()},
            {"done_before", done_before}};
  const Registry registry = context.ledger().registry();
  json["officers"] = registry.enabled_officers();
  json["officers_needed"] = registry.officers_needed(Operation::Batch).value_or(0);
  for (const std::string& insecure : facts.insecure())
    json["insecure"].push_back(printable(insecure));
  std::vector<std::string> lines{
      fmt::format("appliance \"{}\" {} (environment {})",
                  card.name,
                  done_before ? "is there already" : "is ready",
                  environment_name(context.settings().environment)),
      "id           " + card.appliance_id.hex(),
      "fingerprint  " + words,
      "hsm          " + printable(facts.module()),
      fmt::format("officers     {}, of whom {} approve a batch",
                  registry.enabled_officers(),
                  registry.officers_needed(Operation::Batch).value_or(0)),
  };
  for (const std::string& insecure : facts.insecure()) {
    lines.push_back("insecure     " + printable(insecure));
  }
  if (!done_before && context.options().pin_shares) {
    json["pin_shares"] = printable(*context.options().pin_shares);
    lines.push_back(fmt::format("PIN          random, in shares: {} open the HSM at each start; give the SO shares a safe of their own",
                                printable(*context.options().pin_shares)));
  }
  if (!done_before && context.options().backup_shares) {
    std::vector<std::string> folders;
    for (const fs::path& folder : context.options().backup_share_folders) folders.push_back(fs::absolute(folder).string());
    json["backup_shares"] = printable(*context.options().backup_shares);
    json["backup_share_folders"] = folders;
    lines.push_back(fmt::format("shares       {} in {}: hand each custodian one, and leave none there",
                                printable(*context.options().backup_shares), printable(fmt::format("{}", fmt::join(folders, ", ")))));
  }
  context.out().result("init", json, lines);
  return 0;
}

}  // namespace

unsigned usual_workers() {
  constexpr unsigned kMostUsualWorkers = 8;
  return std::clamp(std::thread::hardware_concurrency(), 1U, kMostUsualWorkers);
}

void make_embedded_hsm(const fs::path& folder, const std::string& token_label, GateSettings& settings) {
  const fs::path tokens = folder / "tokens";
  const fs::path configuration = folder / "softhsm2.conf";
  make_private_directory(tokens);
  write_file_durably(configuration,
                     as_bytes(fmt::format("directories.tokendir = {}\nobjectstore.backend = file\n"
                                          "log.level = ERROR\nslots.removable = false\n",
                                          tokens.string())),
                     Overwrite::Replace);
  p11::Uri uri;
  uri.token = token_label;
  uri.module_path = kSoftHsmModule;
  settings.uri = p11::to_string(uri);
  settings.store = tokens;
  settings.environment["SOFTHSM2_CONF"] = configuration.string();
}

fs::path hsm_folder(const fs::path& home) {
  fs::path clean = fs::absolute(home).lexically_normal();
  if (!clean.has_filename()) clean = clean.parent_path();
  return clean.string() + "-hsm";
}

int init_appliance(const CommonOptions& common,
                   const InitOptions& options,
                   const Clock& clock,
                   RandomSource& random,
                   Output& out) {
  check_options(common, options);
  make_private_directory(common.home);
  const Paths paths{common.home};
  if (!fs::exists(paths.settings())) {
    Settings settings{.name = options.name,
                      .environment = options.environment,
                      .gate_settings = make_gate_settings(common, options),
                      .officer_key = key_name(common),
                      .insecure_allow = common.insecure_allow};
    write_home_settings(paths.settings(), settings);
    KF_CUT("front.init.settings");
  }
  Context context{common, Access::Write, clock, random, out};
  if (context.settings().name != options.name) {
    throw Error{
        Code::Refused,
        fmt::format(
            "{} belongs to appliance \"{}\"", common.home.string(), context.settings().name),
        "choose another --home"};
  }
  const FirstPersons persons = first_persons(common, options);
  GateSession& gate = context.gate_of_any_hsm();
  if (!gate.initialized()) run_ceremony(context, options, persons);
  check_same_appliance(context, options, persons);
  const bool done_before = context.ledger().value("appliance_id").has_value();
  return print(context, keep_card(context), done_before);
}

}  // namespace keyferry::appliance
