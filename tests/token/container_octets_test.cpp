// A container in memory is read as one in a file is.
#include "token/container_octets.h"

#include <gtest/gtest.h>

#include "tests/token/token_fixture.h"

namespace keyferry::token {
namespace {

using test::container_of;
using test::file_of;
using test::pattern;
using test::plain_expectation;
using test::reason_of;

constexpr std::size_t kThreeChunks = 2 * kChunkBytes + 1000;

TEST(ContainerOctets, AreOutlinedAsTheFileIs) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, kChunkBytes, kChunkBytes + 1, kThreeChunks}) {
    const Bytes container = container_of(pattern(size));
    const auto outlined = outline_octets(container, plain_expectation());
    ASSERT_TRUE(std::holds_alternative<Outline>(outlined)) << std::get<Refusal>(outlined).text;
    const auto& outline = std::get<Outline>(outlined);
    EXPECT_EQ(outline.body_size_bytes(), size);
    EXPECT_TRUE(std::holds_alternative<std::monostate>(
        check_signature(outline, test::sender_key().public_key())));
    const auto of_file = token::outline(file_of(container), plain_expectation());
    EXPECT_EQ(std::get<Outline>(of_file).digest, outline.digest);
    EXPECT_EQ(std::get<Outline>(of_file).chunk_hashes, outline.chunk_hashes);
  }
}

TEST(ContainerOctets, AreRefusedAtEveryLengthThatIsNotTheirs) {
  const Bytes container = container_of(pattern(kThreeChunks));
  for (const std::size_t size : {std::size_t{0},
                                 std::size_t{1},
                                 kHeaderSizeBytes,
                                 kHeaderSizeBytes + kTrailerSizeBytes,
                                 kHeaderSizeBytes + kTrailerSizeBytes + 15,
                                 kHeaderSizeBytes + kTrailerSizeBytes + 16,
                                 kHeaderSizeBytes + kSealedChunkBytes,
                                 container.size() - 1}) {
    EXPECT_TRUE(std::holds_alternative<Refusal>(
        outline_octets(ByteView{container}.first(size), plain_expectation())))
        << size;
  }
  Bytes longer = container;
  longer.push_back(0);
  EXPECT_TRUE(std::holds_alternative<Refusal>(outline_octets(longer, plain_expectation())));
}

TEST(ContainerOctets, AreRefusedWhereTheCallerWantsAnotherContainer) {
  const Bytes container = container_of(pattern(10));
  Expectation expected = plain_expectation();
  expected.type = ContainerType::Waiting;
  const auto outlined = outline_octets(container, expected);
  ASSERT_TRUE(std::holds_alternative<Refusal>(outlined));
  EXPECT_EQ(std::get<Refusal>(outlined).reason, "type");
}

}  // namespace
}  // namespace keyferry::token
