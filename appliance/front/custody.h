// Custody of tokens: each act is a statement that the officer signs, and who gave or took the token where there is a
// key; a leaf has its SHA-256, the ledger says where each token is and since when.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "wrap/base/ids.h"

namespace keyferry::token {
class Medium;
}

namespace keyferry::appliance {

class Context;

struct CustodyOptions {
  std::string token;                                  // hex, or a beginning of it; or its label
  std::string label;                                  // enrol
  std::string who;                                    // person number, or a name
  std::string direction;                              // hand-out: "out" or "home"
  std::string bag;                                    // number of the tamper-evident bag
  std::optional<std::string> due;                     // hand-out: when it is expected back
  std::optional<std::filesystem::path> receiver_key;  // of who gave or took it: signs too
  std::optional<int> receiver_passphrase_fd;
};

int token_enrol(Context& context, const std::filesystem::path& folder, const CustodyOptions& options);
int token_hand_out(Context& context, const CustodyOptions& options);
int token_return(Context& context, const CustodyOptions& options);
int token_inspect(Context& context, const CustodyOptions& options);
int token_retire(Context& context, const CustodyOptions& options);
/// Where each is and since when, overdue ones first.
int token_status(Context& context);

/// A token that is enrolled is marked as lost; nothing otherwise.
void note_token_lost(Context& context, const TokenId& token);

/// The id of the enrolled token in `medium`, by the statement on it that the ledger has too.
[[nodiscard]] std::optional<TokenId> enrolled_token(Context& context, token::Medium& medium);

/// By hex, a beginning of it (4 or more), or label. Error{NotFound}.
[[nodiscard]] TokenId find_token(Context& context, const std::string& text);

}  // namespace keyferry::appliance
