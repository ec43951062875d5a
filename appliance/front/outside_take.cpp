// What an outside CA gave, taken in: files are read as they come, in pieces; each certificate finds its request by its key
// and is held against plan, entry and CA. One transaction: all of it or nothing.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/gate_session.h"
#include "appliance/front/outside.h"
#include "appliance/ledger/outside_store.h"
#include "appliance/ledger/plan_store.h"
#include "appliance/plan/outside_certificate.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/name.h"
#include "wrap/x509/request.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = 256U * 1024;
constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 40;
constexpr std::size_t kMaxFiles = 4'000'000;
constexpr std::size_t kMaxProblems = 1000;  // more are counted
constexpr std::size_t kMaxShown = 20;
constexpr std::size_t kMaxMissing = 10'000;

struct Problem {
  std::string file;
  std::optional<std::uint32_t> record;
  Refusal refusal;
};

/// Our own indexes, where the requests went out on the same stick. The requests themselves are told by what is in them: a
/// CA may name its answer as the question.
bool is_our_index(const std::string& name) { return name == "index.csv" || name == "index.json"; }

class Taking {
 public:
  Taking(Context& context, const BatchRow& batch, const Plan& plan, const KnownAuthority& authority)
      : context_{context},
        batch_{batch},
        store_{context.ledger()},
        inventory_{context.ledger()},
        rules_{plan.batch(), authority.chain()},
        file_of_record_(batch.se_count, kNoFile) {
    chain_.push_back(crypto::sha256(authority.certificate));
    for (const Bytes& issuer : authority.issuers) chain_.push_back(crypto::sha256(issuer));
  }

  void find_files(const std::vector<fs::path>& from) {
    for (const fs::path& path : from) {
      std::error_code problem;
      const fs::file_status status = fs::symlink_status(path, problem);
      if (!fs::exists(status)) throw Error{Code::NotFound, fmt::format("there is no {}", path.string())};
      if (fs::is_directory(status)) {
        find_in(path);
      } else {
        files_.push_back(path);
      }
    }
    if (files_.empty()) throw Error{Code::NotFound, "there is no file with certificates in what --from names"};
  }

  /// False when anything was wrong.
  bool take_all() {
    for (; file_ < files_.size(); ++file_) take_file(files_[file_]);
    return problem_count_ == 0;
  }

  /// One leaf for all of them: nobody can flood the log with certificates.
  void log_refusals() {
    if (problems_.empty()) return;
    Refusal first = problems_.front().refusal;
    first.text = fmt::format("{} (and {} more)", first.text, problem_count_ - 1);
    context_.gate().report_refused("outside-certificates", first, batch_.id.hex());
  }

  [[nodiscard]] int report() const;

 private:
  static constexpr std::uint32_t kNoFile = UINT32_MAX;

  void find_in(const fs::path& folder) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator{folder}) {
      if (entry.symlink_status().type() == fs::file_type::directory || is_our_index(entry.path().filename().string())) continue;
      found.push_back(entry.path());
      if (found.size() + files_.size() > kMaxFiles) {
        throw Error{Code::Refused, fmt::format("{} holds more than {} files", folder.string(), kMaxFiles)};
      }
    }
    std::ranges::sort(found);
    files_.insert(files_.end(), found.begin(), found.end());
  }

  void note(const Refusal& refusal, std::optional<std::uint32_t> record = std::nullopt) {
    ++problem_count_;
    if (problems_.size() < kMaxProblems) problems_.push_back({name_of(file_), record, refusal});
  }

  [[nodiscard]] std::string name_of(std::size_t file) const { return printable(files_[file].string()); }

  void take_file(const fs::path& path) {
    if (!fs::is_regular_file(fs::symlink_status(path))) {
      return note({"file-kind", "is a link or no regular file: it is not looked at", "copy the file itself"});
    }
    const Fd file = open_regular_file(path, Code::Medium);
    const std::uint64_t size = file_size_bytes(file);
    if (size > kMaxFileBytes) return note({"file-size", "the file is too large"});
    if (is_request(file, size)) {
      ++requests_;
      return;
    }
    x509::BundleReader reader{[this](ByteView der) -> std::optional<Refusal> {
      take(der);
      return std::nullopt;
    }};
    Bytes piece;
    std::optional<Refusal> refusal;
    for (std::uint64_t at = 0; at < size && !refusal; at += piece.size()) {
      piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, size - at)));
      if (!read_exactly_at(file, at, piece)) throw Error{Code::Medium, path.string() + " became shorter while it was read"};
      refusal = reader.feed(piece);
    }
    if (!refusal) refusal = reader.finish();
    if (refusal) note(*refusal);
  }

  [[nodiscard]] static bool is_request(const Fd& file, std::uint64_t size) {
    if (size > x509::kMaxRequestFileBytes) return false;
    Bytes whole(static_cast<std::size_t>(size));
    return read_exactly_at(file, 0, whole) && x509::is_request_file(whole);
  }

  void take(ByteView der) {
    const auto key = key_in_certificate(der);
    const auto waiting = key ? store_.find_key(batch_.id, key->point()) : std::nullopt;
    if (!waiting) return take_other(der);
    const std::uint32_t record = waiting->record_no.value;
    const auto rows = inventory_.entries(batch_.list, record, 1);
    if (rows.empty()) throw Error{Code::Storage, fmt::format("the list has no entry {}", record)};
    const auto checked = rules_.check(der, subject_fields(rows.front().entry), *key, context_.clock().now());
    if (const auto* refusal = std::get_if<Refusal>(&checked)) return note(*refusal, record);
    const Bytes serial_id = outside_serial_id(std::get<x509::CertificateFacts>(checked));
    if (waiting->has_certificate) return take_again(der, *waiting);
    if (const auto taken = store_.serial_taken(serial_id)) {
      return note({"serial-twice",
                   fmt::format("the CA gave serial {} to {} already", to_hex(std::get<x509::CertificateFacts>(checked).serial),
                               *taken),
                   "a CA gives each serial once: have it issued anew"},
                  record);
    }
    store_.take_in(batch_.id, TakenCertificate{waiting->record_no, to_bytes(der), serial_id});
    file_of_record_[record] = static_cast<std::uint32_t>(file_);
    ++taken_;
  }

  /// The same certificate once more is no harm: as a file and in a bundle, or the same command again.
  void take_again(ByteView der, const WaitingKey& waiting) {
    const std::uint32_t record = waiting.record_no.value;
    const auto before = store_.certificate(batch_.id, waiting.record_no);
    if (before && equal(*before, der)) {
      ++known_;
      return;
    }
    const std::uint32_t file = file_of_record_[record];
    note({"certificate-twice",
          fmt::format("a second, different certificate for the request of record {}; the first one {}", record,
                      file == kNoFile ? std::string{"was taken in before"} : "is in " + name_of(file)),
          "one request gets one certificate: ask the CA which one stands, and have it revoke the other"},
         record);
  }

  /// Not for a key of this batch: a certificate of the CA's chain, or a mistake.
  void take_other(ByteView der) {
    if (std::ranges::find(chain_, crypto::sha256(der)) != chain_.end()) {
      ++chain_certificates_;
      return;
    }
    const auto parsed = x509::parse_certificate(der);
    const auto* facts = std::get_if<x509::CertificateFacts>(&parsed);
    if (facts != nullptr && facts->is_ca) {  // a cross certificate, or a chain above the enrolled one
      ++chain_certificates_;
      return;
    }
    if (facts == nullptr) return note(std::get<Refusal>(parsed));
    note({"certificate-key",
          fmt::format("the certificate of {} is for a key that no request of this batch has", facts->subject),
          "it belongs to another batch, or the CA made a key of its own: the key must be the request's"});
  }

  Context& context_;
  const BatchRow& batch_;
  OutsideStore store_;
  InventoryStore inventory_;
  OutsideCertificates rules_;
  std::vector<Digest> chain_;
  std::vector<fs::path> files_;
  std::size_t file_ = 0;
  std::vector<std::uint32_t> file_of_record_;  // in this run
  std::uint64_t taken_ = 0, known_ = 0, chain_certificates_ = 0, requests_ = 0, problem_count_ = 0;
  std::vector<Problem> problems_;
};

struct Missing {
  std::uint64_t count = 0;
  Json records = Json::array();
  std::string shown;
};

Missing missing_of(Context& context, const BatchRow& batch) {
  Missing missing;
  OutsideStore{context.ledger()}.visit_missing(batch.id, [&](RecordNo record) {
    if (missing.count < kMaxMissing) missing.records.push_back(record.value);
    if (missing.count < kMaxShown) missing.shown += fmt::format("{}{}", missing.count == 0 ? "" : ", ", record.value);
    ++missing.count;
  });
  if (missing.count > kMaxShown) missing.shown += ", ...";
  return missing;
}

int Taking::report() const {
  const Missing missing = missing_of(context_, batch_);
  const std::string id = batch_.id.hex();
  const std::uint64_t taken = problem_count_ == 0 ? taken_ : 0;
  Json problems = Json::array();
  std::vector<std::string> lines;
  for (const Problem& problem : problems_) {
    problems.push_back({{"file", problem.file},
                        {"record_no", problem.record ? Json(*problem.record) : Json(nullptr)},
                        {"reason", problem.refusal.reason},
                        {"text", problem.refusal.text},
                        {"hint", problem.refusal.hint}});
    if (problems.size() > kMaxShown) continue;
    lines.push_back(fmt::format("{}{}: {}", problem.file,
                                problem.record ? fmt::format(", record {}", *problem.record) : std::string{},
                                problem.refusal.text));
    if (!problem.refusal.hint.empty()) lines.push_back("  hint: " + problem.refusal.hint);
  }
  if (problem_count_ > kMaxShown) lines.push_back(fmt::format("and {} more", problem_count_ - kMaxShown));
  if (problem_count_ > 0) {
    lines.push_back(fmt::format("nothing was taken in: {} certificates or files are wrong", problem_count_));
  } else {
    lines.push_back(fmt::format("{} certificates taken in for batch {} ({} were in before, {} of the CA's chain)", taken, id,
                                known_, chain_certificates_));
  }
  if (requests_ > 0) lines.push_back(fmt::format("{} files are requests: passed over", requests_));
  if (missing.count > 0) {
    lines.push_back(fmt::format("{} of {} are missing: records {}", missing.count, batch_.se_count, missing.shown));
  } else {
    lines.push_back(fmt::format("all {} are in; officers approve them: keyferry-appliance batch certify {}", batch_.se_count,
                                id.substr(0, 8)));
  }
  context_.out().result("certificates-taken",
                        Json{{"batch", id},
                             {"files", files_.size()},
                             {"taken", taken},
                             {"known", known_},
                             {"chain", chain_certificates_},
                             {"requests", requests_},
                             {"problem_count", problem_count_},
                             {"problems", std::move(problems)},
                             {"missing_count", missing.count},
                             {"missing", missing.records}},
                        lines);
  return problem_count_ == 0 && missing.count == 0 ? 0 : 1;
}

}  // namespace

int take_certificates(Context& context, std::string_view batch, const std::vector<fs::path>& from) {
  auto found = BatchStore{context.ledger()}.resolve(batch);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  const BatchRow row = std::get<BatchRow>(std::move(found));
  if (row.state != BatchState::Waiting) {
    throw to_error(Refusal{"batch-not-waiting",
                           fmt::format("batch {} is {}: it does not wait for certificates", row.id.hex(), state_name(row.state)),
                           "see keyferry-appliance batch status"});
  }
  const auto stored = PlanStore{context.ledger()}.find_batch(row.id);
  if (!stored) throw Error{Code::Storage, fmt::format("the ledger has no plan of batch {}", row.id.hex())};
  const auto plan = parse_plan(stored->octets);
  if (const auto* refusal = std::get_if<Refusal>(&plan)) throw to_error(*refusal);
  const Registry registry = context.ledger().registry();
  const KnownAuthority* authority = registry.authority(row.authority);
  if (authority == nullptr) throw Error{Code::NotFound, fmt::format("there is no CA \"{}\"", row.authority)};

  context.rest_gate();  // what an outsider gave is read while nobody is logged in to the HSM
  Taking taking{context, row, std::get<Plan>(plan), *authority};
  taking.find_files(from);
  OutsideStore{context.ledger()}.in_transaction([&] { return taking.take_all(); });
  taking.log_refusals();
  return taking.report();
}

}  // namespace keyferry::appliance
