// The probe's steps about wrapping: which mechanism is RFC 5649, and whether the module opens what
// software wrapped, by AES and by RSA.
#include <p11-kit/pkcs11.h>

#include <algorithm>

#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/p11/prober.h"

namespace keyferry::p11 {

namespace {

constexpr unsigned long kRsaBits = 2048;

// PKCS#8 (RFC 5208) of a P-256 key without public key, up to the scalar.
constexpr std::array<std::uint8_t, 35> kPkcs8Head{
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
    0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03,
    0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20};
// Inside any PKCS#8 of a P-256 key: ECPrivateKey's version 1 and the header of its scalar (RFC
// 5915).
constexpr std::array<std::uint8_t, 5> kScalarHead{0x02, 0x01, 0x01, 0x04, 0x20};

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
  if (head == pkcs8.end() || pkcs8.size() < at + kProbeScalarBytes) return std::nullopt;
  return crypto::SoftKey::from_scalar(SecretBytes::copy_of(pkcs8.subspan(at, kProbeScalarBytes)));
}

}  // namespace

void Prober::try_kwp() {
  kek_ = known_aes(0x00, probe_aes_template().wrap(true).unwrap(true));
  if (!kek_) {
    missing("hsm-no-known-key",
            "the module neither imports an AES key nor lets one be read, so nothing can be held "
            "against software");
    return;
  }
  for (const Mechanism candidate : {Mechanism::AesKeyWrapKwp, Mechanism::AesKeyWrapPad}) {
    if (went_through(mechanism_name(candidate), [&] { try_wrap(candidate); }) && result_.kwp) break;
    if (refuses_untrusted(candidate)) result_.wraps_only_under_trusted = true;
  }
  if (result_.kwp) result_.wraps_only_under_trusted = false;
  if (!result_.kwp && result_.wraps_only_under_trusted) {
    missing(
        "hsm-wrap-trusted-only",
        "the module wraps only under keys that its security officer marked CKA_TRUSTED. Each SE "
        "has a transport key of its own, which the user derives or unwraps: it can never be "
        "trusted, so no device key could leave the HSM",
        "switch the module's policy that demands trusted wrapping keys off, or use another "
        "module");
    return;
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

// A pair made by the module, wrapped by it, opened by software: the scalar must belong to the
// public point.
void Prober::try_wrap(Mechanism candidate) {
  const DeviceKeyPair pair = session_.generate_device_pair(
      probe_ec_public_template(), probe_ec_private_template().extractable(true).sign(true));
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

// The key to be wrapped is a plain AES key, so that a module which only cannot wrap EC keys is told
// apart.
bool Prober::refuses_untrusted(Mechanism candidate) {
  try {
    const Key key = session_.generate_aes(
        probe_aes_template().value_len(kProbeKeyBytes).sensitive(true).extractable(true));
    static_cast<void>(session_.wrap(candidate, kek_->handle, key));
  } catch (const Pkcs11Error& error) {
    if (error.is_no_answer()) throw;
    return error.function() == "C_WrapKey" && error.rv() == CKR_KEY_NOT_WRAPPABLE;
  }
  return false;
}

void Prober::try_unwrap() {
  SecretBytes pkcs8{kPkcs8Head.size() + kProbeScalarBytes};
  const auto at = std::ranges::copy(kPkcs8Head, pkcs8.expose_writable().begin()).out;
  std::ranges::copy(kPublishedScalar, at);
  Bytes blob = crypto::wrap_kwp(kek_->value, pkcs8);
  const Template injected = probe_ec_private_template().extractable(false).sign(true);
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

bool Prober::opens_oaep(crypto::OaepHash hash, ObjectHandle private_key, ByteView spki) {
  const SecretBytes value = published_aes_key(0x20);
  const Key key = session_.unwrap_oaep(hash,
                                       private_key,
                                       crypto::wrap_oaep(hash, spki, value),
                                       probe_aes_template().sensitive(false).extractable(true));
  const auto read = session_.read_secret(key);
  return read && equal(read.value.expose(), value.expose());
}

void Prober::try_oaep() {
  result_.oaep_sha1 = false;
  result_.oaep_sha256 = false;
  const Bytes exponent{0x01, 0x00, 0x01};
  static_cast<void>(went_through("an RSA key pair", [&] {
    const KeyPair pair = session_.generate_rsa_pair(Template{}
                                                        .object_class(ObjectClass::PublicKey)
                                                        .key_type(KeyType::Rsa)
                                                        .label("probe")
                                                        .token(false)
                                                        .modulus_bits(kRsaBits)
                                                        .public_exponent(exponent),
                                                    Template{}
                                                        .object_class(ObjectClass::PrivateKey)
                                                        .key_type(KeyType::Rsa)
                                                        .label("probe")
                                                        .token(false)
                                                        .private_(true)
                                                        .sensitive(true)
                                                        .extractable(false)
                                                        .unwrap(true));
    const Bytes spki = session_.rsa_public_key(pair.public_key);
    static_cast<void>(went_through("RSA-OAEP with SHA-1", [&] {
      result_.oaep_sha1 = opens_oaep(crypto::OaepHash::Sha1, pair.private_key, spki);
    }));
    static_cast<void>(went_through("RSA-OAEP with SHA-256", [&] {
      result_.oaep_sha256 = opens_oaep(crypto::OaepHash::Sha256, pair.private_key, spki);
    }));
  }));
  const auto word = [](std::optional<bool> opened) {
    return opened.value_or(false) ? "yes" : "no";
  };
  fact(fmt::format("RSA-OAEP opens what software wrapped: SHA-1 {}, SHA-256 {}",
                   word(result_.oaep_sha1),
                   word(result_.oaep_sha256)));
}

}  // namespace keyferry::p11
