#include "token/audit/signed_note.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/base64.h"
#include "wrap/base/utf8.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit {
namespace {

constexpr std::string_view kLineStart = "\xe2\x80\x94 ";  // em dash U+2014, space
constexpr std::size_t kMaxNameBytes = 128;

Refusal malformed(std::string what) {
  return Refusal{"note-malformed", "the signed note is malformed: " + std::move(what)};
}

NoteKeyId first_octets(const Digest& digest) {
  NoteKeyId id{};
  std::ranges::copy(digest.bytes().first(id.size()), id.begin());
  return id;
}

std::optional<NoteSignature> parse_line(std::string_view line) {
  if (!line.starts_with(kLineStart)) return std::nullopt;
  line.remove_prefix(kLineStart.size());
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || !is_note_key_name(line.substr(0, space)))
    return std::nullopt;
  const auto octets = from_base64(line.substr(space + 1));
  NoteSignature signature{std::string{line.substr(0, space)}, {}, {}};
  if (!octets || octets->size() <= signature.key_id.size()) return std::nullopt;
  const ByteView all{*octets};
  std::ranges::copy(all.first(signature.key_id.size()), signature.key_id.begin());
  signature.signature = to_bytes(all.subspan(signature.key_id.size()));
  return signature;
}

}  // namespace

bool is_note_key_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxNameBytes) return false;
  const auto points = decode_utf8(name);
  return points && std::ranges::none_of(*points, [](char32_t point) {
           return is_unicode_space(point) || is_control(point) || point == U'+';
         });
}

std::variant<SignedNote, Refusal> parse_note(std::string_view note) {
  if (note.empty() || note.size() > kMaxNoteBytes) return malformed("1 octet to 64 KiB");
  const auto points = decode_utf8(note);
  if (!points) return malformed("not UTF-8");
  if (std::ranges::any_of(*points, [](char32_t point) { return point < 0x20 && point != U'\n'; })) {
    return malformed("control characters");
  }
  const std::size_t split = note.rfind("\n\n");
  if (split == std::string_view::npos || split == 0)
    return malformed("no empty line before the signatures");
  SignedNote parsed{std::string{note.substr(0, split + 1)}, {}};
  std::string_view lines = note.substr(split + 2);
  if (!lines.ends_with('\n')) return malformed("the last line does not end");
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    auto signature = parse_line(lines.substr(0, end));
    if (!signature) return malformed("a signature line");
    if (parsed.signatures.size() == kMaxNoteSignatures) return malformed("too many signatures");
    parsed.signatures.push_back(std::move(*signature));
    lines.remove_prefix(end + 1);
  }
  return parsed;
}

std::string format_note(const SignedNote& note) {
  std::string out = note.text + "\n";
  for (const NoteSignature& signature : note.signatures) {
    Bytes octets{signature.key_id.begin(), signature.key_id.end()};
    append(octets, signature.signature);
    out += fmt::format("{}{} {}\n", kLineStart, signature.name, to_base64(octets));
  }
  const auto parsed = parse_note(out);
  const auto* same = std::get_if<SignedNote>(&parsed);
  if (same == nullptr || same->text != note.text || same->signatures != note.signatures) {
    throw Error{Code::InvalidArgument, "a text or key name that no signed note can carry"};
  }
  return out;
}

NoteKeyId ecdsa_note_key_id(const crypto::PublicKey& key) {
  return first_octets(crypto::sha256(key.spki_der()));
}

NoteKeyId note_key_id(std::string_view name, NoteKeyType type, ByteView key) {
  const std::uint8_t between[] = {'\n', static_cast<std::uint8_t>(type)};
  return first_octets(crypto::sha256_of({as_bytes(name), between, key}));
}

std::string verifier_key(std::string_view name, const crypto::PublicKey& key) {
  if (!is_note_key_name(name))
    throw Error{Code::InvalidArgument, "not a key name of a signed note"};
  Bytes octets{static_cast<std::uint8_t>(NoteKeyType::Ecdsa)};
  append(octets, key.spki_der());
  return fmt::format("{}+{}+{}", name, to_hex(ecdsa_note_key_id(key)), to_base64(octets));
}

std::variant<VerifierKey, Refusal> parse_verifier_key(std::string_view text) {
  const Refusal refusal{"verifier-key",
                        "not a verifier key of the form NAME+KEYID+BASE64 with an ECDSA P-256 key"};
  const std::size_t first = text.find('+');
  if (text.size() > kMaxNoteBytes || first == std::string_view::npos) return refusal;
  const std::size_t second = text.find('+', first + 1);
  if (second == std::string_view::npos) return refusal;
  const std::string_view name = text.substr(0, first);
  const auto octets = from_base64(text.substr(second + 1));
  if (!octets || octets->empty() ||
      octets->front() != static_cast<std::uint8_t>(NoteKeyType::Ecdsa))
    return refusal;
  const auto key = crypto::PublicKey::from_spki(ByteView{*octets}.subspan(1));
  if (!is_note_key_name(name) || !key) return refusal;
  if (text.substr(first + 1, second - first - 1) != to_hex(ecdsa_note_key_id(*key))) return refusal;
  return VerifierKey{std::string{name}, *key};
}

}  // namespace keyferry::audit
