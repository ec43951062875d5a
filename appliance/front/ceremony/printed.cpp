#include "appliance/front/ceremony/printed.h"

#include <fmt/format.h>

#include "appliance/front/ceremony/pages.h"

namespace keyferry::ceremony {
namespace {

constexpr std::size_t kWidth = 92;

std::string_view instruction(Kind kind) {
  switch (kind) {
    case Kind::Say:
      return "read aloud";
    case Kind::Ask:
      return "write down, and type";
    case Kind::Confirm:
      return "each looks, and says whether it is so";
    case Kind::Command:
      return "the command runs; read back what it says";
    case Kind::Custodian:
      return "one person at the screen, the others look away; nothing of it is recorded";
    case Kind::Sign:
      return "compare the transcript's words, then sign";
  }
  return "";
}

std::string who(const Script& script, const Step& step) {
  std::string text;
  for (const std::string& id : step.who) text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", id, script.person(id)->role);
  return text;
}

/// A command's parts as lines of "what: command".
std::vector<std::pair<std::string, std::string>> commands(const Step& step) {
  std::vector<std::pair<std::string, std::string>> lines;
  if (!step.runs()) return lines;
  lines.emplace_back(step.at.empty() ? "command" : "command on the " + step.at, command_line(step.argv));
  if (!step.real.empty()) lines.emplace_back("outside a rehearsal also", command_line(step.real));
  if (!step.rehearsal.empty()) lines.emplace_back("in a rehearsal also", command_line(step.rehearsal));
  if (!step.check.empty()) lines.emplace_back("after an interruption first", command_line(step.check));
  if (step.expect != 0) lines.emplace_back("it ends with status", std::to_string(step.expect));
  for (const Capture& capture : step.capture) lines.emplace_back("noted from its result", fmt::format("{{{}}} = {}", capture.name, capture.json));
  return lines;
}

void add(Block& block, std::string_view text, std::size_t indent) {
  for (std::string& line : wrapped(text, kWidth - indent, indent)) block.push_back(std::move(line));
}

Block step_block(const Script& script, std::size_t index) {
  const Step& step = script.steps[index];
  Block block{fmt::format("STEP {} of {}: {}", index + 1, script.steps.size(), step.title),
              fmt::format("  {}", instruction(step.kind))};
  add(block, "who: " + who(script, step), 2);
  if (!step.text.empty()) add(block, step.text, 4);
  if (step.kind == Kind::Ask) {
    add(block, fmt::format("{}: ______________________________", script.field(step.field)->label), 4);
  }
  for (const auto& [what, line] : commands(step)) add(block, what + ": " + line, 4);
  block.push_back("");
  for (const std::string& id : step.who) block.push_back(fmt::format("    [      ] initials of {:<20} time ____ : ____", id));
  return block;
}

}  // namespace

std::string printed_text(const Script& script) {
  Block cover{"SCRIPT OF A CEREMONY", std::string(kWidth, '=')};
  add(cover, script.title, 0);
  cover.insert(cover.end(), {"", "script       " + script.id,
                             "environment  " + (script.environment.empty() ? "the appliance's" : script.environment),
                             "SHA-256      " + script.digest.hex(), "", "date ______________   begun ____ : ____   ended ____ : ____"});
  Block people{"PEOPLE"};
  for (const Person& person : script.people) {
    people.push_back(fmt::format("  {:>2}  {:<16} {:<11} name ____________________  initials [      ]", person.number, person.id, person.role));
  }
  people.push_back(fmt::format("  an exception needs the initials of: {}, {}", script.exception_roles[0], script.exception_roles[1]));
  std::vector<Block> blocks{std::move(cover), std::move(people)};
  for (std::size_t i = 0; i < script.steps.size(); ++i) blocks.push_back(step_block(script, i));
  blocks.push_back({"EXCEPTIONS (step, what, why it went on, two initials)", "  ______________________________________________________  [      ] [      ]", "",
                    "  ______________________________________________________  [      ] [      ]"});
  return pages("SCRIPT " + script.id + "  |  " + script.digest.hex().substr(0, 16), blocks);
}

std::string printed_html(const Script& script) {
  std::string body = fmt::format("<h1>{}</h1>\n<dl><dt>Script</dt><dd>{}</dd><dt>Environment</dt><dd>{}</dd><dt>SHA-256</dt><dd>{}</dd></dl>\n",
                                 escaped(script.title), escaped(script.id),
                                 escaped(script.environment.empty() ? "the appliance's" : script.environment), script.digest.hex());
  body += "<h2>People</h2>\n<table class=\"list\"><tr><th>No.</th><th>Person</th><th>Role</th><th>Name</th><th>Initials</th></tr>\n";
  for (const Person& person : script.people) {
    body += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td></td><td></td></tr>\n", person.number, escaped(person.id), escaped(person.role));
  }
  body += fmt::format("</table>\n<p class=\"meta\">An exception needs the initials of: {}, {}.</p>\n<h2>Steps</h2>\n",
                      escaped(script.exception_roles[0]), escaped(script.exception_roles[1]));
  for (std::size_t i = 0; i < script.steps.size(); ++i) {
    const Step& step = script.steps[i];
    body += fmt::format("<section class=\"step\"><h3>{}. {}</h3><p class=\"meta\">{} &middot; {}</p>\n", i + 1, escaped(step.title),
                        escaped(instruction(step.kind)), escaped(who(script, step)));
    if (!step.text.empty()) body += fmt::format("<div class=\"text\">{}</div>\n", escaped(step.text));
    if (step.kind == Kind::Ask) {
      body += fmt::format("<p>{}:</p><table class=\"boxes\"><tr><td style=\"width:30rem\"></td></tr></table>\n", escaped(script.field(step.field)->label));
    }
    for (const auto& [what, line] : commands(step)) body += fmt::format("<p class=\"meta\">{}</p><pre>{}</pre>\n", escaped(what), escaped(line));
    body += "<table class=\"boxes\"><tr>";
    for (const std::string& id : step.who) body += fmt::format("<td>{}</td>", escaped(id));
    body += "<td>time</td></tr></table></section>\n";
  }
  body += "<h2>Exceptions</h2>\n<table class=\"list\"><tr><th>Step</th><th>What, and why it went on</th><th>Initials</th><th>Initials</th></tr>";
  for (int row = 0; row < 4; ++row) body += "<tr><td>&nbsp;<br>&nbsp;</td><td></td><td></td><td></td></tr>";
  body += "</table>\n";
  return html_page(script.title, fmt::format("Script {} {}", script.id, script.digest.hex().substr(0, 16)), "", body);
}

}  // namespace keyferry::ceremony
