#include "wrap/base/words.h"

#include "wrap/base/error.h"

namespace keyferry {
namespace {

constexpr std::string_view kConsonants = "bdfghjklmnprstvz";
constexpr std::string_view kVowels = "aiou";
constexpr std::size_t kWordLetters = 5;

}  // namespace

std::string to_words(ByteView octets) {
  if (octets.size() % 2 != 0) throw Error{Code::InvalidArgument, "words stand for 16 bits each"};
  std::string words;
  for (std::size_t i = 0; i < octets.size(); i += 2) {
    const std::uint16_t bits = read_u16be(octets.subspan(i));
    if (i != 0) words.push_back('-');
    words.push_back(kConsonants[bits >> 12 & 15]);
    words.push_back(kVowels[bits >> 10 & 3]);
    words.push_back(kConsonants[bits >> 6 & 15]);
    words.push_back(kVowels[bits >> 4 & 3]);
    words.push_back(kConsonants[bits & 15]);
  }
  return words;
}

std::string key_words(ByteView digest) {
  if (digest.size() < 16) throw Error{Code::InvalidArgument, "key words need 128 bits"};
  return to_words(digest.first(16));
}

std::optional<Bytes> from_words(std::string_view words) {
  Bytes octets;
  unsigned bits = 0;
  std::size_t letters = 0;
  for (char c : words) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '-' || c == ' ' || c == '.') {
      if (letters != 0) return std::nullopt;
      continue;
    }
    const bool vowel = letters % 2 == 1;
    const std::size_t value = (vowel ? kVowels : kConsonants).find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << (vowel ? 2 : 4) | static_cast<unsigned>(value);
    if (++letters == kWordLetters) {
      append_u16be(octets, static_cast<std::uint16_t>(bits));
      letters = 0;
      bits = 0;
    }
  }
  if (letters != 0) return std::nullopt;
  return octets;
}

}  // namespace keyferry
