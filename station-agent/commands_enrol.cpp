#include <cstdlib>
#include <utility>

#include "station-agent/commands.h"
#include "station-agent/desk.h"
#include "station-agent/enrol.h"
#include "station-agent/identity.h"
#include "token/medium.h"
#include "wrap/base/cut.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;

Settings settings_for(const InitOptions& options, const Home& home) {
  Settings settings;
  settings.name = options.name;
  settings.site = options.site;
  if (!is_name(settings.name) || !is_name(settings.site)) {
    throw Error{Code::Usage,
                "--name and --site are 1 to 63 of a-z 0-9 - _ . and begin with a letter or digit"};
  }
  const auto environment = token::environment_from_name(options.environment);
  if (!environment)
    throw Error{Code::Usage, "--environment is one of development, rehearsal, production"};
  settings.environment = *environment;
  if (!options.hsm_uri.empty()) settings.uri = p11::uri_or_throw(options.hsm_uri);
  if (!options.softhsm2_conf.empty()) settings.softhsm2_conf = fs::absolute(options.softhsm2_conf);
  if (settings.uri.module_path) return settings;
  const auto module = embedded_module();
  if (!module) {
    throw Error{Code::Usage,
                "no SoftHSM is installed for an embedded store",
                "install softhsm2, or name a module: --hsm 'pkcs11:...?module-path=FILE'"};
  }
  settings.uri.module_path = module->string();
  if (!settings.uri.token) settings.uri.token = "kf-station";
  settings.softhsm2_conf = home.hsm() / "softhsm2.conf";
  return settings;
}

bool is_embedded(const Settings& settings, const Home& home) {
  return settings.softhsm2_conf && *settings.softhsm2_conf == home.hsm() / "softhsm2.conf";
}

SecretBytes new_pin(const CommonOptions& common, const p11::Uri& uri) {
  if (common.pin_fd >= 0 || p11::pin_file(uri)) return pin_for(common, uri, "");
  SecretBytes first = prompt_secret("new PIN for this station's key store: ");
  const SecretBytes second = prompt_secret("once more: ");
  if (!equal(first.expose(), second.expose())) throw Error{Code::Usage, "the two PINs differ"};
  return first;
}

}  // namespace

int command_init(const CommonOptions& common, const InitOptions& options) {
  const SystemClock clock;
  const Home home = home_of(common);
  const Settings settings = settings_for(options, home);
  refuse_hooks_in_production(settings.environment);
  make_private_directory(home.folder);
  const FileLock lock{home.lock()};
  Store store{home.database(), store::Role::Writer, clock};
  auto facts = store.station();
  if (facts && read_settings(home.settings()) != settings) {
    throw Error{
        Code::Refused, "another station is in " + home.folder.string(), "choose another --home"};
  }
  if (!facts) {
    write_settings(home.settings(), settings);
    KF_CUT("station.init-settings");
    const bool embedded = is_embedded(settings, home);
    const SecretBytes pin = embedded ? new_pin(common, settings.uri)
                                     : pin_for(common, settings.uri, "PIN of the token: ");
    if (embedded) make_embedded_token(home, settings, pin);
    const auto identity = open_identity(
        settings, pin, embedded ? KeyCreation::ReplaceHalves : KeyCreation::WhereMissing);
    const crypto::PublicKey& key = identity->signer().public_key();
    facts.emplace(StationFacts{token::station_id_of(key),
                               settings.name,
                               settings.site,
                               settings.environment,
                               key,
                               identity->agreement().public_key()});
    KF_CUT("station.init-before");
    store.set_station(*facts);
    KF_CUT("station.init-after");
  }
  if (common.json) {
    print_json({{"schema", "keyferry.station.init.v1"},
                {"ok", true},
                {"station", station_json(*facts)},
                {"fingerprint", key_words(facts->signing_key.key_id().bytes())}});
  } else {
    print("station " + facts->name + " at " + facts->site + ": " + facts->station_id.hex());
    print("key words: " + key_words(facts->signing_key.key_id().bytes()));
  }
  return EXIT_SUCCESS;
}

int command_enrol(const CommonOptions& common, const EnrolOptions& options) {
  if (options.to.empty() == options.from.empty()) {
    throw Error{Code::Usage,
                "enroll needs either --to DIR or --from DIR",
                "keyferry-station enroll --help"};
  }
  OpenHome home{common};
  if (!options.to.empty()) {
    token::FolderMedium medium{options.to};
    SystemRandom random;
    const auto identity = login(common, home);
    const RequestOut out =
        write_request(home.store, *home.station, identity->signer(), random, home.clock, medium);
    const std::string words = key_words(out.sha256.bytes());
    if (common.json) {
      print_json({{"schema", "keyferry.station.enroll-request.v1"},
                  {"ok", true},
                  {"station", station_json(*home.station)},
                  {"file", out.file},
                  {"fingerprint", words}});
    } else {
      print("request written: " + out.file);
      print("words of this request, for the officers to compare: " + words);
    }
    return EXIT_SUCCESS;
  }
  token::FolderMedium medium{options.from};
  auto answer = read_answer(home.store, *home.station, medium);
  if (const auto* refusal = std::get_if<Refusal>(&answer)) {
    home.store.note_refusal("enrolment-answer", refusal->reason);
    throw to_error(*refusal);
  }
  const Offer& offer = std::get<Offer>(answer);
  const std::string words = key_words(offer.appliance.appliance_id.bytes());
  if (!options.fingerprint.empty()) {
    if (!fingerprint_fits(options.fingerprint, offer.appliance.appliance_id)) {
      home.store.note_refusal("enrolment-answer", "fingerprint");
      throw Error{Code::Refused,
                  "the answer is from another appliance: its words are " + words,
                  "compare with the words that the appliance itself shows; nothing was pinned"};
    }
  } else {
    const std::string typed = ask_on_terminal(
        "appliance " + printable(offer.appliance.name) + ", words: " + words + "\n" +
            "compare with the words that the officers read out; type yes if each word is the "
            "same: ",
        "give the words that the officers read out: --fingerprint \"...\"");
    if (typed != "yes")
      throw Error{Code::Refused, "the words were not confirmed; nothing was pinned"};
  }
  if (const auto refusal = accept_offer(home.store, offer)) throw to_error(*refusal);
  if (common.json) {
    print_json({{"schema", "keyferry.station.enroll-answer.v1"},
                {"ok", true},
                {"station", station_json(*home.station)},
                {"appliance", offer.appliance.appliance_id.hex()},
                {"fingerprint", words}});
  } else {
    print("enrolled with appliance " + offer.appliance.name + ": " + words);
  }
  return EXIT_SUCCESS;
}

}  // namespace keyferry::station
