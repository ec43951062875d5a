#include "appliance/front/se_import.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "appliance/front/context.h"
#include "appliance/front/delivered_check.h"
#include "appliance/front/inventory_csv.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/inventory_store.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxShown = 20;
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
};

Staged stage_file(Context& context,
                  HashedFile& file,
                  const std::string& name,
                  const std::string& source,
                  const Registry& registry,
                  Problems& problems) {
  InventoryStore inventory{context.ledger()};
  Staged staged{inventory.begin_import(source, name, context.clock().now()), {}, 0};
  InventoryCsv csv{[&file](std::span<std::uint8_t> out) { return file.read(out); }, registry};
  Progress progress{"inventory rows", 0};
  std::vector<InventoryStore::Row> chunk;
  const auto flush = [&] {
    add_doubled(problems, inventory.stage(staged.import, chunk));
    chunk.clear();
    progress.at(staged.rows);
    KF_CUT("front.se-import.chunk");
  };
  while (true) {
    auto read = csv.next();
    if (const auto* problem = std::get_if<CsvProblem>(&read)) {
      problems.add(*problem);
      continue;
    }
    auto* line = std::get_if<InventoryLine>(&read);
    if (line == nullptr) break;
    ++staged.rows;
    chunk.push_back({line->line, std::move(line->entry)});
    if (chunk.size() == kRowsPerChunk) flush();
  }
  flush();
  staged.sha256 = file.finish();
  if (staged.rows == 0 && problems.count() == 0) problems.add({1, "", "no row behind the header"});
  return staged;
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
                       const std::string& name,
                       const std::string& source,
                       Problems& problems) {
  const Registry registry = context.ledger().registry();
  InventoryStore inventory{context.ledger()};
  inventory.clean_staged();
  HashedFile file{path};
  const Staged staged = stage_file(context, file, name, source, registry, problems);
  if (problems.count() > 0) {
    inventory.clean_staged();
    context.gate().report_refused("se-import", problems.refusal(), name);
    throw to_error(problems.refusal());
  }
  inventory.describe(staged.import, staged.sha256, staged.rows);
  KF_CUT("front.se-import.staged");
  SeImportPlan plan{source, name, staged.sha256, staged.rows, std::nullopt, 0};
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
    check_delivered(context, approved, staged.import, *delivered, [&problems](const CsvProblem& problem) {
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

}  // namespace

int se_import(Context& context, const std::filesystem::path& path, const std::string& source) {
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
  if (known->kind != "officer-approved") {
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
  const PreparedImport prepared = prepare(context, path, name, source, problems);
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
      context, kept_input(context, plan, kKeptName), approved.file_name, approved.source, problems);
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
