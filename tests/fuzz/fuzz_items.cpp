// What is inside a container: one item, a stream of items under each kind of header, and the octets
// that a receipts container carries. What a parser takes must be what the writer gives back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/token/token_fixture.h"
#include "token/items.h"
#include "token/receipt.h"

namespace {

using namespace keyferry;
using namespace keyferry::token;

void require(bool good) {
  if (!good) std::abort();
}

template <typename Value>
const Value* value_of(const std::variant<Value, Refusal>& answer) {
  return std::get_if<Value>(&answer);
}

void try_stream(ByteView input, ContainerType type) {
  Header header = test::plain_header();
  header.type = type;
  header.count = type == ContainerType::Segment ? 2 : 3;
  ItemReader reader{header, 8U << 20};
  for (std::size_t at = 0; at < input.size(); at += 100) {
    reader.feed(input.subspan(at, std::min<std::size_t>(100, input.size() - at)));
    while (std::holds_alternative<Item>(reader.next())) {
    }
  }
  static_cast<void>(reader.finish());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input{data, size};
  for (const auto type : {ContainerType::Segment, ContainerType::Manifest, ContainerType::Receipts})
    try_stream(input, type);

  const auto item = parse_item(input);
  if (const auto* found = value_of(item)) {
    const Bytes again = encode_item(*found);
    const auto back = parse_item(ByteView{again}.subspan(4));
    require(value_of(back) != nullptr && *value_of(back) == *found);
  }
  const auto core = parse_core(input);
  if (const auto* found = value_of(core))
    require(*value_of(parse_core(serialise_core(*found))) == *found);
  const auto leaf = parse_leaf(input);
  if (const auto* found = value_of(leaf))
    require(*value_of(parse_leaf(serialise_leaf(*found))) == *found);
  const auto head = parse_head(input);
  if (const auto* found = value_of(head))
    require(*value_of(parse_head(serialise_head(*found))) == *found);
  return 0;
}
