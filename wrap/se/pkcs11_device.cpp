#include "wrap/se/pkcs11_device.h"

#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"

namespace keyferry::se {

namespace {

using p11::KeyType;
using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;

// A published PKCS#8: RFC 6979 section A.2.5's key, without public key.
constexpr std::string_view kPublishedPkcs8Hex =
    "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420"
    "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";

/// What comes out of a transport key, whatever the caller asks for.
Template what_may_come_out() {
  return Template{}
      .object_class(ObjectClass::PrivateKey)
      .key_type(KeyType::Ec)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .derive(false)
      .decrypt(false)
      .unwrap(false);
}

class Abuser {
 public:
  Abuser(p11::Session& session, Mechanism kwp) : session_{session}, kwp_{kwp} {
    const SecretBytes value =
        SecretBytes::copy_of(crypto::sha256(as_bytes("keyferry/v1/abuse")).bytes());
    Template attributes = device_transport_key_template("keyferry-abuse", kwp_);
    transport_ = session_.create_object(attributes.token(false).secret_value(value));
    const auto pkcs8 = from_hex(kPublishedPkcs8Hex);
    blob_ = crypto::wrap_kwp(value, SecretBytes::copy_of(*pkcs8));
  }

  std::vector<std::string> run() {
    try_other_keys_out();
    try_changes();
    try_other_uses();
    try_the_injected_key();
    return std::move(through_);
  }

 private:
  template <typename Attempt>
  void must_be_refused(std::string_view what, const Attempt& attempt) {
    try {
      attempt();
    } catch (const p11::Pkcs11Error& error) {
      if (error.is_device_lost()) throw;
      return;
    }
    through_.emplace_back(what);
  }

  static Template session_private_key() {
    return Template{}
        .object_class(ObjectClass::PrivateKey)
        .key_type(KeyType::Ec)
        .token(false)
        .private_(true);
  }

  void unwrap_as(const Template& key) {
    static_cast<void>(session_.unwrap(kwp_, transport_, blob_, key));
  }

  void try_other_keys_out() {
    must_be_refused("a key can be unwrapped as extractable",
                    [this] { unwrap_as(session_private_key().sensitive(true).extractable(true)); });
    must_be_refused("a key can be unwrapped as not sensitive", [this] {
      unwrap_as(session_private_key().sensitive(false).extractable(false));
    });
    must_be_refused("a key can be unwrapped as a generic secret", [this] {
      unwrap_as(Template{}
                    .object_class(ObjectClass::SecretKey)
                    .key_type(KeyType::GenericSecret)
                    .token(false)
                    .sign(true));
    });
    must_be_refused("a key can be unwrapped for derivation", [this] {
      unwrap_as(session_private_key().sensitive(true).extractable(false).derive(true));
    });
  }

  void try_changes() {
    const auto change = [this](const Template& to) {
      return [this, to] { session_.set_attributes(transport_, to); };
    };
    must_be_refused("DECRYPT can be switched on at the transport key",
                    change(Template{}.decrypt(true)));
    must_be_refused("ENCRYPT can be switched on at the transport key",
                    change(Template{}.encrypt(true)));
    must_be_refused("WRAP can be switched on at the transport key", change(Template{}.wrap(true)));
    must_be_refused("the transport key can be made extractable",
                    change(Template{}.extractable(true)));
    must_be_refused("the transport key can be made not sensitive",
                    change(Template{}.sensitive(false)));
    must_be_refused("a copy of the transport key can be made that decrypts", [this] {
      static_cast<void>(session_.copy_object(transport_, Template{}.token(false).decrypt(true)));
    });
  }

  void try_other_uses() {
    must_be_refused("the transport key encrypts blocks",
                    [this] { static_cast<void>(session_.aes_ecb_encrypt(transport_, Bytes(16))); });
    must_be_refused("the transport key unwraps without integrity (CKM_AES_CBC_PAD)", [this] {
      static_cast<void>(
          session_.unwrap(Mechanism::AesCbcPad, transport_, blob_, session_private_key()));
    });
    must_be_refused("the transport key wraps other keys", [this] {
      const p11::Key other = session_.generate_aes(Template{}
                                                       .object_class(ObjectClass::SecretKey)
                                                       .key_type(KeyType::Aes)
                                                       .value_len(32)
                                                       .token(false)
                                                       .sensitive(true)
                                                       .extractable(true));
      static_cast<void>(session_.wrap(kwp_, transport_, other));
    });
    if (session_.read_secret(transport_)) through_.emplace_back("the transport key can be read");
  }

  void try_the_injected_key() {
    Template wanted = injected_key_template("keyferry-abuse", as_bytes("abuse"));
    const p11::Key injected = session_.unwrap(kwp_, transport_, blob_, wanted.token(false));
    if (session_.read_secret(injected)) through_.emplace_back("an injected key can be read");
    must_be_refused("an injected key can be made extractable",
                    [&] { session_.set_attributes(injected, Template{}.extractable(true)); });
    must_be_refused("an injected key can be made not sensitive",
                    [&] { session_.set_attributes(injected, Template{}.sensitive(false)); });
    must_be_refused("a copy of an injected key can be made that is extractable", [&] {
      static_cast<void>(session_.copy_object(injected, Template{}.token(false).extractable(true)));
    });
  }

  p11::Session& session_;
  Mechanism kwp_;
  p11::Key transport_;
  Bytes blob_;
  std::vector<std::string> through_;
};

}  // namespace

Template device_transport_key_template(std::string_view label, Mechanism kwp) {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(KeyType::Aes)
      .label(label)
      .token(true)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .wrap(false)
      .unwrap(true)
      .encrypt(false)
      .decrypt(false)
      .sign(false)
      .verify(false)
      .derive(false)
      .allowed_mechanisms({kwp})
      .unwrap_template(what_may_come_out());
}

Template injected_key_template(std::string_view label, ByteView id) {
  return what_may_come_out().label(label).id(id).token(true).sign(true);
}

std::vector<std::string> device_abuses(p11::Session& session, Mechanism kwp) {
  return Abuser{session, kwp}.run();
}

}  // namespace keyferry::se
