#include "appliance/front/officer_token.h"

#include <fmt/format.h>

#include "wrap/base/error.h"
#include "wrap/base/random.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kChallengeBytes = 32;
constexpr std::size_t kKeyIdBytes = 8;

/// What the URI says of the object, as attributes.
p11::Template object_of(const p11::Uri& uri, p11::ObjectClass object_class) {
  p11::Template wanted;
  wanted.object_class(object_class).key_type(p11::KeyType::Ec);
  if (uri.object) wanted.label(*uri.object);
  if (uri.id) wanted.id(*uri.id);
  return wanted;
}

std::string name_of(const p11::Uri& uri) {
  return fmt::format("key \"{}\" in token \"{}\"",
                     printable(uri.object.value_or(uri.id ? to_hex(*uri.id) : "")),
                     printable(uri.token.value_or("")));
}

}  // namespace

bool is_token_uri(const std::string& text) {
  return text.starts_with("pkcs11:");
}

OfficerToken::OfficerToken(const std::string& uri, const SecretBytes& pin, MakePair make)
    : uri_{p11::uri_or_throw(uri)} {
  if (!uri_.module_path || (!uri_.object && !uri_.id)) {
    throw Error{Code::Usage,
                "--officer-key: the URI lacks module-path, or object and id",
                "for example: pkcs11:token=smith;object=officer?module-path=/usr/lib/softhsm/libsofthsm2.so"};
  }
  module_ = std::make_unique<p11::Module>(*uri_.module_path);
  p11::Uri token_only = uri_;
  token_only.object.reset();
  token_only.id.reset();
  token_only.type.reset();
  const p11::TokenInfo token = module_->find_token(token_only);
  session_ = std::make_unique<p11::Session>(*module_, token.slot, p11::Access::ReadWrite);
  log_in(pin, token);
  find_pair(make);
  check_pair();
}

OfficerToken::~OfficerToken() = default;

void OfficerToken::log_in(const SecretBytes& pin, const p11::TokenInfo& token) {
  const std::string label = printable(token.label);
  if (token.user_pin_locked) {
    throw Error{Code::Refused,
                fmt::format("token \"{}\" is locked: too many wrong PINs", label),
                "its issuer unlocks it with the SO PIN, or the officer gets another token"};
  }
  const p11::LoginResult result = session_->login(p11::Role::User, pin);
  if (result != p11::LoginResult::Ok) {
    throw Error{Code::Refused,
                fmt::format("token \"{}\" refused the PIN ({}); it was tried once", label, to_string(result)),
                token.user_pin_low ? "the token is close to being locked: be sure of the PIN before the next try"
                                   : "give the command again with the right PIN"};
  }
  for (const char* own : {"kf-log", "kf-export", "kf-state"}) {
    if (session_->find(p11::Template{}.label(own)).empty()) continue;
    throw Error{Code::Refused,
                fmt::format("token \"{}\" is an appliance's HSM, not an officer's token", label),
                "an officer's key is in a token of the officer's own"};
  }
}

void OfficerToken::find_pair(MakePair make) {
  auto keys = session_->find(object_of(uri_, p11::ObjectClass::PrivateKey));
  if (keys.empty() && make == MakePair::IfAbsent) {
    SystemRandom random;
    const Bytes id = uri_.id ? *uri_.id : random.bytes(kKeyIdBytes);
    const std::string label = uri_.object.value_or("keyferry-officer");
    p11::Template public_key, private_key;
    public_key.object_class(p11::ObjectClass::PublicKey).key_type(p11::KeyType::Ec).label(label).id(id).token(true);
    public_key.private_(false).verify(true).p256();
    private_key.object_class(p11::ObjectClass::PrivateKey).key_type(p11::KeyType::Ec).label(label).id(id).token(true);
    private_key.private_(true).sensitive(true).extractable(false).sign(true);
    static_cast<void>(session_->generate_p256_pair(public_key, private_key));
    keys = session_->find(object_of(uri_, p11::ObjectClass::PrivateKey));
  }
  if (keys.empty()) {
    throw Error{Code::NotFound, "there is no " + name_of(uri_), "make one: keyferry-appliance officer request"};
  }
  const auto publics = session_->find(object_of(uri_, p11::ObjectClass::PublicKey));
  if (keys.size() > 1 || publics.size() > 1) {
    throw Error{
        Code::Refused, "there are several: " + name_of(uri_), "name it by id: ...;id=%01%02...?module-path=..."};
  }
  if (publics.empty()) throw Error{Code::NotFound, "the public half is not in the token: " + name_of(uri_)};
  private_key_ = keys.front();
  public_key_ = session_->ec_point(publics.front());
}

void OfficerToken::check_pair() {
  SystemRandom random;
  const Bytes challenge = random.bytes(kChallengeBytes);
  const Bytes signature = crypto::sign(*this, crypto::SignatureKind::OfficerChallenge, challenge);
  if (!crypto::verify(*public_key_, crypto::SignatureKind::OfficerChallenge, challenge, signature)) {
    throw Error{Code::Refused,
                "the private key is not that of the public one beside it: " + name_of(uri_),
                "remove the object that does not belong there"};
  }
}

Bytes OfficerToken::sign_digest(const Digest& digest) {
  return session_->sign_ecdsa(private_key_, digest);
}

}  // namespace keyferry::appliance
