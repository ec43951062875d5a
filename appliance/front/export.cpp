#include "appliance/front/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "appliance/front/batch_files.h"
#include "appliance/front/batch_hooks.h"
#include "appliance/front/context.h"
#include "appliance/front/custody.h"
#include "appliance/front/ends.h"
#include "appliance/front/operation.h"
#include "appliance/front/own_card.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/gate.pb.h"
#include "token/layout.h"
#include "token/medium.h"
#include "token/signed_bytes.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kExportBegun = "export-begun";  // data: batch id, token id, u64be time

Action begun_action(const BatchId& batch, const TokenId& token, UtcMillis now) {
  Action action{kExportBegun, to_bytes(batch.bytes())};
  append(action.data, token.bytes());
  append_u64be(action.data, static_cast<std::uint64_t>(now.value));
  return action;
}

BatchRow batch_by_name(Context& context, std::string_view text) {
  auto found = BatchStore{context.ledger()}.resolve(text);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  return std::get<BatchRow>(std::move(found));
}

struct TokenPart {
  std::string name;
  std::filesystem::path source;
  std::uint64_t size_bytes = 0;
};

class Export {
 public:
  Export(Context& context, BatchRow batch, const std::filesystem::path& to)
      : context_{context},
        batch_{std::move(batch)},
        store_{context.ledger()},
        card_{own_card(context)},
        medium_{to},
        folder_{to} {}

  int run() {
    collect();
    const TokenId token = choose_token();
    check_room();
    const Bytes ticket = ticket_for(token);
    context_.leave_gate();  // nobody is logged in while the stick is written
    write(token, ticket);
    print(token);
    return 0;
  }

 private:
  void collect() {
    const auto folder = context_.paths().batch(batch_.id);
    const auto add = [&](const std::string& name, std::optional<SegmentIndex> index) {
      const auto source = part_files(folder, index).container;
      parts_.push_back({name, source, file_size_bytes(open_regular_file(source, Code::Storage))});
    };
    for (const SealedPart& part : store_.segments(batch_.id))
      add(token::segment_name(batch_.id, *part.index), part.index);
    add(token::manifest_name(batch_.id), std::nullopt);  // last: a token without it is half made
  }

  // The id of the card on the token; else the one that a cut run was given and never got onto a
  // token; else a new one.
  TokenId choose_token() {
    if (const auto there = token_on_medium()) return *there;
    if (const auto enrolled = enrolled_token(context_, medium_)) return *enrolled;
    static_cast<void>(
        context_.gate());  // settles an export that was cut off while the gate agreed to it
    for (const ExportRow& row : store_.exports(batch_.id)) {
      if (row.state == "begun") return row.token;
    }
    return context_.random().id<TokenId>();
  }

  std::optional<TokenId> token_on_medium() {
    const auto read = token::read_in(medium_, std::string{token::kTokenCardName});
    if (const auto* refusal = std::get_if<Refusal>(&read)) {
      if (refusal->reason == "absent") return std::nullopt;
      throw to_error(unusable(refusal->text));
    }
    const auto parsed = token::parse_signed_bytes(std::get<Bytes>(read));
    const auto* octets = std::get_if<token::SignedBytes>(&parsed);
    if (octets == nullptr ||
        !token::verify_signed(*octets, crypto::SignatureKind::TokenCard, card_.export_key)) {
      throw to_error(unusable("its card is not signed by this appliance"));
    }
    const auto card = token::parse_token_card(octets->payload);
    const auto* found = std::get_if<token::TokenCard>(&card);
    if (found == nullptr || found->appliance_id != card_.appliance_id)
      throw to_error(unusable("its card is not ours"));
    return found->token_id;
  }

  Refusal unusable(const std::string& why) const {
    return Refusal{"token-foreign",
                   fmt::format("the token at {} cannot be used: {}", folder_.string(), why),
                   "take another token, or erase this one"};
  }

  void check_room() {
    std::uint64_t needed = token::kRoomToSpareBytes;
    const token::TokenListing there = token::list_token(medium_);
    for (const TokenPart& part : parts_) {
      const auto same = std::ranges::find(there.files, part.name, &token::TokenFile::name);
      if (same == there.files.end() || same->size_bytes != part.size_bytes)
        needed += part.size_bytes;
    }
    if (const std::uint64_t free = medium_.free_bytes(); free < needed) {
      throw Error{Code::Medium,
                  fmt::format("batch {} needs {} MiB on the token, {} has {} MiB free",
                              batch_.id.hex(),
                              (needed >> 20) + 1,
                              folder_.string(),
                              free >> 20),
                  "take a larger token; nothing was written"};
    }
  }

  // The ticket is given once for a token and kept: the same token again needs no HSM.
  Bytes ticket_for(const TokenId& token) {
    for (const ExportRow& row : store_.exports(batch_.id)) {
      if (row.token == token && !row.token_card.empty()) return row.token_card;
    }
    const auto plan = PlanStore{context_.ledger()}.find_batch(batch_.id);
    if (!plan)
      throw Error{Code::Storage,
                  fmt::format("the plan of batch {} is not in the ledger", batch_.id.hex())};
    v1::GateRequest request;
    v1::ExportRequest& asked = *request.mutable_export_token();
    asked.set_plan(to_string(plan->octets));
    asked.set_token_id(token.str());
    asked.set_checkpoint_seen_back(
        context_.ledger().text_value("checkpoint_seen_back").value_or(""));
    KF_CUT("front.export.before-ticket");
    const v1::GateReply reply = context_.gate().call(
        std::move(request), begun_action(batch_.id, token, context_.clock().now()));
    KF_CUT("front.export.ticket");
    if (!reply.has_ticket())
      throw Error{Code::Channel, "the gate did not answer with a token card"};
    Bytes ticket = to_bytes(as_bytes(reply.ticket().token_card().SerializeAsString()));
    store_.keep_token_card(batch_.id, token, ticket);
    KF_CUT("front.export.ticket-kept");
    return ticket;
  }

  void write(const TokenId& token, const Bytes& ticket) {
    note(token::write_out(medium_, std::string{token::kTokenCardName}, ticket, Overwrite::Replace));
    note(token::write_out(medium_,
                          std::string{token::kApplianceCardName},
                          own_card_octets(context_),
                          Overwrite::Replace));
    if (const auto list = revocations(context_)) {
      note(token::write_out(
          medium_, std::string{token::kRevocationsName}, *list, Overwrite::Replace));
    }
    KF_CUT("front.export.card-written");
    mark(token, "begun", "writing");
    std::uint64_t total = 0, done = 0;
    for (const TokenPart& part : parts_) total += part.size_bytes;
    Progress progress{"token (bytes)", total};
    for (const TokenPart& part : parts_) {
      note(token::write_out(
          medium_, part.name, open_regular_file(part.source, Code::Storage), Overwrite::Refuse));
      KF_CUT("front.export.part-written");
      done += part.size_bytes;
      progress.at(done);
    }
    mark(token, "writing", "done");
    KF_CUT("front.export.done");
  }

  void mark(const TokenId& token, std::string_view from, const std::string& to) {
    for (const ExportRow& row : store_.exports(batch_.id)) {
      if (row.token == token && row.state == from) {
        store_.set_export_state(batch_.id, token, to, context_.clock().now());
      }
    }
  }

  void note(token::WriteOut result) {
    if (result == token::WriteOut::Written) ++written_;
  }

  void print(const TokenId& token) {
    std::uint64_t bytes = 0;
    for (const TokenPart& part : parts_) bytes += part.size_bytes;
    const std::size_t files = parts_.size() + 2 + (revocations(context_) ? 1 : 0);
    context_.out().result(
        "export",
        Json{{"batch", batch_.id.hex()},
             {"token", token.hex()},
             {"station_id", batch_.station.hex()},
             {"folder", folder_.string()},
             {"files", files},
             {"written", written_},
             {"bytes", bytes}},
        {fmt::format("batch {} is on token {}: {} files, {} bytes, read back and compared",
                     batch_.id.hex(),
                     token.hex(),
                     files,
                     bytes),
         "safe to remove after unmounting"});
  }

  Context& context_;
  BatchRow batch_;
  BatchStore store_;
  token::ApplianceCard card_;
  token::FolderMedium medium_;
  std::filesystem::path folder_;
  std::vector<TokenPart> parts_;
  std::size_t written_ = 0;
};

constexpr const char* kBatchSuspended = "batch-suspended";  // data: batch id, 1 or 0

std::string suspended_key(const BatchId& batch) { return "suspended-" + batch.hex(); }

}  // namespace

Action suspended_action(const BatchId& batch, bool suspended) {
  Action action{kBatchSuspended, to_bytes(batch.bytes())};
  action.data.push_back(suspended ? 1 : 0);
  return action;
}

bool is_suspended(Ledger& ledger, const BatchId& batch) {
  const auto value = ledger.value(suspended_key(batch));
  return value && *value == Bytes{1};
}

int export_batch(Context& context, std::string_view batch, const std::filesystem::path& to) {
  // What a cut run was granted may still be pending: the gate settles it, and then the token's id
  // is known.
  Ledger& ledger = context.ledger();
  if (ledger.log_size() != ledger.final_log_size()) static_cast<void>(context.gate());
  BatchRow row = batch_by_name(context, batch);
  if (!next(row.state, BatchEvent::Exported)) {
    throw to_error(Refusal{
        "batch-state",
        fmt::format("batch {} is {}: it cannot go out", row.id.hex(), state_name(row.state)),
        row.state == BatchState::Closed ? "a closed batch does not leave again"
                                        : "`keyferry-appliance plan run FILE` finishes it"});
  }
  if (is_suspended(context.ledger(), row.id)) {  // also where the token's ticket is there already
    throw to_error(Refusal{"batch-suspended",
                           fmt::format("batch {} is suspended", row.id.hex()),
                           "officers let it go on: keyferry-appliance batch resume ID --reason TEXT"});
  }
  return Export{context, std::move(row), to}.run();
}

int reexport_batch(Context& context, std::string_view batch, const std::string& reason) {
  const BatchRow row = batch_by_name(context, batch);
  static_cast<void>(
      run_operation(context, Operation::BatchReexport, BatchReexportPlan{row.id, reason}));
  context.out().result("reexport",
                       Json{{"batch", row.id.hex()}, {"reason", reason}},
                       {fmt::format("batch {} may go out on one more token", row.id.hex())});
  return 0;
}

void register_export_actions(Ledger& ledger) {
  ledger.on_action(kBatchSuspended, [&ledger](store::Database&, ByteView data) {
    const auto batch = BatchId::from_bytes(data.first(BatchId::kSizeBytes));
    ledger.set_value_in_transaction(suspended_key(*batch), data.subspan(BatchId::kSizeBytes));
  });
  ledger.on_action(kExportBegun, [](store::Database& database, ByteView data) {
    const auto batch = BatchId::from_bytes(data.first(BatchId::kSizeBytes));
    const auto token = TokenId::from_bytes(data.subspan(BatchId::kSizeBytes, TokenId::kSizeBytes));
    const UtcMillis now{static_cast<std::int64_t>(
        read_u64be(data.subspan(BatchId::kSizeBytes + TokenId::kSizeBytes)))};
    BatchStore::begin_export_in(database, *batch, *token, now);
    BatchStore::advance_in(database, *batch, BatchEvent::Exported, now);
  });
}

}  // namespace keyferry::appliance
