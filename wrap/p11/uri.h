// PKCS#11 URIs (RFC 7512): how people name a token, an object or a module. Path attributes choose,
// query attributes tell how to get there. A PIN in the URI (`pin-value`) is refused: it would be in
// a command line or a settings file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::p11 {

/// Values are percent-decoded. An absent attribute matches everything (RFC 7512 section 2.5).
struct Uri {
  // path attributes (section 2.3)
  std::optional<std::string> token;
  std::optional<std::string> serial;
  std::optional<std::string> manufacturer;
  std::optional<std::string> model;
  std::optional<std::string> object;
  std::optional<Bytes> id;
  std::optional<std::string> type;  // cert, data, private, public, secret-key
  std::optional<std::uint64_t> slot_id;
  std::optional<std::string> slot_description;
  std::optional<std::string> slot_manufacturer;
  std::optional<std::string> library_description;
  std::optional<std::string> library_manufacturer;
  std::optional<std::string> library_version;  // "major" or "major.minor"
  // query attributes (section 2.4)
  std::optional<std::string> pin_source;
  std::optional<std::string> module_name;
  std::optional<std::string> module_path;
  // Attributes we do not know, name and decoded value, in their order. One in the path narrows the
  // choice in a way that we cannot follow: such a URI matches nothing. In the query it has no
  // effect.
  std::vector<std::pair<std::string, std::string>> unknown_path;
  std::vector<std::pair<std::string, std::string>> unknown_query;

  friend bool operator==(const Uri&, const Uri&) = default;
};

/// `text`: at most 4096 octets, "pkcs11:" in any case, then path attributes separated by ';' and,
/// after '?', query attributes separated by '&'. Refusals: uri-scheme, uri-syntax, uri-too-long,
/// uri-attribute-twice, uri-value, uri-pin-value. A refusal's text never repeats a value.
[[nodiscard]] std::variant<Uri, Refusal> parse_uri(std::string_view text);

/// parse_uri for settings that must be right: Error{Usage} with the refusal's text.
[[nodiscard]] Uri uri_or_throw(std::string_view text);

/// The URI in one fixed order of attributes, percent-encoded; parse_uri gives the same Uri back.
[[nodiscard]] std::string to_string(const Uri& uri);

/// The file that `pin-source` names: "file:/run/pin", "file:///run/pin" or a plain absolute path.
/// Nothing when there is no pin-source or it is of another kind (a command, "|prog", is never run).
/// The file is read with keyferry::read_secret_file.
[[nodiscard]] std::optional<std::filesystem::path> pin_file(const Uri& uri);

}  // namespace keyferry::p11
