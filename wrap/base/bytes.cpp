#include "wrap/base/bytes.h"

#include <algorithm>

#include "wrap/base/error.h"

namespace keyferry {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

template <typename Value>
void append_be(Bytes& out, Value value) {
  for (int shift = static_cast<int>(sizeof(Value) * 8) - 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

template <typename Value>
Value read_be(ByteView at) {
  Value value = 0;
  for (std::size_t i = 0; i < sizeof(Value); ++i) {
    value = static_cast<Value>((value << 8) | at[i]);
  }
  return value;
}

}  // namespace

ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string_view as_chars(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string to_string(ByteView bytes) { return std::string{as_chars(bytes)}; }

Bytes to_bytes(ByteView bytes) { return Bytes{bytes.begin(), bytes.end()}; }

std::string to_hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(bytes.size() * 2);
  for (const std::uint8_t octet : bytes) {
    hex.push_back(kDigits[octet >> 4]);
    hex.push_back(kDigits[octet & 15]);
  }
  return hex;
}

std::optional<Bytes> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  Bytes bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = hex_digit(hex[i]);
    const int low = hex_digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes.push_back(static_cast<std::uint8_t>(high * 16 + low));
  }
  return bytes;
}

bool equal(ByteView a, ByteView b) { return std::ranges::equal(a, b); }

void append(Bytes& out, ByteView more) { out.insert(out.end(), more.begin(), more.end()); }

void append_u16be(Bytes& out, std::uint16_t value) { append_be(out, value); }

void append_u32be(Bytes& out, std::uint32_t value) { append_be(out, value); }

void append_u64be(Bytes& out, std::uint64_t value) { append_be(out, value); }

void append_u16be_prefixed(Bytes& out, ByteView field) {
  if (field.size() > 0xffff) {
    throw Error{Code::InvalidArgument, "a field of more than 65,535 octets"};
  }
  append_u16be(out, static_cast<std::uint16_t>(field.size()));
  append(out, field);
}

std::uint16_t read_u16be(ByteView at) { return read_be<std::uint16_t>(at); }

std::uint32_t read_u32be(ByteView at) { return read_be<std::uint32_t>(at); }

std::uint64_t read_u64be(ByteView at) { return read_be<std::uint64_t>(at); }

}  // namespace keyferry
