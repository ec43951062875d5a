#include "token/audit-tool/verify_text.h"

#include <fmt/format.h>

#include <array>

#include "wrap/base/text.h"

namespace keyferry::audit_tool {
namespace {

using Json = nlohmann::ordered_json;

/// One row of the table. `shown`: false where the bundle says nothing about it.
struct Row {
  std::string name;
  std::string about;
  bool shown = true;
  std::uint64_t faults = 0;
  std::string proved;  // a sentence
  std::string rests_on;

  [[nodiscard]] std::string_view answer() const {
    return faults > 0 ? "FAIL" : shown ? "pass" : "not shown";
  }
};

std::string until(const Verification& work) {
  if (!work.index) return "nothing";
  return fmt::format("{} (leaf {})", to_rfc3339(work.history.last_time), work.index->log_size - 1);
}

std::string first_line(const Verification& work) {
  if (!work.holds())
    return fmt::format(
        "DOES NOT HOLD: {} faults. Nothing in this bundle is to be relied on before each is "
        "explained.",
        work.findings.count());
  if (work.history.challenge) {
    return fmt::format(
        "holds, and is complete up to {}: your words are leaf {}, so it was made after you chose "
        "them.",
        until(work),
        work.history.challenge->leaf);
  }
  return fmt::format("holds, and is complete up to {}. Nothing is shown about later.", until(work));
}

std::array<Row, 9> rows_of(const Verification& work) {
  const Findings& found = work.findings;
  const History& history = work.history;
  const auto faults = [&](auto... checks) { return (found.count(checks) + ...); };
  std::uint64_t certificates = 0, receipts = 0, attested = 0, keys = 0;
  bool plaintext = false;
  for (const auto& [id, of] : history.batches) {
    certificates += of.certificates;
    receipts += of.receipts;
    attested += of.attested;
    plaintext |= !of.plaintext.empty();
    for (const auto& [index, segment] : of.segments) keys += segment.records.size();
  }
  const bool upper = work.reached_batches;
  return {
      Row{.name = "files",
          .about = "every file is whole, and none is added",
          .faults = faults(Check::Files),
          .proved = "each file has the size and SHA-256 of the index, and belongs to something "
                    "that the log shows",
          .rests_on = "SHA-256"},
      Row{.name = "identity",
          .about = "the bundle is of the appliance with your fingerprint",
          .faults = faults(Check::Identity),
          .proved =
              "the log key has the fingerprint that you gave, and signed the appliance's card",
          .rests_on =
              "that your fingerprint came from the first screen or paper, not from this folder"},
      Row{.name = "I5 log",
          .about = "the log only grew",
          .faults = faults(Check::Log),
          .proved = fmt::format("{} signed checkpoints are of one tree that only grew, and every "
                                "checkpoint that an officer signed is one of them",
                                work.checkpoints),
          .rests_on = "that the log key signs in the HSM alone"},
      Row{.name = "I6 approvals",
          .about = "officers approved exactly what was done",
          .shown = work.plans > 0,
          .faults = faults(Check::Approvals),
          .proved = fmt::format(
              "{} plans have {} officers' signatures, as many as the policy asked for at the time",
              work.plans,
              work.approvals),
          .rests_on = "that officers keep their keys, and that those whom leaf 1 and later ones "
                      "enrol are who they are said to be"},
      Row{.name = "I2 keys",
          .about = "one key for one chip",
          .shown = upper,
          .faults = faults(Check::Keys, Check::Certificates),
          .proved = fmt::format("{} keys were issued, no public key twice, at most one that is not "
                                "revoked for each chip; {} certificates and {} CRLs are signed by "
                                "CAs that leaves or approved plans name",
                                keys,
                                certificates,
                                work.crls),
          .rests_on = "that transport keys open in one chip alone (claimed: vendor, secure room)"},
      Row{.name = "I4 receipts",
          .about = "receipts are signed by the injected keys",
          .shown = upper && receipts > 0,
          .faults = faults(Check::Receipts),
          .proved = fmt::format(
              "{} receipts are those of the log, the injected ones each signed by the key of its "
              "certificate after the batch was made{}",
              receipts,
              attested > 0 ? fmt::format("; {} of them with the chip's attestation", attested)
                           : ""),
          .rests_on = "that no copy of the key is elsewhere; times, device serials, lanes, "
                      "verdicts, quarantined and returned are the factory's word; attestation keys "
                      "are those of the inventory"},
      Row{.name = "I3 conservation",
          .about = "every chip of every list is accounted for",
          .shown = upper && !history.batches.empty(),
          .faults = faults(Check::Conservation),
          .proved = fmt::format("in {} batches each record ended at most once, and what officers "
                                "closed are exactly those that were outstanding",
                                history.batches.size()),
          .rests_on =
              "that leaves which are hidden in a bundle of a part are not about its batches"},
      Row{.name = "custody",
          .about = "who had which token",
          .shown = work.statements > 0,
          .faults = faults(Check::Custody),
          .proved = fmt::format("{} statements are signed by the officers whom they name",
                                work.statements),
          .rests_on = "the word of those who signed"},
      Row{.name = "I1 plaintext",
          .about = "where keys were in the clear",
          .shown = upper && keys > 0,
          .proved = plaintext ? "some batches had keys in the clear in a worker: named below"
                              : "no leaf says that a key was in the clear outside of the HSM",
          .rests_on = "claimed: the appliance's programs say so of themselves"},
  };
}

Json sums_json(const Sums& sums) {
  return Json{{"issued", sums.issued},
              {"injected", sums.injected},
              {"quarantined", sums.quarantined},
              {"returned", sums.returned},
              {"never_left", sums.never_left},
              {"revoked", sums.revoked},
              {"outstanding", sums.outstanding}};
}

void add_batches(const Verification& work, std::string& text) {
  if (!work.reached_batches || work.history.batches.empty()) return;
  text += "\nbatches\n";
  for (const auto& [id, of] : work.history.batches) {
    const Sums sums = sums_of(of);
    text += fmt::format(
        "  {}  site {}{}: {} issued = {} injected + {} quarantined + {} returned + {} never left + "
        "{} revoked + {} outstanding\n",
        id.hex(),
        of.site.empty() ? "-" : of.site,
        of.customer.empty() ? "" : ", customer " + of.customer,
        sums.issued,
        sums.injected,
        sums.quarantined,
        sums.returned,
        sums.never_left,
        sums.revoked,
        sums.outstanding);
    if (!of.plaintext.empty()) text += fmt::format("    in the clear: {}\n", of.plaintext);
  }
}

/// What a reader may take for shown, and is not.
std::vector<std::string> limits(const Verification& work) {
  std::vector<std::string> said;
  const History& history = work.history;
  if (!work.index) return said;
  if (!history.challenge)
    said.push_back(
        "a newer state of this log may exist: give your own words to the appliance (audit "
        "challenge) and ask for a bundle");
  if (work.index->environment == token::Environment::Development)
    said.push_back(
        "environment development: its HSM and its officers are not those of a production "
        "appliance");
  if (work.index->scope.kind != bundle::ScopeKind::All)
    said.push_back(fmt::format("a part: {} of {} leaves are shown, of the others their hashes",
                               history.shown,
                               work.index->log_size));
  if (history.predecessor) {
    said.push_back(
        fmt::format("the HSM went on for a lost one, {}: officers of that log approved {} plans "
                    "here, and {} batches were made there; ask for its bundle too",
                    history.predecessor->hex(),
                    history.unchecked_plans,
                    history.older_batches.size()));
  }
  if (work.transcripts < history.transcripts.size())
    said.push_back(fmt::format(
        "{} ceremonies: their transcripts are not in the bundle, their hashes are leaves",
        history.transcripts.size() - work.transcripts));
  if (work.unknown_signers > 0)
    said.push_back(fmt::format("custody: {} signatures are of people whose keys no leaf knows",
                               work.unknown_signers));
  for (const auto& [kind, count] : history.incidents)
    said.push_back(fmt::format("incidents: {} of kind {}", count, kind));
  if (history.refusals > 0) said.push_back(fmt::format("refusals: {}", history.refusals));
  said.push_back(fmt::format("claimed: written by keyferry {} (SHA-256 {})",
                             work.index->software_version,
                             work.index->software_sha256.hex()));
  return said;
}

}  // namespace

std::string verification_text(const Verification& work) {
  std::string text = first_line(work) + "\n";
  if (work.index) {
    text += fmt::format("\nappliance \"{}\", log {}, environment {}, {} leaves, root {}\n",
                        work.appliance_name,
                        printable(work.index->origin),
                        token::name_of(work.index->environment),
                        work.index->log_size,
                        work.index->root.hex());
  }
  if (!work.holds()) {
    text += "\nfaults\n";
    for (const Finding& finding : work.findings.kept())
      text += fmt::format("  {} {}: {}: {}\n",
                          name_of(finding.check),
                          finding.fault.code,
                          finding.fault.subject,
                          finding.fault.text);
    if (work.findings.count() > work.findings.kept().size())
      text += fmt::format("  and {} more\n", work.findings.count() - work.findings.kept().size());
  }
  text += "\n";
  for (const Row& row : rows_of(work))
    text += fmt::format("{:9}  {:15}  {}\n", row.answer(), row.name, row.about);
  add_batches(work, text);
  text += "\nproved, and what it rests on\n";
  for (const Row& row : rows_of(work)) {
    if (row.faults == 0 && row.shown)
      text += fmt::format("  {}: {}.\n    rests on: {}\n", row.name, row.proved, row.rests_on);
  }
  text += "\nnot proved\n";
  for (const std::string& one : limits(work)) text += fmt::format("  {}\n", one);
  return text;
}

Json verification_json(const Verification& work) {
  Json json{{"holds", work.holds()}, {"sentence", first_line(work)}};
  if (work.index) {
    json["origin"] = printable(work.index->origin);
    json["environment"] = token::name_of(work.index->environment);
    json["leaves"] = work.index->log_size;
    json["leaves_shown"] = work.history.shown;
    json["root"] = work.index->root.hex();
    json["complete_until"] = to_rfc3339(work.history.last_time);
    json["scope"] =
        Json{{"kind", name_of(work.index->scope.kind)}, {"value", work.index->scope.value}};
  }
  json["challenge_leaf"] =
      work.history.challenge ? Json(work.history.challenge->leaf) : Json(nullptr);
  json["fault_count"] = work.findings.count();
  json["faults"] = Json::array();
  for (const Finding& finding : work.findings.kept()) {
    json["faults"].push_back(Json{{"check", name_of(finding.check)},
                                  {"code", finding.fault.code},
                                  {"subject", finding.fault.subject},
                                  {"text", finding.fault.text}});
  }
  json["checks"] = Json::array();
  for (const Row& row : rows_of(work)) {
    json["checks"].push_back(Json{{"name", row.name},
                                  {"about", row.about},
                                  {"answer",
                                   row.faults > 0 ? "fail"
                                   : row.shown    ? "pass"
                                                  : "not-shown"},
                                  {"faults", row.faults},
                                  {"proved", row.proved},
                                  {"rests_on", row.rests_on}});
  }
  json["batches"] = Json::array();
  for (const auto& [id, of] : work.history.batches) {
    Json batch{{"batch", id.hex()}, {"site", of.site}, {"customer", of.customer}};
    batch.update(sums_json(sums_of(of)));
    batch["certificates"] = of.certificates;
    batch["receipts"] = of.receipts;
    batch["plaintext"] = of.plaintext;
    json["batches"].push_back(batch);
  }
  json["not_proved"] = limits(work);
  return json;
}

}  // namespace keyferry::audit_tool
