#include "appliance/gate/hsm.h"

#include <fmt/format.h>

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

}  // namespace

p11::Uri hsm_uri(const GateSettings& settings) {
  auto uri = p11::parse_uri(settings.uri);
  if (const auto* refusal = std::get_if<Refusal>(&uri)) throw Error{Code::Usage, "HSM URI: " + refusal->text};
  return std::get<p11::Uri>(std::move(uri));
}

Hsm::Hsm(const GateSettings& settings, const SecretBytes& pin, BlankToken blank) : store_{settings.store} {
  const p11::Uri uri = hsm_uri(settings);
  if (!uri.module_path) {
    throw Error{Code::Usage, "the HSM URI names no module-path", "add module-path=/path/of/module.so to the URI"};
  }
  if (store_) p11::keep_softhsm_tokens(*store_);
  module_ = std::make_unique<p11::Module>(*uri.module_path);
  token_ = find_or_make_token(uri, pin, blank);
  session_ = std::make_unique<p11::Session>(*module_, token_.slot, p11::Access::ReadWrite);
}

p11::TokenInfo Hsm::find_or_make_token(const p11::Uri& uri, const SecretBytes& pin, BlankToken blank) {
  if (blank == BlankToken::Refuse) return module_->find_token(uri);
  const p11::ModuleInfo info = module_->info();
  for (const p11::TokenInfo& token : module_->tokens()) {
    // A token without a user PIN is what a cut between C_InitToken and C_InitPIN leaves: not ours to use, not in the way.
    if (token.initialised && token.user_pin_set && p11::matches(uri, token, info)) return token;
  }
  const auto slot = module_->uninitialised_slot();
  if (!slot || !uri.token) {
    throw Error{Code::Hsm, "no token matches the HSM URI, and there is no blank one that could be initialised",
                "name an initialised token in --hsm, or a module with an uninitialised slot and token=LABEL"};
  }
  const SecretBytes so_pin = random_so_pin();
  KF_CUT("worker.token.before-init");
  const p11::TokenInfo made = module_->init_token(*slot, so_pin, *uri.token);
  KF_CUT("worker.token.before-user-pin");
  {
    p11::Session session{*module_, made.slot, p11::Access::ReadWrite};
    session.login_or_throw(p11::Role::SecurityOfficer, so_pin);
    session.init_pin(pin);
    session.logout();
  }
  sync_store();
  KF_CUT("worker.token.made");
  return module_->token_info(made.slot);
}

p11::LoginResult Hsm::login(const SecretBytes& pin) { return session_->login(p11::Role::User, pin); }

void Hsm::probe() {
  facts_ = p11::probe(*session_, p11::ProbeFor::Appliance);
  if (facts_.usable()) return;
  std::string missing;
  for (const Refusal& refusal : facts_.missing) missing += (missing.empty() ? "" : "; ") + refusal.text;
  throw Error{Code::Hsm, "this HSM cannot do what the product needs: " + missing, "use another module or HSM firmware"};
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
