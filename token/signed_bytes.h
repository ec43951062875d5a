// What is signed travels as the bytes that were signed: verified as received, parsed second
// (style.md section 11).
#pragma once

#include <cstddef>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace keyferry::token {

inline constexpr std::size_t kMaxSignedPayloadBytes = 1U << 20;
inline constexpr std::size_t kMaxSignatures = 16;
inline constexpr std::size_t kMaxSignedBytes =
    kMaxSignedPayloadBytes + 4096;  // of the encoded form

struct PayloadSignature {
  KeyId key_id;
  Bytes signature;  // 64

  friend bool operator==(const PayloadSignature&, const PayloadSignature&) = default;
};

struct SignedBytes {
  Bytes payload;
  std::vector<PayloadSignature> signatures;

  friend bool operator==(const SignedBytes&, const SignedBytes&) = default;
};

/// Error{InvalidArgument} beyond the limits above.
[[nodiscard]] Bytes encode(const SignedBytes& value);

/// Refusals: "size", "protobuf", or the field that is wrong: "payload", "signatures" (none, or more
/// than 16), "key-id", "signature".
[[nodiscard]] std::variant<SignedBytes, Refusal> parse_signed_bytes(ByteView octets);

/// True when one of the signatures names `key` and verifies over (kind, payload).
[[nodiscard]] bool verify_signed(const SignedBytes& value,
                                 crypto::SignatureKind kind,
                                 const crypto::PublicKey& key);

/// One signature by `signer`.
[[nodiscard]] SignedBytes sign_payload(crypto::Signer& signer,
                                       crypto::SignatureKind kind,
                                       Bytes payload);

}  // namespace keyferry::token
