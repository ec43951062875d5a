#include "token/container_open.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "token/ordered_crew.h"
#include "wrap/base/random.h"

namespace keyferry::token {
namespace {

constexpr std::size_t kChunksPerThread = 16;
/// Fewer chunks are not worth a thread.
constexpr std::size_t kManyChunks = 8;

constexpr const char* kAskAgain =
    "copy the file again; if it stays so, ask the sender for the token";

Refusal size_refusal(std::string text) {
  return Refusal{"size", std::move(text), kAskAgain};
}

Refusal body_refusal() {
  return Refusal{"body",
                 "the container's body does not open: it was changed, or sealed to another key",
                 kAskAgain};
}

/// Length of chunk `index` as it lies in the file.
std::size_t sealed_size_bytes(const Outline& outline, std::size_t index) {
  if (index + 1 < outline.chunk_hashes.size()) return kSealedChunkBytes;
  const std::uint64_t chunks = outline.file_size_bytes - kHeaderSizeBytes - kTrailerSizeBytes;
  return static_cast<std::size_t>(chunks - index * std::uint64_t{kSealedChunkBytes});
}

/// The number of chunks that `chunks_bytes` of them must be; nothing when no body has that length.
/// One body has one length only: an empty chunk stands alone.
std::optional<std::uint32_t> chunk_count_for(std::uint64_t chunks_bytes) {
  if (chunks_bytes < crypto::kGcmTagBytes) return std::nullopt;
  const std::uint64_t count = (chunks_bytes - 1) / kSealedChunkBytes + 1;
  const std::uint64_t last = chunks_bytes - (count - 1) * kSealedChunkBytes;
  if (last < crypto::kGcmTagBytes) return std::nullopt;
  if (last == crypto::kGcmTagBytes && count > 1) return std::nullopt;
  if (count > 0xffff'ffffU) return std::nullopt;
  return static_cast<std::uint32_t>(count);
}

bool read_chunk(const Fd& file, const Outline& outline, std::size_t index, Bytes& sealed) {
  sealed.resize(sealed_size_bytes(outline, index));
  return read_exactly_at(
      file, kHeaderSizeBytes + index * std::uint64_t{kSealedChunkBytes}, sealed);
}

/// Hashes and marks of all chunks; false when the file ends before.
bool read_chunks(const Fd& file, Outline& outline, unsigned threads) {
  SecretBytes key{crypto::kPoly1305KeyBytes};
  SystemRandom{}.fill(key.expose_writable());
  ChunkMarks marks{std::move(key), outline.chunk_hashes.size()};
  std::atomic<bool> shrank{false};
  const std::size_t count = outline.chunk_hashes.size();
  for_each_stretch(
      count < kManyChunks ? 1 : threads, count, kChunksPerThread, [&](std::size_t from, std::size_t to) {
        crypto::NumberedMac mac{marks.key()};
        Bytes sealed;
        for (std::size_t i = from; i < to && !shrank; ++i) {
          if (!read_chunk(file, outline, i, sealed)) {
            shrank = true;
            return;
          }
          outline.chunk_hashes[i] = crypto::sha256(sealed);
          marks.set(mac, i, sealed);
        }
      });
  outline.marks = std::make_shared<const ChunkMarks>(std::move(marks));
  return !shrank;
}

}  // namespace

Checked check_header(const Header& header, const Expectation& expected) {
  if (header.type != expected.type) {
    return Refusal{"type",
                   "a container of type " + std::string{name_of(header.type)} +
                       " where one of type " + std::string{name_of(expected.type)} + " belongs"};
  }
  if (header.environment != expected.environment) {
    return Refusal{"environment",
                   "a container from " + std::string{name_of(header.environment)} +
                       ", but this is " + std::string{name_of(expected.environment)}};
  }
  if (header.recipient != expected.recipient) {
    return Refusal{"recipient",
                   "sealed for another recipient (key " + header.recipient.hex() + ")",
                   "take the token to the station that it was made for"};
  }
  if (expected.sender && header.sender != *expected.sender) {
    return Refusal{"sender", "the header names a sender that is not the expected one"};
  }
  if (expected.batch_id && header.batch_id != *expected.batch_id) {
    return Refusal{"batch", "belongs to batch " + header.batch_id.hex()};
  }
  if (expected.index && header.index != *expected.index) {
    return Refusal{
        "index",
        "is number " + std::to_string(header.index) + ", not " + std::to_string(*expected.index)};
  }
  if (header.body_bound_bytes > expected.max_body_bytes) {
    return Refusal{"bound",
                   "its header allows " + std::to_string(header.body_bound_bytes) +
                       " octets, policy only " + std::to_string(expected.max_body_bytes)};
  }
  return std::monostate{};
}

std::uint64_t Outline::body_size_bytes() const {
  return file_size_bytes - kHeaderSizeBytes - kTrailerSizeBytes -
         std::uint64_t{chunk_hashes.size()} * crypto::kGcmTagBytes;
}

ChunkMarks::ChunkMarks(SecretBytes key, std::size_t count) : key_{std::move(key)}, marks_(count) {}

void ChunkMarks::set(crypto::NumberedMac& mac, std::size_t index, ByteView sealed_chunk) {
  marks_[index] = mac.tag(index, sealed_chunk);
}

bool ChunkMarks::is_same(crypto::NumberedMac& mac, std::size_t index, ByteView sealed_chunk) const {
  return crypto::same(mac.tag(index, sealed_chunk), marks_[index]);
}

std::variant<Outline, Refusal> outline(const Fd& file,
                                       const Expectation& expected,
                                       unsigned threads) {
  Outline out;
  out.file_size_bytes = file_size_bytes(file);
  if (out.file_size_bytes < kHeaderSizeBytes)
    return size_refusal("the file is shorter than a header");

  out.header_bytes.resize(kHeaderSizeBytes);
  if (!read_exactly_at(file, 0, out.header_bytes)) return size_refusal("the file shrank");
  auto header = parse_header(out.header_bytes);
  if (auto* no = std::get_if<Refusal>(&header)) return std::move(*no);
  out.header = std::get<Header>(header);
  auto agrees = check_header(out.header, expected);
  if (auto* no = std::get_if<Refusal>(&agrees)) return std::move(*no);

  // Sizes first: what is too long is not read.
  if (out.file_size_bytes > max_container_size_bytes(out.header)) {
    return size_refusal("the file is longer than its header allows");
  }
  if (out.file_size_bytes < kHeaderSizeBytes + crypto::kGcmTagBytes + kTrailerSizeBytes) {
    return size_refusal("the file is cut short");
  }
  const std::uint64_t chunks_bytes = out.file_size_bytes - kHeaderSizeBytes - kTrailerSizeBytes;
  Bytes trailer_bytes(kTrailerSizeBytes);
  if (!read_exactly_at(file, kHeaderSizeBytes + chunks_bytes, trailer_bytes)) {
    return size_refusal("the file shrank");
  }
  auto trailer = parse_trailer(trailer_bytes);
  if (auto* no = std::get_if<Refusal>(&trailer)) return std::move(*no);
  out.trailer = std::get<Trailer>(std::move(trailer));
  if (chunk_count_for(chunks_bytes) != out.trailer.chunk_count) {
    return size_refusal("the file's length and its count of chunks disagree");
  }

  out.header_hash = crypto::sha256(out.header_bytes);
  out.chunk_hashes.resize(out.trailer.chunk_count);
  if (!read_chunks(file, out, threads)) return size_refusal("the file shrank");
  out.digest = recompute_digest(out.header_bytes, out.trailer.enc, out.chunk_hashes);
  return out;
}

Digest recompute_digest(ByteView header_bytes,
                        ByteView enc,
                        const std::vector<Digest>& chunk_hashes) {
  DigestBuilder builder{crypto::sha256(header_bytes)};
  for (const Digest& hash : chunk_hashes) builder.add_chunk(hash);
  return builder.finish(enc);
}

Checked check_signature(const Header& header,
                        const Digest& digest,
                        ByteView signature,
                        const crypto::PublicKey& sender) {
  if (header.sender != sender.key_id()) {
    return Refusal{"sender", "the header names another sender"};
  }
  if (!crypto::verify(sender, crypto::SignatureKind::Container, digest.bytes(), signature)) {
    return Refusal{"signature", "the sender's signature does not fit this container", kAskAgain};
  }
  return std::monostate{};
}

Checked check_signature(const Outline& outline, const crypto::PublicKey& sender) {
  return check_signature(outline.header, outline.digest, outline.trailer.signature, sender);
}

std::optional<ContentKey> open_content_key(ByteView enc,
                                           ByteView header_bytes,
                                           crypto::DhPrivateKey& recipient) {
  const auto context = crypto::setup_base_receiver(
      crypto::HpkeSuite::Aes256Gcm, enc, recipient, hpke_info(crypto::sha256(header_bytes)));
  if (!context) return std::nullopt;
  return export_content_key(*context);
}

/// What one thread needs to open chunks.
class BodyReader::Opener {
 public:
  Opener(const Fd& file, const Outline& outline, const ContentKey& key)
      : file_{file},
        outline_{outline},
        nonce_prefix_{key.nonce_prefix},
        aead_{key.key},
        mac_{outline.marks->key()} {}

  void open(Chunk& chunk) {
    chunk.opened = false;
    // Signed is what was hashed in the first pass; the file may have changed since.
    if (!read_chunk(file_, outline_, chunk.index, chunk.sealed) ||
        !outline_.marks->is_same(mac_, chunk.index, chunk.sealed)) {
      return;
    }
    const bool last = chunk.index + 1 == outline_.chunk_hashes.size();
    const Bytes nonce = chunk_nonce(nonce_prefix_, static_cast<std::uint32_t>(chunk.index), last);
    chunk.opened =
        aead_.open(nonce, outline_.header_hash.bytes(), chunk.sealed, chunk.plaintext);
  }

 private:
  const Fd& file_;
  const Outline& outline_;
  const Bytes nonce_prefix_;
  crypto::AesGcm aead_;
  crypto::NumberedMac mac_;
};

class BodyReader::Crew {
 public:
  Crew(BodyReader& reader, const ContentKey& key, unsigned threads) {
    openers_.reserve(threads);
    for (unsigned i = 0; i < threads; ++i) {
      openers_.push_back(std::make_unique<Opener>(reader.file_, reader.outline_, key));
    }
    line_.emplace(threads, reader.chunks_.size(), [this, &reader](unsigned thread, std::size_t at) {
      openers_[thread]->open(reader.chunks_[at]);
    });
  }

  [[nodiscard]] OrderedCrew& line() { return *line_; }

 private:
  std::vector<std::unique_ptr<Opener>> openers_;
  std::optional<OrderedCrew> line_;
};

BodyReader::BodyReader(const Fd& file,
                       const Outline& outline,
                       const ContentKey& key,
                       unsigned threads)
    : file_{file}, outline_{outline} {
  if (key.nonce_prefix.size() != kNoncePrefixBytes) {
    throw Error{Code::InvalidArgument, "content key: a nonce prefix of other than 7 octets"};
  }
  if (!outline.marks) throw Error{Code::InvalidArgument, "body: not outlined from its file"};
  if (outline.chunk_hashes.size() < kManyChunks) threads = 1;
  chunks_.resize(threads <= 1 ? 1 : threads * kChunksPerThread);
  crew_ = std::make_unique<Crew>(*this, key, std::max(1U, threads));
}

BodyReader::~BodyReader() = default;

BodyReader::Chunk& BodyReader::opened_next() {
  OrderedCrew& line = crew_->line();
  if (taken_ > 0) line.take();  // the caller is done with the chunk before
  while (!line.full() && given_ < outline_.chunk_hashes.size()) {
    chunks_[line.next_place()].index = given_++;
    line.give();
  }
  ++taken_;
  return chunks_[line.wait_oldest()];
}

std::variant<std::optional<ByteView>, Refusal> BodyReader::next() {
  if (failed_) return body_refusal();
  if (taken_ == outline_.chunk_hashes.size()) return std::optional<ByteView>{};
  failed_ = true;  // until it is shown to be right
  Chunk& chunk = opened_next();
  if (!chunk.opened) return body_refusal();
  failed_ = false;
  return std::optional<ByteView>{chunk.plaintext};
}

Checked BodyReader::read_all(const std::function<Checked(ByteView)>& take) {
  for (;;) {
    auto chunk = next();
    if (auto* no = std::get_if<Refusal>(&chunk)) return std::move(*no);
    const auto plaintext = std::get<std::optional<ByteView>>(chunk);
    if (!plaintext) return std::monostate{};
    auto taken = take(*plaintext);
    if (auto* no = std::get_if<Refusal>(&taken)) return std::move(*no);
  }
}

}  // namespace keyferry::token
