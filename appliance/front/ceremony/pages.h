// Plain text in pages, and the frame of our HTML pages: what is printed of a ceremony.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keyferry::ceremony {

inline constexpr std::size_t kPageLines = 62;  // with its heading: A4 or Letter at 12 points

/// Lines that stay together on a page where they can.
using Block = std::vector<std::string>;

/// Pages with `heading` and a number on each, a form feed between them.
[[nodiscard]] std::string pages(const std::string& heading, const std::vector<Block>& blocks);

/// `text` cut at spaces into lines of at most `width` characters, each behind `indent` spaces; longer words are cut.
[[nodiscard]] Block wrapped(std::string_view text, std::size_t width, std::size_t indent);

/// & < > " as entities. All text of ours and from outside goes through it.
[[nodiscard]] std::string escaped(std::string_view text);

/// A whole page: `body` in a frame that repeats `heading` on each printed page, with `mark` across it (none if empty).
[[nodiscard]] std::string html_page(const std::string& title, const std::string& heading, const std::string& mark, const std::string& body);

}  // namespace keyferry::ceremony
