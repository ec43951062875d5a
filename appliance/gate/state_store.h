// kf-state: what the HSM remembers of log, registry and open plans. A data object, signed by kf-log and counted; the
// highest counter counts. Values of data objects cannot be changed: the new one is made, then the old one destroyed.
#pragma once

#include <optional>
#include <string>

#include "appliance/gate/hsm.h"
#include "wrap/crypto/signing.h"

namespace keyferry::v1 {
class HsmState;
class WriteState;
}  // namespace keyferry::v1

namespace keyferry::appliance {

inline constexpr std::size_t kMaxStateBytes = 1U << 20;  // token::kMaxSignedPayloadBytes

/// Name of the log in checkpoints: "keyferry/" and 32 hex digits of the appliance id.
[[nodiscard]] std::string log_origin(const ApplianceId& appliance);

class StateStore {
 public:
  /// `hsm` is logged in and must outlive this.
  explicit StateStore(Hsm& hsm) : hsm_{hsm} {}

  /// The newest state that kf-log signed, as serialised; nothing when there is none at all.
  /// Error{Hsm} when there are objects and none verifies.
  [[nodiscard]] std::optional<Bytes> read();

  struct Written {
    Bytes state;
    std::string checkpoint;
  };

  /// Counter, checkpoint and signature are made here from log size and frontier; durable when this returns.
  /// Error{Refused} when the store's counter is not `expected_counter`, the log would shrink, or frontier and size
  /// disagree.
  [[nodiscard]] Written write(const v1::WriteState& request);

 private:
  Hsm& hsm_;
};

}  // namespace keyferry::appliance
