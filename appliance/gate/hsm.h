// The worker's login: module, token, session, what the probe found. Only keyferry-hsm-worker has one.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "appliance/gate/roles.h"
#include "appliance/gate/settings.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/p11/module.h"
#include "wrap/p11/probe.h"
#include "wrap/p11/session.h"

namespace keyferry::appliance {

enum class BlankToken { Refuse, Initialise };

/// The module was asked and said no to the PIN.
class PinRefused : public Error {
 public:
  using Error::Error;
};

class Hsm {
 public:
  /// Loads the module and finds the token that the URI names. With BlankToken::Initialise and no such token: makes one
  /// in an uninitialised slot, with `pin` as user PIN and as SO PIN the one given, else a random one that nobody sees. It is
  /// forgotten with this object, or as soon as kf-backup was made. With an SO PIN a token that an earlier try left without
  /// a user PIN is finished instead. Error{Hsm}: the token takes no PINs of these lengths.
  Hsm(const GateSettings& settings, const SecretBytes& pin, BlankToken blank, const SecretBytes* so_pin = nullptr);

  /// Logs in once. Never tries again with the same PIN: that is how tokens get locked.
  [[nodiscard]] p11::LoginResult login(const SecretBytes& pin);

  /// Known answers; Error{Hsm} naming what is missing.
  void probe();

  /// kf-backup of these octets: makes it when there is none, under `so_pin` or that of the token just made. Logged in as
  /// user before and after; probes. Error{Refused}: there is another one, or none and no SO PIN to make it with.
  void ensure_backup_key(const SecretBytes& octets, const SecretBytes* so_pin, const SecretBytes& pin);

  /// The security officer's PIN, proved by a login afterwards; the new one in place already is no error. Logged in as user
  /// before and after. Error{Refused}: the token takes neither.
  void change_so_pin(const SecretBytes& before, const SecretBytes& after, const SecretBytes& user_pin);

  /// The user's, who is logged in with `before`; logged in with `after` then. Nothing is done when they are the same.
  void change_user_pin(const SecretBytes& before, const SecretBytes& after);

  /// Error{Hsm} when it is not connected().
  [[nodiscard]] p11::Session& session();

  /// False after a recover() that failed, until one succeeds.
  [[nodiscard]] bool connected() const { return session_ != nullptr; }

  /// One more on the same token; the login of this process counts for it. For one thread. Nothing when the module gives
  /// no more (CKR_SESSION_COUNT).
  [[nodiscard]] std::unique_ptr<p11::Session> another_session();

  /// After a call that failed for want of a session, a token or the module (p11::Recovery): opens anew what is asked for
  /// and logs in with the PIN that was taken before. Session objects and handles of before are gone; sessions of
  /// another_session() must be destroyed first. Error{Hsm} when that fails, or another token stands in its place:
  /// PinRefused, now and at each further call, when the PIN is not taken any more.
  void recover(p11::Recovery recovery, const SecretBytes& pin);

  /// AnyThread when the settings have several threads in a worker.
  [[nodiscard]] p11::CallsFrom calls_from() const { return calls_; }

  [[nodiscard]] const p11::ProbeResult& facts() const { return facts_; }

  [[nodiscard]] const p11::TokenInfo& token() const { return token_; }

  [[nodiscard]] std::string module_text() const;

  /// fsync of the store, if the settings name one: what the module wrote survives a power cut.
  void sync_store() const;

 private:
  p11::TokenInfo find_or_make_token(const p11::Uri& uri, const SecretBytes& pin, BlankToken blank, const SecretBytes* so_pin);
  /// False when the SO PIN is not that token's.
  [[nodiscard]] bool set_first_pin(p11::SlotId slot, const SecretBytes& pin, const SecretBytes& so_pin);

  p11::Uri uri_;
  p11::CallsFrom calls_;
  std::optional<std::filesystem::path> store_;
  std::unique_ptr<p11::Module> module_;
  p11::TokenInfo token_;
  std::unique_ptr<p11::Session> session_;
  std::optional<PinRefused> pin_refused_;  // by a recover()
  SecretBytes new_so_pin_;  // of a token that was made just now
  p11::ProbeResult facts_;
};

/// Error{Usage} when the URI is none.
[[nodiscard]] p11::Uri hsm_uri(const GateSettings& settings);

}  // namespace keyferry::appliance
