// How a vendor wraps a transport key, or how officers bring a key in: the mechanism of a
// kf-vendor/NAME key.
#pragma once

#include <optional>
#include <string_view>

#include "wrap/base/error.h"
#include "wrap/crypto/oaep.h"
#include "wrap/p11/probe.h"

namespace keyferry::se {

enum class Delivery {
  AesKwp,         // RFC 5649 under an AES-256 vendor key
  RsaOaepSha1,    // RFC 8017 under an RSA vendor key
  RsaOaepSha256,  // the same with SHA-256
};

/// "aes-kwp", "rsa-oaep-sha1", "rsa-oaep-sha256".
[[nodiscard]] std::string_view delivery_name(Delivery delivery);
[[nodiscard]] std::optional<Delivery> delivery_from_name(std::string_view name);

/// The hash of OAEP; nothing for AES-KWP.
[[nodiscard]] std::optional<crypto::OaepHash> oaep_hash(Delivery delivery);

/// The mechanism of the vendor key (CKA_ALLOWED_MECHANISMS). Error{Hsm} when the module has no KWP.
[[nodiscard]] p11::Mechanism delivery_mechanism(Delivery delivery, const p11::ProbeResult& facts);

/// Nothing when a thorough probe saw the module open such a blob; refusal `hsm-no-delivery`
/// otherwise. For OAEP a probe that was not thorough proves nothing and is refused too.
[[nodiscard]] std::optional<Refusal> check_delivery(Delivery delivery,
                                                    const p11::ProbeResult& facts);

}  // namespace keyferry::se
