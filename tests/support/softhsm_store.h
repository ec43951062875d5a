// SoftHSM stores in temporary folders: real modules for tests, never the machine's own store.
//
// SoftHSM reads its configuration once per process. So a test program that speaks to it itself has
// one SoftHsmStore for its whole run (SoftHsmStore::shared()); stores for programs that a test
// starts are SoftHsmFolders.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "wrap/base/secret_bytes.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"

namespace keyferry::test_support {

inline constexpr std::string_view kUserPin = "1234567";
inline constexpr std::string_view kSoPin = "87654321";

/// The SoftHSM library of this machine: KEYFERRY_SOFTHSM_MODULE, or where distributions put it.
/// Throws when absent.
[[nodiscard]] std::filesystem::path softhsm_module();

[[nodiscard]] SecretBytes pin(std::string_view digits);

/// A temporary folder with softhsm2.conf and an empty tokens/; removed with everything in it by the
/// destructor.
class SoftHsmFolder {
 public:
  SoftHsmFolder();
  ~SoftHsmFolder();
  SoftHsmFolder(const SoftHsmFolder&) = delete;
  SoftHsmFolder& operator=(const SoftHsmFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }

  /// Value for SOFTHSM2_CONF of a program that is started.
  [[nodiscard]] std::filesystem::path config() const { return folder_ / "softhsm2.conf"; }

  [[nodiscard]] std::filesystem::path tokens() const { return folder_ / "tokens"; }

  /// Initialises a token without loading the module into this process (softhsm2-util in a child).
  void init_token_outside(const std::string& label) const;

 private:
  std::filesystem::path folder_;
};

/// A store that this process itself has loaded. One per process.
class SoftHsmStore {
 public:
  /// Sets SOFTHSM2_CONF and loads the module.
  SoftHsmStore();

  /// Made at the first call, removed at exit.
  [[nodiscard]] static SoftHsmStore& shared();

  [[nodiscard]] const SoftHsmFolder& files() const { return files_; }

  [[nodiscard]] p11::Module& module() { return *module_; }

  /// A new token with kUserPin and kSoPin (or others); nobody is logged in afterwards.
  p11::TokenInfo add_token(std::string_view label,
                           std::string_view user_pin = kUserPin,
                           std::string_view so_pin = kSoPin);

  /// A new ReadWrite session, logged in as user.
  [[nodiscard]] std::unique_ptr<p11::Session> user_session(const p11::TokenInfo& token,
                                                           std::string_view user_pin = kUserPin);

 private:
  SoftHsmFolder files_;  // outlives the module
  std::unique_ptr<p11::Module> module_;
};

}  // namespace keyferry::test_support
