#include "appliance/gate/internal/backup_file.h"

#include <fmt/format.h>

#include "appliance/gate/shares.h"
#include "keyferry/v1/governance.pb.h"
#include "token/audit/checkpoint.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kBackupIdOctets = 16;

Refusal malformed(std::string text) {
  return Refusal{"backup-malformed", "the backup file is damaged or of another program version: " + std::move(text),
                 "take another copy of it"};
}

std::optional<std::string> wrong_with(const v1::BackupContent& content) {
  if (content.version() != 1) return "its version is unknown";
  if (content.backup_id().size() != kBackupIdOctets || content.appliance_id().size() != ApplianceId::kSizeBytes ||
      content.backup_key_check().size() != kBackupKeyCheckBytes || content.plan_digest().size() != Digest::kSizeBytes) {
    return "an id has a wrong length";
  }
  if (content.shares_needed() < 2 || content.shares_needed() > content.shares()) return "its numbers of shares cannot be";
  if (content.registry().empty() || content.wrapped_mac_key().size() != kBackupMacKeyBytes + 8) return "a part is missing";
  if (static_cast<std::size_t>(content.keys_size()) > kMaxBackedUpKeys) return "it has too many keys";
  const std::string* last = nullptr;
  for (const v1::BackedUpKey& key : content.keys()) {
    if (key.label().empty() || key.label().size() > 255 || key.wrapped().size() < 16 || key.wrapped().size() % 8 != 0) {
      return "a key in it is malformed";
    }
    if (last != nullptr && key.label() <= *last) return "its keys are not in order";
    last = &key.label();
  }
  return std::nullopt;
}

}  // namespace

Bytes backup_mac(const SecretBytes& mac_key, ByteView content) {
  constexpr std::uint8_t kZero = 0;
  Bytes length;
  append_u64be(length, content.size());
  const SecretBytes mac = crypto::hmac_sha256(
      mac_key.expose(), {as_bytes("keyferry/v1/backup"), ByteView{&kZero, 1}, length, content});
  return to_bytes(mac.expose());
}

Bytes encode_backup(const v1::BackupContent& content, const SecretBytes& mac_key, crypto::Signer& export_key) {
  v1::BackupEnvelope envelope;
  envelope.set_content(content.SerializeAsString());
  if (envelope.content().size() > kMaxBackupContentBytes) throw Error{Code::Refused, "the backup would be above 1 MiB"};
  envelope.set_mac(to_string(backup_mac(mac_key, as_bytes(envelope.content()))));
  return token::encode(token::sign_payload(export_key, crypto::SignatureKind::Backup,
                                           to_bytes(as_bytes(envelope.SerializeAsString()))));
}

std::variant<BackupFile, Refusal> parse_backup(ByteView octets) {
  const auto parsed = token::parse_signed_bytes(octets);
  if (std::holds_alternative<Refusal>(parsed)) return malformed("it is no signed file");
  const auto& outer = std::get<token::SignedBytes>(parsed);
  v1::BackupEnvelope envelope;
  v1::BackupContent content;
  if (!envelope.ParseFromArray(outer.payload.data(), static_cast<int>(outer.payload.size())) ||
      envelope.mac().size() != kMacBytes || envelope.content().size() > kMaxBackupContentBytes ||
      !content.ParseFromString(envelope.content())) {
    return malformed("it does not parse");
  }
  if (const auto problem = wrong_with(content)) return malformed(*problem);
  const auto card_octets = token::parse_signed_bytes(as_bytes(content.card().SerializeAsString()));
  if (std::holds_alternative<Refusal>(card_octets)) return malformed("it has no appliance card");
  const auto opened = token::open_appliance_card(std::get<token::SignedBytes>(card_octets));
  if (const auto* refusal = std::get_if<Refusal>(&opened)) return *refusal;
  const auto& card = std::get<token::ApplianceCard>(opened);
  if (card.appliance_id.str() != content.appliance_id()) return malformed("its card is another appliance's");
  if (!token::verify_signed(outer, crypto::SignatureKind::Backup, card.export_key)) {
    return Refusal{"backup-signature", "the backup file is not signed by the appliance whose card it carries",
                   "it was altered: take another copy of it"};
  }
  const std::string origin = "keyferry/" + card.appliance_id.hex().substr(0, 32);
  const auto checkpoint = audit::verify_checkpoint(content.checkpoint(), origin, card.log_key);
  if (!std::holds_alternative<audit::Checkpoint>(checkpoint)) {
    return Refusal{"backup-checkpoint", "the checkpoint in the backup file is not its appliance's"};
  }
  const Digest registry_digest = crypto::sha256(as_bytes(content.registry()));
  return BackupFile{std::move(content), to_bytes(as_bytes(envelope.content())), to_bytes(as_bytes(envelope.mac())), card,
                    registry_digest};
}

std::variant<BackupFile, Refusal> open_backup(const SecretBytes& backup_key, ByteView octets) {
  auto parsed = parse_backup(octets);
  const auto* file = std::get_if<BackupFile>(&parsed);
  if (file == nullptr) return parsed;
  if (to_string(backup_key_check(backup_key)) != file->content.backup_key_check()) {
    return Refusal{"backup-shares", "the shares are of another backup key than this file's",
                   "compare the line \"check\" of each share"};
  }
  const auto mac_key = crypto::unwrap_kwp(backup_key, as_bytes(file->content.wrapped_mac_key()));
  if (!mac_key || mac_key->size() != kBackupMacKeyBytes || !equal(backup_mac(*mac_key, file->content_octets), file->mac)) {
    return Refusal{"backup-mac", "the backup file was altered: the custodians' key does not confirm it",
                   "take another copy of it"};
  }
  return parsed;
}

}  // namespace keyferry::appliance
