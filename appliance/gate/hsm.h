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

class Hsm {
 public:
  /// Loads the module and finds the token that the URI names. With BlankToken::Initialise and no such token: makes one
  /// in an uninitialised slot, with `pin` as user PIN and a random SO PIN that nobody sees and that is not kept.
  Hsm(const GateSettings& settings, const SecretBytes& pin, BlankToken blank);

  /// Logs in once. Never tries again with the same PIN: that is how tokens get locked.
  [[nodiscard]] p11::LoginResult login(const SecretBytes& pin);

  /// Known answers; Error{Hsm} naming what is missing.
  void probe();

  [[nodiscard]] p11::Session& session() { return *session_; }

  [[nodiscard]] const p11::ProbeResult& facts() const { return facts_; }

  [[nodiscard]] const p11::TokenInfo& token() const { return token_; }

  [[nodiscard]] std::string module_text() const;

  /// fsync of the store, if the settings name one: what the module wrote survives a power cut.
  void sync_store() const;

 private:
  p11::TokenInfo find_or_make_token(const p11::Uri& uri, const SecretBytes& pin, BlankToken blank);

  std::optional<std::filesystem::path> store_;
  std::unique_ptr<p11::Module> module_;
  p11::TokenInfo token_;
  std::unique_ptr<p11::Session> session_;
  p11::ProbeResult facts_;
};

/// Error{Usage} when the URI is none.
[[nodiscard]] p11::Uri hsm_uri(const GateSettings& settings);

}  // namespace keyferry::appliance
