// What the reason codes of receipts mean, in plain words for the person who has the device in the
// hand. Both sides of the gap print them: on labels, in lists, in histories.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace keyferry::token {

struct ReasonWords {
  std::string_view reason;  // `a-z-`
  std::string_view words;   // one sentence
};

/// All that this version knows, by reason.
[[nodiscard]] std::span<const ReasonWords> reason_table();

/// The sentence; for a reason that this version does not know one that says so.
[[nodiscard]] std::string reason_words(std::string_view reason);

}  // namespace keyferry::token
