// Which set of shares opens the HSM's PINs: a small file beside gate.toml (gate.toml -> gate.pin-sharing), read and written
// by the gate alone. It holds no secret; kf-state says the same, and is what counts once the HSM is open.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "appliance/gate/settings.h"
#include "appliance/gate/shares.h"

namespace keyferry::appliance {

/// Any `needed` of `total` shares open user PIN and SO PIN, each its own sharing under the same set id.
struct PinSharing {
  unsigned needed = 0;
  unsigned total = 0;
  Bytes set_id;  // kShareSetIdBytes
  friend bool operator==(const PinSharing&, const PinSharing&) = default;
};

/// The first eight hex digits: enough for people to tell sets apart.
[[nodiscard]] std::string short_set_id(const Bytes& set_id);
/// "2 of 3, set 1f2e3d4c"
[[nodiscard]] std::string sharing_text(const PinSharing& sharing);

/// How far a change of the PINs has come for certain. Between two of them either may be true: then the HSM is asked.
enum class PinChangeStage {
  HandedOut,  // custodians have the new shares, no HSM has heard of them: they may be made anew
  Begun,      // from here on the SO PIN may be the new one
  SoDone,     // it is, and the user PIN may be
  UserDone,   // both are; the log may not say so yet
};

struct PinSharingRecord {
  std::optional<PinSharing> current;
  std::optional<PinSharing> next;  // of a change that is under way
  PinChangeStage stage = PinChangeStage::HandedOut;
  friend bool operator==(const PinSharingRecord&, const PinSharingRecord&) = default;
};

/// Empty when there is no file. Error{Storage} when it does not say what it should.
[[nodiscard]] PinSharingRecord read_pin_sharing(const std::filesystem::path& settings_file);

/// Durable when this returns.
void write_pin_sharing(const std::filesystem::path& settings_file, const PinSharingRecord& record);

}  // namespace keyferry::appliance
