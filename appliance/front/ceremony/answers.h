// Answers for a run that nobody attends (demo, tests): a TOML file that fits its script exactly (../CEREMONY.md).
#pragma once

#include <map>

#include "appliance/front/ceremony/desk.h"

namespace keyferry::ceremony {

inline constexpr std::size_t kMaxAnswersBytes = 256 * 1024;

class AnswersDesk final : public Desk {
 public:
  /// Error{Usage} for an answer that is missing, one that nothing asks for, or one that the field's pattern refuses.
  /// `script` must outlive the desk.
  AnswersDesk(const Script& script, ByteView octets, const std::string& origin);

  [[nodiscard]] bool attended() const override { return false; }

  void heading(const std::string& text) override;
  void line(const std::string& text) override;

  void clear() override {}

  std::string name_of(const Person& person) override { return people_.at(person.id).name; }

  std::string initials_of(const Person& person) override { return people_.at(person.id).initials; }

  std::string answer(const Step& step, const Field& field) override;
  bool confirms(const Step& step, const Person& person) override;

  std::string initials_under(const Step&, const Person& person, const std::string&) override {
    return people_.at(person.id).initials;
  }

  bool went_well(const Step&) override { return false; }

  Choice choose(const Step& step, const std::string& what) override;
  std::string reason(const Step& step) override;
  const Person& pick(const Step& step, const std::string& role, const std::vector<const Person*>& candidates) override;
  [[nodiscard]] Additions additions(const Step& step) override;
  std::optional<SigningKey> signing_key(const Person& person) override;

 private:
  struct Answered {
    std::string name, initials;
  };

  std::map<std::string, Answered> people_;
  std::map<std::string, std::string> fields_;
  std::map<std::string, bool> confirms_;
  std::map<std::string, Additions> commands_;
  std::map<std::string, std::string> exceptions_;
  std::map<std::string, SigningKey> keys_;
};

/// Nothing when 1 to 4 of A-Z, else why not.
[[nodiscard]] std::optional<std::string> refuse_initials(std::string_view text);

/// Nothing when 1 to kMaxNameChars printable ASCII characters, else why not.
[[nodiscard]] std::optional<std::string> refuse_name(std::string_view text);

}  // namespace keyferry::ceremony
