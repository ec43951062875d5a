// The transcript of a ceremony, as text and as one HTML page that needs nothing else. Both follow from script and
// journal alone, up to its closing: the same octets each time.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/front/ceremony/progress.h"

namespace keyferry::ceremony {

struct CeremonyFiles;

/// Names to put in a copy: one for each person of the script, empty where it was erased. None: numbers and roles alone.
using Names = std::vector<std::string>;

/// "REHEARSAL", "DEVELOPMENT", or nothing in production: what every page says.
[[nodiscard]] std::string banner(const std::string& environment);

[[nodiscard]] std::string transcript_text(const Script& script, const Progress& progress, const Names& names);
[[nodiscard]] std::string transcript_html(const Script& script, const Progress& progress, const Names& names);

struct Rendered {
  Digest text, html;
};

/// Both files, durably; their SHA-256.
Rendered write_transcript(const Script& script, const Progress& progress, const CeremonyFiles& files);

/// 16 words for a digest that people read to each other.
[[nodiscard]] std::string transcript_words(const Digest& digest);

}  // namespace keyferry::ceremony
