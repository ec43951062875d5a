// A session on a token, and everything that is done in one. A Session belongs to one thread.
//
// Objects: a token object is an ObjectHandle, it stays when the process ends. Whatever makes a key
// returns a Key, which destroys a session object at the end of its scope and leaves a token object
// alone.
#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wrap/base/ids.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/oaep.h"
#include "wrap/crypto/signing.h"
#include "wrap/p11/error.h"
#include "wrap/p11/module.h"
#include "wrap/p11/template.h"
#include "wrap/p11/types.h"

namespace keyferry::p11 {

class Session;

enum class LoginResult {
  Ok,
  WrongPin,  // also a PIN of impossible length
  Locked,
  Expired,
  NoPinSet,
};

[[nodiscard]] std::string_view to_string(LoginResult result);

/// An attribute as read: a value, or why there is none.
template <typename T>
struct Read {
  enum class State { Value, Sensitive, Absent };
  State state = State::Absent;
  T value{};

  explicit operator bool() const { return state == State::Value; }

  [[nodiscard]] bool is(const T& expected) const {
    return state == State::Value && value == expected;
  }
};

/// A key that was made here. Session object: destroyed when this goes. Token object: a handle,
/// nothing more. The Session must outlive it; going after the session was lost does nothing.
class Key {
 public:
  Key() = default;

  Key(Session& session, ObjectHandle handle, bool owned)
      : session_{&session}, handle_{handle}, owned_{owned} {}

  Key(Key&& other) noexcept;
  Key& operator=(Key&& other) noexcept;
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  ~Key();

  [[nodiscard]] ObjectHandle handle() const { return handle_; }

  // A Key is used as its handle.
  // NOLINTNEXTLINE(google-explicit-constructor)
  operator ObjectHandle() const { return handle_; }

  [[nodiscard]] bool valid() const { return handle_.value != 0; }

  /// Destroys a session object now and throws if that fails; the destructor can only count it
  /// (Session::failed_destroys).
  void destroy();

  /// Gives the handle away; nothing is destroyed any more.
  ObjectHandle release();

 private:
  Session* session_ = nullptr;
  ObjectHandle handle_;
  bool owned_ = false;
};

struct KeyPair {
  Key public_key;
  Key private_key;
};

/// A pair that is made to be wrapped at once, and its public point as read from the module.
struct DeviceKeyPair {
  Key public_key;
  Key private_key;
  EcPoint point{};
};

/// What a role table is compared with: every attribute that decides what an object may be used for.
/// Absent: the module does not have the attribute for this object.
struct PolicyAttributes {
  Read<unsigned long> object_class, key_type, value_len, modulus_bits;
  Read<Bytes> label, id, ec_params;
  Read<bool> token, private_, sensitive, extractable, modifiable, copyable, destroyable, trusted,
      wrap_with_trusted, always_authenticate, always_sensitive, never_extractable, local;
  Read<bool> sign, verify, wrap, unwrap, encrypt, decrypt, derive;
  Read<std::vector<Mechanism>> allowed_mechanisms;
};

class Session {
 public:
  Session(Module& module, SlotId slot, Access access);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] Module& module() const { return module_; }

  [[nodiscard]] SlotId slot() const { return slot_; }

  /// A call was told that this session is no more. Its session objects went with it: Keys that are
  /// left only forget their handles, and the destructor does not close the number, which the module
  /// may have given to a new session by then. Nothing else may be done with it.
  [[nodiscard]] bool lost() const { return lost_; }

  // --- Login: counts for all sessions of this process on the slot

  /// Being logged in with this role already is Ok. Whatever is no LoginResult throws Pkcs11Error.
  [[nodiscard]] LoginResult login(Role role, const SecretBytes& pin);
  /// login; anything but Ok is Error{Refused} that names the token, not the PIN.
  void login_or_throw(Role role, const SecretBytes& pin);
  void logout();
  /// Sets the user PIN; logged in as security officer, ReadWrite.
  void init_pin(const SecretBytes& user_pin);
  /// Changes the PIN of who is logged in (of the user when nobody is).
  [[nodiscard]] LoginResult set_pin(const SecretBytes& old_pin, const SecretBytes& new_pin);

  // --- Objects

  /// All that match, in the module's order. Not for hot loops.
  [[nodiscard]] std::vector<ObjectHandle> find(const Template& wanted);
  /// The one object with this class and label; nothing when there is none, Error{Hsm} when there
  /// are several.
  [[nodiscard]] std::optional<ObjectHandle> find_one(ObjectClass object_class,
                                                     std::string_view label);
  /// find_one() of what stays in the token: searched for once in the life of this session, since a
  /// search may read every object. Whoever destroys it does so through this session or ends it.
  [[nodiscard]] std::optional<ObjectHandle> find_lasting(ObjectClass object_class,
                                                         std::string_view label);

  [[nodiscard]] Read<bool> read_bool(ObjectHandle object, Attribute attribute);
  [[nodiscard]] Read<unsigned long> read_number(ObjectHandle object, Attribute attribute);
  /// At most 2 MiB (kf-state is the largest that we write); above that Error{Hsm}. For what is
  /// public: a key's value is read with read_secret.
  [[nodiscard]] Read<Bytes> read_bytes(ObjectHandle object, Attribute attribute);
  [[nodiscard]] Read<std::vector<Mechanism>> read_mechanisms(ObjectHandle object,
                                                             Attribute attribute);
  /// CKA_VALUE of a secret or private key. Only families with plaintext in the worker (design.md
  /// section 5) and tests.
  [[nodiscard]] Read<SecretBytes> read_secret(ObjectHandle object);
  [[nodiscard]] PolicyAttributes read_policy(ObjectHandle object);
  /// CKA_SENSITIVE true and CKA_EXTRACTABLE false, asked in one call: for the hot loop.
  [[nodiscard]] bool stays_inside(ObjectHandle key);
  /// Names of the attributes of `expected` that the object has otherwise or not at all, in the
  /// template's order. Secret values are not compared; of nested templates: that they are there,
  /// and their values where the module tells.
  [[nodiscard]] std::vector<std::string> differences(ObjectHandle object, const Template& expected);

  /// C_CreateObject: data objects, certificates, and as an approved operation masters and vendor
  /// keys.
  [[nodiscard]] Key create_object(const Template& attributes);
  [[nodiscard]] Key copy_object(ObjectHandle object, const Template& changes);
  void set_attributes(ObjectHandle object, const Template& changes);
  void destroy(ObjectHandle object);

  // --- Keys

  [[nodiscard]] KeyPair generate_p256_pair(const Template& public_key, const Template& private_key);
  /// generate_p256_pair with the point read: templates of session objects.
  [[nodiscard]] DeviceKeyPair generate_device_pair(const Template& public_key,
                                                   const Template& private_key);
  [[nodiscard]] KeyPair generate_rsa_pair(const Template& public_key, const Template& private_key);
  [[nodiscard]] Key generate_aes(const Template& key);  ///< give value_len

  /// CKM_AES_ECB_ENCRYPT_DATA: the key is AES-ECB(base, data). data: a multiple of 16 octets, at
  /// most 64.
  [[nodiscard]] Key derive_aes_ecb_data(ObjectHandle base, ByteView data, const Template& key);

  /// CKM_SP800_108_COUNTER_KDF (PKCS#11 3.0, section 2.42; NIST SP 800-108r1 section 4.1) with
  /// CMAC-AES: block i is CMAC(base, u32be i, fixed_input, u32be bits of the key). fixed_input:
  /// label, zero octet, context; 1 to 1024 octets. Give value_len (octets).
  [[nodiscard]] Key derive_sp800_108(ObjectHandle base, ByteView fixed_input, const Template& key);

  /// C_WrapKey without a length query (in SoftHSM that does the whole work): 512 octets, more only
  /// when they do not do.
  [[nodiscard]] Bytes wrap(Mechanism mechanism, ObjectHandle wrapping_key, ObjectHandle key);
  /// Which code a module gives for a bad blob varies: take every Pkcs11Error that is not
  /// is_device_lost() as "blob or key wrong".
  [[nodiscard]] Key unwrap(Mechanism mechanism,
                           ObjectHandle unwrapping_key,
                           ByteView blob,
                           const Template& key);

  /// CKM_RSA_PKCS_OAEP with `hash` and MGF1 over the same hash, without a label (RFC 8017 section
  /// 7.1). Errors as for unwrap: every refusal of a bad blob looks the same to a caller.
  [[nodiscard]] Key unwrap_oaep(crypto::OaepHash hash,
                                ObjectHandle private_key,
                                ByteView blob,
                                const Template& key);

  /// CKM_ECDSA over a digest; r and s, 32 octets each.
  [[nodiscard]] Bytes sign_ecdsa(ObjectHandle private_key, const Digest& digest);
  [[nodiscard]] bool verify_ecdsa(ObjectHandle public_key,
                                  const Digest& digest,
                                  ByteView signature);
  /// ECDH over P-256, CKD_NULL: the x coordinate, 32 octets. The derived secret is a session object
  /// that lives inside this call. Takes the peer's point as raw octets or as DER, whichever the
  /// module takes.
  [[nodiscard]] SecretBytes ecdh(ObjectHandle private_key, const crypto::PublicKey& peer);

  /// CKA_EC_POINT, raw or DER. Error{Hsm} when it is neither.
  [[nodiscard]] EcPoint ec_point_octets(ObjectHandle public_key);
  /// The same, checked to be a point of the curve.
  [[nodiscard]] crypto::PublicKey ec_point(ObjectHandle public_key);
  [[nodiscard]] PointForm ec_point_form(ObjectHandle public_key);

  /// CKA_MODULUS and CKA_PUBLIC_EXPONENT as SubjectPublicKeyInfo DER (RFC 3279 section 2.3.1).
  /// Error{Hsm} when one of them is not there.
  [[nodiscard]] Bytes rsa_public_key(ObjectHandle public_key);

  /// In the form that ecdh() ended up with; nothing before the first one.
  [[nodiscard]] std::optional<PointForm> ecdh_point_form() const { return ecdh_form_; }

  [[nodiscard]] Bytes generate_random(std::size_t size_bytes);
  /// For check values and tests. data: a multiple of 16 octets.
  [[nodiscard]] Bytes aes_ecb_encrypt(ObjectHandle key, ByteView data);

  /// SHA-256 of the key's octets and what follows them, by C_DigestKey: the key stays where it is.
  /// Modules may say no to keys that are sensitive, or to all (CKR_KEY_INDIGESTIBLE).
  [[nodiscard]] SecretBytes digest_key(ObjectHandle key, std::initializer_list<ByteView> followed_by);

  /// CKM_AES_CMAC (RFC 4493) over `data`: 16 octets. The key needs CKA_SIGN.
  [[nodiscard]] Bytes sign_cmac(ObjectHandle key, ByteView data);

  /// Session objects whose destruction failed in a destructor: a worker that sees any should be
  /// replaced.
  [[nodiscard]] int failed_destroys() const { return failed_destroys_; }

  /// `key "dev-root", slot 3`: how errors name an object. Asks the module for the label.
  [[nodiscard]] std::string describe(ObjectHandle object);

 private:
  friend class Key;

  /// The one check of a call in this session (cryptoki.h): also notes that the session is lost.
  template <typename Describe>
  void check(unsigned long rv, std::string_view function, const Describe& object);
  void note(unsigned long rv) noexcept;
  void destroy_quietly(ObjectHandle object) noexcept;
  [[nodiscard]] Key made(ObjectHandle handle, const Template& attributes);
  [[nodiscard]] KeyPair generate_pair(Mechanism mechanism,
                                      const Template& public_key,
                                      const Template& private_key);
  enum class RawRead { Value, Sensitive, Absent, TooSmall };
  /// The attribute's octets in `buffer` and their number in `size_bytes`; or why not.
  [[nodiscard]] RawRead read_raw(ObjectHandle object,
                                 Attribute attribute,
                                 std::span<std::uint8_t> buffer,
                                 std::size_t& size_bytes);
  [[nodiscard]] std::size_t raw_size(ObjectHandle object, Attribute attribute);
  [[nodiscard]] bool same_nested(ObjectHandle object,
                                 Attribute attribute,
                                 const Template& expected);
  [[nodiscard]] std::string describe_new(const Template& attributes) const;
  [[nodiscard]] std::optional<unsigned long> try_ecdh(ObjectHandle private_key,
                                                      ByteView point,
                                                      unsigned long& secret);

  Module& module_;
  SlotId slot_;
  unsigned long handle_ = 0;
  std::optional<PointForm> ecdh_form_;
  std::map<std::pair<ObjectClass, std::string>, ObjectHandle> lasting_;
  int failed_destroys_ = 0;
  bool lost_ = false;
};

}  // namespace keyferry::p11
