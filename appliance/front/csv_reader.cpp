#include "appliance/front/csv_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "wrap/base/utf8.h"

namespace keyferry::appliance {
namespace {

constexpr int kEnd = -1;
constexpr std::size_t kBufferBytes = 64 * 1024;

bool is_utf8(const std::string& text) {
  const bool ascii =
      std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return ascii || decode_utf8(text).has_value();
}

}  // namespace

CsvReader::CsvReader(Source source) : source_{std::move(source)}, buffer_(kBufferBytes) {}

int CsvReader::peek() {
  if (at_ == filled_) {
    at_ = 0;
    filled_ = source_(buffer_);
  }
  return filled_ == 0 ? kEnd : buffer_[at_];
}

int CsvReader::take() {
  const int octet = peek();
  if (octet != kEnd) ++at_;
  return octet;
}

std::variant<std::monostate, CsvRecord, CsvProblem> CsvReader::next() {
  if (done_) return std::monostate{};
  if (!begun_) {
    begun_ = true;
    if (peek() == 0xef) {  // a byte order mark or nothing that could begin a header
      for (const int expected : {0xef, 0xbb, 0xbf}) {
        if (take() != expected) {
          done_ = true;
          return CsvProblem{1, "", "not UTF-8"};
        }
      }
    }
  }

  enum class Place { FieldStart, Plain, Quoted, QuoteInQuoted };
  CsvRecord record{line_, {}};
  std::string field;
  std::size_t size = 0;
  Place place = Place::FieldStart;
  bool quoted_any = false;
  const auto problem = [&](std::uint64_t line, std::string text) {
    done_ = true;
    return CsvProblem{line, "", std::move(text)};
  };

  while (true) {
    const int octet = take();
    if (++size > kMaxRecordBytes) {
      return problem(record.line, fmt::format("longer than {} octets", kMaxRecordBytes));
    }
    const bool line_end = octet == '\n' || octet == '\r' || octet == kEnd;
    if (place == Place::Quoted) {
      if (octet == kEnd) return problem(record.line, "a quoted field does not end");
      if (octet == '\n') ++line_;
      if (octet == '"') {
        place = Place::QuoteInQuoted;
      } else {
        field += static_cast<char>(octet);
      }
      continue;
    }
    if (octet == '"') {
      if (place == Place::Plain) return problem(line_, "a quote inside a field that is not quoted");
      if (place == Place::QuoteInQuoted) field += '"';
      place = Place::Quoted;
      quoted_any = true;
      continue;
    }
    if (octet == ',') {
      record.fields.push_back(std::move(field));
      field.clear();
      place = Place::FieldStart;
      continue;
    }
    if (!line_end) {
      if (place == Place::QuoteInQuoted) return problem(line_, "text behind a closing quote");
      field += static_cast<char>(octet);
      place = Place::Plain;
      continue;
    }
    if (octet == '\r' && take() != '\n')
      return problem(line_, "a carriage return without line feed");
    record.fields.push_back(std::move(field));
    field.clear();
    const bool blank = record.fields.size() == 1 && record.fields[0].empty() && !quoted_any;
    if (octet != kEnd) ++line_;
    if (blank && octet == kEnd) {
      done_ = true;
      return std::monostate{};
    }
    if (blank) {  // tolerated at the end only
      blank_line_ = blank_line_.value_or(record.line);
      record = CsvRecord{line_, {}};
      size = 0;
      place = Place::FieldStart;
      continue;
    }
    if (blank_line_) return problem(*blank_line_, "an empty line");
    if (!std::ranges::all_of(record.fields, is_utf8)) return problem(record.line, "not UTF-8");
    return record;
  }
}

}  // namespace keyferry::appliance
