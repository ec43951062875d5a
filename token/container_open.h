// Opening a container that lies on our own disk: outline, signature, content key, body, in this
// order. In parts because the recipient's key may live in an HSM worker that sees header, trailer
// and chunk hashes only.
//
//   outline()           one pass over the file: layout, sizes, hashes; nothing is decrypted
//   check_signature()   the sender's signature over all of it
//   open_content_key()  one ECDH with the recipient's key
//   BodyReader          second pass: each chunk must be the one that the first pass hashed
//
// `threads` is 1 or more (usual_threads()); files of a few chunks are read by the caller alone.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "token/container.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/poly1305.h"

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

/// By what the second pass knows the chunks of the first again, at an eighth of what hashing them twice would cost: a
/// Poly1305 tag of each chunk as it lies in the file, under a random key that never leaves this process. A tag is made
/// once for each place; the second pass only compares, and tells one bit.
class ChunkMarks {
 public:
  ChunkMarks(SecretBytes key, std::size_t count);

  [[nodiscard]] const SecretBytes& key() const { return key_; }

  /// Chunk `index` as it is now. `mac`: of key(), one for each thread.
  void set(crypto::NumberedMac& mac, std::size_t index, ByteView sealed_chunk);
  [[nodiscard]] bool is_same(crypto::NumberedMac& mac, std::size_t index, ByteView sealed_chunk) const;

 private:
  SecretBytes key_;
  std::vector<crypto::Poly1305Tag> marks_;
};

/// What a file claims to be. Nothing in it is authentic before check_signature().
struct Outline {
  Header header;
  Bytes header_bytes;
  Digest header_hash;
  Trailer trailer;
  std::vector<Digest> chunk_hashes;
  std::shared_ptr<const ChunkMarks> marks;  // of the same chunks
  Digest digest;                            // what the trailer's signature is over
  std::uint64_t file_size_bytes = 0;

  /// Plaintext octets, by the file's size.
  [[nodiscard]] std::uint64_t body_size_bytes() const;
};

/// One bounded pass over our own copy, never the stick. Refusals: those of parse_header and
/// check_header, "size" (cut short, something behind the trailer, chunk count and length disagree,
/// more than the header's bound), "trailer".
[[nodiscard]] std::variant<Outline, Refusal> outline(const Fd& file,
                                                     const Expectation& expected,
                                                     unsigned threads = 1);

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

/// Streams the plaintext of a file in constant memory. `file` and `outline` must outlive this.
class BodyReader {
 public:
  BodyReader(const Fd& file,
             const Outline& outline,
             const ContentKey& key,
             unsigned threads = 1);
  ~BodyReader();
  BodyReader(const BodyReader&) = delete;
  BodyReader& operator=(const BodyReader&) = delete;

  /// The next chunk's plaintext, which lives until the next call; nothing after the last; Refusal
  /// "body" when the file is not what was outlined or does not open under the key. What came before
  /// a refusal is authentic but not whole: a caller that needs the whole commits nothing until the
  /// end.
  [[nodiscard]] std::variant<std::optional<ByteView>, Refusal> next();

  /// All of it in order. `take` may stop with a refusal of its own, which is handed on.
  [[nodiscard]] Checked read_all(const std::function<Checked(ByteView)>& take);

 private:
  class Opener;
  class Crew;

  /// One chunk on its way.
  struct Chunk {
    std::size_t index = 0;
    Bytes sealed;
    Bytes plaintext;
    bool opened = false;
  };

  [[nodiscard]] Chunk& opened_next();

  const Fd& file_;
  const Outline& outline_;
  std::vector<Chunk> chunks_;  // the crew's ring
  std::size_t given_ = 0;      // chunks
  std::size_t taken_ = 0;
  bool failed_ = false;
  std::unique_ptr<Crew> crew_;  // last: its threads end before what they use
};

}  // namespace keyferry::token
