#include "appliance/front/officer.h"

#include <fmt/format.h>

#include "appliance/front/approval_standing.h"
#include "appliance/front/context.h"
#include "appliance/front/internal/wire_environment.h"
#include "appliance/front/officer_token.h"
#include "keyferry/v1/governance.pb.h"
#include "token/signed_bytes.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxKeyFileBytes = 64 * 1024;
constexpr const char* kPinPrompt = "PIN of the officer's token: ";

SecretBytes new_passphrase(const CommonOptions& common) {
  if (common.officer_passphrase_fd) return read_secret_line(*common.officer_passphrase_fd);
  SecretBytes first = prompt_secret("new passphrase for the officer's key: ");
  const SecretBytes second = prompt_secret("the same once more: ");
  if (!equal(first.expose(), second.expose())) {
    throw Error{Code::Usage, "the two passphrases differ"};
  }
  return first;
}

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

std::unique_ptr<crypto::Signer> officer_key(Context& context) {
  const auto& chosen = context.options().officer_key;
  const std::filesystem::path name = chosen ? *chosen : context.settings().officer_key;
  if (name.empty()) {
    throw Error{Code::Usage, "an officer's key is needed here", "name it with --officer-key FILE or URI"};
  }
  if (is_token_uri(name.string())) {
    return std::make_unique<OfficerToken>(name.string(), context.officer_passphrase(kPinPrompt));
  }
  return std::make_unique<crypto::SoftKey>(read_officer_key(name, context.officer_passphrase()));
}

std::unique_ptr<crypto::Signer> make_or_read_officer_key(const CommonOptions& common) {
  if (!common.officer_key) throw Error{Code::Usage, "--officer-key FILE or URI is needed"};
  const std::filesystem::path& name = *common.officer_key;
  const auto secret = [&common](const char* prompt) {
    return common.officer_passphrase_fd ? read_secret_line(*common.officer_passphrase_fd)
                                        : prompt_secret(prompt);
  };
  if (is_token_uri(name.string())) {
    return std::make_unique<OfficerToken>(name.string(), secret(kPinPrompt), MakePair::IfAbsent);
  }
  if (std::filesystem::exists(name)) {
    return std::make_unique<crypto::SoftKey>(
        read_officer_key(name, secret("passphrase of the officer's key: ")));
  }
  auto key = std::make_unique<crypto::SoftKey>(make_officer_key(name, new_passphrase(common)));
  KF_CUT("front.init.officer-key");
  return key;
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
  const DecidingFacts deciding = deciding_facts(context, plan.operation);
  const KnownOfficer* known = deciding.registry.person_of_key(officer.public_key().key_id());
  if (known == nullptr || !equal(known->public_key, officer.public_key().point())) {
    throw Error{Code::Refused,
                "this key belongs to no officer of this appliance",
                "name another key with --officer-key"};
  }
  if (!known->approves()) {
    throw Error{Code::Refused,
                fmt::format("person {} ({}{}) may not approve",
                            known->number,
                            role_name(known->role),
                            known->disabled ? ", disabled" : ""),
                "have an officer approve it: keyferry-appliance officer list"};
  }
  return sign_approval(plan, deciding.facts, officer);
}

}  // namespace keyferry::appliance
