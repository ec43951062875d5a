// Patterns of subject alternative names (RFC 5280 4.2.1.6): KIND:TEXT, where TEXT may hold the
// placeholders of pattern.h but for ip.
//   dns:{device_serial}.devices.example  dNSName; letters, digits, hyphens, dots, `*` as first label
//   uri:urn:acme:{se_serial}             uniformResourceIdentifier; RFC 3986, with a scheme
//   email:{device_serial}@acme.example   rfc822Name
//   ip:192.0.2.1 or ip:2001:db8::1       iPAddress
//   hw:1.3.6.1.4.1.99999.1:{se_serial}   otherName id-on-hardwareModuleName (RFC 4108 section 5):
//                                        the hardware's type as OID, then its serial, whose text's
//                                        octets are the hwSerialNum
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "wrap/x509/pattern.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxAltNames = 8;
inline constexpr std::size_t kMaxAltNameBytes = 255;  ///< of one value

enum class AltNameKind : std::uint8_t { Dns, Uri, Email, Ip, HardwareModule };

class AltNamePattern {
 public:
  /// Refusals: "alt-name" (kind, characters, bounds), "subject-pattern" (placeholders).
  [[nodiscard]] static std::variant<AltNamePattern, Refusal> parse(std::string_view pattern,
                                                                   const MatterIds& ids = {});

  [[nodiscard]] AltNameKind kind() const { return kind_; }

  [[nodiscard]] bool uses(Placeholder placeholder) const { return value_.uses(placeholder); }

  [[nodiscard]] bool is_fixed() const { return value_.is_fixed(); }

  /// Nothing if this entry's name can be made. Refusals: "device-serial-missing", "alt-name".
  [[nodiscard]] std::optional<Refusal> check(const SubjectFields& fields) const;

  /// Appends the DER GeneralName. What check() refuses throws Error{Refused}.
  void append(Bytes& out, const SubjectFields& fields) const;

  [[nodiscard]] std::size_t max_bytes() const;

 private:
  [[nodiscard]] std::optional<Refusal> check_value(std::string_view value) const;

  AltNameKind kind_ = AltNameKind::Dns;
  ValuePattern value_;
  Bytes hardware_type_;  // DER OID
  Bytes address_;        // 4 or 16 octets
};

}  // namespace keyferry::x509
