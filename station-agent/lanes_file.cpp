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
    only(*table, {"number", "family", "person", "se"}, where);
    if (!numbers_.insert(plan.number.value).second) wrong(where + " is there twice");
    const auto family = token::family_from_name(text(*table, "family", where).value_or("pkcs11"));
    if (!family) wrong(where + ": unknown family");
    if (*family != token::Family::Pkcs11) {
      wrong(where + ": family " + std::string{token::name_of(*family)} +
            " has no driver in this version");
    }
    plan.family = *family;
    plan.person_number = number(*table, "person", where, 0, std::nullopt);
    const toml::array* places = (*table)["se"].as_array();
    if (places == nullptr || places->empty()) wrong(where + " has no [[lane.se]]");
    for (const toml::node& one : *places) plan.places.push_back(place(one, where));
    return plan;
  }

  SePlace place(const toml::node& node, const std::string& where) {
    const toml::table* table = node.as_table();
    if (table == nullptr) wrong(where + ": se is not a list of [[lane.se]]");
    only(*table, {"uri", "softhsm2_conf", "device_serial"}, where);
    const auto uri = text(*table, "uri", where);
    if (!uri) wrong(where + ": an SE has no uri");
    const auto parsed = p11::parse_uri(*uri);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) wrong(where + ": " + refusal->text);
    SePlace place{std::get<p11::Uri>(parsed),
                  std::nullopt,
                  text(*table, "device_serial", where).value_or("")};
    if (!place.uri.module_path) wrong(where + ": a uri has no module-path");
    if (!p11::pin_file(place.uri)) wrong(where + ": a uri has no pin-source=file:");
    if (const auto conf = text(*table, "softhsm2_conf", where)) {
      place.softhsm2_conf = fs::absolute(path_).parent_path() / *conf;
    }
    if (!place.device_serial.empty() && !is_device_serial(place.device_serial)) {
      wrong(where + ": device serial " + printable(place.device_serial) +
            " has characters that no device serial has");
    }
    const std::string identity = p11::to_string(place.uri) + "\n" +
                                 (place.softhsm2_conf ? place.softhsm2_conf->string() : "");
    if (!places_.insert(identity).second) wrong(where + ": the same SE is there twice");
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
