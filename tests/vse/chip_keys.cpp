#include "tests/vse/chip_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::vse {
namespace {

using p11::Attribute;
using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;

constexpr std::size_t kTransportKeyBytes = 32;

// PKCS#8 (RFC 5208) of a P-256 key up to its 32 octets: no parameters inside, no public key.
constexpr std::array<std::uint8_t, 35> kPkcs8Head{
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48,
    0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03,
    0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04, 0x20};
// A published private key: RFC 6979 section A.2.5.
constexpr std::array<std::uint8_t, 32> kPublishedScalar{
    0xC9, 0xAF, 0xA9, 0xD8, 0x45, 0xBA, 0x75, 0x16, 0x6B, 0x5C, 0x21, 0x57, 0x67, 0xB1, 0xD6, 0x93,
    0x4E, 0x50, 0xC3, 0xDB, 0x36, 0xE8, 0x9B, 0x12, 0x7B, 0x8A, 0x62, 0x2B, 0x12, 0x0F, 0x67, 0x21};
constexpr std::size_t kPaddedPkcs8Bytes = 72;  // with the zero octets that some modules add

SecretBytes published_pkcs8(std::size_t size_bytes) {
  SecretBytes pkcs8{size_bytes};
  const auto at = std::ranges::copy(kPkcs8Head, pkcs8.expose_writable().begin()).out;
  std::ranges::copy(kPublishedScalar, at);
  return pkcs8;
}

Template session_device_key() {
  return device_key_template().token(false).label("kf-vse");
}

Template wrapping_key() {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(p11::KeyType::Aes)
      .label("kf-vse")
      .token(false)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .wrap(true)
      .value_len(kTransportKeyBytes);
}

class Abuser {
 public:
  Abuser(p11::Session& session,
         p11::ObjectHandle transport,
         const SecretBytes& value,
         Mechanism kwp)
      : session_{session}, transport_{transport}, value_{value}, kwp_{kwp} {
    blob_ = crypto::wrap_kwp(value_, published_pkcs8(kPkcs8Head.size() + kPublishedScalar.size()));
  }

  std::vector<std::string> run() {
    use_otherwise();
    unwrap_otherwise();
    inject();
    return std::move(wrong_);
  }

 private:
  /// `step` must be refused by the module.
  template <typename Step>
  void refused(std::string_view what, const Step& step) {
    try {
      step();
    } catch (const p11::Pkcs11Error& error) {
      if (error.is_device_lost()) throw;
      return;
    }
    wrong_.push_back(std::string{what} + " was let through");
  }

  void not_readable(std::string_view what, p11::ObjectHandle key) {
    if (session_.read_secret(key)) wrong_.push_back(fmt::format("{} can be read", what));
  }

  void not_changeable(std::string_view what,
                      p11::ObjectHandle key,
                      std::initializer_list<Attribute> to_true) {
    for (const Attribute attribute : to_true) {
      refused(fmt::format("switching {} on in {}", attribute_name(attribute), what),
              [&] { session_.set_attributes(key, Template{}.boolean(attribute, true)); });
    }
    refused(fmt::format("switching CKA_SENSITIVE off in {}", what),
            [&] { session_.set_attributes(key, Template{}.sensitive(false)); });
    // A module may refuse the one and let the other through, which is a token object then.
    for (const Template& changes : {Template{}, Template{}.token(false)}) {
      refused(fmt::format("a copy of {}", what),
              [&] { session_.destroy(session_.copy_object(key, changes).release()); });
    }
  }

  void use_otherwise() {
    constexpr std::string_view kWhat = "the transport key";
    not_readable(kWhat, transport_);
    not_changeable(kWhat,
                   transport_,
                   {Attribute::Extractable,
                    Attribute::Decrypt,
                    Attribute::Encrypt,
                    Attribute::Wrap,
                    Attribute::Derive,
                    Attribute::Modifiable,
                    Attribute::Copyable});
    refused("widening CKA_ALLOWED_MECHANISMS of the transport key", [&] {
      session_.set_attributes(transport_,
                              Template{}.allowed_mechanisms({kwp_, Mechanism::AesCbcPad}));
    });
    refused("encryption with the transport key",
            [&] { static_cast<void>(session_.aes_ecb_encrypt(transport_, Bytes(16))); });
    refused("wrapping with the transport key", [&] {
      const p11::Key victim =
          session_.generate_aes(wrapping_key().extractable(true).sensitive(false));
      static_cast<void>(session_.wrap(kwp_, transport_, victim));
    });
    const std::vector<std::string> other =
        session_.differences(transport_, transport_key_template("", kwp_).remove(Attribute::Label));
    if (!other.empty()) {
      wrong_.push_back(fmt::format("the transport key was taken with other attributes: {}",
                                   fmt::join(other, ", ")));
    }
  }

  void unwrap_as(std::string_view what, const Template& wanted) {
    refused(fmt::format("unwrapping a P-256 key {}", what),
            [&] { session_.unwrap(kwp_, transport_, blob_, wanted).destroy(); });
  }

  void unwrap_otherwise() {
    unwrap_as("as extractable", session_device_key().extractable(true));
    unwrap_as("as not sensitive", session_device_key().sensitive(false));
    unwrap_as("for derivation", session_device_key().derive(true));
    unwrap_as("as modifiable", session_device_key().modifiable(true));
    unwrap_as("as copyable", session_device_key().copyable(true));
    unwrap_as("as a readable generic secret",
              Template{}
                  .object_class(ObjectClass::SecretKey)
                  .key_type(p11::KeyType::GenericSecret)
                  .token(false)
                  .sensitive(false)
                  .extractable(true));
    unwrap_as("as a generic secret for HMAC",
              Template{}
                  .object_class(ObjectClass::SecretKey)
                  .key_type(p11::KeyType::GenericSecret)
                  .token(false)
                  .sensitive(true)
                  .extractable(false)
                  .sign(true));
    Bytes tampered = blob_;
    tampered.back() ^= 0x01;
    refused("a tampered blob",
            [&] { session_.unwrap(kwp_, transport_, tampered, session_device_key()).destroy(); });
    const Bytes without_padding = crypto::wrap_kw(value_, published_pkcs8(kPaddedPkcs8Bytes));
    refused("unwrapping by another mechanism", [&] {
      session_.unwrap(Mechanism::AesKeyWrap, transport_, without_padding, session_device_key())
          .destroy();
    });
  }

  void inject() {
    constexpr std::string_view kWhat = "an injected key";
    p11::Key key;
    try {
      key = session_.unwrap(kwp_, transport_, blob_, session_device_key());
    } catch (const p11::Pkcs11Error& error) {
      if (error.is_device_lost()) throw;
      wrong_.push_back(fmt::format("an honest injection is refused: {}", error.what()));
      return;
    }
    const auto published = crypto::SoftKey::from_scalar(SecretBytes::copy_of(kPublishedScalar));
    const Digest digest = crypto::sha256(as_bytes("keyferry-vse: a key that was injected"));
    if (!crypto::verify(published->public_key(), digest, session_.sign_ecdsa(key, digest))) {
      wrong_.push_back("an injected key signs as another key");
    }
    not_readable(kWhat, key);
    not_changeable(
        kWhat,
        key,
        {Attribute::Extractable, Attribute::Derive, Attribute::Modifiable, Attribute::Copyable});
    refused("wrapping an injected key", [&] {
      const p11::Key other = session_.generate_aes(wrapping_key());
      static_cast<void>(session_.wrap(kwp_, other, key));
    });
    refused("ECDH with an injected key",
            [&] { static_cast<void>(session_.ecdh(key, published->public_key())); });
  }

  p11::Session& session_;
  p11::ObjectHandle transport_;
  const SecretBytes& value_;
  Mechanism kwp_;
  Bytes blob_;
  std::vector<std::string> wrong_;
};

}  // namespace

Template transport_key_template(std::string_view label, Mechanism kwp) {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(p11::KeyType::Aes)
      .label(label)
      .token(true)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .unwrap(true)
      .wrap(false)
      .encrypt(false)
      .decrypt(false)
      .sign(false)
      .verify(false)
      .derive(false)
      .allowed_mechanisms({kwp})
      .unwrap_template(Template{}
                           .object_class(ObjectClass::PrivateKey)
                           .key_type(p11::KeyType::Ec)
                           .private_(true)
                           .sensitive(true)
                           .extractable(false)
                           .modifiable(false)
                           .copyable(false)
                           .derive(false)
                           .decrypt(false)
                           .unwrap(false));
}

Template device_key_template() {
  return Template{}
      .object_class(ObjectClass::PrivateKey)
      .key_type(p11::KeyType::Ec)
      .token(true)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .sign(true)
      .decrypt(false)
      .unwrap(false)
      .derive(false);
}

std::vector<std::string> try_abuses(p11::Session& session,
                                    p11::ObjectHandle transport,
                                    const SecretBytes& value,
                                    Mechanism kwp) {
  return Abuser{session, transport, value, kwp}.run();
}

}  // namespace keyferry::vse
