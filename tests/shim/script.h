// The script of the shim (README.md): what it counts, delays, limits, lies about and breaks.
#pragma once

#include <p11-kit/pkcs11.h>

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "tests/shim/functions.h"

namespace keyferry::shim {

/// What a call is about, as far as filters ask for it.
struct Facts {
  std::optional<CK_OBJECT_CLASS> object_class;
  std::string label;
  std::optional<CK_MECHANISM_TYPE> mechanism;
};

struct Filter {
  std::optional<CK_OBJECT_CLASS> object_class;
  std::optional<std::string> label;  // fnmatch(3); empty: no label
  std::optional<CK_MECHANISM_TYPE> mechanism;

  [[nodiscard]] bool empty() const { return !object_class && !label && !mechanism; }

  [[nodiscard]] bool matches(const Facts& facts) const;
};

/// A `fault`, `watch` or `arm` line.
struct Rule {
  enum class Kind { Fault, Watch, Arm } kind = Kind::Fault;
  Fn function{};
  std::string name;  // in the count file
  Filter where;
  unsigned long nth = 1;
  CK_RV rv = CKR_OK;
  bool after = false;   // the real call is made first
  bool repeat = false;  // from the nth on, each
  bool sticky = false;  // from then on every function fails with rv, until C_Finalize
  bool close = false;   // the session is closed in the real module
  bool gone = false;    // all sessions are
  bool logout = false;  // the login is ended in the real module
  bool stuck = false;   // the operation stays on in the real module, against the standard
  bool kill = false;    // SIGKILL instead of an answer
  std::string once;     // marker file, made with O_EXCL
  std::atomic<unsigned long> seen{0};
};

struct Script {
  std::deque<Rule> rules;  // a deque: rules stay where they are
  std::array<std::deque<Rule*>, kFunctionCount> by_function;
  bool has_filters = false;
  bool starts_armed = true;
  std::string arm_file;

  std::array<unsigned long, kFunctionCount> latency_us{};
  std::string count_file;

  std::optional<unsigned long> max_sessions;
  std::string max_sessions_file;  // shared by processes
  std::optional<unsigned long> max_objects;

  bool raw_points = false;
  std::optional<CK_MECHANISM_TYPE> kwp_number;
  std::set<CK_MECHANISM_TYPE> absent;  // mechanisms
  bool wrap_trusted_only = false;
  bool derived_readable = false;
  bool ignore_allowed_mechanisms = false;
  bool sp800_108 = false;

  /// Templates are written anew and read back as they were asked for.
  [[nodiscard]] bool changes_templates() const {
    return raw_points || kwp_number || ignore_allowed_mechanisms || sp800_108;
  }
};

/// The script in `path`; an empty path gives a shim that only forwards. Nothing, with the reason on
/// stderr, when a line is not understood: C_Initialize fails then.
[[nodiscard]] std::unique_ptr<Script> read_script(const std::string& path);

}  // namespace keyferry::shim
