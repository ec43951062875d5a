#include "appliance/plan/plan_fields.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <set>

#include "wrap/base/text.h"

namespace keyferry::appliance {

struct PlanFields::Tables {
  struct Section {
    const toml::table* table = nullptr;
    std::string name = {};  // empty: the top
    std::set<std::string, std::less<>> read = {};

    const toml::node* take(std::string_view field) {
      read.emplace(field);
      return table->get(field);
    }
  };

  toml::table root;
  std::vector<Section> sections;  // the top, then those entered

  [[nodiscard]] Section& current() { return sections.back(); }

  const toml::node* take(std::string_view field) { return current().take(field); }
};

std::string toml_quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

PlanFields::PlanFields(ByteView octets) : octets_{as_chars(octets)}, tables_{std::make_unique<Tables>()} {
  try {
    tables_->root = toml::parse(as_chars(octets));
  } catch (const toml::parse_error& error) {  // the parser's only way to say no
    refusal_ = Refusal{"plan-syntax",
                       fmt::format("the plan is no TOML: line {}: {}",
                                   error.source().begin.line,
                                   printable(error.description()))};
  }
  tables_->sections.push_back({&tables_->root});
}

PlanFields::~PlanFields() = default;

void PlanFields::refuse(std::string_view field, std::string_view why) {
  if (refusal_) return;
  const std::string& section = tables_->current().name;
  const std::string where = section.empty() ? "" : " in [" + section + "]";
  refusal_ = Refusal{"plan-field",
                     fmt::format("plan field \"{}\"{} {}", printable(field), where, why),
                     "correct the plan; it then needs new approvals"};
}

void PlanFields::enter(std::string_view section) {
  const toml::node* node = tables_->sections.front().take(section);
  if (node == nullptr || !node->is_table()) {
    refuse(section, "is missing: there must be a table of this name");
    return;
  }
  tables_->sections.push_back({node->as_table(), std::string{section}});
}

std::string PlanFields::last_table_text(std::string_view section) {
  const toml::node* node = tables_->sections.front().take(section);
  if (node == nullptr) return {};
  const std::string header = fmt::format("\n[{}]\n", section);
  const std::size_t at = octets_.rfind(header);
  // Text inside of a string may look like a header: what stands behind must be this very table.
  try {
    if (at != std::string::npos && node->is_table()) {
      std::string text = octets_.substr(at + header.size());
      if (toml::parse(text) == *node->as_table()) return text;
    }
  } catch (const toml::parse_error&) {  // the parser's only way to say no
  }
  refuse(section, "is no table that stands last in the file");
  return {};
}

void PlanFields::refuse(const Refusal& refusal) {
  if (!refusal_) refusal_ = refusal;
}

void PlanFields::refuse_unknown() {
  for (const Tables::Section& section : tables_->sections) {
    for (const auto& [key, node] : *section.table) {
      if (!section.read.contains(key.str())) refuse(key.str(), "is unknown");
    }
  }
}

bool PlanFields::has(std::string_view field) const {
  return tables_->current().table->contains(field);
}

std::string PlanFields::text(std::string_view field, std::size_t max_chars) {
  const toml::node* node = tables_->take(field);
  const auto value = node == nullptr ? std::nullopt : node->value_exact<std::string>();
  if (!value) {
    refuse(field, "is missing or no string");
    return {};
  }
  if (value->size() > max_chars) {
    refuse(field, fmt::format("is longer than {} characters", max_chars));
    return {};
  }
  return *value;
}

std::string PlanFields::name(std::string_view field) {
  std::string value = text(field, 63);
  if (!is_name(value)) refuse(field, "is no name (a-z, 0-9, '-', '_', '.', at most 63)");
  return value;
}

std::uint64_t PlanFields::integer(std::string_view field, std::uint64_t least, std::uint64_t most) {
  const toml::node* node = tables_->take(field);
  const auto value = node == nullptr ? std::nullopt : node->value_exact<std::int64_t>();
  if (!value || *value < 0 || static_cast<std::uint64_t>(*value) < least ||
      static_cast<std::uint64_t>(*value) > most) {
    refuse(field, fmt::format("is missing or not an integer from {} to {}", least, most));
    return least;
  }
  return static_cast<std::uint64_t>(*value);
}

UtcMillis PlanFields::time(std::string_view field) {
  const auto value = from_rfc3339(text(field, 20));
  if (!value) refuse(field, "is no time like \"2026-11-22T08:00:00Z\"");
  return value.value_or(UtcMillis{});
}

Bytes PlanFields::hex(std::string_view field, std::size_t size_bytes) {
  const auto value = from_hex(text(field, size_bytes * 2));
  if (!value || value->size() != size_bytes) {
    refuse(field, fmt::format("is not {} hex digits", size_bytes * 2));
    return Bytes(size_bytes);
  }
  return *value;
}

std::string PlanFields::reason() {
  std::string value = text("reason", 200);
  if (value.empty() || printable(value) != value) refuse("reason", "is empty or not plain ASCII");
  return value;
}

bool PlanFields::flag(std::string_view field) {
  const toml::node* node = tables_->take(field);
  const auto value = node == nullptr ? std::nullopt : node->value_exact<bool>();
  if (!value) refuse(field, "is missing or neither true nor false");
  return value.value_or(false);
}

std::vector<std::string> PlanFields::texts(std::string_view field,
                                           std::size_t max_items,
                                           std::size_t max_chars) {
  const toml::node* node = tables_->take(field);
  const toml::array* list = node == nullptr ? nullptr : node->as_array();
  if (list == nullptr || list->size() > max_items) {
    refuse(field, fmt::format("is missing or no list of at most {} strings", max_items));
    return {};
  }
  std::vector<std::string> values;
  for (const toml::node& item : *list) {
    const auto value = item.value_exact<std::string>();
    if (!value || value->size() > max_chars || printable(*value) != *value) {
      refuse(field,
             fmt::format("has an item that is no string of at most {} characters of plain ASCII",
                         max_chars));
    } else {
      values.push_back(*value);
    }
  }
  return values;
}

std::vector<Bytes> PlanFields::hex_list(std::string_view field, std::size_t max_items, std::size_t max_bytes) {
  const toml::node* node = tables_->take(field);
  const toml::array* list = node == nullptr ? nullptr : node->as_array();
  if (list == nullptr || list->size() > max_items) {
    refuse(field, fmt::format("is missing or no list of at most {} strings in hex", max_items));
    return {};
  }
  std::vector<Bytes> values;
  for (const toml::node& item : *list) {
    const auto text = item.value_exact<std::string>();
    const auto value = text ? from_hex(*text) : std::nullopt;
    if (!value || value->empty() || value->size() > max_bytes) {
      refuse(field, fmt::format("has an item that is no hex of 1 to {} octets", max_bytes));
      return {};
    }
    values.push_back(*value);
  }
  return values;
}

std::vector<std::uint64_t> PlanFields::integers(std::string_view field,
                                                std::uint64_t least,
                                                std::uint64_t most,
                                                std::size_t max_items) {
  const toml::node* node = tables_->take(field);
  const toml::array* list = node == nullptr ? nullptr : node->as_array();
  if (list == nullptr || list->size() > max_items) {
    refuse(field, fmt::format("is missing or no list of at most {} integers", max_items));
    return {};
  }
  std::vector<std::uint64_t> values;
  for (const toml::node& item : *list) {
    const auto value = item.value_exact<std::int64_t>();
    if (!value || *value < 0 || static_cast<std::uint64_t>(*value) < least ||
        static_cast<std::uint64_t>(*value) > most) {
      refuse(field, fmt::format("has an item that is no integer from {} to {}", least, most));
    } else {
      values.push_back(static_cast<std::uint64_t>(*value));
    }
  }
  return values;
}

std::map<std::string, Digest> PlanFields::files() {
  std::map<std::string, Digest> files;
  const toml::node* node = tables_->take("file");
  if (node == nullptr) return files;
  const toml::array* list = node->as_array();
  if (list == nullptr || list->size() > 64) {
    refuse("file", "is no list of at most 64 tables");
    return files;
  }
  for (const toml::node& item : *list) {
    const toml::table* table = item.as_table();
    const auto name = table == nullptr ? std::nullopt : (*table)["name"].value_exact<std::string>();
    const auto hex =
        table == nullptr ? std::nullopt : (*table)["sha256"].value_exact<std::string>();
    const auto digest = hex ? Digest::from_hex(*hex) : std::nullopt;
    if (!name || !digest || table->size() != 2 || name->empty() || printable(*name) != *name ||
        !files.emplace(*name, *digest).second) {
      refuse("file", "needs exactly name and sha256, each name once");
    }
  }
  return files;
}

}  // namespace keyferry::appliance
