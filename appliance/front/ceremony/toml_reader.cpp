#include "appliance/front/ceremony/toml_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::ceremony {
namespace {

bool is_plain(std::string_view text, TomlReader::Lines lines) {
  return std::ranges::all_of(text, [lines](char c) {
    return (c >= 0x20 && c < 0x7f) || (c == '\n' && lines == TomlReader::Lines::Allowed);
  });
}

}  // namespace

toml::table parse_toml(ByteView octets, std::size_t max_bytes, const std::string& origin) {
  if (octets.size() > max_bytes) {
    throw Error{Code::Usage, fmt::format("{}: larger than {} octets", origin, max_bytes)};
  }
  try {
    return toml::parse(as_chars(octets));
  } catch (const toml::parse_error& error) {  // the parser's only way to say no
    throw Error{Code::Usage,
                fmt::format("{}: no TOML: line {}: {}", origin, error.source().begin.line,
                            printable(error.description()))};
  }
}

void TomlReader::refuse(const std::string& text) const {
  throw Error{Code::Usage, where_ + ": " + text, "the format stands in appliance/front/CEREMONY.md"};
}

const toml::node* TomlReader::take(std::string_view key) {
  read_.emplace(key);
  return table_.get(key);
}

const toml::node& TomlReader::must(std::string_view key) {
  const toml::node* node = take(key);
  if (node == nullptr) refuse(fmt::format("\"{}\" is missing", key));
  return *node;
}

std::string TomlReader::text(std::string_view key, std::size_t max_chars, Lines lines) {
  const auto* value = must(key).as_string();
  std::string text = value == nullptr ? std::string{} : value->get();
  if (lines == Lines::Allowed && text.ends_with('\n')) text.pop_back();
  if (text.empty() || text.size() > max_chars || !is_plain(text, lines)) {
    refuse(fmt::format("\"{}\" must be 1 to {} printable ASCII characters", key, max_chars));
  }
  return text;
}

std::string TomlReader::name(std::string_view key) {
  std::string text_value = text(key, 63);
  if (!is_name(text_value)) refuse(fmt::format("\"{}\" must be 1 to 63 of a-z 0-9 - _ .", key));
  return text_value;
}

std::int64_t TomlReader::integer(std::string_view key, std::int64_t least, std::int64_t most) {
  const auto* value = must(key).as_integer();
  if (value == nullptr || value->get() < least || value->get() > most) {
    refuse(fmt::format("\"{}\" must be a number from {} to {}", key, least, most));
  }
  return value->get();
}

bool TomlReader::flag(std::string_view key) {
  const auto* value = must(key).as_boolean();
  if (value == nullptr) refuse(fmt::format("\"{}\" must be true or false", key));
  return value->get();
}

std::vector<std::string> TomlReader::texts(std::string_view key, std::size_t max_items, std::size_t max_chars) {
  const auto* array = must(key).as_array();
  if (array == nullptr || array->empty() || array->size() > max_items) {
    refuse(fmt::format("\"{}\" must be 1 to {} strings", key, max_items));
  }
  std::vector<std::string> texts;
  for (const toml::node& node : *array) {
    const auto* value = node.as_string();
    if (value == nullptr || value->get().empty() || value->get().size() > max_chars ||
        !is_plain(value->get(), Lines::None)) {
      refuse(fmt::format("each of \"{}\" must be 1 to {} printable ASCII characters", key, max_chars));
    }
    texts.push_back(value->get());
  }
  return texts;
}

const toml::table* TomlReader::table(std::string_view key) {
  const toml::node* node = take(key);
  if (node != nullptr && !node->is_table()) refuse(fmt::format("\"{}\" must be a table", key));
  return node == nullptr ? nullptr : node->as_table();
}

std::vector<const toml::table*> TomlReader::tables(std::string_view key, std::size_t max_items) {
  const toml::node* node = take(key);
  std::vector<const toml::table*> tables;
  if (node == nullptr) return tables;
  const auto* array = node->as_array();
  if (array == nullptr || array->size() > max_items) {
    refuse(fmt::format("[[{}]] must be at most {} tables", key, max_items));
  }
  for (const toml::node& one : *array) {
    if (!one.is_table()) refuse(fmt::format("[[{}]] must be tables", key));
    tables.push_back(one.as_table());
  }
  return tables;
}

void TomlReader::end() const {
  for (const auto& [key, node] : table_) {
    if (!read_.contains(key.str())) refuse(fmt::format("\"{}\" is unknown here", printable(key.str())));
  }
}

}  // namespace keyferry::ceremony
