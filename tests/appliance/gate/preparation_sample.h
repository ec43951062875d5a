// An order for blank ATECC608 chips as officers would approve it.
#pragma once

#include <botan/auto_rng.h>
#include <botan/rsa.h>
#include <botan/x509_key.h>

#include "appliance/plan/plan.h"
#include "tests/wrap/se/atecc608_example.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance::test {

/// One RSA key for all tests: making it takes longer than they do.
inline const Bytes& sample_vendor_key() {
  static const Bytes spki = [] {
    Botan::AutoSeeded_RNG rng;
    const Botan::RSA_PrivateKey key{rng, 2048};
    const auto der = Botan::X509::BER_encode(key);
    return Bytes{der.begin(), der.end()};
  }();
  return spki;
}

inline SePreparePlan sample_preparation() {
  return {.preparer = "room-1",
          .part = "ATECC608B",
          .lot = "L7",
          .key_name = "dac",
          .count = 5,
          .vendor = "room",
          .mechanism = "rsa-oaep-sha1",
          .vendor_public_key = sample_vendor_key(),
          .secure_boot_key = to_bytes(crypto::SoftKey::generate().public_key().point()),
          .profile = se::example_profile()};
}

}  // namespace keyferry::appliance::test
