#include <algorithm>
#include <optional>
#include <utility>

#include "token/container.h"
#include "token/ordered_crew.h"

namespace keyferry::token {
namespace {

constexpr std::size_t kChunksPerThread = 16;
/// A body that fits into so many octets is not worth a thread.
constexpr std::uint64_t kSmallBodyBytes = 8 * kChunkBytes;

const crypto::PublicKey& checked_recipient(const Header& header,
                                           const crypto::PublicKey& recipient) {
  if (header.recipient != recipient.key_id()) {
    throw Error{Code::InvalidArgument, "sealer: the header names another recipient"};
  }
  return recipient;
}

Bytes info_of(const Header& header) {
  return hpke_info(crypto::sha256(encode(header)));
}

}  // namespace

/// The threads, and a cipher for each.
class Sealer::Crew {
 public:
  Crew(Sealer& sealer, unsigned threads) {
    ciphers_.reserve(threads);
    for (unsigned i = 0; i < threads; ++i) ciphers_.emplace_back(sealer.content_key_.key);
    line_.emplace(threads, sealer.chunks_.size(), [this, &sealer](unsigned thread, std::size_t at) {
      sealer.seal(ciphers_[thread], sealer.chunks_[at]);
    });
  }

  [[nodiscard]] OrderedCrew& line() { return *line_; }

 private:
  std::vector<crypto::AesGcm> ciphers_;
  std::optional<OrderedCrew> line_;
};

Sealer::Sealer(const Header& header,
               const crypto::PublicKey& recipient,
               Sink sink,
               unsigned threads)
    : Sealer{header,
             std::move(sink),
             crypto::setup_base_sender(crypto::HpkeSuite::Aes256Gcm,
                                       checked_recipient(header, recipient),
                                       info_of(header)),
             threads} {}

Sealer::Sealer(const Header& header,
               const crypto::PublicKey& recipient,
               Sink sink,
               const crypto::SoftKey& ephemeral,
               unsigned threads)
    : Sealer{header,
             std::move(sink),
             crypto::setup_base_sender(crypto::HpkeSuite::Aes256Gcm,
                                       checked_recipient(header, recipient),
                                       info_of(header),
                                       ephemeral),
             threads} {}

Sealer::Sealer(const Header& header, Sink sink, crypto::HpkeSenderSetup setup, unsigned threads)
    : header_{header},
      sink_{std::move(sink)},
      enc_{std::move(setup.enc)},
      header_hash_{crypto::sha256(encode(header))},
      content_key_{export_content_key(setup.context)},
      digest_{header_hash_} {
  if (header.body_bound_bytes <= kSmallBodyBytes) threads = 1;
  chunks_.resize(threads <= 1 ? 1 : threads * kChunksPerThread);
  for (Chunk& chunk : chunks_) {
    chunk.plaintext.reserve(kChunkBytes);
    chunk.sealed.reserve(kSealedChunkBytes);
  }
  filling_ = chunks_.data();
  crew_ = std::make_unique<Crew>(*this, std::max(1U, threads));
  sink_(encode(header_));
}

Sealer::~Sealer() = default;

void Sealer::write(ByteView plaintext) {
  if (finished_) throw Error{Code::InvalidArgument, "sealer: written to after its end"};
  if (plaintext.size() > header_.body_bound_bytes - body_size_bytes_) {
    throw Error{Code::InvalidArgument, "sealer: the body is longer than its header allows"};
  }
  body_size_bytes_ += plaintext.size();
  while (!plaintext.empty()) {
    // A full chunk waits for what follows: only then is it known that it is not the last.
    if (filling_->plaintext.size() == kChunkBytes) seal_filled(false);
    const std::size_t part = std::min(plaintext.size(), kChunkBytes - filling_->plaintext.size());
    append(filling_->plaintext, plaintext.first(part));
    plaintext = plaintext.subspan(part);
  }
}

void Sealer::seal(crypto::AesGcm& aead, Chunk& chunk) const {
  chunk.sealed.clear();
  const Bytes nonce = chunk_nonce(content_key_.nonce_prefix, chunk.counter, chunk.last);
  aead.seal(nonce, header_hash_.bytes(), chunk.plaintext, chunk.sealed);
  chunk.plaintext.clear();
  chunk.hash = crypto::sha256(chunk.sealed);
}

void Sealer::let_go(const Chunk& chunk) {
  digest_.add_chunk(chunk.hash);
  sink_(chunk.sealed);
}

void Sealer::seal_filled(bool last) {
  filling_->counter = next_counter_++;  // the header's bound keeps it from coming round
  filling_->last = last;
  OrderedCrew& line = crew_->line();
  line.give();
  // What is ready leaves; worked for only when there is no room, and at the end.
  while (!line.empty() && (last || line.full() || line.oldest_done())) {
    let_go(chunks_[line.wait_oldest()]);
    line.take();
  }
  filling_ = &chunks_[line.next_place()];
}

Sealed Sealer::finish() {
  if (finished_) throw Error{Code::InvalidArgument, "sealer: finished twice"};
  seal_filled(true);
  finished_ = true;
  return Sealed{digest_.finish(enc_), digest_.chunk_count(), enc_, body_size_bytes_};
}

Bytes make_trailer(const Sealed& sealed, ByteView signature) {
  return encode(Trailer{sealed.chunk_count, sealed.enc, to_bytes(signature)});
}

}  // namespace keyferry::token
