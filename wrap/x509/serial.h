// Serial numbers of the certificates that we issue (RFC 5280 4.1.2.2): 128 random bits read as one
// unsigned big-endian number, never zero. Ledger, log and screens hold all 16 octets; the INTEGER of
// a certificate holds the number in shortest form: leading zero octets left out, and 00 before a top
// bit, so 1 to 17 octets. Certificates of earlier versions begin with the bits 01 and are among them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"
#include "wrap/base/random.h"

namespace keyferry::x509 {

using CertificateSerial = BytesId<struct CertificateSerialTag, 16>;

inline constexpr std::size_t kMaxSerialBytes = 20;  ///< of anyone's INTEGER, RFC 5280 4.1.2.2
inline constexpr std::size_t kMaxOurSerialBytes = CertificateSerial::kSizeBytes + 1;

/// 128 random bits; zero is drawn again. Error{Internal} from a source that gives nothing else.
[[nodiscard]] CertificateSerial make_serial(RandomSource& random);

/// False for zero, which is not positive.
[[nodiscard]] bool is_our_serial(const CertificateSerial& serial);

/// One that is as long in DER as any can be, to know a certificate's size before it is made.
[[nodiscard]] CertificateSerial longest_serial();

/// Content of the INTEGER that a certificate with this serial has.
class SerialContent {
 public:
  explicit SerialContent(const CertificateSerial& serial);

  [[nodiscard]] ByteView view() const { return ByteView{octets_}.subspan(first_); }

 private:
  std::array<std::uint8_t, kMaxOurSerialBytes> octets_{};  // the first stays zero
  std::size_t first_ = 1;
};

/// The number as it is stored and shown, from an INTEGER's content or from what a person typed:
/// leading zero octets dropped, then filled up with them to 16 octets; an outside CA's may have up to
/// 20. Nothing for an empty or a longer one.
[[nodiscard]] std::optional<Bytes> stored_serial(ByteView unsigned_big_endian);

/// The serial that a certificate's INTEGER content stands for; nothing when it can be none of ours:
/// negative, zero, not in shortest form, or above 128 bits.
[[nodiscard]] std::optional<CertificateSerial> serial_from_content(ByteView content);

}  // namespace keyferry::x509
