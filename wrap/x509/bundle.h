// What CAs give back: one DER certificate; PEM with one or several certificates and text between
// them, as `openssl` and `openssl ca` write it; or PKCS#7 (RFC 2315; certs-only, RFC 5652
// SignedData) in DER, BER or PEM, labelled PKCS7, CMS or (as some CAs do) CERTIFICATE. The
// certificates themselves are not looked into.
#pragma once

#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxBundleBytes =
    16U * 1024 * 1024;  ///< read_certificates: of the file
inline constexpr std::size_t kMaxBundleCertificates =
    16U * 1024;  ///< read_certificates; and of one PKCS#7
/// One PKCS#7, also inside a longer bundle: libcrypto makes objects of all of it, which take many
/// times its octets. Enough for 8,000 usual certificates.
inline constexpr std::size_t kMaxPkcs7Bytes = 4U * 1024 * 1024;

/// A bundle of any length in memory that does not grow with it (but for one PKCS#7, bounded above):
/// feed() the file in pieces, then finish(). A refusal ends the reading; the same one is then given
/// again.
class BundleReader {
 public:
  /// Called with the DER of each certificate in the file's order, 1 to 16,384 octets; what it
  /// refuses ends the reading.
  using Visitor = std::function<std::optional<Refusal>(ByteView certificate)>;

  explicit BundleReader(Visitor visit);

  /// Refusals: "pem" (another kind of block, no end, no base64), "certificate-size", "pkcs7"
  /// (malformed, no certificate in it, or more than kMaxBundleCertificates), and the visitor's.
  [[nodiscard]] std::optional<Refusal> feed(ByteView piece);

  /// As feed(); "pem" when there was no certificate at all, or a block without its end.
  [[nodiscard]] std::optional<Refusal> finish();

 private:
  enum class State { Begin, Binary, Between, Inside };

  [[nodiscard]] std::optional<Refusal> take_line(std::string_view line);
  [[nodiscard]] std::optional<Refusal> take_object(ByteView der,
                                                   bool may_be_certificate,
                                                   bool may_be_pkcs7);

  Visitor visit_;
  State state_ = State::Begin;
  Bytes binary_;
  std::string line_;
  std::string label_;
  std::string base64_;
  std::size_t count_ = 0;
  std::optional<Refusal> refusal_;
};

/// Certificates of a whole file, in its order; at least one. Refusals: those of BundleReader, and
/// "bundle-size" above the limits of this header (use a BundleReader for such a file).
[[nodiscard]] std::variant<std::vector<Bytes>, Refusal> read_certificates(ByteView file);

}  // namespace keyferry::x509
