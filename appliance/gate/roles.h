// The key roles of the appliance's HSM: one table that gives each role's whole template, allowed mechanisms included.
// At every login each object is held against it: drift is a refusal, strangers are reported (design.md section 4).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wrap/p11/session.h"

namespace keyferry::appliance {

enum class KeyRole { Log, Export, Inbox, CertificateAuthority, TransportMaster, Vendor, VendorRsa, Backup };
enum class KeyShape { P256Signing, P256Agreement, Aes256, Aes256Unwrap, RsaUnwrap, Aes256Wrap };
enum class InBackup { Never, Allowed };
/// Is kf-backup in this HSM? Then keys that may be backed up are extractable, under trusted keys only.
enum class BackupKey { Absent, Present };

struct KeyRoleRow {
  KeyRole role;
  std::string_view name;    // in messages: "log", "ca", ...
  std::string_view label;   // whole label, or the part before NAME when `named`
  bool named;
  KeyShape shape;
  p11::Mechanism mechanism;  // the one that the key may be used with, unless it is made with
  std::optional<p11::Mechanism> other_mechanism;  // this one: kf-kdf-2, or the module's other number of RFC 5649
  InBackup in_backup;
  std::string_view user;     // who may use it
  std::string_view purpose;
};

inline constexpr std::string_view kStateLabel = "kf-state";

[[nodiscard]] std::span<const KeyRoleRow> key_roles();
[[nodiscard]] const KeyRoleRow& key_role(KeyRole role);
[[nodiscard]] const KeyRoleRow* key_role_by_name(std::string_view name);
/// The role that explains an object of this class under `label`; nullptr: a stranger.
[[nodiscard]] const KeyRoleRow* key_role_of(std::string_view label, p11::ObjectClass object_class);
[[nodiscard]] p11::ObjectClass private_class(const KeyRoleRow& row);
[[nodiscard]] bool is_pair(const KeyRoleRow& row);
/// "kf-tk/demo" -> "demo"; empty for roles without names.
[[nodiscard]] std::string_view key_name_of(const KeyRoleRow& row, std::string_view label);

[[nodiscard]] BackupKey backup_key_in(p11::Session& session);

/// Token objects: private, sensitive, not extractable, not modifiable, not copyable, one use, one mechanism. With
/// BackupKey::Present, roles that may be backed up: extractable, with CKA_WRAP_WITH_TRUSTED. kf-backup itself: trusted,
/// WRAP alone; neither CKA_PRIVATE nor CKA_COPYABLE is asked for, since how a module lets such a key be made differs
/// (backup_key.h), and a copy of what cannot be modified can do nothing more.
[[nodiscard]] p11::Template private_template(const KeyRoleRow& row, std::string_view label,
                                             std::optional<p11::Mechanism> mechanism = std::nullopt,
                                             BackupKey backup = BackupKey::Absent);
[[nodiscard]] p11::Template public_template(const KeyRoleRow& row, std::string_view label);  // of pairs

/// A token object, held against the role that its label and class name.
struct RoleObject {
  p11::ObjectHandle handle;
  std::string label;                // printable()
  std::string class_name;           // "private key", "data object", ...
  const KeyRoleRow* row = nullptr;  // nullptr: kf-state or a stranger
  bool is_state = false;
  bool is_public = false;           // a pair's public half
  std::vector<std::string> drift;   // what differs from the role: names of attributes, or a sentence
};

/// Every token object in the slot, ordered by label and class. The session is logged in.
[[nodiscard]] std::vector<RoleObject> role_objects(p11::Session& session);

/// What the role table demands, as read back: "SENSITIVE=true EXTRACTABLE=false ... ALLOWED_MECHANISMS=CKM_ECDSA".
[[nodiscard]] std::string attributes_text(p11::Session& session, const RoleObject& object);

struct RoleCheck {
  std::vector<std::string> drift;      // sentences; any = refuse to work
  std::vector<std::string> strangers;  // sentences
};

/// Every token object in the slot against the table. The session is logged in.
[[nodiscard]] RoleCheck check_roles(p11::Session& session);

/// What a role leaves open until its key is made.
struct KeyChoice {
  std::optional<p11::Mechanism> mechanism = std::nullopt;  // nothing: the row's first
  std::uint32_t modulus_bits = 0;                          // RSA
};

/// Makes the key of `role`. Error{Refused} when the label is taken.
void make_role_key(p11::Session& session, KeyRole role, std::string_view name, const KeyChoice& choice = {});

/// C_CreateObject with the role's whole template: a secret key whose 32 octets come from outside. Error{Refused} when
/// the label is taken.
void import_role_key(p11::Session& session, KeyRole role, std::string_view name, const KeyChoice& choice,
                     const SecretBytes& octets);

/// Destroys every object with the role's label: leftovers of a ceremony that was cut off before its state was written.
void destroy_role_key(p11::Session& session, KeyRole role, std::string_view name);

[[nodiscard]] std::string role_label(KeyRole role, std::string_view name);

/// The role's private or secret key with its drift; Error{NotFound} when there is none.
[[nodiscard]] RoleObject find_role_object(p11::Session& session, KeyRole role, std::string_view name);

/// The role's private or secret key; Error{NotFound} when there is none.
[[nodiscard]] p11::ObjectHandle find_role_key(p11::Session& session, KeyRole role, std::string_view name);
[[nodiscard]] crypto::PublicKey find_role_point(p11::Session& session, KeyRole role, std::string_view name);

/// The same where work goes on for long in one session: found once in its life (Session::find_lasting).
[[nodiscard]] p11::ObjectHandle lasting_role_key(p11::Session& session, KeyRole role, std::string_view name);
[[nodiscard]] crypto::PublicKey lasting_role_point(p11::Session& session, KeyRole role, std::string_view name);

}  // namespace keyferry::appliance
