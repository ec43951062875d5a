// The inside of the gate, split over gate.cpp (connections), gate_open.cpp (login, comparison with the ledger, init),
// gate_acts.cpp (plans, reports, export, inbox), gate_keys.cpp (delivered transport keys, inventory, probe),
// gate_ends.cpp (CRLs, revocation list, destruction of keys), gate_pins.cpp (which shares open the HSM),
// gate_backup.cpp (backup, restore, take-over), gate_workers.cpp (the pool of key workers) and gate_segments.cpp (segments,
// manifest). Includes Asio and protobuf: nobody else includes this.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "appliance/gate/async_mutex.h"
#include "appliance/gate/internal/front_link.h"
#include "appliance/gate/gate.h"
#include "appliance/gate/internal/gate_state.h"
#include "appliance/gate/surroundings.h"
#include "appliance/gate/internal/worker_link.h"
#include "keyferry/v1/gate.pb.h"
#include "token/enrolment.h"
#include "token/signed_bytes.h"

namespace keyferry::appliance {

/// Index of the manifest where segments have theirs.
inline constexpr std::uint32_t kManifestIndex = UINT32_MAX;

void set_pin_sharing(v1::PinSharing& message, const PinSharing& sharing);

struct SegmentKey {
  Digest plan;
  std::uint32_t index = 0;
  friend auto operator<=>(const SegmentKey&, const SegmentKey&) = default;
};

/// A segment (or manifest) between request and commit.
struct InProgress {
  const FrontLink* front = nullptr;
  WorkerLink* worker = nullptr;
  bool prepared = false;
  bool committing = false;           // being signed: stays until kf-state has it, so that nothing is made twice
  bool waiting = false;              // keys and requests of a batch under an outside CA
  std::string certificates_root;     // of the certificates that it was made with, of such a batch; else empty
  ContainerId container;
  v1::StoredTrailer stored;          // trailer and key empty until it is signed
  std::vector<Digest> leaf_hashes;   // records' leaves, then the summary's
};

/// A CRL that a worker signed, on its way into log and kf-state.
struct IssuedCrl {
  Bytes der;
  audit::Frontier frontier;  // of its entries
  v1::LogLeaf leaf;
};

/// Does a worker get the shares of kf-backup that this start was given?
enum class WithShares { No, Yes };

struct Gate::Impl {
  Impl(asio::io_context& io_context, GateArguments gate_arguments, const Clock& system_clock);

  // gate.cpp
  asio::awaitable<void> serve(LocalSocket socket);
  asio::awaitable<void> handle(std::shared_ptr<FrontLink> front, v1::GateRequest request);
  asio::awaitable<void> answer(FrontLink& front, const v1::GateRequest& request);
  asio::awaitable<void> log_refusal(FrontLink& front, std::uint64_t id, std::string what, const Error& error);
  asio::awaitable<void> rest(FrontLink& front, std::uint64_t id);
  asio::awaitable<void> start_state_worker(bool may_initialize);

  // gate_workers.cpp
  asio::awaitable<WorkerLink*> key_worker(std::uint64_t keys);
  asio::awaitable<WorkerLink*> add_key_worker();
  asio::awaitable<WorkerLink*> add_key_worker_or(WorkerLink* without);
  asio::awaitable<void> start_key_workers();
  asio::awaitable<WorkerLink*> free_key_worker(std::uint64_t keys);  // nullptr: all have enough to do
  void arrived(WorkerLink& worker, std::uint64_t keys);  // that many of what it was asked for
  void dismiss_worn_workers();
  asio::awaitable<std::unique_ptr<WorkerLink>> start_worker(v1::WorkerRole role, bool may_initialize, v1::Started& started,
                                                            WithShares with_shares = WithShares::No);
  asio::awaitable<void> open(FrontLink& front, std::uint64_t id, const v1::OpenRequest& request);
  asio::awaitable<void> compare_with_ledger(FrontLink& front, std::uint64_t id, const v1::OpenRequest& request);
  asio::awaitable<void> initialize(FrontLink& front, std::uint64_t id, const v1::InitializeRequest& request);
  asio::awaitable<void> refresh_card();
  /// The card of the HSM as it is now: log key, appliance and card are known afterwards.
  asio::awaitable<void> make_card(v1::Environment environment, const std::string& name);

  /// With the mutex held: leaves (and registry) stored by the front end, then kf-state with `change` written.
  asio::awaitable<void> commit(FrontLink& front, std::uint64_t id, std::vector<Bytes> leaves,
                               std::function<void(GateState&)> change, std::optional<v1::Registry> registry,
                               ByteView made = {});
  /// With the mutex held: kf-state advances; the leaves are durable at the front end already.
  asio::awaitable<void> write_state(GateState next, const std::vector<Digest>& leaf_hashes);

  // gate_acts.cpp
  /// The signed order of an se-prepare plan that was run. With the mutex.
  asio::awaitable<void> hand_out_order(FrontLink& front, std::uint64_t id, std::string plan);
  asio::awaitable<void> run_plan(FrontLink& front, std::uint64_t id, const v1::RunPlanRequest& request);
  asio::awaitable<void> export_token(FrontLink& front, std::uint64_t id, const v1::ExportRequest& request);
  asio::awaitable<void> open_inbox(FrontLink& front, std::uint64_t id, const v1::InboxRequest& request);
  asio::awaitable<void> report(FrontLink& front, std::uint64_t id, const v1::ReportRequest& request);
  asio::awaitable<void> close_batch(FrontLink& front, std::uint64_t id, const v1::CloseBatchRequest& request);
  asio::awaitable<void> close_requests(FrontLink& front, std::uint64_t id, const v1::OpenPlan& open);

  // gate_keys.cpp
  asio::awaitable<void> check_delivered(FrontLink& front, std::uint64_t id, const v1::CheckDeliveredRequest& request);
  asio::awaitable<void> inventory(FrontLink& front, std::uint64_t id);
  asio::awaitable<void> probe(FrontLink& front, std::uint64_t id, const v1::ProbeRequest& request);

  // gate_ends.cpp
  asio::awaitable<IssuedCrl> make_crl(const Plan& plan, const v1::RunPlanRequest& request);
  asio::awaitable<void> revocations(FrontLink& front, std::uint64_t id);
  asio::awaitable<void> destroy_given_up(FrontLink& front, std::uint64_t id, std::string label);
  asio::awaitable<void> finish_destroy(FrontLink& front, std::uint64_t id, const v1::FinishDestroyRequest& request);

  // gate_backup.cpp
  asio::awaitable<void> end_key_workers();
  asio::awaitable<void> backup(FrontLink& front, std::uint64_t id, const v1::BackupRequest& request);
  asio::awaitable<void> restore(FrontLink& front, std::uint64_t id, const v1::RestoreRequest& request);
  asio::awaitable<void> check_old_log(FrontLink& front, std::uint64_t id, const KnownCheckpoint& at_backup,
                                      const KnownCheckpoint& last);
  asio::awaitable<void> adopt(FrontLink& front, std::uint64_t id, const v1::AdoptRequest& request);
  asio::awaitable<void> refuse_if_replaced(FrontLink& front, std::uint64_t id, const v1::OpenRequest& request);

  // gate_pins.cpp
  /// What an initialization says of the PIN, in its leaf and in kf-state.
  void tell_pin_sharing(v1::InitializedLeaf& leaf, GateState& first) const;
  /// After the login: is the set that opened the HSM the one that kf-state names? Error{Refused} when not; a change of the
  /// PINs that was cut off is told among the facts.
  void check_pin_sharing();
  void lock_now();
  /// hsm-pin-change, before its leaf: both PINs of the HSM are the new ones when this returns, and the workers' logins are
  /// made anew. What was cut off goes on from the stage that is noted beside gate.toml.
  asio::awaitable<void> change_pins(const Plan& plan);
  asio::awaitable<void> change_pins_in_hsm(const NewPins& next, PinSharingRecord& record);
  [[nodiscard]] v1::LogLeaf pin_changed_leaf() const;
  void put_new_sharing(GateState& next) const;
  /// After its leaf and kf-state: the old shares are forgotten here too.
  void finish_pin_change();

  // gate_segments.cpp
  asio::awaitable<void> segment(FrontLink& front, std::uint64_t id, const v1::SegmentRequest& request);
  asio::awaitable<void> manifest(FrontLink& front, std::uint64_t id, const v1::ManifestRequest& request);
  asio::awaitable<void> commit_segment(FrontLink& front, std::uint64_t id, const v1::SegmentCommit& request);
  asio::awaitable<void> issue(FrontLink& front, std::uint64_t id, SegmentKey key, InProgress one);
  asio::awaitable<void> abandon_segment(FrontLink& front, std::uint64_t id, const v1::SegmentAbandon& request);
  asio::awaitable<void> make(FrontLink& front, std::uint64_t id, SegmentKey key, WorkerLink* worker, v1::WorkerRequest request);
  asio::awaitable<void> drop(SegmentKey key);
  void reply_issued(FrontLink& front, std::uint64_t id, const v1::StoredTrailer& stored);
  [[nodiscard]] v1::OpenPlan& open_batch(const Plan& plan);

  /// What was let in on a permit of the file is in kf-state too, and no device is new; else the login ends.
  void refuse_unfit_machine();
  /// kf-state's permits into the file beside the settings.
  void note_permits() const;
  void need_open(const FrontLink& front) const;
  /// The mutex, for an act on an opened appliance: whoever had it before may have logged the HSM out (`rest`).
  asio::awaitable<AsyncMutex::Guard> lock_opened(const FrontLink& front);
  void refuse_wrong_clock(const v1::GateRequest& request) const;
  /// Time for a leaf that is written now.
  [[nodiscard]] UtcMillis leaf_now() const;
  [[nodiscard]] Plan parsed_plan(const std::string& octets) const;
  void fill_done(v1::Done& done) const;
  void take_facts(const v1::HsmFacts& of_worker);
  /// Once. Error{Usage}: there is none. Error{Refused}: it was not put together from the parts that the plan names.
  [[nodiscard]] SecretBytes take_imported_key(const Plan& plan);

  std::size_t requests_under_way = 0;
  std::chrono::steady_clock::time_point last_request = std::chrono::steady_clock::now();
  bool locked = false;

  asio::io_context& context;
  GateArguments arguments;
  const Clock& clock;
  AirGapCheck gap;
  AsyncMutex mutex;
  std::unique_ptr<WorkerLink> state_worker;
  AsyncMutex workers_mutex;  // of the two lists
  boost::asio::steady_timer worker_nearly_done;  // cancelled when a key worker has little left to do
  std::vector<std::unique_ptr<WorkerLink>> key_workers;
  std::vector<std::unique_ptr<WorkerLink>> worn_workers;
  std::size_t most_key_workers = 64;  // that the HSM takes; as far as is known, what settings may ask for
  bool backing_up = false;            // no key worker is started meanwhile, for no connection
  std::optional<Error> login_failed;  // never tried again with the same PIN
  bool broken = false;
  v1::HsmFacts facts;
  std::optional<crypto::PublicKey> log_key;
  std::optional<ApplianceId> appliance;
  std::optional<GateState> state;  // nothing: the HSM is blank, or nobody has opened yet
  bool ledger_agrees = false;
  bool clock_was_set = false;  // a clock-set is being carried out: its leaf has the clock's time, whatever came before
  v1::SignedBytes card;
  std::map<SegmentKey, InProgress> in_progress;
};

/// The leaf of a plan that is carried out.
[[nodiscard]] v1::LogLeaf plan_leaf(const Plan& plan, const std::vector<KeyId>& officers);

/// One leaf for commit(). (g++ 12 cannot compile a braced list inside a co_await expression.)
[[nodiscard]] std::vector<Bytes> one_leaf(v1::LogLeaf leaf, UtcMillis now);

[[nodiscard]] token::SignedBytes signed_from_message(const v1::SignedBytes& message);

}  // namespace keyferry::appliance
