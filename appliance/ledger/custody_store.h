// Who has which token: acts of custody in the ledger, each with its signed statement.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/ledger/custody_states.h"
#include "appliance/ledger/ledger.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

struct CustodyAct {
  TokenId token = {};
  std::uint64_t sequence = 0;
  CustodyEvent event = CustodyEvent::Enrolled;
  CustodyState state = CustodyState::None;  // after it
  std::string label = {}, direction = {}, bag = {};
  std::uint32_t person = 0;  // who gave or took it; 0: nobody, or the name below
  std::string name = {};     // of one who is no person of the registry; may have been erased
  Bytes name_salt = {};      // 16, with a name
  std::optional<UtcMillis> due = {};
  UtcMillis time = {};
  Bytes statement = {};  // encoded token::SignedBytes
};

class CustodyStore {
 public:
  explicit CustodyStore(Ledger& ledger) : ledger_{ledger} {}

  /// The newest act of each token, by token id.
  [[nodiscard]] std::vector<CustodyAct> newest();
  [[nodiscard]] std::optional<CustodyAct> newest(const TokenId& token);
  [[nodiscard]] std::vector<CustodyAct> acts(const TokenId& token);

 private:
  [[nodiscard]] std::vector<CustodyAct> read(const std::string& where, const std::optional<TokenId>& token);

  Ledger& ledger_;
};

/// `custody`: the act, in the transaction of its leaf.
void register_custody_actions(Ledger& ledger);
[[nodiscard]] Action custody_action(const CustodyAct& act);

}  // namespace keyferry::appliance
