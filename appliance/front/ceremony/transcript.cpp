#include "appliance/front/ceremony/transcript.h"

#include <fmt/format.h>

#include "appliance/front/ceremony/engine.h"
#include "appliance/front/ceremony/pages.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/label/qr.h"

namespace keyferry::ceremony {
namespace {

constexpr std::size_t kWidth = 92;

std::string initials_text(const std::vector<Initialled>& initials) {
  std::string text;
  for (const Initialled& one : initials) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", one.person, one.initials);
  return text;
}

std::string named(const Names& names, std::size_t index) {
  if (names.empty()) return "";
  return names[index].empty() ? "  name erased" : "  " + names[index];
}

/// The answer or the captured values of a step, as they stand in later steps.
std::vector<std::pair<std::string, std::string>> values_of(const Script& script, const Step& step, const Progress& progress) {
  std::vector<std::pair<std::string, std::string>> found;
  const auto add = [&](const std::string& label, const std::string& name) {
    const auto value = progress.values.find(name);
    if (value != progress.values.end()) found.emplace_back(label, value->second);
  };
  if (step.kind == Kind::Ask) add(script.field(step.field)->label, step.field);
  for (const Capture& capture : step.capture) add(capture.name, capture.name);
  return found;
}

void add_wrapped(Block& block, std::string_view text, std::size_t indent) {
  for (std::string& line : wrapped(text, kWidth - indent, indent)) block.push_back(std::move(line));
}

Block cover(const Script& script, const Progress& progress) {
  const std::string mark = banner(progress.environment);
  Block block{"TRANSCRIPT OF A CEREMONY", std::string(kWidth, '=')};
  add_wrapped(block, script.title, 0);
  if (!mark.empty()) block.push_back(mark + ": nothing made here is for production");
  block.insert(block.end(), {"", "script       " + script.id, "environment  " + progress.environment,
                             "begun        " + to_rfc3339(progress.opened), "closed       " + to_rfc3339(progress.closed),
                             fmt::format("steps        {}", script.steps.size()),
                             fmt::format("exceptions   {}", progress.exceptions.size()),
                             "script SHA-256   " + script.digest.hex(),
                             "journal SHA-256  " + progress.closed_head.hex(),
                             "rehearsal        " + progress.rehearsed_sha256.value_or("none was named")});
  return block;
}

Block exceptions(const Progress& progress) {
  Block block{"EXCEPTIONS"};
  if (progress.exceptions.empty()) block.push_back("  none");
  for (const Deviation& one : progress.exceptions) {
    block.push_back(fmt::format("  {}  step {}", to_rfc3339(one.time), one.step));
    add_wrapped(block, "what: " + one.what, 4);
    add_wrapped(block, "why it went on: " + one.reason, 4);
    block.push_back("    initials: " + initials_text(one.initials));
  }
  return block;
}

Block people(const Script& script, const Progress& progress, const Names& names) {
  Block block{"PEOPLE"};
  for (const Person& person : script.people) {
    const Present* present = progress.present(person.id);
    if (present == nullptr) continue;
    block.push_back(fmt::format("  {:>2}  {:<16} {:<11} initials {:<4}{}", person.number, person.id, person.role,
                                present->initials, named(names, person.number - 1)));
    block.push_back("      name hash " + present->name_hash.hex());
  }
  return block;
}

Block checkpoint(const Progress& progress) {
  Block block{"CHECKPOINT OF THE LOG, FOR EVERYONE'S PAPER"};
  if (progress.checkpoint_note.empty()) {
    block.push_back("  there was no appliance yet");
    return block;
  }
  add_wrapped(block, progress.checkpoint_words, 2);
  block.push_back("");
  add_wrapped(block, progress.checkpoint_note, 2);
  for (std::string& line : label::qr_lines(progress.checkpoint_note)) block.push_back(std::move(line));
  return block;
}

void add_run(Block& block, const Ran& run) {
  const std::string where = run.at.empty() ? "" : " (on the " + run.at + ")";
  add_wrapped(block, fmt::format("{}{} {}", run.is_check ? "check" : "command", where, run.command), 4);
  block.push_back(fmt::format("    {}  status {}", to_rfc3339(run.time), run.status));
  if (!run.recorded) {
    block.push_back(run.at.empty() ? "    its output is not recorded" : "    as a person said");
    return;
  }
  block.push_back("    output SHA-256 " + run.output_sha256);
  for (const auto& [sign, text] : {std::pair{"| ", &run.output}, std::pair{": ", &run.messages}}) {
    if (text->empty()) continue;
    for (const std::string& line : wrapped(*text, kWidth - 6, 0)) block.push_back(std::string{"    "} + sign + line);
  }
  if (run.cut) block.push_back("    (the rest is not kept)");
}

Block step_block(const Script& script, const Progress& progress, std::size_t index) {
  const Step& step = script.steps[index];
  const StepRecord& record = progress.steps[index];
  Block block{fmt::format("STEP {} of {}: {}", index + 1, script.steps.size(), expand(step.title, progress.values)),
              fmt::format("  {} {}  begun {}  ended {}  {}", kind_name(step.kind), step.id, to_rfc3339(record.begun),
                          to_rfc3339(record.ended), record.how)};
  if (!step.text.empty()) add_wrapped(block, expand(step.text, progress.values), 4);
  for (const auto& [label, value] : values_of(script, step, progress)) add_wrapped(block, label + " = " + value, 4);
  for (const Ran& run : record.runs) add_run(block, run);
  for (const std::string& what : record.refusals) add_wrapped(block, "went otherwise: " + what, 4);
  block.push_back("  initials: " + initials_text(record.initials));
  return block;
}

// --- HTML ---------------------------------------------------------------------------------------------------------------

std::string row(std::string_view name, std::string_view value) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value));
}

std::string html_cover(const Script& script, const Progress& progress) {
  const std::string mark = banner(progress.environment);
  std::string out = fmt::format("<h1>{}</h1>\n", escaped(script.title));
  if (!mark.empty()) out += fmt::format("<p class=\"banner\"><strong>{}</strong>: nothing made here is for production.</p>\n", mark);
  out += "<dl>" + row("Script", script.id) + row("Environment", progress.environment) +
         row("Begun", to_rfc3339(progress.opened)) + row("Closed", to_rfc3339(progress.closed)) +
         row("Steps", std::to_string(script.steps.size())) + row("Exceptions", std::to_string(progress.exceptions.size())) +
         row("Script SHA-256", script.digest.hex()) + row("Journal SHA-256", progress.closed_head.hex()) +
         row("Rehearsal", progress.rehearsed_sha256.value_or("none was named")) + "</dl>\n";
  if (progress.exceptions.empty()) return out + "<div class=\"exceptions none\"><h2>Exceptions</h2><p>None.</p></div>\n";
  out += "<div class=\"exceptions\"><h2>Exceptions</h2>\n";
  for (const Deviation& one : progress.exceptions) {
    out += "<dl>" + row("Step", one.step) + row("Time", to_rfc3339(one.time)) + row("What", one.what) +
           row("Why it went on", one.reason) + row("Initials", initials_text(one.initials)) + "</dl>\n";
  }
  return out + "</div>\n";
}

std::string html_people(const Script& script, const Progress& progress, const Names& names) {
  std::string out = "<h2>People</h2>\n<table class=\"list\"><tr><th>No.</th><th>Person</th><th>Role</th><th>Initials</th>"
                    "<th>Name hash</th></tr>\n";
  for (const Person& person : script.people) {
    const Present* present = progress.present(person.id);
    if (present == nullptr) continue;
    out += fmt::format("<tr><td>{}</td><td>{}{}</td><td>{}</td><td>{}</td><td><code>{}</code></td></tr>\n", person.number,
                       escaped(person.id), escaped(named(names, person.number - 1)), escaped(person.role),
                       escaped(present->initials), present->name_hash.hex());
  }
  return out + "</table>\n";
}

std::string html_checkpoint(const Progress& progress) {
  if (progress.checkpoint_note.empty()) return "<h2>Checkpoint</h2><p>There was no appliance yet.</p>\n";
  return fmt::format("<h2>Checkpoint of the log, for everyone's paper</h2>\n<div class=\"qr\">{}<div><p><code>{}</code></p>"
                     "<pre>{}</pre></div></div>\n",
                     label::qr_svg(progress.checkpoint_note), escaped(progress.checkpoint_words), escaped(progress.checkpoint_note));
}

std::string html_run(const Ran& run) {
  std::string out = fmt::format("<p class=\"meta\">{}{} &middot; {} &middot; status {}</p><pre>{}</pre>\n",
                                run.is_check ? "check" : "command", run.at.empty() ? "" : " on the " + escaped(run.at),
                                to_rfc3339(run.time), run.status, escaped(run.command));
  if (!run.recorded) return out + (run.at.empty() ? "<p class=\"meta\">Its output is not recorded.</p>\n" : "<p class=\"meta\">As a person said.</p>\n");
  if (!run.output.empty()) out += fmt::format("<pre>{}</pre>\n", escaped(run.output));
  if (!run.messages.empty()) out += fmt::format("<p class=\"meta\">messages</p><pre>{}</pre>\n", escaped(run.messages));
  if (run.cut) out += "<p class=\"meta\">The rest is not kept.</p>\n";
  return out + fmt::format("<p class=\"meta\">output SHA-256 <code>{}</code></p>\n", run.output_sha256);
}

std::string html_step(const Script& script, const Progress& progress, std::size_t index) {
  constexpr std::size_t kShort = 2500;  // octets of a section that is kept on one page
  const Step& step = script.steps[index];
  const StepRecord& record = progress.steps[index];
  std::string body = fmt::format("<h3>{}. {}</h3><p class=\"meta\">{} &middot; {} &middot; begun {} &middot; ended {} &middot; {}</p>\n",
                                 index + 1, escaped(expand(step.title, progress.values)), kind_name(step.kind), escaped(step.id),
                                 to_rfc3339(record.begun), to_rfc3339(record.ended), record.how);
  if (!step.text.empty()) body += fmt::format("<div class=\"text\">{}</div>\n", escaped(expand(step.text, progress.values)));
  const auto values = values_of(script, step, progress);
  if (!values.empty()) {
    body += "<dl>";
    for (const auto& [label, value] : values) body += row(label, value);
    body += "</dl>\n";
  }
  for (const Ran& run : record.runs) body += html_run(run);
  for (const std::string& what : record.refusals) body += fmt::format("<p>Went otherwise: {}</p>\n", escaped(what));
  body += fmt::format("<p class=\"meta\">Initials: {}</p>\n", escaped(initials_text(record.initials)));
  return fmt::format("<section class=\"step{}{}\">{}</section>\n", body.size() > kShort ? " long" : "",
                     record.how == "exception" ? " exception" : "", body);
}

}  // namespace

std::string banner(const std::string& environment) {
  if (environment == "rehearsal") return "REHEARSAL";
  return environment == "development" ? "DEVELOPMENT" : "";
}

std::string transcript_text(const Script& script, const Progress& progress, const Names& names) {
  std::vector<Block> blocks{cover(script, progress), exceptions(progress), people(script, progress, names), checkpoint(progress)};
  for (std::size_t i = 0; i + 1 < script.steps.size(); ++i) {
    if (!progress.steps[i].how.empty()) blocks.push_back(step_block(script, progress, i));
  }
  std::string heading = banner(progress.environment);
  if (!heading.empty()) heading = "*** " + heading + " ***  |  ";
  heading += script.id + "  |  " + to_rfc3339(progress.opened);
  if (!names.empty()) heading += "  |  COPY WITH NAMES";
  return pages(heading, blocks);
}

std::string transcript_html(const Script& script, const Progress& progress, const Names& names) {
  std::string body = html_cover(script, progress) + html_people(script, progress, names) + html_checkpoint(progress) + "<h2>Steps</h2>\n";
  for (std::size_t i = 0; i + 1 < script.steps.size(); ++i) {
    if (!progress.steps[i].how.empty()) body += html_step(script, progress, i);
  }
  const std::string heading = fmt::format("Transcript: {}, {}{}", script.title, to_rfc3339(progress.opened),
                                          names.empty() ? "" : ", copy with names");
  return html_page(script.title + ": transcript", heading, banner(progress.environment), body);
}

Rendered write_transcript(const Script& script, const Progress& progress, const CeremonyFiles& files) {
  const std::string text = transcript_text(script, progress, {});
  const std::string html = transcript_html(script, progress, {});
  write_file_durably(files.transcript(), as_bytes(text), Overwrite::Replace);
  write_file_durably(files.html(), as_bytes(html), Overwrite::Replace);
  return Rendered{crypto::sha256(as_bytes(text)), crypto::sha256(as_bytes(html))};
}

std::string transcript_words(const Digest& digest) {
  return to_words(digest.bytes());
}

}  // namespace keyferry::ceremony
