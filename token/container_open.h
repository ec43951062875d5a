// Opening a container that lies on our own disk: outline, signature, content key, body, in this
// order. In parts because the recipient's key may live in an HSM worker that sees header, trailer
// and chunk hashes only.
//
//   outline()           one pass over the file: layout, sizes, hashes; nothing is decrypted
//   check_signature()   the sender's signature over all of it
//   open_content_key()  one ECDH with the recipient's key
//   BodyReader          second pass: each chunk is hashed again and must be the one that was signed
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <variant>
#include <vector>

#include "token/container.h"
#include "wrap/base/durable_file.h"

namespace keyferry::token {

using Checked = std::variant<std::monostate, Refusal>;  // monostate: yes

/// What the caller wants to read. All that is given must agree.
struct Expectation {
  ContainerType type = ContainerType::Segment;
  Environment environment = Environment::Development;
  KeyId recipient;
  std::uint64_t max_body_bytes = 0;  // policy's limit for the header's bound and for the body
  std::optional<KeyId> sender = {};
  std::optional<BatchId> batch_id = {};
  std::optional<std::uint32_t> index = {};
};

/// Refusals: "type", "environment", "recipient", "sender", "batch", "index", "bound".
[[nodiscard]] Checked check_header(const Header& header, const Expectation& expected);

/// What a file claims to be. Nothing in it is authentic before check_signature().
struct Outline {
  Header header;
  Bytes header_bytes;
  Digest header_hash;
  Trailer trailer;
  std::vector<Digest> chunk_hashes;
  Digest digest;  // what the trailer's signature is over
  std::uint64_t file_size_bytes = 0;

  /// Plaintext octets, by the file's size.
  [[nodiscard]] std::uint64_t body_size_bytes() const;
};

/// One bounded pass over our own copy, never the stick. Refusals: those of parse_header and
/// check_header, "size" (cut short, something behind the trailer, chunk count and length disagree,
/// more than the header's bound), "trailer".
[[nodiscard]] std::variant<Outline, Refusal> outline(const Fd& file, const Expectation& expected);

/// The same value from header, enc and chunk hashes, for who is only given those.
[[nodiscard]] Digest recompute_digest(ByteView header_bytes,
                                      ByteView enc,
                                      const std::vector<Digest>& chunk_hashes);

/// Refusal "sender" if `sender` is not the key that the header names, "signature" if it did not
/// sign this.
[[nodiscard]] Checked check_signature(const Outline& outline, const crypto::PublicKey& sender);
[[nodiscard]] Checked check_signature(const Header& header,
                                      const Digest& digest,
                                      ByteView signature,
                                      const crypto::PublicKey& sender);

/// Nothing when `enc` is no point of the curve. Another recipient's key gives another content key:
/// the first chunk will not open. Throws what `recipient` throws.
[[nodiscard]] std::optional<ContentKey> open_content_key(ByteView enc,
                                                         ByteView header_bytes,
                                                         crypto::DhPrivateKey& recipient);

/// Opens the chunks of one body in order, wherever they come from.
class ChunkOpener {
 public:
  /// `outline` must outlive this.
  ChunkOpener(const Outline& outline, const ContentKey& key);

  /// The next chunk as it lies in the file. False (and the opener is of no more use) when it is not
  /// the one that was outlined or does not open.
  [[nodiscard]] bool open_next(ByteView sealed_chunk, Bytes& plaintext);

  [[nodiscard]] bool done() const;

 private:
  const Outline& outline_;
  Bytes nonce_prefix_;
  crypto::AesGcm aead_;
  std::size_t next_ = 0;
  bool failed_ = false;
};

/// Streams the plaintext of a file in constant memory. `file` and `outline` must outlive this.
class BodyReader {
 public:
  BodyReader(const Fd& file, const Outline& outline, const ContentKey& key);

  /// The next chunk's plaintext, which lives until the next call; nothing after the last; Refusal
  /// "body" when the file is not what was outlined or does not open under the key. What came before
  /// a refusal is authentic but not whole: a caller that needs the whole commits nothing until the
  /// end.
  [[nodiscard]] std::variant<std::optional<ByteView>, Refusal> next();

  /// All of it in order. `take` may stop with a refusal of its own, which is handed on.
  [[nodiscard]] Checked read_all(const std::function<Checked(ByteView)>& take);

 private:
  const Fd& file_;
  const Outline& outline_;
  ChunkOpener opener_;
  Bytes sealed_;
  Bytes plaintext_;
  std::size_t next_ = 0;
};

}  // namespace keyferry::token
