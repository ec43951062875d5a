#include "tests/vse/atecc608/sha.h"

#include <algorithm>
#include <array>

#include "tests/vse/atecc608/packet.h"
#include "wrap/crypto/hash.h"

namespace keyferry::vse::atecc608 {
namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kStateBytes = 32;

std::uint32_t read_u32le(ByteView at) {
  return at[0] | static_cast<std::uint32_t>(at[1]) << 8U |
         static_cast<std::uint32_t>(at[2]) << 16U | static_cast<std::uint32_t>(at[3]) << 24U;
}

}  // namespace

ShaContext::ShaContext() {
  SHA256_Init(&inner_);
}

ShaContext ShaContext::hmac(ByteView key) {
  Bytes inner_pad(SHA256_CBLOCK, 0x36);
  Bytes outer_pad(SHA256_CBLOCK, 0x5C);
  for (std::size_t i = 0; i < key.size(); ++i) {
    inner_pad.at(i) ^= key[i];
    outer_pad.at(i) ^= key[i];
  }
  ShaContext context;
  context.update(inner_pad);
  context.outer_pad_ = std::move(outer_pad);
  return context;
}

void ShaContext::update(ByteView octets) {
  SHA256_Update(&inner_, octets.data(), octets.size());
}

Bytes ShaContext::finish() {
  Bytes digest(SHA256_DIGEST_LENGTH);
  SHA256_Final(digest.data(), &inner_);
  if (!outer_pad_) return digest;
  return to_bytes(crypto::sha256_of({*outer_pad_, digest}).bytes());
}

std::optional<Bytes> ShaContext::save() const {
  if (outer_pad_) return std::nullopt;
  Bytes out;
  append_u32le(out, inner_.Nl >> 3U);
  for (const std::uint32_t word : inner_.h) append_u32le(out, word);
  std::array<std::uint8_t, SHA256_CBLOCK> block{};
  std::copy_n(reinterpret_cast<const std::uint8_t*>(inner_.data), inner_.num, block.begin());
  append(out, ByteView{block}.first(inner_.num));
  return out;
}

std::optional<ShaContext> ShaContext::restore(ByteView octets) {
  if (octets.size() < kLengthBytes + kStateBytes) return std::nullopt;
  const std::uint32_t length = read_u32le(octets);
  const ByteView rest = octets.subspan(kLengthBytes + kStateBytes);
  if (rest.size() != length % SHA256_CBLOCK || length >= 1U << 29U) return std::nullopt;
  ShaContext context;
  for (std::size_t i = 0; i < 8; ++i)
    context.inner_.h[i] = read_u32le(octets.subspan(kLengthBytes + i * 4));
  context.inner_.Nl = (length - length % SHA256_CBLOCK) << 3U;
  context.update(rest);
  return context;
}

}  // namespace keyferry::vse::atecc608
