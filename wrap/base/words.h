// Digests as words that can be read aloud across a room: proquints, five letters for 16 bits (consonant, vowel,
// consonant, vowel, consonant; D. S. Wilkerson, "A Proposal for Proquints", 2009). No word list has to be shipped.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "wrap/base/bytes.h"

namespace keyferry {

/// Words for an even number of octets, joined by '-'. 128 bits (8 words) for keys, 256 for plans and checkpoints.
[[nodiscard]] std::string to_words(ByteView octets);

/// The first 128 bits of `digest` as eight words: what people compare for keys.
[[nodiscard]] std::string key_words(ByteView digest);

/// Back to octets; accepts any case and '-', space or '.' between words. Nothing if a word is none.
[[nodiscard]] std::optional<Bytes> from_words(std::string_view words);

}  // namespace keyferry
