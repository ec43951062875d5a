// C2SP signed-note: text, an empty line, and lines "— NAME BASE64(4-octet key id || signature)".
// Reading is strict and bounded; a text is worth nothing until a signature by a known key was
// verified (checkpoint.h).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"

namespace keyferry::audit {

inline constexpr std::size_t kMaxNoteBytes = 64U * 1024;
inline constexpr std::size_t kMaxNoteSignatures =
    32;  ///< signed-note: at least 16 must be accepted

using NoteKeyId = std::array<std::uint8_t, 4>;

/// Signature types of signed-note. We sign with Ecdsa only; Ed25519 names keys of others in tests
/// and tools.
enum class NoteKeyType : std::uint8_t { Ed25519 = 0x01, Ecdsa = 0x02 };

struct NoteSignature {
  std::string name;
  NoteKeyId key_id{};
  Bytes signature;  ///< without the key id
  friend bool operator==(const NoteSignature&, const NoteSignature&) = default;
};

struct SignedNote {
  std::string text;  ///< with its last newline
  std::vector<NoteSignature> signatures;
};

/// Key names: 1 to 128 octets of UTF-8 without spaces (Unicode's too), control characters and '+'.
[[nodiscard]] bool is_note_key_name(std::string_view name);

/// Splits at the last empty line. Refusal "note-malformed": size, UTF-8, control characters, no or
/// too many signature lines, a line that is not of the form, base64 that is not strict.
[[nodiscard]] std::variant<SignedNote, Refusal> parse_note(std::string_view note);

/// Text and signature lines. Error{InvalidArgument} when the result would not parse.
[[nodiscard]] std::string format_note(const SignedNote& note);

/// ECDSA: first four octets of the SHA-256 of the SPKI (signed-note, type 0x02); the name has no
/// part in it.
[[nodiscard]] NoteKeyId ecdsa_note_key_id(const crypto::PublicKey& key);

/// The recommended form for other types: SHA-256(name || 0x0A || type || key)[:4].
[[nodiscard]] NoteKeyId note_key_id(std::string_view name, NoteKeyType type, ByteView key);

/// "NAME+HEX8+BASE64(0x02 || SPKI)": what a verifier is configured with.
[[nodiscard]] std::string verifier_key(std::string_view name, const crypto::PublicKey& key);

struct VerifierKey {
  std::string name;
  crypto::PublicKey key;
};

/// Refusal "verifier-key" for a form, type or key id that is not ours.
[[nodiscard]] std::variant<VerifierKey, Refusal> parse_verifier_key(std::string_view text);

}  // namespace keyferry::audit
