// RFC 4180 from outside, a record at a time in constant memory: LF or CRLF, a byte order mark
// tolerated, UTF-8 demanded, a record at most 64 KiB. Strict where RFC 4180 is: a quote stands at
// the ends of a field or doubled inside a quoted one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"

namespace keyferry::appliance {

/// What is wrong and where; `column` is the header's name for it, or empty when the line as a whole
/// is meant.
struct CsvProblem {
  std::uint64_t line = 0;  // from 1
  std::string column;
  std::string text;
};

struct CsvRecord {
  std::uint64_t line = 0;  // where it begins
  std::vector<std::string> fields;
};

class CsvReader {
 public:
  static constexpr std::size_t kMaxRecordBytes = 64 * 1024;

  /// Fills the span as far as it can; 0 = the end.
  using Source = std::function<std::size_t(std::span<std::uint8_t>)>;

  explicit CsvReader(Source source);

  /// Nothing (monostate) at the end. After a problem the reader is done: what follows cannot be
  /// told apart.
  [[nodiscard]] std::variant<std::monostate, CsvRecord, CsvProblem> next();

 private:
  [[nodiscard]] int peek();
  int take();

  Source source_;
  Bytes buffer_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  std::uint64_t line_ = 1;
  std::optional<std::uint64_t> blank_line_;
  bool begun_ = false;
  bool done_ = false;
};

}  // namespace keyferry::appliance
