// `ceremony ...`: guided ceremonies (CEREMONY.md). Each has a folder of its own in HOME-ceremony/, beside the home:
// script.toml, journal.jsonl, names.json, transcript.txt and .html, signed-by-PERSON.kf, rehearsal.record.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "appliance/front/context.h"

namespace keyferry::appliance {

struct CeremonyOptions {
  std::filesystem::path script;                    // or the plan of an initialization
  std::optional<std::filesystem::path> answers;    // nobody attends
  std::optional<std::filesystem::path> rehearsal;  // folder of a throw-away appliance
  std::optional<std::filesystem::path> rehearsed;  // record of the rehearsal
  std::optional<std::string> ceremony;             // name of its folder; default: the unfinished, or the newest one
  std::string person;                              // sign
  std::optional<std::filesystem::path> to;         // print: a file
  bool html = false;
  bool with_names = false;
  bool anew = false;  // although one of this script was not finished
};

/// What every command of this file works with. `common.home` is the rehearsal's own in a rehearsal.
struct CeremonyDesk {
  const CommonOptions& common;
  const CeremonyOptions& options;
  const Clock& clock;
  RandomSource& random;
  Output& out;
};

/// Exit status of each: 0 finished, 1 stopped or the answer is no.
int ceremony_init(const CeremonyDesk& with);  ///< the script of initialization.h
int ceremony_run(const CeremonyDesk& with);
int ceremony_resume(const CeremonyDesk& with);
int ceremony_status(const CeremonyDesk& with);
int ceremony_show(const CeremonyDesk& with);
int ceremony_sign(const CeremonyDesk& with);
int ceremony_verify(const CeremonyDesk& with);  ///< options.script: the transcript
int ceremony_print(const CeremonyDesk& with);

/// Where the ceremonies of a home are.
[[nodiscard]] std::filesystem::path ceremonies_folder(const std::filesystem::path& home);

}  // namespace keyferry::appliance
