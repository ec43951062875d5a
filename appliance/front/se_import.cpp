#include "appliance/front/se_import.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "appliance/front/context.h"
#include "appliance/front/delivered_check.h"
#include "appliance/front/inventory_csv.h"
#include "appliance/front/microchip_manifest.h"
#include "appliance/front/operation.h"
#include "appliance/front/preparations.h"
#include "appliance/ledger/inventory_store.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxShown = 20;
constexpr std::string_view kPreparation = "preparation";  // kind of source
constexpr std::size_t kRowsPerChunk = InventoryStore::kRowsPerTransaction;
constexpr std::size_t kHashBufferBytes = 1 << 20;

/// Reads the file once, hashing what it reads.
class HashedFile {
 public:
  explicit HashedFile(const std::filesystem::path& path)
      : path_{path}, fd_{open_regular_file(path, Code::NotFound)} {}

  std::size_t read(std::span<std::uint8_t> out) {
    while (true) {
      const ssize_t got = ::read(fd_.get(), out.data(), out.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw system_error(Code::Storage, "read " + path_.string(), errno);
      const auto size = static_cast<std::size_t>(got);
      hash_.update(out.first(size));
      return size;
    }
  }

  [[nodiscard]] std::uint64_t size_bytes() const { return file_size_bytes(fd_); }

  [[nodiscard]] Digest finish() {
    Bytes rest(kHashBufferBytes);
    while (read(rest) > 0) {
    }
    return hash_.finish();
  }

 private:
  std::filesystem::path path_;
  Fd fd_;
  crypto::Sha256 hash_;
};

/// The first kMaxShown problems are told at once, the rest is counted.
class Problems {
 public:
  Problems(Output& out, std::string file) : out_{out}, file_{std::move(file)} {}

  void add(const CsvProblem& problem) {
    const std::string where =
        fmt::format("{}:{}{}: {}",
                    file_,
                    problem.line,
                    problem.column.empty() ? "" : fmt::format(" ({})", problem.column),
                    problem.text);
    if (count_++ == 0) first_ = where;
    if (count_ <= kMaxShown) out_.note(where);
  }

  [[nodiscard]] std::uint64_t count() const { return count_; }

  [[nodiscard]] Refusal refusal() const {
    return Refusal{
        "inventory-invalid",
        fmt::format("{} problem{} in the inventory file, nothing was taken in; the first: {}",
                    count_,
                    count_ == 1 ? "" : "s",
                    first_),
        "correct the file at its source and import it again"};
  }

 private:
  Output& out_;
  std::string file_;
  std::string first_;
  std::uint64_t count_ = 0;
};

void add_doubled(Problems& problems, const std::vector<DoubledRow>& doubled) {
  for (const DoubledRow& row : doubled) {
    const bool serial = row.what == Doubled::Serial;
    const std::string what = serial ? "family, serial and key name" : "the same octets";
    problems.add(
        {row.line,
         serial ? "se_serial" : "transport_data",
         row.earlier_line != 0
             ? fmt::format("{} stand in line {} already", what, row.earlier_line)
             : fmt::format(
                   "{} are in the inventory already (source \"{}\")", what, row.earlier_source)});
  }
}

struct Staged {
  ImportId import;
  Digest sha256;
  std::uint64_t rows = 0;
  SaidCheckValues said = {};
};

/// Rows on their way into the ledger, a chunk in memory.
class Staging {
 public:
  Staging(Context& context, const std::string& name, const std::string& source, Problems& problems)
      : inventory_{context.ledger()},
        problems_{problems},
        staged_{.import = inventory_.begin_import(source, name, context.clock().now()), .sha256 = {}} {}

  void add(std::uint64_t line, se::Entry entry) {
    ++staged_.rows;
    chunk_.push_back({line, std::move(entry)});
    if (chunk_.size() == kRowsPerChunk) flush();
  }

  void add(std::uint64_t line, PreparedChip chip) {
    staged_.said.emplace_back(line, std::move(chip.check_value));
    add(line, std::move(chip.entry));
  }

  [[nodiscard]] Staged finish(HashedFile& file, const char* nothing) {
    flush();
    staged_.sha256 = file.finish();
    if (staged_.rows == 0 && problems_.count() == 0) problems_.add({1, "", nothing});
    return staged_;
  }

 private:
  void flush() {
    add_doubled(problems_, inventory_.stage(staged_.import, chunk_));
    chunk_.clear();
    progress_.at(staged_.rows);
    KF_CUT("front.se-import.chunk");
  }

  InventoryStore inventory_;
  Problems& problems_;
  Staged staged_;
  Progress progress_{"inventory rows", 0};
  std::vector<InventoryStore::Row> chunk_;
};

Staged stage_csv(HashedFile& file, const Registry& registry, Staging& staging, Problems& problems) {
  InventoryCsv csv{[&file](std::span<std::uint8_t> out) { return file.read(out); }, registry};
  while (true) {
    auto read = csv.next();
    if (const auto* problem = std::get_if<CsvProblem>(&read)) {
      problems.add(*problem);
      continue;
    }
    auto* line = std::get_if<InventoryLine>(&read);
    if (line == nullptr) break;
    staging.add(line->line, std::move(line->entry));
  }
  return staging.finish(file, "no row behind the header");
}

ManifestTerms manifest_terms(const Registry& registry,
                             const std::string& source,
                             const SeImportPlan::Manifest& manifest) {
  const KnownSource* known = registry.source(source);
  const auto signer =
      known == nullptr ? std::nullopt : crypto::PublicKey::from_point(known->public_key);
  if (!signer || !known->certificate_sha256) {
    throw Error{Code::Refused,
                fmt::format("source \"{}\" is not enrolled for manifests", printable(source)),
                "keyferry-appliance source add NAME --kind microchip-manifest --certificate FILE"};
  }
  const KnownMaster* master = registry.master(manifest.master);
  if (master == nullptr || master->destroyed || master->family != se::Family::Atecc608) {
    throw Error{Code::Refused,
                fmt::format("there is no transport-key master \"{}\" for family atecc608",
                            printable(manifest.master)),
                "keyferry-appliance transport-master create NAME --family atecc608"};
  }
  return ManifestTerms{.signer = *signer,
                       .certificate_sha256 = *known->certificate_sha256,
                       .master = manifest.master,
                       .lot = manifest.lot,
                       .attestation_slot = manifest.attestation_slot};
}

Staged stage_manifest(HashedFile& file, const ManifestTerms& terms, Staging& staging, Problems& problems) {
  const auto refusal = read_manifest(
      [&file](std::span<std::uint8_t> out) { return file.read(out); },
      terms,
      [&](std::uint64_t place, const std::variant<se::Entry, Refusal>& read) {
        if (const auto* entry = std::get_if<se::Entry>(&read)) return staging.add(place, *entry);
        problems.add({place, "", std::get<Refusal>(read).text});
      });
  if (refusal) problems.add({1, "", refusal->text});
  return staging.finish(file, "the manifest has no entry");
}

/// Lines of at most token::kMaxPreparationLine octets; a longer one comes cut, and is no receipt.
class Lines {
 public:
  explicit Lines(HashedFile& file) : file_{file} {}

  [[nodiscard]] std::optional<std::string> next() {
    std::string line;
    for (bool any = false;; any = true) {
      if (at_ == size_) {
        size_ = file_.read(buffer_);
        at_ = 0;
        if (size_ == 0) return any ? std::optional{line} : std::nullopt;
      }
      const char c = static_cast<char>(buffer_[at_++]);
      if (c == '\n') return line;
      if (line.size() <= token::kMaxPreparationLine) line += c;
    }
  }

 private:
  HashedFile& file_;
  Bytes buffer_ = Bytes(64 * 1024);
  std::size_t at_ = 0;
  std::size_t size_ = 0;
};

ReceiptTerms receipt_terms(Context& context, const Registry& registry, const std::string& source) {
  const KnownSource* known = registry.source(source);
  const auto preparer = known == nullptr ? std::nullopt : crypto::PublicKey::from_point(known->public_key);
  if (!preparer)
    throw Error{Code::Refused, fmt::format("source \"{}\" is not enrolled as a preparer", printable(source))};
  const auto order_of = [&context](const Digest& digest) -> std::optional<Plan> {
    const auto stored = PlanStore{context.ledger()}.find(digest);
    if (!stored || stored->state != PlanState::Run) return std::nullopt;
    auto plan = parse_plan(stored->octets);
    if (auto* parsed = std::get_if<Plan>(&plan)) return std::move(*parsed);
    return std::nullopt;
  };
  return {.source = source,
          .preparer = *preparer,
          .appliance = context.appliance_id(),
          .order_of = order_of};
}

Staged stage_receipts(HashedFile& file, const ReceiptTerms& terms, Staging& staging, Problems& problems) {
  Lines lines{file};
  const auto first = lines.next();
  if (first != token::kPreparationsHeader) {
    problems.add({1, "", "this is no file of receipts: its first line is another one"});
    return staging.finish(file, "no receipt");
  }
  std::map<Digest, std::uint32_t> chips;  // of each order
  for (std::uint64_t number = 2;; ++number) {
    const auto line = lines.next();
    if (!line) break;
    auto read = chip_of_receipt(*line, terms);
    auto* chip = std::get_if<PreparedChip>(&read);
    if (chip == nullptr) {
      problems.add({number, "", std::get<Refusal>(read).text});
    } else if (++chips[chip->order] > chip->order_count) {
      problems.add({number, "", fmt::format("its order was for {} chips at most", chip->order_count)});
    } else {
      staging.add(number, std::move(*chip));
    }
  }
  return staging.finish(file, "no receipt behind the first line");
}

/// What to read: a file by the rules of its source.
struct Wanted {
  std::string name, source;
  std::optional<SeImportPlan::Manifest> manifest;
};

Staged stage_file(Context& context, HashedFile& file, const Wanted& wanted, Problems& problems) {
  const Registry registry = context.ledger().registry();
  Staging staging{context, wanted.name, wanted.source, problems};
  const KnownSource* source = registry.source(wanted.source);
  if (source != nullptr && source->kind == kPreparation)
    return stage_receipts(file, receipt_terms(context, registry, wanted.source), staging, problems);
  if (!wanted.manifest) return stage_csv(file, registry, staging, problems);
  const ManifestTerms terms = manifest_terms(registry, wanted.source, *wanted.manifest);
  return stage_manifest(file, terms, staging, problems);
}

constexpr const char* kKeptName = "inventory.csv";

/// From the file to the plan's detail; the rows are staged. Refusals are reported to the log.
struct PreparedImport {
  Staged staged;
  SeImportPlan detail;
  std::optional<DeliveredSet> delivered;
};

PreparedImport prepare(Context& context,
                       const std::filesystem::path& path,
                       const Wanted& wanted,
                       Problems& problems) {
  InventoryStore inventory{context.ledger()};
  inventory.clean_staged();
  HashedFile file{path};
  const Staged staged = stage_file(context, file, wanted, problems);
  if (problems.count() > 0) {
    inventory.clean_staged();
    context.gate().report_refused("se-import", problems.refusal(), wanted.name);
    throw to_error(problems.refusal());
  }
  inventory.describe(staged.import, staged.sha256, staged.rows);
  KF_CUT("front.se-import.staged");
  SeImportPlan plan{wanted.source, wanted.name, staged.sha256, staged.rows, std::nullopt, 0, wanted.manifest};
  std::optional<DeliveredSet> delivered = delivered_set(context, staged.import);
  if (delivered) {
    plan.delivered_root = delivered->root;
    plan.delivered_count = delivered->count;
  }
  return {staged, std::move(plan), std::move(delivered)};
}

/// The approved plan at the gate: delivered keys are opened first, then the rows become inventory.
int carry_out(Context& context,
              const ApprovedPlan& approved,
              const PreparedImport& prepared,
              Problems& problems) {
  InventoryStore inventory{context.ledger()};
  const auto& [staged, plan, delivered] = prepared;
  if (delivered) {
    check_delivered(context, approved, staged.import, *delivered, staged.said, [&problems](const CsvProblem& problem) {
      problems.add(problem);
    });
    if (problems.count() > 0) {
      inventory.clean_staged();
      context.gate().report_refused("se-import", problems.refusal(), plan.file_name);
      throw to_error(problems.refusal());
    }
    KF_CUT("front.se-import.checked");
  }
  OperationInput input;
  input.action = import_final_action(staged.import);
  static_cast<void>(run_at_gate(context, approved.plan, approved.approvals, input));

  Json json{{"source", plan.source},
            {"file", plan.file_name},
            {"sha256", staged.sha256.hex()},
            {"rows", staged.rows},
            {"delivered", plan.delivered_count},
            {"inventory", inventory.visible_rows()},
            {"done_before", false}};
  context.out().result("se-import",
                       json,
                       {fmt::format("{} secure elements taken in from {} (source \"{}\")",
                                    staged.rows,
                                    plan.file_name,
                                    plan.source)});
  return 0;
}

/// Of options for a manifest; nothing for another source.
std::optional<SeImportPlan::Manifest> manifest_of(const ImportOptions& options, const std::string& kind) {
  const bool manifest = kind == "microchip-manifest";
  if (manifest != options.master.has_value()) {
    throw Error{Code::Usage,
                manifest ? "--master is missing: a manifest does not say how transport keys are known"
                         : "--master is for sources of kind microchip-manifest alone"};
  }
  if (!manifest) return std::nullopt;
  if (!is_name(*options.master) || !is_part_text(options.lot))
    throw Error{Code::Usage, "--master or --lot is not well-formed"};
  if (options.attestation_slot.value_or(0) >= se::kAtecc608SlotCount)
    throw Error{Code::Usage, "--attestation-slot: 0 to 15"};
  SeImportPlan::Manifest found{*options.master, options.lot};
  if (options.attestation_slot) found.attestation_slot = static_cast<std::uint8_t>(*options.attestation_slot);
  return found;
}

}  // namespace

int se_import(Context& context, const ImportOptions& options) {
  const auto& path = options.file;
  const std::string& source = options.source;
  const std::string name = printable(path.filename().string());
  GateSession& gate = context.gate();
  const auto refuse = [&](const Refusal& refusal) {
    gate.report_refused("se-import", refusal, name);
    throw to_error(refusal);
  };
  const Registry registry = context.ledger().registry();
  const KnownSource* known = registry.source(source);
  if (known == nullptr) {
    refuse({"source-unknown",
            fmt::format("no source \"{}\"", printable(source)),
            "add it first: keyferry-appliance source add NAME"});
  }
  const auto manifest = manifest_of(options, known->kind);
  if (known->kind != "officer-approved" && known->kind != kPreparation && !manifest) {
    refuse(
        {"source-kind",
         fmt::format("files of source \"{}\" ({}) cannot be taken in yet", source, known->kind)});
  }

  {
    HashedFile whole{path};
    const Digest sha256 = whole.finish();
    if (InventoryStore{context.ledger()}.imported(source, sha256)) {
      Json json{
          {"source", source}, {"file", name}, {"sha256", sha256.hex()}, {"done_before", true}};
      context.out().result(
          "se-import", json, {fmt::format("{} is in the inventory already", name)});
      return 0;
    }
  }
  Problems problems{context.out(), name};
  const PreparedImport prepared = prepare(context, path, Wanted{name, source, manifest}, problems);
  if (way_of(context, Operation::SeImport) == Way::ByPlanFile) {
    InventoryStore{context.ledger()}.clean_staged();  // staged anew from the kept file when the plan is run
  }
  const ApprovedPlan approved =
      approve_operation(context, Operation::SeImport, prepared.detail, {{kKeptName, path, {}}});
  return carry_out(context, approved, prepared, problems);
}

int run_se_import(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  const auto& approved = std::get<SeImportPlan>(plan.detail);
  Problems problems{context.out(), approved.file_name};
  const PreparedImport prepared = prepare(
      context,
      kept_input(context, plan, kKeptName),
      Wanted{approved.file_name, approved.source, approved.manifest},
      problems);
  if (prepared.detail.file_sha256 != approved.file_sha256 || prepared.detail.rows != approved.rows ||
      prepared.detail.delivered_root != approved.delivered_root ||
      prepared.detail.delivered_count != approved.delivered_count) {
    InventoryStore{context.ledger()}.clean_staged();
    const Refusal refusal{"inventory-other",
                          "the inventory file kept here is not the one that the plan names",
                          "somebody changed it: make the plan again from the source's file"};
    context.gate().report_refused("se-import", refusal, plan.digest.hex());
    throw to_error(refusal);
  }
  return carry_out(context, {plan, approvals}, prepared, problems);
}

}  // namespace keyferry::appliance
