// Certification requests (PKCS#10, RFC 2986) to an outside CA, with P-256 keys and
// ecdsa-with-SHA256. Signing is somebody else's: sign SHA-256 of the to-be-signed part and
// assemble() both (certificate_builder.h).
//
// The wanted extensions travel in the attribute extensionRequest (RFC 2985 5.4.2):
// basicConstraints, keyUsage and what the template has of extendedKeyUsage, policies, alternative
// names and further ones. Key identifiers are the CA's.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/template.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxRequestBytes = 16U * 1024;
inline constexpr std::string_view kPemRequest = "CERTIFICATE REQUEST";  // RFC 7468 section 7

/// Requests of one template; its issuer and validity are not used. Several threads may use one at
/// the same time.
class RequestBuilder {
 public:
  /// Error{Refused} when check_template refuses.
  explicit RequestBuilder(const DeviceTemplate& device_template);

  /// Nothing if this entry's request can be made. Refusals: as CertificateBuilder::check.
  [[nodiscard]] std::optional<Refusal> check(const SubjectFields& fields) const;

  /// DER CertificationRequestInfo. Error{Refused} for what check() refuses.
  [[nodiscard]] Bytes to_be_signed(const SubjectFields& fields, const crypto::PublicKey& key) const;

 private:
  SubjectPattern pattern_;
  std::vector<AltNamePattern> alt_names_;
  Bytes usages_;
  Bytes extra_;
};

/// DER CertificationRequestInfo for a CA of ours that an outside CA (a PAA, a root) certifies:
/// basicConstraints and keyUsage as ca_to_be_signed has them. Error{Refused}: what validate(spec)
/// refuses.
[[nodiscard]] Bytes ca_request_to_be_signed(const CaSpec& spec, const crypto::PublicKey& key);

struct RequestedExtension {
  std::string oid;  ///< dotted
  bool critical = false;
  Bytes value;

  friend bool operator==(const RequestedExtension&, const RequestedExtension&) = default;
};

struct RequestFacts {
  std::string subject;  ///< as in CertificateFacts
  Bytes subject_name;   ///< DER Name
  crypto::PublicKey key;
  std::vector<RequestedExtension> extensions;  ///< in their order, at most 32
  Bytes tbs;                                   ///< DER CertificationRequestInfo, as received
  Digest sha256;                               ///< of the whole request
};

/// A request from outside, its signature verified. Refusals: "request-size" (empty, above 16 KiB),
/// "request-malformed", "request-profile" (another key type or algorithm), "request-signature".
[[nodiscard]] std::variant<RequestFacts, Refusal> parse_request(ByteView der);

/// Longest file that is_request_file takes for a request: PEM of the longest one, with some text.
inline constexpr std::size_t kMaxRequestFileBytes = 32U * 1024;

/// Whether a file is requests and nothing else: PEM whose blocks are all labelled kPemRequest, or
/// DER that parse_request takes. By content, so that nothing rests on a file's name.
[[nodiscard]] bool is_request_file(ByteView file);

}  // namespace keyferry::x509
