#include "appliance/gate/roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;

constexpr std::uint8_t kF4[] = {1, 0, 1};  // public exponent 65537

constexpr std::array kRoles{
    KeyRoleRow{KeyRole::Log, "log", "kf-log", false, KeyShape::P256Signing, Mechanism::Ecdsa, {}, InBackup::Never,
               "state worker", "signs checkpoints, kf-state and the appliance's card"},
    KeyRoleRow{KeyRole::Export, "export", "kf-export", false, KeyShape::P256Signing, Mechanism::Ecdsa, {},
               InBackup::Never, "key workers", "signs what leaves: containers, station certificates, token cards"},
    KeyRoleRow{KeyRole::Inbox, "inbox", "kf-inbox", false, KeyShape::P256Agreement, Mechanism::Ecdh1Derive, {},
               InBackup::Never, "key workers", "opens what enrolled stations sealed to the appliance"},
    KeyRoleRow{KeyRole::CertificateAuthority, "ca", "kf-ca/", true, KeyShape::P256Signing, Mechanism::Ecdsa, {},
               InBackup::Allowed, "key workers", "signs device certificates that a worker built"},
    KeyRoleRow{KeyRole::TransportMaster, "transport-master", "kf-tk/", true, KeyShape::Aes256,
               Mechanism::AesEcbEncryptData, Mechanism::Sp800108CounterKdf, InBackup::Allowed, "key workers",
               "transport keys are derived from it, by the one KDF it was made for"},
    KeyRoleRow{KeyRole::Vendor, "vendor", "kf-vendor/", true, KeyShape::Aes256Unwrap, Mechanism::AesKeyWrapPad,
               Mechanism::AesKeyWrapKwp, InBackup::Allowed, "key workers", "opens transport keys that a vendor wrapped"},
    KeyRoleRow{KeyRole::VendorRsa, "vendor-rsa", "kf-vendor/", true, KeyShape::RsaUnwrap, Mechanism::RsaPkcsOaep, {},
               InBackup::Allowed, "key workers", "opens transport keys that a vendor wrapped"},
    KeyRoleRow{KeyRole::Backup, "backup", "kf-backup", false, KeyShape::Aes256Wrap, Mechanism::AesKeyWrapPad,
               Mechanism::AesKeyWrapKwp, InBackup::Never, "backup workers",
               "wraps what goes into a backup; its octets are in shares that custodians keep"},
};

/// Labels of objects per class that explain themselves: a key pair's public half has its private half's label.
std::string class_name(unsigned long object_class) {
  switch (static_cast<ObjectClass>(object_class)) {
    case ObjectClass::Data: return "data object";
    case ObjectClass::Certificate: return "certificate";
    case ObjectClass::PublicKey: return "public key";
    case ObjectClass::PrivateKey: return "private key";
    case ObjectClass::SecretKey: return "secret key";
  }
  return "object";
}

/// The role's second mechanism when the object may be used with it, else its first: the rest is drift.
std::optional<Mechanism> mechanism_of(p11::Session& session, p11::ObjectHandle object, const KeyRoleRow& row) {
  if (!row.other_mechanism) return std::nullopt;
  const auto allowed = session.read_mechanisms(object, p11::Attribute::AllowedMechanisms);
  if (allowed && allowed.value == std::vector{*row.other_mechanism}) return row.other_mechanism;
  return std::nullopt;
}

p11::KeyType key_type(KeyShape shape) {
  switch (shape) {
    case KeyShape::P256Signing:
    case KeyShape::P256Agreement: return p11::KeyType::Ec;
    case KeyShape::Aes256:
    case KeyShape::Aes256Unwrap:
    case KeyShape::Aes256Wrap: return p11::KeyType::Aes;
    case KeyShape::RsaUnwrap: return p11::KeyType::Rsa;
  }
  throw Error{Code::Internal, "a key shape without a type"};
}

Template wrapping_template(const KeyRoleRow& row, std::string_view label) {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(p11::KeyType::Aes)
      .token(true)
      .label(label)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .trusted(true)
      .wrap(true)
      .unwrap(false)
      .encrypt(false)
      .decrypt(false)
      .sign(false)
      .verify(false)
      .derive(false)
      .value_len(32)
      .allowed_mechanisms({row.mechanism, row.other_mechanism.value_or(row.mechanism)});
}

/// The label, free to be used. Error{Refused} otherwise.
std::string free_label(p11::Session& session, const KeyRoleRow& row, std::string_view name) {
  if (row.named && !is_name(name)) throw Error{Code::Refused, "no name for a key: " + printable(name)};
  std::string label = role_label(row.role, name);
  if (session.find_one(private_class(row), label)) {
    throw Error{Code::Refused, fmt::format("the HSM holds a key \"{}\" already", label)};
  }
  return label;
}

RoleObject inspect(p11::Session& session, p11::ObjectHandle handle, BackupKey backup) {
  const auto number = session.read_number(handle, p11::Attribute::Class);
  const auto raw_label = session.read_bytes(handle, p11::Attribute::Label);
  const auto object_class = static_cast<ObjectClass>(number.value);
  RoleObject object;
  object.handle = handle;
  object.label = raw_label ? printable(as_chars(raw_label.value)) : std::string{};
  object.class_name = class_name(number.value);
  object.is_state = object.label == kStateLabel && number.is(static_cast<unsigned long>(ObjectClass::Data));
  object.is_public = number.is(static_cast<unsigned long>(ObjectClass::PublicKey));
  if (object.is_state || !number) return object;
  object.row = key_role_of(object.label, object_class);
  if (object.row == nullptr) return object;
  const KeyRoleRow& row = *object.row;
  if (object_class != private_class(row) && !(object.is_public && is_pair(row))) {
    object.drift.push_back(fmt::format("role \"{}\" has no object of this class", row.name));
    return object;
  }
  object.drift = session.differences(handle, object.is_public ? public_template(row, object.label)
                                                              : private_template(row, object.label,
                                                                                 mechanism_of(session, handle, row), backup));
  // Of a secret key that was unwrapped SoftHSM says 0: not told. Its check value tells (se::master_check_value).
  if (object_class == ObjectClass::SecretKey && session.read_number(handle, p11::Attribute::ValueLen).is(0)) {
    std::erase(object.drift, p11::attribute_name(p11::Attribute::ValueLen));
  }
  return object;
}

/// "CKA_SENSITIVE" -> "SENSITIVE"
std::string short_name(p11::Attribute attribute) {
  std::string name = p11::attribute_name(attribute);
  return name.starts_with("CKA_") ? name.substr(4) : name;
}

std::optional<std::string> attribute_value(p11::Session& session, p11::ObjectHandle object, p11::Attribute attribute,
                                           const Template& wanted) {
  if (wanted.boolean_of(attribute)) {
    const auto value = session.read_bool(object, attribute);
    return std::string{value ? (value.value ? "true" : "false") : "absent"};
  }
  if (attribute == p11::Attribute::ValueLen) return fmt::format("{}", session.read_number(object, attribute).value);
  if (attribute != p11::Attribute::AllowedMechanisms) return std::nullopt;
  std::vector<std::string> names;
  for (const Mechanism mechanism : session.read_mechanisms(object, attribute).value) {
    names.push_back(p11::mechanism_name(mechanism));
  }
  return fmt::format("{}", fmt::join(names, ","));
}

}  // namespace

std::span<const KeyRoleRow> key_roles() { return kRoles; }

const KeyRoleRow& key_role(KeyRole role) {
  for (const KeyRoleRow& row : kRoles) {
    if (row.role == role) return row;
  }
  throw Error{Code::Internal, "a key role that the table does not have"};
}

const KeyRoleRow* key_role_by_name(std::string_view name) {
  for (const KeyRoleRow& row : kRoles) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const KeyRoleRow* key_role_of(std::string_view label, ObjectClass object_class) {
  const KeyRoleRow* of_label = nullptr;
  for (const KeyRoleRow& row : kRoles) {
    const bool fits = row.named ? label.starts_with(row.label) && is_name(label.substr(row.label.size())) : row.label == label;
    if (!fits) continue;
    if (object_class == private_class(row) || (object_class == ObjectClass::PublicKey && is_pair(row))) return &row;
    of_label = &row;  // a class that this role does not have: drift, unless another role of this label has it
  }
  return of_label;
}

ObjectClass private_class(const KeyRoleRow& row) { return is_pair(row) ? ObjectClass::PrivateKey : ObjectClass::SecretKey; }

bool is_pair(const KeyRoleRow& row) { return key_type(row.shape) != p11::KeyType::Aes; }

std::string_view key_name_of(const KeyRoleRow& row, std::string_view label) {
  return row.named ? label.substr(row.label.size()) : std::string_view{};
}

BackupKey backup_key_in(p11::Session& session) {
  const std::string label = role_label(KeyRole::Backup, "");
  return session.find_one(ObjectClass::SecretKey, label) ? BackupKey::Present : BackupKey::Absent;
}

Template private_template(const KeyRoleRow& row, std::string_view label, std::optional<Mechanism> mechanism,
                          BackupKey backup) {
  if (row.shape == KeyShape::Aes256Wrap) return wrapping_template(row, label);
  const bool leaves = backup == BackupKey::Present && row.in_backup == InBackup::Allowed;
  Template wanted;
  wanted.object_class(private_class(row))
      .key_type(key_type(row.shape))
      .token(true)
      .private_(true)
      .label(label)
      .sensitive(true)
      .extractable(leaves)
      .modifiable(false)
      .copyable(false)
      .destroyable(true)
      .sign(row.shape == KeyShape::P256Signing)
      .derive(row.shape == KeyShape::P256Agreement || row.shape == KeyShape::Aes256)
      .unwrap(row.shape == KeyShape::Aes256Unwrap || row.shape == KeyShape::RsaUnwrap)
      .decrypt(false)
      .allowed_mechanisms({mechanism.value_or(row.mechanism)});
  if (!is_pair(row)) wanted.value_len(32).wrap(false).encrypt(false).verify(false);
  if (leaves) wanted.wrap_with_trusted(true);
  return wanted;
}

Template public_template(const KeyRoleRow& row, std::string_view label) {
  Template wanted;
  wanted.object_class(ObjectClass::PublicKey)
      .key_type(key_type(row.shape))
      .token(true)
      .private_(false)
      .label(label)
      .modifiable(false)
      .verify(row.shape == KeyShape::P256Signing)
      .derive(false)
      .wrap(false)
      .encrypt(false);
  if (row.shape == KeyShape::RsaUnwrap) return wanted.public_exponent(kF4);
  return wanted.p256();
}

std::vector<RoleObject> role_objects(p11::Session& session) {
  std::vector<RoleObject> objects;
  std::map<std::string, int> private_keys;
  const BackupKey backup = backup_key_in(session);
  for (const p11::ObjectHandle handle : session.find(Template{}.token(true))) {
    RoleObject object = inspect(session, handle, backup);
    if (object.row != nullptr && !object.is_public && ++private_keys[object.label] > 1) {
      object.drift.emplace_back("exists more than once");
    }
    objects.push_back(std::move(object));
  }
  std::stable_sort(objects.begin(), objects.end(), [](const RoleObject& a, const RoleObject& b) {
    return std::tie(a.label, a.class_name) < std::tie(b.label, b.class_name);
  });
  return objects;
}

std::string attributes_text(p11::Session& session, const RoleObject& object) {
  if (object.row == nullptr) return {};
  const Template wanted = object.is_public ? public_template(*object.row, object.label)
                                           : private_template(*object.row, object.label, std::nullopt,
                                                              backup_key_in(session));
  std::string text;
  for (const Template::Entry& entry : wanted.entries()) {
    const auto value = attribute_value(session, object.handle, entry.attribute, wanted);
    if (value) text += fmt::format("{}{}={}", text.empty() ? "" : " ", short_name(entry.attribute), *value);
  }
  return text;
}

RoleCheck check_roles(p11::Session& session) {
  RoleCheck check;
  for (const RoleObject& object : role_objects(session)) {
    const std::string named = fmt::format("{} \"{}\"", object.class_name, object.label);
    if (object.row == nullptr && !object.is_state) check.strangers.push_back(named + " belongs to no role of this product");
    if (!object.drift.empty()) {
      check.drift.push_back(fmt::format("{}: {} (role \"{}\")", named, fmt::join(object.drift, ", "), object.row->name));
    }
  }
  return check;
}

std::string role_label(KeyRole role, std::string_view name) {
  const KeyRoleRow& row = key_role(role);
  return std::string{row.label} + (row.named ? std::string{name} : std::string{});
}

void make_role_key(p11::Session& session, KeyRole role, std::string_view name, const KeyChoice& choice) {
  const KeyRoleRow& row = key_role(role);
  const std::string label = free_label(session, row, name);
  const Template wanted = private_template(row, label, choice.mechanism, backup_key_in(session));
  switch (row.shape) {
    case KeyShape::Aes256:
    case KeyShape::Aes256Unwrap:
      static_cast<void>(session.generate_aes(wanted));
      return;
    case KeyShape::P256Signing:
    case KeyShape::P256Agreement:
      static_cast<void>(session.generate_p256_pair(public_template(row, label), wanted));
      return;
    case KeyShape::RsaUnwrap:
      static_cast<void>(session.generate_rsa_pair(public_template(row, label).modulus_bits(choice.modulus_bits), wanted));
      return;
    case KeyShape::Aes256Wrap:
      throw Error{Code::Internal, "kf-backup is put together from shares, not generated"};
  }
}

void import_role_key(p11::Session& session, KeyRole role, std::string_view name, const KeyChoice& choice,
                     const SecretBytes& octets) {
  const KeyRoleRow& row = key_role(role);
  if (is_pair(row) || octets.size() != 32) throw Error{Code::InvalidArgument, "only keys of 32 octets are imported"};
  const std::string label = free_label(session, row, name);
  // C_CreateObject takes the length from CKA_VALUE and refuses CKA_VALUE_LEN beside it (PKCS#11, section 6.8.2).
  Template wanted = private_template(row, label, choice.mechanism, backup_key_in(session))
                        .remove(p11::Attribute::ValueLen)
                        .secret_value(octets);
  static_cast<void>(session.create_object(wanted));
}

void destroy_role_key(p11::Session& session, KeyRole role, std::string_view name) {
  for (const p11::ObjectHandle object : session.find(Template{}.token(true).label(role_label(role, name)))) {
    session.destroy(object);
  }
}

RoleObject find_role_object(p11::Session& session, KeyRole role, std::string_view name) {
  return inspect(session, find_role_key(session, role, name), backup_key_in(session));
}

namespace {

p11::ObjectHandle found_key(std::optional<p11::ObjectHandle> found, const std::string& label) {
  if (!found) throw Error{Code::NotFound, fmt::format("the HSM holds no key \"{}\"", label)};
  return *found;
}

crypto::PublicKey found_point(p11::Session& session, std::optional<p11::ObjectHandle> found, const std::string& label) {
  if (!found) throw Error{Code::NotFound, fmt::format("the HSM holds no public key \"{}\"", label)};
  return session.ec_point(*found);
}

}  // namespace

p11::ObjectHandle find_role_key(p11::Session& session, KeyRole role, std::string_view name) {
  const std::string label = role_label(role, name);
  return found_key(session.find_one(private_class(key_role(role)), label), label);
}

p11::ObjectHandle lasting_role_key(p11::Session& session, KeyRole role, std::string_view name) {
  const std::string label = role_label(role, name);
  return found_key(session.find_lasting(private_class(key_role(role)), label), label);
}

crypto::PublicKey find_role_point(p11::Session& session, KeyRole role, std::string_view name) {
  const std::string label = role_label(role, name);
  return found_point(session, session.find_one(ObjectClass::PublicKey, label), label);
}

crypto::PublicKey lasting_role_point(p11::Session& session, KeyRole role, std::string_view name) {
  const std::string label = role_label(role, name);
  return found_point(session, session.find_lasting(ObjectClass::PublicKey, label), label);
}

}  // namespace keyferry::appliance
