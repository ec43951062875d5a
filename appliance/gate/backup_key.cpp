#include "appliance/gate/backup_key.h"

#include <fmt/format.h>

#include "appliance/gate/shares.h"
#include "wrap/base/cut.h"

namespace keyferry::appliance {
namespace {

using p11::Attribute;
using p11::Template;

Template wanted_template() {
  const KeyRoleRow& row = key_role(KeyRole::Backup);
  return private_template(row, role_label(KeyRole::Backup, ""));
}

/// The role's template as C_CreateObject takes it: CKA_VALUE says the length.
Template creation_template(const SecretBytes& octets) {
  Template made = wanted_template();
  made.remove(Attribute::ValueLen).private_(false).secret_value(octets);
  return made;
}

void log_in(p11::Session& session, p11::Role role, const SecretBytes& pin) { session.login_or_throw(role, pin); }

/// CKA_MODIFIABLE comes last: modules take a template in its order, and nothing can be set after it.
Template copy_template() { return Template{}.token(true).private_(true).modifiable(false); }

void copy_of_session_object(p11::Session& session, const SecretBytes& so_pin, const SecretBytes& user_pin,
                            const SecretBytes& octets) {
  log_in(session, p11::Role::SecurityOfficer, so_pin);
  Template first = creation_template(octets);
  first.token(false).modifiable(true);
  const p11::Key source = session.create_object(first);
  session.logout();
  log_in(session, p11::Role::User, user_pin);
  static_cast<void>(session.copy_object(source.handle(), copy_template()));
}

void public_token_object(p11::Session& session, const SecretBytes& so_pin, const SecretBytes& octets) {
  log_in(session, p11::Role::SecurityOfficer, so_pin);
  static_cast<void>(session.create_object(creation_template(octets)));
}

/// Logged in as user afterwards. What of the role's attributes the key does not have; "is not there" when it is not.
std::vector<std::string> shortcomings(p11::Session& session, const SecretBytes& user_pin) {
  log_in(session, p11::Role::User, user_pin);
  const auto key = session.find_one(p11::ObjectClass::SecretKey, role_label(KeyRole::Backup, ""));
  if (!key) return {"it is not there"};
  return session.differences(*key, wanted_template());
}

}  // namespace

void make_backup_key(p11::Session& session, const SecretBytes& so_pin, const SecretBytes& user_pin, const SecretBytes& octets) {
  std::string problem;
  for (const bool copied : {true, false}) {
    try {
      if (copied) {
        copy_of_session_object(session, so_pin, user_pin, octets);
      } else {
        public_token_object(session, so_pin, octets);
      }
      problem.clear();
    } catch (const p11::Pkcs11Error& error) {  // a module that does not know this way: the next one is tried
      if (error.is_device_lost()) throw;
      problem = error.what();
    }
    session.logout();
    const auto missing = shortcomings(session, user_pin);
    if (missing.empty()) {
      session.logout();
      return;
    }
    if (problem.empty()) problem = fmt::format("{}", fmt::join(missing, ", "));
    destroy_role_key(session, KeyRole::Backup, "");
    session.logout();
  }
  throw Error{Code::Hsm, "this HSM does not let the security officer make a trusted wrapping key: " + problem,
              "set the appliance up without --backup-shares, or with another HSM"};
}

Bytes backup_key_check_in(p11::Session& session, p11::Mechanism kwp) {
  const p11::ObjectHandle key = find_role_key(session, KeyRole::Backup, "");
  const p11::Key constant = session.create_object(Template{}
                                                      .object_class(p11::ObjectClass::SecretKey)
                                                      .key_type(p11::KeyType::Aes)
                                                      .token(false)
                                                      .private_(true)
                                                      .sensitive(true)
                                                      .extractable(true)
                                                      .encrypt(false)
                                                      .decrypt(false)
                                                      .secret_value(backup_check_constant()));
  return backup_check_of_blob(session.wrap(kwp, key, constant));
}

}  // namespace keyferry::appliance
