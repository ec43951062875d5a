#include "wrap/se/pkcs11_builder.h"

#include <fmt/format.h>

#include "wrap/crypto/hash.h"
#include "wrap/se/kdf1.h"

namespace keyferry::se {

namespace {

using p11::Attribute;
using p11::KeyType;
using p11::ObjectClass;
using p11::Template;

constexpr std::size_t kTransportKeyBytes = 32;
constexpr std::size_t kWrappedTransportKeyBytes =
    40;  // RFC 5649: holds 25 to 32 octets, of which AES takes 32 only
constexpr std::size_t kCheckValueBytes = 16;
// RFC 5649: 8 octets and the plaintext rounded up to 8. SoftHSM's 67-octet PKCS#8 gives 80; one
// with parameters and public key 152.
constexpr std::size_t kMinBlobBytes = 72;
constexpr std::size_t kMaxBlobBytes = 200;
constexpr std::string_view kCheckKeyName = "keyferry/v1/transport-check";

std::string join(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

Template transport_key_template(p11::Mechanism kwp) {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(KeyType::Aes)
      .value_len(kTransportKeyBytes)
      .token(false)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .wrap(true)
      .unwrap(false)
      .encrypt(false)
      .decrypt(false)
      .sign(false)
      .verify(false)
      .derive(false)
      .allowed_mechanisms({kwp});
}

Template device_public_template() {
  return Template{}
      .object_class(ObjectClass::PublicKey)
      .key_type(KeyType::Ec)
      .token(false)
      .private_(true)
      .verify(true)
      .encrypt(false)
      .wrap(false)
      .derive(false)
      .p256();
}

// SIGN only: nothing else is needed here, and the SE sets its own uses when it unwraps.
Template device_private_template() {
  return Template{}
      .object_class(ObjectClass::PrivateKey)
      .key_type(KeyType::Ec)
      .token(false)
      .private_(true)
      .sensitive(true)
      .extractable(true)
      .modifiable(false)
      .copyable(false)
      .sign(true)
      .decrypt(false)
      .unwrap(false)
      .derive(false)
      .allowed_mechanisms({p11::Mechanism::Ecdsa});
}

Pkcs11Builder::Pkcs11Builder(p11::Session& session, const p11::ProbeResult& facts)
    : session_{session},
      kwp_{facts.kwp_or_throw()},
      derived_{transport_key_template(kwp_)},
      delivered_{transport_key_template(kwp_).remove(Attribute::ValueLen)},
      device_public_{device_public_template()},
      device_private_{device_private_template()} {}

p11::Key Pkcs11Builder::derive_transport_key(p11::ObjectHandle master,
                                             std::string_view master_name,
                                             const Entry& entry) {
  const Bytes data = kf_kdf_1_data(master_name, entry, kTransportKeyBytes);
  p11::Key transport = session_.derive_aes_ecb_data(master, data, derived_);
  read_back(transport, derived_);
  return transport;
}

std::variant<DeliveredKey, Refusal> Pkcs11Builder::unwrap_transport_key(
    p11::Mechanism mechanism, p11::ObjectHandle vendor_key, ByteView blob) {
  const Refusal refusal{
      "transport-key-invalid",
      "the delivered transport key does not open under the vendor key, or is no AES-256 key"};
  try {
    p11::Key transport = session_.unwrap(mechanism, vendor_key, blob, delivered_);
    if (!is_aes_256(mechanism, transport, blob)) return refusal;
    read_back(transport, delivered_);
    Bytes check_value = transport_check_value(transport);
    return DeliveredKey{std::move(transport), std::move(check_value)};
  } catch (const p11::Pkcs11Error& error) {
    // A key of a length that AES does not know is refused when it is first used.
    if (error.is_device_lost() ||
        (error.function() != "C_UnwrapKey" && error.function() != "C_WrapKey"))
      throw;
    return refusal;
  }
}

bool Pkcs11Builder::is_aes_256(p11::Mechanism mechanism,
                               p11::ObjectHandle transport,
                               ByteView blob) {
  const auto length = session_.read_number(transport, Attribute::ValueLen);
  if (length && length.value != 0) return length.value == kTransportKeyBytes;
  return mechanism == kwp_ && blob.size() == kWrappedTransportKeyBytes;
}

p11::DeviceKeyPair Pkcs11Builder::generate_device_key() {
  return session_.generate_device_pair(device_public_, device_private_);
}

Bytes Pkcs11Builder::wrap(p11::ObjectHandle transport, p11::ObjectHandle private_key) {
  Bytes blob = session_.wrap(kwp_, transport, private_key);
  if (blob.size() < kMinBlobBytes || blob.size() > kMaxBlobBytes || blob.size() % 8 != 0) {
    throw Error{
        Code::Hsm,
        fmt::format("C_WrapKey gave {} octets, which is no P-256 key under RFC 5649", blob.size())};
  }
  return blob;
}

Bytes Pkcs11Builder::transport_check_value(p11::ObjectHandle transport) {
  const Digest published = crypto::sha256(as_bytes(kCheckKeyName));
  const p11::Key constant =
      session_.create_object(Template{}
                                 .object_class(ObjectClass::SecretKey)
                                 .key_type(KeyType::Aes)
                                 .token(false)
                                 .private_(true)
                                 .sensitive(true)
                                 .extractable(true)
                                 .secret_value(SecretBytes::copy_of(published.bytes())));
  const Digest digest = crypto::sha256(session_.wrap(kwp_, transport, constant));
  return to_bytes(digest.bytes().first(kCheckValueBytes));
}

void Pkcs11Builder::read_back(p11::ObjectHandle transport, const Template& expected) {
  std::vector<std::string> wrong;
  if (first_read_back_) {
    wrong = session_.differences(transport, expected);
  } else if (!session_.stays_inside(transport)) {
    wrong.emplace_back("CKA_SENSITIVE or CKA_EXTRACTABLE");
  }
  if (!wrong.empty()) {
    throw Error{
        Code::Hsm,
        fmt::format("the module made a transport key with other attributes than asked for: {}",
                    join(wrong)),
        "this module must not be used: run the probe"};
  }
  first_read_back_ = false;
}

}  // namespace keyferry::se
