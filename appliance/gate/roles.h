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

enum class KeyRole { Log, Export, Inbox, CertificateAuthority, TransportMaster };
enum class KeyShape { P256Signing, P256Agreement, Aes256 };

struct KeyRoleRow {
  KeyRole role;
  std::string_view name;    // in messages: "log", "ca", ...
  std::string_view label;   // whole label, or the part before NAME when `named`
  bool named;
  KeyShape shape;
  p11::Mechanism mechanism;  // the one that the key may be used with
  std::string_view user;     // who may use it
  std::string_view purpose;
};

inline constexpr std::string_view kStateLabel = "kf-state";

[[nodiscard]] std::span<const KeyRoleRow> key_roles();
[[nodiscard]] const KeyRoleRow& key_role(KeyRole role);
[[nodiscard]] const KeyRoleRow* key_role_by_name(std::string_view name);
/// The role that explains `label`; nullptr: a stranger.
[[nodiscard]] const KeyRoleRow* key_role_of_label(std::string_view label);

/// Token objects: private, sensitive, not extractable, not modifiable, not copyable, one use, one mechanism.
[[nodiscard]] p11::Template private_template(const KeyRoleRow& row, std::string_view label);
[[nodiscard]] p11::Template public_template(const KeyRoleRow& row, std::string_view label);  // P-256 roles

struct RoleCheck {
  std::vector<std::string> drift;      // sentences; any = refuse to work
  std::vector<std::string> strangers;  // sentences
};

/// Every token object in the slot against the table. The session is logged in.
[[nodiscard]] RoleCheck check_roles(p11::Session& session);

/// Makes the key of `role`. Error{Refused} when the label is taken.
void make_role_key(p11::Session& session, KeyRole role, std::string_view name);

/// Destroys every object with the role's label: leftovers of a ceremony that was cut off before its state was written.
void destroy_role_key(p11::Session& session, KeyRole role, std::string_view name);

[[nodiscard]] std::string role_label(KeyRole role, std::string_view name);

/// The role's private or secret key; Error{NotFound} when there is none.
[[nodiscard]] p11::ObjectHandle find_role_key(p11::Session& session, KeyRole role, std::string_view name);
[[nodiscard]] crypto::PublicKey find_role_point(p11::Session& session, KeyRole role, std::string_view name);

}  // namespace keyferry::appliance
