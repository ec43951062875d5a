// Takes a ceremony through its script, step by step, from wherever its journal ends. Every act is in the journal before
// the next begins; cut off anywhere, run() goes on at the right place.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "appliance/front/ceremony/desk.h"
#include "appliance/front/ceremony/progress.h"
#include "wrap/base/random.h"

namespace keyferry::ceremony {

/// What log and signatures say of a ceremony that was carried out.
struct Facts {
  std::string title;
  std::string environment;
  Digest script, transcript, html, journal_head;
  std::uint32_t steps = 0;
  std::uint32_t exceptions = 0;
  UtcMillis ended;
};

struct CheckpointNow {
  std::string note;   // signed note; empty: there is no appliance yet
  std::string words;  // 16 words
};

/// The appliance beside the ceremony: its newest checkpoint, its log, its officers' signatures.
class Recorder {
 public:
  virtual ~Recorder() = default;

  [[nodiscard]] virtual CheckpointNow checkpoint() = 0;
  /// Makes the ceremony a leaf of the log, once however often it is asked; what it did, in words.
  [[nodiscard]] virtual std::string log(const Facts& facts) = 0;
  /// Signs for `person`, keeps the statement; the key's id in hex.
  [[nodiscard]] virtual std::string sign(const Person& person, const SigningKey& key, const Facts& facts) = 0;

 protected:
  Recorder() = default;
  Recorder(const Recorder&) = default;
  Recorder(Recorder&&) = default;
  Recorder& operator=(const Recorder&) = default;
  Recorder& operator=(Recorder&&) = default;
};

/// What a new ceremony's first entry says.
struct Opening {
  std::string environment;
  std::filesystem::path home;
  std::optional<Digest> rehearsed;  // SHA-256 of the rehearsal's record
};

/// Files of a ceremony, all in its folder.
struct CeremonyFiles {
  std::filesystem::path folder;

  [[nodiscard]] std::filesystem::path script() const { return folder / "script.toml"; }

  [[nodiscard]] std::filesystem::path journal() const { return folder / "journal.jsonl"; }

  [[nodiscard]] std::filesystem::path names() const { return folder / "names.json"; }

  [[nodiscard]] std::filesystem::path transcript() const { return folder / "transcript.txt"; }

  [[nodiscard]] std::filesystem::path html() const { return folder / "transcript.html"; }

  [[nodiscard]] std::filesystem::path statement(const std::string& person) const {
    return folder / ("signed-by-" + person + ".kf");
  }
};

enum class End { Finished, Stopped };

class Engine {
 public:
  Engine(const Script& script, CeremonyFiles files, Journal& journal, Desk& desk, Recorder& recorder, RandomSource& random)
      : script_{script}, files_{std::move(files)}, journal_{journal}, desk_{desk}, recorder_{recorder}, random_{random} {}

  /// Writes the first entry; the journal must be empty.
  void open(const Opening& opening);

  /// Error of a command's surroundings or of the input: the same run() goes on later.
  [[nodiscard]] End run();

 private:
  [[nodiscard]] Progress now() const;
  void call_the_roll();
  [[nodiscard]] End run_step(std::size_t index);
  void show_step(std::size_t index);
  /// Nothing when it went well, else what went otherwise.
  [[nodiscard]] std::optional<std::string> act(const Step& step, bool interrupted, std::string& how);
  [[nodiscard]] std::optional<std::string> confirm(const Step& step);
  [[nodiscard]] std::optional<std::string> command(const Step& step);
  [[nodiscard]] std::optional<std::string> command_elsewhere(const Step& step);
  [[nodiscard]] bool found_done(const Step& step);
  /// As a person would type it, in records: {name.PERSON} stays.
  [[nodiscard]] std::vector<std::string> expanded(const Step& step, const Values& values) const;
  /// With the names in.
  [[nodiscard]] Values values_with_names() const;
  void except(const Step& step, const std::string& what);
  [[nodiscard]] Json initials_of(const Step& step, const std::vector<std::string>& people);
  void close();
  void gather_signatures();
  /// The key's id; nothing: the person signs later, or on paper.
  [[nodiscard]] std::optional<std::string> sign(const Person& person, const Facts& facts);

  const Script& script_;
  CeremonyFiles files_;
  Journal& journal_;
  Desk& desk_;
  Recorder& recorder_;
  RandomSource& random_;
};

/// Of a ceremony that was transcribed. Error{Internal} otherwise.
[[nodiscard]] Facts facts_of(const Script& script, const Progress& progress);

}  // namespace keyferry::ceremony
