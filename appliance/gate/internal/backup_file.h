// A backup file of the HSM: FORMAT.md. Composed in a worker, taken apart in gate and worker. Includes protobuf.
#pragma once

#include <variant>

#include "keyferry/v1/backup.pb.h"
#include "token/enrolment.h"
#include "token/signed_bytes.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::appliance {

inline constexpr std::size_t kMaxBackupContentBytes = token::kMaxSignedPayloadBytes - 1024;
inline constexpr std::size_t kMaxBackedUpKeys = 4096;
inline constexpr std::size_t kBackupMacKeyBytes = 32;

struct BackupFile {
  v1::BackupContent content;
  Bytes content_octets;  // what the MAC is over
  Bytes mac;
  token::ApplianceCard card;
  Digest registry_digest;
};

/// HMAC-SHA-256 over "keyferry/v1/backup", a zero octet, u64be length, content: 32 octets.
[[nodiscard]] Bytes backup_mac(const SecretBytes& mac_key, ByteView content);

/// The file from its parts: SignedBytes (kind backup) by kf-export.
[[nodiscard]] Bytes encode_backup(const v1::BackupContent& content, const SecretBytes& mac_key, crypto::Signer& export_key);

/// Everything that can be known without the custodians: form, bounds, order, the appliance's card, the export key's
/// signature, the checkpoint's. Whether the wrapping key agrees is a worker's to say. Refusals: backup-malformed,
/// backup-signature, backup-checkpoint.
[[nodiscard]] std::variant<BackupFile, Refusal> parse_backup(ByteView octets);

/// parse_backup(), and then what the custodians' key proves: every octet of the content. Further refusals: backup-shares
/// (they are of another key), backup-mac.
[[nodiscard]] std::variant<BackupFile, Refusal> open_backup(const SecretBytes& backup_key, ByteView octets);

}  // namespace keyferry::appliance
