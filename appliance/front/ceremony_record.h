// What a ceremony leaves outside its folder: the statements that those present sign, the record of a rehearsal that a
// real run demands, and the leaf in the log.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/front/ceremony/engine.h"
#include "appliance/front/context.h"
#include "wrap/crypto/signing.h"

namespace keyferry::appliance {

inline constexpr std::uint64_t kMaxStatementBytes = 16 * 1024;
inline constexpr std::uint64_t kMaxRecordBytes = 32 * kMaxStatementBytes;

/// A statement whose signature was checked with the key it names.
struct CheckedStatement {
  std::string person;
  std::string role;
  std::string environment;
  Digest script, transcript, html, journal_head;
  std::uint32_t exceptions = 0;
  Bytes public_key;  // 65
};

/// Octets of a token::SignedBytes, kind transcript.
[[nodiscard]] Bytes make_statement(const ceremony::Facts& facts, const std::optional<ApplianceId>& appliance, const ceremony::Person& person,
                                   crypto::Signer& signer);

/// Refusals: those of parse_signed_bytes, "statement" (malformed), "signature".
[[nodiscard]] std::variant<CheckedStatement, Refusal> open_statement(ByteView octets);

/// The record of a rehearsal from the statements that are there now.
[[nodiscard]] Bytes make_rehearsal_record(const std::vector<Bytes>& statements);

/// SHA-256 of the record. Error{Refused} unless everybody of the script's last step signed one and the same transcript
/// of this very script in environment rehearsal, each with a key of their own.
struct CheckedRehearsal {
  Digest digest;
  std::uint32_t exceptions = 0;
};

[[nodiscard]] CheckedRehearsal check_rehearsal(ByteView record, const ceremony::Script& script);

/// The leaf's index, if a leaf of this transcript is in the ledger.
[[nodiscard]] std::optional<std::uint64_t> find_ceremony_leaf(Ledger& ledger, const Digest& transcript);

/// The appliance at the home of `common`, if there is one; opened for each act, as the commands of the steps need it
/// in between.
class HomeRecorder final : public ceremony::Recorder {
 public:
  HomeRecorder(const CommonOptions& common, const ceremony::CeremonyFiles& files, std::string script_id, const Clock& clock,
               RandomSource& random, Output& out)
      : common_{common}, files_{files}, script_id_{std::move(script_id)}, clock_{clock}, random_{random}, out_{out} {}

  [[nodiscard]] ceremony::CheckpointNow checkpoint() override;
  [[nodiscard]] std::string log(const ceremony::Facts& facts) override;
  [[nodiscard]] std::string sign(const ceremony::Person& person, const ceremony::SigningKey& key, const ceremony::Facts& facts) override;

 private:
  [[nodiscard]] bool has_appliance() const;

  const CommonOptions& common_;
  const ceremony::CeremonyFiles& files_;
  std::string script_id_;
  const Clock& clock_;
  RandomSource& random_;
  Output& out_;
};

/// An appliance that went through the whole of init at this home.
[[nodiscard]] bool is_initialised(const CommonOptions& common, const Clock& clock, RandomSource& random, Output& out);

}  // namespace keyferry::appliance
