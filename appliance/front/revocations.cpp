#include "appliance/front/revocations.h"

#include <fmt/format.h>

#include "appliance/front/crl_commands.h"
#include "appliance/front/internal/end_words.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/crl_store.h"
#include "appliance/ledger/revocation_store.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/crl_reader.h"
#include "wrap/x509/pem.h"
#include "wrap/x509/serial.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPemCrl = "X509 CRL";  // RFC 7468 section 6
constexpr const char* kKeptCrl = "outside.crl";
constexpr std::size_t kMostShown = 50;  // lines on a screen; a CSV has all

const KnownAuthority& authority_in(const Registry& registry, const std::string& name) {
  const KnownAuthority* authority = registry.authority(name);
  if (authority != nullptr) return *authority;
  throw Error{Code::NotFound, fmt::format("there is no CA \"{}\"", printable(name)), "keyferry-appliance ca list"};
}

x509::CertificateFacts facts_of(ByteView certificate) {
  auto parsed = x509::parse_certificate(certificate);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<x509::CertificateFacts>(std::move(parsed));
}

// --- a CA of ours
// -----------------------------------------------------------------------------------------------------

/// The plan's issuer and serial; the gate finds them again. Where there is none the gate's refusal tells why.
CaRevokePlan revoke_plan(const Registry& registry, const KnownAuthority& authority, const CaRevokeOptions& options) {
  if (authority.issuers.empty()) {
    throw Error{
        Code::Refused,
        fmt::format("kf-ca/{} is a root or has no certificate: no CA is above it that could revoke it", authority.name),
        "retire it (ca retire), and have it taken out of the trust anchors"};
  }
  const x509::CertificateFacts facts = facts_of(authority.certificate);
  const KnownAuthority* issuer = registry.of_certificate(authority.issuers.front());
  const auto serial = x509::serial_from_content(facts.serial);
  if (authority.outside || issuer == nullptr || issuer->outside || !serial) {
    throw Error{Code::Refused,
                fmt::format("\"{}\" was certified by {}, which is no CA in this HSM", authority.name, facts.issuer),
                fmt::format("have it revoke serial {}, and retire the CA here: keyferry-appliance ca retire {}",
                            to_hex(facts.serial), authority.name)};
  }
  return {authority.name, issuer->name, to_bytes(serial->bytes()), options.crl_reason, options.end.reason};
}

// --- an outside CA's CRL
// ------------------------------------------------------------------------------------------------

Bytes read_crl_file(const fs::path& file) {
  const auto octets = read_file_if_exists(file, x509::kMaxCrlBytes);
  if (!octets) throw Error{Code::NotFound, fmt::format("there is no file {}", printable(file.string()))};
  if (octets->empty() || octets->front() == 0x30) return *octets;  // a SEQUENCE: DER
  auto blocks = x509::from_pem(as_chars(*octets), kPemCrl);
  if (const auto* refusal = std::get_if<Refusal>(&blocks)) throw to_error(*refusal);
  auto& found = std::get<std::vector<Bytes>>(blocks);
  if (found.size() == 1) return std::move(found.front());
  throw Error{Code::Refused, fmt::format("{} holds {} CRLs", printable(file.string()), found.size()),
              "take in one after another"};
}

x509::CrlContents parsed_crl(ByteView octets) {
  auto parsed = x509::parse_crl(octets);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<x509::CrlContents>(std::move(parsed));
}

std::optional<Refusal> check_crl(Context& context, const std::string& name, const x509::CrlContents& crl) {
  const Registry registry = context.ledger().registry();
  const KnownAuthority& authority = authority_in(registry, name);
  if (!authority.outside) {
    return Refusal{"authority-inside", fmt::format("kf-ca/{} is in the HSM: its CRLs are issued, not taken in", name),
                   fmt::format("keyferry-appliance crl issue --ca {}", name)};
  }
  if (auto refusal = x509::check_crl_issuer(crl, facts_of(authority.certificate))) return refusal;
  const auto newest = RevocationStore{context.ledger()}.newest_outside_crl(name);
  if (!newest || newest->this_update <= crl.this_update) return std::nullopt;
  return Refusal{"crl-older",
                 fmt::format("the CRL of {} is of {}, and one of {} was taken in before", printable(name),
                             to_rfc3339(crl.this_update), to_rfc3339(newest->this_update)),
                 "take the CA's newest CRL"};
}

struct StillDue {
  Json json = Json::array();
  std::vector<std::string> lines;
  std::uint64_t count = 0;
};

StillDue still_due(Context& context, const std::string& authority, const x509::CrlContents& crl) {
  StillDue due;
  CrlStore{context.ledger()}.visit_due(authority, [&](const DueRecord& record) {
    if (due.count++ >= kMostShown) return;
    due.json.push_back(
        Json{{"batch", record.batch.hex()}, {"record_no", record.record_no}, {"serial", to_hex(record.serial)}});
    due.lines.push_back(fmt::format("still due: certificate {} (record {} of batch {}), reason {}",
                                    to_hex(record.serial), record.record_no, record.batch.hex(),
                                    crl_reason_name(record.reason)));
  });
  if (due.count > kMostShown)
    due.lines.push_back(fmt::format("and {} more: --list FILE names them", due.count - kMostShown));
  if (due.count > 0 && crl.on_hold > 0) {
    due.lines.push_back(fmt::format(
        "{} certificates on it are on hold, which can be lifted: they do not count as revoked", crl.on_hold));
  }
  return due;
}

int tell(Context& context, const std::string& name, const x509::CrlContents& crl, std::uint64_t noted, bool done_before,
         const std::optional<fs::path>& list) {
  StillDue due = still_due(context, name, crl);
  std::uint64_t unasked = 0;
  Json unasked_json = Json::array();
  std::vector<std::string> lines{
      noted == 0 ? fmt::format("nothing that is due at {} stands on its CRL of {}", name, to_rfc3339(crl.this_update))
                 : fmt::format("{} certificates {} noted as revoked by {}, CRL of {}", noted,
                               done_before ? "were" : "are", name, to_rfc3339(crl.this_update)),
      fmt::format("SHA-256      {}", crl.sha256.hex())};
  lines.insert(lines.end(), due.lines.begin(), due.lines.end());
  RevocationStore{context.ledger()}.visit_unasked(name, crl, [&](const OutsideRecord& record) {
    if (unasked++ >= kMostShown) return;
    unasked_json.push_back(
        Json{{"batch", record.batch.hex()}, {"record_no", record.record_no}, {"serial", to_hex(record.serial)}});
    lines.push_back(fmt::format("on the CRL, and not revoked here: certificate {} (record {} of batch {})",
                                to_hex(record.serial), record.record_no, record.batch.hex()));
  });
  if (unasked > 0) {
    lines.push_back(fmt::format("{} certificates were revoked there although nobody asked here: find out why, then "
                                "keyferry-appliance device revoke --certificate SERIAL", unasked));
  }
  if (due.count > 0) lines.push_back(fmt::format("{} certificates are still for {} to revoke", due.count, name));
  if (crl.next_update && *crl.next_update < context.clock().now()) {
    lines.push_back(fmt::format("its next update was due by {}: there is a newer one", to_rfc3339(*crl.next_update)));
  }
  Json json{{"authority", name},
            {"crl_sha256", crl.sha256.hex()},
            {"this_update", to_rfc3339(crl.this_update)},
            {"noted", noted},
            {"still_due", due.count},
            {"due", due.json},
            {"not_revoked_here", unasked},
            {"unasked", unasked_json},
            {"done_before", done_before}};
  if (list) {
    json["listed"] = write_due(context, name, *list);
    lines.push_back("list         " + list->string());
  }
  context.out().result("crl-import", json, lines);
  return 0;
}

OperationInput input_of(const Bytes& der) {
  OperationInput input;
  input.outside_crl = der;
  input.keep.push_back({.name = kKeptCrl, .octets = der});
  return input;
}

}  // namespace

int ca_revoke(Context& context, const CaRevokeOptions& options) {
  if (!ca_crl_reason_code(options.crl_reason)) {
    throw Error{
        Code::Usage, fmt::format("\"{}\" is no reason that a CA's certificate can have", printable(options.crl_reason)),
        "one of unspecified, cACompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn"};
  }
  static_cast<void>(context.gate());
  const Registry registry = context.ledger().registry();
  const KnownAuthority& authority = authority_in(registry, options.name);
  const CaRevokePlan plan = revoke_plan(registry, authority, options);
  const bool done_before = authority.revoked;
  if (!done_before) {
    need_typed(context, options.end.confirm, options.name, "revoking a CA");
    run_operation(context, Operation::CaRevoke, plan);
  }
  context.out().result(
      "ca-revoke",
      Json{{"name", options.name},
           {"issuer", plan.issuer},
           {"certificate_serial", to_hex(plan.certificate_serial)},
           {"done_before", done_before}},
      {fmt::format("the certificate of kf-ca/{}, serial {}, {}", options.name, to_hex(plan.certificate_serial),
                   done_before ? "was revoked before" : "is revoked: nothing below it is issued any more"),
       fmt::format("it goes on the CRL of the CA above it: keyferry-appliance crl issue --ca {}", plan.issuer)});
  return 0;
}

int crl_import(Context& context, const CrlImportOptions& options) {
  const Bytes der = read_crl_file(options.file);
  static_cast<void>(context.gate());
  const x509::CrlContents crl = parsed_crl(der);
  if (const auto refusal = check_crl(context, options.authority, crl)) {
    context.gate().report_refused(operation_name(Operation::CrlImport), *refusal, options.authority.substr(0, 63));
    throw to_error(*refusal);
  }
  RevocationStore store{context.ledger()};
  const RecordSet due = store.due_and_on(options.authority, crl);
  if (due.count == 0) {
    const auto before = store.outside_crl(crl.sha256);
    return tell(context, options.authority, crl, before ? before->records : 0, before.has_value(), options.list);
  }
  run_operation(context, Operation::CrlImport, CrlImportPlan{options.authority, crl.sha256, crl.this_update, due},
                input_of(der));
  return tell(context, options.authority, crl, due.count, false, options.list);
}

int run_crl_import(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  const auto& detail = std::get<CrlImportPlan>(plan.detail);
  const Bytes der = read_file(kept_input(context, plan, kKeptCrl), x509::kMaxCrlBytes);
  const x509::CrlContents crl = parsed_crl(der);
  static_cast<void>(run_at_gate(context, plan, approvals, input_of(der)));
  return tell(context, detail.authority, crl, detail.records.count, false, std::nullopt);
}

std::optional<Refusal> crl_import_refusal(Context& context, const Plan& plan, ByteView crl) {
  const auto* detail = std::get_if<CrlImportPlan>(&plan.detail);
  if (detail == nullptr || crl.empty()) return std::nullopt;  // before approval the hash is all there is
  const auto parsed = x509::parse_crl(crl);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return *refusal;
  const auto& contents = std::get<x509::CrlContents>(parsed);
  if (auto refusal = check_crl(context, detail->authority, contents)) return refusal;
  RevocationStore store{context.ledger()};
  if (contents.sha256 == detail->crl_sha256 && store.due_and_on(detail->authority, contents) == detail->records)
    return std::nullopt;
  return Refusal{"records-changed", "other certificates are due and on that CRL than the plan says",
                 "make the plan again: keyferry-appliance crl import"};
}

}  // namespace keyferry::appliance
