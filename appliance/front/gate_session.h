// One connection to the gate, opened and reconciled: what was pending when the last run was cut off
// is final or dropped before anything new is asked (gate.proto, "store_pending").
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "appliance/gate/client.h"
#include "appliance/ledger/ledger.h"
#include "wrap/base/error.h"

namespace keyferry::v1 {
class HsmFacts;
class HsmState;
class LogLeaf;
class SignedBytes;
}  // namespace keyferry::v1

namespace keyferry::appliance {

class GateSession {
 public:
  /// Starts the gate.
  GateSession(const GateOptions& options, Ledger& ledger);
  ~GateSession();
  GateSession(const GateSession&) = delete;
  GateSession& operator=(const GateSession&) = delete;

  /// Sends `open`, reconciles the ledger's pending block; at most once. Error{Rollback},
  /// Error{Hsm}, ... from the gate. An HSM without keys is no error: see initialized(). Before it
  /// only inventory and probe requests are answered.
  void open();

  /// Sends `open` and waits for nothing, for who has something to do that open() cannot change.
  void begin_open();

  [[nodiscard]] bool initialized() const;

  /// kf-state as of `open` or the newest reply that carried it. Between the replies of a batch it
  /// may be older than the HSM's: only `open_plans` of the time of opening are meant to be read
  /// then.
  [[nodiscard]] const v1::HsmState& state() const;
  [[nodiscard]] const v1::HsmFacts& facts() const;
  [[nodiscard]] const v1::SignedBytes& card() const;

  /// Sends `request`, with `action` stored in the pending block that it makes, waits for the final
  /// reply and settles the ledger with the reply's checkpoint. Not for segment and manifest
  /// requests, which stream: use client().
  v1::GateReply call(v1::GateRequest request, std::optional<Action> action = std::nullopt);

  /// As call(), where the reply's leaves begin the log of a restored HSM: the lost one's is moved aside (hsm_epochs.h).
  v1::GateReply call_for_new_log(v1::GateRequest request, std::optional<Action> action);

  /// Typed leaves (version, origin and time unset), at most 4096: they become leaves marked
  /// `reported`.
  void report(const std::vector<v1::LogLeaf>& leaves, std::optional<Action> action = std::nullopt);

  /// One `refused` leaf. subject: ids in hex or printable(); cut to 128 characters.
  void report_refused(std::string_view what, const Refusal& refusal, std::string_view subject);

  /// For requests that stream. store_pending and leaf hashes are served from the ledger.
  [[nodiscard]] GateClient& client();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Checkpoint of a final reply, or empty when the kind has none.
[[nodiscard]] std::string reply_checkpoint(const v1::GateReply& reply);

}  // namespace keyferry::appliance
