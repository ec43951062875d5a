#include "appliance/gate/hsm.h"

#include <fmt/format.h>

#include "appliance/gate/backup_key.h"
#include "appliance/gate/shares.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/base/text.h"
#include "wrap/p11/softhsm_tokens.h"

namespace keyferry::appliance {
namespace {

/// 32 hex digits: lengths from 4 to 255 and printable characters are what modules take.
SecretBytes random_so_pin() {
  SystemRandom random;
  SecretBytes raw{16};
  random.fill(raw.expose_writable());
  SecretBytes pin{32};
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < raw.size(); ++i) {
    pin.expose_writable()[2 * i] = static_cast<std::uint8_t>(kDigits[raw.expose()[i] >> 4]);
    pin.expose_writable()[2 * i + 1] = static_cast<std::uint8_t>(kDigits[raw.expose()[i] & 15]);
  }
  return pin;
}

/// Before C_InitToken: a token that would not take the user PIN afterwards is not begun with.
void check_pin_lengths(const p11::TokenInfo& token, const SecretBytes& pin, const SecretBytes& so_pin) {
  for (const SecretBytes* one : {&pin, &so_pin}) {
    const std::size_t size = one->size();
    if (size >= token.min_pin_length && (token.max_pin_length == 0 || size <= token.max_pin_length)) continue;
    throw Error{Code::Hsm,
                fmt::format("this HSM takes PINs of {} to {} characters, and one of {} was to be set", token.min_pin_length,
                            token.max_pin_length, size),
                "use another HSM, or a PIN of your own of that length (development)"};
  }
}

}  // namespace

p11::Uri hsm_uri(const GateSettings& settings) {
  auto uri = p11::parse_uri(settings.uri);
  if (const auto* refusal = std::get_if<Refusal>(&uri)) throw Error{Code::Usage, "HSM URI: " + refusal->text};
  return std::get<p11::Uri>(std::move(uri));
}

Hsm::Hsm(const GateSettings& settings, const SecretBytes& pin, BlankToken blank, const SecretBytes* so_pin)
    : uri_{hsm_uri(settings)},
      calls_{settings.threads > 1 ? p11::CallsFrom::AnyThread : p11::CallsFrom::OneThread},
      store_{settings.store} {
  const p11::Uri& uri = uri_;
  if (!uri.module_path) {
    throw Error{Code::Usage, "the HSM URI names no module-path", "add module-path=/path/of/module.so to the URI"};
  }
  if (store_) p11::keep_softhsm_tokens(*store_);
  module_ = std::make_unique<p11::Module>(*uri.module_path, calls_);
  token_ = find_or_make_token(uri, pin, blank, so_pin);
  session_ = std::make_unique<p11::Session>(*module_, token_.slot, p11::Access::ReadWrite);
}

p11::TokenInfo Hsm::find_or_make_token(const p11::Uri& uri, const SecretBytes& pin, BlankToken blank, const SecretBytes* so_pin) {
  if (blank == BlankToken::Refuse) return module_->find_token(uri);
  const p11::ModuleInfo info = module_->info();
  std::optional<p11::TokenInfo> unfinished;
  for (const p11::TokenInfo& token : module_->tokens()) {
    if (!token.initialised || !p11::matches(uri, token, info)) continue;
    if (token.user_pin_set) return token;
    unfinished = token;
  }
  // Cut between C_InitToken and C_InitPIN. Without its SO PIN it is not ours to use, and not in the way.
  if (unfinished && so_pin != nullptr && set_first_pin(unfinished->slot, pin, *so_pin)) return module_->token_info(unfinished->slot);
  const auto slot = module_->uninitialised_slot();
  if (!slot || !uri.token) {
    throw Error{Code::Hsm, "no token matches the HSM URI, and there is no blank one that could be initialised",
                "name an initialised token in --hsm, or a module with an uninitialised slot and token=LABEL"};
  }
  SecretBytes made_so_pin = so_pin != nullptr ? SecretBytes::copy_of(so_pin->expose()) : random_so_pin();
  check_pin_lengths(module_->token_info(*slot), pin, made_so_pin);
  KF_CUT("worker.token.before-init");
  const p11::TokenInfo made = module_->init_token(*slot, made_so_pin, *uri.token);
  KF_CUT("worker.token.before-user-pin");
  if (!set_first_pin(made.slot, pin, made_so_pin)) throw Error{Code::Hsm, "the new token does not take the SO PIN that it was made with"};
  new_so_pin_ = std::move(made_so_pin);
  KF_CUT("worker.token.made");
  return module_->token_info(made.slot);
}

bool Hsm::set_first_pin(p11::SlotId slot, const SecretBytes& pin, const SecretBytes& so_pin) {
  {
    p11::Session session{*module_, slot, p11::Access::ReadWrite};
    if (session.login(p11::Role::SecurityOfficer, so_pin) != p11::LoginResult::Ok) return false;
    session.init_pin(pin);
    session.logout();
  }
  sync_store();
  return true;
}

std::unique_ptr<p11::Session> Hsm::another_session() {
  static_cast<void>(session());  // there is a module
  try {
    return std::make_unique<p11::Session>(*module_, token_.slot, p11::Access::ReadWrite);
  } catch (const p11::Pkcs11Error& error) {
    if (!error.is_session_limit()) throw;
  }
  return nullptr;
}

p11::Session& Hsm::session() {
  if (!session_) {
    throw Error{Code::Hsm, "the HSM was lost and did not come back", "look after the HSM, then give the same command again"};
  }
  return *session_;
}

void Hsm::recover(p11::Recovery recovery, const SecretBytes& pin) {
  if (pin_refused_) throw PinRefused{*pin_refused_};
  const bool whole = recovery == p11::Recovery::NewModule || !session_;
  session_.reset();
  if (whole) {
    module_.reset();
    module_ = std::make_unique<p11::Module>(*uri_.module_path, calls_);
    p11::TokenInfo found = module_->find_token(uri_);
    if (found.serial != token_.serial) {
      throw Error{Code::Hsm,
                  fmt::format("the HSM was lost, and now another token answers: serial {} instead of {}",
                              printable(found.serial), printable(token_.serial)),
                  "connect the HSM that the work was begun with, then give the same command again"};
    }
    token_ = std::move(found);
  }
  auto session = std::make_unique<p11::Session>(*module_, token_.slot, p11::Access::ReadWrite);
  if (const p11::LoginResult result = session->login(p11::Role::User, pin); result != p11::LoginResult::Ok) {
    pin_refused_.emplace(Code::Hsm,
                         fmt::format("the HSM came back and refuses the PIN that it took before: {}", p11::to_string(result)),
                         "the PIN is not tried again: find out who changed it");
    throw PinRefused{*pin_refused_};
  }
  session_ = std::move(session);
}

p11::LoginResult Hsm::login(const SecretBytes& pin) { return session_->login(p11::Role::User, pin); }

void Hsm::probe() {
  facts_ = p11::probe(*session_, p11::ProbeFor::Appliance);
  if (facts_.usable()) return;
  std::string missing;
  for (const Refusal& refusal : facts_.missing) missing += (missing.empty() ? "" : "; ") + refusal.text;
  throw Error{Code::Hsm, "this HSM cannot do what the product needs: " + missing, "use another module or HSM firmware"};
}

void Hsm::ensure_backup_key(const SecretBytes& octets, const SecretBytes* so_pin, const SecretBytes& pin) {
  if (backup_key_in(*session_) == BackupKey::Absent) {
    const SecretBytes& made_with = so_pin != nullptr ? *so_pin : new_so_pin_;
    if (made_with.empty()) {
      throw Error{Code::Refused, fmt::format("token \"{}\" holds no kf-backup, and only its SO PIN lets one be made", token_.label),
                  "give --so-pin-fd N; a token that an earlier, cut-off try made is blank: remove it and try again"};
    }
    session_->logout();
    make_backup_key(*session_, made_with, pin, octets);
    session_->login_or_throw(p11::Role::User, pin);
    sync_store();
    KF_CUT("worker.backup-key.made");
  }
  new_so_pin_ = SecretBytes{};
  probe();
  if (!equal(backup_key_check_in(*session_, facts_.kwp_or_throw()), backup_key_check(octets))) {
    throw Error{Code::Refused, fmt::format("token \"{}\" holds another kf-backup than the one of these shares", token_.label),
                "give the shares that belong to it, or use another HSM"};
  }
}

void Hsm::change_so_pin(const SecretBytes& before, const SecretBytes& after, const SecretBytes& user_pin) {
  check_pin_lengths(token_, after, after);
  session().logout();
  p11::LoginResult result = session().login(p11::Role::SecurityOfficer, before);
  if (result == p11::LoginResult::Ok) {
    KF_CUT("worker.pin-change.before-so");
    result = session().set_pin(before, after);
    sync_store();
    KF_CUT("worker.pin-change.so-changed");
    session().logout();
  }
  // Changed now, or by a try that was cut off: the HSM says.
  const p11::LoginResult proved = session().login(p11::Role::SecurityOfficer, after);
  if (proved == p11::LoginResult::Ok) session().logout();
  session().login_or_throw(p11::Role::User, user_pin);
  if (proved == p11::LoginResult::Ok) return;
  throw Error{Code::Refused, fmt::format("token \"{}\" does not take the SO PIN of these shares: {}; nothing was changed",
                                         token_.label, p11::to_string(result)),
              "bring the SO shares of the set that is in use"};
}

void Hsm::change_user_pin(const SecretBytes& before, const SecretBytes& after) {
  if (equal(before.expose(), after.expose())) return;
  KF_CUT("worker.pin-change.before-user");
  if (const auto result = session().set_pin(before, after); result != p11::LoginResult::Ok) {
    throw Error{Code::Hsm, fmt::format("token \"{}\" does not change its user PIN: {}", token_.label, p11::to_string(result)),
                "the PIN of before still holds"};
  }
  sync_store();
  KF_CUT("worker.pin-change.user-changed");
  session().logout();
  session().login_or_throw(p11::Role::User, after);
}

std::string Hsm::module_text() const {
  const p11::ModuleInfo info = module_->info();
  return printable(fmt::format("{} ({}, version {}), token \"{}\", model {}", module_->library().filename().string(),
                               info.manufacturer, info.library_version, token_.label, token_.model));
}

void Hsm::sync_store() const {
  if (store_) sync_tree(*store_);
}

}  // namespace keyferry::appliance
