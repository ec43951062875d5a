// A real gate with real workers on a SoftHSM store in a temporary folder, and a front end that keeps its ledger in memory
// and says whatever a test wants it to say.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "appliance/gate/client.h"
#include "appliance/gate/settings.h"
#include "appliance/plan/plan.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "tests/support/softhsm_store.h"
#include "token/container_open.h"
#include "token/enrolment.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance::test {

/// What the ledger would keep.
class MemoryLedger final : public GateStore {
 public:
  void store_pending(const v1::StorePending& pending) override;
  std::vector<Bytes> leaf_hashes(std::uint64_t from, std::uint64_t to) override;
  std::vector<Bytes> leaves(std::uint64_t from, std::uint64_t to) override;

  std::vector<Bytes> log;
  std::vector<std::string> registries;
  std::string checkpoint;
};

/// One segment (or manifest) as a front end gets it.
struct Made {
  Bytes body;
  std::vector<v1::IssuedRecord> records;
  Bytes sealed_certificates;
  v1::SegmentPrepared prepared;
  std::optional<v1::SegmentIssued> issued;  // set when it was handed out at once
  std::optional<v1::ErrorReply> error;
};

struct SoftStation {
  crypto::SoftKey signing = crypto::SoftKey::generate();
  crypto::SoftKey agreement = crypto::SoftKey::generate();
  std::string name = "line-1";

  [[nodiscard]] StationId id() const { return token::station_id_of(signing.public_key()); }
  [[nodiscard]] token::SignedBytes request();
};

class GateFixture : public ::testing::Test {
 protected:
  GateFixture();

  /// A gate of its own, not opened yet.
  [[nodiscard]] std::unique_ptr<GateClient> start_gate(const std::string& pin = "2468135790");
  /// As OpenRequest with what the ledger holds.
  [[nodiscard]] v1::Opened open(GateClient& gate);
  void initialize(GateClient& gate);
  /// initialize, master "m", CA "ca", station enrolled.
  void make_appliance(GateClient& gate);

  [[nodiscard]] Plan plan(Operation operation);  // number, appliance, expiry filled in
  [[nodiscard]] Plan parsed(Plan plan);          // through its own text
  [[nodiscard]] v1::Approval approval_of(const Plan& plan);
  [[nodiscard]] v1::SignedBytes sign_approval(const v1::Approval& approval, crypto::SoftKey& key);
  [[nodiscard]] v1::GateRequest run_request(const Plan& plan);
  v1::GateReply run(GateClient& gate, const Plan& plan);
  [[nodiscard]] Plan batch_plan(std::uint32_t count, std::uint32_t segment_size);

  [[nodiscard]] v1::GateRequest segment_request(const Plan& plan, std::uint32_t index);
  [[nodiscard]] Made make(GateClient& gate, v1::GateRequest request);
  /// Its leaves are in the ledger's log from now on.
  [[nodiscard]] v1::GateRequest commit_request(const Plan& plan, const Made& made, std::uint32_t index, bool manifest = false);
  v1::SegmentIssued commit(GateClient& gate, const Plan& plan, const Made& made, std::uint32_t index,
                                         bool manifest = false);

  /// The call's error; fails the test when there is none.
  static Error refusal_of(GateClient& gate, v1::GateRequest request);

  test_support::SoftHsmFolder store_;
  MemoryLedger ledger_;
  v1::HsmState state_;
  v1::Registry registry_;
  std::optional<ApplianceId> appliance_;
  bool start_workers_ = false;  // by the next gate, as soon as it is open
  std::string key_to_import_;  // 64 hex digits: the next gate reads them from a descriptor
  std::vector<std::string> parts_to_import_;     // the same in parts, each with
  std::vector<std::string> part_check_values_;   // its check value
  crypto::SoftKey officer_ = crypto::SoftKey::generate();
  SoftStation station_;
  std::vector<se::Entry> entries_;
  std::filesystem::path settings_file_;
};

}  // namespace keyferry::appliance::test
