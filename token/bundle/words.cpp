#include "token/bundle/words.h"

namespace keyferry::bundle {

std::string plain_words(std::string_view words) {
  std::string plain;
  for (const char c : words) {
    const bool blank = c == ' ' || c == '\t' || c == '\n';
    if (blank && (plain.empty() || plain.back() == ' ')) continue;
    plain += blank ? ' ' : c;
  }
  if (!plain.empty() && plain.back() == ' ') plain.pop_back();
  return plain;
}

}  // namespace keyferry::bundle
