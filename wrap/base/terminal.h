// The person at the controlling terminal (/dev/tty): a screen that is cleared with its scroll-back, and lines that are typed
// without echo. prompt_secret() of process.h asks one question; this holds a conversation.
#pragma once

#include <string_view>

#include "wrap/base/durable_file.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry {

class Terminal {
 public:
  /// Error{Usage} when there is no terminal; `needed_for` says in its text what was to be asked or shown.
  explicit Terminal(std::string_view needed_for);

  /// True when this process has one.
  [[nodiscard]] static bool available();

  /// Screen and scroll-back, as far as the terminal obeys (ECMA-48 ED 2, xterm's ED 3).
  void clear();
  void show(std::string_view text);
  void show_secret(const SecretBytes& text);

  /// One line without echo, at most 255 octets, perhaps empty; the echo comes back on signals too.
  [[nodiscard]] SecretBytes ask(std::string_view prompt);
  /// Shows `prompt` and waits for Enter; what was typed before it is dropped.
  void wait_for_enter(std::string_view prompt);

 private:
  Fd terminal_;
};

}  // namespace keyferry
