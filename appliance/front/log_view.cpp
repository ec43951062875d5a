#include "appliance/front/log_view.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/leaf_text.h"
#include "appliance/front/own_card.h"
#include "appliance/front/station_log_check.h"
#include "appliance/ledger/hsm_epochs.h"
#include "token/audit/checkpoint.h"
#include "token/audit/merkle.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

struct Newest {
  audit::Checkpoint checkpoint;
  std::string note;
};

Newest newest_checkpoint(Context& context) {
  const auto newest = context.ledger().newest_checkpoint();
  if (!newest) {
    throw Error{Code::NotFound,
                "the log has no checkpoint yet",
                "give the same keyferry-appliance init command again"};
  }
  const token::ApplianceCard card = own_card(context);
  auto verified = audit::verify_checkpoint(newest->note, log_name(card.appliance_id), card.log_key);
  if (const auto* refusal = std::get_if<Refusal>(&verified)) {
    throw Error{Code::Storage,
                "the newest checkpoint in the ledger is not this appliance's: " + refusal->text,
                "restore the ledger from its newest backup"};
  }
  return {std::get<audit::Checkpoint>(std::move(verified)), newest->note};
}

Json leaf_json(std::uint64_t index, const LeafText& leaf, bool final) {
  Json json{{"index", index},
            {"time", to_rfc3339(leaf.time)},
            {"origin", leaf.origin},
            {"event", leaf.event}};
  if (!final) json["pending"] = true;
  json["fields"] = leaf.fields;
  return json;
}

std::string leaf_line(std::uint64_t index, const LeafText& leaf, bool final) {
  return fmt::format("{} {} {} {}{}",
                     index,
                     to_rfc3339(leaf.time),
                     leaf.origin,
                     one_line(leaf),
                     final ? "" : " (pending)");
}

int show_proof(Context& context, std::uint64_t index) {
  const Newest newest = newest_checkpoint(context);
  const std::uint64_t size = newest.checkpoint.size;
  if (index >= size) {
    throw to_error(Refusal{
        "log-index", fmt::format("the newest checkpoint covers leaves 0 to {}", size - 1), ""});
  }
  std::vector<Digest> hashes;
  Bytes octets;
  context.ledger().visit_leaves(0, [&](std::uint64_t at, ByteView leaf, bool) {
    if (at < size) hashes.push_back(audit::leaf_hash(leaf));
    if (at == index) octets = to_bytes(leaf);
  });
  const audit::Proof proof =
      hashes.size() == size ? audit::inclusion_proof(hashes, index) : audit::Proof{};
  if (hashes.size() != size ||
      !audit::verify_inclusion(hashes[index], index, size, proof, newest.checkpoint.root)) {
    throw Error{Code::Storage,
                "the ledger's log is not the one of its newest checkpoint",
                "it was edited or cut: restore the ledger from its newest backup"};
  }
  Json path = Json::array();
  std::vector<std::string> lines{leaf_line(index, leaf_text(octets), true),
                                 "leaf " + to_hex(octets),
                                 "leaf hash " + hashes[index].hex()};
  for (const Digest& hash : proof) {
    path.push_back(hash.hex());
    lines.push_back("path " + hash.hex());
  }
  lines.push_back(newest.note);
  context.out().result("log-proof",
                       Json{{"index", index},
                            {"size", size},
                            {"leaf", to_hex(octets)},
                            {"leaf_hash", hashes[index].hex()},
                            {"path", path},
                            {"root", newest.checkpoint.root.hex()},
                            {"checkpoint", newest.note},
                            {"decoded", leaf_json(index, leaf_text(octets), true)}},
                       lines);
  return 0;
}

/// Nothing for the log of the HSM in use.
std::optional<OldHsm> old_hsm(Context& context, std::optional<std::uint32_t> epoch) {
  HsmEpochs epochs{context.ledger()};
  if (!epoch || *epoch == epochs.current()) return std::nullopt;
  for (OldHsm& old : epochs.all()) {
    if (old.epoch == *epoch) return std::move(old);
  }
  throw Error{Code::NotFound, fmt::format("there was no HSM of epoch {}", *epoch)};
}

}  // namespace

int show_log(Context& context, const LogShowOptions& options) {
  if (options.proof) return show_proof(context, *options.proof);
  const std::optional<OldHsm> old = old_hsm(context, options.epoch);
  const std::uint64_t size = old ? old->log_size : context.ledger().log_size();
  const std::uint64_t end = options.count && *options.count < size - std::min(size, options.from)
                                ? options.from + *options.count
                                : size;
  const bool json = context.out().json();
  if (json)
    fmt::print(stdout, "{{\n\"schema\": \"keyferry.log.v1\",\n\"size\": {},\n\"leaves\": [", size);
  bool first = true;
  const auto show = [&](std::uint64_t index, ByteView octets, bool final) {
    if (index < options.from || index >= end) return;
    const LeafText leaf = leaf_text(octets);
    if (json) {
      fmt::print(stdout, "{}\n {}", first ? "" : ",", leaf_json(index, leaf, final).dump());
    } else {
      context.out().line(leaf_line(index, leaf, final));
    }
    first = false;
  };
  if (old) {
    HsmEpochs{context.ledger()}.visit_old_leaves(old->epoch, show);
  } else {
    context.ledger().visit_leaves(options.from, show);
  }
  if (json) fmt::print(stdout, "]\n}}\n");
  std::fflush(stdout);
  return 0;
}

int show_checkpoint(Context& context) {
  const Newest newest = newest_checkpoint(context);
  const std::string words = audit::checkpoint_words(newest.checkpoint);
  context.out().result(
      "checkpoint",
      Json{{"origin", newest.checkpoint.origin},
           {"size", newest.checkpoint.size},
           {"root", newest.checkpoint.root.hex()},
           {"words", words},
           {"note", newest.note}},
      {newest.note, fmt::format("{} leaves; words: {}", newest.checkpoint.size, words)});
  return 0;
}

}  // namespace keyferry::appliance
