#include "appliance/front/delivered_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/front/context.h"
#include "appliance/ledger/delivered_store.h"
#include "keyferry/v1/gate.pb.h"
#include "token/audit/merkle.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kColumn = "transport_data";

/// Calls `visit` for each block of rows, in order.
void visit_blocks(DeliveredStore& store,
                  ImportId import,
                  const std::function<void(const std::vector<DeliveredRow>&)>& visit) {
  SeId after{0};
  while (true) {
    const std::vector<DeliveredRow> rows = store.rows(import, after, kDeliveredBlock);
    if (rows.empty()) return;
    after = rows.back().id;
    visit(rows);
  }
}

v1::GateRequest block_request(const ApprovedPlan& approved,
                              const DeliveredSet& delivered,
                              std::uint32_t index,
                              const std::vector<DeliveredRow>& rows) {
  v1::GateRequest request;
  v1::CheckDeliveredRequest& check = *request.mutable_check_delivered();
  check.set_plan(to_string(approved.plan.octets));
  for (const Bytes& approval : approved.approvals) set_signed(*check.add_approvals(), approval);
  check.set_index(index);
  for (const DeliveredRow& row : rows) check.add_entries(to_string(se::canonical_entry(row.entry)));
  for (const Digest& hash :
       audit::subtree_path(delivered.block_roots, index, kDeliveredBlock, delivered.count)) {
    check.add_path(hash.str());
  }
  return request;
}

CsvProblem seen_before(const DoubledKey& doubled) {
  return {doubled.line,
          kColumn,
          doubled.earlier_line != 0
              ? fmt::format("the same transport key, wrapped anew, stands in line {} already",
                            doubled.earlier_line)
              : fmt::format("the same transport key, wrapped anew, is that of SE {}",
                            doubled.earlier_se)};
}

/// True where nothing was said.
bool fits(const SaidCheckValues& said, std::uint64_t line, ByteView check_value) {
  const auto found = std::ranges::lower_bound(said, line, {}, &SaidCheckValues::value_type::first);
  return found == said.end() || found->first != line || equal(found->second, check_value);
}

}  // namespace

std::optional<DeliveredSet> delivered_set(Context& context, ImportId import) {
  DeliveredStore store{context.ledger()};
  DeliveredSet delivered;
  audit::Frontier frontier;
  visit_blocks(store, import, [&](const std::vector<DeliveredRow>& rows) {
    std::vector<Digest> leaves;
    leaves.reserve(rows.size());
    for (const DeliveredRow& row : rows) {
      leaves.push_back(se::entry_leaf_hash(se::canonical_entry(row.entry)));
    }
    delivered.block_roots.push_back(audit::tree_root(leaves));
    frontier.append(leaves);
    delivered.count += rows.size();
  });
  if (delivered.count == 0) return std::nullopt;
  delivered.root = frontier.root();
  return delivered;
}

void check_delivered(Context& context,
                     const ApprovedPlan& approved,
                     ImportId import,
                     const DeliveredSet& delivered,
                     const SaidCheckValues& said,
                     const std::function<void(const CsvProblem&)>& problem) {
  DeliveredStore store{context.ledger()};
  Progress progress{"transport keys opened", delivered.count};
  std::vector<CheckedRow> checked;
  const auto note = [&] {
    for (const DoubledKey& doubled : store.add(import, std::move(checked)))
      problem(seen_before(doubled));
    checked.clear();
  };
  std::uint32_t index = 0;
  std::uint64_t done = 0;
  visit_blocks(store, import, [&](const std::vector<DeliveredRow>& rows) {
    const v1::GateReply reply =
        context.gate().call(block_request(approved, delivered, index, rows));
    if (reply.delivered().check_values_size() != static_cast<int>(rows.size())) {
      throw Error{Code::Channel, "the gate did not answer for each delivered transport key"};
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string& value = reply.delivered().check_values(static_cast<int>(i));
      if (value.empty()) {
        problem({rows[i].line,
                 kColumn,
                 fmt::format("the blob does not open under kf-vendor/{}, or holds no AES-256 key",
                             rows[i].entry.transport_name)});
      } else if (!fits(said, rows[i].line, as_bytes(value))) {
        problem({rows[i].line, kColumn, "the blob opens to another transport key than its signer put into the chip"});
      } else {
        checked.push_back({rows[i].id, rows[i].line, to_bytes(as_bytes(value))});
      }
    }
    ++index;
    done += rows.size();
    progress.at(done);
    KF_CUT("front.delivered.block");
    if (checked.size() + kDeliveredBlock > DeliveredStore::kRowsPerTransaction) note();
  });
  note();
}

}  // namespace keyferry::appliance
