#include "appliance/front/devices.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/front/context.h"
#include "appliance/front/internal/end_words.h"
#include "appliance/front/operation.h"
#include "keyferry/v1/gate.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/pem.h"
#include "wrap/x509/serial.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kRmaReason = "cessationOfOperation";

// --- which device ----------------------------------------------------------------------------------------------------

/// As other programs write them: leading zeros left out, one in front, or colons between.
std::optional<Bytes> serial_octets(std::string text) {
  std::erase(text, ':');
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (text.size() % 2 != 0) text.insert(0, 1, '0');
  const auto octets = from_hex(text);
  return octets ? x509::stored_serial(*octets) : std::nullopt;
}

Bytes serial_of_file(const std::string& file) {
  auto read = x509::read_certificates(read_file(file, x509::kMaxPemBytes));
  if (const auto* refusal = std::get_if<Refusal>(&read)) throw to_error(*refusal);
  const auto& certificates = std::get<std::vector<Bytes>>(read);
  const auto parsed = x509::parse_certificate(certificates.front());  // a chain begins with the device's
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  const auto octets = x509::stored_serial(std::get<x509::CertificateFacts>(parsed).serial);
  if (!octets) throw Error{Code::NotFound, printable(file) + ": no certificate of ours has a serial of that length"};
  return *octets;
}

Bytes certificate_serial(const std::string& text) {
  if (std::filesystem::exists(text)) return serial_of_file(text);
  const auto octets = serial_octets(text);
  if (octets) return *octets;
  throw Error{Code::Usage, fmt::format("\"{}\" is neither a file nor a serial of 32 hex digits", printable(text))};
}

se::Family known_family(const std::string& text) {
  const auto family = se::family_from_name(text);
  if (!family)
    throw Error{Code::Usage, fmt::format("\"{}\" is no family of SEs", printable(text)), "pkcs11 or atecc608"};
  return *family;
}

/// The serial as that family spells it on a screen; nothing when it is none of it.
std::optional<SeSerial> serial_from_text(se::Family family, const std::string& text) {
  const auto hex = family == se::Family::Pkcs11 ? std::nullopt : from_hex(text);
  if (family != se::Family::Pkcs11 && !hex) return std::nullopt;
  auto serial = se::normalise_serial(family, hex ? ByteView{*hex} : as_bytes(text));
  if (auto* found = std::get_if<SeSerial>(&serial)) return *found;
  return std::nullopt;
}

std::vector<DeviceRow> records_of_se(DeviceStore& store, const DeviceChoice& choice) {
  std::vector<DeviceRow> rows;
  for (const se::Family family :
       {se::Family::Pkcs11, se::Family::Atecc608, se::Family::OptigaTrustM, se::Family::Tpm2}) {
    if (choice.family && known_family(*choice.family) != family) continue;
    const auto serial = serial_from_text(family, *choice.se);
    if (!serial) continue;
    auto more = store.of_se(family, *serial);
    rows.insert(rows.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  }
  return rows;
}

std::string choice_text(const DeviceChoice& choice) {
  if (choice.se) return "SE " + printable(*choice.se);
  if (choice.device_serial) return "device " + printable(*choice.device_serial);
  if (choice.certificate) return "certificate " + printable(*choice.certificate);
  return fmt::format("record {} of batch {}", choice.record.value_or(0), printable(choice.batch.value_or("")));
}

std::string row_text(const DeviceRow& row) {
  return fmt::format("record {} of batch {} ({}{}{}), SE {}, certificate serial {}", row.record_no, row.batch.hex(),
                     state_name(row.state), row.revoked || row.crl_due ? ", revoked" : "",
                     row.scrapped ? ", scrapped" : "", se_text(row), to_hex(row.shown_serial()));
}

/// The one record of the choice that fits; several are named. None: the one with which it was done before, else the
/// only one there is, whose refusal tells why.
template <typename Fits>
DeviceRow the_record(Context& context, const DeviceChoice& choice, const char* kind, Fits fits) {
  const auto rows = chosen_records(context, choice);
  std::vector<DeviceRow> found, done;
  std::ranges::copy_if(rows, std::back_inserter(found), fits);
  DeviceStore store{context.ledger()};
  if (found.empty()) {
    std::ranges::copy_if(rows, std::back_inserter(done),
                         [&](const DeviceRow& row) { return store.act(row, kind).has_value(); });
    if (done.size() == 1) return done.front();
  }
  const auto& among = found.empty() ? rows : found;
  if (among.size() == 1) return among.front();
  for (const DeviceRow& row : among) context.out().note(row_text(row));
  throw Error{Code::Refused,
              fmt::format("{} records are of {}: {}", among.size(), choice_text(choice),
                          found.empty() ? "none of them is one that this can be done with" : "which one is not clear"),
              "name one by its certificate: --certificate SERIAL"};
}

DeviceRecord bound(const DeviceRow& row) {
  return {.batch = row.batch,
          .record_no = row.record_no,
          .family = row.family,
          .se_serial = to_bytes(row.se_serial.bytes()),
          .certificate_serial = row.certificate_serial,
          .device_serial = row.device_serial,
          .outside_serial = row.outside_serial};
}

// --- doing -----------------------------------------------------------------------------------------------------------

std::string serial_name(const DeviceRow& row) {
  return se::serial_text(row.family, row.se_serial);
}

Json row_json(const DeviceRow& row) {
  return Json{{"batch", row.batch.hex()},
              {"record_no", row.record_no},
              {"family", se::family_name(row.family)},
              {"se_serial", printable(serial_name(row))},
              {"device_serial", row.device_serial},
              {"key_name", row.key_name},
              {"certificate_serial", to_hex(row.shown_serial())},
              {"authority", row.authority}};
}

void tell(Context& context, std::string_view noun, const DeviceRow& row, bool done_before, const Json& more,
          std::vector<std::string> lines) {
  Json json = row_json(row);
  json.update(more);
  json["done_before"] = done_before;
  const auto now = DeviceStore{context.ledger()}.record(row.batch, RecordNo{row.record_no});
  json["crl_due"] = now && now->crl_due && !now->crl_number && !now->outside_crl;
  if (json["crl_due"].get<bool>()) {
    lines.push_back(row.outside() ? fmt::format("the outside CA {} must revoke certificate {}", row.authority,
                                                to_hex(row.outside_serial))
                                  : "its certificate is due: keyferry-appliance crl issue --ca " + row.authority);
  }
  context.out().result(noun, json, lines);
}

/// Checked before anybody types or signs anything; a refusal is a leaf.
void check(Context& context, const DeviceRow& row, Operation operation, decltype(Plan::detail) detail) {
  Plan plan;
  plan.operation = operation;
  plan.detail = std::move(detail);
  const auto refusal = DeviceStore{context.ledger()}.refusal(plan, context.clock().now());
  if (!refusal) return;
  context.gate().report_refused(operation_name(operation), *refusal,
                                fmt::format("{} {}", row.batch.hex(), row.record_no));
  throw to_error(*refusal);
}

struct Done {
  bool before = false;
  DeviceAct act;  // as the ledger keeps it
};

/// The same command again tells what was done; with other arguments it is refused like any second act.
template <typename PlanDetail>
Done run(Context& context, const DeviceRow& row, const char* kind, Operation operation, const PlanDetail& detail,
         const EndOptions& end, std::string_view what) {
  DeviceStore store{context.ledger()};
  if (auto act = store.act(row, kind); act && same_act(*act, detail)) return {true, *std::move(act)};
  check(context, row, operation, detail);
  need_typed(context, end.confirm, serial_name(row), what);
  run_operation(context, operation, detail);
  KF_CUT("front.device-ends.done");  // cut here: the same command says that it was done before
  auto act = store.act(row, kind);
  if (!act) throw Error{Code::Internal, "the ledger lacks the act that was just done"};
  return {false, *std::move(act)};
}

std::string stored_reason(const DeviceAct& act) {
  return act.crl_reason ? std::string{crl_reason_name(*act.crl_reason)} : "";
}

std::string need_reason(const std::optional<std::string>& text, const char* fallback) {
  std::string reason = text.value_or(fallback);
  if (crl_reason_code(reason)) return reason;
  throw Error{
      Code::Usage, fmt::format("\"{}\" is no reason that a device's certificate can have", printable(reason)),
      "one of unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, privilegeWithdrawn"};
}

Digest digest_of_file(const std::filesystem::path& file) {
  constexpr std::size_t kPieceBytes = 1 << 20;
  const Fd source = open_regular_file(file, Code::NotFound);
  const std::uint64_t size = file_size_bytes(source);
  crypto::Sha256 hash;
  Bytes piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, size - at)));
    if (!read_exactly_at(source, at, piece))
      throw Error{Code::Storage, file.string() + " became shorter while it was read"};
    hash.update(piece);
  }
  return hash.finish();
}

}  // namespace

std::string se_text(const DeviceRow& row) {
  return fmt::format("{} {}", se::family_name(row.family), printable(serial_name(row)));
}

std::vector<DeviceRow> chosen_records(Context& context, const DeviceChoice& choice) {
  const int ways = int{choice.se.has_value()} + int{choice.device_serial.has_value()} +
                   int{choice.certificate.has_value()} + int{choice.batch.has_value()};
  if (ways != 1) {
    throw Error{Code::Usage,
                "say which device, in one way: --se, --device-serial, --certificate, or --batch with --record"};
  }
  DeviceStore store{context.ledger()};
  std::vector<DeviceRow> rows;
  if (choice.se) rows = records_of_se(store, choice);
  if (choice.device_serial) rows = store.of_device(*choice.device_serial);
  if (choice.certificate) {
    const Bytes serial = certificate_serial(*choice.certificate);
    rows = store.of_outside_serial(serial);
    if (auto row = store.of_certificate(serial)) rows.push_back(std::move(*row));
  }
  if (choice.batch) {
    if (!choice.record) throw Error{Code::Usage, "--batch needs --record"};
    const BatchId batch = ended_batch(context, *choice.batch).id;
    if (auto row = store.record(batch, RecordNo{*choice.record})) rows.push_back(std::move(*row));
  }
  if (!rows.empty()) return rows;
  throw Error{Code::NotFound, "no record here is of " + choice_text(choice),
              "a device has a record as soon as its batch is sealed: keyferry-appliance batch status"};
}

int device_revoke(Context& context, const DeviceOptions& options) {
  if (!options.crl_reason) throw Error{Code::Usage, "--crl-reason is needed", "for example keyCompromise"};
  const std::string crl_reason = need_reason(options.crl_reason, "");
  static_cast<void>(context.gate());
  constexpr const char* kKind = "revoked";
  const DeviceRow row = the_record(context, options.choice, kKind,
                                   [](const DeviceRow& one) { return one.in_use() || one.outstanding(); });
  const Done done = run(context, row, kKind, Operation::DeviceRevoke,
                        DeviceRevokePlan{bound(row), crl_reason, options.end.reason, row.outstanding()}, options.end,
                        row.outstanding() ? "revoking an outstanding record" : "revoking a device's certificate");
  tell(context, "device-revoke", row, done.before, Json{{"crl_reason", stored_reason(done.act)}},
       {fmt::format("{} {}", row_text(row), done.before ? "was revoked before" : "is revoked now"),
        row.outstanding()
            ? "the record ends as revoked: a receipt that comes later is an incident; a new record for its SE: "
              "quarantine release"
            : "its SE gets no other record; what can follow: device rework, device rma, device scrap"});
  return 0;
}

int device_scrap(Context& context, const DeviceOptions& options) {
  static_cast<void>(context.gate());
  constexpr const char* kKind = "scrapped";
  const DeviceRow row = the_record(context, options.choice, kKind, [](const DeviceRow& one) {
    return one.state != RecordState::Issued && !one.in_use() && !one.scrapped && !one.released;
  });
  std::optional<Digest> evidence;
  if (options.evidence) evidence = digest_of_file(*options.evidence);
  const Done done = run(context, row, kKind, Operation::DeviceScrap,
                        DeviceScrapPlan{.record = bound(row),
                                        .by = options.by,
                                        .witness = options.witness,
                                        .evidence_sha256 = evidence,
                                        .reason = options.end.reason},
                        options.end, "scrapping an SE");
  const DeviceAct& act = done.act;
  tell(context, "device-scrap", row, done.before,
       Json{{"by", act.first}, {"witness", act.second}, {"evidence_sha256", act.evidence ? act.evidence->hex() : ""}},
       {fmt::format("SE {} {}: it is never again in a batch", se_text(row),
                    done.before ? "was scrapped before" : "is scrapped")});
  return 0;
}

int device_rework(Context& context, const DeviceOptions& options) {
  static_cast<void>(context.gate());
  constexpr const char* kKind = "reworked";
  DeviceRow row = the_record(context, options.choice, kKind, [](const DeviceRow& one) {
    return one.state != RecordState::Issued && !one.replaced && !one.released;
  });
  const se::Family family = options.new_family ? known_family(*options.new_family) : row.family;
  const auto serial = serial_from_text(family, options.new_se);
  if (!serial) {
    throw Error{Code::Usage,
                fmt::format("\"{}\" is no serial of family {}", printable(options.new_se), se::family_name(family))};
  }
  if (row.device_serial.empty()) {
    if (!options.for_device || !is_device_serial(*options.for_device)) {
      throw Error{Code::Refused, row_text(row) + " is of no known device: its serial was never given",
                  "give the device's serial: --for-device SERIAL"};
    }
    row.device_serial = *options.for_device;
  }
  const Done done = run(context, row, kKind, Operation::DeviceRework,
                        DeviceReworkPlan{.record = bound(row),
                                         .new_family = family,
                                         .new_se_serial = to_bytes(serial->bytes()),
                                         .reason = options.end.reason},
                        options.end, "giving a device another SE");
  const std::string new_text =
      fmt::format("{} {}", se::family_name(family), printable(se::serial_text(family, *serial)));  // as stored
  tell(context, "device-rework", row, done.before, Json{{"new_se", new_text}},
       {fmt::format("device {} {} SE {} in place of {}", row.device_serial, done.before ? "has got" : "gets", new_text,
                    se_text(row)),
        "the new SE gets its key in the next batch that has it: keyferry-appliance plan new"});
  return 0;
}

int device_rma(Context& context, const DeviceOptions& options) {
  const std::string crl_reason = need_reason(options.crl_reason, kRmaReason);
  static_cast<void>(context.gate());
  constexpr const char* kKind = "rma";
  const DeviceRow row = the_record(context, options.choice, kKind, [](const DeviceRow& one) {
    return one.state == RecordState::Injected && one.rma.empty() && !one.replaced && !one.scrapped;
  });
  const Done done = run(
      context, row, kKind, Operation::DeviceRma,
      DeviceRmaPlan{.record = bound(row), .rma = options.rma, .crl_reason = crl_reason, .reason = options.end.reason},
      options.end, "taking a device back");
  tell(context, "device-rma", row, done.before,
       Json{{"rma", done.act.rma}, {"crl_reason", stored_reason(done.act)}},
       {fmt::format("return {}: {}", done.act.rma, row_text(row)),
        "its SE gets no other record; what can follow: device rework, device scrap"});
  return 0;
}

}  // namespace keyferry::appliance
