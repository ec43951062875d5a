// Checkpoints of a log: the C2SP tlog-checkpoint text in a C2SP signed-note with ECDSA P-256 (type
// 0x02): the signature is over the SHA-256 of the text's octets, as an ASN.1 DER sequence of r and
// s. See FORMAT.md.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "token/audit/signed_note.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace keyferry::audit {

struct Checkpoint {
  std::string origin;  ///< name of the log: a note key name, 1 to 128 octets
  std::uint64_t size = 0;
  Digest root;
  std::vector<std::string> extensions = {};  ///< opaque lines; none in what we write
  friend bool operator==(const Checkpoint&, const Checkpoint&) = default;
};

/// "ORIGIN\nSIZE\nBASE64(ROOT)\n". Error{InvalidArgument} for an origin that is no note key name
/// (stricter than C2SP).
[[nodiscard]] std::string checkpoint_text(std::string_view origin,
                                          std::uint64_t size,
                                          const Digest& root);

/// Strict: decimal without leading zeros, 32-octet root, no empty line. Refusal
/// "checkpoint-malformed".
[[nodiscard]] std::variant<Checkpoint, Refusal> parse_checkpoint_text(std::string_view text);

/// The signed note for a text of ours. Error{InvalidArgument}: not a checkpoint, or no key name.
[[nodiscard]] std::string sign_checkpoint(std::string_view text,
                                          std::string_view key_name,
                                          crypto::Signer& signer);

/// Verifies first, parses second. Other signers' lines are ignored; every line of this key must
/// verify. Refusals: "note-malformed", "checkpoint-unsigned" (no line by this name and key),
/// "checkpoint-signature", "checkpoint-malformed", "checkpoint-origin" (origin is not the key's
/// name).
[[nodiscard]] std::variant<Checkpoint, Refusal> verify_checkpoint(std::string_view note,
                                                                  std::string_view key_name,
                                                                  const crypto::PublicKey& key);

/// What words and QR codes stand for: SHA-256 of the checkpoint's text, 256 bits.
[[nodiscard]] Digest checkpoint_digest(const Checkpoint& checkpoint);

/// That digest as 16 words.
[[nodiscard]] std::string checkpoint_words(const Checkpoint& checkpoint);

}  // namespace keyferry::audit
