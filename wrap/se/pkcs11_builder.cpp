#include "wrap/se/pkcs11_builder.h"

#include <fmt/format.h>

#include "wrap/crypto/hash.h"
#include "wrap/se/check_value.h"

namespace keyferry::se {

namespace {

using p11::Attribute;
using p11::KeyType;
using p11::ObjectClass;
using p11::Template;

constexpr std::size_t kTransportKeyBytes = 32;
constexpr std::size_t kWrappedTransportKeyBytes =
    40;  // RFC 5649: holds 25 to 32 octets, of which AES takes 32 only
// RFC 5649: 8 octets and the plaintext rounded up to 8. SoftHSM's 67-octet PKCS#8 gives 80; one
// with parameters and public key 152.
constexpr std::size_t kMinBlobBytes = 72;
constexpr std::size_t kMaxBlobBytes = 200;

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
                                             const Entry& entry,
                                             Kdf kdf) {
  p11::Key transport =
      derive(session_, kdf, master, kdf_input(master_name, entry), kTransportKeyBytes, derived_);
  read_back(transport, derived_);
  return transport;
}

std::variant<DeliveredKey, Refusal> Pkcs11Builder::unwrap_transport_key(
    Delivery delivery, p11::ObjectHandle vendor_key, ByteView blob) {
  auto result = try_unwrap_transport_key(delivery, vendor_key, blob);
  if (std::holds_alternative<DeliveredKey>(result)) return result;
  return try_unwrap_transport_key(delivery, vendor_key, blob);
}

std::variant<DeliveredKey, Refusal> Pkcs11Builder::try_unwrap_transport_key(
    Delivery delivery, p11::ObjectHandle vendor_key, ByteView blob) {
  const Refusal refusal{
      "transport-key-invalid",
      "the delivered transport key does not open under the vendor key, or is no AES-256 key"};
  try {
    p11::Key transport = unwrap(delivery, vendor_key, blob, delivered_);
    if (!is_aes_256(delivery, vendor_key, transport, blob)) return refusal;
    read_back(transport, delivered_);
    Bytes check_value = transport_check_value(transport);
    return DeliveredKey{std::move(transport), std::move(check_value)};
  } catch (const p11::Pkcs11Error& error) {
    // A key of a length that AES does not know is refused when it is first used.
    if (error.is_no_answer() || error.recovery() == p11::Recovery::NewSession ||
        (error.function() != "C_UnwrapKey" && error.function() != "C_WrapKey"))
      throw;
    return refusal;
  }
}

p11::Key Pkcs11Builder::unwrap(Delivery delivery,
                               p11::ObjectHandle vendor_key,
                               ByteView blob,
                               const Template& key) {
  const auto hash = oaep_hash(delivery);
  return hash ? session_.unwrap_oaep(*hash, vendor_key, blob, key)
              : session_.unwrap(kwp_, vendor_key, blob, key);
}

bool Pkcs11Builder::is_aes_256(Delivery delivery,
                               p11::ObjectHandle vendor_key,
                               p11::ObjectHandle transport,
                               ByteView blob) {
  const auto length = session_.read_number(transport, Attribute::ValueLen);
  if (length && length.value != 0) return length.value == kTransportKeyBytes;
  const std::size_t wrapped_size_bytes =
      delivery == Delivery::AesKwp ? blob.size() : measured_wrap_bytes(delivery, vendor_key, blob);
  return wrapped_size_bytes == kWrappedTransportKeyBytes;
}

std::size_t Pkcs11Builder::measured_wrap_bytes(Delivery delivery,
                                               p11::ObjectHandle vendor_key,
                                               ByteView blob) {
  const p11::Key throw_away = session_.generate_aes(derived_);
  Template without_use = delivered_;
  without_use.wrap(false).extractable(true).remove(Attribute::AllowedMechanisms);
  const p11::Key copy = unwrap(delivery, vendor_key, blob, without_use);
  return session_.wrap(kwp_, throw_away, copy).size();
}

bool Pkcs11Builder::opens_vendor_proof(Delivery delivery,
                                       p11::ObjectHandle vendor_key,
                                       ByteView proof) {
  const auto opened = unwrap_transport_key(delivery, vendor_key, proof);
  const auto* const key = std::get_if<DeliveredKey>(&opened);
  return key != nullptr && key->check_value == vendor_check_constant_value();
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
  const p11::Key constant = session_.create_object(Template{}
                                                       .object_class(ObjectClass::SecretKey)
                                                       .key_type(KeyType::Aes)
                                                       .token(false)
                                                       .private_(true)
                                                       .sensitive(true)
                                                       .extractable(true)
                                                       .secret_value(transport_check_constant()));
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
