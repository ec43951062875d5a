// One secure element that is a PKCS#11 token, as its helper process sees it: one module, one
// session, one login. Follows the facts of family `pkcs11`: unwrap only, attributes read back,
// CKA_ID searched before anything is written.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "station-agent/lane-p11/messages.h"
#include "wrap/p11/session.h"
#include "wrap/p11/uri.h"

namespace keyferry::lane_p11 {

/// Every call answers with a reply; p11::Pkcs11Error leaves only when the device is lost.
class Device {
 public:
  /// `store`: folder of a software module that never syncs what it writes; synced before a write is
  /// called done.
  Device(const p11::Uri& uri, std::optional<std::filesystem::path> store);

  [[nodiscard]] Reply open();
  [[nodiscard]] Reply answer(const Ask& ask);
  [[nodiscard]] Reply answer(const Inject& inject);
  [[nodiscard]] Reply answer(const WriteChain& chain);
  [[nodiscard]] Reply answer(const ReadChain& chain);
  [[nodiscard]] Reply answer(const Sign& sign);

 private:
  struct Transport {
    p11::ObjectHandle key;
    std::optional<p11::Mechanism> mechanism;  // nothing: to be found by trying
  };

  [[nodiscard]] std::vector<p11::ObjectHandle> private_keys(const KeyHandle& handle);
  [[nodiscard]] std::vector<Transport> transport_keys();
  [[nodiscard]] std::optional<Transport> transport_for(const std::string& key_name);
  [[nodiscard]] std::optional<std::string> write_certificate(ByteView id,
                                                             const std::string& label,
                                                             ByteView der);
  [[nodiscard]] std::vector<Bytes> certificates(ByteView id);
  void sync_store() const;

  p11::Uri uri_;
  std::optional<std::filesystem::path> store_;
  std::unique_ptr<p11::Module> module_;
  std::unique_ptr<p11::Session> session_;
};

}  // namespace keyferry::lane_p11
