#include "wrap/se/pkcs8.h"

#include <algorithm>
#include <array>
#include <optional>

namespace keyferry::se {

namespace {

constexpr std::size_t kScalarBytes = 32;
constexpr std::size_t kMaxPaddingBytes = 7;
constexpr std::uint8_t kSequence = 0x30;
constexpr std::uint8_t kOctetString = 0x04;
constexpr std::uint8_t kParameters = 0xA0;  // RFC 5915 section 3: [0] and [1], both optional
constexpr std::uint8_t kPublicKey = 0xA1;

// version 0, then AlgorithmIdentifier { id-ecPublicKey, prime256v1 }
constexpr std::array<std::uint8_t, 24> kVersionAndAlgorithm{
    0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D,
    0x02, 0x01, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
constexpr std::array<std::uint8_t, 3> kVersionOne{0x02, 0x01, 0x01};
constexpr std::array<std::uint8_t, 10> kPrime256v1{
    0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
// BIT STRING of 66 octets: no unused bits, then the point
constexpr std::array<std::uint8_t, 4> kPointHead{0x03, 0x42, 0x00, 0x04};
constexpr std::size_t kPointBitStringBytes = 68;

/// Reads DER from the front. Lengths below 256 are all that a P-256 key needs.
class Reader {
 public:
  explicit Reader(ByteView octets) : rest_{octets} {}

  [[nodiscard]] ByteView rest() const { return rest_; }

  [[nodiscard]] std::optional<ByteView> element(std::uint8_t tag) {
    if (rest_.size() < 2 || rest_[0] != tag) return std::nullopt;
    std::size_t header = 2;
    std::size_t length = rest_[1];
    if (length == 0x81) {
      if (rest_.size() < 3 || rest_[2] < 0x80) return std::nullopt;  // DER: shortest form only
      header = 3;
      length = rest_[2];
    } else if (length >= 0x80) {
      return std::nullopt;
    }
    if (rest_.size() - header < length) return std::nullopt;
    const ByteView content = rest_.subspan(header, length);
    rest_ = rest_.subspan(header + length);
    return content;
  }

  [[nodiscard]] bool expect(ByteView octets) {
    if (rest_.size() < octets.size() || !equal(rest_.first(octets.size()), octets)) return false;
    rest_ = rest_.subspan(octets.size());
    return true;
  }

 private:
  ByteView rest_;
};

struct Found {
  std::size_t size_bytes;
  ByteView scalar;
};

bool optional_parts_fit(Reader& key) {
  if (const auto parameters = key.element(kParameters);
      parameters && !equal(*parameters, kPrime256v1))
    return false;
  if (const auto point = key.element(kPublicKey)) {
    if (point->size() != kPointBitStringBytes ||
        !equal(point->first(kPointHead.size()), kPointHead))
      return false;
  }
  return key.rest().empty();
}

std::optional<Found> find(ByteView plain) {
  Reader outer{plain};
  const auto info = outer.element(kSequence);
  const ByteView padding = outer.rest();
  if (!info || padding.size() > kMaxPaddingBytes ||
      !std::ranges::all_of(padding, [](std::uint8_t octet) { return octet == 0; })) {
    return std::nullopt;
  }
  Reader fields{*info};
  if (!fields.expect(kVersionAndAlgorithm)) return std::nullopt;
  const auto wrapped = fields.element(kOctetString);
  if (!wrapped || !fields.rest().empty()) return std::nullopt;
  Reader inner{*wrapped};
  const auto ec_key = inner.element(kSequence);
  if (!ec_key || !inner.rest().empty()) return std::nullopt;
  Reader key{*ec_key};
  if (!key.expect(kVersionOne)) return std::nullopt;
  const auto scalar = key.element(kOctetString);
  if (!scalar || scalar->size() != kScalarBytes || !optional_parts_fit(key)) return std::nullopt;
  return Found{plain.size() - padding.size(), *scalar};
}

Refusal refusal() {
  return {"wrapped-plaintext",
          "the unwrapped key is no PKCS#8 P-256 key with at most 7 zero octets behind it"};
}

}  // namespace

std::variant<std::size_t, Refusal> check_wrapped_plaintext(ByteView plain) {
  const auto found = find(plain);
  if (!found) return refusal();
  return found->size_bytes;
}

SecretBytes scalar_in_wrapped_plaintext(ByteView plain) {
  const auto found = find(plain);
  if (!found) throw to_error(refusal());
  return SecretBytes::copy_of(found->scalar);
}

}  // namespace keyferry::se
