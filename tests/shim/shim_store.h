// SoftHSM behind the shim, for test programs that load nothing else: SoftHSM is initialised once
// per process, so such a program has no SoftHsmStore.
#pragma once

#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/softhsm_store.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"

namespace keyferry::test_support {

class ShimStore {
 public:
  static ShimStore& shared() {
    static ShimStore store;
    return store;
  }

  [[nodiscard]] static std::filesystem::path shim() {
    return std::filesystem::path{KEYFERRY_BIN_DIR} / "keyferry-p11-shim.so";
  }

  [[nodiscard]] std::filesystem::path folder() const { return files_.folder(); }

  /// The module under `script`. One at a time.
  [[nodiscard]] std::unique_ptr<p11::Module> load(std::string_view script) {
    std::ofstream{script_path(), std::ios::trunc} << script;
    return std::make_unique<p11::Module>(shim());
  }

  [[nodiscard]] static std::unique_ptr<p11::Session> open(p11::Module& module) {
    p11::Uri uri;
    uri.token = "behind-the-shim";
    const p11::TokenInfo token = module.find_token(uri);
    return std::make_unique<p11::Session>(module, token.slot, p11::Access::ReadWrite);
  }

  [[nodiscard]] static std::unique_ptr<p11::Session> log_in(p11::Module& module) {
    auto session = open(module);
    session->login_or_throw(p11::Role::User, pin(kUserPin));
    return session;
  }

 private:
  ShimStore() {
    // NOLINTBEGIN(concurrency-mt-unsafe): before the module is loaded, and with it any thread
    setenv("SOFTHSM2_CONF", files_.config().c_str(), 1);
    setenv("KEYFERRY_SHIM_MODULE", softhsm_module().c_str(), 1);
    setenv("KEYFERRY_SHIM_SCRIPT", script_path().c_str(), 1);
    // NOLINTEND(concurrency-mt-unsafe)
    files_.init_token_outside("behind-the-shim");
  }

  [[nodiscard]] std::filesystem::path script_path() const { return files_.folder() / "script"; }

  SoftHsmFolder files_;
};

}  // namespace keyferry::test_support
