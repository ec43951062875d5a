#include "wrap/x509/pem.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/base64.h"
#include "wrap/base/text.h"

namespace keyferry::x509 {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";
constexpr std::size_t kLineChars = 64;

Refusal pem_refusal(std::string text) {
  return Refusal{"pem", std::move(text), "give a PEM file as openssl writes it"};
}

/// Takes the next line off `text`, without LF or CR LF.
std::string_view next_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

std::string to_pem(std::string_view label, ByteView der) {
  std::string out = fmt::format("{}{}{}\n", kBegin, label, kDashes);
  const std::string base64 = to_base64(der);
  for (std::size_t at = 0; at < base64.size(); at += kLineChars) {
    out += base64.substr(at, kLineChars);
    out += '\n';
  }
  return out + fmt::format("{}{}{}\n", kEnd, label, kDashes);
}

std::variant<std::vector<Bytes>, Refusal> from_pem(std::string_view text, std::string_view label) {
  if (text.size() > kMaxPemBytes) return pem_refusal("larger than 1 MiB");
  const std::string begin = fmt::format("{}{}{}", kBegin, label, kDashes);
  const std::string end = fmt::format("{}{}{}", kEnd, label, kDashes);
  std::vector<Bytes> blocks;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    if (!line.starts_with(kBegin)) continue;
    if (line != begin)
      return pem_refusal(fmt::format("\"{}\" where a {} is expected", printable(line), label));
    if (blocks.size() == kMaxPemBlocks)
      return pem_refusal(fmt::format("more than {} blocks", kMaxPemBlocks));
    std::string base64;
    std::string_view inner;
    while (!text.empty() && (inner = next_line(text)) != end) base64 += inner;
    if (inner != end) return pem_refusal("a block without its end line");
    auto der = from_base64(base64);
    if (!der || der->empty()) return pem_refusal("a block that is not base64");
    blocks.push_back(std::move(*der));
  }
  if (blocks.empty()) return pem_refusal(fmt::format("no {} in it", label));
  return blocks;
}

}  // namespace keyferry::x509
