// People at a terminal. Questions and screens go to stderr, answers are read from stdin one octet at a time, so that
// what is typed ahead for a command is left for the command.
#pragma once

#include "appliance/front/ceremony/desk.h"

namespace keyferry::ceremony {

class TerminalDesk final : public Desk {
 public:
  TerminalDesk();

  [[nodiscard]] bool attended() const override { return true; }

  void heading(const std::string& text) override;
  void line(const std::string& text) override;
  void clear() override;
  std::string name_of(const Person& person) override;
  std::string initials_of(const Person& person) override;
  std::string answer(const Step& step, const Field& field) override;
  bool confirms(const Step& step, const Person& person) override;
  std::string initials_under(const Step& step, const Person& person, const std::string& expected) override;
  bool went_well(const Step& step) override;
  Choice choose(const Step& step, const std::string& what) override;
  std::string reason(const Step& step) override;
  const Person& pick(const Step& step, const std::string& role, const std::vector<const Person*>& candidates) override;

  [[nodiscard]] Additions additions(const Step&) override { return {}; }

  std::optional<SigningKey> signing_key(const Person& person) override;

 private:
  /// A line without its end, at most kMaxValueChars; Error{Usage} when the input ends.
  std::string ask(const std::string& question);
  bool yes_or_no(const std::string& question);

  bool colours_;
  bool terminal_;
};

}  // namespace keyferry::ceremony
