#include "appliance/front/ceremony/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::ceremony {
namespace {

class Folder {
 public:
  Folder(const Script& script, const std::string& origin) : script_{script}, origin_{origin} {
    state_.steps.resize(script.steps.size());
  }

  void take(const Entry& entry) {
    entry_ = &entry;
    ++number_;
    const auto* row = std::ranges::find(kEvents, entry.event, &EventRow::name);
    if (row == kEvents.end()) refuse("has an event that is unknown here");
    if ((number_ == 1) != (entry.event == "opened")) refuse("is no opening");
    const bool after_closing = row->phase == Phase::Closed;
    if (after_closing != state_.is_closed) refuse("stands in the wrong half of the ceremony");
    (this->*row->take)();
  }

  [[nodiscard]] Progress result() { return std::move(state_); }

 private:
  enum class Phase { Open, Closed };

  struct EventRow {
    std::string_view name;
    Phase phase;
    void (Folder::*take)();
  };

  static const std::array<EventRow, 14> kEvents;

  [[noreturn]] void refuse(std::string_view why) const {
    throw Error{Code::Refused, fmt::format("{}: entry {} ({}) {}", origin_, number_, printable(entry_->event), why),
                "this journal is not one of this script's"};
  }

  std::string text(const char* name) const {
    const Json& fields = entry_->fields;
    if (!fields.contains(name) || !fields[name].is_string()) refuse(fmt::format("has no \"{}\"", name));
    return fields[name].get<std::string>();
  }

  bool flag(const char* name) const {
    const Json& fields = entry_->fields;
    if (!fields.contains(name) || !fields[name].is_boolean()) refuse(fmt::format("has no \"{}\"", name));
    return fields[name].get<bool>();
  }

  Digest digest(const char* name) const {
    const auto digest = Digest::from_hex(text(name));
    if (!digest) refuse(fmt::format("has no digest \"{}\"", name));
    return *digest;
  }

  /// The step that the entry names must be the next one.
  StepRecord& step() {
    const std::size_t next = state_.next_step();
    if (next == script_.steps.size() || script_.steps[next].id != text("step")) refuse("is not about the next step");
    return state_.steps[next];
  }

  std::string person() const {
    std::string id = text("person");
    if (script_.person(id) == nullptr) refuse("names a person that the script has not");
    return id;
  }

  std::vector<Initialled> initials() const {
    const Json& fields = entry_->fields;
    if (!fields.contains("initials") || !fields["initials"].is_array()) refuse("has no initials");
    std::vector<Initialled> all;
    for (const Json& one : fields["initials"]) {
      const bool formed = one.is_object() && one.contains("person") && one["person"].is_string() &&
                          one.contains("initials") && one["initials"].is_string();
      if (!formed || script_.person(one["person"].get<std::string>()) == nullptr) refuse("has initials of nobody");
      all.push_back({one["person"].get<std::string>(), one["initials"].get<std::string>()});
    }
    return all;
  }

  void opened() {
    if (digest("script_sha256") != script_.digest) refuse("is about another script");
    state_.opened = entry_->time;
    state_.environment = text("environment");
    state_.home = text("home");
    if (entry_->fields.contains("rehearsed_sha256")) state_.rehearsed_sha256 = text("rehearsed_sha256");
    state_.values["environment"] = state_.environment;
    state_.values["home"] = state_.home;
    state_.values["folder"] = text("folder");
  }

  void arrived() {
    const std::string id = person();
    if (state_.present(id) != nullptr) refuse("names a person twice");
    state_.people.push_back({id, text("initials"), digest("name_hash")});
    state_.values[name_placeholder(id)] = "{" + name_placeholder(id) + "}";  // records show no name
  }

  void begun() {
    StepRecord& record = step();
    if (record.begun.value == 0) record.begun = entry_->time;
  }

  void answered() {
    static_cast<void>(step());
    state_.values[text("field")] = text("value");
  }

  void giving() { step().open_command = true; }

  void ran() {
    StepRecord& record = step();
    Ran run;
    run.time = entry_->time;
    run.command = text("command");
    run.is_check = flag("check");
    run.at = text("at");
    run.recorded = flag("recorded");
    const Json& fields = entry_->fields;
    if (!fields.contains("status") || !fields["status"].is_number_integer()) refuse("has no status");
    run.status = fields["status"].get<int>();
    if (run.recorded) {
      run.output = text("output");
      run.messages = text("messages");
      run.output_sha256 = text("output_sha256");
      run.cut = flag("cut");
    }
    if (fields.contains("captured")) {
      if (!fields["captured"].is_object()) refuse("captured nothing that is known");
      for (const auto& [name, value] : fields["captured"].items()) {
        if (!value.is_string()) refuse("captured nothing that is known");
        state_.values[name] = value.get<std::string>();
      }
    }
    record.open_command = false;
    record.runs.push_back(std::move(run));
  }

  void refused() { step().refusals.push_back(text("what")); }

  void excepted() {
    step().excepted = true;
    state_.exceptions.push_back({entry_->time, text("step"), text("what"), text("reason"), initials()});
  }

  void done() {
    StepRecord& record = step();
    record.initials = initials();
    record.how = text("how");
    record.ended = entry_->time;
  }

  void closed() {
    if (state_.next_step() + 1 != script_.steps.size()) refuse("comes before the last step");
    state_.is_closed = true;
    state_.closed = entry_->time;
    state_.checkpoint_note = text("checkpoint");
    state_.checkpoint_words = text("words");
    const auto head = Digest::from_hex(text("hash"));
    if (!head) refuse("has no hash");
    state_.closed_head = *head;
  }

  void transcribed() {
    state_.transcript = digest("transcript_sha256");
    state_.html = digest("html_sha256");
  }

  void logged() {
    state_.logged = true;
    state_.logged_how = text("how");
  }

  void signed_by() { state_.signatures.push_back({entry_->time, person(), text("key_id")}); }

  void ended() { state_.ended = true; }

  const Script& script_;
  const std::string& origin_;
  const Entry* entry_ = nullptr;
  std::size_t number_ = 0;
  Progress state_;
};

constexpr std::array<Folder::EventRow, 14> Folder::kEvents{{
    {"opened", Phase::Open, &Folder::opened},
    {"arrived", Phase::Open, &Folder::arrived},
    {"begun", Phase::Open, &Folder::begun},
    {"answered", Phase::Open, &Folder::answered},
    {"giving", Phase::Open, &Folder::giving},
    {"ran", Phase::Open, &Folder::ran},
    {"refused", Phase::Open, &Folder::refused},
    {"exception", Phase::Open, &Folder::excepted},
    {"done", Phase::Open, &Folder::done},
    {"closed", Phase::Open, &Folder::closed},
    {"transcribed", Phase::Closed, &Folder::transcribed},
    {"logged", Phase::Closed, &Folder::logged},
    {"signed", Phase::Closed, &Folder::signed_by},
    {"ended", Phase::Closed, &Folder::ended},
}};

}  // namespace

std::size_t Progress::next_step() const {
  const auto next = std::ranges::find_if(steps, [](const StepRecord& step) { return step.how.empty(); });
  return static_cast<std::size_t>(next - steps.begin());
}

const Present* Progress::present(std::string_view person) const {
  const auto found = std::ranges::find(people, person, &Present::person);
  return found == people.end() ? nullptr : &*found;
}

Progress fold(const Script& script, const std::vector<Entry>& entries, const std::string& origin) {
  Folder folder{script, origin};
  for (const Entry& entry : entries) folder.take(entry);
  return folder.result();
}

}  // namespace keyferry::ceremony
