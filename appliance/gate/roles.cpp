#include "appliance/gate/roles.h"

#include <fmt/format.h>

#include <array>
#include <map>

#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

using p11::Mechanism;
using p11::ObjectClass;
using p11::Template;

constexpr std::array kRoles{
    KeyRoleRow{KeyRole::Log, "log", "kf-log", false, KeyShape::P256Signing, Mechanism::Ecdsa, "state worker",
               "signs checkpoints, kf-state and the appliance's card"},
    KeyRoleRow{KeyRole::Export, "export", "kf-export", false, KeyShape::P256Signing, Mechanism::Ecdsa, "key workers",
               "signs what leaves: containers, station certificates, token cards"},
    KeyRoleRow{KeyRole::Inbox, "inbox", "kf-inbox", false, KeyShape::P256Agreement, Mechanism::Ecdh1Derive,
               "key workers", "opens what enrolled stations sealed to the appliance"},
    KeyRoleRow{KeyRole::CertificateAuthority, "ca", "kf-ca/", true, KeyShape::P256Signing, Mechanism::Ecdsa,
               "key workers", "signs device certificates that a worker built"},
    KeyRoleRow{KeyRole::TransportMaster, "transport-master", "kf-tk/", true, KeyShape::Aes256,
               Mechanism::AesEcbEncryptData, "key workers", "transport keys are derived from it by kf-kdf-1"},
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

ObjectClass private_class(const KeyRoleRow& row) {
  return row.shape == KeyShape::Aes256 ? ObjectClass::SecretKey : ObjectClass::PrivateKey;
}

std::string joined(const std::vector<std::string>& names) { return fmt::format("{}", fmt::join(names, ", ")); }

void check_object(p11::Session& session, p11::ObjectHandle object, RoleCheck& check,
                  std::map<std::string, int>& private_keys) {
  const auto object_class = session.read_number(object, p11::Attribute::Class);
  const auto raw_label = session.read_bytes(object, p11::Attribute::Label);
  const std::string label = raw_label ? printable(as_chars(raw_label.value)) : std::string{};
  const std::string named = fmt::format("{} \"{}\"", class_name(object_class.value), label);
  if (label == kStateLabel && object_class.is(static_cast<unsigned long>(ObjectClass::Data))) return;
  const KeyRoleRow* row = key_role_of_label(label);
  if (row == nullptr) {
    check.strangers.push_back(named + " belongs to no role of this product");
    return;
  }
  const bool is_public = object_class.is(static_cast<unsigned long>(ObjectClass::PublicKey));
  const bool has_pair = row->shape != KeyShape::Aes256;
  if (!(is_public && has_pair) && !object_class.is(static_cast<unsigned long>(private_class(*row)))) {
    check.drift.push_back(fmt::format("{}: role \"{}\" has no object of this class", named, row->name));
    return;
  }
  const auto differences =
      session.differences(object, is_public ? public_template(*row, label) : private_template(*row, label));
  if (!differences.empty()) {
    check.drift.push_back(fmt::format("{}: {} differ from role \"{}\"", named, joined(differences), row->name));
  }
  if (!is_public && ++private_keys[label] > 1) check.drift.push_back(named + " exists more than once");
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

const KeyRoleRow* key_role_of_label(std::string_view label) {
  for (const KeyRoleRow& row : kRoles) {
    if (!row.named && row.label == label) return &row;
    if (row.named && label.starts_with(row.label) && is_name(label.substr(row.label.size()))) return &row;
  }
  return nullptr;
}

Template private_template(const KeyRoleRow& row, std::string_view label) {
  Template wanted;
  wanted.object_class(private_class(row))
      .key_type(row.shape == KeyShape::Aes256 ? p11::KeyType::Aes : p11::KeyType::Ec)
      .token(true)
      .private_(true)
      .label(label)
      .sensitive(true)
      .extractable(false)
      .modifiable(false)
      .copyable(false)
      .destroyable(true)
      .sign(row.shape == KeyShape::P256Signing)
      .derive(row.shape != KeyShape::P256Signing)
      .unwrap(false)
      .decrypt(false)
      .allowed_mechanisms({row.mechanism});
  if (row.shape == KeyShape::Aes256) wanted.value_len(32).wrap(false).encrypt(false).verify(false);
  return wanted;
}

Template public_template(const KeyRoleRow& row, std::string_view label) {
  return Template{}
      .object_class(ObjectClass::PublicKey)
      .key_type(p11::KeyType::Ec)
      .token(true)
      .private_(false)
      .label(label)
      .p256()
      .modifiable(false)
      .verify(row.shape == KeyShape::P256Signing)
      .derive(false)
      .wrap(false)
      .encrypt(false);
}

RoleCheck check_roles(p11::Session& session) {
  RoleCheck check;
  std::map<std::string, int> private_keys;
  for (const p11::ObjectHandle object : session.find(Template{}.token(true))) {
    check_object(session, object, check, private_keys);
  }
  return check;
}

std::string role_label(KeyRole role, std::string_view name) {
  const KeyRoleRow& row = key_role(role);
  return std::string{row.label} + (row.named ? std::string{name} : std::string{});
}

void make_role_key(p11::Session& session, KeyRole role, std::string_view name) {
  const KeyRoleRow& row = key_role(role);
  const std::string label = role_label(role, name);
  if (row.named && !is_name(name)) throw Error{Code::Refused, "no name for a key: " + printable(name)};
  if (session.find_one(private_class(row), label)) {
    throw Error{Code::Refused, fmt::format("the HSM holds a key \"{}\" already", label)};
  }
  if (row.shape == KeyShape::Aes256) {
    static_cast<void>(session.generate_aes(private_template(row, label)));
  } else {
    static_cast<void>(session.generate_p256_pair(public_template(row, label), private_template(row, label)));
  }
}

void destroy_role_key(p11::Session& session, KeyRole role, std::string_view name) {
  for (const p11::ObjectHandle object : session.find(Template{}.token(true).label(role_label(role, name)))) {
    session.destroy(object);
  }
}

p11::ObjectHandle find_role_key(p11::Session& session, KeyRole role, std::string_view name) {
  const KeyRoleRow& row = key_role(role);
  const std::string label = role_label(role, name);
  const auto found = session.find_one(private_class(row), label);
  if (!found) throw Error{Code::NotFound, fmt::format("the HSM holds no key \"{}\"", label)};
  return *found;
}

crypto::PublicKey find_role_point(p11::Session& session, KeyRole role, std::string_view name) {
  const std::string label = role_label(role, name);
  const auto found = session.find_one(ObjectClass::PublicKey, label);
  if (!found) throw Error{Code::NotFound, fmt::format("the HSM holds no public key \"{}\"", label)};
  return session.ec_point(*found);
}

}  // namespace keyferry::appliance
