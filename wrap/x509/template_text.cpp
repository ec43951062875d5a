#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <set>

#include "wrap/base/text.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {
namespace {

constexpr std::string_view kCommonNameForm = "common-name";
constexpr std::string_view kAttributesForm = "attributes";

/// The keys of one table; the first thing that is wrong stays.
class Fields {
 public:
  explicit Fields(const toml::table& table) : table_{table} {}

  void refuse(std::string_view field, std::string_view why) {
    if (refusal_) return;
    refusal_ = Refusal{"template-field",
                       fmt::format("template field \"{}\" {}", printable(field), why),
                       "correct the template file"};
  }

  [[nodiscard]] const toml::node* take(std::string_view field) {
    read_.emplace(field);
    return table_.get(field);
  }

  [[nodiscard]] std::optional<std::string> text(std::string_view field) {
    const toml::node* node = take(field);
    if (node == nullptr) return std::nullopt;
    auto value = node->value_exact<std::string>();
    if (!value) refuse(field, "is no string");
    return value;
  }

  [[nodiscard]] std::vector<std::string> list(std::string_view field) {
    const toml::node* node = take(field);
    std::vector<std::string> values;
    if (node == nullptr) return values;
    if (!node->is_array() || node->as_array()->empty()) {
      refuse(field, "is no list of strings with at least one in it");
      return values;
    }
    for (const toml::node& entry : *node->as_array()) {
      auto value = entry.value_exact<std::string>();
      if (!value) {
        refuse(field, "holds something that is no string");
        return values;
      }
      values.push_back(std::move(*value));
    }
    return values;
  }

  [[nodiscard]] std::optional<UtcMillis> time(std::string_view field) {
    const auto value = text(field);
    if (!value) return std::nullopt;
    const auto time = from_rfc3339(*value);
    if (!time) refuse(field, "is no time of the form 2026-11-22T08:00:00Z");
    return time;
  }

  [[nodiscard]] std::optional<std::uint16_t> matter_id(std::string_view field) {
    const auto value = text(field);
    if (!value) return std::nullopt;
    const auto id = read_matter_hex(*value);
    if (!id) refuse(field, "is not four upper-case hex digits");
    return id;
  }

  [[nodiscard]] std::optional<Refusal> finish() {
    for (const auto& [key, node] : table_) {
      if (!read_.contains(key.str())) refuse(key.str(), "is unknown");
    }
    return refusal_;
  }

 private:
  const toml::table& table_;
  std::set<std::string, std::less<>> read_;
  std::optional<Refusal> refusal_;
};

void read_usage(Fields& fields, DeviceTemplate& out) {
  const auto names = fields.list("key_usage");
  if (names.empty()) return;
  out.key_usage = 0;
  for (const std::string& name : names) {
    const auto* known = std::ranges::find(kKeyUsageNames, name);
    if (known == kKeyUsageNames.end())
      return fields.refuse("key_usage",
                           fmt::format("holds \"{}\", which is none", printable(name)));
    out.key_usage =
        static_cast<std::uint16_t>(out.key_usage | (1U << (known - kKeyUsageNames.begin())));
  }
}

void read_matter(Fields& fields, DeviceTemplate& out) {
  out.matter.vendor_id = fields.matter_id("vendor_id");
  out.matter.product_id = fields.matter_id("product_id");
  if (const auto form = fields.text("matter_form")) {
    if (*form != kAttributesForm && *form != kCommonNameForm)
      fields.refuse("matter_form", "is neither \"attributes\" nor \"common-name\"");
    if (*form == kCommonNameForm) out.matter.form = MatterForm::CommonName;
  }
  if (const auto digest = fields.text("certification_declaration")) {
    out.certification_declaration = Digest::from_hex(*digest);
    if (!out.certification_declaration)
      fields.refuse("certification_declaration", "is no SHA-256 of 64 hex digits");
  }
  if (const auto digest = fields.text("declaration_signer")) {
    out.declaration_signer = Digest::from_hex(*digest);
    if (!out.declaration_signer)
      fields.refuse("declaration_signer", "is no SHA-256 of 64 hex digits");
  }
}

void read_extensions(Fields& fields, DeviceTemplate& out) {
  const toml::node* node = fields.take("extensions");
  if (node == nullptr) return;
  if (!node->is_array() || node->as_array()->empty())
    return fields.refuse("extensions", "is no list of tables with oid and value");
  for (const toml::node& entry : *node->as_array()) {
    if (!entry.is_table()) return fields.refuse("extensions", "holds something that is no table");
    Fields inner{*entry.as_table()};
    const auto oid = inner.text("oid");
    const auto value = inner.text("value");
    const toml::node* critical = inner.take("critical");
    const auto octets = value ? from_hex(*value) : std::nullopt;
    if (!oid || !octets)
      return fields.refuse("extensions", "holds one without oid or without value in hex");
    if (critical != nullptr && critical->value_exact<bool>() != false) {
      return fields.refuse(
          "extensions",
          fmt::format("holds {} as critical: no verifier at the line would know it, so "
                      "every device would fail",
                      printable(*oid)));
    }
    if (const auto refusal = inner.finish())
      return fields.refuse("extensions", "holds one with: " + refusal->text);
    out.extensions.push_back({*oid, *octets});
  }
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

void append_list(std::string& out, std::string_view key, const std::vector<std::string>& values) {
  if (values.empty()) return;
  out += fmt::format("{} = [", key);
  for (std::size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ", ") + quoted(values[i]);
  out += "]\n";
}

}  // namespace

std::variant<DeviceTemplate, Refusal> parse_template(std::string_view text) {
  if (text.size() > kMaxTemplateBytes)
    return Refusal{"template-syntax",
                   fmt::format("a template file has at most {} octets", kMaxTemplateBytes)};
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {  // the parser's only way to say no
    return Refusal{"template-syntax",
                   fmt::format("the template is no TOML: line {}: {}",
                               error.source().begin.line,
                               printable(error.description()))};
  }
  Fields fields{table};
  DeviceTemplate read;
  const auto name = fields.text("template");
  const auto subject = fields.text("subject");
  if (!name) fields.refuse("template", "is missing: \"device\", \"matter-dac\" or \"custom\"");
  if (!subject)
    fields.refuse("subject", "is missing, e.g. subject = \"CN={device_serial},O=ACME\"");
  read.name = name.value_or("");
  read.subject = subject.value_or("");
  const auto not_before = fields.time("not_before");
  const auto not_after = fields.time("not_after");
  if (not_before.has_value() != not_after.has_value())
    fields.refuse(not_before ? "not_after" : "not_before",
                  "is missing: give both, or leave them to the plan");
  if (not_before && not_after && *not_after <= *not_before)
    fields.refuse("not_after", "is not after not_before");
  read.not_before = not_before.value_or(UtcMillis{});
  read.not_after = not_after.value_or(UtcMillis{});
  read_matter(fields, read);
  read.alt_names = fields.list("alt_names");
  read_usage(fields, read);
  read.extended_key_usage = fields.list("extended_key_usage");
  read.policies = fields.list("policies");
  read_extensions(fields, read);
  if (auto refusal = fields.finish()) return *refusal;
  if (auto refusal = check_template(read)) return *refusal;
  return read;
}

std::string template_text(const DeviceTemplate& from) {
  std::string out =
      fmt::format("template = {}\nsubject = {}\n", quoted(from.name), quoted(from.subject));
  if (from.not_before != UtcMillis{} || from.not_after != UtcMillis{}) {
    out += fmt::format("not_before = \"{}\"\nnot_after = \"{}\"\n",
                       to_rfc3339(from.not_before),
                       to_rfc3339(from.not_after));
  }
  if (from.matter.vendor_id)
    out += fmt::format("vendor_id = \"{}\"\n", matter_hex(*from.matter.vendor_id));
  if (from.matter.product_id)
    out += fmt::format("product_id = \"{}\"\n", matter_hex(*from.matter.product_id));
  if (from.matter.form == MatterForm::CommonName)
    out += fmt::format("matter_form = \"{}\"\n", kCommonNameForm);
  if (from.certification_declaration)
    out +=
        fmt::format("certification_declaration = \"{}\"\n", from.certification_declaration->hex());
  if (from.declaration_signer)
    out += fmt::format("declaration_signer = \"{}\"\n", from.declaration_signer->hex());
  append_list(out, "alt_names", from.alt_names);
  if (from.key_usage != kDigitalSignature) {
    std::vector<std::string> names;
    for (std::size_t bit = 0; bit < kKeyUsageNames.size(); ++bit) {
      if ((from.key_usage & (1U << bit)) != 0) names.emplace_back(kKeyUsageNames[bit]);
    }
    append_list(out, "key_usage", names);
  }
  append_list(out, "extended_key_usage", from.extended_key_usage);
  append_list(out, "policies", from.policies);
  if (!from.extensions.empty()) {
    out += "extensions = [";
    for (std::size_t i = 0; i < from.extensions.size(); ++i) {
      out += fmt::format("{}{{ oid = {}, value = \"{}\" }}",
                         i == 0 ? "" : ", ",
                         quoted(from.extensions[i].oid),
                         to_hex(from.extensions[i].value));
    }
    out += "]\n";
  }
  return out;
}

}  // namespace keyferry::x509
