#include "tests/vse/kdf1.h"

#include <algorithm>

#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::vse {

Bytes kf_kdf_1_blocks(const TransportKeyInput& input) {
  Bytes message = to_bytes(as_bytes("keyferry/v1/tk"));
  message.push_back(0x00);
  for (const std::string& text : {input.master, input.family, input.part, input.key_name}) {
    append_u16be_prefixed(message, as_bytes(text));
  }
  Bytes generation;
  append_u32be(generation, input.generation);
  append_u16be_prefixed(message, generation);
  append_u16be_prefixed(message, input.serial);
  const Digest digest = crypto::sha256(message);
  Bytes blocks;
  for (const std::uint8_t number : {std::uint8_t{1}, std::uint8_t{2}}) {
    blocks.push_back(number);
    append(blocks, digest.bytes().first(15));
  }
  return blocks;
}

Bytes pkcs11_serial(std::string_view serial_number) {
  while (!serial_number.empty() && serial_number.back() == ' ') serial_number.remove_suffix(1);
  const bool plain =
      std::ranges::all_of(serial_number, [](char c) { return c >= 0x20 && c < 0x7f; });
  if (serial_number.empty() || serial_number.size() > 16 || serial_number.front() == ' ' ||
      !plain) {
    throw Error{Code::Hsm,
                "a token with the serial \"" + printable(serial_number) + "\" cannot be an SE",
                "serials of family pkcs11 are 1 to 16 printable ASCII characters"};
  }
  return to_bytes(as_bytes(serial_number));
}

}  // namespace keyferry::vse
