// The secure room: the one place where the appliance's HSM and the chips are on one table. In the
// world it is a ceremony of the officers, or the silicon vendor's own HSM that was given the
// master; here it is a program that reads transport keys out of SoftHSM. Nothing of the product
// does that: its derived keys stay inside (I1).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "tests/vse/kdf1.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"
#include "wrap/p11/uri.h"

namespace keyferry::vse {

/// What of gate.toml says how the appliance's HSM is reached: [hsm] uri and [hsm.environment].
struct ApplianceHsm {
  p11::Uri uri;
  std::map<std::string, std::string> environment;
};

/// Error{Usage} when the file is not TOML, or its URI is missing, no PKCS#11 URI, or without
/// module-path.
[[nodiscard]] ApplianceHsm read_gate_settings(const std::filesystem::path& file);

/// The transport key (32 octets) of one chip, derived in the module and read out. The session is
/// logged in. Error{Hsm} when the module does not let it be read: then these stand-ins cannot be
/// personalised.
[[nodiscard]] SecretBytes derive_transport_key(p11::Session& session,
                                               p11::ObjectHandle master,
                                               const TransportKeyInput& input);

/// 16 octets that tell transport keys apart: AES-CMAC of a zero block.
[[nodiscard]] Bytes check_value(const SecretBytes& transport_key);

/// Where chips get their transport keys.
class KeyRoom {
 public:
  virtual ~KeyRoom() = default;

  /// NAME of kf-tk/NAME or kf-vendor/NAME.
  [[nodiscard]] virtual const std::string& master() const = 0;

  /// `serial`: normal form.
  [[nodiscard]] virtual SecretBytes transport_key(const std::string& part,
                                                  const std::string& key_name,
                                                  const Bytes& serial) = 0;
};

/// A login to the appliance's HSM with one master.
class SecureRoom final : public KeyRoom {
 public:
  /// Sets the environment of this process as gate.toml says: before any thread starts, and not in a
  /// process that has loaded the same module already. Error{NotFound}: no token, or no
  /// kf-tk/`master` in it. Error{Refused}: wrong PIN.
  SecureRoom(const ApplianceHsm& hsm,
             const SecretBytes& pin,
             std::string master,
             std::string family = "pkcs11");

  [[nodiscard]] const std::string& master() const override { return master_; }

  [[nodiscard]] SecretBytes transport_key(const std::string& part,
                                          const std::string& key_name,
                                          const Bytes& serial) override;

 private:
  std::string master_;
  std::string family_;
  std::unique_ptr<p11::Module> module_;
  std::unique_ptr<p11::Session> session_;
  p11::ObjectHandle handle_;
};

}  // namespace keyferry::vse
