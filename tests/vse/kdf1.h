// kf-kdf-1 as a silicon vendor would compute it, written from the published text (FORMAT.md) and
// not from the appliance's code: a mistake in one of the two shows as a key that does not open.
#pragma once

#include <cstdint>
#include <string>

#include "wrap/base/bytes.h"

namespace keyferry::vse {

/// Everything that a derived transport key depends on, besides its master.
struct TransportKeyInput {
  std::string master;  // NAME of kf-tk/NAME
  std::string family = "pkcs11";
  std::string part;
  std::string key_name = "dac";
  std::uint32_t generation = 1;
  Bytes serial;  // normal form of the family
};

/// Two blocks of 16 octets, for the AES-256 transport keys of family pkcs11. Block i is the octet
/// i, then the first 15 octets of SHA-256("keyferry/v1/tk", 0x00, then each with u16be length:
/// master, family, part, key name, generation as u32be, serial). The key is the two blocks, each
/// encrypted under the master (AES-256, ECB).
[[nodiscard]] Bytes kf_kdf_1_blocks(const TransportKeyInput& input);

/// Normal form of a pkcs11 serial: the serialNumber of the token's info without its trailing
/// blanks, as ASCII octets. Error{Hsm} when nothing is left, or when an octet is not printable
/// ASCII.
[[nodiscard]] Bytes pkcs11_serial(std::string_view serial_number);

}  // namespace keyferry::vse
