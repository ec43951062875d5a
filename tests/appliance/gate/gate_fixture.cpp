#include "tests/appliance/gate/gate_fixture.h"

#include <fmt/format.h>
#include <unistd.h>

#include "token/audit/merkle.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance::test {
namespace {

v1::SignedBytes to_message(const token::SignedBytes& value) {
  v1::SignedBytes message;
  const Bytes octets = token::encode(value);
  EXPECT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  return message;
}

UtcMillis in_days(int days) {
  return from_rfc3339(to_rfc3339(UtcMillis{SystemClock{}.now().value + days * 86'400'000LL})).value();
}

}  // namespace

void MemoryLedger::store_pending(const v1::StorePending& pending) {
  log.resize(pending.first_leaf());
  for (const std::string& leaf : pending.leaves()) log.push_back(to_bytes(as_bytes(leaf)));
  if (!pending.registry().empty()) registries.push_back(pending.registry());
}

std::vector<Bytes> MemoryLedger::leaf_hashes(std::uint64_t from, std::uint64_t to) {
  std::vector<Bytes> hashes;
  for (std::uint64_t i = from; i < to; ++i) hashes.push_back(to_bytes(audit::leaf_hash(log.at(i)).bytes()));
  return hashes;
}

std::vector<Bytes> MemoryLedger::leaves(std::uint64_t from, std::uint64_t to) {
  return {log.begin() + static_cast<std::ptrdiff_t>(from), log.begin() + static_cast<std::ptrdiff_t>(to)};
}

token::SignedBytes SoftStation::request() {
  SystemRandom random;
  const token::EnrolmentRequest request{.name = name,
                                        .site = "site-1",
                                        .environment = token::Environment::Development,
                                        .signing_key = signing.public_key(),
                                        .agreement_key = agreement.public_key(),
                                        .nonce = random.bytes(16),
                                        .time = SystemClock{}.now()};
  return token::sign_payload(signing, crypto::SignatureKind::EnrolmentRequest, token::serialise(request));
}

GateFixture::GateFixture() : settings_file_{store_.folder() / "gate.toml"} {
  GateSettings settings;
  settings.uri = "pkcs11:token=gate-test?module-path=" + test_support::softhsm_module().string();
  settings.store = store_.tokens();
  settings.environment.emplace("SOFTHSM2_CONF", store_.config().string());
  settings.insecure_allow = {"network", "swap", "memlock"};
  write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
}

std::unique_ptr<GateClient> GateFixture::start_gate(const std::string& pin) {
  int ends[2];
  if (pipe(ends) != 0) throw Error{Code::Internal, "pipe"};
  const Fd reading{ends[0]}, writing{ends[1]};
  write_all(writing, as_bytes(pin + "\n"), "pipe");
  GateOptions options{.settings = settings_file_, .pin_fd = reading.get(), .insecure_allow = {}, .socket = {}};
  options.program = std::filesystem::path{KEYFERRY_BIN_DIR} / "keyferry-hsm-gate";
  options.start_workers = start_workers_;
  Fd key;
  if (!key_to_import_.empty()) {
    if (pipe(ends) != 0) throw Error{Code::Internal, "pipe"};
    key = Fd{ends[0]};
    const Fd writing_key{ends[1]};
    write_all(writing_key, as_bytes(key_to_import_ + "\n"), "pipe");
    options.key_fd = key.get();
  }
  std::vector<Fd> parts;
  for (const std::string& part : parts_to_import_) {
    if (pipe(ends) != 0) throw Error{Code::Internal, "pipe"};
    parts.emplace_back(ends[0]);
    const Fd writing_part{ends[1]};
    write_all(writing_part, as_bytes(part + "\n"), "pipe");
    options.component_fds.push_back(parts.back().get());
  }
  options.component_check_values = part_check_values_;
  return std::make_unique<GateClient>(options, ledger_);
}

v1::Opened GateFixture::open(GateClient& gate) {
  v1::GateRequest request;
  request.mutable_open()->set_log_size(ledger_.log.size());
  request.mutable_open()->set_checkpoint(ledger_.checkpoint);
  for (const std::string& registry : ledger_.registries) request.mutable_open()->add_registries(registry);
  v1::Opened opened = gate.call(std::move(request)).opened();
  if (opened.initialized()) {
    EXPECT_TRUE(state_.ParseFromString(opened.state()));
    EXPECT_TRUE(registry_.ParseFromString(opened.registry()));
    appliance_ = ApplianceId::from_bytes(as_bytes(state_.appliance_id()));
    ledger_.checkpoint = opened.checkpoint();
  }
  return opened;
}

void GateFixture::initialize(GateClient& gate) {
  v1::GateRequest request;
  request.mutable_initialize()->set_name("test-appliance");
  request.mutable_initialize()->set_environment(v1::ENVIRONMENT_DEVELOPMENT);
  request.mutable_initialize()->set_officer_key(to_string(officer_.public_key().point()));
  request.mutable_initialize()->set_officer_name_hash(std::string(32, 'n'));
  static_cast<void>(gate.call(std::move(request)));
  ASSERT_TRUE(open(gate).initialized());
}

void GateFixture::make_appliance(GateClient& gate) {
  initialize(gate);
  Plan master = plan(Operation::TransportMasterCreate);
  master.detail = TransportMasterPlan{"m", "kf-kdf-1"};
  run(gate, parsed(master));
  Plan ca = plan(Operation::CaCreate);
  ca.detail = CaCreatePlan{"ca", "CN=Test CA", in_days(-1), in_days(3650)};
  run(gate, parsed(ca));
  const token::SignedBytes request = station_.request();
  Plan enroll = plan(Operation::StationEnroll);
  enroll.detail = StationEnrollPlan{station_.name, "site-1", crypto::sha256(request.payload), station_.id()};
  v1::GateRequest message = run_request(parsed(enroll));
  *message.mutable_run_plan()->mutable_enrolment_request() = to_message(request);
  const v1::GateReply reply = gate.call(std::move(message));
  ASSERT_TRUE(reply.has_enrolled());
  static_cast<void>(open(gate));
}

Plan GateFixture::plan(Operation operation) {
  Plan plan;
  plan.operation = operation;
  plan.number = state_.last_plan_number() + 1;
  plan.appliance = appliance_.value();
  plan.expires = in_days(1);
  return plan;
}

Plan GateFixture::parsed(Plan plan) {
  auto parsed = parse_plan(as_bytes(plan_text(plan)));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<Plan>(std::move(parsed));
}

v1::Approval GateFixture::approval_of(const Plan& plan) {
  v1::Approval approval;
  approval.set_version(1);
  approval.set_kind("keyferry/v1/approval");
  approval.set_appliance_id(plan.appliance.str());
  approval.set_environment(v1::ENVIRONMENT_DEVELOPMENT);
  approval.set_plan_number(plan.number);
  approval.set_operation(std::string{operation_name(plan.operation)});
  approval.set_digest(plan.digest.str());
  approval.set_expires_ms(plan.expires.value);
  approval.set_policy_epoch(registry_.policy().epoch());
  approval.set_registry_epoch(registry_.epoch());
  approval.set_last_checkpoint(ledger_.checkpoint);
  approval.set_officer_key_id(officer_.public_key().key_id().str());
  return approval;
}

v1::SignedBytes GateFixture::sign_approval(const v1::Approval& approval, crypto::SoftKey& key) {
  return to_message(token::sign_payload(key, crypto::SignatureKind::Approval, to_bytes(as_bytes(approval.SerializeAsString()))));
}

v1::GateRequest GateFixture::run_request(const Plan& plan) {
  v1::GateRequest request;
  request.mutable_run_plan()->set_plan(to_string(plan.octets));
  *request.mutable_run_plan()->add_approvals() = sign_approval(approval_of(plan), officer_);
  return request;
}

v1::GateReply GateFixture::run(GateClient& gate, const Plan& plan) {
  v1::GateReply reply = gate.call(run_request(plan));
  static_cast<void>(open(gate));
  return reply;
}

Plan GateFixture::batch_plan(std::uint32_t count, std::uint32_t segment_size) {
  entries_.clear();
  std::vector<Digest> leaves;
  for (std::uint32_t i = 0; i < count; ++i) {
    se::Entry entry{.serial = *SeSerial::from_bytes(as_bytes(fmt::format("{:016x}", i + 1))),
                    .part = "",
                    .lot = "",
                    .device_serial = fmt::format("D{:05}", i),
                    .transport_name = "m",
                    .transport_data = {}};
    leaves.push_back(se::entry_leaf_hash(se::canonical_entry(entry)));
    entries_.push_back(std::move(entry));
  }
  Plan result = plan(Operation::Batch);
  BatchPlan batch;
  batch.site = "site-1";
  batch.station = station_.id();
  batch.key_name = "dac";
  batch.target_count = count;
  batch.se_count = count;
  batch.segment_size = segment_size;
  batch.se_list_root = audit::tree_root(leaves);
  batch.certificate_authority = "ca";
  batch.certificate_template = "device";
  batch.certificate_subject = "CN={device_serial}";
  batch.not_before = in_days(0);
  batch.not_after = in_days(365);
  batch.due = in_days(30);
  batch.verify = VerifyPlan{.clock_skew_s = 300};
  result.detail = batch;
  return parsed(result);
}

v1::GateRequest GateFixture::segment_request(const Plan& plan, std::uint32_t index) {
  const BatchPlan& batch = plan.batch();
  v1::GateRequest request;
  v1::SegmentRequest& segment = *request.mutable_segment();
  segment.set_plan(to_string(plan.octets));
  segment.set_index(index);
  std::vector<Digest> leaves;
  for (const se::Entry& entry : entries_) leaves.push_back(se::entry_leaf_hash(se::canonical_entry(entry)));
  const std::size_t first = std::size_t{index} * batch.segment_size;
  for (std::size_t i = first; i < std::min<std::size_t>(entries_.size(), first + batch.segment_size); ++i) {
    segment.add_entries(to_string(se::canonical_entry(entries_[i])));
  }
  const auto roots = audit::block_roots(leaves, batch.segment_size);
  if (index < roots.size()) {
    for (const Digest& hash : audit::subtree_path(roots, index, batch.segment_size, leaves.size())) {
      segment.add_path(hash.str());
    }
  }
  return request;
}

Made GateFixture::make(GateClient& gate, v1::GateRequest request) {
  Made made;
  bool finished = false;
  gate.start(std::move(request), [&](const v1::GateReply& reply) {
    if (reply.has_body()) append(made.body, as_bytes(reply.body().octets()));
    if (reply.has_sealed_certificates()) append(made.sealed_certificates, as_bytes(reply.sealed_certificates().octets()));
    for (const v1::IssuedRecord& record : reply.records().records()) made.records.push_back(record);
    if (reply.has_prepared()) made.prepared = reply.prepared();
    if (reply.has_issued()) made.issued = reply.issued();
    if (reply.has_error()) made.error = reply.error();
    finished = reply.has_prepared() || reply.has_issued() || reply.has_error();
  });
  while (!finished) gate.pump();
  return made;
}

v1::GateRequest GateFixture::commit_request(const Plan& plan, const Made& made, std::uint32_t index, bool manifest) {
  const std::uint64_t first = ledger_.log.size();
  for (const v1::IssuedRecord& record : made.records) ledger_.log.push_back(to_bytes(as_bytes(record.leaf())));
  ledger_.log.push_back(to_bytes(as_bytes(made.prepared.summary_leaf())));
  v1::GateRequest request;
  request.mutable_segment_commit()->set_plan_digest(plan.digest.str());
  request.mutable_segment_commit()->set_index(index);
  request.mutable_segment_commit()->set_manifest(manifest);
  request.mutable_segment_commit()->set_first_leaf(first);
  return request;
}

v1::SegmentIssued GateFixture::commit(GateClient& gate, const Plan& plan, const Made& made, std::uint32_t index, bool manifest) {
  const v1::GateReply reply = gate.call(commit_request(plan, made, index, manifest));
  ledger_.checkpoint = reply.issued().checkpoint();
  return reply.issued();
}

Error GateFixture::refusal_of(GateClient& gate, v1::GateRequest request) {
  try {
    static_cast<void>(gate.call(std::move(request)));
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "the gate did what it should have refused";
  return Error{Code::Internal, "not refused"};
}

}  // namespace keyferry::appliance::test
