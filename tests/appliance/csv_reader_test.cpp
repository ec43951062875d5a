#include "appliance/front/csv_reader.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace keyferry::appliance {
namespace {

/// Gives `text` in pieces of `step` octets, so that every boundary falls everywhere.
CsvReader reader_of(std::string text, std::size_t step = 3) {
  return CsvReader{
      [text = std::move(text), step, at = std::size_t{0}](std::span<std::uint8_t> out) mutable {
        const std::size_t size = std::min({out.size(), step, text.size() - at});
        std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(at), size, out.begin());
        at += size;
        return size;
      }};
}

/// Records as "a|b;c|d", a problem as "line N: text".
std::string read_all(const std::string& text) {
  CsvReader reader = reader_of(text);
  std::string all;
  while (true) {
    const auto read = reader.next();
    if (const auto* problem = std::get_if<CsvProblem>(&read)) {
      return all + "line " + std::to_string(problem->line) + ": " + problem->text;
    }
    const auto* record = std::get_if<CsvRecord>(&read);
    if (record == nullptr) return all;
    for (const std::string& field : record->fields) all += field + "|";
    all += ";";
  }
}

struct Case {
  const char* name;
  std::string text;
  std::string expected;
};

class CsvForms : public testing::TestWithParam<Case> {};

TEST_P(CsvForms, AreReadAsRfc4180Says) {
  EXPECT_EQ(read_all(GetParam().text), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Table,
    CsvForms,
    testing::Values(
        Case{"Empty", "", ""},
        Case{"LineFeeds", "a,b\nc,d\n", "a|b|;c|d|;"},
        Case{"CarriageReturns", "a,b\r\nc,d\r\n", "a|b|;c|d|;"},
        Case{"NoLastLineEnd", "a,b\nc,d", "a|b|;c|d|;"},
        Case{"ByteOrderMark",
             "\xef\xbb\xbf"
             "a,b\n",
             "a|b|;"},
        Case{"HalfAByteOrderMark",
             "\xef\xbb"
             "a,b\n",
             "line 1: not UTF-8"},
        Case{"EmptyFields", ",,\n", "|||;"},
        Case{"QuotedComma", "\"a,b\",c\n", "a,b|c|;"},
        Case{"DoubledQuote", "\"a\"\"b\",c\n", "a\"b|c|;"},
        Case{"QuotedLineEnd", "\"a\nb\",c\nd,e\n", "a\nb|c|;d|e|;"},
        Case{"QuotedEmpty", "\"\"\n", "|;"},
        Case{"QuoteInPlainField", "a\"b\n", "line 1: a quote inside a field that is not quoted"},
        Case{"TextBehindQuote", "\"a\"b\n", "line 1: text behind a closing quote"},
        Case{"OpenQuote", "x\n\"a\n", "x|;line 2: a quoted field does not end"},
        Case{"LoneCarriageReturn", "a\rb\n", "line 1: a carriage return without line feed"},
        Case{"BlankLineInside", "a\n\nb\n", "a|;line 2: an empty line"},
        Case{"BlankLinesAtTheEnd", "a\n\n\n", "a|;"},
        Case{"NotUtf8", "a\nb\xff\n", "a|;line 2: not UTF-8"},
        Case{"OverlongUtf8", "\xc0\xaf\n", "line 1: not UTF-8"},
        Case{"Utf8", "\xc3\xa4\n", "\xc3\xa4|;"}),
    [](const auto& tested) { return std::string{tested.param.name}; });

TEST(CsvReader, RefusesARecordAbove64KiB) {
  EXPECT_EQ(read_all(std::string(CsvReader::kMaxRecordBytes + 1, 'a')),
            "line 1: longer than 65536 octets");
}

TEST(CsvReader, TellsTheLineOnWhichARecordBegins) {
  CsvReader reader = reader_of("\"a\nb\"\nc\n");
  static_cast<void>(reader.next());
  EXPECT_EQ(std::get<CsvRecord>(reader.next()).line, 3U);
}

}  // namespace
}  // namespace keyferry::appliance
