#include "wrap/se/check_value.h"

#include "wrap/crypto/cmac.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/se/kdf1.h"
#include "wrap/se/kdf2.h"

namespace keyferry::se {

namespace {

using p11::KeyType;
using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;

constexpr std::size_t kAes256Bytes = 32;
constexpr std::string_view kTransportCheck = "keyferry/v1/transport-check";
constexpr std::string_view kVendorCheck = "keyferry/v1/vendor-check";

Template check_key_template(bool with_cmac) {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(KeyType::Aes)
      .value_len(kAes256Bytes)
      .token(false)
      .private_(true)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .sign(with_cmac)
      .encrypt(!with_cmac)
      .wrap(false)
      .unwrap(false)
      .decrypt(false)
      .verify(false)
      .derive(false)
      .allowed_mechanisms({with_cmac ? Mechanism::AesCmac : Mechanism::AesEcb});
}

/// RFC 4493 section 2.3, MSB first: one bit to the left, and 0x87 where a one fell out.
Bytes doubled(const Bytes& block) {
  Bytes out(block.size());
  std::uint8_t carry = 0;
  for (std::size_t i = block.size(); i-- > 0;) {
    out[i] = static_cast<std::uint8_t>((block[i] << 1) | carry);
    carry = block[i] >> 7;
  }
  if (carry != 0) out.back() ^= 0x87;
  return out;
}

SecretBytes published(std::string_view name) {
  return SecretBytes::copy_of(crypto::sha256(as_bytes(name)).bytes());
}

}  // namespace

Bytes master_check_value(p11::Session& session,
                         p11::ObjectHandle master,
                         Kdf kdf,
                         const p11::ProbeResult& facts) {
  const p11::Key key = derive(
      session, kdf, master, kdf_check_input(), kAes256Bytes, check_key_template(facts.aes_cmac));
  const Bytes zeros(kCheckValueBytes);
  if (facts.aes_cmac) return session.sign_cmac(key, zeros);
  // CMAC of one whole block of zeros is AES(AES(0) doubled).
  return session.aes_ecb_encrypt(key, doubled(session.aes_ecb_encrypt(key, zeros)));
}

Bytes master_check_value(const SecretBytes& master, Kdf kdf) {
  const Bytes input = kdf_check_input();
  switch (kdf) {
    case Kdf::KfKdf1:
      return crypto::aes_check_value(kf_kdf_1(master, input, kAes256Bytes));
    case Kdf::KfKdf2:
      if (master.size() != kAes256Bytes) break;
      return crypto::aes_check_value(kf_kdf_2(master, input, kAes256Bytes));
  }
  throw Error{Code::InvalidArgument, "a transport-key master has 32 octets"};
}

VendorKeyCheck check_vendor_key(const SecretBytes& vendor_key) {
  return {crypto::aes_check_value(vendor_key),
          crypto::wrap_kwp(vendor_key, vendor_check_constant())};
}

SecretBytes vendor_check_constant() {
  return published(kVendorCheck);
}

Bytes vendor_check_constant_value() {
  return transport_check_value(vendor_check_constant());
}

SecretBytes transport_check_constant() {
  return published(kTransportCheck);
}

Bytes transport_check_value(const SecretBytes& transport_key) {
  if (transport_key.size() != kAes256Bytes) {
    throw Error{Code::InvalidArgument, "a transport key has 32 octets"};
  }
  const Digest digest = crypto::sha256(crypto::wrap_kwp(transport_key, transport_check_constant()));
  return to_bytes(digest.bytes().first(kCheckValueBytes));
}

}  // namespace keyferry::se
