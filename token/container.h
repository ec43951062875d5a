// The sealed container, layout and sealing: header, chunks, trailer (design.md section 7;
// token/FORMAT.md has each octet). HPKE base mode (RFC 9180) to the recipient gives the content
// key; the sender signs a digest over all of it. Reading is in token/container_open.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "token/types.h"
#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/hpke.h"
#include "wrap/crypto/signing.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::token {

inline constexpr std::string_view kHeaderMagic{"KFERRY1\0", 8};
inline constexpr std::string_view kTrailerMagic{"KFEND01\0", 8};
inline constexpr std::uint16_t kFormat = 1;
/// DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, ECDSA P-256
inline constexpr std::uint16_t kSuite = 1;

inline constexpr std::size_t kEncBytes = 65;
inline constexpr std::size_t kNoncePrefixBytes = 7;
inline constexpr std::size_t kChunkBytes = 65'536;  // plaintext of a chunk
inline constexpr std::size_t kSealedChunkBytes = kChunkBytes + crypto::kGcmTagBytes;
inline constexpr std::size_t kHeaderSizeBytes = 126;
inline constexpr std::size_t kTrailerSizeBytes =
    8 + 4 + kEncBytes + crypto::kSignatureBytes;  // 141
/// Chunks are counted in a u32 (0 is never a count): at most 2^32 - 1 of them, so a nonce never
/// comes twice.
inline constexpr std::uint64_t kMaxBodyBytes = std::uint64_t{0xffff'ffff} * kChunkBytes;

/// What is readable on the outside, bound into key, chunks and signature.
struct Header {
  ContainerType type = ContainerType::Segment;
  Environment environment = Environment::Development;
  ContainerId container_id;  // random
  BatchId batch_id;          // zero octets in a receipts container
  std::uint32_t index = 0;   // of the segment; 0 in a manifest and in receipts
  std::uint32_t count = 0;   // records in a segment, segments in a manifest, entries in receipts
  std::uint64_t body_bound_bytes = 0;  // the plaintext is not longer: 0..kMaxBodyBytes
  KeyId sender;                        // of the key that signs the trailer
  KeyId recipient;                     // of the key that it is sealed to

  friend bool operator==(const Header&, const Header&) = default;
};

struct Trailer {
  std::uint32_t chunk_count = 0;  // 1 or more
  Bytes enc;                      // 65: HPKE encapsulated key
  Bytes signature;                // 64: by the sender over signing_digest(Container, digest)
};

/// kHeaderSizeBytes octets. Error{InvalidArgument} above kMaxBodyBytes.
[[nodiscard]] Bytes encode(const Header& header);

/// `octets`: exactly kHeaderSizeBytes. Refusals: "size", "magic", "format", "suite", "type",
/// "environment", "bound".
[[nodiscard]] std::variant<Header, Refusal> parse_header(ByteView octets);

/// kTrailerSizeBytes octets. Error{InvalidArgument} for fields of other lengths.
[[nodiscard]] Bytes encode(const Trailer& trailer);

/// `octets`: exactly kTrailerSizeBytes. Refusal "trailer".
[[nodiscard]] std::variant<Trailer, Refusal> parse_trailer(ByteView octets);

/// Size in bytes of a container whose plaintext has `body_bytes` (0..kMaxBodyBytes).
[[nodiscard]] std::uint64_t container_size_bytes(std::uint64_t body_bytes);

/// Size in bytes of the largest container that this header allows.
[[nodiscard]] std::uint64_t max_container_size_bytes(const Header& header);

/// "keyferry/v1/container", then SHA-256 of the header: HPKE's info.
[[nodiscard]] Bytes hpke_info(const Digest& header_hash);

/// Key and nonce prefix of one body. Reveals the body of one container, never a recipient's private
/// key.
struct ContentKey {
  SecretBytes key;     // 32
  Bytes nonce_prefix;  // 7
};

/// From an HPKE context of either side, by its export contexts.
[[nodiscard]] ContentKey export_content_key(const crypto::HpkeContext& context);

/// prefix, u32be counter, 1 for the last chunk or else 0: 12 octets.
[[nodiscard]] Bytes chunk_nonce(ByteView nonce_prefix, std::uint32_t counter, bool last);

/// SHA-256(header hash, enc, u32be chunk count, SHA-256 of each chunk as it lies in the file),
/// taken in steps.
class DigestBuilder {
 public:
  explicit DigestBuilder(const Digest& header_hash) : header_hash_{header_hash} {}

  void add_chunk(const Digest& chunk_hash);

  [[nodiscard]] std::uint32_t chunk_count() const {
    return static_cast<std::uint32_t>(hashes_.size() / 32);
  }

  [[nodiscard]] Digest finish(ByteView enc) const;

 private:
  Digest header_hash_;
  Bytes hashes_;  // 32 octets a chunk: 0.05 % of the body
};

/// What is known when the body is written, before it is signed.
struct Sealed {
  Digest digest;  // what the sender signs, through SignatureKind::Container
  std::uint32_t chunk_count = 0;
  Bytes enc;
  std::uint64_t body_size_bytes = 0;
};

/// Seals in constant memory, and does not sign: that comes last and may happen elsewhere. `sink`
/// gets the header at once, then each chunk in order, on the caller's thread; what it throws passes
/// through, and the sealer is of no more use. The octets do not depend on the number of threads.
class Sealer {
 public:
  using Sink = std::function<void(ByteView)>;

  /// threads: 1 seals each chunk as it fills and starts no thread; with more (usual_threads()) the
  /// caller and others seal beside each other, 16 chunks on their way for each.
  /// Error{InvalidArgument} if header.recipient is not recipient.key_id().
  Sealer(const Header& header,
         const crypto::PublicKey& recipient,
         Sink sink,
         unsigned threads = 1);

  /// With the ephemeral key given: for vectors only. Used twice, it gives both bodies away.
  Sealer(const Header& header,
         const crypto::PublicKey& recipient,
         Sink sink,
         const crypto::SoftKey& ephemeral,
         unsigned threads = 1);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;

  /// Error{InvalidArgument} when the body passes the header's bound.
  void write(ByteView plaintext);

  /// Seals the last chunk (an empty one if nothing was written). Once.
  [[nodiscard]] Sealed finish();

 private:
  class Crew;

  /// One chunk on its way.
  struct Chunk {
    Bytes plaintext;
    Bytes sealed;
    Digest hash;
    std::uint32_t counter = 0;
    bool last = false;
  };

  Sealer(const Header& header, Sink sink, crypto::HpkeSenderSetup setup, unsigned threads);

  void seal(crypto::AesGcm& aead, Chunk& chunk) const;
  void seal_filled(bool last);
  void let_go(const Chunk& chunk);

  Header header_;
  Sink sink_;
  Bytes enc_;
  Digest header_hash_;
  ContentKey content_key_;
  DigestBuilder digest_;
  std::uint32_t next_counter_ = 0;
  std::uint64_t body_size_bytes_ = 0;
  bool finished_ = false;
  std::vector<Chunk> chunks_;  // the crew's ring
  Chunk* filling_ = nullptr;
  std::unique_ptr<Crew> crew_;  // last: its threads end before what they use
};

/// The trailer of what was sealed. signature: 64 octets, crypto::sign(signer,
/// SignatureKind::Container, sealed.digest.bytes()).
[[nodiscard]] Bytes make_trailer(const Sealed& sealed, ByteView signature);

}  // namespace keyferry::token
