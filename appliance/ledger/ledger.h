// The appliance's ledger: one SQLite database below the home, schema 0001_init.sql. This class
// opens it and owns what everything else stands on: the log's blocks with the pending mechanism,
// checkpoints, registry, key-values. Inventory, plans and batches are in stores of their own over
// `database()` (inventory_store.h, plan_store.h, batch_store.h).
//
// Pending mechanism. Before the HSM's state advances, the leaves (and a new registry) are stored as
// the one pending block, with an *action*: what the front end does when, and only when, the step
// turns out to have happened. As soon as a checkpoint that covers the block is known, the block
// becomes final, the registry current and the action is applied, all in one transaction. If the
// state never advanced, the block is dropped and the action never happens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "appliance/ledger/registry.h"
#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"
#include "wrap/store/database.h"

namespace keyferry::appliance {

/// What is done in the transaction that makes a block final. `name` stays in databases: never
/// renamed.
struct Action {
  std::string name;  // "import-final", ...
  Bytes data;        // the handler's own form
};

enum class LogStart { Continues, AfterLost };

struct CheckpointNote {
  std::uint64_t size = 0;
  std::string note;
};

class Ledger {
 public:
  /// Runs inside the caller's transaction; must only touch the database.
  using ActionHandler = std::function<void(store::Database& database, ByteView data)>;

  /// Creates and migrates (Role::Writer) or opens (Role::Reader) `file`. Errors as
  /// store::open_database.
  Ledger(const std::filesystem::path& file, store::Role role);

  [[nodiscard]] store::Database& database() { return database_; }

  /// For every action name that may be pending. A pending action without a handler is
  /// Error{Storage}: made by a newer program.
  void on_action(const std::string& name, ActionHandler handler);

  /// Runs an action's handler inside the caller's transaction.
  void apply_in_transaction(const Action& action);

  // --- the log ---
  [[nodiscard]] std::uint64_t log_size();        // leaves, pending ones included
  [[nodiscard]] std::uint64_t final_log_size();  // without pending ones
  /// Serialised v1.LogLeaf octets / SHA-256(0x00 || leaf) of [from, to). Error{Storage} when the
  /// ledger has fewer.
  [[nodiscard]] std::vector<Bytes> leaves(std::uint64_t from, std::uint64_t to);
  [[nodiscard]] std::vector<Digest> leaf_hashes(std::uint64_t from, std::uint64_t to);
  /// Calls `visit(index, octets, final)` for the leaves from `from` on, in order, in constant
  /// memory.
  void visit_leaves(std::uint64_t from,
                    const std::function<void(std::uint64_t, ByteView, bool)>& visit);

  /// The newest one, as given by the gate (which signed it).
  [[nodiscard]] std::optional<CheckpointNote> newest_checkpoint();

  // --- pending ---
  /// One transaction: the pending block, its registry (empty: unchanged) and its action. Durable
  /// when it returns. first_leaf is the HSM's log size, so an earlier pending block below it
  /// becomes final, and one at it is dropped. Error{Storage} when first_leaf is not the end of the
  /// log then.
  /// LogStart::AfterLost: the log of a lost HSM is moved aside first (hsm_epochs.h); first_leaf is 0.
  void store_pending(std::uint64_t first_leaf,
                     const std::vector<Bytes>& leaves,
                     ByteView registry,
                     const std::optional<Action>& action = std::nullopt,
                     LogStart start = LogStart::Continues);

  /// A block inside the caller's WriteTransaction, where nothing is pending; returns the first
  /// leaf's index. For segments, whose leaves go into one transaction with their record rows.
  std::uint64_t add_pending(const std::vector<Bytes>& leaves, const std::optional<Action>& action);

  /// A final reply's checkpoint: what it covers becomes final, actions are applied, the note is
  /// kept. One transaction. An empty note changes nothing. Error{Storage} when the checkpoint ends
  /// inside a block or beyond the ledger.
  void settle(const std::string& checkpoint_note);

  /// The same inside the caller's WriteTransaction.
  void settle_in_transaction(const std::string& checkpoint_note);

  /// After `open`: what kf-state covers becomes final, what it does not is dropped. Returns true
  /// when something pending was dropped. One transaction.
  bool reconcile(std::uint64_t hsm_log_size, const std::string& checkpoint_note);

  // --- registry ---
  [[nodiscard]] std::optional<Bytes> registry_octets();          // current
  [[nodiscard]] std::optional<Bytes> pending_registry_octets();  // of the pending block
  /// Parsed current registry; an empty one before init.
  [[nodiscard]] Registry registry();

  // --- small things by name ---
  [[nodiscard]] std::optional<Bytes> value(std::string_view key);
  [[nodiscard]] std::optional<std::string> text_value(std::string_view key);
  void set_value(std::string_view key, ByteView value);
  void set_value_in_transaction(std::string_view key, ByteView value);

 private:
  void finalize_covered(std::uint64_t log_size);
  void set_registry(ByteView octets);

  store::Database database_;
  std::map<std::string, ActionHandler> handlers_;
};

/// The leaves of a block's blob; Error{Storage} when they are not `count`. Views into `blob`.
[[nodiscard]] std::vector<ByteView> unpacked_leaves(ByteView blob, std::uint64_t count);

/// Log size that a checkpoint note says (second line of its text); Error{Channel} when it is no
/// checkpoint.
[[nodiscard]] std::uint64_t checkpoint_size(const std::string& note);

}  // namespace keyferry::appliance
