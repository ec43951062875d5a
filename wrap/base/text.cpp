#include "wrap/base/text.h"

#include <fmt/format.h>

#include <algorithm>

namespace keyferry {
namespace {

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool all_in(std::string_view text, std::string_view extra) {
  return std::ranges::all_of(
      text, [extra](char c) { return is_alnum(c) || extra.find(c) != std::string_view::npos; });
}

}  // namespace

bool is_name(std::string_view text) {
  if (text.empty() || text.size() > 63 || !is_alnum(text.front())) return false;
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

bool is_part_text(std::string_view text) { return text.size() <= 64 && all_in(text, "-_./+"); }

bool is_device_serial(std::string_view text) {
  // The first character is a letter or digit: "-1+1" would be a formula in a spreadsheet.
  return !text.empty() && text.size() <= 64 && is_alnum(text.front()) && all_in(text, "-_.:");
}

std::string printable(std::string_view text) {
  constexpr std::size_t kMaxChars = 200;
  std::string out;
  for (const char c : text.substr(0, kMaxChars)) {
    const bool plain = c >= 0x20 && c < 0x7f && c != '\\';
    out += plain ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  if (text.size() > kMaxChars) out += "...";
  return out;
}

}  // namespace keyferry
