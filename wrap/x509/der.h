// DER (X.690) as far as certificates need it: a writer for what we build and a strict reader for
// what others send.
//
// The reader takes single-octet tags and definite, shortest lengths only, which is all that DER
// certificates hold; anything else ends the reading. Neither recurses, so depth of nesting is up to
// the caller.
#pragma once

#include <initializer_list>
#include <optional>
#include <string_view>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"

namespace keyferry::x509::der {

enum Tag : std::uint8_t {
  kBoolean = 0x01,
  kInteger = 0x02,
  kBitString = 0x03,
  kOctetString = 0x04,
  kNull = 0x05,
  kOid = 0x06,
  kEnumerated = 0x0a,
  kUtf8String = 0x0c,
  kPrintableString = 0x13,
  kIa5String = 0x16,
  kUtcTime = 0x17,
  kGeneralizedTime = 0x18,
  kSequence = 0x30,
  kSet = 0x31,
};

/// Tag octet of `[number] EXPLICIT` and of constructed `[number] IMPLICIT`; number: 0 to 30.
[[nodiscard]] constexpr std::uint8_t context_constructed(unsigned number) {
  return static_cast<std::uint8_t>(0xa0U | number);
}

/// Tag octet of primitive `[number] IMPLICIT`; number: 0 to 30.
[[nodiscard]] constexpr std::uint8_t context_primitive(unsigned number) {
  return static_cast<std::uint8_t>(0x80U | number);
}

// --- writing
// -------------------------------------------------------------------------------------------------------

/// Octets that tag and length of a value of `content_size` octets take: 2 below 128, then 3, 4, ...
[[nodiscard]] std::size_t header_size(std::size_t content_size);

/// Appends tag and shortest length (X.690 10.1). The content follows by the caller.
void append_header(Bytes& out, std::uint8_t tag, std::size_t content_size);
void append_tlv(Bytes& out, std::uint8_t tag, ByteView content);

[[nodiscard]] Bytes tlv(std::uint8_t tag, ByteView content);

/// A value whose content is the parts one after another: SEQUENCE, SET of one, [n] EXPLICIT.
[[nodiscard]] Bytes constructed(std::uint8_t tag, std::initializer_list<ByteView> parts);
[[nodiscard]] Bytes sequence(std::initializer_list<ByteView> parts);

/// INTEGER from an unsigned big-endian number of any length: leading zeros dropped, one added where
/// the first bit would make it negative. Empty is zero.
[[nodiscard]] Bytes integer(ByteView unsigned_big_endian);
[[nodiscard]] Bytes integer(std::uint64_t value);

/// True for what oid() takes.
[[nodiscard]] bool is_oid(std::string_view dotted);

/// Dotted decimal, e.g. "1.2.840.10045.4.3.2"; Error{InvalidArgument} unless it has two or more
/// arcs, the first 0..2, the second below 40 under arcs 0 and 1, each below 2^32.
[[nodiscard]] Bytes oid(std::string_view dotted);

/// `unused_bits`: 0 to 7, of the last octet; they must be zero there.
[[nodiscard]] Bytes bit_string(ByteView content, unsigned unused_bits = 0);
[[nodiscard]] Bytes octet_string(ByteView content);
[[nodiscard]] Bytes utf8_string(std::string_view text);
[[nodiscard]] Bytes printable_string(
    std::string_view text);  ///< Error{InvalidArgument} outside X.680 41.4's set
[[nodiscard]] Bytes boolean(bool value);

/// Validity time (RFC 5280 4.1.2.5): UTCTime from 1950 to 2049, GeneralizedTime from 2050 to 9999;
/// seconds, `Z`, milliseconds dropped. Other years throw Error{InvalidArgument}.
[[nodiscard]] Bytes time(UtcMillis time);

/// First and last instant that time() can write.
inline constexpr UtcMillis kFirstTime{-631152000000};   // 1950-01-01T00:00:00Z
inline constexpr UtcMillis kLastTime{253402300799999};  // 9999-12-31T23:59:59.999Z

/// `A-Z a-z 0-9`, space and `' ( ) + , - . / : = ?` (X.680 41.4).
[[nodiscard]] bool is_printable_string(std::string_view text);

// --- reading
// -------------------------------------------------------------------------------------------------------

struct Element {
  std::uint8_t tag = 0;
  ByteView content;  ///< without tag and length
  ByteView whole;    ///< with them
};

/// Walks the elements of a content. The view must outlive it.
class Reader {
 public:
  explicit Reader(ByteView content) : rest_{content} {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  /// The tag of the next element, nothing at the end.
  [[nodiscard]] std::optional<std::uint8_t> peek() const;

  /// Nothing at the end, or when what follows is no element in DER: high tag number, indefinite or
  /// overlong length, more content than there is. The position is then unchanged.
  [[nodiscard]] std::optional<Element> next();

  /// As next(), and nothing (position unchanged) when the tag is another.
  [[nodiscard]] std::optional<Element> next(std::uint8_t tag);

 private:
  ByteView rest_;
};

/// The one element that `bytes` is, with nothing behind it.
[[nodiscard]] std::optional<Element> only_element(ByteView bytes, std::uint8_t tag);

/// Content of an INTEGER is in shortest form (X.690 8.3.2).
[[nodiscard]] bool is_shortest_integer(ByteView content);

/// A non-negative INTEGER content as number; nothing when negative, not shortest, or above 2^32
/// - 1.
[[nodiscard]] std::optional<std::uint32_t> small_unsigned(ByteView content);

/// Time of an element with tag UTCTime or GeneralizedTime in RFC 5280's form (seconds, `Z`, no
/// fraction; UTCTime exactly for 1950 to 2049). Nothing otherwise.
[[nodiscard]] std::optional<UtcMillis> read_time(const Element& element);

}  // namespace keyferry::x509::der
