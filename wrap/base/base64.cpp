#include "wrap/base/base64.h"

#include <array>

namespace keyferry {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(0xff);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}

constexpr std::array<std::uint8_t, 256> kValues = make_values();

char digit(std::uint32_t group, unsigned shift) {
  return kAlphabet[(group >> shift) & 63U];
}

}  // namespace

std::string to_base64(ByteView octets) {
  std::string text;
  text.reserve((octets.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < octets.size(); at += 3) {
    const std::size_t left = octets.size() - at;
    std::uint32_t group = static_cast<std::uint32_t>(octets[at]) << 16;
    if (left > 1) group |= static_cast<std::uint32_t>(octets[at + 1]) << 8;
    if (left > 2) group |= octets[at + 2];
    text.push_back(digit(group, 18));
    text.push_back(digit(group, 12));
    text.push_back(left > 1 ? digit(group, 6) : '=');
    text.push_back(left > 2 ? digit(group, 0) : '=');
  }
  return text;
}

std::optional<Bytes> from_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  Bytes octets;
  octets.reserve(text.size() / 4 * 3);
  for (std::size_t at = 0; at < text.size(); at += 4) {
    std::string_view quad = text.substr(at, 4);
    if (at + 4 == text.size()) {
      if (quad.ends_with('=')) quad.remove_suffix(1);
      if (quad.ends_with('=')) quad.remove_suffix(1);
    }
    std::uint32_t group = 0;
    for (const char c : quad) {
      const std::uint8_t value = kValues[static_cast<unsigned char>(c)];
      if (value == 0xff) return std::nullopt;
      group = (group << 6) | value;
    }
    group <<= 6 * (4 - quad.size());
    const std::size_t count = quad.size() - 1;  // 4, 3, 2 digits are 3, 2, 1 octets
    if ((group & (0xffffffU >> (8 * count))) != 0) return std::nullopt;
    for (std::size_t i = 0; i < count; ++i) {
      octets.push_back(static_cast<std::uint8_t>(group >> (16 - 8 * i)));
    }
  }
  return octets;
}

}  // namespace keyferry
