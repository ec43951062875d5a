#include "appliance/front/outside.h"

#include <fmt/format.h>

#include "appliance/front/batch_files.h"
#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/outside_store.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "token/audit/merkle.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/se/entry.h"
#include "wrap/x509/pem.h"
#include "wrap/x509/request.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

BatchRow resolved(Context& context, std::string_view text) {
  auto found = BatchStore{context.ledger()}.resolve(text);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  return std::get<BatchRow>(std::move(found));
}

Plan plan_of(Context& context, const BatchRow& batch) {
  const auto stored = PlanStore{context.ledger()}.find_batch(batch.id);
  if (!stored) throw Error{Code::Storage, fmt::format("the ledger has no plan of batch {}", batch.id.hex())};
  auto parsed = parse_plan(stored->octets);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<Plan>(std::move(parsed));
}

Refusal not_waiting(const BatchRow& batch) {
  return Refusal{"batch-not-waiting",
                 fmt::format("batch {} is {}: it has no keys that wait for an outside CA", batch.id.hex(),
                             state_name(batch.state)),
                 "see keyferry-appliance batch status"};
}

// --- requests out --------------------------------------------------------------------------------------------------

/// The index is for programs of others: what is text from outside is quoted as RFC 4180 has it, and never a formula.
std::string csv_cell(const std::string& text) {
  std::string cell;
  for (const char c : text) {
    cell += c;
    if (c == '"') cell += c;
  }
  const bool formula = !cell.empty() && std::string_view{"=+-@"}.find(cell.front()) != std::string_view::npos;
  return fmt::format("\"{}{}\"", formula ? "'" : "", cell);
}

/// One request as the index has it.
struct IndexLine {
  std::uint32_t record_no = 0;
  std::string file, family, se_serial, key_name, device_serial, subject, request_sha256;
};

class RequestFolder {
 public:
  RequestFolder(Context& context, const BatchRow& batch, const fs::path& folder, RequestForm form)
      : context_{context}, batch_{batch}, folder_{folder}, form_{form} {}

  std::uint64_t write() {
    prepare();
    DurableWriter csv{folder_ / "index.csv"};
    DurableWriter json{folder_ / "index.json"};
    csv.write(as_bytes("record_no,file,family,se_serial,key_name,device_serial,subject,request_sha256\n"));
    json.write(as_bytes(fmt::format(
        "{{\"schema\": \"keyferry.requests.v1\", \"batch\": \"{}\", \"authority\": \"{}\", \"requests\": [",
        batch_.id.hex(), batch_.authority)));
    std::uint64_t count = 0;
    for (const SealedPart& part : OutsideStore{context_.ledger()}.segments(batch_.id)) {
      write_segment(part, [&](const IndexLine& line) {
        csv.write(as_bytes(fmt::format("{},{},{},{},{},{},{},{}\n", line.record_no, line.file, line.family,
                                       csv_cell(line.se_serial), csv_cell(line.key_name), csv_cell(line.device_serial),
                                       csv_cell(line.subject), line.request_sha256)));
        json.write(as_bytes(fmt::format("{}\n{}", count == 0 ? "" : ",",
                                        Json{{"record_no", line.record_no},
                                             {"file", line.file},
                                             {"family", line.family},
                                             {"se_serial", line.se_serial},
                                             {"key_name", line.key_name},
                                             {"device_serial", line.device_serial},
                                             {"subject", line.subject},
                                             {"request_sha256", line.request_sha256}}
                                            .dump())));
        ++count;
      });
    }
    json.write(as_bytes("\n]}\n"));
    sync_tree(folder_);  // every request is on the medium before an index says so
    json.commit();
    csv.commit();
    return count;
  }

 private:
  /// An index of an earlier run would tell of files that are being replaced.
  void prepare() const {
    std::error_code problem;
    fs::create_directories(folder_, problem);
    if (!problem) {
      fs::remove(folder_ / "index.csv", problem);
      fs::remove(folder_ / "index.json", problem);
    }
    if (problem) throw system_error(Code::Medium, "make folder " + folder_.string() + " ready", problem.value());
  }

  template <typename Take>
  void write_segment(const SealedPart& part, const Take& take) {
    const std::uint32_t first = part.index->value * batch_.segment_size;
    const auto entries = InventoryStore{context_.ledger()}.entries(batch_.list, first, part.count);
    visit_requests(context_, batch_, part, [&](RecordNo record, ByteView der) {
      const auto parsed = x509::parse_request(der);
      if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
      const se::Entry& entry = entries.at(record.value - first).entry;
      const std::string name = fmt::format("request-{:07}.{}", record.value, form_ == RequestForm::Pem ? "pem" : "der");
      const Fd file = create_file(folder_ / name);
      write_all(file, form_ == RequestForm::Pem ? as_bytes(x509::to_pem(x509::kPemRequest, der)) : der,
                (folder_ / name).string());
      take(IndexLine{.record_no = record.value,
                     .file = name,
                     .family = std::string{se::family_name(entry.family)},
                     .se_serial = printable(se::serial_text(entry.family, entry.serial)),
                     .key_name = entry.key_name,
                     .device_serial = entry.device_serial,
                     .subject = std::get<x509::RequestFacts>(parsed).subject,
                     .request_sha256 = std::get<x509::RequestFacts>(parsed).sha256.hex()});
    });
    KF_CUT("front.requests.written");
  }

  Context& context_;
  const BatchRow& batch_;
  fs::path folder_;
  RequestForm form_;
};

// --- certificates approved -----------------------------------------------------------------------------------------

Digest certificates_root(Context& context, const BatchRow& batch) {
  audit::Frontier frontier;
  OutsideStore outside{context.ledger()};
  for (std::uint32_t index = 0; index < batch.segment_count; ++index) {
    for (const Bytes& der : outside.certificates(batch.id, SegmentIndex{index})) frontier.append(audit::leaf_hash(der));
  }
  return frontier.root();
}

std::optional<Refusal> missing_refusal(Context& context, const BatchRow& batch) {
  const OutsideStore::Counts counts = OutsideStore{context.ledger()}.counts(batch.id);
  if (counts.certificates == batch.se_count) return std::nullopt;
  return Refusal{"certificates-missing",
                 fmt::format("{} of {} certificates of batch {} are missing", batch.se_count - counts.certificates,
                             batch.se_count, batch.id.hex()),
                 fmt::format("take them in: keyferry-appliance batch certificates {} --from PATH",
                             batch.id.hex().substr(0, 8))};
}

int seal_certified(Context& context, const BatchRow& batch) {
  KF_CUT("front.certify.approved");
  return run_batch(context, plan_of(context, batch), {}, {});
}

}  // namespace

int export_requests(Context& context, std::string_view batch, const fs::path& to, RequestForm form) {
  const BatchRow row = resolved(context, batch);
  const bool waits = row.state == BatchState::Waiting || row.state == BatchState::Certifying;
  if (!waits) throw to_error(not_waiting(row));
  const std::uint64_t count = RequestFolder{context, row, to, form}.write();
  context.out().result("requests",
                       Json{{"batch", row.id.hex()},
                            {"authority", row.authority},
                            {"count", count},
                            {"to", to.string()},
                            {"index", (to / "index.csv").string()}},
                       {fmt::format("{} certificate requests of batch {} for outside CA \"{}\": {}", count, row.id.hex(),
                                    row.authority, to.string()),
                        fmt::format("which is which: {}", (to / "index.csv").string()),
                        fmt::format("when the certificates are back: keyferry-appliance batch certificates {} --from PATH",
                                    row.id.hex().substr(0, 8))});
  return 0;
}

std::optional<Refusal> certify_refusal(Context& context, const Plan& plan) {
  const auto* certify = std::get_if<BatchCertifyPlan>(&plan.detail);
  if (certify == nullptr) return std::nullopt;
  const auto batch = BatchStore{context.ledger()}.find(certify->batch);
  if (!batch) return Refusal{"batch-unknown", fmt::format("there is no batch {}", certify->batch.hex())};
  if (batch->state != BatchState::Waiting && batch->state != BatchState::Certifying) return not_waiting(*batch);
  if (auto refusal = missing_refusal(context, *batch)) return refusal;
  const bool same = batch->authority == certify->authority && batch->se_count == certify->count &&
                    certificates_root(context, *batch) == certify->certificates_root;
  if (same) return std::nullopt;
  return Refusal{"certificates-other", "the certificates that were taken in are not those that the plan names",
                 "make the plan again: keyferry-appliance batch certify ID"};
}

int batch_certify(Context& context, std::string_view batch) {
  const BatchId id = resolved(context, batch).id;
  static_cast<void>(context.gate());  // what a cut run left is settled first
  const BatchRow row = *BatchStore{context.ledger()}.find(id);
  if (row.state == BatchState::Waiting) {
    if (const auto refusal = missing_refusal(context, row)) throw to_error(*refusal);
    settle_waiting(context, row);
    const BatchCertifyPlan plan{row.id, row.authority, row.se_count, certificates_root(context, row)};
    OperationInput input;
    input.action = certified_action(row.id, context.clock().now());
    run_operation(context, Operation::BatchCertify, plan, input);
  } else if (row.state != BatchState::Certifying && row.state != BatchState::Sealed) {
    throw to_error(not_waiting(row));
  }
  return seal_certified(context, *BatchStore{context.ledger()}.find(id));
}

int run_batch_certify(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  const BatchId id = std::get<BatchCertifyPlan>(plan.detail).batch;
  const auto stored = PlanStore{context.ledger()}.find(plan.digest);
  if (!stored || stored->state != PlanState::Run) {
    if (const auto refusal = certify_refusal(context, plan)) throw to_error(*refusal);
    if (const auto row = BatchStore{context.ledger()}.find(id); row->state == BatchState::Waiting) settle_waiting(context, *row);
    OperationInput input;
    input.action = certified_action(id, context.clock().now());
    static_cast<void>(run_at_gate(context, plan, approvals, input));
  }
  const auto batch = BatchStore{context.ledger()}.find(id);
  if (!batch) throw Error{Code::Storage, fmt::format("the ledger has no batch {}", id.hex())};
  return seal_certified(context, *batch);
}

}  // namespace keyferry::appliance
