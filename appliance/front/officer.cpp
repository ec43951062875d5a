#include "appliance/front/officer.h"

#include <algorithm>

#include "appliance/front/context.h"
#include "appliance/front/internal/wire_environment.h"
#include "keyferry/v1/governance.pb.h"
#include "token/signed_bytes.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxKeyFileBytes = 64 * 1024;

}  // namespace

crypto::SoftKey make_officer_key(const std::filesystem::path& file, const SecretBytes& passphrase) {
  crypto::SoftKey key = crypto::SoftKey::generate();
  write_file_durably(file, key.to_encrypted_pem(passphrase), Overwrite::Refuse);
  return key;
}

crypto::SoftKey read_officer_key(const std::filesystem::path& file, const SecretBytes& passphrase) {
  const auto pem = read_file_if_exists(file, kMaxKeyFileBytes);
  if (!pem) {
    throw Error{
        Code::NotFound, "no officer key at " + file.string(), "name the file with --officer-key"};
  }
  auto key = crypto::SoftKey::from_encrypted_pem(*pem, passphrase);
  if (!key) {
    throw Error{Code::Refused, file.string() + ": wrong passphrase, or not an officer's key file"};
  }
  return std::move(*key);
}

crypto::SoftKey officer_key(Context& context) {
  const auto& chosen = context.options().officer_key;
  return read_officer_key(chosen ? *chosen : context.settings().officer_key,
                          context.officer_passphrase());
}

Bytes sign_approval(const Plan& plan, const ApprovalFacts& facts, crypto::Signer& officer) {
  v1::Approval approval;
  approval.set_version(1);
  approval.set_kind("keyferry/v1/approval");
  approval.set_appliance_id(plan.appliance.str());
  approval.set_environment(wire_environment(plan.environment));
  approval.set_plan_number(plan.number);
  approval.set_operation(std::string{operation_name(plan.operation)});
  approval.set_digest(plan.digest.str());
  approval.set_expires_ms(plan.expires.value);
  approval.set_policy_epoch(facts.policy_epoch);
  approval.set_registry_epoch(facts.registry_epoch);
  approval.set_last_checkpoint(facts.last_checkpoint);
  approval.set_officer_key_id(officer.public_key().key_id().str());
  return token::encode(token::sign_payload(
      officer, crypto::SignatureKind::Approval, to_bytes(as_bytes(approval.SerializeAsString()))));
}

Bytes approve_plan(Context& context, const Plan& plan, crypto::Signer& officer) {
  const Registry registry = context.ledger().registry();
  const bool known = std::ranges::any_of(registry.officers, [&](const KnownOfficer& one) {
    return !one.disabled && equal(one.public_key, officer.public_key().point());
  });
  if (!known) {
    throw Error{Code::Refused,
                "this key belongs to no officer of this appliance",
                "name another key file with --officer-key"};
  }
  ApprovalFacts facts{registry.policy_epoch, registry.epoch, {}};
  if (const auto newest = context.ledger().newest_checkpoint()) {
    facts.last_checkpoint = newest->note;
  }
  return sign_approval(plan, facts, officer);
}

}  // namespace keyferry::appliance
