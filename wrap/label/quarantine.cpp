#include "wrap/label/quarantine.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "wrap/label/picture.h"
#include "wrap/label/qr.h"

namespace keyferry::label {
namespace {

constexpr std::size_t kMostFieldChars = 128;
constexpr std::size_t kLineChars = 48;
constexpr std::size_t kModulePixels = 6, kTextScale = 2;
constexpr std::size_t kQuietModules = 4;  // ISO/IEC 18004 section 9.1
constexpr std::size_t kMarginPixels = 24;

bool is_plain(char c) {
  return c >= ' ' && c <= '~';
}

std::string escaped(std::string_view field) {
  std::string text;
  for (const char c : field.substr(0, kMostFieldChars)) {
    if (is_plain(c) && c != '|' && c != '%') {
      text += c;
    } else {
      text += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

void add_wrapped(std::vector<std::string>& lines, std::string_view text) {
  while (!text.empty()) {
    std::size_t end = std::min(text.size(), kLineChars);
    if (end < text.size()) {
      const std::size_t blank = text.rfind(' ', end);
      if (blank != std::string_view::npos && blank > 0) end = blank;
    }
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end));
    while (text.starts_with(' ')) text.remove_prefix(1);
  }
}

}  // namespace

std::string qr_text(const QuarantineLabel& label) {
  const std::string number = fmt::format("{}", label.record_no);
  const std::string time = to_rfc3339(label.time);
  std::string text = "KFQ1";
  for (const std::string_view field : std::array<std::string_view, 7>{label.family,
                                                                      label.se_serial,
                                                                      label.device_serial,
                                                                      label.reason,
                                                                      label.batch,
                                                                      number,
                                                                      time}) {
    text += '|';
    text += escaped(field);
  }
  return text;
}

std::vector<std::string> text_lines(const QuarantineLabel& label) {
  std::vector<std::string> lines{"QUARANTINE - DO NOT USE"};
  add_wrapped(lines, fmt::format("SE      {} {}", label.family, escaped(label.se_serial)));
  add_wrapped(
      lines,
      fmt::format("device  {}",
                  label.device_serial.empty() ? "not known" : escaped(label.device_serial)));
  add_wrapped(lines, fmt::format("reason  {}", escaped(label.reason)));
  add_wrapped(lines, label.words);
  add_wrapped(lines, fmt::format("batch   {}", escaped(label.batch)));
  add_wrapped(lines, fmt::format("record  {}", label.record_no));
  add_wrapped(lines, fmt::format("since   {}", to_rfc3339(label.time)));
  for (std::string& line : lines)
    std::ranges::replace_if(
        line, [](char c) { return !is_plain(c); }, '?');
  return lines;
}

Bytes picture(const QuarantineLabel& label) {
  const auto modules = qr_modules(qr_text(label));
  const auto lines = text_lines(label);
  const std::size_t code = (modules.size() + 2 * kQuietModules) * kModulePixels;
  const std::size_t line = kGlyphHeight * kTextScale + 4;
  const std::size_t height = std::max(code, 2 * kMarginPixels + lines.size() * line);
  Picture sheet{code + kLineChars * kGlyphWidth * kTextScale + kMarginPixels, height};
  sheet.draw(modules, kQuietModules * kModulePixels, kQuietModules * kModulePixels, kModulePixels);
  for (std::size_t at = 0; at < lines.size(); ++at)
    sheet.write(lines[at], code, kMarginPixels + at * line, kTextScale);
  return sheet.png();
}

}  // namespace keyferry::label
