// The payload of family `atecc608`, made without the chip: fixed Nonce, GenDig, encrypted PrivWrite
// and the pre-flight CheckMac (facts page sections 4.8, 6.1 and 7; FORMAT.md section 7).
//
// No PKCS#11 mechanism makes it, so the device key is in this process's memory for the time of one
// build() (design.md section 5). The transport key stays in the HSM where the module has
// C_DigestKey for keys that are not extractable; otherwise it is read, for one record too.
#pragma once

#include <functional>
#include <initializer_list>
#include <string_view>
#include <variant>

#include "wrap/base/random.h"
#include "wrap/p11/probe.h"
#include "wrap/p11/session.h"
#include "wrap/se/atecc608_payload.h"
#include "wrap/se/delivery.h"
#include "wrap/se/entry.h"
#include "wrap/se/kdf.h"
#include "wrap/se/pkcs11_builder.h"

namespace keyferry::se {

/// Where transport key and device key are used in the clear.
enum class TransportPlace { Hsm, Worker };
enum class ScalarWay {
  Read,       // CKA_VALUE of a session key that was made readable
  Unwrapped,  // RFC 5649 under a throw-away key whose octets are read
};

/// One sentence for the log and for `doctor`: which keys are in the clear, where, for how long.
[[nodiscard]] std::string plaintext_sentence(TransportPlace transport, ScalarWay scalar);

[[nodiscard]] TransportPlace transport_place(const p11::ProbeResult& facts);
[[nodiscard]] ScalarWay scalar_way(const p11::ProbeResult& facts);

/// SHA-256 of the transport key's 32 octets and what follows them, wherever the key is.
using TransportHash = std::function<SecretBytes(std::initializer_list<ByteView> followed_by)>;

/// The same in software, of octets that outlive it.
[[nodiscard]] TransportHash software_hash(const SecretBytes& transport_key);

/// What is drawn for one record and never again.
struct Atecc608Fresh {
  std::array<std::uint8_t, 32> nonce{};
  std::array<std::uint8_t, 32> challenge{};
};

/// Cipher, MAC and pre-flight response for `scalar` (32 octets, else Error{InvalidArgument}).
/// serial: as normalise_serial gives it. Session key and plaintext live inside this call.
[[nodiscard]] Atecc608Payload seal_scalar(const TransportHash& transport,
                                          const SeSerial& serial,
                                          const Atecc608Profile& profile,
                                          const Atecc608Fresh& fresh,
                                          const SecretBytes& scalar);

/// Leading 16 octets of SHA-256(serial, nonce): two payloads for one chip under one nonce would
/// tell both keys, so none of these may occur twice in history.
[[nodiscard]] std::array<std::uint8_t, 16> atecc608_nonce_id(const SeSerial& serial,
                                                             ByteView nonce);

class Atecc608Builder {
 public:
  /// Session (logged in), facts and `pkcs11` outlive this and belong to one thread. Error{Refused}
  /// as check_profile.
  Atecc608Builder(p11::Session& session,
                  const p11::ProbeResult& facts,
                  Pkcs11Builder& pkcs11,
                  const Atecc608Profile& profile);

  /// From kf-tk/NAME by the master's own KDF: session object without any use, sensitive and not
  /// extractable where the module digests it, else readable. The first one's attributes are read
  /// back; a difference is Error{Hsm}: drift.
  [[nodiscard]] p11::Key derive_transport_key(p11::ObjectHandle master,
                                              std::string_view master_name,
                                              const Entry& entry,
                                              Kdf kdf);

  /// The same from a vendor's blob; refusals and errors as Pkcs11Builder::unwrap_transport_key,
  /// which shows first that it holds 32 octets.
  [[nodiscard]] std::variant<p11::Key, Refusal> unwrap_transport_key(Delivery delivery,
                                                                     p11::ObjectHandle vendor_key,
                                                                     ByteView blob);

  struct Built {
    Atecc608Payload payload;
    crypto::PublicKey public_key;
  };

  /// A new device key for the chip of `entry`, sealed. Error{Hsm} when the module's key pair does
  /// not belong together, or as p11.
  [[nodiscard]] Built build(const Entry& entry, p11::ObjectHandle transport, RandomSource& random);

 private:
  [[nodiscard]] SecretBytes device_scalar(const p11::DeviceKeyPair& device);
  void read_back(p11::ObjectHandle transport, const p11::Template& expected, bool& done);

  p11::Session& session_;
  Pkcs11Builder& pkcs11_;
  Atecc608Profile profile_;
  TransportPlace transport_place_;
  ScalarWay scalar_way_;
  p11::Mechanism kwp_;
  p11::Template derived_;
  p11::Template delivered_;
  p11::Template device_public_;
  p11::Template device_private_;
  bool derived_read_back_ = false;    // the first one of each kind is read back whole
  bool delivered_read_back_ = false;
};

}  // namespace keyferry::se
