#include "wrap/crypto/hpke_schedule.h"

#include "wrap/base/error.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"

namespace keyferry::crypto {
namespace {

constexpr std::uint16_t kKemId = 0x0010;  // DHKEM(P-256, HKDF-SHA256), RFC 9180 §7.1
constexpr std::uint16_t kKdfId = 0x0001;  // HKDF-SHA256, §7.2
constexpr std::uint8_t kModeBase = 0x00;

Bytes kem_suite_id() {
  Bytes id = to_bytes(as_bytes("KEM"));
  append_u16be(id, kKemId);
  return id;
}

Bytes hpke_suite_id(HpkeSuite suite) {
  Bytes id = to_bytes(as_bytes("HPKE"));
  append_u16be(id, kKemId);
  append_u16be(id, kKdfId);
  append_u16be(id, static_cast<std::uint16_t>(suite));
  return id;
}

std::size_t key_size_bytes(HpkeSuite suite) {
  switch (suite) {
    case HpkeSuite::Aes128Gcm:
      return 16;
    case HpkeSuite::Aes256Gcm:
      return 32;
  }
  throw Error{Code::InvalidArgument, "HPKE: no such suite"};
}

/// LabeledExtract of §4. HKDF-Extract is HMAC with the salt as key.
SecretBytes labeled_extract(ByteView salt,
                            ByteView suite_id,
                            std::string_view label,
                            ByteView ikm) {
  return hmac_sha256(salt, {as_bytes("HPKE-v1"), suite_id, as_bytes(label), ikm});
}

/// LabeledExpand of §4.
SecretBytes labeled_expand(const SecretBytes& pseudorandom_key,
                           ByteView suite_id,
                           std::string_view label,
                           ByteView info,
                           std::size_t size_bytes) {
  if (size_bytes == 0 || size_bytes > kHkdfMaxOutputBytes) {
    throw Error{Code::InvalidArgument, "HPKE: 1 to 8160 octets can be exported"};
  }
  Bytes labeled_info;
  append_u16be(labeled_info, static_cast<std::uint16_t>(size_bytes));
  append(labeled_info, as_bytes("HPKE-v1"));
  append(labeled_info, suite_id);
  append(labeled_info, as_bytes(label));
  append(labeled_info, info);
  return hkdf_expand(pseudorandom_key, labeled_info, size_bytes);
}

}  // namespace

SecretBytes hpke_kem_shared_secret(const SecretBytes& dh,
                                   ByteView enc,
                                   const PublicKey& recipient) {
  const Bytes suite_id = kem_suite_id();
  Bytes kem_context = to_bytes(enc);
  append(kem_context, recipient.point());
  const SecretBytes eae_prk = labeled_extract({}, suite_id, "eae_prk", dh.expose());
  return labeled_expand(eae_prk, suite_id, "shared_secret", kem_context, Digest::kSizeBytes);
}

HpkeKeySchedule hpke_key_schedule(HpkeSuite suite,
                                  const SecretBytes& shared_secret,
                                  ByteView info) {
  const Bytes suite_id = hpke_suite_id(suite);
  HpkeKeySchedule schedule;
  schedule.key_schedule_context.push_back(kModeBase);
  append(schedule.key_schedule_context, labeled_extract({}, suite_id, "psk_id_hash", {}).expose());
  append(schedule.key_schedule_context, labeled_extract({}, suite_id, "info_hash", info).expose());
  schedule.secret = labeled_extract(shared_secret.expose(), suite_id, "secret", {});
  const auto derive = [&](std::string_view label, std::size_t size_bytes) {
    return labeled_expand(
        schedule.secret, suite_id, label, schedule.key_schedule_context, size_bytes);
  };
  schedule.key = derive("key", key_size_bytes(suite));
  schedule.base_nonce = derive("base_nonce", kGcmNonceBytes);
  schedule.exporter_secret = derive("exp", Digest::kSizeBytes);
  return schedule;
}

SecretBytes hpke_export(HpkeSuite suite,
                        const SecretBytes& exporter_secret,
                        ByteView exporter_context,
                        std::size_t size_bytes) {
  return labeled_expand(exporter_secret, hpke_suite_id(suite), "sec", exporter_context, size_bytes);
}

}  // namespace keyferry::crypto
