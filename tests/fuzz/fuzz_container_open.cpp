// A file that claims to be a container: outline, signature, body and items, with the keys of
// tests/token/token_fixture.h. Input that gets past the signature is opened too; other input skips
// the check, so that the chunks behind it are tried.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tests/token/token_fixture.h"
#include "token/items.h"

namespace {

using namespace keyferry;
using namespace keyferry::token;

Fd& scratch() {
  static Fd fd{memfd_create("container", MFD_CLOEXEC)};
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const crypto::PublicKey sender = test::sender_key().public_key();
  static crypto::SoftDhKey recipient{test::recipient_key()};
  const Fd& file = scratch();
  if (ftruncate(file.get(), 0) != 0 || lseek(file.get(), 0, SEEK_SET) != 0) return 0;
  write_all(file, {data, size}, "scratch");

  Expectation expected = test::plain_expectation();
  const auto header = parse_header(ByteView{data, std::min(size, kHeaderSizeBytes)});
  if (const auto* found = std::get_if<Header>(&header)) expected.type = found->type;
  const auto outlined = outline(file, expected);
  const auto* found = std::get_if<Outline>(&outlined);
  if (found == nullptr) return 0;
  static_cast<void>(check_signature(*found, sender));
  const auto key = open_content_key(found->trailer.enc, found->header_bytes, recipient);
  if (!key) return 0;
  static_cast<void>(
      read_items(file, *found, *key, [](Item&&) -> Checked { return std::monostate{}; }));
  return 0;
}
