// One blank ATECC608 becomes a chip for batches: configuration written and locked, attestation key
// made and locked, secure-boot key, a random transport key that exists in this process's locked
// memory for one chip only and leaves it under the vendor key, everything locked, the key proved,
// and a signed receipt. Facts: se/atecc608.md, sections 2, 4 and 6.2.
//
// A cut anywhere: the same call again goes on where the chip and the journal say, or sets the chip
// aside (work.h). The receipt that names the delivered key is durable before the data zone is
// locked: from then on nobody could write another key, and nobody could tell the chip's.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "station-agent/atecc608/session.h"
#include "station-agent/prepare/work.h"
#include "token/preparation.h"
#include "wrap/base/random.h"
#include "wrap/se/atecc608_profile.h"
#include "wrap/se/delivery.h"

namespace keyferry::prepare {

/// An order that this preparer may carry out, with its profile read.
struct CheckedOrder {
  token::PreparationOrder order;
  se::Atecc608Profile profile;
  crypto::OaepHash hash = crypto::OaepHash::Sha256;
};

/// What must hold before a chip is touched. Reasons: preparer-other, environment, expired,
/// configuration-open (its lock octets must be those of an open chip), vendor-key,
/// secure-boot-slot, and those of se::profile_from_message and se::check_profile.
[[nodiscard]] std::variant<CheckedOrder, Refusal> check_order(const token::PreparationOrder& order,
                                                              const crypto::PublicKey& own_key,
                                                              token::Environment environment,
                                                              UtcMillis now);

enum class Result {
  Prepared,
  PreparedBefore,
  SetAside,  // now or earlier; `text` says why
  Refused,   // nothing was done: this chip is not ours to prepare
};

struct Outcome {
  Result result = Result::Refused;
  Bytes serial;
  std::string reason = {};  // `a-z-`; empty when prepared
  std::string text = {};
};

class Preparer {
 public:
  /// The references must outlive it. signer: the preparer's own key, checked against the order.
  Preparer(const CheckedOrder& order,
           const Journal& journal,
           crypto::Signer& signer,
           RandomSource& random,
           const Clock& clock);

  /// Throws station::ChipLost when the chip goes away: the same again when it is back.
  [[nodiscard]] Outcome prepare(atecc608::Session& chip);

 private:
  /// Why the chip is set aside.
  struct Wrong {
    std::string reason;
    std::string text;
  };

  using Step = std::optional<Wrong>;

  [[nodiscard]] std::variant<Work, Outcome> take_up(const Bytes& config);
  [[nodiscard]] Step carry_out(atecc608::Session& chip, Work& work);
  [[nodiscard]] Step configure(atecc608::Session& chip, const Work& work);
  [[nodiscard]] Step write_configuration(atecc608::Session& chip);
  [[nodiscard]] Step attest(atecc608::Session& chip, Work& work);
  [[nodiscard]] Step make_attestation_key(atecc608::Session& chip, Work& work);
  [[nodiscard]] Step prove_attestation_key(atecc608::Session& chip, const Work& work);
  [[nodiscard]] Step write_secure_boot_key(atecc608::Session& chip);
  [[nodiscard]] Step seal(atecc608::Session& chip, Work& work);
  [[nodiscard]] Step place_transport_key(atecc608::Session& chip, Work& work, const Bytes& config);
  [[nodiscard]] Step prove(atecc608::Session& chip, const Work& work);
  [[nodiscard]] Bytes receipt_for(const Work& work,
                                  const Bytes& config,
                                  const SecretBytes& transport_key);
  [[nodiscard]] std::vector<std::string> differences(const Bytes& config) const;

  const CheckedOrder& order_;
  const Journal& journal_;
  crypto::Signer& signer_;
  RandomSource& random_;
  const Clock& clock_;
};

}  // namespace keyferry::prepare
