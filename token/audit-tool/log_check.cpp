#include "token/audit-tool/log_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "token/audit/checkpoint.h"
#include "token/audit/tiles.h"
#include "token/bundle/items.h"
#include "token/signed_bytes.h"
#include "wrap/base/words.h"

namespace keyferry::audit_tool {
namespace {

constexpr std::size_t kOriginDigits = 32;

/// Holds what the leaves give against the tiles that are there.
class TileCompare {
 public:
  TileCompare(bundle::Reader& reader, std::string folder, Check check, Findings& findings)
      : reader_{reader}, folder_{std::move(folder)}, check_{check}, findings_{findings} {}

  void operator()(const std::string& path, ByteView octets) {
    const std::string file = folder_ + path;
    const auto there = reader_.read(file);
    if (const auto* refusal = std::get_if<Refusal>(&there)) {
      findings_.add(check_, file, *refusal);
    } else if (!equal(std::get<Bytes>(there), octets)) {
      findings_.add(check_, "tile-wrong", file, "it is not the tile that the leaves give");
    }
  }

 private:
  bundle::Reader& reader_;
  std::string folder_;
  Check check_;
  Findings& findings_;
};

void compare_root(const Checkpoints& roots,
                  std::uint64_t size,
                  const Digest& root,
                  Check check,
                  const std::string& whose,
                  Findings& findings) {
  const auto wanted = roots.find(size);
  if (wanted == roots.end() || wanted->second == root) return;
  findings.add(
      check,
      "root",
      fmt::format("{} at {} leaves", whose, size),
      "the leaves have another root than the one that was signed: the log was changed or forked");
}

/// Entry bundle `index` of a log below `folder`; false when it cannot be used.
bool visit_bundle(bundle::Reader& reader,
                  const std::string& folder,
                  std::uint64_t index,
                  std::uint64_t size,
                  Check check,
                  Findings& findings,
                  const std::function<void(ByteView)>& visit) {
  const std::size_t width = audit::tile_width(0, index, size);
  const std::string path = folder + audit::entry_bundle_path(index, width);
  const auto octets = reader.read(path);
  if (const auto* refusal = std::get_if<Refusal>(&octets)) {
    findings.add(check, path, *refusal);
    return false;
  }
  const auto leaves = audit::parse_entry_bundle(std::get<Bytes>(octets), width);
  if (const auto* refusal = std::get_if<Refusal>(&leaves)) {
    findings.add(check, path, *refusal);
    return false;
  }
  for (const ByteView leaf : std::get<std::vector<ByteView>>(leaves)) visit(leaf);
  return true;
}

/// The shown leaves of a bundle that hides others, one after another.
class ShownLeaves {
 public:
  ShownLeaves(bundle::Reader& reader, Findings& findings)
      : reader_{reader}, findings_{findings}, files_{reader.below("leaves/")} {}

  /// The leaf of that index, if it is shown.
  std::optional<Bytes> at(std::uint64_t index) {
    while (next_ == leaves_.size() && load()) {
    }
    if (next_ == leaves_.size() || leaves_[next_].index != index) return std::nullopt;
    return std::move(leaves_[next_++].leaf);
  }

  void finish() {
    while (next_ == leaves_.size() && load()) {
    }
    if (next_ < leaves_.size())
      findings_.add(Check::Log,
                    "leaf-extra",
                    fmt::format("leaf {}", leaves_[next_].index),
                    "it is out of order, shown twice, or beyond the log's end");
  }

 private:
  bool load() {
    if (file_ == files_.size()) return false;
    const std::string& path = files_[file_];
    leaves_.clear();
    next_ = 0;
    const auto octets = reader_.read(path);
    if (path != bundle::leaves_path(static_cast<std::uint32_t>(file_++))) {
      findings_.add(Check::Log,
                    "leaves-malformed",
                    path,
                    "no file of leaves has that name, or one before it is missing");
    } else if (const auto* refusal = std::get_if<Refusal>(&octets)) {
      findings_.add(Check::Log, path, *refusal);
    } else {
      parse(path, std::get<Bytes>(octets));
    }
    return true;
  }

  void parse(const std::string& path, ByteView octets) {
    const auto items = bundle::split_items(octets, bundle::kMaxItems);
    if (const auto* refusal = std::get_if<Refusal>(&items))
      return findings_.add(Check::Log, path, *refusal);
    for (const ByteView item : std::get<std::vector<ByteView>>(items)) {
      auto leaf = bundle::parse_shown_leaf(item);
      if (!leaf) return findings_.add(Check::Log, "leaves-malformed", path, "an item is no leaf");
      leaves_.push_back(std::move(*leaf));
    }
  }

  bundle::Reader& reader_;
  Findings& findings_;
  std::vector<std::string> files_;
  std::size_t file_ = 0;
  std::vector<bundle::ShownLeaf> leaves_;
  std::size_t next_ = 0;
};

}  // namespace

std::string log_origin(const ApplianceId& appliance) {
  return "keyferry/" + appliance.hex().substr(0, kOriginDigits);
}

std::optional<token::ApplianceCard> check_identity(bundle::Reader& reader,
                                                   ByteView fingerprint,
                                                   Findings& findings) {
  const std::string path{bundle::kCardName};
  const auto octets = reader.read(path);
  if (const auto* refusal = std::get_if<Refusal>(&octets)) {
    findings.add(Check::Identity, path, *refusal);
    return std::nullopt;
  }
  const auto parsed = token::parse_signed_bytes(std::get<Bytes>(octets));
  const auto* signed_card = std::get_if<token::SignedBytes>(&parsed);
  auto opened = signed_card != nullptr
                    ? token::open_appliance_card(*signed_card)
                    : std::variant<token::ApplianceCard, Refusal>{std::get<Refusal>(parsed)};
  if (const auto* refusal = std::get_if<Refusal>(&opened)) {
    findings.add(
        Check::Identity,
        "card",
        path,
        "the appliance's card is malformed or not signed by its own log key: " + refusal->reason);
    return std::nullopt;
  }
  auto& card = std::get<token::ApplianceCard>(opened);
  if (!equal(card.appliance_id.bytes().first(fingerprint.size()), fingerprint)) {
    findings.add(Check::Identity,
                 "fingerprint",
                 path,
                 "the bundle is of another appliance: its words are " +
                     key_words(card.appliance_id.bytes()));
    return std::nullopt;
  }
  if (reader.index().origin != log_origin(card.appliance_id))
    findings.add(Check::Identity,
                 "origin",
                 std::string{bundle::kIndexName},
                 "the index names another log than this appliance's");
  if (reader.index().environment != card.environment)
    findings.add(Check::Identity,
                 "environment",
                 std::string{bundle::kIndexName},
                 "the index names another environment than the appliance's card");
  return std::move(card);
}

Checkpoints check_checkpoints(bundle::Reader& reader,
                              const token::ApplianceCard& card,
                              Findings& findings) {
  Checkpoints roots;
  for (const std::string& path : reader.below("checkpoints/")) {
    const auto octets = reader.read(path);
    if (const auto* refusal = std::get_if<Refusal>(&octets)) {
      findings.add(Check::Log, path, *refusal);
      continue;
    }
    const auto checked = audit::verify_checkpoint(
        as_chars(std::get<Bytes>(octets)), log_origin(card.appliance_id), card.log_key);
    if (const auto* refusal = std::get_if<Refusal>(&checked)) {
      findings.add(Check::Log, path, *refusal);
      continue;
    }
    const auto& checkpoint = std::get<audit::Checkpoint>(checked);
    if (path != bundle::checkpoint_path(checkpoint.size)) {
      findings.add(Check::Log,
                   "checkpoint-name",
                   path,
                   fmt::format("it is the checkpoint of {} leaves", checkpoint.size));
      continue;
    }
    roots[checkpoint.size] = checkpoint.root;
  }
  const bundle::Index& index = reader.index();
  if (roots.empty() || roots.rbegin()->first != index.log_size ||
      roots.rbegin()->second != index.root) {
    findings.add(
        Check::Log,
        "checkpoint-newest",
        std::string{bundle::kIndexName},
        roots.empty()
            ? std::string{"no checkpoint of this appliance is in the bundle"}
            : fmt::format(
                  "the index says {} leaves, the newest checkpoint says {}, or another root",
                  index.log_size,
                  roots.rbegin()->first));
  }
  return roots;
}

void check_log(bundle::Reader& reader,
               const Checkpoints& checkpoints,
               const std::function<void(std::uint64_t, ByteView)>& take,
               const std::function<void(std::uint64_t)>& progress,
               Findings& findings) {
  const std::uint64_t size = reader.index().log_size;
  const std::uint64_t tiles = (size + audit::kTileWidth - 1) / audit::kTileWidth;
  // What is said to be there must be there before a size from outside is walked.
  if (!reader.has(audit::tile_path(0, tiles - 1, audit::tile_width(0, tiles - 1, size)))) {
    return findings.add(Check::Log,
                        "log-cut",
                        fmt::format("{} leaves", size),
                        "the bundle has no tiles for a log of that size");
  }
  const bool all = reader.index().scope.kind == bundle::ScopeKind::All;
  audit::TileMaker maker{TileCompare{reader, "", Check::Log, findings},
                         audit::TileMaker::Entries::LeftOut};
  ShownLeaves shown{reader, findings};
  const auto add = [&](const Digest& hash) {
    maker.append_hash(hash);
    compare_root(checkpoints, maker.size(), maker.root(), Check::Log, "the log", findings);
  };
  for (std::uint64_t tile = 0; tile < tiles; ++tile) {
    if (all) {
      const auto visit = [&](ByteView leaf) {
        const std::uint64_t index = maker.size();
        add(audit::leaf_hash(leaf));
        take(index, leaf);
      };
      if (!visit_bundle(reader, "", tile, size, Check::Log, findings, visit)) return;
    } else {
      const std::size_t width = audit::tile_width(0, tile, size);
      const std::string path = audit::tile_path(0, tile, width);
      const auto octets = reader.read(path);
      if (const auto* refusal = std::get_if<Refusal>(&octets))
        return findings.add(Check::Log, path, *refusal);
      const auto hashes = audit::parse_tile(std::get<Bytes>(octets), width);
      if (const auto* refusal = std::get_if<Refusal>(&hashes))
        return findings.add(Check::Log, path, *refusal);
      for (const Digest& hash : std::get<std::vector<Digest>>(hashes)) {
        const std::uint64_t index = maker.size();
        add(hash);
        const auto leaf = shown.at(index);
        if (!leaf) continue;
        if (audit::leaf_hash(*leaf) != hash) {
          findings.add(Check::Log,
                       "leaf-changed",
                       fmt::format("leaf {}", index),
                       "its hash is not the one in the log");
        } else {
          take(index, *leaf);
        }
      }
    }
    progress(maker.size());
  }
  maker.finish();
  shown.finish();
}

bool check_station_log(bundle::Reader& reader,
                       const StationId& station,
                       std::uint32_t generation,
                       const Checkpoints& roots,
                       const std::function<void(std::uint64_t, ByteView)>& take,
                       Findings& findings) {
  const std::string folder = bundle::station_log_path(station, generation);
  if (reader.below(folder).empty() || roots.empty()) return false;
  const std::uint64_t size = roots.rbegin()->first;
  if (size > bundle::kMaxLogSize) {
    findings.add(Check::Receipts, "station-log-size", folder, "no bundle holds a log of that size");
    return true;
  }
  const std::uint64_t tiles = (size + audit::kTileWidth - 1) / audit::kTileWidth;
  audit::TileMaker maker{TileCompare{reader, folder, Check::Receipts, findings},
                         audit::TileMaker::Entries::LeftOut};
  for (std::uint64_t tile = 0; tile < tiles; ++tile) {
    const auto visit = [&](ByteView leaf) {
      take(maker.size(), leaf);
      maker.append_hash(audit::leaf_hash(leaf));
      compare_root(roots,
                   maker.size(),
                   maker.root(),
                   Check::Receipts,
                   "the log of station " + station.hex(),
                   findings);
    };
    if (!visit_bundle(reader, folder, tile, size, Check::Receipts, findings, visit)) return true;
  }
  maker.finish();
  return true;
}

}  // namespace keyferry::audit_tool
