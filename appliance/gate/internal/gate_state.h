// What the gate knows: kf-state, the registry that it names, and the log's frontier. Pure: no channel, no HSM.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "keyferry/v1/governance.pb.h"
#include "keyferry/v1/log.pb.h"
#include "token/audit/merkle.h"
#include "wrap/base/bytes.h"
#include "wrap/crypto/signing.h"

namespace keyferry::appliance {

struct GateState {
  v1::HsmState hsm;
  v1::Registry registry;
  Bytes registry_octets;
  audit::Frontier frontier;

  /// Error{Hsm} when the octets are no state, or its frontier does not fit its size.
  [[nodiscard]] static GateState from_octets(ByteView hsm_state);

  /// Takes the one of `candidates` that the HSM names. Error{Rollback} when there is none.
  void take_registry(const std::vector<Bytes>& candidates);

  [[nodiscard]] v1::OpenPlan* open_plan(const Digest& plan_digest);
  [[nodiscard]] v1::OpenPlan* open_plan_of_batch(const BatchId& batch);
  [[nodiscard]] const v1::OpenPlan* open_plan_of_batch(const BatchId& batch) const;
  [[nodiscard]] static const v1::StoredTrailer* trailer(const v1::OpenPlan& plan, std::uint32_t index);

  [[nodiscard]] static const v1::StoredTrailer* waiting(const v1::OpenPlan& plan, std::uint32_t index);

  [[nodiscard]] const v1::Station* station(const StationId& id) const;
  [[nodiscard]] const v1::CertificateAuthority* authority(const std::string& name) const;
  /// Records for it may be made: no worker sees its keys, or officers have allowed it.
  [[nodiscard]] bool enabled(se::Family family) const;
  [[nodiscard]] const v1::TransportMaster* master(const std::string& name) const;
  [[nodiscard]] const v1::VendorKey* vendor_key(const std::string& name) const;
  [[nodiscard]] const v1::Source* source(const std::string& name) const;
  /// Label of the master or vendor key that has this check value; empty when none ever had.
  [[nodiscard]] std::string check_value_label(ByteView check_value) const;
};

/// Marks the batch closed and puts it on the revocation list; false when it was on it.
bool close_batch_in(GateState& state, v1::OpenPlan& open);

/// Registry of a new appliance. persons: at least one officer; needed: M, 1 to the number of officers.
[[nodiscard]] v1::Registry first_registry(const std::string& name, const std::vector<v1::Officer>& persons,
                                          std::uint32_t needed);

/// A leaf as serialised.
[[nodiscard]] Bytes leaf_octets(v1::LogLeaf leaf, v1::LeafOrigin origin, UtcMillis now);

/// True for kinds of leaves that a front end may report.
[[nodiscard]] bool may_be_reported(const v1::LogLeaf& leaf);

/// The checkpoint note's text was signed by this appliance; nothing otherwise.
struct KnownCheckpoint {
  std::uint64_t size = 0;
  Digest root;
};
[[nodiscard]] std::optional<KnownCheckpoint> own_checkpoint(const std::string& note,
                                                            const crypto::PublicKey& log_key,
                                                            const ApplianceId& appliance);

}  // namespace keyferry::appliance
