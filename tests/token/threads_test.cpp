// A container sealed and opened by several threads is the container of one: the same octets, the
// same refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "tests/token/token_fixture.h"
#include "token/container.h"
#include "token/container_open.h"

namespace keyferry::token {
namespace {

using test::pattern;
using test::plain_expectation;
using test::plain_header;
using test::reason_of;

constexpr std::uint64_t kBound = std::uint64_t{64} << 20;

Bytes sealed(ByteView body, std::size_t piece_bytes, unsigned threads) {
  Bytes out;
  const auto ephemeral = test::key_of(0x33);
  Sealer sealer{plain_header(kBound),
                test::recipient_key().public_key(),
                [&](ByteView octets) { append(out, octets); },
                ephemeral,
                threads};
  for (ByteView left = body; !left.empty();) {
    const std::size_t part = std::min(piece_bytes, left.size());
    sealer.write(left.first(part));
    left = left.subspan(part);
  }
  const Sealed done = sealer.finish();
  auto signer = test::sender_key();
  append(
      out,
      make_trailer(done,
                   crypto::sign(signer, crypto::SignatureKind::Container, done.digest.bytes())));
  return out;
}

/// All but the signature, which is another one each time.
Bytes unsigned_part(Bytes container) {
  container.resize(container.size() - crypto::kSignatureBytes);
  return container;
}

class Threads : public testing::TestWithParam<unsigned> {
 protected:
  std::variant<Bytes, Refusal> open(const Fd& file, const std::function<void()>& between = {}) {
    auto outlined = outline(file, plain_expectation(), GetParam());
    if (auto* no = std::get_if<Refusal>(&outlined)) return *no;
    const Outline& found = std::get<Outline>(outlined);
    const auto signature = check_signature(found, test::sender_key().public_key());
    if (const auto* no = std::get_if<Refusal>(&signature)) return *no;
    crypto::SoftDhKey recipient{test::recipient_key()};
    const auto key = open_content_key(found.trailer.enc, found.header_bytes, recipient);
    if (between) between();
    Bytes body;
    const auto read = BodyReader{file, found, *key, GetParam()}.read_all([&](ByteView octets) {
      append(body, octets);
      return Checked{};
    });
    if (const auto* no = std::get_if<Refusal>(&read)) return *no;
    return body;
  }
};

TEST_P(Threads, SealTheSameOctetsAsOne) {
  for (const std::size_t size :
       {std::size_t{0}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1, 9 * kChunkBytes,
        70 * kChunkBytes + 17}) {
    const Bytes body = pattern(size);
    EXPECT_EQ(unsigned_part(sealed(body, 10'000, GetParam())),
              unsigned_part(sealed(body, 1 << 20, 1)))
        << size;
  }
}

TEST_P(Threads, OpenWhatWasSealed) {
  for (const std::size_t size : {std::size_t{0}, kChunkBytes, 70 * kChunkBytes + 17}) {
    const Bytes body = pattern(size);
    const auto opened = open(test::file_of(sealed(body, 10'000, GetParam())));
    ASSERT_EQ(reason_of(opened), "") << size;
    EXPECT_EQ(std::get<Bytes>(opened), body) << size;
  }
}

TEST_P(Threads, NoticeAFileThatChangedBetweenThePasses) {
  const Bytes container = sealed(pattern(40 * kChunkBytes), 1 << 20, 1);
  for (const off_t at : {off_t{0}, off_t{17} * 65'552 + 5, off_t{40} * 65'552 - 1}) {
    const Fd file = test::file_of(container);
    const auto opened = open(file, [&] {
      const std::uint8_t other =
          static_cast<std::uint8_t>(container[kHeaderSizeBytes + static_cast<std::size_t>(at)] ^ 1U);
      ASSERT_EQ(pwrite(file.get(), &other, 1, static_cast<off_t>(kHeaderSizeBytes) + at), 1);
    });
    EXPECT_EQ(reason_of(opened), "body") << at;
  }
}

TEST_P(Threads, NoticeAFileThatBecameShorterBetweenThePasses) {
  const Fd file = test::file_of(sealed(pattern(40 * kChunkBytes), 1 << 20, 1));
  const auto opened = open(file, [&] { ASSERT_EQ(ftruncate(file.get(), 20 * 65'552), 0); });
  EXPECT_EQ(reason_of(opened), "body");
}

TEST_P(Threads, StopWhenTheSinkThrows) {
  int calls = 0;
  const auto sink = [&](ByteView) {
    if (++calls == 5) throw std::runtime_error{"disk full"};
  };
  Sealer sealer{plain_header(kBound), test::recipient_key().public_key(), sink, GetParam()};
  const Bytes piece = pattern(kChunkBytes);
  EXPECT_THROW(
      {
        for (int i = 0; i < 200; ++i) sealer.write(piece);
      },
      std::runtime_error);
}

TEST_P(Threads, MayBeLeftInTheMiddle) {
  const Fd file = test::file_of(sealed(pattern(40 * kChunkBytes), 1 << 20, 1));
  const auto outlined = outline(file, plain_expectation(), GetParam());
  const auto& found = std::get<Outline>(outlined);
  crypto::SoftDhKey recipient{test::recipient_key()};
  const auto key = open_content_key(found.trailer.enc, found.header_bytes, recipient);
  BodyReader reader{file, found, *key, GetParam()};
  EXPECT_EQ(reason_of(reader.next()), "");
  EXPECT_EQ(reason_of(reader.next()), "");
}

INSTANTIATE_TEST_SUITE_P(Counts, Threads, testing::Values(1U, 2U, 3U));

}  // namespace
}  // namespace keyferry::token
