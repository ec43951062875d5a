// An auditor's words, on both sides of a challenge.
#pragma once

#include <string>
#include <string_view>

namespace keyferry::bundle {

/// The event of the leaf (NoteLeaf) whose subject they are.
inline constexpr std::string_view kChallengeEvent = "audit.challenge";

/// As they are kept and compared: blanks at the ends and doubled ones do not count.
[[nodiscard]] std::string plain_words(std::string_view words);

}  // namespace keyferry::bundle
