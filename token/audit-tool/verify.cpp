#include "token/audit-tool/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "token/audit-tool/batch_check.h"
#include "token/audit-tool/log_check.h"
#include "token/audit-tool/plan_check.h"
#include "token/bundle/keys.h"
#include "token/bundle/readme.h"
#include "token/bundle/words.h"
#include "token/custody.h"
#include "token/receipt.h"
#include "token/signed_bytes.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::audit_tool {
namespace {

constexpr std::size_t kNamesFaults = 200;

class Run {
 public:
  Run(Verification& work, bundle::Reader& reader)
      : work_{work}, reader_{reader}, findings_{work.findings}, history_{work.history} {}

  void all() {
    for (const auto& fault : reader_.compare_names(kNamesFaults))
      findings_.add(Check::Files, fault);
    const auto card = check_identity(reader_, work_.options.fingerprint, findings_);
    if (!card) return read_the_rest();
    work_.appliance_name = printable(card->name);
    check_environment(*card);
    const Checkpoints checkpoints = check_checkpoints(reader_, *card, findings_);
    work_.checkpoints = checkpoints.size();
    if (work_.options.challenge)
      history_.expect_challenge(bundle::plain_words(*work_.options.challenge));
    PlanCheck plans{reader_, *card, checkpoints, history_, findings_};
    check_log(
        reader_,
        checkpoints,
        [&](std::uint64_t index, ByteView leaf) {
          keys_.take(index, leaf);
          if (const auto plan = history_.take(index, leaf)) plans.check(*plan);
          check_custody(*card);
        },
        [&](std::uint64_t done) {
          if (work_.options.progress) work_.options.progress(done, reader_.index().log_size);
        },
        findings_);
    work_.plans = plans.plans();
    work_.approvals = plans.approvals();
    check_first_leaf(*card);
    check_derived();
    check_challenge();
    check_scope();
    // What stands on a log that is none would only repeat its faults.
    if (findings_.count(Check::Log) == 0 && findings_.count(Check::Identity) == 0) {
      history_.finish();
      check_batches(*card, plans);
    }
    read_the_rest();
  }

 private:
  void check_environment(const token::ApplianceCard& card) {
    const bool rehearsal = card.environment == token::Environment::Rehearsal;
    if (rehearsal == work_.options.rehearsal) return;
    findings_.add(Check::Identity,
                  "environment",
                  std::string{bundle::kCardName},
                  rehearsal ? "it is the bundle of a rehearsal: it proves nothing about devices "
                              "(--rehearsal expects one)"
                            : "it is no bundle of a rehearsal, and --rehearsal was given");
  }

  void check_first_leaf(const token::ApplianceCard& card) {
    if (history_.appliance != card.appliance_id)
      findings_.add(Check::Log,
                    "leaf-first",
                    "leaf 0",
                    "it is not shown, or begins the log of another appliance");
    if (history_.environment && *history_.environment != card.environment)
      findings_.add(Check::Identity,
                    "environment",
                    "leaf 0",
                    "the log began in another environment than the card says");
  }

  /// As they come, while it is known whose key was whose.
  void check_custody(const token::ApplianceCard& card) {
    for (; custody_done_ < history_.custody.size(); ++custody_done_) {
      const auto& [leaf, digest] = history_.custody[custody_done_];
      const std::string path = bundle::custody_path(digest);
      const auto octets = reader_.read(path);
      if (const auto* refusal = std::get_if<Refusal>(&octets)) {
        findings_.add(Check::Custody, path, *refusal);
        continue;
      }
      const auto parsed = token::parse_signed_bytes(std::get<Bytes>(octets));
      const auto* statement = std::get_if<token::SignedBytes>(&parsed);
      if (statement == nullptr || crypto::sha256(statement->payload) != digest) {
        findings_.add(Check::Custody,
                      "custody-changed",
                      path,
                      "it is not the statement whose hash is in the log");
        continue;
      }
      const auto content = token::parse_custody(statement->payload);
      const auto* said = std::get_if<token::CustodyStatement>(&content);
      const auto officer =
          said == nullptr ? history_.persons.end() : history_.persons.find(said->officer);
      const bool known = officer != history_.persons.end() && officer->second.key;
      if (!known && history_.predecessor) continue;
      if (!known || said->appliance_id != card.appliance_id ||
          !token::verify_signed(*statement, crypto::SignatureKind::Custody, *officer->second.key)) {
        findings_.add(Check::Custody,
                      "custody-signature",
                      path,
                      "it is not signed by the officer whom it names");
        continue;
      }
      check_receiver(*statement, *said, *officer->second.key, path);
      ++work_.statements;
    }
  }

  /// Who gave or took the token, where that person is one of the registry.
  void check_receiver(const token::SignedBytes& statement,
                      const token::CustodyStatement& said,
                      const crypto::PublicKey& officer,
                      const std::string& path) {
    const auto receiver = history_.persons.find(said.receiver);
    for (const token::PayloadSignature& signature : statement.signatures) {
      if (signature.key_id == officer.key_id()) continue;
      if (receiver == history_.persons.end() || !receiver->second.key) {
        ++work_.unknown_signers;
      } else if (signature.key_id != receiver->second.key->key_id() ||
                 !token::verify_signed(
                     statement, crypto::SignatureKind::Custody, *receiver->second.key)) {
        findings_.add(Check::Custody,
                      "custody-signature",
                      path,
                      "the other signature is not the one of the person whom it names");
      }
    }
  }

  /// Files that follow from others.
  void check_derived() {
    const auto compare = [this](std::string_view name, const Bytes& wanted) {
      const std::string path{name};
      const auto octets = reader_.read(path);
      if (const auto* refusal = std::get_if<Refusal>(&octets)) {
        findings_.add(Check::Files, path, *refusal);
      } else if (std::get<Bytes>(octets) != wanted) {
        findings_.add(Check::Files,
                      "file-derived",
                      path,
                      "it is not what follows from the log and the index");
      }
    };
    compare(bundle::kKeysName, keys_.json());
    compare(bundle::kReadmeName, bundle::readme(reader_.index()));
    for (const Digest& digest : history_.transcripts) {
      const std::string path = bundle::transcript_path(digest);
      if (!reader_.has(path)) continue;
      const auto octets = reader_.read(path);
      if (const auto* refusal = std::get_if<Refusal>(&octets)) {
        findings_.add(Check::Files, path, *refusal);
      } else if (crypto::sha256(std::get<Bytes>(octets)) != digest) {
        findings_.add(Check::Files,
                      "transcript-changed",
                      path,
                      "it is not the transcript whose hash is in the log");
      } else {
        ++work_.transcripts;
      }
    }
  }

  void check_challenge() {
    if (!work_.options.challenge || history_.challenge) return;
    findings_.add(
        Check::Freshness,
        "challenge",
        printable(bundle::plain_words(*work_.options.challenge)),
        "no leaf has these words: the bundle was made before them, or of another appliance");
  }

  void check_scope() {
    for (const BatchId& batch : reader_.index().batches) {
      const bool known = history_.batches.contains(batch);
      const bool planned_only = !known && reader_.below(bundle::batch_path(batch, "")).empty();
      if (!known && !planned_only)
        findings_.add(Check::Approvals,
                      "batch-unapproved",
                      batch.hex(),
                      "the bundle has files of a batch that no leaf approves");
    }
    if (to_rfc3339(reader_.index().last_leaf) != to_rfc3339(history_.latest_time))
      findings_.add(Check::Files,
                    "last-leaf",
                    std::string{bundle::kIndexName},
                    "the index names another time than the newest leaf that is shown");
    const bundle::Scope& scope = reader_.index().scope;
    for (const auto& [id, of] : history_.batches) {
      const bool within = scope.kind == bundle::ScopeKind::Batch      ? id.hex() == scope.value
                          : scope.kind == bundle::ScopeKind::Site     ? of.site == scope.value
                          : scope.kind == bundle::ScopeKind::Customer ? of.customer == scope.value
                                                                      : true;
      if (!within)
        findings_.add(
            Check::Files, "scope", id.hex(), "the bundle is about something else, by its index");
      if (!std::ranges::binary_search(reader_.index().batches, id))
        findings_.add(Check::Files,
                      "scope",
                      id.hex(),
                      "the log shows this batch and the index does not name it");
    }
  }

  void check_batches(const token::ApplianceCard& card, const PlanCheck& plans) {
    const StationCores cores = station_cores();
    BatchCheck check{reader_, card, history_, plans, cores, work_.options.threads, findings_};
    check.check_authorities();
    check.check_crls();
    work_.crls = check.crls();
    for (auto& [id, of] : history_.batches) {
      check.check(of);
      const Sums sums = sums_of(of);
      if (!sums.agree()) {
        findings_.add(Check::Conservation,
                      "sums",
                      "batch " + id.hex(),
                      fmt::format("{} issued, and the parts are not as many", sums.issued));
      }
    }
    work_.reached_batches = true;
  }

  StationCores station_cores() {
    StationCores cores;
    if (reader_.index().scope.kind != bundle::ScopeKind::All) return cores;
    std::map<std::pair<StationId, std::uint32_t>, Checkpoints> roots;
    for (const StationRoot& one : history_.station_roots) {
      auto& of = roots[{one.station, one.generation}];
      const auto [at, first] = of.try_emplace(one.size, one.root);
      if (!first && at->second != one.root) {
        findings_.add(Check::Receipts,
                      "station-log-forked",
                      "station " + one.station.hex(),
                      fmt::format("two roots of {} leaves were accepted", one.size));
      }
    }
    for (const auto& [which, of] : roots) {
      std::vector<Digest>& list = cores[which];
      const bool there = check_station_log(
          reader_,
          which.first,
          which.second,
          of,
          [&list](std::uint64_t, ByteView leaf) {
            const auto parsed = token::parse_leaf(leaf);
            const auto* entry = std::get_if<token::StationLeaf>(&parsed);
            const auto* core =
                entry == nullptr ? nullptr : std::get_if<token::CoreLeaf>(&entry->leaf);
            list.push_back(core == nullptr ? Digest{} : crypto::sha256(core->core));
          },
          findings_);
      if (there) {
        ++work_.station_logs;
      } else {
        findings_.add(Check::Receipts,
                      "station-log-missing",
                      "station " + which.first.hex(),
                      "its receipts were taken in, and its log is not in the bundle");
      }
    }
    return cores;
  }

  /// The hash of every file is looked at, and every file has to belong to something.
  void read_the_rest() {
    for (const std::string& path : reader_.unread()) {
      const auto octets = reader_.read(path);
      if (const auto* refusal = std::get_if<Refusal>(&octets)) {
        findings_.add(Check::Files, path, *refusal);
      } else if (work_.reached_batches && !is_older(path)) {
        findings_.add(
            Check::Files, "file-unclaimed", path, "nothing that the log shows knows this file");
      }
    }
  }

  /// Known by leaves of the log before this one alone: officers' approvals, what a station said then.
  [[nodiscard]] bool is_older(const std::string& path) const {
    return history_.predecessor && (path.starts_with("approvals/") || path.starts_with("stations/"));
  }

  Verification& work_;
  bundle::Reader& reader_;
  Findings& findings_;
  History& history_;
  bundle::KeyInventory keys_;
  std::size_t custody_done_ = 0;
};

}  // namespace

Sums& Sums::operator+=(const Sums& more) {
  issued += more.issued;
  injected += more.injected;
  quarantined += more.quarantined;
  returned += more.returned;
  never_left += more.never_left;
  revoked += more.revoked;
  outstanding += more.outstanding;
  return *this;
}

Sums sums_of(const BatchHistory& batch) {
  Sums sums;
  sums.issued = batch.se_count;
  std::uint64_t sealed = 0;
  for (const auto& [index, segment] : batch.segments) {
    sealed += segment.records.size();
    for (const Record& record : segment.records) {
      switch (record.end) {
        case RecordEnd::Outstanding:
          ++sums.outstanding;
          break;
        case RecordEnd::Injected:
          ++sums.injected;
          break;
        case RecordEnd::Quarantined:
          ++sums.quarantined;
          break;
        case RecordEnd::Returned:
          ++sums.returned;
          break;
        case RecordEnd::Revoked:
          ++sums.revoked;
          break;
      }
    }
  }
  const std::uint64_t unsealed = sealed <= batch.se_count ? batch.se_count - sealed : 0;
  (batch.closed ? sums.never_left : sums.outstanding) += unsealed;
  return sums;
}

void verify(Verification& work) {
  auto opened = bundle::Reader::open(work.options.folder);
  if (const auto* fault = std::get_if<bundle::Fault>(&opened)) {
    work.findings.add(Check::Files, *fault);
    return;
  }
  auto& reader = std::get<bundle::Reader>(opened);
  Run{work, reader}.all();
  work.index = reader.index();
  work.index->files.clear();
}

}  // namespace keyferry::audit_tool
