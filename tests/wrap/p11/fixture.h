// A logged-in session on a token of its own for each test program, and templates that several tests
// need.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "tests/support/softhsm_store.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/error.h"
#include "wrap/p11/session.h"

namespace keyferry::p11 {

class OnToken : public ::testing::Test {
 protected:
  static test_support::SoftHsmStore& store() { return test_support::SoftHsmStore::shared(); }

  /// The token of this test program.
  static const TokenInfo& token() {
    static const TokenInfo made = store().add_token("keyferry-test");
    return made;
  }

  Session& session() { return *session_; }

  static Template aes(bool sensitive, bool extractable) {
    return Template{}
        .object_class(ObjectClass::SecretKey)
        .key_type(KeyType::Aes)
        .token(false)
        .private_(true)
        .sensitive(sensitive)
        .extractable(extractable);
  }

  static Template p256_public() {
    return Template{}
        .object_class(ObjectClass::PublicKey)
        .key_type(KeyType::Ec)
        .token(false)
        .verify(true)
        .p256();
  }

  static Template p256_private(bool extractable) {
    return Template{}
        .object_class(ObjectClass::PrivateKey)
        .key_type(KeyType::Ec)
        .token(false)
        .private_(true)
        .sensitive(true)
        .extractable(extractable)
        .sign(true);
  }

  static SecretBytes counting(std::size_t size_bytes) {
    SecretBytes octets{size_bytes};
    std::uint8_t next = 0;
    for (std::uint8_t& octet : octets.expose_writable()) octet = next++;
    return octets;
  }

  /// The name of the value that `call` failed with; "CKR_OK" when it did not.
  template <typename Call>
  static std::string rv_of(const Call& call) {
    try {
      call();
    } catch (const Pkcs11Error& error) {
      return rv_name(error.rv());
    }
    return "CKR_OK";
  }

 private:
  std::unique_ptr<Session> session_ = store().user_session(token());
};

}  // namespace keyferry::p11
