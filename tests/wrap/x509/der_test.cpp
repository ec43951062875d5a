#include "wrap/x509/der.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry::x509::der {
namespace {

Bytes hex(std::string_view text) {
  return *from_hex(text);
}

UtcMillis at(std::string_view text) {
  return *from_rfc3339(text);
}

std::string time_text(std::string_view text) {
  return to_string(ByteView{time(at(text))}.subspan(2));
}

TEST(DerWriter, WritesTheShortestLength) {
  const Bytes content(0x12345, 0x00);
  EXPECT_EQ(to_hex(ByteView{octet_string(ByteView{content}.first(0))}), "0400");
  EXPECT_EQ(to_hex(ByteView{octet_string(ByteView{content}.first(0x7f))}.first(3)), "047f00");
  EXPECT_EQ(to_hex(ByteView{octet_string(ByteView{content}.first(0x80))}.first(4)), "04818000");
  EXPECT_EQ(to_hex(ByteView{octet_string(ByteView{content}.first(0xff))}.first(4)), "0481ff00");
  EXPECT_EQ(to_hex(ByteView{octet_string(ByteView{content}.first(0x100))}.first(5)), "0482010000");
  EXPECT_EQ(to_hex(ByteView{octet_string(content)}.first(6)), "048301234500");
}

TEST(DerWriter, HeaderSizeIsWhatTheHeaderTakes) {
  for (const std::size_t size :
       {0UL, 1UL, 127UL, 128UL, 255UL, 256UL, 65535UL, 65536UL, 16777216UL}) {
    Bytes out;
    append_header(out, kSequence, size);
    EXPECT_EQ(out.size(), header_size(size)) << size;
  }
}

TEST(DerWriter, WritesIntegersWithoutSignAndInShortestForm) {
  EXPECT_EQ(to_hex(integer(std::uint64_t{0})), "020100");
  EXPECT_EQ(to_hex(integer(std::uint64_t{127})), "02017f");
  EXPECT_EQ(to_hex(integer(std::uint64_t{128})), "02020080");
  EXPECT_EQ(to_hex(integer(std::uint64_t{256})), "02020100");
  EXPECT_EQ(to_hex(integer(~std::uint64_t{0})), "020900ffffffffffffffff");
  EXPECT_EQ(to_hex(integer(ByteView{hex("0000ff")})), "020200ff");
  EXPECT_EQ(to_hex(integer(ByteView{})), "020100");
}

TEST(DerWriter, WritesObjectIdentifiers) {
  EXPECT_EQ(to_hex(oid("1.2.840.10045.4.3.2")), "06082a8648ce3d040302");
  EXPECT_EQ(to_hex(oid("2.5.4.3")), "0603550403");
  EXPECT_EQ(to_hex(oid("2.999.4294967295")), "060788378fffffff7f");
  EXPECT_EQ(to_hex(oid("0.39")), "060127");
}

TEST(DerWriter, RefusesWhatIsNoObjectIdentifier) {
  for (const char* text :
       {"", "1", "3.1", "1.40", "1.2.", "1..2", "a.b", "1.2.4294967296", "-1.2"}) {
    EXPECT_THROW(static_cast<void>(oid(text)), Error) << text;
  }
}

TEST(DerWriter, WritesBitStringsWithZeroUnusedBits) {
  EXPECT_EQ(to_hex(bit_string(hex("80"), 7)), "03020780");
  EXPECT_EQ(to_hex(bit_string({})), "030100");
  EXPECT_THROW(static_cast<void>(bit_string(hex("81"), 7)), Error);
  EXPECT_THROW(static_cast<void>(bit_string({}, 1)), Error);
  EXPECT_THROW(static_cast<void>(bit_string(hex("00"), 8)), Error);
}

TEST(DerWriter, WritesStringsAndBooleans) {
  EXPECT_EQ(to_hex(utf8_string("\xc3\xbc")), "0c02c3bc");
  EXPECT_EQ(to_hex(printable_string("DE")), "13024445");
  EXPECT_EQ(to_hex(boolean(true)), "0101ff");
  EXPECT_EQ(to_hex(boolean(false)), "010100");
  EXPECT_THROW(static_cast<void>(printable_string("a_b")), Error);
}

TEST(DerWriter, NestsParts) {
  EXPECT_EQ(to_hex(sequence({integer(std::uint64_t{1}), constructed(kSet, {boolean(true)})})),
            "300802010131030101ff");
}

TEST(DerTime, ChangesItsFormWith2050) {
  EXPECT_EQ(time_text("1950-01-01T00:00:00Z"), "500101000000Z");
  EXPECT_EQ(time_text("1999-12-31T23:59:59Z"), "991231235959Z");
  EXPECT_EQ(time_text("2049-12-31T23:59:59Z"), "491231235959Z");
  EXPECT_EQ(time_text("2050-01-01T00:00:00Z"), "20500101000000Z");
  EXPECT_EQ(time_text("9999-12-31T23:59:59Z"), "99991231235959Z");
  EXPECT_EQ(time(at("2049-12-31T23:59:59Z")).front(), kUtcTime);
  EXPECT_EQ(time(at("2050-01-01T00:00:00Z")).front(), kGeneralizedTime);
}

TEST(DerTime, DropsMilliseconds) {
  EXPECT_EQ(time(UtcMillis{at("2049-12-31T23:59:59Z").value + 999}),
            time(at("2049-12-31T23:59:59Z")));
}

TEST(DerTime, RefusesYearsThatCertificatesCannotHold) {
  EXPECT_THROW(static_cast<void>(time(UtcMillis{kFirstTime.value - 1})), Error);
  EXPECT_THROW(static_cast<void>(time(UtcMillis{kLastTime.value + 1})), Error);
  EXPECT_NO_THROW(static_cast<void>(time(kFirstTime)));
  EXPECT_NO_THROW(static_cast<void>(time(kLastTime)));
}

TEST(DerTime, ReadsWhatItWrites) {
  for (const char* text : {"1950-01-01T00:00:00Z",
                           "1970-01-01T00:00:00Z",
                           "2024-02-29T12:34:56Z",
                           "2049-12-31T23:59:59Z",
                           "2050-01-01T00:00:00Z",
                           "9999-12-31T23:59:59Z"}) {
    const Bytes written = time(at(text));
    EXPECT_EQ(read_time(*Reader{written}.next()), at(text)) << text;
  }
}

TEST(DerTime, ReadsOnlyTheFormsOfRfc5280) {
  const auto read = [](std::uint8_t tag, std::string_view text) {
    return read_time(Element{tag, as_bytes(text), {}}).has_value();
  };
  EXPECT_TRUE(read(kUtcTime, "260101000000Z"));
  EXPECT_FALSE(read(kUtcTime, "2601010000Z"));        // no seconds
  EXPECT_FALSE(read(kUtcTime, "260101000000+0000"));  // zone
  EXPECT_FALSE(read(kUtcTime, "260230000000Z"));      // no such day
  EXPECT_FALSE(read(kUtcTime, "26010100 000Z"));
  EXPECT_FALSE(read(kGeneralizedTime, "20490101000000Z"));  // would be UTCTime
  EXPECT_FALSE(read(kGeneralizedTime, "20500101000000.5Z"));
  EXPECT_FALSE(read(kOctetString, "260101000000Z"));
  EXPECT_FALSE(read(kUtcTime, ""));
}

TEST(DerReader, TakesElementsOneByOne) {
  const Bytes bytes =
      hex("020105"
          "0400"
          "3003020101");
  Reader reader{bytes};
  EXPECT_EQ(reader.peek(), kInteger);
  EXPECT_EQ(to_hex(reader.next()->content), "05");
  EXPECT_FALSE(reader.next(kInteger).has_value());
  EXPECT_EQ(reader.next(kOctetString)->content.size(), 0U);
  EXPECT_EQ(to_hex(reader.next(kSequence)->whole), "3003020101");
  EXPECT_TRUE(reader.at_end());
  EXPECT_FALSE(reader.next().has_value());
  EXPECT_FALSE(reader.peek().has_value());
}

class DerReaderRefuses : public testing::TestWithParam<const char*> {};

TEST_P(DerReaderRefuses, WhatIsNotDer) {
  const Bytes bytes = hex(GetParam());
  Reader reader{bytes};
  EXPECT_FALSE(reader.next().has_value());
  EXPECT_EQ(reader.at_end(), bytes.empty());
}

INSTANTIATE_TEST_SUITE_P(Cases,
                         DerReaderRefuses,
                         testing::Values("",                  // nothing
                                         "30",                // no length
                                         "3001",              // no content
                                         "3080",              // indefinite
                                         "30800000",          // indefinite with an end
                                         "308100",            // long form where the short one fits
                                         "30817f",            //
                                         "3082000100",        // leading zero in the length
                                         "3085000000000100",  // five octets of length
                                         "30850100000000",    //
                                         "3084ffffffff00",    // more than there is
                                         "30ff",              // reserved
                                         "1f8101",            // high tag number
                                         "3082"));            // cut in the length

TEST(DerReader, OnlyElementHasNothingBehind) {
  EXPECT_TRUE(only_element(hex("3000"), kSequence).has_value());
  EXPECT_FALSE(only_element(hex("300000"), kSequence).has_value());
  EXPECT_FALSE(only_element(hex("3000"), kSet).has_value());
}

TEST(DerReader, KnowsShortestIntegers) {
  for (const char* good : {"00", "7f", "0080", "80", "ff7f"})
    EXPECT_TRUE(is_shortest_integer(hex(good))) << good;
  for (const char* bad : {"", "0000", "007f", "ff80", "ffff"})
    EXPECT_FALSE(is_shortest_integer(hex(bad))) << bad;
}

TEST(DerReader, ReadsSmallNumbers) {
  EXPECT_EQ(small_unsigned(hex("00")), 0U);
  EXPECT_EQ(small_unsigned(hex("00ffffffff")), 0xffffffffU);
  EXPECT_FALSE(small_unsigned(hex("0100000000")).has_value());
  EXPECT_FALSE(small_unsigned(hex("ff")).has_value());
  EXPECT_FALSE(small_unsigned(hex("0001")).has_value());
}

}  // namespace
}  // namespace keyferry::x509::der
