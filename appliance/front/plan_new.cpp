#include "appliance/front/plan_new.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/declarations.h"
#include "appliance/front/init.h"
#include "appliance/front/operation.h"
#include "appliance/front/plan_commands.h"
#include "appliance/front/preparations.h"
#include "appliance/ledger/inventory_store.h"
#include "appliance/ledger/plan_store.h"
#include "appliance/plan/outside_certificate.h"
#include "appliance/plan/plan_families.h"
#include "appliance/plan/plan_outside.h"
#include "appliance/plan/plan_verify.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/path.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint32_t kLeastSegmentSize = 256;
constexpr std::uint32_t kLargestUsualSegment = 8192;
/// At least half as many for each worker that `init` sets up by itself. Each segment costs some 5 ms (syncs, signatures), and
/// a worker gets its next one when it has little left, so that a few large ones keep all busy.
constexpr std::uint32_t kUsualSegmentsPerWorker = 12;
constexpr std::int64_t kDefaultDueDays = 90;
constexpr std::int64_t kDefaultExpiryDays = 30;

const KnownStation& find_station(const Registry& registry, const std::string& text) {
  const auto id = StationId::from_hex(text);
  const KnownStation* station = id ? registry.station(*id) : registry.station_by_name(text);
  if (station == nullptr || station->retired) {
    throw Error{Code::NotFound,
                fmt::format("station \"{}\" is not enrolled here", printable(text)),
                "enroll it first: keyferry-appliance station enroll TOKEN-DIR"};
  }
  return *station;
}

x509::CertificateFacts find_authority(const Registry& registry, const std::string& name) {
  const KnownAuthority* authority = registry.authority(name);
  if (authority == nullptr) {
    throw Error{Code::NotFound,
                fmt::format("there is no CA \"{}\"", printable(name)),
                "make it first: keyferry-appliance ca create NAME"};
  }
  if (authority->pending) {
    throw Error{Code::Refused,
                fmt::format("CA \"{}\" has no certificate yet: its request is out", printable(name)),
                fmt::format("when it is in: keyferry-appliance ca install {} --chain FILE", name)};
  }
  if (const KnownAuthority* revoked = registry.revoked_in_chain(*authority)) {
    throw Error{Code::Refused,
                revoked == authority
                    ? fmt::format("the certificate of kf-ca/{} is revoked", name)
                    : fmt::format("CA \"{}\" stands below kf-ca/{}, whose certificate is revoked", name, revoked->name),
                "name another CA: keyferry-appliance ca list"};
  }
  auto parsed = x509::parse_certificate(authority->certificate);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<x509::CertificateFacts>(std::move(parsed));
}

std::uint32_t segment_size(const PlanNewOptions& options) {
  if (options.segment_size) return *options.segment_size;
  // So many segments that workers end at about the same time, so few that what each costs does not weigh.
  const std::uint32_t usual = kUsualSegmentsPerWorker * usual_workers();
  std::uint32_t size = kLeastSegmentSize;
  while (size < kLargestUsualSegment && options.count / size >= usual) size *= 2;
  while (size < kMaxSegmentRecords && options.count / size >= kMaxSegmentsPerBatch) size *= 2;
  return size;
}

InventoryStore::MadeList choose(Context& context,
                                const PlanNewOptions& options,
                                se::Family family) {
  const Selection selection{.family = family,
                            .key_name = options.key_name,
                            .lot = options.lot,
                            .source = options.source,
                            .count = options.count,
                            .revoked_at = options.revoked_at};
  auto made = InventoryStore{context.ledger()}.make_list(selection, context.clock().now());
  if (const auto* refusal = std::get_if<Refusal>(&made)) throw to_error(*refusal);
  return std::get<InventoryStore::MadeList>(made);
}

std::optional<se::Atecc608Profile> read_profile(const PlanNewOptions& options, se::Family family) {
  const bool wanted = family == se::Family::Atecc608;
  if (wanted != options.atecc608_profile.has_value()) {
    throw Error{Code::Usage,
                wanted ? "--atecc608-profile is missing: family atecc608 needs the layout of its chips"
                       : "--atecc608-profile is for family atecc608 alone",
                "wrap/se/FORMAT.md, section 8, has an example"};
  }
  if (!wanted) return std::nullopt;
  const auto octets = read_file_if_exists(*options.atecc608_profile, kMaxPlanBytes);
  if (!octets)
    throw Error{Code::NotFound, fmt::format("there is no file {}", options.atecc608_profile->string())};
  auto parsed = parse_atecc608_profile(*octets);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<se::Atecc608Profile>(std::move(parsed));
}

/// With the product's declaration in it; nothing: "device" with --subject.
std::optional<x509::DeviceTemplate> read_template(Context& context, const PlanNewOptions& options) {
  std::string text = options.certificate_text;
  if (options.template_file) {
    const auto octets = read_file_if_exists(*options.template_file, x509::kMaxTemplateBytes);
    if (!octets) throw Error{Code::NotFound, fmt::format("there is no file {}", options.template_file->string())};
    text = to_string(*octets);
  }
  if (text.empty()) {
    if (!options.certification_declaration) return std::nullopt;
    throw Error{Code::Usage, "--certification-declaration goes with a Matter template: --template FILE"};
  }
  auto parsed = x509::parse_template(text);
  if (auto* refusal = std::get_if<Refusal>(&parsed)) {
    if (options.template_file) refusal->text = fmt::format("{}: {}", options.template_file->string(), refusal->text);
    throw to_error(*refusal);
  }
  auto device = std::get<x509::DeviceTemplate>(std::move(parsed));
  if (options.certification_declaration)
    take_declaration(context, {*options.certification_declaration, options.declaration_signer}, device);
  return device;
}

Digest file_sha256(const std::filesystem::path& file) {
  constexpr std::uint64_t kReadBytes = 1 << 20;
  const Fd fd = open_regular_file(file, Code::NotFound);
  const std::uint64_t size = file_size_bytes(fd);
  crypto::Sha256 hash;
  Bytes piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min(kReadBytes, size - at)));
    if (!read_exactly_at(fd, at, piece))
      throw Error{Code::Storage, fmt::format("{} became shorter while it was read", file.string())};
    hash.update(piece);
  }
  return hash.finish();
}

/// A plan in force that lies at `file`. The number and the times that nobody gave are taken from
/// it, so that a command given again after a cut finds its own plan and makes no second one.
std::optional<Plan> plan_at(const std::optional<Bytes>& octets, UtcMillis now) {
  if (!octets) return std::nullopt;
  auto parsed = parse_plan(*octets);
  auto* plan = std::get_if<Plan>(&parsed);
  if (plan == nullptr || plan->operation != Operation::Batch || plan->expires <= now)
    return std::nullopt;
  return std::move(*plan);
}

VerifyPlan verify_of(const PlanNewOptions& options) {
  const auto time = chain_time_from_name(options.chain_time);
  if (!time) throw Error{Code::Usage, "--chain-time: now or issuing"};
  if (*time == ChainTime::Issuing && options.clock_skew_s)
    throw Error{Code::Usage, "--clock-skew: with --chain-time issuing no clock is asked"};
  VerifyPlan plan{*time, options.clock_skew_s.value_or(0)};
  if (options.secure_boot_key && !options.firmware)
    throw Error{Code::Usage, "--secure-boot-key: verifies --firmware, and there is none"};
  if (options.secure_boot_key)
    plan.secure_boot_key_sha256 = crypto::sha256(point_in_pem(*options.secure_boot_key));
  return plan;
}

}  // namespace

Plan write_plan(Context& context, const PlanNewOptions& options) {
  const Registry registry = context.ledger().registry();
  const KnownStation& station = find_station(registry, options.station);
  const x509::CertificateFacts authority = find_authority(registry, options.authority);
  const auto family = se::family_from_name(options.family);
  if (!family)
    throw Error{Code::Usage, fmt::format("--family: \"{}\" is unknown", printable(options.family))};
  if (const auto refusal = se::unsupported(*family)) throw to_error(*refusal);
  if (options.count == 0 || options.count > kMaxBatchRecords) {
    throw Error{Code::Usage, fmt::format("--count: 1 to {}", kMaxBatchRecords)};
  }

  const UtcMillis now = context.clock().now();
  const auto days_later = [now](std::int64_t days) { return UtcMillis{now.value + days * kDayMs}; };
  const UtcMillis yesterday{(now.value / kDayMs - 1) * kDayMs};
  PlanStore plans{context.ledger()};
  const auto octets_there = read_file_if_exists(options.out, kMaxPlanBytes);
  const auto there = plan_at(octets_there, now);
  const std::uint64_t number = options.number.value_or(
      there ? there->number : std::max(plans.highest_number(), plans.highest_run_number()) + 1);
  const UtcMillis expires = there ? there->expires : days_later(kDefaultExpiryDays);
  const UtcMillis not_before =
      there ? there->batch().not_before : std::max(yesterday, authority.not_before);
  const UtcMillis due = there ? there->batch().due : days_later(kDefaultDueDays);

  Plan draft = draft_plan(
      context, Operation::Batch, read_time_or("--expires", options.expires, expires), number);
  BatchPlan batch;
  batch.site = options.site.value_or(station.site);
  batch.customer = options.customer;
  batch.station = station.id;
  batch.family = *family;
  batch.key_name = options.key_name;
  batch.se_count = options.count;
  batch.target_count = options.target_count.value_or(options.count);
  batch.segment_size = segment_size(options);
  batch.certificate_authority = options.authority;
  const auto device = read_template(context, options);
  batch.certificate_template = device ? device->name : std::string{x509::kDeviceTemplateName};
  batch.certificate_subject = device ? device->subject : options.subject;
  if (device) batch.certificate_text = x509::template_text(*device);
  const bool timed = device && device->not_after != UtcMillis{};
  if (timed && (options.not_before || options.not_after))
    throw Error{Code::Usage, "--not-before and --not-after: the template says them already"};
  batch.not_before = timed ? device->not_before : read_time_or("--not-before", options.not_before, not_before);
  batch.not_after = timed ? device->not_after : read_time_or("--not-after", options.not_after, authority.not_after);
  batch.due = read_time_or("--due", options.due, due);
  batch.outside = registry.authority(options.authority)->outside;
  if (batch.outside && !options.segment_size)
    batch.segment_size = std::min(batch.segment_size, kMaxOutsideSegmentRecords);
  batch.atecc608 = read_profile(options, *family);
  if (options.firmware) batch.firmware_sha256 = file_sha256(*options.firmware);
  batch.verify = verify_of(options);
  if (const auto refusal = check_outside(batch)) throw to_error(*refusal);
  draft.detail = batch;
  static_cast<void>(sealed_plan(draft));  // wrong options are told before the inventory is read

  const InventoryStore::MadeList list = choose(context, options, *family);
  batch.se_list_root = list.root;
  draft.detail = batch;
  Plan plan = sealed_plan(draft);
  if (!octets_there || !equal(*octets_there, plan.octets)) {
    write_file_durably(options.out, plan.octets, Overwrite::Refuse);
  }
  KF_CUT("front.plan-new.written");  // cut here: the same command finds its file and keeps that plan
  plans.keep(plan, list.id, now);
  return plan;
}

int plan_new(Context& context, const PlanNewOptions& options) {
  const Plan plan = write_plan(context, options);
  print_plan(context, plan, {}, options.out);
  return 0;
}

}  // namespace keyferry::appliance
