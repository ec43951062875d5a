// A logged-in session on SoftHSM behind the shim, under a script of the test's own.
#pragma once

#include <gtest/gtest.h>

#include "tests/shim/shim_store.h"
#include "wrap/base/error.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/error.h"
#include "wrap/p11/probe.h"

namespace keyferry::p11 {

class BehindTheShim : public ::testing::Test {
 protected:
  void TearDown() override { unload(); }

  Session& load(std::string_view script) {
    unload();
    module_ = test_support::ShimStore::shared().load(script);
    session_ = test_support::ShimStore::log_in(*module_);
    return *session_;
  }

  void unload() {
    session_.reset();
    module_.reset();
  }

  Session& session() { return *session_; }

  Module& module() { return *module_; }

  /// Closes the session of load(), as a worker does before it opens a new one.
  void drop_session() { session_.reset(); }

  static std::filesystem::path file(std::string_view name) {
    return test_support::ShimStore::shared().folder() / name;
  }

  static Template aes() {
    return Template{}
        .object_class(ObjectClass::SecretKey)
        .key_type(KeyType::Aes)
        .value_len(32)
        .token(false)
        .private_(true)
        .sensitive(true)
        .extractable(false);
  }

  static Key labelled(Session& session, std::string_view label) {
    return session.generate_aes(aes().label(label).encrypt(true));
  }

  template <typename Call>
  static std::string rv_of(const Call& call) {
    try {
      call();
    } catch (const Pkcs11Error& error) {
      return rv_name(error.rv());
    }
    return "CKR_OK";
  }

  static std::string reasons(const ProbeResult& result) {
    std::string text;
    for (const Refusal& refusal : result.missing)
      text += (text.empty() ? "" : " ") + refusal.reason;
    return text;
  }

 private:
  std::unique_ptr<Module> module_;
  std::unique_ptr<Session> session_;
};

}  // namespace keyferry::p11
