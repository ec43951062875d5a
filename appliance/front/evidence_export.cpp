#include "appliance/front/evidence_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "appliance/front/batch_files.h"
#include "appliance/front/ceremony_commands.h"
#include "appliance/front/ceremony_folders.h"
#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/evidence_scope.h"
#include "appliance/front/own_card.h"
#include "appliance/front/station_log_check.h"
#include "appliance/ledger/plan_store.h"
#include "keyferry/v1/log.pb.h"
#include "token/audit/checkpoint.h"
#include "token/audit/tiles.h"
#include "token/bundle/items.h"
#include "token/bundle/keys.h"
#include "token/bundle/readme.h"
#include "token/bundle/writer.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxManifestBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMaxTranscriptBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kMaxProgramBytes = std::uint64_t{512} << 20;

[[noreturn]] void damaged(const std::string& what) {
  throw Error{
      Code::Storage,
      "the ledger's log is not the one of its checkpoints: " + what,
      "it was edited or cut: keep it as evidence, and restore the ledger from its newest backup"};
}

bundle::Scope scope_of(Context& context, const EvidenceOptions& options) {
  const int given = int{options.all} + int{options.batch.has_value()} +
                    int{options.site.has_value()} + int{options.customer.has_value()} +
                    int{options.since.has_value()};
  if (given != 1) {
    throw Error{Code::Usage,
                "say what the bundle is about: --batch ID, --site NAME, --customer NAME, --since "
                "DATE or --all"};
  }
  if (options.site) return {bundle::ScopeKind::Site, *options.site};
  if (options.customer) return {bundle::ScopeKind::Customer, *options.customer};
  if (options.since)
    return {bundle::ScopeKind::Since, to_rfc3339(read_time("--since", *options.since))};
  if (!options.batch) return {};
  const auto found = BatchStore{context.ledger()}.resolve(*options.batch);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  return {bundle::ScopeKind::Batch, std::get<BatchRow>(found).id.hex()};
}

class Export {
 public:
  Export(Context& context, const EvidenceScope& scope, const std::filesystem::path& to)
      : context_{context},
        scope_{scope},
        store_{context.ledger()},
        card_{own_card(context)},
        origin_{log_name(card_.appliance_id)},
        newest_{newest()},
        writer_{to, origin_, scope.scope()} {}

  [[nodiscard]] const audit::Checkpoint& checkpoint() const { return newest_; }

  [[nodiscard]] std::uint64_t shown_leaves() const { return shown_; }

  bundle::Written run() {
    check_earlier();
    writer_.put(std::string{bundle::kCardName}, own_card_octets(context_));
    put_checkpoints();
    put_log();
    put_plans();
    put_custody();
    put_transcripts();
    put_authorities();
    for (const EvidenceBatch& batch : scope_.batches()) put_batch(batch);
    if (scope_.all()) put_station_logs();
    writer_.put(std::string{bundle::kKeysName}, keys_.json());
    bundle::Index index = facts();
    writer_.put(std::string{bundle::kReadmeName}, bundle::readme(index));
    return writer_.finish(std::move(index));
  }

 private:
  audit::Checkpoint newest() {
    const auto notes = store_.checkpoints();
    if (notes.empty()) {
      throw Error{Code::NotFound,
                  "the log has no checkpoint yet",
                  "give the same keyferry-appliance init command again"};
    }
    return verified(notes.back());
  }

  audit::Checkpoint verified(const CheckpointNote& note) {
    auto checked = audit::verify_checkpoint(note.note, origin_, card_.log_key);
    if (const auto* refusal = std::get_if<Refusal>(&checked)) damaged(refusal->text);
    return std::get<audit::Checkpoint>(std::move(checked));
  }

  /// A bundle that knows more than this ledger, or another history, is not written over.
  void check_earlier() {
    const auto& earlier = writer_.earlier();
    if (!earlier) return;
    audit::Frontier frontier;
    if (earlier->log_size <= newest_.size) {
      context_.ledger().visit_leaves(0, [&](std::uint64_t index, ByteView leaf, bool) {
        if (index < earlier->log_size) frontier.append(audit::leaf_hash(leaf));
      });
    }
    if (frontier.size() == earlier->log_size && frontier.root() == earlier->root) return;
    throw Error{Code::Rollback,
                fmt::format("the bundle there is of a log of {} leaves that this ledger, with {}, "
                            "does not continue",
                            earlier->log_size,
                            newest_.size),
                "keep that bundle: it shows a log that this appliance no longer has"};
  }

  void put_checkpoints() {
    for (const CheckpointNote& note : store_.checkpoints()) {
      static_cast<void>(verified(note));
      writer_.put(bundle::checkpoint_path(note.size), as_bytes(note.note));
    }
  }

  void put_log() {
    audit::TileMaker maker{
        [this](const std::string& path, ByteView octets) { writer_.put(path, octets); },
        scope_.all() ? audit::TileMaker::Entries::Made : audit::TileMaker::Entries::LeftOut};
    Progress progress{"leaves", newest_.size};
    context_.ledger().visit_leaves(0, [&](std::uint64_t index, ByteView leaf, bool) {
      if (index >= newest_.size) return;
      maker.append(leaf);
      if (scope_.shows(leaf)) take(index, leaf);
      progress.at(index + 1);
    });
    maker.finish();
    if (maker.size() != newest_.size || maker.root() != newest_.root)
      damaged("its leaves have another root");
    if (!scope_.all()) put_leaves();
  }

  /// A leaf that the bundle shows.
  void take(std::uint64_t index, ByteView octets) {
    ++shown_;
    if (!scope_.all()) {
      bundle::append_item(leaves_, bundle::ShownLeaf{index, to_bytes(octets)});
      if (++leaves_in_file_ == bundle::kMaxItems) put_leaves();
    }
    keys_.take(index, octets);
    v1::LogLeaf leaf;
    if (!leaf.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return;
    last_leaf_ = std::max(last_leaf_, UtcMillis{leaf.time_ms()});
    if (leaf.has_plan()) {
      if (const auto digest = Digest::from_bytes(as_bytes(leaf.plan().plan_digest()))) {
        auto& officers = plans_[*digest];
        for (const std::string& officer : leaf.plan().officer_key_ids()) officers.insert(officer);
      }
    }
    if (leaf.has_custody()) {
      tokens_.insert(leaf.custody().token_id());
      statements_.insert(leaf.custody().statement_sha256());
    }
    if (leaf.has_ceremony()) transcripts_.insert(leaf.ceremony().transcript_sha256());
    if (leaf.has_crl_issued()) put_crl(leaf.crl_issued());
  }

  void put_leaves() {
    if (leaves_in_file_ == 0) return;
    writer_.put(bundle::leaves_path(leaf_files_++), leaves_);
    leaves_.clear();
    leaves_in_file_ = 0;
  }

  void put_crl(const v1::CrlIssuedLeaf& leaf) {
    const auto der = store_.crl(leaf.authority(), leaf.number());
    if (!der || crypto::sha256(*der).str() != leaf.crl_sha256()) {
      damaged(fmt::format(
          "CRL {} of {} is not the one of its leaf", leaf.number(), printable(leaf.authority())));
    }
    writer_.put(bundle::crl_path(crypto::sha256(*der)), *der);
  }

  void put_plans() {
    PlanStore plans{context_.ledger()};
    for (const auto& [digest, officers] : plans_) {
      const auto plan = plans.find(digest);
      if (!plan || crypto::sha256(plan->octets) != digest)
        damaged(fmt::format("plan {} is not there", digest.hex()));
      writer_.put(bundle::plan_path(digest), plan->octets);
      for (const Bytes& approval : plans.approvals(digest)) {
        const auto parsed = token::parse_signed_bytes(approval);
        const auto* signed_bytes = std::get_if<token::SignedBytes>(&parsed);
        if (signed_bytes == nullptr) damaged(fmt::format("an approval of plan {}", digest.hex()));
        const KeyId& officer = signed_bytes->signatures.front().key_id;
        if (officers.contains(officer.str()))
          writer_.put(bundle::approval_path(digest, officer), approval);
      }
    }
  }

  void put_custody() {
    for (const std::string& octets : tokens_) {
      const auto token = TokenId::from_bytes(as_bytes(octets));
      if (!token) continue;
      for (const Bytes& statement : store_.custody(*token)) {
        const auto parsed = token::parse_signed_bytes(statement);
        const auto* signed_bytes = std::get_if<token::SignedBytes>(&parsed);
        if (signed_bytes == nullptr)
          damaged(fmt::format("a statement about token {}", token->hex()));
        const Digest digest = crypto::sha256(signed_bytes->payload);
        if (statements_.contains(digest.str())) writer_.put(bundle::custody_path(digest), statement);
      }
    }
  }

  /// They have names of people: with All only.
  void put_transcripts() {
    if (!scope_.all() || transcripts_.empty()) return;
    for (const auto& folder : ceremony_folders(ceremonies_folder(context_.paths().home))) {
      const auto text = read_file_if_exists(folder / "transcript.txt", kMaxTranscriptBytes);
      if (!text) continue;
      const Digest digest = crypto::sha256(*text);
      if (transcripts_.erase(digest.str()) > 0) writer_.put(bundle::transcript_path(digest), *text);
    }
    if (!transcripts_.empty()) {
      context_.out().note(fmt::format(
          "{} transcripts of ceremonies are not beside this home: their hashes are in the log",
          transcripts_.size()));
    }
  }

  void put_authorities() {
    std::map<Digest, Bytes> certificates;
    for (const KnownAuthority& authority : context_.ledger().registry().authorities) {
      if (!scope_.has_authority(authority.name)) continue;
      for (const Bytes& der : authority.chain()) {
        if (!der.empty()) certificates[crypto::sha256(der)] = der;
      }
    }
    for (const auto& [digest, der] : certificates)
      writer_.put(bundle::certificate_path(digest), der);
  }

  void put_batch(const EvidenceBatch& batch) {
    BatchStore batches{context_.ledger()};
    const auto row = batches.find(batch.id);
    if (!row) damaged(fmt::format("batch {} is not there", batch.id.hex()));
    const auto manifest = batches.manifest(batch.id);
    if (manifest && manifest->state == SealState::Sealed) {
      const auto file = part_files(context_.paths().batch(batch.id), std::nullopt).container;
      writer_.put(bundle::batch_path(batch.id, "manifest.kf"), read_file(file, kMaxManifestBytes));
    }
    for (const SealedPart& segment : batches.segments(batch.id)) {
      if (segment.state == SealState::Sealed) put_segment(*row, segment);
    }
  }

  void put_segment(const BatchRow& row, const SealedPart& segment) {
    const std::uint32_t number = segment.index->value;
    Bytes certificates, receipts;
    visit_certificates(context_, row, segment, [&](RecordNo, ByteView der) {
      bundle::append_item(certificates, der);
    });
    writer_.put(bundle::batch_path(row.id, bundle::certificates_name(number)), certificates);
    const std::uint32_t first = number * row.segment_size;
    store_.visit_receipts(row.id, first, first + segment.count, [&](bundle::ReceiptItem&& receipt) {
      // Where in its station's log: that log goes with All only.
      if (!scope_.all()) {
        receipt.generation = 0;
        receipt.position = 0;
      }
      bundle::append_item(receipts, receipt);
    });
    if (!receipts.empty())
      writer_.put(bundle::batch_path(row.id, bundle::receipts_name(number)), receipts);
  }

  void put_station_logs() {
    for (const StationLogFacts& log : store_.station_logs()) {
      const std::string folder = bundle::station_log_path(log.station, log.generation);
      audit::TileMaker maker{
          [&](const std::string& path, ByteView octets) { writer_.put(folder + path, octets); },
          audit::TileMaker::Entries::Made};
      store_.visit_station_log(log, [&](ByteView leaf) { maker.append(leaf); });
      maker.finish();
      if (maker.size() != log.size || maker.root() != log.root) {
        damaged(fmt::format("the log of station {} is not the one that was accepted",
                            log.station.hex()));
      }
    }
  }

  bundle::Index facts() {
    bundle::Index index;
    index.origin = origin_;
    index.environment = card_.environment;
    index.log_size = newest_.size;
    index.root = newest_.root;
    index.last_leaf = UtcMillis{last_leaf_.value / 1000 * 1000};
    index.scope = scope_.scope();
    for (const EvidenceBatch& batch : scope_.batches()) index.batches.push_back(batch.id);
    index.software_version = KEYFERRY_VERSION;
    index.software_sha256 = crypto::sha256(
        read_file(std::filesystem::read_symlink("/proc/self/exe"), kMaxProgramBytes));
    return index;
  }

  Context& context_;
  const EvidenceScope& scope_;
  EvidenceStore store_;
  token::ApplianceCard card_;
  std::string origin_;
  audit::Checkpoint newest_;
  bundle::Writer writer_;
  bundle::KeyInventory keys_;
  Bytes leaves_;
  std::size_t leaves_in_file_ = 0;
  std::uint32_t leaf_files_ = 0;
  std::uint64_t shown_ = 0;
  UtcMillis last_leaf_;
  std::map<Digest, std::set<std::string>> plans_;  // officers' key ids
  std::set<std::string> tokens_, statements_, transcripts_;
};

}  // namespace

int evidence_export(Context& context, const EvidenceOptions& options) {
  const bundle::Scope wanted = scope_of(context, options);
  // One state of the ledger, whatever other commands do meanwhile.
  const auto snapshot = store::guarded("ledger: begin to read", [&] {
    return std::make_unique<SQLite::Transaction>(context.ledger().database());
  });
  const EvidenceScope scope{context, wanted};
  Export work{context, scope, options.to};
  const bundle::Written written = work.run();
  const audit::Checkpoint& checkpoint = work.checkpoint();
  const std::string fingerprint = key_words(context.appliance_id().bytes());
  Json left_out = Json::array();
  for (const EvidenceBatch& batch : scope.of_older_hsms()) {
    left_out.push_back(batch.id.hex());
    context.out().note(
        fmt::format("left out: batch {} stands in the log of an HSM that was replaced (epoch {})",
                    batch.id.hex(),
                    batch.hsm_epoch));
  }
  context.out().result(
      "evidence-export",
      Json{{"folder", options.to.string()},
           {"scope", name_of(wanted.kind)},
           {"batches", scope.batches().size()},
           {"left_out", left_out},
           {"leaves", checkpoint.size},
           {"leaves_shown", work.shown_leaves()},
           {"root", checkpoint.root.hex()},
           {"words", audit::checkpoint_words(checkpoint)},
           {"fingerprint", fingerprint},
           {"files", written.files},
           {"written", written.written},
           {"kept", written.kept},
           {"removed", written.removed},
           {"bytes", written.bytes}},
      {fmt::format("{}: {} files, {} written, {} kept",
                   options.to.string(),
                   written.files,
                   written.written,
                   written.kept),
       fmt::format(
           "{} leaves up to checkpoint {}", checkpoint.size, audit::checkpoint_words(checkpoint)),
       fmt::format("verify with: keyferry-audit verify {} --fingerprint \"{}\"",
                   options.to.string(),
                   fingerprint)});
  return left_out.empty() ? 0 : 1;
}

}  // namespace keyferry::appliance
