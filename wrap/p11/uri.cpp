#include "wrap/p11/uri.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "wrap/base/text.h"

namespace keyferry::p11 {

namespace {

constexpr std::size_t kMaxUriOctets = 4096;
constexpr std::string_view kScheme = "pkcs11:";
constexpr std::string_view kUnreserved =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
// RFC 7512 section 2.3: pk11-path-res-avail and pk11-query-res-avail
constexpr std::string_view kPathExtra = ":[]@!$'()*+,=&";
constexpr std::string_view kQueryExtra = ":[]@!$'()*+,=/?|";
constexpr std::array<std::string_view, 5> kTypes{"cert", "data", "private", "public", "secret-key"};

using TextField = std::optional<std::string> Uri::*;

struct FieldName {
  std::string_view name;
  TextField field;
};

// The order is the one in which to_string writes them.
constexpr std::array kPathFields{
    FieldName{"token", &Uri::token},
    FieldName{"manufacturer", &Uri::manufacturer},
    FieldName{"serial", &Uri::serial},
    FieldName{"model", &Uri::model},
    FieldName{"library-manufacturer", &Uri::library_manufacturer},
    FieldName{"library-version", &Uri::library_version},
    FieldName{"library-description", &Uri::library_description},
    FieldName{"object", &Uri::object},
    FieldName{"type", &Uri::type},
    FieldName{"slot-description", &Uri::slot_description},
    FieldName{"slot-manufacturer", &Uri::slot_manufacturer},
};
constexpr std::array kQueryFields{
    FieldName{"pin-source", &Uri::pin_source},
    FieldName{"module-name", &Uri::module_name},
    FieldName{"module-path", &Uri::module_path},
};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool begins_with_scheme(std::string_view text) {
  return text.size() >= kScheme.size() &&
         std::equal(kScheme.begin(), kScheme.end(), text.begin(), [](char a, char b) {
           return a == lower(b);
         });
}

/// Nothing when an octet is not allowed unencoded, or a percent sign has no two hex digits behind
/// it.
std::optional<std::string> decode(std::string_view value, std::string_view extra) {
  std::string out;
  out.reserve(value.size());
  for (std::size_t at = 0; at < value.size(); ++at) {
    const char c = value[at];
    if (c == '%') {
      const auto octet = from_hex(value.substr(at + 1, 2));
      if (!octet || octet->size() != 1) return std::nullopt;
      out.push_back(static_cast<char>((*octet)[0]));
      at += 2;
    } else if (kUnreserved.find(c) != std::string_view::npos ||
               extra.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      return std::nullopt;
    }
  }
  return out;
}

std::string encode(std::string_view value, std::string_view extra) {
  std::string out;
  for (const char c : value) {
    if (kUnreserved.find(c) != std::string_view::npos || extra.find(c) != std::string_view::npos) {
      out.push_back(c);
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string encode_all(ByteView octets) {
  std::string out;
  for (const std::uint8_t octet : octets) fmt::format_to(std::back_inserter(out), "%{:02X}", octet);
  return out;
}

bool is_attribute_name(std::string_view name) {
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
  return !name.empty() && name.find_first_not_of(kAllowed) == std::string_view::npos;
}

bool is_version(std::string_view text) {
  const std::size_t dot = text.find('.');
  const auto digits = [](std::string_view part) {
    return !part.empty() && part.size() <= 3 &&
           part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return dot == std::string_view::npos
             ? digits(text)
             : digits(text.substr(0, dot)) && digits(text.substr(dot + 1));
}

Refusal value_refused(std::string_view name) {
  return {"uri-value", fmt::format("PKCS#11 URI: the value of '{}' is not well-formed", name)};
}

template <typename Fields>
TextField field_named(const Fields& fields, std::string_view name) {
  const auto found = std::ranges::find(fields, name, &FieldName::name);
  return found == fields.end() ? nullptr : found->field;
}

std::optional<Refusal> set_slot_id(Uri& uri, std::string_view decoded) {
  std::uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(decoded.data(), decoded.data() + decoded.size(), number);
  if (error != std::errc{} || end != decoded.data() + decoded.size())
    return value_refused("slot-id");
  uri.slot_id = number;
  return std::nullopt;
}

std::optional<Refusal> set_path(Uri& uri, std::string_view name, std::string decoded) {
  if (name == "id") {
    uri.id = to_bytes(as_bytes(decoded));
  } else if (name == "slot-id") {
    return set_slot_id(uri, decoded);
  } else if (const TextField field = field_named(kPathFields, name); field != nullptr) {
    if (name == "type" && std::ranges::find(kTypes, decoded) == kTypes.end())
      return value_refused(name);
    if (name == "library-version" && !is_version(decoded)) return value_refused(name);
    uri.*field = std::move(decoded);
  } else {
    uri.unknown_path.emplace_back(name, std::move(decoded));
  }
  return std::nullopt;
}

std::optional<Refusal> set_query(Uri& uri, std::string_view name, std::string decoded) {
  if (name == "pin-value") {
    return Refusal{"uri-pin-value",
                   "PKCS#11 URI: a PIN in the URI (pin-value) is not accepted: it would be in "
                   "command lines and files",
                   "use pin-source=file:PATH, a descriptor, or type the PIN"};
  }
  if (const TextField field = field_named(kQueryFields, name); field != nullptr) {
    uri.*field = std::move(decoded);
  } else {
    uri.unknown_query.emplace_back(name, std::move(decoded));
  }
  return std::nullopt;
}

enum class Part { Path, Query };

bool may_stand_twice(Part part, std::string_view name) {
  return part == Part::Query && name != "pin-value" && field_named(kQueryFields, name) == nullptr;
}

std::optional<Refusal> parse_part(Uri& uri, std::string_view text, Part part) {
  const char separator = part == Part::Path ? ';' : '&';
  std::vector<std::string_view> seen;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::string_view attribute = text.substr(0, end);
    if (end + 1 == text.size())
      return Refusal{"uri-syntax", "PKCS#11 URI: nothing follows the last separator"};
    text.remove_prefix(std::min(end + 1, text.size()));

    const std::size_t equals = attribute.find('=');
    if (equals == std::string_view::npos || !is_attribute_name(attribute.substr(0, equals))) {
      return Refusal{"uri-syntax", "PKCS#11 URI: each attribute is name=value"};
    }
    const std::string_view name = attribute.substr(0, equals);
    if (std::ranges::find(seen, name) != seen.end() && !may_stand_twice(part, name)) {
      return Refusal{"uri-attribute-twice",
                     fmt::format("PKCS#11 URI: '{}' stands there twice", printable(name))};
    }
    seen.push_back(name);
    auto decoded =
        decode(attribute.substr(equals + 1), part == Part::Path ? kPathExtra : kQueryExtra);
    if (!decoded) return value_refused(printable(name));
    auto refusal = part == Part::Path ? set_path(uri, name, std::move(*decoded))
                                      : set_query(uri, name, std::move(*decoded));
    if (refusal) return refusal;
  }
  return std::nullopt;
}

void add_attribute(std::string& out,
                   std::string_view name,
                   const std::string& encoded,
                   char separator) {
  if (!out.empty()) out.push_back(separator);
  fmt::format_to(std::back_inserter(out), "{}={}", name, encoded);
}

}  // namespace

std::variant<Uri, Refusal> parse_uri(std::string_view text) {
  if (text.size() > kMaxUriOctets)
    return Refusal{"uri-too-long", "PKCS#11 URI: longer than 4096 characters"};
  if (!begins_with_scheme(text)) {
    return Refusal{
        "uri-scheme", "a PKCS#11 URI begins with 'pkcs11:'", "for example pkcs11:token=appliance"};
  }
  text.remove_prefix(kScheme.size());
  const std::size_t question = text.find('?');
  Uri uri;
  if (auto refusal = parse_part(uri, text.substr(0, question), Part::Path)) return *refusal;
  if (question != std::string_view::npos) {
    if (auto refusal = parse_part(uri, text.substr(question + 1), Part::Query)) return *refusal;
  }
  return uri;
}

Uri uri_or_throw(std::string_view text) {
  auto parsed = parse_uri(text);
  if (const auto* refusal = std::get_if<Refusal>(&parsed))
    throw Error{Code::Usage, refusal->text, refusal->hint};
  return std::get<Uri>(std::move(parsed));
}

std::string to_string(const Uri& uri) {
  std::string path;
  for (const FieldName& row : kPathFields) {
    if (uri.*row.field) add_attribute(path, row.name, encode(*(uri.*row.field), kPathExtra), ';');
  }
  if (uri.id) add_attribute(path, "id", encode_all(*uri.id), ';');
  if (uri.slot_id) add_attribute(path, "slot-id", std::to_string(*uri.slot_id), ';');
  for (const auto& [name, value] : uri.unknown_path)
    add_attribute(path, name, encode(value, kPathExtra), ';');
  std::string query;
  for (const FieldName& row : kQueryFields) {
    if (uri.*row.field) add_attribute(query, row.name, encode(*(uri.*row.field), kQueryExtra), '&');
  }
  for (const auto& [name, value] : uri.unknown_query)
    add_attribute(query, name, encode(value, kQueryExtra), '&');
  return std::string{kScheme} + path + (query.empty() ? "" : "?" + query);
}

std::optional<std::filesystem::path> pin_file(const Uri& uri) {
  if (!uri.pin_source) return std::nullopt;
  std::string_view source = *uri.pin_source;
  constexpr std::string_view kFile = "file:";
  constexpr std::string_view kEmptyAuthority = "//";
  if (source.starts_with(kFile)) {
    source.remove_prefix(kFile.size());
    if (source.starts_with("///"))
      source.remove_prefix(kEmptyAuthority.size());  // RFC 8089 section 2
  }
  if (!source.starts_with('/') || source.starts_with("//") ||
      source.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  return std::filesystem::path{source};
}

}  // namespace keyferry::p11
