// Where a ceremony stands: its journal folded into one value. A journal that this script cannot have made is refused.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/front/ceremony/journal.h"
#include "appliance/front/ceremony/script.h"

namespace keyferry::ceremony {

/// Somebody's initials under a step, an exception.
struct Initialled {
  std::string person;
  std::string initials;
};

struct Present {
  std::string person;
  std::string initials;
  Digest name_hash;  // SHA-256(salt, name); both stand in names.json, which may be erased
};

/// A command that was given in this step, or its `check`.
struct Ran {
  UtcMillis time;
  std::string command;  // as a person would type it
  bool is_check = false;
  std::string at;       // other machine; empty: here
  int status = 0;
  bool recorded = true;  // false: a custodian's, nothing but its status is kept
  std::string output;
  std::string messages;
  std::string output_sha256;  // of everything it wrote to stdout; empty when not recorded
  bool cut = false;           // the output above was longer than what is kept
};

struct Deviation {
  UtcMillis time;
  std::string step;
  std::string what;    // what went otherwise
  std::string reason;  // in words of those present
  std::vector<Initialled> initials;
};

struct StepRecord {
  UtcMillis begun, ended;
  std::vector<Ran> runs;
  std::vector<std::string> refusals;  // confirmations that were refused, commands that failed
  std::string how;                    // "done", "found done", "exception"; empty: not ended
  std::vector<Initialled> initials;
  bool excepted = false;      // an exception was recorded, the initials under the step may be missing
  bool open_command = false;  // a command was about to be given, and nothing is known of it
};

struct SignedBy {
  UtcMillis time;
  std::string person;
  std::string key_id;
};

struct Progress {
  UtcMillis opened, closed;
  std::string environment;
  std::string home;
  std::optional<std::string> rehearsed_sha256;  // of the rehearsal's record
  std::vector<Present> people;
  Values values;                  // fields, captures, built-ins
  std::vector<StepRecord> steps;  // as the script's
  std::vector<Deviation> exceptions;
  bool is_closed = false;  // every step but the signing one has ended: the transcript is fixed
  std::string checkpoint_note, checkpoint_words;  // newest when it was closed; may be empty
  Digest closed_head;      // of the journal, after "closed"
  std::optional<Digest> transcript, html;
  bool logged = false;     // its leaf was reported, or there is no appliance to report it to
  std::string logged_how;  // "log" or why not
  std::vector<SignedBy> signatures;
  bool ended = false;  // everybody was asked to sign; who has not may sign later

  /// Index of the first step that has not ended; steps.size() when all have.
  [[nodiscard]] std::size_t next_step() const;
  [[nodiscard]] const Present* present(std::string_view person) const;
};

/// Error{Refused} naming the entry: another script's, events out of order, a person or step that the script has not.
[[nodiscard]] Progress fold(const Script& script, const std::vector<Entry>& entries, const std::string& origin);

}  // namespace keyferry::ceremony
