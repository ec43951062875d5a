#include "wrap/base/secret_bytes.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace keyferry {
namespace {

static_assert(!std::is_copy_constructible_v<SecretBytes>);
static_assert(!std::is_copy_assignable_v<SecretBytes>);

template <typename T>
concept Comparable = requires(const T& a, const T& b) {
  a == b;
};

static_assert(!Comparable<SecretBytes>, "compare in constant time");

TEST(SecretOctets, MoveAndLeaveNothingBehind) {
  SecretBytes first = SecretBytes::copy_of(as_bytes("secret"));
  SecretBytes second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(as_chars(second.expose()), "secret");
  first = std::move(second);
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(first.size(), 6U);
}

TEST(SecretOctets, BeginAsZeros) {
  const SecretBytes secret{4};
  EXPECT_TRUE(equal(secret.expose(), Bytes(4)));
}

}  // namespace
}  // namespace keyferry
