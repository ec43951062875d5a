#include "token/audit-tool/plan_view.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <sstream>

#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit_tool {
namespace {

/// All of `text` as printable() has it, which alone would cut it.
std::string all_printable(std::string_view text) {
  constexpr std::size_t kPiece = 200;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += kPiece) out += printable(text.substr(at, kPiece));
  return out;
}

std::string scalar(const toml::node& value) {
  if (const auto* text = value.as_string()) return "\"" + all_printable(text->get()) + "\"";
  std::ostringstream out;
  if (const auto* number = value.as_integer()) out << number->get();
  if (const auto* number = value.as_floating_point()) out << number->get();
  if (const auto* flag = value.as_boolean()) out << (flag->get() ? "true" : "false");
  if (const auto* date = value.as_date()) out << date->get();
  if (const auto* time = value.as_time()) out << time->get();
  if (const auto* both = value.as_date_time()) out << both->get();
  return all_printable(out.str());
}

class Walk {
 public:
  Walk(PlanView& view, const std::string& origin) : view_{view}, origin_{origin} {}

  void node(const std::string& name, const toml::node& value) {
    if (const toml::table* table = value.as_table()) {
      children(name, *table);
    } else if (const toml::array* array = value.as_array()) {
      std::size_t index = 0;
      for (const toml::node& one : *array) node(fmt::format("{}[{}]", name, index++), one);
      if (array->empty()) add(name, "(none)");
    } else {
      add(name, scalar(value));
    }
  }

 private:
  /// In the order of the file, not of the names.
  void children(const std::string& name, const toml::table& table) {
    struct Child {
      std::string key;
      const toml::node* node;
      toml::source_position at;
    };
    std::vector<Child> sorted;
    for (const auto& [key, one] : table) sorted.push_back({all_printable(key.str()), &one, key.source().begin});
    std::ranges::stable_sort(sorted, [](const Child& a, const Child& b) { return a.at < b.at; });
    for (const Child& child : sorted) node(name.empty() ? child.key : name + "." + child.key, *child.node);
  }

  void add(const std::string& name, std::string value) {
    if (view_.fields.size() == kMaxFields) throw Error{Code::Usage, fmt::format("{}: more than {} fields", origin_, kMaxFields)};
    view_.fields.emplace_back(name, std::move(value));
  }

  PlanView& view_;
  const std::string& origin_;
};

}  // namespace

PlanView view_plan(ByteView octets, const std::string& origin) {
  const std::string hint = "a plan is a TOML file of at most 64 KiB, made by keyferry-appliance";
  if (octets.empty()) throw Error{Code::Usage, origin + ": the file is empty", hint};
  if (octets.size() > kMaxPlanBytes) throw Error{Code::Usage, origin + ": larger than any plan", hint};
  toml::table root;
  try {
    root = toml::parse(as_chars(octets));
  } catch (const toml::parse_error& error) {  // the parser's only way to say no
    throw Error{Code::Usage, fmt::format("{}: no plan: line {}: {}", origin, error.source().begin.line, printable(error.description())), hint};
  }
  const toml::node* operation = root.get("operation");
  if (operation == nullptr || !operation->is_string()) throw Error{Code::Usage, origin + ": no plan: it names no operation", hint};
  PlanView view;
  view.digest = crypto::sha256(octets);
  view.words = to_words(view.digest.bytes());
  Walk{view, origin}.node("", root);
  return view;
}

}  // namespace keyferry::audit_tool
