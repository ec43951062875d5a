#include "wrap/p11/probe.h"

#include <botan/block_cipher.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::p11 {

namespace {

constexpr std::size_t kAes256Bytes = 32;
constexpr std::size_t kScalarBytes = 32;

// PKCS#8 (RFC 5208) of a P-256 key without public key, up to the scalar.
constexpr std::array<std::uint8_t, 35> kPkcs8Head{
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
    0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03,
    0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20};
// Inside any PKCS#8 of a P-256 key: ECPrivateKey's version 1 and the header of its scalar (RFC
// 5915).
constexpr std::array<std::uint8_t, 5> kScalarHead{0x02, 0x01, 0x01, 0x04, 0x20};
// A published private key: RFC 6979 section A.2.5.
constexpr std::array<std::uint8_t, kScalarBytes> kPublishedScalar{
    0xC9, 0xAF, 0xA9, 0xD8, 0x45, 0xBA, 0x75, 0x16, 0x6B, 0x5C, 0x21, 0x57, 0x67, 0xB1, 0xD6, 0x93,
    0x4E, 0x50, 0xC3, 0xDB, 0x36, 0xE8, 0x9B, 0x12, 0x7B, 0x8A, 0x62, 0x2B, 0x12, 0x0F, 0x67, 0x21};

SecretBytes published_aes_key(std::uint8_t first) {
  SecretBytes key{kAes256Bytes};
  for (std::uint8_t& octet : key.expose_writable()) octet = first++;
  return key;
}

Template aes_template() {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(KeyType::Aes)
      .label("probe")
      .token(false)
      .private_(true);
}

Template ec_public_template() {
  return Template{}
      .object_class(ObjectClass::PublicKey)
      .key_type(KeyType::Ec)
      .label("probe")
      .token(false)
      .verify(true)
      .p256();
}

Template ec_private_template() {
  return Template{}
      .object_class(ObjectClass::PrivateKey)
      .key_type(KeyType::Ec)
      .label("probe")
      .token(false)
      .private_(true)
      .sensitive(true);
}

/// Length of the outer DER SEQUENCE when at most 7 octets, all zero, follow it.
std::optional<std::size_t> der_size_before_zeros(ByteView plain) {
  constexpr std::uint8_t kSequence = 0x30;
  if (plain.size() < 3 || plain[0] != kSequence) return std::nullopt;
  std::size_t size = 0;
  if (plain[1] < 0x80) {
    size = 2U + plain[1];
  } else if (plain[1] == 0x81) {
    size = 3U + plain[2];
  } else {
    return std::nullopt;
  }
  if (size > plain.size() || plain.size() - size > 7) return std::nullopt;
  const ByteView tail = plain.subspan(size);
  if (std::ranges::any_of(tail, [](std::uint8_t octet) { return octet != 0; })) return std::nullopt;
  return size;
}

std::optional<crypto::SoftKey> key_in_pkcs8(ByteView pkcs8) {
  const auto head = std::search(pkcs8.begin(), pkcs8.end(), kScalarHead.begin(), kScalarHead.end());
  const auto at = static_cast<std::size_t>(head - pkcs8.begin()) + kScalarHead.size();
  if (head == pkcs8.end() || pkcs8.size() < at + kScalarBytes) return std::nullopt;
  return crypto::SoftKey::from_scalar(SecretBytes::copy_of(pkcs8.subspan(at, kScalarBytes)));
}

SecretBytes software_ecb(const SecretBytes& key, ByteView data) {
  const auto cipher = Botan::BlockCipher::create_or_throw("AES-256");
  cipher->set_key(key.expose().data(), key.size());
  SecretBytes out = SecretBytes::copy_of(data);
  cipher->encrypt_n(
      out.expose().data(), out.expose_writable().data(), data.size() / cipher->block_size());
  return out;
}

struct KnownKey {
  Key handle;
  SecretBytes value;
};

class Prober {
 public:
  Prober(Session& session, ProbeFor who) : session_{session}, who_{who} {}

  ProbeResult run() {
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
      try_allowed_mechanisms();
    }
    return std::move(result_);
  }

 private:
  void fact(std::string sentence) { result_.facts.push_back(std::move(sentence)); }

  void missing(std::string reason, std::string text, std::string hint = {}) {
    result_.missing.push_back({std::move(reason), std::move(text), std::move(hint)});
  }

  /// Did `step` go through? A module's refusal is a fact, a lost device an error.
  template <typename Step>
  bool went_through(std::string_view what, const Step& step) {
    try {
      step();
      return true;
    } catch (const Pkcs11Error& error) {
      if (error.is_device_lost()) throw;
      fact(fmt::format("{}: {} says {}", what, error.function(), rv_name(error.rv())));
    } catch (const Error& error) {
      fact(fmt::format("{}: {}", what, error.what()));
    }
    return false;
  }

  /// An AES key with a value that we know: imported, or where imports are refused generated and
  /// read.
  std::optional<KnownKey> known_aes(std::uint8_t first, const Template& uses) {
    SecretBytes value = published_aes_key(first);
    Template attributes = uses;
    attributes.sensitive(false).extractable(true);
    std::optional<KnownKey> known;
    if (went_through("import of a key with a published value", [&] {
          Template with_value = attributes;
          known =
              KnownKey{session_.create_object(with_value.secret_value(value)), std::move(value)};
        })) {
      return known;
    }
    static_cast<void>(went_through("generation of a readable key", [&] {
      Key key = session_.generate_aes(attributes.value_len(kAes256Bytes));
      auto read = session_.read_secret(key);
      if (read && read.value.size() == kAes256Bytes)
        known = KnownKey{std::move(key), std::move(read.value)};
    }));
    return known;
  }

  void try_random() {
    static_cast<void>(went_through("random octets", [this] {
      const Bytes first = session_.generate_random(32);
      const Bytes second = session_.generate_random(32);
      result_.rng = first != second && first != Bytes(first.size());
    }));
    if (!result_.rng) missing("hsm-no-rng", "the module gives no random octets");
  }

  void try_signature_and_point() {
    const Digest digest = crypto::sha256(as_bytes("keyferry probe"));
    static_cast<void>(went_through("ECDSA P-256", [&] {
      const KeyPair pair = session_.generate_p256_pair(
          ec_public_template(), ec_private_template().extractable(false).sign(true));
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

  void try_ecdh() {
    static_cast<void>(went_through("ECDH P-256", [&] {
      const KeyPair pair = session_.generate_p256_pair(
          ec_public_template(), ec_private_template().extractable(false).derive(true));
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

  void try_kwp() {
    kek_ = known_aes(0x00, aes_template().wrap(true).unwrap(true));
    if (!kek_) {
      missing("hsm-no-known-key",
              "the module neither imports an AES key nor lets one be read, so nothing can be held "
              "against software");
      return;
    }
    for (const Mechanism candidate : {Mechanism::AesKeyWrapKwp, Mechanism::AesKeyWrapPad}) {
      if (went_through(mechanism_name(candidate), [&] { try_wrap(candidate); }) && result_.kwp)
        break;
    }
    if (!result_.kwp) {
      missing("hsm-no-kwp", "no mechanism of the module is AES key wrap with padding (RFC 5649)");
      return;
    }
    fact(fmt::format("{} is RFC 5649; a P-256 key is PKCS#8 of {} octets{}",
                     mechanism_name(*result_.kwp),
                     result_.pkcs8_size_bytes,
                     result_.kwp_pads_first ? ", zero-padded before it is wrapped" : ""));
    try_unwrap();
  }

  /// A pair made by the module, wrapped by it, opened by software: the scalar must belong to the
  /// public point.
  void try_wrap(Mechanism candidate) {
    const DeviceKeyPair pair = session_.generate_device_pair(
        ec_public_template(), ec_private_template().extractable(true).sign(true));
    const Bytes blob = session_.wrap(candidate, kek_->handle, pair.private_key);
    const auto plain = crypto::unwrap_kwp(kek_->value, blob);
    if (!plain) {
      fact(fmt::format("{} is not RFC 5649: software does not open what it wraps",
                       mechanism_name(candidate)));
      return;
    }
    const auto size = der_size_before_zeros(plain->expose());
    const auto key = size ? key_in_pkcs8(plain->expose().first(*size)) : std::nullopt;
    if (!key || !equal(key->public_key().point(), pair.point) ||
        crypto::wrap_kwp(kek_->value, *plain) != blob) {
      fact(fmt::format("{} wraps something else than the PKCS#8 of the key",
                       mechanism_name(candidate)));
      return;
    }
    result_.kwp = candidate;
    result_.pkcs8_size_bytes = *size;
    result_.kwp_pads_first = plain->size() != *size;
  }

  void try_unwrap() {
    SecretBytes pkcs8{kPkcs8Head.size() + kScalarBytes};
    const auto at = std::ranges::copy(kPkcs8Head, pkcs8.expose_writable().begin()).out;
    std::ranges::copy(kPublishedScalar, at);
    Bytes blob = crypto::wrap_kwp(kek_->value, pkcs8);
    const Template injected = ec_private_template().extractable(false).sign(true);
    const auto published = crypto::SoftKey::from_scalar(SecretBytes::copy_of(kPublishedScalar));
    const Digest digest = crypto::sha256(as_bytes("keyferry probe of an unwrapped key"));
    static_cast<void>(went_through("unwrapping what software wrapped", [&] {
      const Key key = session_.unwrap(*result_.kwp, kek_->handle, blob, injected);
      result_.kwp_unwraps =
          crypto::verify(published->public_key(), digest, session_.sign_ecdsa(key, digest));
    }));
    if (result_.kwp_unwraps) {
      fact("the module opens what software wrapped, and the key inside signs");
    } else if (who_ == ProbeFor::Device) {
      missing("hsm-kwp-unwrap", "the token does not open a key that software wrapped (RFC 5649)");
    }
    blob.back() ^= 0x01;
    result_.kwp_rejects_tampered = !went_through(
        "unwrapping a tampered blob (a refusal is right)",
        [&] { static_cast<void>(session_.unwrap(*result_.kwp, kek_->handle, blob, injected)); });
    if (!result_.kwp_rejects_tampered) {
      missing("hsm-kwp-accepts-tampered", "the module unwraps a blob that was tampered with");
    }
  }

  void try_derive() {
    // Two different blocks: equal ones would hide a module that encrypts only the first.
    const SecretBytes data_source = published_aes_key(0x80);
    const ByteView data = data_source.expose();
    const auto base = known_aes(0x40, aes_template().derive(true));
    if (!base) {
      missing("hsm-no-known-key",
              "no key with a known value can be had to hold derivation against software");
      return;
    }
    static_cast<void>(went_through("CKM_AES_ECB_ENCRYPT_DATA", [&] {
      const Key derived = session_.derive_aes_ecb_data(
          base->handle,
          data,
          aes_template().value_len(kAes256Bytes).sensitive(false).extractable(true));
      const auto value = session_.read_secret(derived);
      result_.ecb_data_derives =
          value && equal(value.value.expose(), software_ecb(base->value, data).expose());
    }));
    if (!result_.ecb_data_derives) {
      missing("hsm-no-derive",
              "CKM_AES_ECB_ENCRYPT_DATA is absent or its key does not equal software's (kf-kdf-1)");
      return;
    }
    fact("CKM_AES_ECB_ENCRYPT_DATA derives the key that software computes");
    try_derived_key_stays_secret(base->handle, data);
  }

  void try_derived_key_stays_secret(ObjectHandle base, ByteView data) {
    const Key derived = session_.derive_aes_ecb_data(base,
                                                     data,
                                                     aes_template()
                                                         .value_len(kAes256Bytes)
                                                         .sensitive(true)
                                                         .extractable(false)
                                                         .wrap(true)
                                                         .modifiable(false));
    bool secret = !session_.read_secret(derived) &&
                  session_.read_bool(derived, Attribute::Sensitive).is(true) &&
                  session_.read_bool(derived, Attribute::Extractable).is(false);
    if (result_.kwp) {
      secret = secret &&
               !went_through(
                   "wrapping a derived key made not extractable (a refusal is right)",
                   [&] { static_cast<void>(session_.wrap(*result_.kwp, kek_->handle, derived)); });
    }
    secret = secret && !went_through("making a derived key extractable (a refusal is right)", [&] {
               session_.set_attributes(derived, Template{}.extractable(true));
             });
    result_.derived_key_stays_secret = secret;
    if (secret) {
      fact("a derived key made SENSITIVE and not EXTRACTABLE can be neither read nor wrapped");
    } else {
      missing("hsm-derived-readable",
              "a derived key made SENSITIVE and not EXTRACTABLE can still be read or wrapped");
    }
  }

  void try_allowed_mechanisms() {
    const auto key =
        known_aes(0xA0, aes_template().encrypt(true).allowed_mechanisms({Mechanism::AesCbcPad}));
    if (!key) return;
    result_.allowed_mechanisms_enforced =
        !went_through("use of a mechanism outside CKA_ALLOWED_MECHANISMS (a refusal is right)",
                      [&] { static_cast<void>(session_.aes_ecb_encrypt(key->handle, Bytes(16))); });
    fact(result_.allowed_mechanisms_enforced
             ? "CKA_ALLOWED_MECHANISMS is enforced"
             : "CKA_ALLOWED_MECHANISMS is not enforced: only the usage attributes limit a key");
  }

  Session& session_;
  ProbeFor who_;
  ProbeResult result_;
  std::optional<KnownKey> kek_;
};

}  // namespace

Mechanism ProbeResult::kwp_or_throw() const {
  if (kwp) return *kwp;
  throw Error{Code::Hsm,
              "the module has no AES key wrap with padding (RFC 5649) that software agrees with",
              "choose a module that passes the probe"};
}

ProbeResult probe(Session& session, ProbeFor who) {
  return Prober{session, who}.run();
}

}  // namespace keyferry::p11
