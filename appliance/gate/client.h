// The front end's side of keyferry-hsm-gate: starts it (in development an inherited socket pair; in production it is
// reached at a Unix socket), sends requests, stores what must be durable before the HSM's state advances.
//
// One thread; requests may be several in flight: start_segment() returns at once, pump() delivers events.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/process.h"

namespace keyferry::v1 {
class GateReply;
class GateRequest;
class HsmState;
class LeafHashes;
class LogLeaf;
class OpenRequest;
class Opened;
class StorePending;
}  // namespace keyferry::v1

namespace keyferry::appliance {

struct GateOptions {
  std::filesystem::path settings;  // gate.toml beside the HSM's store
  std::optional<int> pin_fd;       // inherited by the gate, which reads the PIN itself
  std::vector<std::string> insecure_allow;  // "network", "swap", "memlock"
  std::optional<int> key_fd = {};  // inherited by the gate: a key to import, 64 hex digits
  bool ask_key = false;            // the gate asks for it on the terminal
  std::vector<std::string> component_check_values = {};  // hex: it comes in parts, which the gate reads one at a time
  std::vector<int> component_fds = {};                   // none: on the terminal
  // init: the gate makes kf-backup and writes its shares, "M/N", into the folder; restore: it reads shares
  std::optional<std::string> backup_shares = {};
  std::vector<std::filesystem::path> backup_share_folders = {};
  std::string backup_name = {};
  std::vector<std::filesystem::path> share_files = {};
  std::vector<int> share_fds = {};
  std::string appliance = {};                           // its name, with any of the following
  std::vector<std::string> share_tokens = {};           // URIs of tokens that hold shares of the PIN
  std::optional<std::string> pin_shares = {};           // init: "M/N", random PINs in shares
  std::optional<std::string> new_pin_shares = {};       // hsm-pin-change: the same
  std::vector<std::filesystem::path> pin_share_folders = {};  // where new shares go; none of these three: the terminal
  std::vector<int> pin_share_fds = {};
  std::vector<std::string> pin_share_tokens = {};
  std::vector<std::uint32_t> custodians = {};
  std::optional<int> so_pin_fd = {};  // to make kf-backup in a token that is there already
  bool start_workers = false;      // a batch comes: all key workers are started at once, beside what else there is to do
  bool new_pin = false;            // init: a PIN from the terminal is asked for twice
  std::optional<std::filesystem::path> socket;  // a running gate instead of one of our own
  std::optional<std::filesystem::path> program = {};  // keyferry-hsm-gate; nothing: beside this program
};

/// What the client asks its owner (the ledger) while a request is under way.
class GateStore {
 public:
  virtual ~GateStore() = default;
  /// Durable when this returns: leaves (and registry) as pending.
  virtual void store_pending(const v1::StorePending& pending) = 0;
  /// Leaf hashes [from, to) of the ledger's log, 32 octets each.
  virtual std::vector<Bytes> leaf_hashes(std::uint64_t from, std::uint64_t to) = 0;
  /// The leaves [from, to) themselves.
  virtual std::vector<Bytes> leaves(std::uint64_t from, std::uint64_t to) = 0;
};

class GateClient {
 public:
  GateClient(const GateOptions& options, GateStore& store);
  ~GateClient();
  GateClient(const GateClient&) = delete;
  GateClient& operator=(const GateClient&) = delete;

  /// Sends `request` (its id is set here) and waits for its final reply, serving store_pending and ask_leaves meanwhile.
  /// An error reply becomes Error with the gate's code, text and hint. Events of other requests go to their handlers.
  v1::GateReply call(v1::GateRequest request);

  /// call() in two steps, with something else done in between.
  using Asked = std::shared_ptr<std::optional<v1::GateReply>>;
  Asked begin(v1::GateRequest request);
  v1::GateReply finish(const Asked& asked);

  /// Sends without waiting; `on_reply` gets every reply of that id (stream events and the final one, which may be an
  /// error reply). Returns the id.
  std::uint64_t start(v1::GateRequest request, std::function<void(const v1::GateReply&)> on_reply);

  /// Waits for one frame from the gate and delivers it.
  void pump();

  /// Number of started requests whose final reply has not come.
  [[nodiscard]] std::size_t under_way() const;

  [[nodiscard]] pid_t gate_pid() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace keyferry::appliance
