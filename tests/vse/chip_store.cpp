#include "tests/vse/chip_store.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <sstream>
#include <utility>

#include "tests/vse/chip_keys.h"
#include "tests/vse/kdf1.h"
#include "tests/vse/secure_room.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"
#include "wrap/p11/probe.h"

namespace keyferry::vse {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxMarkerBytes = 16 * 1024;
constexpr std::array<std::string_view, 5> kOurNames{
    "softhsm2.conf", "tokens", "pin", "chip.toml", "chip.toml.tmp"};

/// 26 characters out of 32: 130 bits.
SecretBytes random_pin(RandomSource& random) {
  constexpr std::string_view kCharacters = "abcdefghijkmnpqrstuvwxyz23456789";
  static_assert(kCharacters.size() == 32);
  SecretBytes pin{26};
  random.fill(pin.expose_writable());
  for (std::uint8_t& octet : pin.expose_writable())
    octet = static_cast<std::uint8_t>(kCharacters[octet % 32]);
  return pin;
}

p11::TokenInfo make_token(p11::Module& module,
                          const std::string& label,
                          const SecretBytes& pin,
                          RandomSource& random) {
  const SecretBytes so_pin = random_pin(random);
  const auto slot = module.uninitialised_slot();
  if (!slot) throw Error{Code::Hsm, "the module offers no slot for a new token"};
  const p11::TokenInfo token = module.init_token(*slot, so_pin, label);
  p11::Session session{module, token.slot, p11::Access::ReadWrite};
  session.login_or_throw(p11::Role::SecurityOfficer, so_pin);
  session.init_pin(pin);
  session.logout();
  return token;
}

}  // namespace

ChipStore::ChipStore(const fs::path& folder, std::uint32_t number)
    : ChipStore{folder / fmt::format("se-{:05}", number)} {}

ChipStore::ChipStore(fs::path path) : path_{std::move(path)} {}

std::optional<ChipFacts> ChipStore::facts() const {
  const auto content = read_file_if_exists(marker(), kMaxMarkerBytes);
  if (!content) return std::nullopt;
  const auto damaged = [this](const std::string& what) {
    return Error{Code::Storage,
                 marker().string() + ": " + what,
                 "remove the folder to have this chip made anew"};
  };
  toml::table table;
  try {
    table = toml::parse(as_chars(*content), marker().string());
  } catch (const toml::parse_error& error) {
    throw damaged(printable(error.description()));
  }
  const auto text = [&](const char* name) {
    const auto value = table[name].value<std::string>();
    if (!value) throw damaged(std::string{name} + " is missing");
    return *value;
  };
  const auto octets = [&](const char* name) {
    const auto value = from_hex(text(name));
    if (!value || value->empty()) throw damaged(std::string{name} + " is no hex");
    return *value;
  };
  ChipFacts facts{text("label"),
                  octets("serial"),
                  text("master"),
                  text("part"),
                  text("key_name"),
                  octets("check_value")};
  if (!fs::is_regular_file(config()) || !fs::is_regular_file(pin()) ||
      !fs::is_directory(tokens()) || fs::is_empty(tokens())) {
    throw damaged("the store that it stands for is not there");
  }
  return facts;
}

void ChipStore::begin() const {
  if (fs::exists(marker()))
    throw Error{Code::Refused, path_.string() + " is a finished chip: it is never made anew"};
  if (fs::exists(path_)) {
    for (const fs::directory_entry& entry : fs::directory_iterator{path_}) {
      const std::string name = entry.path().filename().string();
      if (std::ranges::find(kOurNames, name) == kOurNames.end() && !name.starts_with("pin.") &&
          !name.starts_with("softhsm2.conf.")) {
        throw Error{Code::Refused,
                    path_.string() + " holds \"" + printable(name) + "\", which no chip store has",
                    "choose another --dir"};
      }
    }
    fs::remove_all(path_);
  }
  make_private_directory(tokens());
  const std::string text =
      "directories.tokendir = " + tokens().string() +
      "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n";
  write_file_durably(config(), as_bytes(text), Overwrite::Replace);
}

void ChipStore::finish(const ChipFacts& facts) const {
  sync_tree(path_);
  const toml::table table{{"version", 1},
                          {"label", facts.label},
                          {"serial", to_hex(facts.serial)},
                          {"master", facts.master},
                          {"part", facts.part},
                          {"key_name", facts.key_name},
                          {"check_value", to_hex(facts.check_value)}};
  std::ostringstream text;
  text << "# a SoftHSM store that plays a secure element; made by keyferry-vse\n" << table << "\n";
  write_file_durably(marker(), as_bytes(text.str()), Overwrite::Refuse);
}

void make_chip(const ChipStore& store,
               const fs::path& module_path,
               ChipFacts facts,
               RandomSource& random,
               const KeyForSerial& key_for_serial) {
  store.begin();
  setenv("SOFTHSM2_CONF", store.config().c_str(), 1);
  {
    p11::Module module{module_path};
    const SecretBytes pin = random_pin(random);
    write_file_durably(store.pin(), pin.expose(), Overwrite::Refuse);
    const p11::TokenInfo token = make_token(module, facts.label, pin, random);
    facts.serial = pkcs11_serial(token.serial);
    p11::Session session{module, token.slot, p11::Access::ReadWrite};
    session.login_or_throw(p11::Role::User, pin);
    const p11::ProbeResult probed = p11::probe(session, p11::ProbeFor::Device);
    if (!probed.usable()) throw to_error(probed.missing.front());

    const SecretBytes transport =
        key_for_serial(facts.serial);  // lives until the end of this block
    facts.check_value = check_value(transport);
    const p11::Mechanism kwp = probed.kwp_or_throw();
    p11::Template wanted = transport_key_template("kf-transport/" + facts.key_name, kwp);
    const p11::Key key = session.create_object(wanted.secret_value(transport));
    const std::vector<std::string> wrong = try_abuses(session, key, transport, kwp);
    if (!wrong.empty()) {
      session.destroy(key);
      throw Error{Code::Refused,
                  fmt::format("this module cannot play an SE: {}", fmt::join(wrong, "; ")),
                  "use a PKCS#11 module that enforces its attributes (SoftHSM 2.6 does)"};
    }
  }
  store.finish(facts);
}

}  // namespace keyferry::vse
