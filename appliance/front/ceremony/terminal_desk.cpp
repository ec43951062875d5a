#include "appliance/front/ceremony/terminal_desk.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "appliance/front/ceremony/answers.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::ceremony {
namespace {

std::string shown(const Person& person) {
  return fmt::format("{} ({})", person.id, person.role);
}

}  // namespace

TerminalDesk::TerminalDesk() {
  const char* no_color = std::getenv("NO_COLOR");
  terminal_ = isatty(STDERR_FILENO) == 1;
  colours_ = terminal_ && (no_color == nullptr || *no_color == '\0');
}

void TerminalDesk::heading(const std::string& text) {
  fmt::print(stderr, "\n{}{}{}\n", colours_ ? "\x1b[1m" : "", text, colours_ ? "\x1b[0m" : "");
}

void TerminalDesk::line(const std::string& text) {
  fmt::print(stderr, "{}\n", text);
}

void TerminalDesk::clear() {
  // ECMA-48 ED 2, then xterm's ED 3 (scroll-back), then CUP.
  if (terminal_) fmt::print(stderr, "\x1b[2J\x1b[3J\x1b[H");
}

std::string TerminalDesk::ask(const std::string& question) {
  fmt::print(stderr, "{} ", question);
  std::fflush(stderr);
  std::string line;
  for (;;) {
    char c = 0;
    const ssize_t got = read(STDIN_FILENO, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      throw Error{Code::Usage, "the input ended where somebody was asked",
                  "go on with: keyferry-appliance ceremony resume"};
    }
    if (c == '\n') break;
    if (line.size() <= kMaxValueChars) line += c;  // one more than may be: refused by who asked
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

bool TerminalDesk::yes_or_no(const std::string& question) {
  for (;;) {
    const std::string said = ask(question + " (yes or no)");
    if (said == "yes") return true;
    if (said == "no") return false;
    line("  type yes or no");
  }
}

std::string TerminalDesk::name_of(const Person& person) {
  for (;;) {
    std::string said = ask(fmt::format("name of {}:", shown(person)));
    const auto why = refuse_name(said);
    if (!why) return said;
    line("  " + *why);
  }
}

std::string TerminalDesk::initials_of(const Person& person) {
  for (;;) {
    std::string said = ask(fmt::format("initials of {}:", shown(person)));
    const auto why = refuse_initials(said);
    if (!why) return said;
    line("  " + *why);
  }
}

std::string TerminalDesk::answer(const Step&, const Field& field) {
  for (;;) {
    std::string said = ask(field.label + ":");
    const auto why = refuse_value(field, said);
    if (!why) return said;
    line("  " + *why);
  }
}

bool TerminalDesk::confirms(const Step&, const Person& person) {
  return yes_or_no(fmt::format("{}: is it so?", shown(person)));
}

std::string TerminalDesk::initials_under(const Step&, const Person& person, const std::string& expected) {
  for (;;) {
    std::string said = ask(fmt::format("initials of {}:", shown(person)));
    if (said == expected) return said;
    line("  these are not the initials that were given at the beginning");
  }
}

bool TerminalDesk::went_well(const Step& step) {
  return yes_or_no(fmt::format("did the command end well on the {}?", step.at));
}

Choice TerminalDesk::choose(const Step&, const std::string& what) {
  line("this went otherwise: " + what);
  for (;;) {
    const std::string said = ask("repeat, exception (goes on; two people initial it), or stop?");
    if (said == "repeat") return Choice::Repeat;
    if (said == "exception") return Choice::Exception;
    if (said == "stop") return Choice::Stop;
    line("  type repeat, exception or stop");
  }
}

std::string TerminalDesk::reason(const Step&) {
  for (;;) {
    std::string said = ask("what happened, and why it goes on:");
    if (!said.empty() && said.size() <= kMaxNameChars * 2 && printable(said) == said) return said;
    line("  1 to 200 printable ASCII characters, no backslash");
  }
}

const Person& TerminalDesk::pick(const Step&,
                                 const std::string& role,
                                 const std::vector<const Person*>& candidates) {
  if (candidates.size() == 1) return *candidates.front();
  std::string names;
  for (const Person* one : candidates) names += (names.empty() ? "" : ", ") + one->id;
  for (;;) {
    const std::string said = ask(fmt::format("which {} initials the exception ({})?", role, names));
    const auto found = std::ranges::find(candidates, said, [](const Person* one) { return one->id; });
    if (found != candidates.end()) return **found;
    line("  type one of: " + names);
  }
}

std::optional<SigningKey> TerminalDesk::signing_key(const Person& person) {
  std::string said = ask(fmt::format("{}: key file or PKCS#11 URI (empty: signs later):", shown(person)));
  if (said.empty()) return std::nullopt;
  return SigningKey{std::move(said), std::nullopt};
}

}  // namespace keyferry::ceremony
