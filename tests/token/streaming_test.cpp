// Segments may be gigabytes: sealing and opening hold one chunk, whatever the body's size.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>

#include "tests/support/temp_folder.h"
#include "tests/token/token_fixture.h"
#include "token/container.h"
#include "token/container_open.h"

namespace keyferry::token {
namespace {

constexpr std::uint64_t kBodyBytes = std::uint64_t{64} << 20;
constexpr std::size_t kWriteBytes = 10'000;

TEST(Streaming, ASealerLetsEachChunkGoAsItFills) {
  std::size_t largest = 0;
  std::uint64_t out = 0;
  Sealer sealer{
      test::plain_header(kBodyBytes), test::recipient_key().public_key(), [&](ByteView octets) {
        largest = std::max(largest, octets.size());
        out += octets.size();
      }};
  const Bytes piece = test::pattern(kWriteBytes);
  std::uint64_t in = 0;
  while (in + piece.size() <= kBodyBytes) {
    sealer.write(piece);
    in += piece.size();
    ASSERT_GE(out + kChunkBytes, in) << "more than a chunk is held back";
  }
  static_cast<void>(sealer.finish());
  EXPECT_EQ(largest, kSealedChunkBytes);
}

#if !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)  // whose bookkeeping would be measured

/// Runs `work` in a child and gives the growth of its largest resident size, in KiB; -1 when it
/// failed.
long peak_growth_kib(const std::function<bool()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    rusage before{};
    rusage after{};
    getrusage(RUSAGE_SELF, &before);
    const bool good = work();
    getrusage(RUSAGE_SELF, &after);
    const long growth = good ? after.ru_maxrss - before.ru_maxrss : -1;
    const ssize_t told = write(ends[1], &growth, sizeof growth);
    _exit(told == static_cast<ssize_t>(sizeof growth) ? 0 : 1);
  }
  close(ends[1]);
  long growth = -1;
  if (read(ends[0], &growth, sizeof growth) != static_cast<ssize_t>(sizeof growth)) growth = -1;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return growth;
}

TEST(Streaming, ABodyOf64MiBIsSealedAndOpenedInAFewMegabytes) {
  const keyferry::test::TempFolder folder;
  const auto path = folder / "container";
  const Header header = test::plain_header(kBodyBytes);

  const long sealing = peak_growth_kib([&] {
    const Fd out{open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
    Sealer sealer{header, test::recipient_key().public_key(), [&](ByteView b) {
                    write_all(out, b, "container");
                  }};
    const Bytes piece = test::pattern(kWriteBytes);
    std::uint64_t left = kBodyBytes;
    while (left > 0) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, piece.size()));
      sealer.write(ByteView{piece}.first(part));
      left -= part;
    }
    auto signer = test::sender_key();
    const Sealed sealed = sealer.finish();
    write_all(
        out,
        make_trailer(sealed,
                     crypto::sign(signer, crypto::SignatureKind::Container, sealed.digest.bytes())),
        "container");
    return true;
  });
  const long opening = peak_growth_kib([&] {
    const Fd file = open_regular_file(path, Code::Storage);
    const auto outlined = outline(file, test::plain_expectation());
    const auto* found = std::get_if<Outline>(&outlined);
    if (found == nullptr) return false;
    crypto::SoftDhKey recipient{test::recipient_key()};
    const auto key = open_content_key(found->trailer.enc, found->header_bytes, recipient);
    std::uint64_t size = 0;
    const auto read = BodyReader{file, *found, *key}.read_all([&](ByteView b) -> Checked {
      size += b.size();
      return std::monostate{};
    });
    return std::holds_alternative<std::monostate>(read) && size == kBodyBytes;
  });

  constexpr long kFewMegabytesKib = 8L * 1024;
  EXPECT_GE(sealing, 0);
  EXPECT_LT(sealing, kFewMegabytesKib);
  EXPECT_GE(opening, 0);
  EXPECT_LT(opening, kFewMegabytesKib);
}

#endif

}  // namespace
}  // namespace keyferry::token
