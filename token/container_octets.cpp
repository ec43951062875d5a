#include "token/container_octets.h"

#include <algorithm>
#include <utility>

#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"

namespace keyferry::token {
namespace {

Refusal size_refusal() {
  return Refusal{"size", "the container is cut short, or has something behind its trailer"};
}

/// Chunk `index` as it lies in the container.
ByteView sealed_chunk(ByteView chunks, std::size_t index) {
  const std::size_t from = index * kSealedChunkBytes;
  return chunks.subspan(from, std::min(kSealedChunkBytes, chunks.size() - from));
}

ByteView chunks_of(ByteView container) {
  return container.subspan(kHeaderSizeBytes,
                           container.size() - kHeaderSizeBytes - kTrailerSizeBytes);
}

}  // namespace

std::variant<Outline, Refusal> outline_octets(ByteView container, const Expectation& expected) {
  if (container.size() < kHeaderSizeBytes + kTrailerSizeBytes + crypto::kGcmTagBytes)
    return size_refusal();
  auto header = parse_header(container.first(kHeaderSizeBytes));
  if (auto* no = std::get_if<Refusal>(&header)) return std::move(*no);
  Outline outline{.header = std::get<Header>(header),
                  .header_bytes = to_bytes(container.first(kHeaderSizeBytes)),
                  .header_hash = crypto::sha256(container.first(kHeaderSizeBytes)),
                  .trailer = {},
                  .chunk_hashes = {},
                  .marks = nullptr,
                  .digest = {},
                  .file_size_bytes = container.size()};
  if (auto checked = check_header(outline.header, expected); std::holds_alternative<Refusal>(checked))
    return std::get<Refusal>(std::move(checked));
  auto trailer = parse_trailer(container.last(kTrailerSizeBytes));
  if (auto* no = std::get_if<Refusal>(&trailer)) return std::move(*no);
  outline.trailer = std::get<Trailer>(std::move(trailer));
  const ByteView chunks = chunks_of(container);
  const std::size_t count = (chunks.size() - 1) / kSealedChunkBytes + 1;
  const std::size_t last = sealed_chunk(chunks, count - 1).size();
  const bool whole = last > crypto::kGcmTagBytes || (last == crypto::kGcmTagBytes && count == 1);
  if (!whole || count != outline.trailer.chunk_count) return size_refusal();
  for (std::size_t i = 0; i < count; ++i)
    outline.chunk_hashes.push_back(crypto::sha256(sealed_chunk(chunks, i)));
  if (outline.body_size_bytes() > outline.header.body_bound_bytes) return size_refusal();
  outline.digest =
      recompute_digest(outline.header_bytes, outline.trailer.enc, outline.chunk_hashes);
  return outline;
}

Checked read_items_of(ByteView container,
                      const Outline& outline,
                      const ContentKey& key,
                      const std::function<Checked(Item&&)>& take) {
  crypto::AesGcm aead{key.key};
  ItemReader reader{outline.header, outline.header.body_bound_bytes};
  const ByteView chunks = chunks_of(container);
  Bytes plaintext;
  for (std::uint32_t i = 0; i < outline.trailer.chunk_count; ++i) {
    const Bytes nonce = chunk_nonce(key.nonce_prefix, i, i + 1 == outline.trailer.chunk_count);
    if (!aead.open(nonce, outline.header_hash.bytes(), sealed_chunk(chunks, i), plaintext)) {
      return Refusal{"body",
                     "the container's body does not open: it was changed, or sealed to another key"};
    }
    reader.feed(plaintext);
    for (;;) {
      auto step = reader.next();
      if (auto* no = std::get_if<Refusal>(&step)) return std::move(*no);
      if (std::holds_alternative<NeedMore>(step)) break;
      auto taken = take(std::get<Item>(std::move(step)));
      if (auto* no = std::get_if<Refusal>(&taken)) return std::move(*no);
    }
  }
  return reader.finish();
}

}  // namespace keyferry::token
