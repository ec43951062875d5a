// Signed notes and checkpoint texts, as tokens, approvals and stations carry them.
#include "token/audit/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = keyferry::as_chars({data, size});
  const auto note = keyferry::audit::parse_note(text);
  if (const auto* parsed = std::get_if<keyferry::audit::SignedNote>(&note)) {
    static_cast<void>(keyferry::audit::format_note(*parsed));
    static_cast<void>(keyferry::audit::parse_checkpoint_text(parsed->text));
  }
  static_cast<void>(keyferry::audit::parse_checkpoint_text(text));
  return 0;
}
