#include "wrap/x509/serial.h"

#include <algorithm>

#include "wrap/base/error.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {

CertificateSerial make_serial(RandomSource& random) {
  constexpr int kDraws = 4;
  for (int i = 0; i < kDraws; ++i) {
    const auto serial = random.id<CertificateSerial>();
    if (is_our_serial(serial)) return serial;
  }
  throw Error{Code::Internal, "the source of random numbers gives nothing but zeros"};
}

bool is_our_serial(const CertificateSerial& serial) {
  return std::ranges::any_of(serial.bytes(), [](std::uint8_t octet) { return octet != 0; });
}

CertificateSerial longest_serial() {
  return *CertificateSerial::from_bytes(Bytes(CertificateSerial::kSizeBytes, 0xff));
}

SerialContent::SerialContent(const CertificateSerial& serial) {
  std::ranges::copy(serial.bytes(), octets_.begin() + 1);
  while (first_ + 1 < octets_.size() && octets_.at(first_) == 0) ++first_;
  if (octets_.at(first_) >= 0x80) --first_;  // what is before it is zero
}

std::optional<Bytes> stored_serial(ByteView unsigned_big_endian) {
  if (unsigned_big_endian.empty()) return std::nullopt;
  while (!unsigned_big_endian.empty() && unsigned_big_endian.front() == 0)
    unsigned_big_endian = unsigned_big_endian.subspan(1);
  if (unsigned_big_endian.size() > kMaxSerialBytes) return std::nullopt;
  Bytes stored;
  if (unsigned_big_endian.size() < CertificateSerial::kSizeBytes)
    stored.resize(CertificateSerial::kSizeBytes - unsigned_big_endian.size());
  append(stored, unsigned_big_endian);
  return stored;
}

std::optional<CertificateSerial> serial_from_content(ByteView content) {
  if (!der::is_shortest_integer(content) || content.front() >= 0x80) return std::nullopt;
  const auto stored = stored_serial(content);
  const auto serial = stored ? CertificateSerial::from_bytes(*stored) : std::nullopt;
  return serial && is_our_serial(*serial) ? serial : std::nullopt;
}

}  // namespace keyferry::x509
