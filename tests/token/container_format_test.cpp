#include <gtest/gtest.h>

#include "tests/token/token_fixture.h"
#include "token/container.h"

namespace keyferry::token {
namespace {

using test::plain_header;
using test::reason_of;

TEST(ContainerHeader, ComesBackAsItWasWritten) {
  const Header header = plain_header();
  const Bytes octets = encode(header);
  ASSERT_EQ(octets.size(), kHeaderSizeBytes);
  const auto parsed = parse_header(octets);
  ASSERT_EQ(reason_of(parsed), "");
  EXPECT_EQ(std::get<Header>(parsed), header);
}

TEST(ContainerHeader, TakesABoundOfMoreThanFourGigabytes) {
  const Header header = plain_header(std::uint64_t{5} << 32);
  const auto parsed = parse_header(encode(header));
  ASSERT_EQ(reason_of(parsed), "");
  EXPECT_EQ(std::get<Header>(parsed).body_bound_bytes, std::uint64_t{5} << 32);
}

TEST(ContainerHeader, RefusesABoundThatNeedsMoreChunksThanTheCounterHas) {
  Bytes octets = encode(plain_header(kMaxBodyBytes));
  EXPECT_EQ(reason_of(parse_header(octets)), "");
  octets[61] = 1;  // the bound's last octet: one more than the maximum
  EXPECT_EQ(reason_of(parse_header(octets)), "bound");
  EXPECT_THROW(encode(plain_header(kMaxBodyBytes + 1)), Error);
  EXPECT_THROW(static_cast<void>(container_size_bytes(kMaxBodyBytes + 1)), Error);
}

TEST(ContainerHeader, NamesTheFieldThatIsWrong) {
  struct Case {
    std::size_t offset;
    std::uint8_t value;
    const char* reason;
  };

  const std::vector<Case> cases{
      {0, 'k', "magic"},
      {7, 1, "magic"},
      {8, 1, "format"},
      {9, 0, "format"},
      {9, 2, "format"},
      {10, 1, "suite"},
      {11, 0, "suite"},
      {11, 2, "suite"},
      {12, 0, "type"},
      {12, 5, "type"},
      {12, 255, "type"},
      {13, 0, "environment"},
      {13, 4, "environment"},
      {54, 255, "bound"},
  };
  for (const Case& wrong : cases) {
    Bytes octets = encode(plain_header());
    octets[wrong.offset] = wrong.value;
    EXPECT_EQ(reason_of(parse_header(octets)), wrong.reason) << "offset " << wrong.offset;
  }
}

TEST(ContainerHeader, IsRefusedWhenItIsNotWhole) {
  const Bytes octets = encode(plain_header());
  for (std::size_t size = 0; size < octets.size(); ++size) {
    EXPECT_EQ(reason_of(parse_header(ByteView{octets}.first(size))), "size");
  }
  Bytes longer = octets;
  longer.push_back(0);
  EXPECT_EQ(reason_of(parse_header(longer)), "size");
}

TEST(ContainerTrailer, ComesBackAsItWasWritten) {
  const Trailer trailer{7, Bytes(kEncBytes, 4), Bytes(crypto::kSignatureBytes, 9)};
  const Bytes octets = encode(trailer);
  ASSERT_EQ(octets.size(), kTrailerSizeBytes);
  const auto parsed = parse_trailer(octets);
  ASSERT_EQ(reason_of(parsed), "");
  EXPECT_EQ(std::get<Trailer>(parsed).chunk_count, 7U);
  EXPECT_EQ(std::get<Trailer>(parsed).enc, trailer.enc);
  EXPECT_EQ(std::get<Trailer>(parsed).signature, trailer.signature);
}

TEST(ContainerTrailer, CountsAtLeastOneChunk) {
  Bytes octets = encode(Trailer{1, Bytes(kEncBytes, 4), Bytes(crypto::kSignatureBytes, 9)});
  octets[11] = 0;
  EXPECT_EQ(reason_of(parse_trailer(octets)), "trailer");
  EXPECT_THROW(encode(Trailer{0, Bytes(kEncBytes, 4), Bytes(crypto::kSignatureBytes, 9)}), Error);
  EXPECT_THROW(encode(Trailer{1, Bytes(kEncBytes - 1, 4), Bytes(crypto::kSignatureBytes, 9)}),
               Error);
}

TEST(ContainerSize, CountsOneTagForEachStartedChunk) {
  const std::uint64_t frame = kHeaderSizeBytes + kTrailerSizeBytes;
  EXPECT_EQ(container_size_bytes(0), frame + 16);
  EXPECT_EQ(container_size_bytes(1), frame + 1 + 16);
  EXPECT_EQ(container_size_bytes(kChunkBytes), frame + kChunkBytes + 16);
  EXPECT_EQ(container_size_bytes(kChunkBytes + 1), frame + kChunkBytes + 1 + 32);
  EXPECT_EQ(container_size_bytes(kMaxBodyBytes),
            frame + kMaxBodyBytes + 16 * std::uint64_t{0xffff'ffff});
}

TEST(ChunkNonce, TellsTheLastChunkApart) {
  const Bytes prefix(kNoncePrefixBytes, 0xaa);
  EXPECT_EQ(to_hex(chunk_nonce(prefix, 0x01020304, false)), "aaaaaaaaaaaaaa0102030400");
  EXPECT_EQ(to_hex(chunk_nonce(prefix, 0xffffffff, true)), "aaaaaaaaaaaaaaffffffff01");
}

}  // namespace
}  // namespace keyferry::token
