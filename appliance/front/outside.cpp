#include "appliance/front/outside.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "appliance/front/batch_files.h"
#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/outside_store.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "token/audit/merkle.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/se/entry.h"
#include "wrap/x509/pem.h"
#include "wrap/x509/request.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPieceBytes = 64 * 1024;

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

/// SHA-256 of a file as the medium has it, not as the cache does.
Digest digest_on_medium(const fs::path& file) {
  const Fd fd = open_regular_file(file, Code::Medium);
  static_cast<void>(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED));
  crypto::Sha256 digest;
  Bytes piece(kPieceBytes);
  for (;;) {
    const ssize_t got = ::read(fd.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw system_error(Code::Medium, "read back " + file.string(), errno);
    if (got == 0) return digest.finish();
    digest.update(ByteView{piece}.first(static_cast<std::size_t>(got)));
  }
}

/// An index file and what was written to it.
class IndexFile {
 public:
  explicit IndexFile(fs::path path) : path_{std::move(path)}, file_{path_} {}

  void write(std::string_view text) {
    file_.write(as_bytes(text));
    digest_.update(as_bytes(text));
  }

  void commit() {
    file_.commit();
    written_ = digest_.finish();
  }

  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] const Digest& written() const { return written_; }

 private:
  fs::path path_;
  DurableWriter file_;
  crypto::Sha256 digest_;
  Digest written_;
};

class RequestFolder {
 public:
  RequestFolder(Context& context, const BatchRow& batch, const fs::path& folder, RequestForm form)
      : context_{context}, batch_{batch}, folder_{folder}, form_{form} {}

  std::uint64_t write() {
    prepare();
    IndexFile csv{folder_ / "index.csv"};
    IndexFile json{folder_ / "index.json"};
    csv.write("record_no,file,family,se_serial,key_name,device_serial,subject,request_sha256\n");
    json.write(fmt::format(
        "{{\"schema\": \"keyferry.requests.v1\", \"batch\": \"{}\", \"authority\": \"{}\", \"requests\": [",
        batch_.id.hex(), batch_.authority));
    std::uint64_t count = 0;
    for (const SealedPart& part : OutsideStore{context_.ledger()}.segments(batch_.id)) {
      write_segment(part, [&](const IndexLine& line) {
        csv.write(fmt::format("{},{},{},{},{},{},{},{}\n", line.record_no, line.file, line.family,
                              csv_cell(line.se_serial), csv_cell(line.key_name), csv_cell(line.device_serial),
                              csv_cell(line.subject), line.request_sha256));
        json.write(fmt::format("{}\n{}", count == 0 ? "" : ",",
                               Json{{"record_no", line.record_no},
                                    {"file", line.file},
                                    {"family", line.family},
                                    {"se_serial", line.se_serial},
                                    {"key_name", line.key_name},
                                    {"device_serial", line.device_serial},
                                    {"subject", line.subject},
                                    {"request_sha256", line.request_sha256}}
                                   .dump()));
        ++count;
      });
    }
    json.write("\n]}\n");
    sync_tree(folder_);  // every request is on the medium before an index says so
    KF_CUT("front.requests.synced");
    for (const auto& [record, written] : written_) compare(folder_ / name_of(record), written);
    json.commit();
    csv.commit();
    for (const IndexFile* index : {&json, &csv}) compare(index->path(), index->written());
    return count;
  }

 private:
  /// An index of an earlier run would tell of files that are being replaced.
  void prepare() const {
    std::error_code problem;
    fs::create_directories(folder_, problem);
    if (!problem) remove_indexes(problem);
    if (problem) throw system_error(Code::Medium, "make folder " + folder_.string() + " ready", problem.value());
  }

  void remove_indexes(std::error_code& problem) const {
    fs::remove(folder_ / "index.csv", problem);
    if (!problem) fs::remove(folder_ / "index.json", problem);
  }

  /// A folder with a damaged file keeps no index, without which nobody takes it for whole.
  void compare(const fs::path& file, const Digest& written) const {
    if (digest_on_medium(file) == written) return;
    std::error_code ignored;
    remove_indexes(ignored);
    throw Error{Code::Medium, fmt::format("what was read back from {} is not what was written", file.string()),
                "use another medium, and write the requests again: they are the same ones"};
  }

  [[nodiscard]] std::string name_of(RecordNo record) const {
    return fmt::format("request-{:07}.{}", record.value, form_ == RequestForm::Pem ? "pem" : "der");
  }

  template <typename Take>
  void write_segment(const SealedPart& part, const Take& take) {
    const std::uint32_t first = part.index->value * batch_.segment_size;
    const auto entries = InventoryStore{context_.ledger()}.entries(batch_.list, first, part.count);
    visit_requests(context_, batch_, part, [&](RecordNo record, ByteView der) {
      const auto parsed = x509::parse_request(der);
      if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
      const se::Entry& entry = entries.at(record.value - first).entry;
      const std::string name = name_of(record);
      const Fd file = create_file(folder_ / name);
      const bool as_pem = form_ == RequestForm::Pem;
      const Bytes octets = as_pem ? to_bytes(as_bytes(x509::to_pem(x509::kPemRequest, der))) : to_bytes(der);
      write_all(file, octets, (folder_ / name).string());
      written_.emplace_back(record, crypto::sha256(octets));
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
  std::vector<std::pair<RecordNo, Digest>> written_;
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
                       {fmt::format("{} certificate requests of batch {} for outside CA \"{}\", read back and compared: {}",
                                    count, row.id.hex(), row.authority, to.string()),
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
