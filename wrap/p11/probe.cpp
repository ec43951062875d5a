#include "wrap/p11/probe.h"

#include <p11-kit/pkcs11.h>

#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/p11/prober.h"

namespace keyferry::p11 {

SecretBytes published_aes_key(std::uint8_t first) {
  SecretBytes key{kProbeKeyBytes};
  for (std::uint8_t& octet : key.expose_writable()) octet = first++;
  return key;
}

Template probe_aes_template() {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(KeyType::Aes)
      .label("probe")
      .token(false)
      .private_(true);
}

Template probe_ec_public_template() {
  return Template{}
      .object_class(ObjectClass::PublicKey)
      .key_type(KeyType::Ec)
      .label("probe")
      .token(false)
      .verify(true)
      .p256();
}

Template probe_ec_private_template() {
  return Template{}
      .object_class(ObjectClass::PrivateKey)
      .key_type(KeyType::Ec)
      .label("probe")
      .token(false)
      .private_(true)
      .sensitive(true);
}

ProbeResult Prober::run() {
  const ModuleInfo& module = result_.module = session_.module().info();
  fact(fmt::format("module: {} {}, library {}, Cryptoki {}",
                   printable(module.manufacturer),
                   printable(module.description),
                   module.library_version,
                   module.cryptoki_version));
  try_random();
  try_signature_and_point();
  if (who_ != ProbeFor::Device) try_ecdh();
  if (who_ != ProbeFor::Station) try_kwp();
  if (who_ == ProbeFor::Appliance) {
    try_derive();
    try_cmac();
    try_allowed_mechanisms();
  }
  if (depth_ == ProbeDepth::Thorough) {
    if (who_ == ProbeFor::Appliance) try_oaep();
    try_sessions();
  }
  return std::move(result_);
}

std::optional<Prober::KnownKey> Prober::known_aes(std::uint8_t first, const Template& uses) {
  SecretBytes value = published_aes_key(first);
  Template attributes = uses;
  attributes.sensitive(false).extractable(true);
  std::optional<KnownKey> known;
  if (went_through("import of a key with a published value", [&] {
        Template with_value = attributes;
        known = KnownKey{session_.create_object(with_value.secret_value(value)), std::move(value)};
      })) {
    return known;
  }
  static_cast<void>(went_through("generation of a readable key", [&] {
    Key key = session_.generate_aes(attributes.value_len(kProbeKeyBytes));
    auto read = session_.read_secret(key);
    if (read && read.value.size() == kProbeKeyBytes)
      known = KnownKey{std::move(key), std::move(read.value)};
  }));
  return known;
}

void Prober::try_random() {
  static_cast<void>(went_through("random octets", [this] {
    const Bytes first = session_.generate_random(32);
    const Bytes second = session_.generate_random(32);
    result_.rng = first != second && first != Bytes(first.size());
  }));
  if (!result_.rng) missing("hsm-no-rng", "the module gives no random octets");
}

void Prober::try_signature_and_point() {
  const Digest digest = crypto::sha256(as_bytes("keyferry probe"));
  static_cast<void>(went_through("ECDSA P-256", [&] {
    const KeyPair pair = session_.generate_p256_pair(
        probe_ec_public_template(), probe_ec_private_template().extractable(false).sign(true));
    result_.ec_point_form = session_.ec_point_form(pair.public_key);
    const crypto::PublicKey key = session_.ec_point(pair.public_key);
    result_.ecdsa = crypto::verify(key, digest, session_.sign_ecdsa(pair.private_key, digest));
  }));
  if (!result_.ecdsa) {
    missing("hsm-no-ecdsa", "the module makes no ECDSA P-256 signature that software verifies");
    return;
  }
  fact(fmt::format("CKM_ECDSA over a digest gives raw r and s; CKA_EC_POINT comes as {}",
                   result_.ec_point_form == PointForm::Raw ? "raw octets" : "DER OCTET STRING"));
}

void Prober::try_ecdh() {
  static_cast<void>(went_through("ECDH P-256", [&] {
    const KeyPair pair = session_.generate_p256_pair(
        probe_ec_public_template(), probe_ec_private_template().extractable(false).derive(true));
    const auto peer = crypto::SoftKey::from_scalar(SecretBytes::copy_of(kPublishedScalar));
    const SecretBytes theirs = session_.ecdh(pair.private_key, peer->public_key());
    result_.ecdh =
        equal(theirs.expose(), peer->ecdh_x(session_.ec_point(pair.public_key)).expose());
    result_.ecdh_point_form = session_.ecdh_point_form();
  }));
  if (!result_.ecdh) {
    missing("hsm-no-ecdh", "CKM_ECDH1_DERIVE gives no secret that equals software's");
    return;
  }
  fact(fmt::format("CKM_ECDH1_DERIVE equals software; the peer's point is taken {}",
                   result_.ecdh_point_form == PointForm::Raw ? "raw" : "as DER"));
}

void Prober::try_allowed_mechanisms() {
  const auto key = known_aes(
      0xA0, probe_aes_template().encrypt(true).allowed_mechanisms({Mechanism::AesCbcPad}));
  if (!key) return;
  result_.allowed_mechanisms_enforced =
      !went_through("use of a mechanism outside CKA_ALLOWED_MECHANISMS (a refusal is right)",
                    [&] { static_cast<void>(session_.aes_ecb_encrypt(key->handle, Bytes(16))); });
  fact(result_.allowed_mechanisms_enforced
           ? "CKA_ALLOWED_MECHANISMS is enforced"
           : "CKA_ALLOWED_MECHANISMS is not enforced: only the usage attributes limit a key");
}

// Not in every start: workers that start together would take each other's sessions.
void Prober::try_sessions() {
  std::vector<std::unique_ptr<Session>> opened;
  try {
    while (opened.size() < kMaxProbedSessions) {
      opened.push_back(
          std::make_unique<Session>(session_.module(), session_.slot(), Access::ReadWrite));
    }
  } catch (const Pkcs11Error& error) {
    if (error.rv() != CKR_SESSION_COUNT && error.is_device_lost()) throw;
    fact(fmt::format("session number {} beside this one: {} says {}",
                     opened.size() + 1,
                     error.function(),
                     rv_name(error.rv())));
  }
  result_.further_sessions = static_cast<unsigned>(opened.size());
  fact(opened.size() < kMaxProbedSessions
           ? fmt::format("the module takes {} further sessions: each worker needs one",
                         opened.size())
           : fmt::format("the module takes at least {} further sessions", opened.size()));
}

Mechanism ProbeResult::kwp_or_throw() const {
  if (kwp) return *kwp;
  throw Error{Code::Hsm,
              "the module has no AES key wrap with padding (RFC 5649) that software agrees with",
              "choose a module that passes the probe"};
}

ProbeResult probe(Session& session, ProbeFor who, ProbeDepth depth) {
  ProbeResult result = Prober{session, who, depth}.run();
  // Codes like CKR_FUNCTION_FAILED may be a refusal or an accident: what would shut the module out
  // is asked for twice.
  if (!result.usable()) result = Prober{session, who, depth}.run();
  return result;
}

}  // namespace keyferry::p11
