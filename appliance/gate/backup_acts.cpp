#include "appliance/gate/backup_acts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "appliance/gate/backup_key.h"
#include "appliance/gate/internal/backup_file.h"
#include "appliance/gate/key_acts.h"
#include "appliance/gate/shares.h"
#include "keyferry/v1/worker.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"
#include "wrap/se/check_value.h"
#include "wrap/se/delivery.h"
#include "wrap/se/pkcs11_builder.h"
#include "wrap/x509/der.h"

namespace keyferry::appliance {
namespace {

namespace der = x509::der;
using p11::Attribute;
using p11::ObjectClass;
using p11::Template;

[[noreturn]] void refuse(std::string text, std::string hint = {}) { throw Error{Code::Refused, std::move(text), std::move(hint)}; }

v1::Registry registry_of(const std::string& octets) {
  v1::Registry registry;
  if (!registry.ParseFromString(octets)) refuse("the registry does not parse");
  return registry;
}

v1::ListObjects list_request(const v1::Registry& registry) {
  v1::ListObjects request;
  *request.mutable_transport_masters() = registry.transport_masters();
  *request.mutable_vendor_keys() = registry.vendor_keys();
  return request;
}

std::string label_of(KeyRole role, const std::string& name) { return role_label(role, name); }

bool is_rsa(const v1::VendorKey& key) { return key.mechanism() != se::delivery_name(se::Delivery::AesKwp); }

/// What the registry says about each key that belongs into a backup, by label.
std::map<std::string, v1::BackedUpKey> keys_of(const v1::Registry& registry) {
  std::map<std::string, v1::BackedUpKey> keys;
  for (const v1::TransportMaster& master : registry.transport_masters()) {
    if (master.destroyed()) continue;
    v1::BackedUpKey& key = keys[label_of(KeyRole::TransportMaster, master.name())];
    key.set_role("transport-master");
    key.set_kdf(master.kdf());
    key.set_check_value(master.check_value());
  }
  for (const v1::VendorKey& vendor : registry.vendor_keys()) {
    if (vendor.destroyed()) continue;
    const KeyRole role = is_rsa(vendor) ? KeyRole::VendorRsa : KeyRole::Vendor;
    v1::BackedUpKey& key = keys[label_of(role, vendor.name())];
    key.set_role(std::string{key_role(role).name});
    key.set_mechanism(vendor.mechanism());
    key.set_check_value(vendor.check_value());
    key.set_public_key(vendor.public_key());
  }
  for (const v1::CertificateAuthority& authority : registry.authorities()) {
    if (authority.destroyed() || authority.outside()) continue;
    v1::BackedUpKey& key = keys[label_of(KeyRole::CertificateAuthority, authority.name())];
    key.set_role("ca");
    key.set_certificate(authority.certificate());
    if (authority.pending()) key.set_public_key(authority.public_key());
  }
  for (auto& [label, key] : keys) key.set_label(label);
  return keys;
}

/// Nothing when the object is the key that `wanted` names: by its public key, or by its check value.
std::optional<std::string> other_than(const v1::HsmObject& object, const v1::BackedUpKey& wanted, const KeyRoleRow& row) {
  if (object.drift_size() != 0) return fmt::format("its attributes differ: {}", fmt::join(object.drift(), ", "));
  if (is_pair(row)) {
    if (object.public_key().empty()) return "its public key is not there";
    if (!wanted.public_key().empty() && object.public_key() != wanted.public_key()) return "its public key is another one";
    return std::nullopt;
  }
  if (object.check_value().empty()) return "this module cannot compute its check value";
  if (!wanted.check_value().empty() && object.check_value() != wanted.check_value()) return "its check value is another one";
  return std::nullopt;
}

const v1::HsmObject* object_of(const v1::HsmInventory& inventory, const std::string& label, const KeyRoleRow& row) {
  const auto found = std::ranges::find_if(inventory.objects(), [&](const v1::HsmObject& object) {
    return object.label() == label && object.role() == row.name &&
           (object.object_class() == "private key" || object.object_class() == "secret key");
  });
  return found == inventory.objects().end() ? nullptr : &*found;
}

Template session_aes(const SecretBytes& octets) {
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(p11::KeyType::Aes)
      .token(false)
      .private_(true)
      .sensitive(true)
      .encrypt(false)
      .decrypt(false)
      .secret_value(octets);
}

void need_backup_key(Hsm& hsm, const std::string& check_value) {
  if (to_string(backup_key_check_in(hsm.session(), hsm.facts().kwp_or_throw())) == check_value) return;
  throw Error{Code::Hsm, "kf-backup in this HSM is not the key whose shares were made",
              "somebody changed the HSM's objects: find out who before anything is backed up"};
}

// --- restore ---------------------------------------------------------------------------------------------------------

const KeyRoleRow& row_of(const v1::BackedUpKey& key) {
  const KeyRoleRow* row = key_role_by_name(key.role());
  if (row == nullptr || row->in_backup != InBackup::Allowed || key_role_of(key.label(), private_class(*row)) != row) {
    refuse(fmt::format("the backup names a key \"{}\" of role \"{}\", which no backup may hold", printable(key.label()),
                       printable(key.role())));
  }
  return *row;
}

BackupFile checked_file(const SecretBytes& backup_key, const v1::Restore& request) {
  auto opened = open_backup(backup_key, as_bytes(request.backup()));
  if (const auto* refusal = std::get_if<Refusal>(&opened)) throw to_error(*refusal);
  BackupFile file = std::get<BackupFile>(std::move(opened));
  if (file.content.environment() != request.environment()) refuse("the backup is of another environment");
  return file;
}

/// Only what a restore of this very file leaves may be there.
void need_empty(Hsm& hsm, const BackupFile& file) {
  std::set<std::string> expected{label_of(KeyRole::Log, ""), label_of(KeyRole::Export, ""), label_of(KeyRole::Inbox, ""),
                                 label_of(KeyRole::Backup, "")};
  for (const v1::BackedUpKey& key : file.content.keys()) expected.insert(key.label());
  for (const RoleObject& object : role_objects(hsm.session())) {
    if (object.is_state) refuse("this HSM is in use: it holds kf-state", "restore into an HSM without keys");
    if (object.row != nullptr && !expected.contains(object.label)) {
      refuse(fmt::format("this HSM holds \"{}\", which is not in the backup", object.label), "restore into an HSM without keys");
    }
  }
}

std::optional<p11::Mechanism> mechanism_for(Hsm& hsm, const KeyRoleRow& row, const v1::BackedUpKey& key) {
  if (row.role == KeyRole::Vendor) return se::delivery_mechanism(se::Delivery::AesKwp, hsm.facts());
  if (row.role != KeyRole::TransportMaster) return std::nullopt;
  const auto kdf = se::kdf_from_name(key.kdf());
  if (!kdf) refuse("a KDF that is unknown: " + printable(key.kdf()));
  if (const auto refusal = se::check_kdf(*kdf, hsm.facts())) throw to_error(*refusal);
  return se::kdf_mechanism(*kdf);
}

struct RsaNumbers {
  ByteView modulus, exponent;
};

/// RFC 3279 section 2.3.1; without the sign octet.
RsaNumbers rsa_numbers(ByteView spki) {
  const auto outer = der::only_element(spki, der::kSequence);
  der::Reader parts{outer ? outer->content : ByteView{}};
  static_cast<void>(parts.next(der::kSequence));
  const auto bits = parts.next(der::kBitString);
  const auto key = bits && !bits->content.empty() ? der::only_element(bits->content.subspan(1), der::kSequence) : std::nullopt;
  der::Reader numbers{key ? key->content : ByteView{}};
  const auto modulus = numbers.next(der::kInteger);
  const auto exponent = numbers.next(der::kInteger);
  if (!modulus || !exponent || modulus->content.empty()) refuse("an RSA key in the backup has a malformed public half");
  const ByteView n = modulus->content;
  return {n.front() == 0 ? n.subspan(1) : n, exponent->content};
}

Template public_half(const Hsm& hsm, const KeyRoleRow& row, const v1::BackedUpKey& key) {
  Template half = public_template(row, key.label());
  if (row.shape == KeyShape::RsaUnwrap) {
    const RsaNumbers numbers = rsa_numbers(as_bytes(key.public_key()));
    half.octets(Attribute::Modulus, numbers.modulus).public_exponent(numbers.exponent);
  } else {
    if (!crypto::PublicKey::from_point(as_bytes(key.public_key()))) refuse("a public key in the backup is no point");
    half.ec_point(p11::spell_ec_point(as_bytes(key.public_key()), hsm.facts().ec_point_form));
  }
  return half.remove(Attribute::Modifiable).modifiable(false);
}

void unwrap_key(Hsm& hsm, p11::ObjectHandle unwrapping, const v1::BackedUpKey& key) {
  p11::Session& session = hsm.session();
  const KeyRoleRow& row = row_of(key);
  destroy_role_key(session, row.role, key_name_of(row, key.label()));
  Template wanted = private_template(row, key.label(), mechanism_for(hsm, row, key), BackupKey::Present);
  // C_UnwrapKey takes no CKA_VALUE_LEN (PKCS#11 section 2.8.2), and modules set nothing behind CKA_MODIFIABLE = false.
  wanted.remove(Attribute::ValueLen).remove(Attribute::Modifiable).modifiable(false);
  static_cast<void>(session.unwrap(hsm.facts().kwp_or_throw(), unwrapping, as_bytes(key.wrapped()), wanted));
  if (is_pair(row)) static_cast<void>(session.create_object(public_half(hsm, row, key)));
}

/// The private half does what the public half checks.
bool halves_fit(Hsm& hsm, const KeyRoleRow& row, const v1::BackedUpKey& key) {
  p11::Session& session = hsm.session();
  const p11::ObjectHandle handle = find_role_key(session, row.role, key_name_of(row, key.label()));
  if (row.shape == KeyShape::RsaUnwrap) {
    const auto delivery = se::delivery_from_name(key.mechanism());
    const auto hash = delivery ? se::oaep_hash(*delivery) : std::nullopt;
    if (!hash) return false;
    se::Pkcs11Builder builder{session, hsm.facts()};
    return builder.opens_vendor_proof(*delivery, handle,
                                      crypto::wrap_oaep(*hash, as_bytes(key.public_key()), se::vendor_check_constant()));
  }
  const auto point = crypto::PublicKey::from_point(as_bytes(key.public_key()));
  const Digest digest = crypto::sha256(as_bytes("keyferry/v1/restored"));
  return point && crypto::verify(*point, digest, session.sign_ecdsa(handle, digest));
}

/// The proof: every restored key is the one that the file names.
void prove(Hsm& hsm, const BackupFile& file, const v1::Registry& registry, v1::Restored& restored) {
  v1::HsmInventory inventory;
  list_objects(hsm, list_request(registry), inventory);
  for (const v1::BackedUpKey& key : file.content.keys()) {
    const KeyRoleRow& row = row_of(key);
    const v1::HsmObject* object = object_of(inventory, key.label(), row);
    std::optional<std::string> problem = object == nullptr ? std::optional<std::string>{"it is not there"} : other_than(*object, key, row);
    if (!problem && is_pair(row) && !halves_fit(hsm, row, key)) problem = "its halves do not belong together";
    if (problem) {
      throw Error{Code::Hsm, fmt::format("key \"{}\" came back wrong: {}", key.label(), *problem),
                  "take another copy of the backup, or another HSM"};
    }
    *restored.add_objects() = *object;
  }
}

}  // namespace

void make_backup(Hsm& hsm, RandomSource& random, const v1::Backup& request, v1::BackupMade& made) {
  const v1::HsmState& state = request.state();
  if (crypto::sha256(as_bytes(request.registry())).str() != state.registry_digest()) refuse("the registry is not kf-state's");
  const v1::Registry registry = registry_of(request.registry());
  p11::Session& session = hsm.session();
  const p11::Mechanism kwp = hsm.facts().kwp_or_throw();
  need_backup_key(hsm, state.backup_key_check());
  const p11::ObjectHandle wrapping = find_role_key(session, KeyRole::Backup, "");

  v1::BackupContent content;
  content.set_version(1);
  content.set_backup_id(to_string(random.bytes(kBackupIdBytes)));
  content.set_appliance_id(state.appliance_id());
  content.set_environment(state.environment());
  content.set_hsm_epoch(std::max(state.hsm_epoch(), 1U));
  content.set_last_plan_number(state.last_plan_number());
  content.set_checkpoint(state.checkpoint());
  *content.mutable_card() = request.card();
  content.set_registry(request.registry());
  content.set_policy_epoch(state.policy_epoch());
  content.set_plan_digest(request.plan_digest());
  content.set_time_ms(request.now_ms());
  content.set_backup_key_check(state.backup_key_check());
  content.set_shares_needed(state.backup_shares_needed());
  content.set_shares(state.backup_shares());

  v1::HsmInventory inventory;
  list_objects(hsm, list_request(registry), inventory);
  for (const auto& [label, wanted] : keys_of(registry)) {
    const KeyRoleRow& row = row_of(wanted);
    const v1::HsmObject* object = object_of(inventory, label, row);
    const auto problem = object == nullptr ? std::optional<std::string>{"it is not there"} : other_than(*object, wanted, row);
    if (problem) {
      throw Error{Code::Hsm, fmt::format("key \"{}\" cannot be backed up: {}", label, *problem), "see keyferry-appliance hsm inventory"};
    }
    v1::BackedUpKey& key = *content.add_keys();
    key = wanted;
    key.set_public_key(object->public_key());
    key.set_check_value(object->check_value());
    key.set_wrapped(to_string(session.wrap(kwp, wrapping, find_role_key(session, row.role, key_name_of(row, label)))));
  }

  // Made for this file alone and known to this worker until the next brace; whoever opens it later has kf-backup.
  SecretBytes mac_key{kBackupMacKeyBytes};
  random.fill(mac_key.expose_writable());
  const p11::Key in_hsm = session.create_object(session_aes(mac_key).extractable(true));
  content.set_wrapped_mac_key(to_string(session.wrap(kwp, wrapping, in_hsm)));
  p11::HsmSigner signer{session, find_role_key(session, KeyRole::Export, ""), find_role_point(session, KeyRole::Export, "")};
  made.set_backup(to_string(encode_backup(content, mac_key, signer)));
}

void restore_backup(Hsm& hsm, const SecretBytes& backup_key, const v1::Restore& request, v1::Restored& restored) {
  const BackupFile file = checked_file(backup_key, request);
  const v1::Registry registry = registry_of(file.content.registry());
  need_empty(hsm, file);
  need_backup_key(hsm, file.content.backup_key_check());
  p11::Session& session = hsm.session();
  {
    const p11::Key unwrapping = session.create_object(
        session_aes(backup_key).extractable(false).unwrap(true).allowed_mechanisms({hsm.facts().kwp_or_throw()}));
    for (const v1::BackedUpKey& key : file.content.keys()) {
      unwrap_key(hsm, unwrapping, key);
      KF_CUT("worker.restore.key");
    }
  }
  KF_CUT("worker.restore.keys");
  prove(hsm, file, registry, restored);
  v1::HsmInventory made;
  make_appliance_keys(hsm, made);  // syncs
  for (const v1::HsmObject& object : made.objects()) *restored.add_objects() = object;
  const RoleObject wrapping = find_role_object(session, KeyRole::Backup, "");
  v1::HsmObject& shown = *restored.add_objects();
  shown.set_role(std::string{wrapping.row->name});
  shown.set_label(wrapping.label);
  shown.set_check_value(file.content.backup_key_check());
  shown.set_attributes(attributes_text(session, wrapping));
  KF_CUT("worker.restore.done");
  restored.set_backup_id(file.content.backup_id());
  restored.set_registry(file.content.registry());
  *restored.mutable_old_card() = file.content.card();
}

}  // namespace keyferry::appliance
