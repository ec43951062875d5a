// Shares on the terminal: shown to one custodian at a time on a cleared screen, typed back without echo, asked for at a
// login.
#pragma once

#include <string>
#include <vector>

#include "appliance/gate/shares.h"
#include "wrap/base/terminal.h"

namespace keyferry::appliance {

/// One share for one custodian, as it is handed out.
struct HandedShare {
  ShareKind kind = ShareKind::UserPin;
  ShareCounts counts;
  unsigned number = 0;
  SecretBytes rtss;
};

/// What a custodian copies: heading, eight lines, each with its own check.
[[nodiscard]] SecretBytes share_page(const HandedShare& share, const std::string& appliance, const std::string& who);

/// A share as it is typed, line by line; a line that does not fit is asked for again, a few times. Refusals of the whole:
/// share-malformed; share-line when the person gave up on a line.
[[nodiscard]] std::variant<ShareFile, Refusal> typed_share(Terminal& terminal);

/// Shows `shares` to `who` (unless they were printed), waits, clears, has each typed back and compares. What was typed.
/// Shown again when what was typed is not what was shown.
[[nodiscard]] std::vector<ShareFile> hand_out_on_screen(Terminal& terminal, const std::vector<HandedShare>& shares,
                                                        const std::string& appliance, const std::string& who, bool printed);

}  // namespace keyferry::appliance
