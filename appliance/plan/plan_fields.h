// Reads the fields of a plan file: every field once, in its type and bounds; what was not read is unknown and refused.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

/// A TOML basic string with what must be escaped escaped.
[[nodiscard]] std::string toml_quoted(std::string_view text);

/// The first problem stays in refusal(); readers go on with harmless values, so callers check once at the end.
class PlanFields {
 public:
  explicit PlanFields(ByteView octets);
  ~PlanFields();
  PlanFields(const PlanFields&) = delete;
  PlanFields& operator=(const PlanFields&) = delete;

  [[nodiscard]] const std::optional<Refusal>& refusal() const { return refusal_; }

  void refuse(std::string_view field, std::string_view why);
  void refuse(const Refusal& refusal);

  /// From here on fields are read from the table [`section`] at the top.
  void enter(std::string_view section);
  /// The lines of the file's last table [`section`], exactly as they are; empty when there is none. Refused: a table of
  /// that name that is not written so, or not the last one.
  [[nodiscard]] std::string last_table_text(std::string_view section);
  /// Refuses what was not read, at the top and in the entered sections.
  void refuse_unknown();

  [[nodiscard]] bool has(std::string_view field) const;
  [[nodiscard]] std::string text(std::string_view field, std::size_t max_chars);
  [[nodiscard]] std::string name(std::string_view field);  ///< is_name
  [[nodiscard]] std::uint64_t integer(std::string_view field, std::uint64_t least, std::uint64_t most);
  [[nodiscard]] UtcMillis time(std::string_view field);  ///< a string in RFC 3339 with Z
  [[nodiscard]] Bytes hex(std::string_view field, std::size_t size_bytes);
  [[nodiscard]] std::string reason();  ///< "reason": 1 to 200 characters of plain ASCII
  [[nodiscard]] bool flag(std::string_view field);
  /// An array of strings, at most `max_items`.
  [[nodiscard]] std::vector<std::string> texts(std::string_view field, std::size_t max_items, std::size_t max_chars);
  /// An array of strings in hex, each of 1 to `max_bytes` octets.
  [[nodiscard]] std::vector<Bytes> hex_list(std::string_view field, std::size_t max_items, std::size_t max_bytes);
  /// An array of integers, at most `max_items`.
  [[nodiscard]] std::vector<std::uint64_t> integers(std::string_view field, std::uint64_t least, std::uint64_t most,
                                                    std::size_t max_items);
  [[nodiscard]] std::map<std::string, Digest> files();  ///< [[file]] name, sha256; at most 64

  template <typename Id>
  [[nodiscard]] Id id(std::string_view field) {
    return Id::from_bytes(hex(field, Id::kSizeBytes)).value_or(Id{});
  }

 private:
  std::string octets_;
  struct Tables;
  std::unique_ptr<Tables> tables_;
  std::optional<Refusal> refusal_;
};

}  // namespace keyferry::appliance
