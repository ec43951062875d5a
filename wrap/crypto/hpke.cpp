#include "wrap/crypto/hpke.h"

#include <algorithm>
#include <limits>

#include "wrap/base/error.h"

namespace keyferry::crypto {
namespace {

/// 32 octets that are not all zero: a module that failed quietly must not give a key that everybody
/// knows.
bool is_sound(const SecretBytes& dh) {
  std::uint8_t any = 0;
  for (const std::uint8_t octet : dh.expose()) any = static_cast<std::uint8_t>(any | octet);
  return dh.size() == SoftKey::kScalarBytes && any != 0;
}

}  // namespace

HpkeContext::HpkeContext(HpkeSuite suite, HpkeKeySchedule schedule)
    : aead_{schedule.key},
      suite_{suite},
      base_nonce_{std::move(schedule.base_nonce)},
      exporter_secret_{std::move(schedule.exporter_secret)} {}

SecretBytes HpkeContext::export_secret(ByteView exporter_context, std::size_t size_bytes) const {
  return hpke_export(suite_, exporter_secret_, exporter_context, size_bytes);
}

Bytes HpkeContext::nonce() const {
  Bytes nonce(kGcmNonceBytes - sizeof(sequence_));
  append_u64be(nonce, sequence_);
  for (std::size_t i = 0; i < nonce.size(); ++i) {
    nonce[i] = static_cast<std::uint8_t>(nonce[i] ^ base_nonce_.expose()[i]);
  }
  return nonce;
}

void HpkeContext::step() {
  if (sequence_ == std::numeric_limits<std::uint64_t>::max()) {
    throw Error{Code::Internal, "HPKE: all message numbers are used"};
  }
  ++sequence_;
}

Bytes HpkeSender::seal(ByteView aad, ByteView plaintext) {
  Bytes ciphertext;
  aead_.seal(nonce(), aad, plaintext, ciphertext);
  step();
  return ciphertext;
}

std::optional<SecretBytes> HpkeReceiver::open(ByteView aad, ByteView ciphertext_and_tag) {
  SecretBytes plaintext;
  if (!aead_.open(nonce(), aad, ciphertext_and_tag, plaintext)) return std::nullopt;
  step();
  return plaintext;
}

HpkeSenderSetup setup_base_sender(HpkeSuite suite, const PublicKey& recipient, ByteView info) {
  return setup_base_sender(suite, recipient, info, SoftKey::generate());
}

HpkeSenderSetup setup_base_sender(HpkeSuite suite,
                                  const PublicKey& recipient,
                                  ByteView info,
                                  const SoftKey& ephemeral) {
  const SecretBytes dh = ephemeral.ecdh_x(recipient);
  if (!is_sound(dh))
    throw Error{Code::InvalidArgument, "HPKE: the recipient's key gives no secret"};
  Bytes enc = to_bytes(ephemeral.public_key().point());
  const SecretBytes shared_secret = hpke_kem_shared_secret(dh, enc, recipient);
  return {std::move(enc), HpkeSender{suite, hpke_key_schedule(suite, shared_secret, info)}};
}

std::optional<HpkeReceiver> setup_base_receiver(HpkeSuite suite,
                                                ByteView enc,
                                                DhPrivateKey& recipient,
                                                ByteView info) {
  const auto ephemeral = PublicKey::from_point(enc);
  if (!ephemeral) return std::nullopt;
  const SecretBytes dh = recipient.dh(*ephemeral);
  if (!is_sound(dh)) return std::nullopt;
  const SecretBytes shared_secret = hpke_kem_shared_secret(dh, enc, recipient.public_key());
  return HpkeReceiver{suite, hpke_key_schedule(suite, shared_secret, info)};
}

}  // namespace keyferry::crypto
