// Who is asked and told in a ceremony: people at a terminal, or a file of answers in a run that nobody attends.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "appliance/front/ceremony/script.h"

namespace keyferry::ceremony {

/// What is done about a step that went otherwise.
enum class Choice { Repeat, Exception, Stop };

/// What a run that nobody attends adds to a command; development and rehearsal only.
struct Additions {
  std::vector<std::string> arguments;
  std::vector<std::pair<int, std::filesystem::path>> fd_files;  // descriptor in the child, consecutive from 3
};

struct SigningKey {
  std::string key;                                       // file or PKCS#11 URI
  std::optional<std::filesystem::path> passphrase_file;  // nothing: asked for
};

class Desk {
 public:
  virtual ~Desk() = default;

  /// False: no person is there, and commands of other machines are given here.
  [[nodiscard]] virtual bool attended() const = 0;

  virtual void heading(const std::string& text) = 0;
  virtual void line(const std::string& text) = 0;
  /// The screen and what can be scrolled back to are emptied.
  virtual void clear() = 0;

  virtual std::string name_of(const Person& person) = 0;
  virtual std::string initials_of(const Person& person) = 0;  ///< 1 to 4 of A-Z
  virtual std::string answer(const Step& step, const Field& field) = 0;
  virtual bool confirms(const Step& step, const Person& person) = 0;
  /// The person's initials under a step, as typed.
  virtual std::string initials_under(const Step& step, const Person& person, const std::string& expected) = 0;
  /// Whether the command of another machine went well there.
  virtual bool went_well(const Step& step) = 0;

  virtual Choice choose(const Step& step, const std::string& what) = 0;
  virtual std::string reason(const Step& step) = 0;
  /// One of `candidates` (at least one).
  virtual const Person& pick(const Step& step, const std::string& role, const std::vector<const Person*>& candidates) = 0;

  [[nodiscard]] virtual Additions additions(const Step& step) = 0;
  /// Nothing: signs later, or on paper.
  virtual std::optional<SigningKey> signing_key(const Person& person) = 0;

 protected:
  Desk() = default;
  Desk(const Desk&) = default;
  Desk(Desk&&) = default;
  Desk& operator=(const Desk&) = default;
  Desk& operator=(Desk&&) = default;
};

}  // namespace keyferry::ceremony
