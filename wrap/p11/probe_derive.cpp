// The probe's steps about derivation: kf-kdf-1 and kf-kdf-2, whether what is derived stays inside,
// and CMAC.
#include <botan/block_cipher.h>
#include <botan/hash.h>
#include <botan/kdf.h>

#include "wrap/crypto/cmac.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/p11/prober.h"

namespace keyferry::p11 {

namespace {

SecretBytes software_ecb(const SecretBytes& key, ByteView data) {
  const auto cipher = Botan::BlockCipher::create_or_throw("AES-256");
  cipher->set_key(key.expose().data(), key.size());
  SecretBytes out = SecretBytes::copy_of(data);
  cipher->encrypt_n(
      out.expose().data(), out.expose_writable().data(), data.size() / cipher->block_size());
  return out;
}

constexpr std::string_view kLabel = "keyferry probe";
constexpr std::string_view kContextText = "context";

/// Botan's SP 800-108, not ours.
SecretBytes software_sp800_108(const SecretBytes& key) {
  const auto kdf = Botan::KDF::create_or_throw("SP800-108-Counter(CMAC(AES-256))");
  const ByteView label = as_bytes(kLabel);
  const ByteView context = as_bytes(kContextText);
  return SecretBytes{kdf->derive_key(kProbeKeyBytes,
                                     key.expose().data(),
                                     key.size(),
                                     context.data(),
                                     context.size(),
                                     label.data(),
                                     label.size())};
}

Bytes fixed_input() {
  Bytes input = to_bytes(as_bytes(kLabel));
  input.push_back(0x00);
  append(input, as_bytes(kContextText));
  return input;
}

/// Two different blocks: equal ones would hide a module that encrypts only the first.
Bytes ecb_data() {
  return to_bytes(published_aes_key(0x80).expose());
}

Template readable() {
  return probe_aes_template().value_len(kProbeKeyBytes).sensitive(false).extractable(true);
}

Template secret() {
  return probe_aes_template()
      .value_len(kProbeKeyBytes)
      .sensitive(true)
      .extractable(false)
      .wrap(true)
      .modifiable(false);
}

}  // namespace

bool Prober::derives_by_ecb(const KnownKey& base) {
  static_cast<void>(went_through("CKM_AES_ECB_ENCRYPT_DATA", [&] {
    const Key derived = session_.derive_aes_ecb_data(base.handle, ecb_data(), readable());
    const auto value = session_.read_secret(derived);
    result_.ecb_data_derives =
        value && equal(value.value.expose(), software_ecb(base.value, ecb_data()).expose());
  }));
  return result_.ecb_data_derives;
}

bool Prober::derives_by_sp800_108(const KnownKey& base) {
  static_cast<void>(went_through("CKM_SP800_108_COUNTER_KDF", [&] {
    const Key derived = session_.derive_sp800_108(base.handle, fixed_input(), readable());
    const auto value = session_.read_secret(derived);
    result_.sp800_108_derives =
        value && equal(value.value.expose(), software_sp800_108(base.value).expose());
  }));
  return result_.sp800_108_derives;
}

void Prober::try_derive() {
  const auto base = known_aes(0x40, probe_aes_template().derive(true));
  if (!base) {
    missing("hsm-no-known-key",
            "no key with a known value can be had to hold derivation against software");
    return;
  }
  if (derives_by_ecb(*base)) {
    fact("CKM_AES_ECB_ENCRYPT_DATA derives the key that software computes (kf-kdf-1)");
    try_derived_key_stays_secret(
        [&] { return session_.derive_aes_ecb_data(base->handle, ecb_data(), secret()); });
  }
  if (derives_by_sp800_108(*base)) {
    fact("CKM_SP800_108_COUNTER_KDF with CMAC derives the key that software computes (kf-kdf-2)");
    try_derived_key_stays_secret(
        [&] { return session_.derive_sp800_108(base->handle, fixed_input(), secret()); });
  }
  if (!result_.ecb_data_derives && !result_.sp800_108_derives) {
    missing("hsm-no-derive",
            "neither CKM_AES_ECB_ENCRYPT_DATA (kf-kdf-1) nor CKM_SP800_108_COUNTER_KDF (kf-kdf-2) "
            "gives the key that software computes");
  } else if (!result_.derived_key_stays_secret.value_or(false)) {
    missing("hsm-derived-readable",
            "a derived key made SENSITIVE and not EXTRACTABLE can still be read or wrapped");
  } else {
    fact("a derived key made SENSITIVE and not EXTRACTABLE can be neither read nor wrapped");
  }
  if (result_.ecb_data_derives || result_.sp800_108_derives) try_digest_key(*base);
  try_read_scalar();
}

/// Of two KDFs the worse one counts.
template <typename Derive>
void Prober::try_derived_key_stays_secret(const Derive& derive) {
  const Key derived = derive();
  bool secret = !session_.read_secret(derived) &&
                session_.read_bool(derived, Attribute::Sensitive).is(true) &&
                session_.read_bool(derived, Attribute::Extractable).is(false);
  if (result_.kwp) {
    secret = secret &&
             !went_through("wrapping a derived key made not extractable (a refusal is right)", [&] {
               static_cast<void>(session_.wrap(*result_.kwp, kek_->handle, derived));
             });
  }
  secret = secret && !went_through("making a derived key extractable (a refusal is right)", [&] {
             session_.set_attributes(derived, Template{}.extractable(true));
           });
  result_.derived_key_stays_secret = result_.derived_key_stays_secret.value_or(true) && secret;
}

/// For families with plaintext in the worker: a write key that need not leave the module.
void Prober::try_digest_key(const KnownKey& base) {
  const ByteView rest = as_bytes("keyferry probe of a digest");
  static_cast<void>(went_through("C_DigestKey of a key that stays inside", [&] {
    const bool ecb = result_.ecb_data_derives;
    const Key derived = ecb ? session_.derive_aes_ecb_data(base.handle, ecb_data(), secret())
                            : session_.derive_sp800_108(base.handle, fixed_input(), secret());
    const SecretBytes value =
        ecb ? software_ecb(base.value, ecb_data()) : software_sp800_108(base.value);
    const SecretBytes digest = session_.digest_key(derived, {rest});
    const auto software = Botan::HashFunction::create_or_throw("SHA-256");
    software->update(value.expose().data(), value.size());
    software->update(rest.data(), rest.size());
    const auto expected = software->final();
    result_.digests_secret_key = equal(digest.expose(), expected);
  }));
  fact(result_.digests_secret_key
           ? "C_DigestKey takes a key that stays inside: write keys of ATECC608 never leave the HSM"
           : "no C_DigestKey of a key that stays inside: write keys of ATECC608 are read by the "
             "worker, for one record");
}

void Prober::try_read_scalar() {
  static_cast<void>(went_through("reading the scalar of a P-256 key", [&] {
    const DeviceKeyPair pair = session_.generate_device_pair(
        probe_ec_public_template(),
        probe_ec_private_template().sensitive(false).extractable(true).sign(true));
    auto scalar = session_.read_secret(pair.private_key);
    const auto key = scalar ? crypto::SoftKey::from_scalar(std::move(scalar.value)) : std::nullopt;
    result_.reads_scalar = key && equal(key->public_key().point(), pair.point);
  }));
  fact(result_.reads_scalar
           ? "the scalar of a P-256 key that was made readable can be read"
           : "no P-256 key can be made readable: where a family needs the scalar it is wrapped "
             "under a key that the worker knows");
}

void Prober::try_cmac() {
  const auto key = known_aes(0x60, probe_aes_template().sign(true));
  if (!key) return;
  const ByteView data = as_bytes("keyferry probe of a check value");
  static_cast<void>(went_through("CKM_AES_CMAC", [&] {
    result_.aes_cmac = session_.sign_cmac(key->handle, data) == crypto::cmac_aes(key->value, data);
  }));
  fact(result_.aes_cmac
           ? "CKM_AES_CMAC equals software"
           : "check values are computed from AES-ECB: there is no usable CKM_AES_CMAC");
}

}  // namespace keyferry::p11
