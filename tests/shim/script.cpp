#include "tests/shim/script.h"

#include <fnmatch.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <vector>

namespace keyferry::shim {

namespace {

struct RvRow {
  std::string_view name;
  CK_RV rv;
};

#define KEYFERRY_RV(name) \
  RvRow {                 \
#name, name           \
  }
constexpr std::array kRvs{
    KEYFERRY_RV(CKR_HOST_MEMORY),
    KEYFERRY_RV(CKR_SLOT_ID_INVALID),
    KEYFERRY_RV(CKR_GENERAL_ERROR),
    KEYFERRY_RV(CKR_FUNCTION_FAILED),
    KEYFERRY_RV(CKR_ARGUMENTS_BAD),
    KEYFERRY_RV(CKR_ATTRIBUTE_SENSITIVE),
    KEYFERRY_RV(CKR_ATTRIBUTE_TYPE_INVALID),
    KEYFERRY_RV(CKR_DATA_INVALID),
    KEYFERRY_RV(CKR_DEVICE_ERROR),
    KEYFERRY_RV(CKR_DEVICE_MEMORY),
    KEYFERRY_RV(CKR_DEVICE_REMOVED),
    KEYFERRY_RV(CKR_FUNCTION_CANCELED),
    KEYFERRY_RV(CKR_FUNCTION_NOT_SUPPORTED),
    KEYFERRY_RV(CKR_KEY_HANDLE_INVALID),
    KEYFERRY_RV(CKR_KEY_FUNCTION_NOT_PERMITTED),
    KEYFERRY_RV(CKR_KEY_NOT_WRAPPABLE),
    KEYFERRY_RV(CKR_KEY_UNEXTRACTABLE),
    KEYFERRY_RV(CKR_MECHANISM_INVALID),
    KEYFERRY_RV(CKR_MECHANISM_PARAM_INVALID),
    KEYFERRY_RV(CKR_OBJECT_HANDLE_INVALID),
    KEYFERRY_RV(CKR_OPERATION_ACTIVE),
    KEYFERRY_RV(CKR_OPERATION_NOT_INITIALIZED),
    KEYFERRY_RV(CKR_PIN_INCORRECT),
    KEYFERRY_RV(CKR_PIN_EXPIRED),
    KEYFERRY_RV(CKR_PIN_LOCKED),
    KEYFERRY_RV(CKR_SESSION_CLOSED),
    KEYFERRY_RV(CKR_SESSION_COUNT),
    KEYFERRY_RV(CKR_SESSION_HANDLE_INVALID),
    KEYFERRY_RV(CKR_SESSION_READ_ONLY),
    KEYFERRY_RV(CKR_TEMPLATE_INCONSISTENT),
    KEYFERRY_RV(CKR_TOKEN_NOT_PRESENT),
    KEYFERRY_RV(CKR_TOKEN_NOT_RECOGNIZED),
    KEYFERRY_RV(CKR_TOKEN_WRITE_PROTECTED),
    KEYFERRY_RV(CKR_USER_NOT_LOGGED_IN),
    KEYFERRY_RV(CKR_WRAPPED_KEY_INVALID),
    KEYFERRY_RV(CKR_WRAPPING_KEY_HANDLE_INVALID),
    KEYFERRY_RV(CKR_UNWRAPPING_KEY_HANDLE_INVALID),
    KEYFERRY_RV(CKR_BUFFER_TOO_SMALL),
    KEYFERRY_RV(CKR_CRYPTOKI_NOT_INITIALIZED),
};
#undef KEYFERRY_RV

constexpr std::array<std::string_view, 5> kClassNames{
    "data", "certificate", "public", "private", "secret"};  // by CKO_ number

/// What a line is wrong about; caught in read_script.
struct Misread {
  std::string what;
};

unsigned long number(const std::string& text) {
  std::size_t used = 0;
  unsigned long value = 0;
  try {
    value = std::stoul(text, &used, 0);
  } catch (const std::logic_error&) {
    used = 0;
  }
  if (used == 0 || used != text.size()) throw Misread{"no number: " + text};
  return value;
}

CK_RV rv_of(const std::string& name) {
  const auto* const found = std::ranges::find(kRvs, name, &RvRow::name);
  return found == kRvs.end() ? number(name) : found->rv;
}

Fn function_of(const std::string& name) {
  const auto* const found = std::ranges::find(kFunctionNames, name);
  if (found == kFunctionNames.end()) throw Misread{"no function: " + name};
  return static_cast<Fn>(found - kFunctionNames.begin());
}

CK_OBJECT_CLASS class_of(const std::string& name) {
  const auto* const found = std::ranges::find(kClassNames, name);
  if (found == kClassNames.end()) throw Misread{"no class: " + name};
  return static_cast<CK_OBJECT_CLASS>(found - kClassNames.begin());
}

/// The command line of this process with blanks.
std::string own_command_line() {
  std::ifstream file{"/proc/self/cmdline", std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  std::ranges::replace(text, '\0', ' ');
  return text;
}

/// One word of a rule; false when the rule is for other processes.
bool read_word(Rule& rule, const std::string& word) {
  const std::size_t equals = word.find('=');
  const std::string key = word.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
  if (key == "class") {
    rule.where.object_class = class_of(value);
  } else if (key == "label") {
    rule.where.label = value;
  } else if (key == "mechanism") {
    rule.where.mechanism = number(value);
  } else if (key == "process") {
    return own_command_line().find(value) != std::string::npos;
  } else if (key == "name") {
    rule.name = value;
  } else if (key == "nth") {
    rule.nth = number(value);
  } else if (key == "rv") {
    rule.rv = rv_of(value);
  } else if (key == "once") {
    rule.once = value;
  } else if (key == "after") {
    rule.after = true;
  } else if (key == "repeat") {
    rule.repeat = true;
  } else if (key == "sticky") {
    rule.sticky = true;
  } else if (key == "close") {
    rule.close = true;
  } else if (key == "gone") {
    rule.gone = true;
  } else if (key == "logout") {
    rule.logout = true;
  } else if (key == "stuck") {
    rule.stuck = true;
  } else if (key == "kill") {
    rule.kill = true;
  } else {
    throw Misread{"unknown word: " + word};
  }
  return true;
}

void read_rule(Script& script, Rule::Kind kind, const std::vector<std::string>& words, int line) {
  if (words.size() < 2) throw Misread{"a function is missing"};
  if (kind == Rule::Kind::Arm && words[1].starts_with("file=")) {
    script.starts_armed = false;
    script.arm_file = words[1].substr(5);
    return;
  }
  Rule& rule = script.rules.emplace_back();
  rule.kind = kind;
  rule.name = "line-" + std::to_string(line);
  rule.function = function_of(words[1]);
  bool here = true;
  for (std::size_t i = 2; i < words.size(); ++i) here = read_word(rule, words[i]) && here;
  if (kind == Rule::Kind::Fault && rule.rv == CKR_OK && !rule.kill) throw Misread{"rv= is missing"};
  if (!here) {
    script.rules.pop_back();
    return;
  }
  if (kind == Rule::Kind::Arm) script.starts_armed = false;
  if (!rule.where.empty()) script.has_filters = true;
  script.by_function.at(index_of(rule.function)).push_back(&rule);
}

void read_line(Script& script, const std::vector<std::string>& words, int line) {
  const std::string& what = words[0];
  const auto word = [&words](std::size_t at) -> const std::string& {
    if (at >= words.size()) throw Misread{"a value is missing"};
    return words[at];
  };
  if (what == "fault") {
    read_rule(script, Rule::Kind::Fault, words, line);
  } else if (what == "watch") {
    read_rule(script, Rule::Kind::Watch, words, line);
  } else if (what == "arm") {
    read_rule(script, Rule::Kind::Arm, words, line);
  } else if (what == "count") {
    script.count_file = word(1);
  } else if (what == "latency") {
    if (word(1) == "*") {
      script.latency_us.fill(number(word(2)));
    } else {
      script.latency_us.at(index_of(function_of(word(1)))) = number(word(2));
    }
  } else if (what == "max-sessions") {
    script.max_sessions = number(word(1));
    if (words.size() > 2) script.max_sessions_file = words[2];
  } else if (what == "max-objects") {
    script.max_objects = number(word(1));
  } else if (what == "ec-point" && word(1) == "raw") {
    script.raw_points = true;
  } else if (what == "kwp-number") {
    script.kwp_number = number(word(1));
  } else if (what == "kwp-none") {
    script.absent.insert(CKM_AES_KEY_WRAP_PAD);
  } else if (what == "no-mechanism") {
    script.absent.insert(number(word(1)));
  } else if (what == "wrap-trusted-only") {
    script.wrap_trusted_only = true;
  } else if (what == "derived-readable") {
    script.derived_readable = true;
  } else if (what == "ignore-allowed-mechanisms") {
    script.ignore_allowed_mechanisms = true;
  } else if (what == "sp800-108") {
    script.sp800_108 = true;
  } else {
    throw Misread{"unknown line: " + what};
  }
}

}  // namespace

bool Filter::matches(const Facts& facts) const {
  if (object_class && facts.object_class != object_class) return false;
  if (mechanism && facts.mechanism != mechanism) return false;
  if (!label) return true;
  return label->empty() ? facts.label.empty()
                        : fnmatch(label->c_str(), facts.label.c_str(), 0) == 0;
}

std::unique_ptr<Script> read_script(const std::string& path) {
  auto script = std::make_unique<Script>();
  if (path.empty()) return script;
  std::ifstream file{path};
  if (!file) {
    std::cerr << "keyferry-p11-shim: cannot read " << path << "\n";
    return nullptr;
  }
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    std::istringstream stream{text.substr(0, text.find('#'))};
    const std::vector<std::string> words{std::istream_iterator<std::string>{stream}, {}};
    if (words.empty()) continue;
    try {
      read_line(*script, words, line);
    } catch (const Misread& misread) {
      std::cerr << "keyferry-p11-shim: " << path << ":" << line << ": " << misread.what << "\n";
      return nullptr;
    }
  }
  return script;
}

}  // namespace keyferry::shim
