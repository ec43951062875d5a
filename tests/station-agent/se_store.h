// Secure elements for tests: one SoftHSM store each, personalised as se/pkcs11-token.md says.
// SoftHSM reads its configuration once per process, so everything that touches one of them runs in
// a child.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "wrap/base/ids.h"
#include "wrap/p11/session.h"

namespace keyferry::station::test {

struct SeStore {
  std::filesystem::path folder;
  SeSerial serial;
  Bytes transport_key;  // 32

  [[nodiscard]] std::filesystem::path conf() const { return folder / "softhsm2.conf"; }

  [[nodiscard]] std::string uri() const;
};

enum class Prepared { Yes, No };

/// A token with PIN file and, if prepared, a transport key that may only unwrap.
[[nodiscard]] SeStore make_se(const std::filesystem::path& folder,
                              Prepared prepared = Prepared::Yes);

/// What `body` says about the SE, from a session that is logged in.
[[nodiscard]] std::string ask_se(const SeStore& se,
                                 const std::function<std::string(p11::Session&)>& body);

[[nodiscard]] int private_keys_on(const SeStore& se);
[[nodiscard]] int certificates_on(const SeStore& se);
void put_foreign_key(const SeStore& se);

}  // namespace keyferry::station::test
