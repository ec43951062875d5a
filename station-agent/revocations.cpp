#include "station-agent/revocations.h"

#include <algorithm>

#include "token/layout.h"
#include "token/revocations.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"
#include "wrap/crypto/hash.h"

namespace keyferry::station {
namespace {

Refusal refuse(const char* reason, std::string text, std::string hint = {}) {
  return Refusal{std::string{"revocations-"} + reason, std::move(text), std::move(hint)};
}

struct ReadList {
  token::RevocationList list;
  Digest sha256;
};

/// Nothing: there is none on the token.
std::variant<std::monostate, ReadList, Refusal> read_list(token::Medium& medium, const StationFacts& station,
                                                          const PinnedAppliance& appliance) {
  const auto octets = token::read_in(medium, std::string{token::kRevocationsName});
  if (const auto* refusal = std::get_if<Refusal>(&octets)) {
    if (refusal->reason == "absent") return std::monostate{};
    return refuse("malformed", "the revocation list cannot be read: " + refusal->text);
  }
  const auto parsed = token::parse_signed_bytes(std::get<Bytes>(octets));
  const auto* bytes = std::get_if<token::SignedBytes>(&parsed);
  if (bytes == nullptr) return refuse("malformed", "the revocation list is damaged");
  if (!token::verify_signed(*bytes, crypto::SignatureKind::RevocationList, appliance.export_key)) {
    return refuse("signature", "the revocation list is not signed by the appliance that this station belongs to");
  }
  auto list = token::parse_revocations(bytes->payload);
  if (const auto* refusal = std::get_if<Refusal>(&list)) {
    return refuse("malformed", "the revocation list is malformed: " + refusal->reason);
  }
  auto& value = std::get<token::RevocationList>(list);
  if (value.appliance_id != appliance.appliance_id || value.environment != station.environment) {
    return refuse("appliance", "the revocation list is of another appliance or environment");
  }
  return ReadList{std::move(value), crypto::sha256(bytes->payload)};
}

}  // namespace

std::variant<std::uint64_t, Refusal> take_revocations(Store& store, token::Medium& medium,
                                                      const StationFacts& station, const PinnedAppliance& appliance,
                                                      std::uint64_t needed) {
  const auto read = read_list(medium, station, appliance);
  if (const auto* refusal = std::get_if<Refusal>(&read)) return *refusal;
  const auto here = store.revocation_state();
  std::uint64_t number = here ? here->number : 0;
  if (const auto* found = std::get_if<ReadList>(&read)) {
    const token::RevocationList& list = found->list;
    if (list.number < number) {
      return refuse("older",
                    "the token has revocation list " + std::to_string(list.number) + ", this station has list " +
                        std::to_string(number) + " already",
                    "the newer list stays in force; if this token was not written before it, tell the officers");
    }
    const bool retired = std::ranges::binary_search(list.stations, station.station_id);
    const bool other_content = list.number == number && found->sha256 != here->sha256 &&
                               (!store.same_revocations(list) || (retired && !here->retired));
    if (other_content) {
      store.note_incident("revocations-forged", std::to_string(number));
      return refuse("forged",
                    "there are two revocation lists of number " + std::to_string(number) + " with other content",
                    "keep this token as it is and tell the officers");
    }
    if (list.number > number) {
      KF_CUT("station.revocations-before");
      store.set_revocations(list, found->sha256, retired);
      KF_CUT("station.revocations-after");
      number = list.number;
    }
  }
  if (needed > number) {
    return refuse(
        "missing",
        "the token's card says that revocation list " + std::to_string(needed) + " goes with it, and it is not there",
        "somebody took it off: have the token written again");
  }
  return number;
}

std::optional<Refusal> retired_refusal(const Store& store) {
  const auto state = store.revocation_state();
  if (!state || !state->retired) return std::nullopt;
  return Refusal{"station-retired", "officers retired this station: it injects nothing any more",
                 "its SEs go to another station in a new batch; receipts may still be unloaded for the officers"};
}

std::optional<Refusal> revoked_refusal(const Store& store, const BatchId& batch) {
  if (!store.is_revoked(batch)) return std::nullopt;
  return Refusal{"batch-revoked", "officers closed batch " + batch.hex() + ": its records are revoked",
                 "set its SEs aside; they get new records in a new batch"};
}

}  // namespace keyferry::station
