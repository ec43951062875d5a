#include "token/audit/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "wrap/base/base64.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit {
namespace {

constexpr std::size_t kMaxExtensions = 16;

Refusal malformed(std::string what) {
  return Refusal{"checkpoint-malformed", "the checkpoint is malformed: " + std::move(what)};
}

/// Decimal without leading zeros, up to 2^64 - 1.
std::optional<std::uint64_t> parse_size(std::string_view text) {
  const bool leading_zero = text.size() > 1 && text.front() == '0';
  if (text.empty() || leading_zero || text.front() < '0' || text.front() > '9') return std::nullopt;
  std::uint64_t size = 0;
  const auto [stop, failed] = std::from_chars(text.data(), text.data() + text.size(), size);
  if (failed != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return size;
}

}  // namespace

std::string checkpoint_text(std::string_view origin, std::uint64_t size, const Digest& root) {
  if (!is_note_key_name(origin))
    throw Error{Code::InvalidArgument, "not an origin for a checkpoint"};
  return fmt::format("{}\n{}\n{}\n", origin, size, to_base64(root.bytes()));
}

std::variant<Checkpoint, Refusal> parse_checkpoint_text(std::string_view text) {
  if (text.size() > kMaxNoteBytes || !text.ends_with('\n')) return malformed("size or last line");
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == 0) return malformed("an empty line");
    if (lines.size() == 3 + kMaxExtensions) return malformed("too many lines");
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  if (lines.size() < 3) return malformed("fewer than three lines");
  if (!is_note_key_name(lines[0])) return malformed("origin");
  const auto size = parse_size(lines[1]);
  if (!size) return malformed("tree size");
  const auto hash = from_base64(lines[2]);
  const auto root = hash ? Digest::from_bytes(*hash) : std::nullopt;
  if (!root) return malformed("root hash");
  return Checkpoint{std::string{lines[0]}, *size, *root, {lines.begin() + 3, lines.end()}};
}

std::string sign_checkpoint(std::string_view text,
                            std::string_view key_name,
                            crypto::Signer& signer) {
  if (std::holds_alternative<Refusal>(parse_checkpoint_text(text))) {
    throw Error{Code::InvalidArgument, "only the text of a checkpoint is signed as one"};
  }
  const Bytes raw = signer.sign_digest(crypto::sha256(as_bytes(text)));
  return format_note(SignedNote{std::string{text},
                                {NoteSignature{std::string{key_name},
                                               ecdsa_note_key_id(signer.public_key()),
                                               crypto::raw_to_der_signature(raw)}}});
}

std::variant<Checkpoint, Refusal> verify_checkpoint(std::string_view note,
                                                    std::string_view key_name,
                                                    const crypto::PublicKey& key) {
  const auto parsed = parse_note(note);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& signed_note = std::get<SignedNote>(parsed);
  const NoteKeyId key_id = ecdsa_note_key_id(key);
  const Digest digest = crypto::sha256(as_bytes(signed_note.text));
  bool is_signed = false;
  for (const NoteSignature& line : signed_note.signatures) {
    if (line.name != key_name || line.key_id != key_id) continue;
    const auto raw = crypto::der_to_raw_signature(line.signature);
    if (!raw || !crypto::verify(key, digest, *raw)) {
      return Refusal{"checkpoint-signature",
                     fmt::format("a signature by {} does not verify", printable(key_name))};
    }
    is_signed = true;
  }
  if (!is_signed) {
    return Refusal{
        "checkpoint-unsigned",
        fmt::format("no signature by {} with this key", printable(key_name)),
        "is it the checkpoint of another log, or is the fingerprint of another appliance?"};
  }
  auto checkpoint = parse_checkpoint_text(signed_note.text);
  if (const auto* accepted = std::get_if<Checkpoint>(&checkpoint);
      accepted != nullptr && accepted->origin != key_name) {
    return Refusal{"checkpoint-origin",
                   fmt::format("a checkpoint of the log {}", printable(accepted->origin))};
  }
  return checkpoint;
}

Digest checkpoint_digest(const Checkpoint& checkpoint) {
  std::string text = checkpoint_text(checkpoint.origin, checkpoint.size, checkpoint.root);
  for (const std::string& line : checkpoint.extensions) text += line + "\n";
  return crypto::sha256(as_bytes(text));
}

std::string checkpoint_words(const Checkpoint& checkpoint) {
  return to_words(checkpoint_digest(checkpoint).bytes());
}

}  // namespace keyferry::audit
