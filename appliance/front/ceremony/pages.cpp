#include "appliance/front/ceremony/pages.h"

#include <fmt/format.h>

#include <algorithm>

namespace keyferry::ceremony {
namespace {

// No fonts, images or scripts from anywhere: the page is whole by itself. The heading stands in a table head, which
// browsers repeat on every printed page; the mark is fixed, which print engines repeat as well.
constexpr std::string_view kStyle = R"css(
:root { color-scheme: light; }
body { font: 11pt/1.45 system-ui, "DejaVu Sans", sans-serif; color: #111; background: #fff; margin: 0 auto; max-width: 52rem; padding: 0 1rem 3rem; }
table.page { width: 100%; border-collapse: collapse; }
table.page > thead td { border-bottom: 1.5pt solid #111; padding: .4rem 0; font-weight: 600; font-size: 9.5pt; letter-spacing: .03em; }
table.page > tbody > tr > td { padding: 0; vertical-align: top; }
h1 { font-size: 20pt; line-height: 1.2; margin: 1.4rem 0 .6rem; }
h2 { break-after: avoid; font-size: 13pt; margin: 1.8rem 0 .5rem; border-bottom: .75pt solid #999; padding-bottom: .2rem; }
h3 { font-size: 11.5pt; margin: 0 0 .3rem; }
section.step { border: .75pt solid #bbb; border-radius: 3pt; padding: .7rem .9rem; margin: .8rem 0; break-inside: avoid-page; }
section.long { break-inside: auto; }
section.exception { border: 1.5pt solid #a00; }
.exceptions { border: 1.5pt solid #a00; border-radius: 3pt; padding: .2rem .9rem .7rem; }
.none { border-color: #bbb; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .4rem 0; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
table.list { border-collapse: collapse; width: 100%; margin: .4rem 0; }
table.list th, table.list td { border: .75pt solid #bbb; padding: .25rem .5rem; text-align: left; vertical-align: top; }
table.list th { background: #f2f2f2; font-weight: 600; font-size: 9.5pt; }
pre { font: 8.5pt/1.35 ui-monospace, "DejaVu Sans Mono", monospace; background: #f6f6f6; padding: .5rem .6rem; margin: .35rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
code { font: 9pt ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
.text { white-space: pre-wrap; margin: .3rem 0; }
.meta { color: #555; font-size: 9.5pt; margin: .2rem 0; }
.qr { display: flex; gap: 1.2rem; align-items: flex-start; break-inside: avoid; flex-wrap: wrap; }
.qr > div { flex: 1; min-width: 16rem; }
table.boxes { border-collapse: collapse; margin: .5rem 0 0; }
table.boxes td { border: .75pt solid #111; width: 7.5rem; height: 2.1rem; padding: .1rem .3rem; font-size: 8pt; color: #555; vertical-align: top; }
.mark { position: fixed; inset: 0; display: flex; align-items: center; justify-content: center; font-size: 60pt; font-weight: 700; color: rgba(170, 0, 0, .09); transform: rotate(-32deg); pointer-events: none; letter-spacing: .1em; }
.banner { color: #a00; }
@page { margin: 14mm 15mm; }
@media print { body { max-width: none; padding: 0; } }
)css";

}  // namespace

std::string pages(const std::string& heading, const std::vector<Block>& blocks) {
  std::string out;
  std::size_t page = 0;
  std::size_t left = 0;
  const auto turn = [&] {
    if (page > 0) out += '\f';
    out += fmt::format("{}  |  page {}\n\n", heading, ++page);
    left = kPageLines - 2;
  };
  for (const Block& block : blocks) {
    if (page == 0 || (block.size() > left && left < kPageLines - 2)) {
      if (page == 0 || block.size() <= kPageLines - 2 || left < 8) turn();
    }
    for (const std::string& line : block) {
      if (left == 0) turn();
      out += line + "\n";
      --left;
    }
    if (left > 0) {
      out += '\n';
      --left;
    }
  }
  return out;
}

Block wrapped(std::string_view text, std::size_t width, std::size_t indent) {
  Block lines;
  std::size_t at = 0;
  while (at <= text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string_view rest = text.substr(at, end - at);
    do {
      std::size_t length = std::min(rest.size(), width);
      if (length < rest.size()) {
        const std::size_t space = rest.substr(0, width + 1).rfind(' ');
        if (space != std::string_view::npos && space > 0) length = space;
      }
      lines.push_back(std::string(indent, ' ') + std::string{rest.substr(0, length)});
      rest.remove_prefix(length);
      if (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
    } while (!rest.empty());
    at = end + 1;
  }
  if (lines.size() > 1 && text.ends_with('\n')) lines.pop_back();
  return lines;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string html_page(const std::string& title, const std::string& heading, const std::string& mark, const std::string& body) {
  const std::string across = mark.empty() ? "" : fmt::format("<div class=\"mark\" aria-hidden=\"true\">{}</div>\n", escaped(mark));
  const std::string repeated = mark.empty() ? escaped(heading)
                                            : fmt::format("<span class=\"banner\">{}</span> &middot; {}", escaped(mark), escaped(heading));
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{}</title>\n<style>{}</style>\n</head>\n"
      "<body>\n{}<table class=\"page\"><thead><tr><td>{}</td></tr></thead><tbody><tr><td>\n{}</td></tr></tbody></table>\n"
      "</body>\n</html>\n",
      escaped(title), kStyle, across, repeated, body);
}

}  // namespace keyferry::ceremony
