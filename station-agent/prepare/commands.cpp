#include "station-agent/prepare/commands.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "station-agent/prepare/home.h"
#include "wrap/base/clock.h"
#include "wrap/base/cut.h"
#include "wrap/base/locked_memory.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"

namespace keyferry::prepare {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::uint64_t kMaxOrderFile = 64 * 1024;
constexpr std::size_t kMaxChips = 100'000;

void print(const std::string& line) {
  fmt::print("{}\n", line);
}

/// Packets to a chip hold its transport key in memory that nobody marked as secret.
void refuse_memory_that_may_be_swapped() {
  if (lock_all_memory() || !swap_is_on()) return;
  throw Error{
      Code::Refused,
      "this program's memory cannot be locked and swap is on: a chip's transport key could "
      "land on the disk",
      "turn swap off (swapoff -a) or raise the limit of locked memory (ulimit -l), then give "
      "the same command again"};
}

void tell(const CommonOptions& common, const Json& json, const std::vector<std::string>& lines) {
  if (common.json) return print(json.dump());
  for (const std::string& line : lines) print(line);
}

station::Settings settings_for(const InitOptions& options, const station::Home& home) {
  station::Settings settings;
  settings.name = settings.site = options.name;
  if (!is_name(settings.name))
    throw Error{Code::Usage,
                "--name is 1 to 63 of a-z 0-9 - _ . and begins with a letter or digit"};
  const auto environment = token::environment_from_name(options.environment);
  if (!environment)
    throw Error{Code::Usage, "--environment is one of development, rehearsal, production"};
  settings.environment = *environment;
  if (!options.hsm_uri.empty()) settings.uri = p11::uri_or_throw(options.hsm_uri);
  if (!options.softhsm2_conf.empty()) settings.softhsm2_conf = fs::absolute(options.softhsm2_conf);
  if (settings.uri.module_path) return settings;
  const auto module = station::embedded_module();
  if (!module) {
    throw Error{Code::Usage,
                "no SoftHSM is installed for an embedded store",
                "install softhsm2, or name a module: --hsm 'pkcs11:...?module-path=FILE'"};
  }
  settings.uri.module_path = module->string();
  if (!settings.uri.token) settings.uri.token = "kf-preparer";
  settings.softhsm2_conf = home.hsm() / "softhsm2.conf";
  return settings;
}

/// Production refuses a build with test hooks, as the station does.
void refuse_hooks_in_production(token::Environment environment) {
#ifdef KEYFERRY_TEST_HOOKS
  if (environment == token::Environment::Production)
    throw Error{Code::Refused, "this build has test hooks: it prepares no production chips"};
#else
  static_cast<void>(environment);
#endif
}

/// Do the words say this appliance? Eight words (128 bits) or all sixteen.
bool words_fit(const std::string& words, const ApplianceId& id) {
  constexpr std::size_t kEightWords = 16;
  const auto octets = from_words(words);
  if (!octets || (octets->size() != kEightWords && octets->size() != ApplianceId::kSizeBytes))
    return false;
  return equal(*octets, id.bytes().first(octets->size()));
}

void compare_words(const AcceptOptions& options, const token::PreparationOrder& order) {
  const std::string words = key_words(order.appliance_id.bytes());
  if (!options.fingerprint.empty()) {
    if (words_fit(options.fingerprint, order.appliance_id)) return;
    throw Error{Code::Refused,
                "the order is from another appliance: its words are " + words,
                "compare with the words that the appliance itself shows; nothing was accepted"};
  }
  std::fstream terminal{"/dev/tty"};
  if (!terminal) {
    throw Error{Code::Usage,
                "the appliance's words must be compared",
                "give the words that the officers read out: --fingerprint \"...\""};
  }
  terminal
      << "appliance, words: " << words
      << "\ncompare with the words that the officers read out; type yes if each word is the same: "
      << std::flush;
  std::string typed;
  std::getline(terminal, typed);
  if (typed != "yes")
    throw Error{Code::Refused, "the words were not confirmed; nothing was accepted"};
}

std::vector<std::string> sentences(const CheckedOrder& checked) {
  const token::PreparationOrder& order = checked.order;
  const se::Atecc608Profile& profile = checked.profile;
  std::vector<std::string> lines{
      fmt::format("order of plan {} ({})", order.plan_number, order.plan_digest.hex()),
      fmt::format("up to {} chips, part {}, lot {}, until {}",
                  order.count,
                  order.part,
                  order.lot,
                  to_rfc3339(order.expires)),
      fmt::format("transport key in slot {}, random, delivered under kf-vendor/{} ({})",
                  profile.transport_slot,
                  order.vendor,
                  order.mechanism)};
  if (profile.attestation_slot)
    lines.push_back(fmt::format("attestation key made in slot {}", *profile.attestation_slot));
  if (profile.secure_boot_slot)
    lines.push_back(fmt::format("secure-boot key written to slot {}", *profile.secure_boot_slot));
  lines.push_back("configuration " + to_hex(profile.configuration));
  return lines;
}

std::vector<std::string> addresses_of(const ChipOptions& options) {
  std::vector<std::string> addresses = options.chips;
  if (!options.chips_file.empty()) {
    std::ifstream file{options.chips_file};
    if (!file) throw Error{Code::NotFound, options.chips_file.string() + " cannot be read"};
    for (std::string line; std::getline(file, line) && addresses.size() <= kMaxChips;) {
      if (!line.empty() && line.front() != '#') addresses.push_back(line);
    }
  }
  if (addresses.empty() || addresses.size() > kMaxChips)
    throw Error{Code::Usage, "name the chips: --chip ADDRESS, or --chips FILE"};
  return addresses;
}

std::string_view result_name(Result result) {
  switch (result) {
    case Result::Prepared:
      return "prepared";
    case Result::PreparedBefore:
      return "prepared-before";
    case Result::SetAside:
      return "set-aside";
    case Result::Refused:
      return "refused";
  }
  throw Error{Code::Internal, "a result that is none"};
}

/// The border of one chip: one that goes away does not stop the others.
Outcome prepare_at(Preparer& preparer, const std::string& text) {
  const auto address = atecc608::parse_chip_address(text);
  if (const auto* refusal = std::get_if<Refusal>(&address)) throw to_error(*refusal);
  try {
    atecc608::Session session{atecc608::open_wire(std::get<atecc608::ChipAddress>(address))};
    return preparer.prepare(session);
  } catch (const station::ChipLost& lost) {
    return {Result::Refused, {}, "chip-lost", lost.what()};
  }
}

Json stages_json(const std::vector<Work>& works) {
  std::map<std::string, std::uint64_t> counts;
  for (const Work& work : works) ++counts[std::string{stage_name(work.stage)}];
  return counts;
}

}  // namespace

int command_init(const CommonOptions& common, const InitOptions& options) {
  const Home home{common};
  const station::Settings settings = settings_for(options, home.station_home());
  refuse_hooks_in_production(settings.environment);
  make_private_directory(home.folder());
  const FileLock lock{home.folder() / "lock"};
  if (fs::exists(home.settings_file()) && home.settings() != settings)
    throw Error{
        Code::Refused, "another preparer is in " + home.folder().string(), "choose another --home"};
  const bool embedded = settings.softhsm2_conf == home.station_home().hsm() / "softhsm2.conf";
  const SecretBytes pin = pin_for(common, settings.uri);
  if (embedded) station::make_embedded_token(home.station_home(), settings, pin);
  const auto identity = station::open_identity(settings, pin, station::KeyCreation::WhereMissing);
  KF_CUT("prepare.init-before");
  station::write_settings(home.settings_file(), settings);
  const crypto::PublicKey& key = identity->signer().public_key();
  const std::string words = key_words(key.key_id().bytes());
  tell(
      common,
      {{"schema", "keyferry.prepare.init.v1"},
       {"ok", true},
       {"name", settings.name},
       {"public_key", to_hex(key.point())},
       {"fingerprint", words}},
      {"preparer " + settings.name,
       "public key  " + to_hex(key.point()),
       "key words   " + words,
       "at the appliance: keyferry-appliance source add NAME --kind preparation --public-key HEX"});
  return EXIT_SUCCESS;
}

int command_accept(const CommonOptions& common, const AcceptOptions& options) {
  const Home home{common};
  const station::Settings settings = home.settings();
  const FileLock lock{home.folder() / "lock"};
  const Bytes file = read_file(options.order, kMaxOrderFile);
  const auto opened = token::open_preparation_order(file);
  if (const auto* refusal = std::get_if<Refusal>(&opened)) throw to_error(*refusal);
  const auto& order = std::get<token::PreparationOrder>(opened);
  const auto identity = login(common, settings, station::KeyCreation::Forbidden);
  const SystemClock clock;
  const auto checked =
      check_order(order, identity->signer().public_key(), settings.environment, clock.now());
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
  const auto pinned = home.appliance();
  if (pinned && *pinned != order.appliance_id) {
    throw Error{Code::Refused,
                "the order is from another appliance than the one that is pinned here",
                "a preparer works for one appliance: use another --home for another one"};
  }
  if (!pinned) {
    compare_words(options, order);
    home.pin(order.appliance_id);
  }
  home.keep(order, file);
  tell(common,
       {{"schema", "keyferry.prepare.accept.v1"}, {"ok", true}, {"order", order.plan_digest.hex()}},
       sentences(std::get<CheckedOrder>(checked)));
  return EXIT_SUCCESS;
}

int command_atecc608(const CommonOptions& common, const ChipOptions& options) {
  refuse_memory_that_may_be_swapped();
  const Home home{common};
  const station::Settings settings = home.settings();
  refuse_hooks_in_production(settings.environment);
  const FileLock lock{home.folder() / "lock"};
  const std::vector<std::string> addresses = addresses_of(options);
  const token::PreparationOrder order = home.order(options.order);
  const auto identity = login(common, settings, station::KeyCreation::Forbidden);
  const SystemClock clock;
  const auto checked =
      check_order(order, identity->signer().public_key(), settings.environment, clock.now());
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
  const Journal journal{home.orders(), order.plan_digest};
  SystemRandom random;
  Preparer preparer{std::get<CheckedOrder>(checked), journal, identity->signer(), random, clock};
  bool all_good = true;
  std::map<std::string, std::uint64_t> counts;
  for (const std::string& address : addresses) {
    const Outcome outcome = prepare_at(preparer, address);
    const bool good =
        outcome.result == Result::Prepared || outcome.result == Result::PreparedBefore;
    all_good = all_good && good;
    ++counts[std::string{result_name(outcome.result)}];
    fmt::print(stderr,
               "{}  {}  {}{}\n",
               to_hex(outcome.serial),
               address,
               result_name(outcome.result),
               good ? "" : ": " + outcome.reason + ": " + printable(outcome.text));
  }
  std::vector<std::string> lines;
  for (const auto& [name, count] : counts) lines.push_back(fmt::format("{:<16} {}", name, count));
  tell(common,
       {{"schema", "keyferry.prepare.run.v1"},
        {"ok", all_good},
        {"order", order.plan_digest.hex()},
        {"chips", counts}},
       lines);
  return all_good ? EXIT_SUCCESS : exit_status(Code::Refused);
}

int command_receipts(const CommonOptions& common, const ReceiptsOptions& options) {
  const Home home{common};
  static_cast<void>(home.settings());
  const token::PreparationOrder order = home.order(options.order);
  const Journal journal{home.orders(), order.plan_digest};
  std::string text = std::string{token::kPreparationsHeader} + "\n";
  std::uint64_t count = 0;
  for (const Work& work : journal.all()) {
    if (work.stage != Stage::Done) continue;
    const auto receipt = token::parse_signed_bytes(work.receipt);
    if (const auto* refusal = std::get_if<Refusal>(&receipt)) throw to_error(*refusal);
    text += token::preparation_line(std::get<token::SignedBytes>(receipt)) + "\n";
    ++count;
  }
  if (count == 0) throw Error{Code::Refused, "no chip of this order is prepared yet"};
  write_file_durably(options.out, as_bytes(text), Overwrite::Replace);
  tell(common,
       {{"schema", "keyferry.prepare.receipts.v1"},
        {"ok", true},
        {"order", order.plan_digest.hex()},
        {"receipts", count},
        {"file", options.out.string()}},
       {fmt::format("{} receipts in {}", count, options.out.string()),
        "at the appliance: keyferry-appliance se import FILE --source NAME"});
  return EXIT_SUCCESS;
}

int command_status(const CommonOptions& common) {
  const Home home{common};
  const station::Settings settings = home.settings();
  Json orders = Json::array();
  std::vector<std::string> lines{"preparer " + settings.name};
  for (const token::PreparationOrder& order : home.all_orders()) {
    const std::vector<Work> works = Journal{home.orders(), order.plan_digest}.all();
    const Json stages = stages_json(works);
    orders.push_back({{"order", order.plan_digest.hex()},
                      {"plan", order.plan_number},
                      {"count", order.count},
                      {"stages", stages}});
    lines.push_back(fmt::format(
        "order {}: {} chips at most, {}", order.plan_digest.hex(), order.count, stages.dump()));
    for (const Work& work : works) {
      if (work.stage == Stage::SetAside)
        lines.push_back(
            fmt::format("  set aside {}: {}", to_hex(work.serial), printable(work.reason)));
    }
  }
  tell(common,
       {{"schema", "keyferry.prepare.status.v1"},
        {"ok", true},
        {"name", settings.name},
        {"orders", orders}},
       lines);
  return EXIT_SUCCESS;
}

void print_error(const CommonOptions& common,
                 const std::string& text,
                 const std::string& hint,
                 const std::string& code) {
  if (common.json) {
    print(Json{{"schema", "keyferry.prepare.error.v1"},
               {"ok", false},
               {"code", code},
               {"error", text},
               {"hint", hint}}
              .dump());
  }
  fmt::print(stderr, "keyferry-prepare: {}\n", text);
  if (!hint.empty()) fmt::print(stderr, "hint: {}\n", hint);
}

}  // namespace keyferry::prepare
