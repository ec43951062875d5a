#include "appliance/front/crl_commands.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/operation.h"
#include "appliance/ledger/crl_store.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/pem.h"

namespace keyferry::appliance {
namespace {

constexpr std::int64_t kDefaultDays = 30;
constexpr std::string_view kPemCrl = "X509 CRL";  // RFC 7468 section 6

KnownAuthority authority_of(Context& context, const std::string& name) {
  const Registry registry = context.ledger().registry();
  const KnownAuthority* authority = registry.authority(name);
  if (authority != nullptr) return *authority;
  throw Error{Code::NotFound, fmt::format("there is no CA \"{}\"", printable(name)),
              "keyferry-appliance ca create NAME"};
}

int print(Context& context, const CrlRow& crl) {
  const std::filesystem::path folder = context.paths().home / "crl";
  make_private_directory(folder);
  const std::filesystem::path der = folder / (crl.authority + ".crl");
  const std::filesystem::path pem = folder / (crl.authority + ".crl.pem");
  write_file_durably(der, crl.der, Overwrite::Replace);
  write_file_durably(pem, as_bytes(x509::to_pem(kPemCrl, crl.der)), Overwrite::Replace);
  const std::string sha256 = crypto::sha256(crl.der).hex();
  context.out().result(
      "crl",
      Json{{"authority", crl.authority},
           {"number", crl.number},
           {"entries", crl.entries},
           {"this_update", to_rfc3339(crl.this_update)},
           {"next_update", to_rfc3339(crl.next_update)},
           {"sha256", sha256},
           {"der", der.string()},
           {"pem", pem.string()}},
      {fmt::format("CRL {} of kf-ca/{}: {} certificates", crl.number, crl.authority, crl.entries),
       fmt::format("next update  {}", to_rfc3339(crl.next_update)), fmt::format("SHA-256      {}", sha256),
       fmt::format("files        {} and {}", der.string(), pem.string())});
  return 0;
}

std::uint64_t next_number(Context& context, const std::string& authority) {
  for (const v1::CrlNumber& last : context.gate().state().crl_numbers()) {
    if (last.authority() == authority) return last.number() + 1;
  }
  const auto kept = CrlStore{context.ledger()}.newest(authority);  // of an HSM that this one took over from
  return kept ? kept->number + 1 : 1;
}

}  // namespace

std::uint64_t write_due(Context& context, const std::string& authority, const std::filesystem::path& file) {
  DurableWriter writer{file};
  writer.write(as_bytes("batch,record_no,serial,reason,since,ca\n"));
  std::uint64_t count = 0;
  CrlStore{context.ledger()}.visit_due(authority, [&](const DueRecord& due) {
    const std::string record = due.ca.empty() ? fmt::format("{},{}", due.batch.hex(), due.record_no) : ",";
    writer.write(as_bytes(fmt::format("{},{},{},{},{}\n", record, to_hex(due.serial), crl_reason_name(due.reason),
                                      to_rfc3339(due.since), due.ca)));
    ++count;
  });
  writer.commit();
  return count;
}

int crl_issue(Context& context, const CrlOptions& options) {
  static_cast<void>(context.gate());
  const KnownAuthority authority = authority_of(context, options.authority);
  const UtcMillis now = context.clock().now();
  UtcMillis next_update =
      read_time_or("--next-update", options.next_update, UtcMillis{now.value + kDefaultDays * kDayMs});
  if (options.final_one) {
    if (!authority.retired || options.next_update) {
      throw Error{Code::Usage, "--final: for a retired CA, without --next-update",
                  "keyferry-appliance ca retire NAME"};
    }
    const auto parsed = x509::parse_certificate(authority.certificate);
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
    next_update = std::max(std::get<x509::CertificateFacts>(parsed).not_after, next_update);
  }
  CrlStore store{context.ledger()};
  const CrlIssuePlan plan{.authority = options.authority,
                          .number = next_number(context, options.authority),
                          .entries = crl_record_set(store.next_entries(options.authority)),
                          .next_update = next_update};
  run_operation(context, Operation::CrlIssue, plan);
  KF_CUT("front.ends.crl-issued");  // cut here: `crl show` writes the files
  const auto issued = store.newest(options.authority);
  if (!issued) throw Error{Code::Internal, "the ledger lacks the CRL that was just issued"};
  return print(context, *issued);
}

int crl_due(Context& context, const CrlDueOptions& options) {
  if (options.list && !options.authority) throw Error{Code::Usage, "--list needs --ca", "which CA's certificates"};
  const Registry registry = context.ledger().registry();
  if (options.authority) static_cast<void>(authority_of(context, *options.authority));
  Json list = Json::array();
  std::vector<std::string> lines;
  std::uint64_t own = 0, outside = 0;
  for (const DueEntries& due : CrlStore{context.ledger()}.due()) {
    if (options.authority && due.authority != *options.authority) continue;
    const KnownAuthority* authority = registry.authority(due.authority);
    const bool elsewhere = authority != nullptr && authority->outside;
    const std::string reason{crl_reason_name(due.reason)};
    list.push_back(Json{{"authority", due.authority},
                        {"outside", elsewhere},
                        {"reason", reason},
                        {"state", due.state},
                        {"count", due.count},
                        {"since", to_rfc3339(due.since)}});
    lines.push_back(fmt::format("{}{}  {} {}  reason {}  since {}", elsewhere ? "outside CA " : "kf-ca/", due.authority,
                                due.count, due.state, reason, to_rfc3339(due.since)));
    (elsewhere ? outside : own) += due.count;
  }
  if (own > 0) lines.push_back(fmt::format("{} certificates are due: keyferry-appliance crl issue --ca NAME", own));
  if (outside > 0) {
    lines.push_back(
        fmt::format("{} certificates are for outside CAs to revoke: keyferry-appliance crl due --ca NAME "
                    "--list FILE names them; when its CRL is here: keyferry-appliance crl import FILE --ca NAME",
                    outside));
  }
  if (own + outside == 0) {
    lines.push_back(options.authority ? fmt::format("nothing of {} is due", *options.authority)
                                      : std::string{"every revoked certificate is on a CRL"});
  }
  Json json{{"due", own + outside}, {"outside", outside}, {"by", list}};
  if (options.list) {
    json["listed"] = write_due(context, *options.authority, *options.list);
    json["list"] = options.list->string();
    lines.push_back("list  " + options.list->string());
  }
  context.out().result("crl-due", json, lines);
  return 0;
}

int crl_show(Context& context, const std::string& authority) {
  const auto newest = CrlStore{context.ledger()}.newest(authority_of(context, authority).name);
  if (!newest) {
    throw Error{Code::NotFound, fmt::format("kf-ca/{} has no CRL yet", printable(authority)),
                "keyferry-appliance crl issue --ca NAME"};
  }
  return print(context, *newest);
}

}  // namespace keyferry::appliance
