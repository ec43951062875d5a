// One receipts container, from our own copy of it to rows that are put aside: signature, station
// log, every core. Needs the ledger and the container's content key, no gate: who opens the
// container is the caller's.
//
// All or nothing: a refusal leaves nothing behind but, where a station contradicts itself, an
// incident for the caller to record. What the station could not know or help (another receipt for a
// record that has one) is an incident beside an accepted file.
#pragma once

#include <optional>
#include <variant>

#include "appliance/ledger/receipt_store.h"
#include "appliance/ledger/registry.h"
#include "token/container_open.h"
#include "token/enrolment.h"
#include "wrap/base/clock.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

inline constexpr std::uint64_t kMaxReceiptsBytes = std::uint64_t{4} << 30;

struct RefusedReceipts {
  Refusal refusal;
  std::optional<Incident> incident = {};
};

/// A container whose signature by an enrolled station holds. Nothing of its body is known yet.
struct ReceiptsFile {
  token::Outline outline;
  KnownStation station;
  crypto::PublicKey station_key;
  bool known = false;  // the same container was taken in before: nothing to do
};

/// Refusals: those of token::outline and check_signature; "sender" when the signer is no enrolled
/// station, "retired", "container-forged" (incident): the same container id came with another
/// digest.
[[nodiscard]] std::variant<ReceiptsFile, RefusedReceipts> outline_receipts(
    Ledger& ledger, const Fd& file, const token::ApplianceCard& card);

/// Verifies all of it and leaves it staged. Refusals: those of token::read_items; "station-log-..."
/// when the log does not extend the last one; "receipt-..." for a core, named by its position.
[[nodiscard]] std::optional<RefusedReceipts> stage_receipts(Ledger& ledger,
                                                            const Fd& file,
                                                            const ReceiptsFile& receipts,
                                                            const token::ContentKey& key,
                                                            const token::ApplianceCard& card,
                                                            UtcMillis now);

}  // namespace keyferry::appliance
