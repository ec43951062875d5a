// The station's identity: one key that signs (containers, log heads, the enrolment request) and one
// that agrees (what is sealed to this station). Both stay in the module.
//
//   role    label             uses    EXTRACTABLE SENSITIVE MODIFIABLE  mechanism     why
//   sign    kf-station-sign   SIGN    false       true      false       CKM_ECDSA     receipts' log
//   and containers agree   kf-station-agree  DERIVE  false       true      false       ECDH1_DERIVE
//   opens what the appliance seals
//
// Every login holds both keys against this table; drift is a refusal.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "station-agent/settings.h"
#include "wrap/base/secret_bytes.h"
#include "wrap/crypto/hpke.h"
#include "wrap/crypto/signing.h"

namespace keyferry::station {

class Identity {
 public:
  virtual ~Identity() = default;
  [[nodiscard]] virtual crypto::Signer& signer() = 0;
  [[nodiscard]] virtual crypto::DhPrivateKey& agreement() = 0;

 protected:
  Identity() = default;
  Identity(const Identity&) = default;
  Identity& operator=(const Identity&) = default;
};

/// What of an existing token may be replaced: a station that was never initialised leaves only
/// halves of its own.
enum class KeyCreation { Forbidden, WhereMissing, ReplaceHalves };

/// Logs in and holds the keys against the table; makes them where `creation` allows. Sets
/// SOFTHSM2_CONF for this process before the module is loaded. Error{Usage}: a provider that this
/// version does not have. Error{Refused}: wrong PIN, drift.
[[nodiscard]] std::unique_ptr<Identity> open_identity(const Settings& settings,
                                                      const SecretBytes& pin,
                                                      KeyCreation creation);

/// Makes the embedded store's token (random SO PIN, thrown away; `pin` as user PIN) unless it is
/// there already. A token without user PIN is the half of an `init` that was cut off, and is made
/// anew.
void make_embedded_token(const Home& home, const Settings& settings, const SecretBytes& pin);

}  // namespace keyferry::station
