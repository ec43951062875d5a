// What stops the work. An answer that the product counts or shows is a value instead (style.md section 3).
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace keyferry {

enum class Code {
  InvalidArgument,  // the caller broke a stated condition
  Usage,            // the command line or a settings file is wrong
  Refused,          // the answer is no: a check failed, nothing was changed
  NotFound,
  Hsm,       // the PKCS#11 module, or what it holds
  Storage,   // disk, file, database
  Medium,    // a token (removable medium)
  Channel,   // a process that we talk to is gone or talks nonsense
  Quorum,    // more officers needed
  Rollback,  // a store is older than what was seen before
  Internal,  // a bug
};

/// Exit status of a program that ends with `code` (style.md section 10): 1 no, 2 usage, 3 surroundings, 4 quorum, 70 bug.
[[nodiscard]] int exit_status(Code code);

/// Name for logs and for the wire, e.g. "refused".
[[nodiscard]] std::string_view code_name(Code code);
[[nodiscard]] Code code_from_name(std::string_view name);  ///< Code::Internal when unknown

/// `what()` says what happened and on what; `hint()` says the next step, or is empty.
/// Never holds key octets, PINs or decrypted content.
class Error : public std::runtime_error {
 public:
  Error(Code code, const std::string& text, std::string hint = {});

  [[nodiscard]] Code code() const { return code_; }

  [[nodiscard]] const std::string& hint() const { return hint_; }

 private:
  Code code_;
  std::string hint_;
};

/// Error for a failed system call: `what`, then the text of errno.
[[nodiscard]] Error system_error(Code code, const std::string& what, int error_number);

/// A check that said no, as a value: a short stable `reason` (`a-z-`) for logs and tests, and a sentence for people.
struct Refusal {
  std::string reason;
  std::string text;
  std::string hint = {};

  friend bool operator==(const Refusal&, const Refusal&) = default;
};

[[nodiscard]] Error to_error(const Refusal& refusal);

}  // namespace keyferry
