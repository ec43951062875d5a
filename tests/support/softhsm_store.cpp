#include "tests/support/softhsm_store.h"

#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace keyferry::test_support {

namespace {

constexpr std::array kUsualPlaces{"/usr/lib/softhsm/libsofthsm2.so",
                                  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                                  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
                                  "/usr/lib64/pkcs11/libsofthsm2.so",
                                  "/usr/local/lib/softhsm/libsofthsm2.so"};

std::filesystem::path make_temporary_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "keyferry-softhsm-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw system_error(Code::Storage, "mkdtemp " + name, errno);
  return name;
}

}  // namespace

std::filesystem::path softhsm_module() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here changes that variable
  if (const char* const given = std::getenv("KEYFERRY_SOFTHSM_MODULE"); given != nullptr)
    return given;
  for (const char* const place : kUsualPlaces) {
    if (std::filesystem::exists(place)) return place;
  }
  throw Error{Code::NotFound, "no libsofthsm2.so on this machine", "install softhsm2"};
}

SecretBytes pin(std::string_view digits) {
  return SecretBytes::copy_of(as_bytes(digits));
}

SoftHsmFolder::SoftHsmFolder() : folder_{make_temporary_folder()} {
  std::filesystem::create_directory(tokens());
  std::ofstream{config()}
      << "directories.tokendir = " << tokens().string() << "\n"
      << "objectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n";
}

SoftHsmFolder::~SoftHsmFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

// The PINs of a test are no secrets, so they may stand in arguments here.
void SoftHsmFolder::init_token_outside(const std::string& label) const {
  ChildSpec spec;
  spec.program = "/usr/bin/softhsm2-util";
  spec.arguments = {"--init-token",
                    "--free",
                    "--label",
                    label,
                    "--pin",
                    std::string{kUserPin},
                    "--so-pin",
                    std::string{kSoPin}};
  spec.environment = {{"SOFTHSM2_CONF", config().string()}};
  Child child{spec};
  if (const int status = child.wait(); status != 0) {
    throw Error{Code::Hsm, fmt::format("softhsm2-util --init-token ended with {}", status)};
  }
}

SoftHsmStore::SoftHsmStore() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): before the module is loaded, and with it any thread
  setenv("SOFTHSM2_CONF", files_.config().c_str(), 1);
  module_ = std::make_unique<p11::Module>(softhsm_module());
}

SoftHsmStore& SoftHsmStore::shared() {
  static SoftHsmStore store;
  return store;
}

p11::TokenInfo SoftHsmStore::add_token(std::string_view label,
                                       std::string_view user_pin,
                                       std::string_view so_pin) {
  const auto slot = module_->uninitialised_slot();
  if (!slot) throw Error{Code::Hsm, "SoftHSM offers no free slot"};
  const p11::TokenInfo token = module_->init_token(*slot, pin(so_pin), label);
  p11::Session session{*module_, token.slot, p11::Access::ReadWrite};
  session.login_or_throw(p11::Role::SecurityOfficer, pin(so_pin));
  session.init_pin(pin(user_pin));
  session.logout();
  return module_->token_info(token.slot);
}

std::unique_ptr<p11::Session> SoftHsmStore::user_session(const p11::TokenInfo& token,
                                                         std::string_view user_pin) {
  auto session = std::make_unique<p11::Session>(*module_, token.slot, p11::Access::ReadWrite);
  session->login_or_throw(p11::Role::User, pin(user_pin));
  return session;
}

}  // namespace keyferry::test_support
