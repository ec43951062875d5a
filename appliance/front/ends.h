// What ends by quorum: batches, lost tokens, stations, quarantined SEs, CAs, keys. Each command makes a plan that
// binds exactly the records it is about, shows it, has it approved and runs it; what cannot be undone wants the id
// typed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "appliance/front/operation.h"

namespace keyferry::appliance {

class Context;
class GateSession;

struct EndOptions {
  std::string reason;
  std::string confirm;  // the id again; empty: asked on the terminal
};

struct TokenLostOptions {
  std::string token;                 // 32 hex digits, or the first 4 or more of them
  std::optional<std::string> batch;  // nothing: the one that it carried
  bool revoke = false, accept = false, homebound = false;
  std::optional<std::filesystem::path> list;  // of what was exposed; nothing: HOME/lost/TOKEN-BATCH.csv
  EndOptions end;
};

struct StationRetireOptions {
  std::string station;                   // id or name
  std::optional<std::string> follow_up;  // station that gets what is left over: a plan is written to
  std::filesystem::path out;             // this file
  EndOptions end;
};

int batch_close(Context& context, std::string_view batch, const EndOptions& options);
int token_lost(Context& context, const TokenLostOptions& options);
int station_retire(Context& context, const StationRetireOptions& options);
int quarantine_release(Context& context, std::string_view batch, std::uint32_t record_no, const std::string& reason);
/// Notes that the SEs of these records lie here: what was the factory's claim is then known.
int se_in_hand(Context& context, std::string_view batch, const std::vector<std::uint32_t>& records);
int ca_retire(Context& context, const std::string& name, const EndOptions& options);
int hsm_destroy(Context& context, const std::string& label, const EndOptions& options);

/// The records that a plan of one of these operations binds, compared with the ledger as it is now; nothing for other
/// plans. Refusals: "records-changed" naming the difference, "batch-unknown", "batch-state", "record-state".
[[nodiscard]] std::optional<Refusal> end_refusal(Context& context, const Plan& plan);

/// What the gate needs beside such a plan, and what the ledger does when it has happened. Error{Refused} as above.
[[nodiscard]] OperationInput with_end_input(Context& context, const Plan& plan, const OperationInput& input);

/// After such a plan was run, and at each opening of the gate: what a cut left undone.
void finish_ends(Context& context, GateSession& gate);

void register_all_end_actions(Ledger& ledger);

/// The newest signed revocation list, as it is put on tokens; nothing before anything was revoked.
[[nodiscard]] std::optional<Bytes> revocations(Context& context);
/// Puts it on a token by itself.
int token_revocations(Context& context, const std::filesystem::path& folder);

}  // namespace keyferry::appliance
