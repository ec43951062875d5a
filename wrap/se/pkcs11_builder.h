// The payload of family `pkcs11`: the device key as PKCS#8 under AES-KWP (RFC 5649), made by
// C_WrapKey alone, so that no process of ours sees the key (I1). se/pkcs11-token.md, FORMAT.md.
#pragma once

#include <string_view>
#include <variant>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/p11/probe.h"
#include "wrap/p11/session.h"
#include "wrap/se/delivery.h"
#include "wrap/se/entry.h"
#include "wrap/se/kdf.h"
#include "wrap/se/pkcs8.h"

namespace keyferry::se {

/// A transport key on the appliance's side: session object, AES-256, sensitive, not extractable,
/// not modifiable, not copyable, WRAP only, `kwp` the only mechanism.
[[nodiscard]] p11::Template transport_key_template(p11::Mechanism kwp);

/// A device key: session objects; the private one sensitive, extractable (it has to be wrapped),
/// SIGN only.
[[nodiscard]] p11::Template device_public_template();
[[nodiscard]] p11::Template device_private_template();

struct DeliveredKey {
  p11::Key key;
  Bytes check_value;  // 16 octets: Pkcs11Builder::transport_check_value
};

/// Builds payloads in one session. Belongs to that session's thread; the session must be logged in
/// and outlive it.
class Pkcs11Builder {
 public:
  /// Error{Hsm} when the probe found no RFC 5649 mechanism.
  Pkcs11Builder(p11::Session& session, const p11::ProbeResult& facts);

  /// Transport key from kf-tk/NAME by the master's own KDF. The first one of a builder is read back
  /// whole (every attribute of the template); later ones CKA_SENSITIVE and CKA_EXTRACTABLE only. A
  /// difference is Error{Hsm}: drift.
  [[nodiscard]] p11::Key derive_transport_key(p11::ObjectHandle master,
                                              std::string_view master_name,
                                              const Entry& entry,
                                              Kdf kdf = Kdf::KfKdf1);

  /// Transport key that a vendor delivered, unwrapped by kf-vendor/NAME; attributes as above, and
  /// one trial wrap for its check value. It must be 32 octets long: what CKA_VALUE_LEN says, or
  /// where a module leaves that 0 (SoftHSM 2.6), what the blob proves: a KWP blob of 40 octets that
  /// makes a working AES key can only hold 32. An OAEP blob has one size for all, so there a second
  /// copy is unwrapped that has no use at all and may be wrapped, and its length is read off one
  /// C_WrapKey under a throw-away key; both are gone at once. Refusal `transport-key-invalid`:
  /// which of blob or key is wrong is not told. Modules have no one code for it, and some of theirs
  /// may be an accident as well (CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED): it is tried twice. Error
  /// only for a lost device or session, no room, or drift.
  [[nodiscard]] std::variant<DeliveredKey, Refusal> unwrap_transport_key(
      Delivery delivery, p11::ObjectHandle vendor_key, ByteView blob);

  /// Does the vendor key in the HSM open `proof` to vendor_check_constant()? Then it is the key
  /// that the proof was made for (check_value.h).
  [[nodiscard]] bool opens_vendor_proof(Delivery delivery,
                                        p11::ObjectHandle vendor_key,
                                        ByteView proof);

  [[nodiscard]] p11::DeviceKeyPair generate_device_key();

  /// C_WrapKey of `private_key` under `transport`; the size of the result is checked.
  [[nodiscard]] Bytes wrap(p11::ObjectHandle transport, p11::ObjectHandle private_key);

  /// 16 octets that tell two transport keys apart without telling either: leading octets of SHA-256
  /// of a published constant key (SHA-256 of "keyferry/v1/transport-check") wrapped under
  /// `transport`. One wrap; not in the hot loop.
  [[nodiscard]] Bytes transport_check_value(p11::ObjectHandle transport);

 private:
  void read_back(p11::ObjectHandle transport, const p11::Template& expected);
  [[nodiscard]] std::variant<DeliveredKey, Refusal> try_unwrap_transport_key(
      Delivery delivery, p11::ObjectHandle vendor_key, ByteView blob);
  [[nodiscard]] p11::Key unwrap(Delivery delivery,
                                p11::ObjectHandle vendor_key,
                                ByteView blob,
                                const p11::Template& key);
  [[nodiscard]] bool is_aes_256(Delivery delivery,
                                p11::ObjectHandle vendor_key,
                                p11::ObjectHandle transport,
                                ByteView blob);
  [[nodiscard]] std::size_t measured_wrap_bytes(Delivery delivery,
                                                p11::ObjectHandle vendor_key,
                                                ByteView blob);

  p11::Session& session_;
  p11::Mechanism kwp_;
  p11::Template derived_;    // transport_key_template
  p11::Template delivered_;  // the same without CKA_VALUE_LEN, which C_UnwrapKey does not take
  p11::Template device_public_;
  p11::Template device_private_;
  bool first_read_back_ = true;
};

}  // namespace keyferry::se
