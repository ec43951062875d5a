// What a command works with: home folder, ledger, gate, clock, output. Made once by main(), passed
// by reference.
//
// Files below the home (mode 0700):
//   lock                              one writing command at a time (flock)
//   settings.toml                     settings.h
//   ledger.db (-wal, -shm)            the ledger
//   card.kf                           SignedBytes of the appliance card, as put on tokens
//   ca/NAME.pem                       CA certificates
//   vendor/NAME.pem                   public keys that vendors wrap transport keys to
//   plans/<digest hex>.toml           plans that were made and run by a command (source add, ...)
//   plans/NNNN-OPERATION.toml         plans that wait for officers; plans/<digest hex>.d/ is what
//                                     their run needs beside them
//   answers/<station id>.kf           enrolment answers that stations have not fetched yet
//   batches/<32 hex>/segment-00000.kf, segment-00000.kf.tmp, segment-00000.certs(.sealed),
//   manifest.kf inbox/                            copies of what came in, while it is looked at
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "appliance/front/gate_session.h"
#include "appliance/front/output.h"
#include "appliance/front/settings.h"
#include "appliance/ledger/ledger.h"
#include "wrap/base/clock.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/ids.h"
#include "wrap/base/random.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

struct Paths {
  std::filesystem::path home;

  [[nodiscard]] std::filesystem::path lock() const { return home / "lock"; }

  [[nodiscard]] std::filesystem::path settings() const { return home / "settings.toml"; }

  [[nodiscard]] std::filesystem::path ledger() const { return home / "ledger.db"; }

  [[nodiscard]] std::filesystem::path card() const { return home / "card.kf"; }

  [[nodiscard]] std::filesystem::path plans() const { return home / "plans"; }

  [[nodiscard]] std::filesystem::path authorities() const { return home / "ca"; }

  [[nodiscard]] std::filesystem::path vendor() const { return home / "vendor"; }

  [[nodiscard]] std::filesystem::path batches() const { return home / "batches"; }

  [[nodiscard]] std::filesystem::path batch(const BatchId& id) const {
    return batches() / id.hex();
  }

  [[nodiscard]] std::filesystem::path answers() const { return home / "answers"; }

  [[nodiscard]] std::filesystem::path inbox() const { return home / "inbox"; }
};

/// Read: the ledger as it is, no lock, no gate. Write: the lock, and the gate when a command asks
/// for it.
enum class Access { Read, Write };

/// Options that every command has.
struct CommonOptions {
  std::filesystem::path home;
  OutputForm form = OutputForm::Plain;
  std::optional<int> pin_fd;                 // handed to the gate, never read here
  bool start_workers = false;                // a batch comes: the gate starts its key workers at once
  bool imports_key = false;                  // the gate reads a key to import, at its start,
  std::optional<int> key_fd;                 // from this descriptor; else it asks for it
  std::vector<std::string> component_check_values;  // hex; the key comes in parts:
  std::vector<int> component_fds;                   // each from its descriptor; else the gate asks for them
  std::optional<std::string> backup_shares;  // init: "M/N", the gate makes kf-backup and writes its shares
  std::vector<std::filesystem::path> backup_share_folders;
  std::vector<std::filesystem::path> shares;  // of the PIN, or of kf-backup: read by the gate
  std::vector<int> share_fds;
  std::vector<std::string> share_tokens;
  std::optional<std::string> pin_shares;                // init: "M/N", random PINs whose shares go to
  std::vector<std::filesystem::path> pin_share_folders;  // folders, printers, tokens, or else the terminal
  std::vector<int> pin_share_fds;
  std::vector<std::string> pin_share_tokens;
  std::optional<std::string> new_pin_shares;            // hsm pin-change: the same
  std::vector<std::uint32_t> custodians;                // its plan's
  std::optional<int> so_pin_fd;              // handed to the gate, for a token that is there already
  std::optional<int> officer_passphrase_fd;  // where a command approves
  std::optional<std::filesystem::path> officer_key;  // a file, or a pkcs11: URI (officer_token.h)
  std::optional<std::filesystem::path> plan_out;     // write the plan there, run nothing
  std::optional<std::filesystem::path> token;        // plan run of station-enroll: where the answer goes
  std::vector<std::string> insecure_allow;  // added to the settings'
};

class Context {
 public:
  /// Error{NotFound} when the home was never initialised, Error{Storage} when another command holds
  /// the lock.
  Context(
      CommonOptions options, Access access, const Clock& clock, RandomSource& random, Output& out);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] const CommonOptions& options() const { return options_; }

  [[nodiscard]] const Paths& paths() const { return paths_; }

  [[nodiscard]] const Settings& settings() const { return settings_; }

  [[nodiscard]] Ledger& ledger() { return *ledger_; }

  [[nodiscard]] const Clock& clock() const { return clock_; }

  [[nodiscard]] RandomSource& random() { return random_; }

  [[nodiscard]] Output& out() { return out_; }

  /// Opens the gate at the first call: pending block reconciled, then finish_prepared() of
  /// batch_run.h for what was cut between "prepared" and "sealed". Error{Internal} with
  /// Access::Read; Error{NotFound} when the HSM has no keys.
  [[nodiscard]] GateSession& gate();

  /// The same for `init`: an HSM without keys is no error, finish_prepared() is not called.
  [[nodiscard]] GateSession& gate_of_any_hsm();

  /// The gate, started and perhaps not opened: inventory and probe work on any HSM.
  [[nodiscard]] GateSession& gate_unopened();

  /// Before a stick from outside is looked at: a gate that listens ends its login until it is opened again. A gate of this
  /// command's own has not been started then: Error{Internal} if it has.
  void rest_gate();

  /// Nothing more is asked of the HSM by this command: its gate ends, one that listens rests. A GateSession that was had
  /// before is gone.
  void leave_gate();

  [[nodiscard]] bool gate_is_open() const { return opened_; }

  /// Before the gate is opened: this command is about to make keys.
  void expect_batch() { options_.start_workers = true; }

  /// Before the gate is opened: it makes new PINs and hands their shares out, as the plan says.
  void expect_pin_change(const HsmPinChangePlan& plan);

  /// Before the gate is opened: only a plan file is written, so no key is read and no share handed out.
  void expect_plan_file() { plan_file_only_ = true; }

  /// Before the gate is opened: what a plan wants of its start, new shares or the parts of a key.
  void expect_plan(const Plan& plan);

  /// Appliance id from the ledger ("appliance_id" of the key-values), set by init.
  [[nodiscard]] ApplianceId appliance_id();

  /// Passphrase of the officer's key, or PIN of the officer's token: from the descriptor, else
  /// asked for with `prompt`. Read once and kept for this command.
  [[nodiscard]] const SecretBytes& officer_passphrase(
      const char* prompt = "passphrase of the officer's key: ");

 private:
  CommonOptions options_;
  Paths paths_;
  const Clock& clock_;
  RandomSource& random_;
  Output& out_;
  std::optional<FileLock> lock_;
  Settings settings_;
  bool writes_ = false;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<GateSession> gate_;
  bool opened_ = false;  // gate() has returned it
  bool plan_file_only_ = false;
  std::optional<SecretBytes> passphrase_;
};

/// Options for the gate from settings and command line.
[[nodiscard]] GateOptions gate_options(const Settings& settings, const CommonOptions& options);

}  // namespace keyferry::appliance
