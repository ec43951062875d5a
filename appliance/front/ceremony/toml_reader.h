// Reads a TOML table strictly: every key once, in its type and bounds; what was not read is unknown and refused.
#pragma once

#include <toml++/toml.h>

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "wrap/base/bytes.h"

namespace keyferry::ceremony {

/// Error{Usage} "ORIGIN: no TOML: line N: ..." beyond `max_bytes` too.
[[nodiscard]] toml::table parse_toml(ByteView octets, std::size_t max_bytes, const std::string& origin);

class TomlReader {
 public:
  /// `where` begins each message: "script.toml: step 3".
  TomlReader(const toml::table& table, std::string where) : table_{table}, where_{std::move(where)} {}

  [[noreturn]] void refuse(const std::string& text) const;

  [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }

  /// Printable ASCII, 1 to `max_chars`; with Lines::Allowed also line ends, and the last one is taken off.
  enum class Lines { None, Allowed };
  [[nodiscard]] std::string text(std::string_view key, std::size_t max_chars, Lines lines = Lines::None);
  [[nodiscard]] std::string name(std::string_view key);  ///< is_name
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t least, std::int64_t most);
  [[nodiscard]] bool flag(std::string_view key);
  [[nodiscard]] std::vector<std::string> texts(std::string_view key, std::size_t max_items, std::size_t max_chars);

  /// Null when it is not there.
  [[nodiscard]] const toml::table* table(std::string_view key);
  /// [[key]]: at most `max_items`; none when it is not there.
  [[nodiscard]] std::vector<const toml::table*> tables(std::string_view key, std::size_t max_items);

  /// Last: what was not read is refused.
  void end() const;

 private:
  [[nodiscard]] const toml::node* take(std::string_view key);
  [[nodiscard]] const toml::node& must(std::string_view key);

  const toml::table& table_;
  std::string where_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace keyferry::ceremony
