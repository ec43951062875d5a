#include "station-agent/load.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "station-agent/checkpoints.h"
#include "station-agent/declaration.h"
#include "station-agent/revocations.h"
#include "token/container_open.h"
#include "token/layout.h"
#include "token/ordered_crew.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"

namespace keyferry::station {
namespace {

namespace fs = std::filesystem;
using token::Checked;
using token::ContainerType;

struct DriverRow {
  token::Family family;
  bool verifies_firmware;
};

/// The families that this station drives.
constexpr std::array kDrivers{DriverRow{token::Family::Pkcs11, false},
                              DriverRow{token::Family::Atecc608, true}};

const DriverRow* driver_of(token::Family family) {
  const auto* row = std::ranges::find(kDrivers, family, &DriverRow::family);
  return row == kDrivers.end() ? nullptr : row;
}

/// A container of ours on our own disk, signature checked, not opened yet.
struct Verified {
  Fd file;
  token::Outline outline;
};

class Loader {
 public:
  explicit Loader(const LoadContext& context) : context_{context} {}

  std::variant<LoadReport, Refusal> run() {
    LoadReport report;
    if (auto refusal = check_card()) {
      // A token without a card may still bring the revocation list: that is signed by itself.
      if (refusal->reason != "card-absent" || !take_list(0, report) || !list_is_new_) return *refusal;
      return report;
    }
    take_list(revocation_number_, report);
    if (auto refusal = retired_refusal(context_.store)) return *refusal;
    const token::TokenListing listing = token::list_token(context_.medium);
    report.strange = listing.strange;
    std::set<token::TokenName> there;
    for (const token::TokenFile& file : listing.files) there.insert(file.parsed);
    bool any = false;
    for (const token::TokenFile& file : listing.files) {
      const auto* manifest = std::get_if<token::ManifestName>(&file.parsed);
      if (manifest == nullptr) continue;
      any = true;
      if (auto refusal = may_load(manifest->batch_id)) {
        report.refused.push_back({file.name, *refusal});
        continue;
      }
      if (auto refusal = load_manifest(*manifest)) {
        report.refused.push_back({file.name, *refusal});
        continue;
      }
      load_segments(manifest->batch_id, there, report);
    }
    if (!any)
      return Refusal{"no-batch", "there is no batch on this token", "is this the right token?"};
    return report;
  }

 private:
  /// True when a list is in force; the newest one that ever came stays so, whatever this token brings.
  bool take_list(std::uint64_t needed, LoadReport& report) {
    const auto before = context_.store.revocation_state();
    const auto taken =
        take_revocations(context_.store, context_.medium, context_.station, context_.appliance, needed);
    if (const auto* refusal = std::get_if<Refusal>(&taken)) {
      report.refused.push_back({std::string{token::kRevocationsName}, *refusal});
    }
    const auto after = context_.store.revocation_state();
    report.revocations = after ? after->number : 0;
    missing_list_ = needed > report.revocations;
    list_is_new_ = report.revocations > (before ? before->number : 0);
    return after.has_value();
  }

  std::optional<Refusal> check_card() {
    auto octets = token::read_in(context_.medium, std::string{token::kTokenCardName});
    if (const auto* refusal = std::get_if<Refusal>(&octets)) {
      return Refusal{"card-" + refusal->reason,
                     "no token card: " + refusal->text,
                     "is this a token of keyferry?"};
    }
    const auto signed_card = token::parse_signed_bytes(std::get<Bytes>(octets));
    if (std::holds_alternative<Refusal>(signed_card))
      return Refusal{"card-malformed", "the token card is damaged"};
    const auto& bytes = std::get<token::SignedBytes>(signed_card);
    if (!token::verify_signed(
            bytes, crypto::SignatureKind::TokenCard, context_.appliance.export_key)) {
      return Refusal{"card-signature",
                     "the token card is not signed by the appliance that this station belongs to"};
    }
    const auto parsed = token::parse_token_card(bytes.payload);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
    const auto& card = std::get<token::TokenCard>(parsed);
    if (card.appliance_id != context_.appliance.appliance_id ||
        card.environment != context_.station.environment) {
      return Refusal{"card-appliance", "the token is of another appliance or environment"};
    }
    if (card.station_id != context_.station.station_id) {
      return Refusal{"card-station",
                     "the token is for station " + card.station_id.hex(),
                     "bring it to that station"};
    }
    revocation_number_ = card.revocation_number;
    if (auto refusal = see_checkpoint(context_.store, card.checkpoint, context_.appliance.log_key))
      return refusal;
    return see_checkpoint(context_.store, card.checkpoint_seen_back, context_.appliance.log_key);
  }

  /// Copy first, then check the copy; the stick is not read again.
  std::variant<Verified, Refusal> verified_copy(const std::string& name,
                                                ContainerType type,
                                                const BatchId& batch_id,
                                                std::optional<std::uint32_t> index,
                                                std::uint64_t max_bytes) {
    const fs::path copy = context_.home.inbox() / "container.kf";
    make_private_directory(context_.home.inbox());
    const auto copied =
        token::copy_in(context_.medium, name, copy, token::FileForm::Container, max_bytes);
    if (const auto* refusal = std::get_if<Refusal>(&copied)) return *refusal;
    KF_CUT("station.copied");
    Fd file = open_regular_file(copy, Code::Storage);
    token::Expectation expected{.type = type,
                                .environment = context_.station.environment,
                                .recipient = context_.station.agreement_key.key_id(),
                                .max_body_bytes = max_bytes};
    expected.sender = context_.appliance.export_key.key_id();
    expected.batch_id = batch_id;
    expected.index = index;
    auto outline = token::outline(file, expected, token::usual_threads());
    if (const auto* refusal = std::get_if<Refusal>(&outline)) return *refusal;
    Verified verified{std::move(file), std::move(std::get<token::Outline>(outline))};
    const Checked signature =
        token::check_signature(verified.outline, context_.appliance.export_key);
    if (const auto* refusal = std::get_if<Refusal>(&signature)) return *refusal;
    return verified;
  }

  /// Nothing: a container that was not seen before. True: seen, the same. Refusal: same id, other
  /// content.
  std::variant<bool, Refusal> seen_before(const token::Outline& outline) {
    const auto digest = context_.store.container_digest(outline.header.container_id);
    if (!digest) return false;
    if (*digest == outline.digest) return true;
    context_.store.note_incident("container-replayed", outline.header.container_id.hex());
    return Refusal{"container-replayed",
                   "a container with an id that was seen before has other content",
                   "keep this token as it is and tell the officers"};
  }

  std::optional<Refusal> open_items(const Verified& verified,
                                    const std::function<Checked(token::Item&&)>& take) {
    const auto key = token::open_content_key(
        verified.outline.trailer.enc, verified.outline.header_bytes, context_.agreement);
    if (!key) return Refusal{"encapsulated-key", "the container's encapsulated key is none"};
    const Checked read = token::read_items(
        verified.file, verified.outline, *key, take, token::usual_threads());
    if (const auto* refusal = std::get_if<Refusal>(&read)) return *refusal;
    return std::nullopt;
  }

  std::optional<Refusal> may_load(const BatchId& batch) const {
    if (missing_list_) {
      return Refusal{"revocations-missing",
                     "nothing is loaded while the revocation list that the card names is not here"};
    }
    return revoked_refusal(context_.store, batch);
  }

  std::optional<Refusal> load_manifest(const token::ManifestName& name) {
    auto copy = verified_copy(token::manifest_name(name.batch_id),
                              ContainerType::Manifest,
                              name.batch_id,
                              std::nullopt,
                              kMaxManifestBytes);
    if (const auto* refusal = std::get_if<Refusal>(&copy)) return *refusal;
    const auto& verified = std::get<Verified>(copy);
    const auto seen = seen_before(verified.outline);
    if (const auto* refusal = std::get_if<Refusal>(&seen)) return *refusal;
    if (std::get<bool>(seen)) return std::nullopt;
    std::optional<token::Manifest> manifest;
    const auto refused = open_items(verified, [&](token::Item&& item) -> Checked {
      if (auto* found = std::get_if<token::Manifest>(&item)) manifest = std::move(*found);
      return {};
    });
    if (refused) return refused;
    if (!manifest) return Refusal{"manifest-empty", "the manifest's container holds no manifest"};
    if (auto refusal = check_manifest(*manifest, name.batch_id)) return refusal;
    KF_CUT("station.manifest-before");
    context_.store.add_manifest(
        *manifest, verified.outline.header.container_id, verified.outline.digest);
    KF_CUT("station.manifest-after");
    return std::nullopt;
  }

  std::optional<Refusal> check_manifest(const token::Manifest& manifest, const BatchId& batch_id) {
    const StationFacts& station = context_.station;
    if (manifest.batch_id != batch_id)
      return Refusal{"batch", "the manifest names another batch than its container"};
    if (manifest.station_id != station.station_id) {
      return Refusal{"station", "the manifest is for station " + manifest.station_id.hex()};
    }
    if (manifest.appliance_id != context_.appliance.appliance_id) {
      return Refusal{"appliance", "the manifest is of another appliance"};
    }
    if (manifest.environment != station.environment) {
      return Refusal{"environment", "the manifest is of another environment"};
    }
    if (manifest.site != station.site) {
      return Refusal{
          "site",
          "the batch is for site " + manifest.site + ", this station is at " + station.site};
    }
    const DriverRow* driver = driver_of(manifest.family);
    if (driver == nullptr) {
      return Refusal{"family-unsupported",
                     "family " + std::string{token::name_of(manifest.family)} +
                         " has no driver in this version"};
    }
    if (manifest.mode != token::Mode::Inject) {
      return Refusal{
          "mode-unsupported",
          "mode " + std::string{token::name_of(manifest.mode)} + " is not in this version"};
    }
    if (manifest.firmware_sha256 && !driver->verifies_firmware) {
      return Refusal{"firmware-unsupported",
                     "the batch asks for a firmware check, which SEs of family " +
                         std::string{token::name_of(manifest.family)} + " cannot make"};
    }
    if (context_.store.batch(batch_id)) {
      context_.store.note_incident("second-manifest", batch_id.hex());
      return Refusal{"second-manifest",
                     "this batch has another manifest already",
                     "keep this token as it is and tell the officers"};
    }
    if (auto refusal = check_segments(manifest)) return refusal;
    if (auto refusal = check_batch_declaration(manifest)) return refusal;
    if (auto refusal = check_log_seen(manifest)) return refusal;
    return see_checkpoint(context_.store, manifest.checkpoint, context_.appliance.log_key);
  }

  static std::optional<Refusal> check_batch_declaration(const token::Manifest& manifest) {
    if (manifest.certification_declaration.empty()) return std::nullopt;
    const auto signer = manifest.declaration_signer.empty()
                            ? std::nullopt
                            : std::optional{manifest.declaration_signer};
    auto checked = check_declaration(manifest.certification_declaration, signer);
    if (auto* refusal = std::get_if<Refusal>(&checked)) return std::move(*refusal);
    return std::nullopt;
  }

  std::optional<Refusal> check_segments(const token::Manifest& manifest) {
    std::set<ContainerId> ids;
    std::uint64_t records = 0;
    for (const token::SegmentLine& line : manifest.segments) {
      records += line.count;
      if (!ids.insert(line.container_id).second ||
          context_.store.container_digest(line.container_id)) {
        return Refusal{"segment-twice",
                       "the manifest lists a container twice, or one of another batch"};
      }
    }
    if (records > manifest.se_count)
      return Refusal{"count", "the manifest lists more records than SEs"};
    return std::nullopt;
  }

  /// What the appliance had of our log must be the beginning of our log: else our store was rolled
  /// back, or somebody else writes receipts in our name.
  std::optional<Refusal> check_log_seen(const token::Manifest& manifest) {
    if (!manifest.station_log) return std::nullopt;
    const token::StationLogSeen& seen = *manifest.station_log;
    const auto root = context_.store.root_at(seen.size);
    if (seen.generation == context_.store.log_state().generation && root && *root == seen.root)
      return std::nullopt;
    context_.store.note_incident(root ? "station-log-forked" : "station-log-behind",
                                 std::to_string(seen.size));
    return Refusal{
        "station-log",
        root ? "the appliance has another log of this station"
             : "the appliance has seen more of this station's log than there is here",
        "this station's store was replaced by an older copy or by another one: tell the officers"};
  }

  void load_segments(const BatchId& batch_id,
                     const std::set<token::TokenName>& there,
                     LoadReport& report) {
    BatchLoad load{.batch_id = batch_id};
    const std::vector<SegmentFacts> segments = context_.store.segments(batch_id);
    load.segments_total = static_cast<std::uint32_t>(segments.size());
    for (const SegmentFacts& segment : segments) {
      bool here = segment.loaded;
      if (there.contains(token::SegmentName{batch_id, segment.line.index})) {
        const auto result = load_segment(batch_id, segment);
        if (const auto* refusal = std::get_if<Refusal>(&result)) {
          report.refused.push_back({token::segment_name(batch_id, segment.line.index), *refusal});
        } else if (std::get<bool>(result)) {
          here = true;
          ++load.segments_new;
          load.records_new += segment.line.count;
        }
      }
      if (here) ++load.segments_here;
      if (!here) load.absent.push_back(segment.line.index.value);
      context_.progress("batch " + batch_id.hex() + ": " + std::to_string(load.segments_here) +
                        " of " + std::to_string(load.segments_total) + " segments");
    }
    load.records_here = context_.store.counts(batch_id).total();
    report.batches.push_back(std::move(load));
  }

  /// True: loaded now; false: was here already.
  std::variant<bool, Refusal> load_segment(const BatchId& batch_id, const SegmentFacts& segment) {
    const token::SegmentLine& line = segment.line;
    auto copy = verified_copy(token::segment_name(batch_id, line.index),
                              ContainerType::Segment,
                              batch_id,
                              line.index.value,
                              kMaxSegmentBytes);
    if (const auto* refusal = std::get_if<Refusal>(&copy)) return *refusal;
    const auto& verified = std::get<Verified>(copy);
    const token::Header& header = verified.outline.header;
    const auto seen = seen_before(verified.outline);
    if (const auto* refusal = std::get_if<Refusal>(&seen)) return *refusal;
    if (header.container_id != line.container_id || header.count != line.count) {
      return Refusal{"segment-not-listed", "the segment is not the one that the manifest lists"};
    }
    if (verified.outline.digest != line.digest) {
      context_.store.note_incident("container-replayed", header.container_id.hex());
      return Refusal{"container-replayed",
                     "the segment has the listed id and another content than the listed one",
                     "keep this token as it is and tell the officers"};
    }
    if (segment.loaded) return false;
    Store::SegmentLoad load{context_.store, batch_id, line.index};
    const BatchFacts batch = *context_.store.batch(batch_id);
    std::uint32_t taken = 0;
    const auto refused = open_items(verified, [&](token::Item&& item) -> Checked {
      const auto* record = std::get_if<token::Record>(&item);
      if (record == nullptr) return {};
      if (auto refusal = check_record(*record, line, batch, taken)) return *refusal;
      if (auto refusal = load.add(*record)) return *refusal;
      ++taken;
      return {};
    });
    if (refused) return *refused;
    if (taken != line.count)
      return Refusal{"count", "the segment holds another number of records than listed"};
    KF_CUT("station.segment-before");
    load.commit(header.container_id, verified.outline.digest);
    KF_CUT("station.segment-after");
    return true;
  }

  static std::optional<Refusal> check_record(const token::Record& record,
                                             const token::SegmentLine& line,
                                             const BatchFacts& batch,
                                             std::uint32_t position) {
    if (record.record_no.value != line.first_record_no.value + position) {
      return Refusal{"record-number", "the segment's records are not the listed ones"};
    }
    if (record.family != batch.family || record.key_name != batch.key_name) {
      return Refusal{"record-kind", "a record has another family or key name than its batch"};
    }
    if (position == 0 && record.se_serial != line.first_se_serial) {
      return Refusal{"record-serial", "the segment's first SE is not the listed one"};
    }
    if (position + 1 == line.count && record.se_serial != line.last_se_serial) {
      return Refusal{"record-serial", "the segment's last SE is not the listed one"};
    }
    return std::nullopt;
  }

  const LoadContext& context_;
  std::uint64_t revocation_number_ = 0;  // that the card names
  bool missing_list_ = false;
  bool list_is_new_ = false;
};

}  // namespace

bool LoadReport::good() const {
  return refused.empty() &&
         std::ranges::all_of(batches, [](const BatchLoad& batch) { return batch.complete(); });
}

std::variant<LoadReport, Refusal> load_token(const LoadContext& context) {
  remove_leftovers(context.home.inbox());
  auto result = Loader{context}.run();
  if (const auto* refusal = std::get_if<Refusal>(&result)) {
    context.store.note_refusal("token", refusal->reason);
  } else {
    for (const RefusedFile& file : std::get<LoadReport>(result).refused) {
      context.store.note_refusal(file.file, file.refusal.reason);
    }
  }
  std::error_code ignored;
  fs::remove(context.home.inbox() / "container.kf", ignored);
  return result;
}

}  // namespace keyferry::station
