// Octet strings: views, hex, and the big-endian fields that our binary formats are made of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace keyferry {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// The octets of `text`, not copied. `text` must outlive the view.
[[nodiscard]] ByteView as_bytes(std::string_view text);

/// The same octets as characters, not copied; for protobuf `bytes` fields, which are std::string.
[[nodiscard]] std::string_view as_chars(ByteView bytes);

[[nodiscard]] std::string to_string(ByteView bytes);
[[nodiscard]] Bytes to_bytes(ByteView bytes);

/// Lower-case hex, two digits an octet.
[[nodiscard]] std::string to_hex(ByteView bytes);

/// Nothing unless `hex` is an even number of hex digits (either case).
[[nodiscard]] std::optional<Bytes> from_hex(std::string_view hex);

[[nodiscard]] bool equal(ByteView a, ByteView b);

void append(Bytes& out, ByteView more);
void append_u16be(Bytes& out, std::uint16_t value);
void append_u32be(Bytes& out, std::uint32_t value);
void append_u64be(Bytes& out, std::uint64_t value);

/// u16be length, then the octets. More than 65,535 octets throw Error{InvalidArgument}.
void append_u16be_prefixed(Bytes& out, ByteView field);

/// The first 2, 4 or 8 octets of `at`, which the caller has checked to be there.
[[nodiscard]] std::uint16_t read_u16be(ByteView at);
[[nodiscard]] std::uint32_t read_u32be(ByteView at);
[[nodiscard]] std::uint64_t read_u64be(ByteView at);

}  // namespace keyferry
