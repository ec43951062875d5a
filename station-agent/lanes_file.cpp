#include "station-agent/lanes_file.h"

#include <toml++/toml.h>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <set>
#include <utility>

#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;

class Reader {
 public:
  explicit Reader(fs::path path) : path_{std::move(path)} {}

  std::vector<LanePlan> read() {
    const Bytes content = read_file(path_, kMaxLanesFileBytes);
    toml::table table;
    try {
      table = toml::parse(as_chars(content), path_.string());
    } catch (const toml::parse_error& error) {
      wrong("line " + std::to_string(error.source().begin.line) + ": " +
            printable(error.description()));
    }
    only(table, {"lane"}, "the file");
    const toml::array* lanes = table["lane"].as_array();
    if (lanes == nullptr || lanes->empty()) wrong("there is no [[lane]] in it");
    std::vector<LanePlan> plans;
    for (const toml::node& node : *lanes) plans.push_back(lane(node));
    return plans;
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const {
    throw Error{Code::Usage,
                "lanes file " + path_.string() + ": " + what,
                "keyferry-station run --help shows one"};
  }

  void only(const toml::table& table,
            std::initializer_list<std::string_view> words,
            const std::string& where) const {
    for (const auto& [key, value] : table) {
      const std::string_view word = key.str();
      if (std::ranges::find(words, word) == words.end()) {
        wrong(where + " has the unknown word " + printable(word));
      }
    }
  }

  std::uint32_t number(const toml::table& table,
                       const char* name,
                       const std::string& where,
                       std::int64_t lowest,
                       std::optional<std::uint32_t> fallback) const {
    if (!table.contains(name) && fallback) return *fallback;
    const auto value = table[name].value_exact<std::int64_t>();
    if (!value || *value < lowest || *value > std::numeric_limits<std::uint32_t>::max()) {
      wrong(where + ": " + name + " must be a whole number from " + std::to_string(lowest));
    }
    return static_cast<std::uint32_t>(*value);
  }

  std::optional<std::string> text(const toml::table& table,
                                  const char* name,
                                  const std::string& where) const {
    if (!table.contains(name)) return std::nullopt;
    const auto value = table[name].value_exact<std::string>();
    if (!value) wrong(where + ": " + name + " must be a text");
    return value;
  }

  LanePlan lane(const toml::node& node) {
    const toml::table* table = node.as_table();
    if (table == nullptr) wrong("lane is not a list of [[lane]]");
    LanePlan plan;
    plan.number = LaneNo{number(*table, "number", "a lane", 1, std::nullopt)};
    const std::string where = "lane " + std::to_string(plan.number.value);
    only(*table, {"number", "family", "person", "firmware", "firmware_signature", "se"}, where);
    if (!numbers_.insert(plan.number.value).second) wrong(where + " is there twice");
    const auto family = token::family_from_name(text(*table, "family", where).value_or("pkcs11"));
    if (!family) wrong(where + ": unknown family");
    if (*family != token::Family::Pkcs11 && *family != token::Family::Atecc608) {
      wrong(where + ": family " + std::string{token::name_of(*family)} +
            " has no driver in this version");
    }
    plan.family = *family;
    plan.person_number = number(*table, "person", where, 0, std::nullopt);
    plan.firmware = firmware(*table, where);
    const toml::array* places = (*table)["se"].as_array();
    if (places == nullptr || places->empty()) wrong(where + " has no [[lane.se]]");
    for (const toml::node& one : *places) {
      const toml::table* entry = one.as_table();
      if (entry == nullptr) wrong(where + ": se is not a list of [[lane.se]]");
      plan.places.push_back(plan.family == token::Family::Pkcs11 ? module_place(entry, where)
                                                                 : chip_place(entry, where));
    }
    return plan;
  }

  std::optional<FirmwareFiles> firmware(const toml::table& table, const std::string& where) const {
    const auto image = text(table, "firmware", where);
    const auto signature = text(table, "firmware_signature", where);
    if (!image && !signature) return std::nullopt;
    if (!image || !signature) wrong(where + ": firmware and firmware_signature come together");
    const fs::path folder = fs::absolute(path_).parent_path();
    return FirmwareFiles{folder / *image, folder / *signature};
  }

  std::string device_serial(const toml::table* table, const std::string& where) const {
    const std::string serial = text(*table, "device_serial", where).value_or("");
    if (!serial.empty() && !is_device_serial(serial)) {
      wrong(where + ": device serial " + printable(serial) +
            " has characters that no device serial has");
    }
    return serial;
  }

  void once(const std::string& identity, const std::string& where) {
    if (!places_.insert(identity).second) wrong(where + ": the same SE is there twice");
  }

  SePlace chip_place(const toml::table* table, const std::string& where) {
    only(*table, {"chip", "device_serial"}, where);
    const auto chip = text(*table, "chip", where);
    if (!chip) wrong(where + ": an SE has no chip address");
    const auto parsed = atecc608::parse_chip_address(*chip);
    if (const auto* refusal = std::get_if<Refusal>(&parsed))
      wrong(where + ": " + refusal->text + ": " + refusal->hint);
    SePlace place{{}, std::nullopt, device_serial(table, where)};
    place.chip = std::get<atecc608::ChipAddress>(parsed);
    once(atecc608::to_string(*place.chip), where);
    return place;
  }

  SePlace module_place(const toml::table* table, const std::string& where) {
    only(*table, {"uri", "softhsm2_conf", "device_serial"}, where);
    const auto uri = text(*table, "uri", where);
    if (!uri) wrong(where + ": an SE has no uri");
    const auto parsed = p11::parse_uri(*uri);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) wrong(where + ": " + refusal->text);
    SePlace place{std::get<p11::Uri>(parsed), std::nullopt, device_serial(table, where)};
    if (!place.uri.module_path) wrong(where + ": a uri has no module-path");
    if (!p11::pin_file(place.uri)) wrong(where + ": a uri has no pin-source=file:");
    if (const auto conf = text(*table, "softhsm2_conf", where)) {
      place.softhsm2_conf = fs::absolute(path_).parent_path() / *conf;
    }
    once(p11::to_string(place.uri) + "\n" +
             (place.softhsm2_conf ? place.softhsm2_conf->string() : ""),
         where);
    return place;
  }

  fs::path path_;
  std::set<std::uint32_t> numbers_;
  std::set<std::string> places_;
};

}  // namespace

std::vector<LanePlan> read_lanes_file(const fs::path& path) {
  return Reader{path}.read();
}

}  // namespace keyferry::station
