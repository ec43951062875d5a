// Acts of custody over a token, as statements that those who were there sign (kind custody): who gave it to whom, in
// which bag, in which direction. Each names the one before it, so none can be left out between two others.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "token/signed_bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/ids.h"

namespace keyferry::token {

struct CustodyStatement {
  ApplianceId appliance_id;
  TokenId token_id;
  std::uint64_t sequence = 1;  // of the token's acts
  std::string event;           // "enrolled", "handed-out", "returned", "inspected", "retired", "lost"
  std::string direction = {};  // handed-out: "out" or "home"
  std::string bag = {};        // number of the tamper-evident bag: letters, digits, '-'; at most 64
  std::uint32_t officer = 0;   // person number
  std::uint32_t receiver = 0;  // who gave or took it: person number; 0: nobody, or by the hash
  std::optional<Digest> receiver_name_hash = {};  // SHA-256(salt || name)
  std::optional<UtcMillis> due = {};
  UtcMillis time;
  std::optional<Digest> previous = {};  // SHA-256 of the statement before; nothing for the first

  friend bool operator==(const CustodyStatement&, const CustodyStatement&) = default;
};

/// 0 to 64 of letters, digits and '-'.
[[nodiscard]] bool is_bag_number_or_empty(std::string_view text);

/// Error{InvalidArgument} for what parse_custody would refuse.
[[nodiscard]] Bytes serialise(const CustodyStatement& statement);
/// Refusals: "size", "protobuf", "version", or the field that is wrong.
[[nodiscard]] std::variant<CustodyStatement, Refusal> parse_custody(ByteView octets);

}  // namespace keyferry::token
