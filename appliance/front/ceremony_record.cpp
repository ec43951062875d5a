#include "appliance/front/ceremony_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "appliance/front/internal/wire_environment.h"
#include "appliance/front/officer.h"
#include "appliance/front/officer_token.h"
#include "appliance/front/own_card.h"
#include "appliance/front/station_log_check.h"
#include "appliance/plan/plan.h"
#include "keyferry/v1/ceremony.pb.h"
#include "keyferry/v1/log.pb.h"
#include "token/audit/checkpoint.h"
#include "token/signed_bytes.h"
#include "wrap/base/cut.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKind = "keyferry/v1/transcript";
constexpr std::size_t kMaxStatements = 32;

v1::Environment wire_environment_of(const std::string& name) {
  const auto environment = environment_from_name(name);
  return environment ? wire_environment(*environment) : v1::ENVIRONMENT_UNSPECIFIED;
}

std::optional<std::string> environment_text(v1::Environment environment) {
  for (const Environment known : {Environment::Development, Environment::Rehearsal, Environment::Production}) {
    if (wire_environment(known) == environment) return std::string{environment_name(known)};
  }
  return std::nullopt;
}

std::optional<CheckedStatement> converted(const v1::CeremonyStatement& message) {
  const auto script = Digest::from_bytes(as_bytes(message.script_sha256()));
  const auto transcript = Digest::from_bytes(as_bytes(message.transcript_sha256()));
  const auto html = Digest::from_bytes(as_bytes(message.html_sha256()));
  const auto head = Digest::from_bytes(as_bytes(message.journal_head()));
  const auto environment = environment_text(message.environment());
  if (message.version() != 1 || message.kind() != kKind || !script || !transcript || !html || !head || !environment ||
      !is_name(message.person()) || !is_name(message.role())) {
    return std::nullopt;
  }
  return CheckedStatement{.person = message.person(),
                          .role = message.role(),
                          .environment = *environment,
                          .script = *script,
                          .transcript = *transcript,
                          .html = *html,
                          .journal_head = *head,
                          .exceptions = message.exceptions(),
                          .public_key = to_bytes(as_bytes(message.public_key()))};
}

[[noreturn]] void refuse_record(const std::string& why) {
  throw Error{Code::Refused, "the rehearsal's record " + why,
              "rehearse this very script (ceremony run SCRIPT --rehearsal DIR), everybody signs, then name its record"};
}

std::unique_ptr<crypto::Signer> signing_key(const std::string& key, const SecretBytes& passphrase) {
  if (is_token_uri(key)) return std::make_unique<OfficerToken>(key, passphrase);
  return std::make_unique<crypto::SoftKey>(read_officer_key(key, passphrase));
}

/// Statements that are in the folder now, in the order of the script's people.
std::vector<Bytes> kept_statements(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator{folder}) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("signed-by-") && name.ends_with(".kf")) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<Bytes> statements;
  for (const fs::path& file : files) statements.push_back(read_file(file, kMaxStatementBytes));
  return statements;
}

}  // namespace

Bytes make_statement(const ceremony::Facts& facts, const std::optional<ApplianceId>& appliance, const ceremony::Person& person,
                     crypto::Signer& signer) {
  v1::CeremonyStatement message;
  message.set_version(1);
  message.set_kind(kKind);
  if (appliance) message.set_appliance_id(appliance->str());
  message.set_environment(wire_environment_of(facts.environment));
  message.set_script_sha256(facts.script.str());
  message.set_transcript_sha256(facts.transcript.str());
  message.set_html_sha256(facts.html.str());
  message.set_journal_head(facts.journal_head.str());
  message.set_steps(facts.steps);
  message.set_exceptions(facts.exceptions);
  message.set_ended_ms(facts.ended.value);
  message.set_person(person.id);
  message.set_role(person.role);
  message.set_public_key(to_string(signer.public_key().point()));
  return token::encode(
      token::sign_payload(signer, crypto::SignatureKind::Transcript, to_bytes(as_bytes(message.SerializeAsString()))));
}

std::variant<CheckedStatement, Refusal> open_statement(ByteView octets) {
  auto parsed = token::parse_signed_bytes(octets);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) return std::move(*refusal);
  const auto& signed_bytes = std::get<token::SignedBytes>(parsed);
  // The key stands in what is signed: it is read first, and nothing else is believed before the signature fits it.
  v1::CeremonyStatement message;
  const bool read = message.ParseFromArray(signed_bytes.payload.data(), static_cast<int>(signed_bytes.payload.size()));
  const auto key = read ? crypto::PublicKey::from_point(as_bytes(message.public_key())) : std::nullopt;
  if (!key || !token::verify_signed(signed_bytes, crypto::SignatureKind::Transcript, *key)) {
    return Refusal{"signature", "the statement is not signed by the key that it names"};
  }
  auto statement = converted(message);
  if (!statement) return Refusal{"statement", "the statement is malformed"};
  return std::move(*statement);
}

Bytes make_rehearsal_record(const std::vector<Bytes>& statements) {
  v1::RehearsalRecord record;
  record.set_version(1);
  for (const Bytes& statement : statements) {
    if (!record.add_statements()->ParseFromArray(statement.data(), static_cast<int>(statement.size()))) {
      throw Error{Code::Storage, "a statement is damaged"};
    }
  }
  return to_bytes(as_bytes(record.SerializeAsString()));
}

CheckedRehearsal check_rehearsal(ByteView octets, const ceremony::Script& script) {
  v1::RehearsalRecord record;
  if (octets.size() > kMaxRecordBytes || !record.ParseFromArray(octets.data(), static_cast<int>(octets.size())) ||
      record.version() != 1 || static_cast<std::size_t>(record.statements_size()) > kMaxStatements) {
    refuse_record("is none, or it is damaged");
  }
  CheckedRehearsal checked{crypto::sha256(octets), 0};
  std::map<std::string, Bytes> keys;  // by person
  std::optional<Digest> transcript;
  for (const v1::SignedBytes& one : record.statements()) {
    const std::string encoded = one.SerializeAsString();
    const auto opened = open_statement(as_bytes(encoded));
    if (const auto* refusal = std::get_if<Refusal>(&opened)) refuse_record("is not good: " + refusal->text);
    const auto& statement = std::get<CheckedStatement>(opened);
    if (statement.environment != "rehearsal") refuse_record("is of no rehearsal, but of environment " + statement.environment);
    if (statement.script != script.digest) refuse_record("is of another script, or of an earlier form of this one");
    if (transcript && *transcript != statement.transcript) refuse_record("mixes two rehearsals");
    transcript = statement.transcript;
    keys[statement.person] = statement.public_key;
    checked.exceptions = statement.exceptions;
  }
  std::set<Bytes> different;
  for (const std::string& person : script.steps.back().who) {
    if (!keys.contains(person)) refuse_record("was not signed by " + person);
    if (!different.insert(keys[person]).second) refuse_record("was signed with one key for two people");
  }
  return checked;
}

std::optional<std::uint64_t> find_ceremony_leaf(Ledger& ledger, const Digest& transcript) {
  std::optional<std::uint64_t> found;
  ledger.visit_leaves(0, [&](std::uint64_t index, ByteView octets, bool) {
    v1::LogLeaf leaf;
    if (leaf.ParseFromArray(octets.data(), static_cast<int>(octets.size())) && leaf.has_ceremony() &&
        leaf.ceremony().transcript_sha256() == transcript.str()) {
      found = index;
    }
  });
  return found;
}

bool is_initialised(const CommonOptions& common, const Clock& clock, RandomSource& random, Output& out) {
  if (!fs::exists(Paths{common.home}.settings()) || !fs::exists(Paths{common.home}.card())) return false;
  Context context{common, Access::Read, clock, random, out};
  return context.ledger().value("appliance_id").has_value();
}

bool HomeRecorder::has_appliance() const {
  return is_initialised(common_, clock_, random_, out_);
}

ceremony::CheckpointNow HomeRecorder::checkpoint() {
  if (!has_appliance()) return {};
  Context context{common_, Access::Read, clock_, random_, out_};
  const auto newest = context.ledger().newest_checkpoint();
  if (!newest) return {};
  const token::ApplianceCard card = own_card(context);
  const auto verified = audit::verify_checkpoint(newest->note, log_name(card.appliance_id), card.log_key);
  if (const auto* refusal = std::get_if<Refusal>(&verified)) throw to_error(*refusal);
  return {newest->note, audit::checkpoint_words(std::get<audit::Checkpoint>(verified))};
}

std::string HomeRecorder::log(const ceremony::Facts& facts) {
  if (!has_appliance()) return "there is no appliance whose log could hold it";
  Context context{common_, Access::Write, clock_, random_, out_};
  if (const auto index = find_ceremony_leaf(context.ledger(), facts.transcript)) return fmt::format("leaf {} of the log", *index);
  v1::LogLeaf leaf;
  v1::CeremonyLeaf& detail = *leaf.mutable_ceremony();
  detail.set_script(script_id_);
  detail.set_script_sha256(facts.script.str());
  detail.set_transcript_sha256(facts.transcript.str());
  detail.set_html_sha256(facts.html.str());
  detail.set_environment(wire_environment_of(facts.environment));
  detail.set_exceptions(facts.exceptions);
  detail.set_steps(facts.steps);
  detail.set_ended_ms(facts.ended.value);
  context.gate().report({leaf});
  KF_CUT("front.ceremony.reported");
  const auto index = find_ceremony_leaf(context.ledger(), facts.transcript);
  if (!index) throw Error{Code::Internal, "the gate took the ceremony's leaf, and the ledger has none"};
  return fmt::format("leaf {} of the log", *index);
}

std::string HomeRecorder::sign(const ceremony::Person& person, const ceremony::SigningKey& key, const ceremony::Facts& facts) {
  const SecretBytes passphrase = key.passphrase_file ? read_secret_file(*key.passphrase_file)
                                 : common_.officer_passphrase_fd
                                     ? read_secret_line(*common_.officer_passphrase_fd)
                                     : prompt_secret(fmt::format("passphrase or PIN of the key of {}: ", person.id));
  const std::unique_ptr<crypto::Signer> opened_key = signing_key(key.key, passphrase);
  crypto::Signer& signer = *opened_key;
  std::optional<ApplianceId> appliance;
  if (has_appliance()) {
    Context context{common_, Access::Read, clock_, random_, out_};
    appliance = context.appliance_id();
    const Registry registry = context.ledger().registry();
    const bool known = std::ranges::any_of(registry.officers, [&](const KnownOfficer& one) {
      return !one.disabled && equal(one.public_key, signer.public_key().point());
    });
    if (!known) {
      throw Error{Code::Refused, fmt::format("{}: the key {} belongs to nobody whom this appliance knows", person.id, key.key),
                  "name the key that the person was enrolled with; or sign on paper"};
    }
  }
  for (const Bytes& other : kept_statements(files_.folder)) {
    const auto opened = open_statement(other);
    const auto* statement = std::get_if<CheckedStatement>(&opened);
    if (statement != nullptr && statement->person != person.id && equal(statement->public_key, signer.public_key().point())) {
      throw Error{Code::Refused, fmt::format("{} has signed with this key: {} needs another", statement->person, person.id)};
    }
  }
  write_file_durably(files_.statement(person.id), make_statement(facts, appliance, person, signer), Overwrite::Replace);
  KF_CUT("front.ceremony.statement");
  if (facts.environment == "rehearsal") {
    write_file_durably(files_.folder / "rehearsal.record", make_rehearsal_record(kept_statements(files_.folder)), Overwrite::Replace);
  }
  return signer.public_key().key_id().hex();
}

}  // namespace keyferry::appliance
