#include "station-agent/identity.h"

#include <array>
#include <cstdlib>
#include <utility>
#include <vector>

#include "station-agent/softhsm_conf.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/p11/hsm_keys.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"
#include "wrap/p11/softhsm_tokens.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;
using p11::Template;

constexpr std::size_t kSoPinBytes = 16;  // as 32 hex digits

struct KeyRole {
  std::string_view label;
  bool sign;
  bool derive;
  p11::Mechanism mechanism;
};

constexpr KeyRole kSignRole{"kf-station-sign", true, false, p11::Mechanism::Ecdsa};
constexpr KeyRole kAgreeRole{"kf-station-agree", false, true, p11::Mechanism::Ecdh1Derive};

Template private_template(const KeyRole& role) {
  return Template{}
      .object_class(p11::ObjectClass::PrivateKey)
      .key_type(p11::KeyType::Ec)
      .label(role.label)
      .id(as_bytes(role.label))
      .token(true)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .sign(role.sign)
      .derive(role.derive)
      .decrypt(false)
      .unwrap(false)
      .allowed_mechanisms({role.mechanism});
}

Template public_template(const KeyRole& role) {
  return Template{}
      .object_class(p11::ObjectClass::PublicKey)
      .key_type(p11::KeyType::Ec)
      .label(role.label)
      .id(as_bytes(role.label))
      .token(true)
      .private_(false)
      .modifiable(false)
      .verify(role.sign)
      .encrypt(false)
      .wrap(false)
      .p256();
}

struct FoundKey {
  p11::ObjectHandle private_key;
  crypto::PublicKey public_key;
};

/// Nothing unless exactly one pair of this role is there and agrees with the table.
std::optional<FoundKey> find_key(p11::Session& session, const KeyRole& role) {
  const auto private_key = session.find_one(p11::ObjectClass::PrivateKey, role.label);
  const auto public_key = session.find_one(p11::ObjectClass::PublicKey, role.label);
  if (!private_key || !public_key) return std::nullopt;
  const auto wrong = session.differences(*private_key, private_template(role));
  if (!wrong.empty()) {
    throw Error{
        Code::Refused,
        "the station's key " + std::string{role.label} + " is not as it was made: " + wrong.front(),
        "someone changed the key store: do not use this station, tell the officers"};
  }
  return FoundKey{*private_key, session.ec_point(*public_key)};
}

void remove_halves(p11::Session& session, const KeyRole& role) {
  for (const auto object_class : {p11::ObjectClass::PrivateKey, p11::ObjectClass::PublicKey}) {
    for (const p11::ObjectHandle object :
         session.find(Template{}.object_class(object_class).label(role.label))) {
      session.destroy(object);
    }
  }
}

FoundKey key_of(p11::Session& session, const KeyRole& role, KeyCreation creation) {
  if (auto found = find_key(session, role)) return *found;
  if (creation == KeyCreation::Forbidden) {
    throw Error{Code::Refused,
                "the station's key " + std::string{role.label} + " is not in its key store",
                "is this the key store of this station?"};
  }
  if (creation == KeyCreation::ReplaceHalves) remove_halves(session, role);
  KF_CUT("station.key-before");
  static_cast<void>(session.generate_p256_pair(public_template(role), private_template(role)));
  KF_CUT("station.key-after");
  if (auto found = find_key(session, role)) return *found;
  throw Error{Code::Hsm, "the key " + std::string{role.label} + " was made and cannot be found"};
}

class Pkcs11Identity final : public Identity {
 public:
  Pkcs11Identity(const fs::path& library,
                 const p11::Uri& uri,
                 const SecretBytes& pin,
                 KeyCreation creation)
      : module_{library}, session_{module_, module_.find_token(uri).slot, p11::Access::ReadWrite} {
    session_.login_or_throw(p11::Role::User, pin);
    const FoundKey sign = key_of(session_, kSignRole, creation);
    const FoundKey agree = key_of(session_, kAgreeRole, creation);
    if (const auto store = softhsm_store_in_use(); store && creation != KeyCreation::Forbidden)
      sync_tree(*store);
    signer_.emplace(session_, sign.private_key, sign.public_key);
    agreement_.emplace(session_, agree.private_key, agree.public_key);
  }

  [[nodiscard]] crypto::Signer& signer() override { return *signer_; }

  [[nodiscard]] crypto::DhPrivateKey& agreement() override { return *agreement_; }

 private:
  p11::Module module_;
  p11::Session session_;
  std::optional<p11::HsmSigner> signer_;
  std::optional<p11::HsmDhKey> agreement_;
};

void use_configuration(const Settings& settings) {
  if (!settings.softhsm2_conf) return;
  // Before the module is loaded and before any thread starts: SoftHSM reads it once per process.
  if (setenv("SOFTHSM2_CONF", settings.softhsm2_conf->c_str(), 1) !=
      0) {  // NOLINT(concurrency-mt-unsafe)
    throw Error{Code::Internal, "setenv SOFTHSM2_CONF"};
  }
  if (const auto store = softhsm_store_in_use()) p11::keep_softhsm_tokens(*store);
}

fs::path module_of(const Settings& settings) {
  if (settings.uri.module_path) return *settings.uri.module_path;
  throw Error{Code::Usage, "the identity's URI names no module", "add module-path=FILE to it"};
}

}  // namespace

std::unique_ptr<Identity> open_identity(const Settings& settings,
                                        const SecretBytes& pin,
                                        KeyCreation creation) {
  switch (settings.provider) {
    case IdentityProvider::Pkcs11:
      use_configuration(settings);
      return std::make_unique<Pkcs11Identity>(module_of(settings), settings.uri, pin, creation);
    case IdentityProvider::Esys:
      break;
  }
  throw Error{
      Code::Usage, "identity provider esys (a TPM) is not in this version", "use a PKCS#11 module"};
}

void make_embedded_token(const Home& home, const Settings& settings, const SecretBytes& pin) {
  make_softhsm_store(home.hsm());
  use_configuration(settings);
  const fs::path tokens = home.hsm() / "tokens";
  {
    p11::Module module{module_of(settings)};
    for (const p11::TokenInfo& token : module.tokens()) {
      if (token.initialised && token.user_pin_set) return;
    }
  }
  // Half of an init that was cut off: its SO PIN is lost, and no key was ever made in it.
  std::error_code failed;
  fs::remove_all(tokens, failed);
  make_private_directory(tokens);
  p11::Module module{module_of(settings)};
  const auto slot = module.uninitialised_slot();
  if (!slot) throw Error{Code::Hsm, "the module has no slot for a new token"};
  SecretBytes raw{kSoPinBytes};
  SystemRandom{}.fill(raw.expose_writable());
  SecretBytes so_pin{2 * kSoPinBytes};
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 0; i < kSoPinBytes; ++i) {
    so_pin.expose_writable()[2 * i] = static_cast<std::uint8_t>(kDigits[raw.expose()[i] >> 4]);
    so_pin.expose_writable()[2 * i + 1] = static_cast<std::uint8_t>(kDigits[raw.expose()[i] & 15]);
  }
  KF_CUT("station.token-before");
  const p11::TokenInfo token =
      module.init_token(*slot, so_pin, settings.uri.token.value_or("kf-station"));
  KF_CUT("station.token-half");  // cut here: a token without user PIN, made anew by the next start
  p11::Session session{module, token.slot, p11::Access::ReadWrite};
  session.login_or_throw(p11::Role::SecurityOfficer, so_pin);
  session.init_pin(pin);
  session.logout();
  sync_tree(tokens);
  KF_CUT("station.token-after");
}

}  // namespace keyferry::station
