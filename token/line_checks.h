// What a receipt's verdicts must be and rest on: its core held against what was issued and what the
// plan asks for. Public data only, so that the appliance and an auditor ask the same question.
//
// What this shows of a station that lies: it had the certificates of the record, and the holder of
// the injected key signed the record's challenge. What only the SE saw (that it gave these octets
// back, that it verified the firmware's signature) stays the station's word.
#pragma once

#include <optional>
#include <span>

#include "token/items.h"
#include "token/receipt.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"

namespace keyferry::token {

/// What an SE signs (kind challenge): batch id, u32be record number, the record's 32 octets.
[[nodiscard]] Bytes challenge_message(const BatchId& batch,
                                      RecordNo record,
                                      const Digest& challenge);

/// SHA-256 of the 65 octets: how a secure-boot key is named.
[[nodiscard]] Digest point_sha256(const crypto::PublicKey& key);

struct IssuedLine {
  const crypto::PublicKey& key;
  ByteView certificate_serial;            // 1..20; leading zero octets do not count
  std::span<const Digest> chain_sha256;   // leaf first, the anchor last
  std::optional<Digest> firmware_sha256;  // nothing: the plan names no image
  std::optional<LineChecks> checks;       // nothing: a plan of an older form
};

/// For a core whose outcome is injected; that it is about this record is the caller's to know.
/// Refusals: "verdicts" (they are not `pass` where the plan asks, `not-applicable` elsewhere);
/// where the plan has line checks "proof-missing"; and for a proof that is there "proof-chain",
/// "proof-time", "proof-challenge", "proof-serial", "proof-firmware".
[[nodiscard]] std::optional<Refusal> check_line(const ReceiptCore& core, const IssuedLine& issued);

}  // namespace keyferry::token
