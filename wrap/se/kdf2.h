// kf-kdf-2: SP 800-108 counter mode with CMAC-AES (FORMAT.md section 4), as software computes it:
// what a silicon vendor does, and what tests and the probe hold an HSM against.
#pragma once

#include "wrap/base/bytes.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry::se {

/// NIST SP 800-108r1 section 4.1, r = 32: block i = CMAC(master, u32be i, input, u32be L), L the
/// key's bits; leading octets. master: 16, 24 or 32 octets; key_size_bytes: 16 to 64; else
/// Error{InvalidArgument}. `input`: kdf_input(), which is label, zero octet, context.
[[nodiscard]] SecretBytes kf_kdf_2(const SecretBytes& master,
                                   ByteView input,
                                   std::size_t key_size_bytes);

}  // namespace keyferry::se
