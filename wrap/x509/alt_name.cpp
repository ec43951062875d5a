#include "wrap/x509/alt_name.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "wrap/base/text.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

struct KindRule {
  AltNameKind kind;
  std::string_view prefix;
  unsigned tag;  // RFC 5280 4.2.1.6, GeneralName
};

constexpr std::array kKinds{
    KindRule{AltNameKind::Dns, "dns:", 2},
    KindRule{AltNameKind::Uri, "uri:", 6},
    KindRule{AltNameKind::Email, "email:", 1},
    KindRule{AltNameKind::Ip, "ip:", 7},
    KindRule{AltNameKind::HardwareModule, "hw:", 0},
};

// RFC 4108 section 5: id-on-hardwareModuleName, 1.3.6.1.5.5.7.8.4.
constexpr std::uint8_t kOidHardwareModuleName[] = {
    0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x08, 0x04};

Refusal alt_refusal(std::string_view pattern, std::string_view why) {
  return Refusal{
      "alt-name",
      fmt::format("subject alternative name {}: {}", printable(pattern), why),
      "e.g. dns:{device_serial}.devices.example, uri:urn:acme:{se_serial}, ip:192.0.2.1"};
}

bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_host(std::string_view host) {
  if (host.starts_with("*.")) host.remove_prefix(2);
  while (true) {
    const std::size_t dot = host.find('.');
    if (!is_label(host.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    host.remove_prefix(dot + 1);
  }
}

bool is_uri(std::string_view uri) {
  static constexpr std::string_view kMarks = "-._~:/?#[]@!$&'()*+,;=%";
  const std::size_t colon = uri.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon + 1 == uri.size()) return false;
  const std::string_view scheme = uri.substr(0, colon);
  return !(scheme.front() >= '0' && scheme.front() <= '9') &&
         std::ranges::all_of(
             scheme, [](char c) { return is_alnum(c) || c == '+' || c == '-' || c == '.'; }) &&
         std::ranges::all_of(
             uri, [](char c) { return is_alnum(c) || kMarks.find(c) != std::string_view::npos; });
}

bool is_email(std::string_view address) {
  static constexpr std::string_view kMarks = "!#$%&'*+-/=?^_`|~.";
  const std::size_t at = address.find('@');
  if (at == std::string_view::npos || at == 0 || at > 64) return false;
  return std::ranges::all_of(
             address.substr(0, at),
             [](char c) { return is_alnum(c) || kMarks.find(c) != std::string_view::npos; }) &&
         !address.ends_with('*') && is_host(address.substr(at + 1));
}

Bytes read_address(std::string_view text) {
  const std::string terminated{text};
  std::array<std::uint8_t, 16> octets{};
  if (inet_pton(AF_INET, terminated.c_str(), octets.data()) == 1)
    return {octets.begin(), octets.begin() + 4};
  if (inet_pton(AF_INET6, terminated.c_str(), octets.data()) == 1)
    return {octets.begin(), octets.end()};
  return {};
}

}  // namespace

std::variant<AltNamePattern, Refusal> AltNamePattern::parse(std::string_view pattern,
                                                            const MatterIds& ids) {
  const auto* rule = std::ranges::find_if(
      kKinds, [&](const KindRule& known) { return pattern.starts_with(known.prefix); });
  if (rule == kKinds.end())
    return alt_refusal(pattern, "begins with none of dns:, uri:, email:, ip: and hw:");
  AltNamePattern parsed;
  parsed.kind_ = rule->kind;
  std::string_view text = pattern.substr(rule->prefix.size());
  if (rule->kind == AltNameKind::HardwareModule) {
    const std::size_t colon = text.find(':');
    const std::string_view type = text.substr(0, colon);
    if (colon == std::string_view::npos || type.size() > 128 || !der::is_oid(type))
      return alt_refusal(pattern, "no OID of the hardware type, then a colon");
    parsed.hardware_type_ = der::oid(type);
    text.remove_prefix(colon + 1);
  }
  auto value = ValuePattern::parse(text, rule->prefix, ids);
  if (auto* refusal = std::get_if<Refusal>(&value)) return *refusal;
  parsed.value_ = std::get<ValuePattern>(std::move(value));
  if (parsed.kind_ == AltNameKind::Ip && !parsed.value_.is_fixed())
    return alt_refusal(pattern, "an address holds no placeholder");
  if (parsed.is_fixed()) {
    if (auto refusal = parsed.check_value(parsed.value_.fixed_text())) return *refusal;
  }
  if (parsed.kind_ == AltNameKind::Ip) parsed.address_ = read_address(parsed.value_.fixed_text());
  return parsed;
}

std::optional<Refusal> AltNamePattern::check_value(std::string_view value) const {
  if (value.empty() || value.size() > kMaxAltNameBytes) {
    return alt_refusal(value, fmt::format("must have 1 to {} characters", kMaxAltNameBytes));
  }
  bool sound = true;
  switch (kind_) {
    case AltNameKind::Dns:
      sound = is_host(value);
      break;
    case AltNameKind::Uri:
      sound = is_uri(value);
      break;
    case AltNameKind::Email:
      sound = is_email(value);
      break;
    case AltNameKind::Ip:
      sound = !read_address(value).empty();
      break;
    case AltNameKind::HardwareModule:
      sound = std::ranges::all_of(value, [](char c) { return c >= 0x20 && c < 0x7f; });
      break;
  }
  if (!sound) return alt_refusal(value, "not well-formed for its kind");
  return std::nullopt;
}

std::optional<Refusal> AltNamePattern::check(const SubjectFields& fields) const {
  std::string value;
  if (auto refusal = value_.render(fields, value)) return refusal;
  return check_value(value);
}

void AltNamePattern::append(Bytes& out, const SubjectFields& fields) const {
  const unsigned tag = kKinds[static_cast<std::size_t>(kind_)].tag;
  if (kind_ == AltNameKind::Ip) return der::append_tlv(out, der::context_primitive(tag), address_);
  std::string value;
  auto refusal = value_.render(fields, value);
  if (!refusal) refusal = check_value(value);
  if (refusal) throw to_error(*refusal);
  if (kind_ != AltNameKind::HardwareModule)
    return der::append_tlv(out, der::context_primitive(tag), as_bytes(value));
  const Bytes module = der::sequence({hardware_type_, der::octet_string(as_bytes(value))});
  const Bytes other = der::constructed(
      der::context_constructed(tag),
      {kOidHardwareModuleName, der::constructed(der::context_constructed(0), {module})});
  keyferry::append(out, other);
}

std::size_t AltNamePattern::max_bytes() const {
  constexpr std::size_t kHardwareModuleFrame = 4 * 4 + sizeof kOidHardwareModuleName;
  const std::size_t value =
      std::min(value_.fixed_text().size() + value_.max_placeholder_bytes(), kMaxAltNameBytes);
  if (kind_ == AltNameKind::HardwareModule)
    return value + 4 + hardware_type_.size() + kHardwareModuleFrame;
  return der::header_size(value) + value;
}

}  // namespace keyferry::x509
