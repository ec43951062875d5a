// Where the gate gets random PINs from: they are made and split, each share handed out and read back before any HSM hears
// of them; and put together again at each start from what M custodians bring.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/gate/pin_sharing.h"
#include "appliance/gate/share_files.h"

namespace keyferry::appliance {

/// Where new shares go: exactly one way. None at all: shown on the terminal, typed back there.
struct ShareTargets {
  std::vector<std::filesystem::path> folders;  // one for all custodians, or one for each
  std::vector<int> printers;                   // a descriptor for each custodian; typed back on the terminal
  std::vector<std::string> tokens;             // PKCS#11 URI of each custodian's token
};

/// What the start of a gate was given for its PINs.
struct PinCustodyOptions {
  std::filesystem::path settings_file;
  std::string appliance;                  // its name, in file names and labels
  ShareTargets targets;
  std::vector<std::uint32_t> custodians;  // person numbers of a PIN change, as in its plan
  std::vector<std::string> share_tokens;  // URIs of tokens that hold shares
};

struct PinPair {
  SecretBytes user_pin;
  SecretBytes so_pin;
  PinSharing sharing;
};

/// New PINs of a change, and what is known of it.
struct NewPins {
  PinPair pins;
  std::vector<std::uint32_t> custodians;
  PinChangeStage stage = PinChangeStage::HandedOut;
};

/// `init`: makes both PINs, or, when an `init` that was cut off has handed out shares already, puts them together again.
/// The set is noted (pin_sharing.h) when this returns. Error{Refused}: a folder holds the shares of another set, or a
/// custodian could not give a share back.
[[nodiscard]] PinPair first_pins(const PinCustodyOptions& options, ShareCounts counts, std::vector<GivenShare>& given);

/// The user PIN, from `given`, the options' tokens, else the terminal; which set it is of depends on how far a change of the
/// PINs has come. Error{Refused} naming the share: of another set, given twice; fewer than needed and no terminal.
[[nodiscard]] PinPair pin_for_login(const PinCustodyOptions& options, std::vector<GivenShare>& given);

/// For a change: the SO PIN of the set in use. Empty when the change has put the new one in place already.
[[nodiscard]] SecretBytes so_pin_for_change(const PinCustodyOptions& options, std::vector<GivenShare>& given);

/// For a change: the new PINs, made and handed out, or those of a change that was cut off.
[[nodiscard]] NewPins new_pins(const PinCustodyOptions& options, ShareCounts counts, std::vector<GivenShare>& given);

}  // namespace keyferry::appliance
