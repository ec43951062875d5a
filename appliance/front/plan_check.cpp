#include "appliance/front/plan_check.h"

#include <fmt/format.h>

#include "appliance/front/context.h"
#include "appliance/front/declarations.h"
#include "appliance/front/ends.h"
#include "appliance/front/hsm_backup.h"
#include "appliance/front/outside.h"
#include "appliance/ledger/plan_store.h"
#include "appliance/plan/ca_chain.h"
#include "appliance/plan/plan_families.h"
#include "appliance/plan/plan_outside.h"
#include "token/audit/merkle.h"
#include "token/items.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/atecc608_profile.h"
#include "wrap/se/compressed_certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/path.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxListed = 20;
constexpr std::uint64_t kRoomPerRecordBytes =
    4096;  // sealed record, two certificates, ledger rows, log leaf
constexpr std::uint64_t kRoomToSpareBytes = 16 * 1024 * 1024;
constexpr std::uint64_t kMaxOutsideFileBytes = std::uint64_t{1} << 40;
constexpr std::size_t kReadBytes = 1 << 20;

/// Not known, or destroyed by officers.
template <typename Known>
bool gone(const Known* key) {
  return key == nullptr || key->destroyed;
}

class Checker {
 public:
  Checker(Context& context, const Plan& plan, const fs::path& folder)
      : context_{context}, plan_{plan}, folder_{folder}, registry_{context.ledger().registry()} {}

  PlanCheck run() {
    check_frame();
    for (const auto& [name, digest] : plan_.files) check_file(name, digest);
    if (plan_.operation == Operation::Batch) check_batch(plan_.batch());
    refuse(end_refusal(context_, plan_));
    refuse(certify_refusal(context_, plan_));
    return std::move(result_);
  }

 private:
  void refuse(std::string reason, std::string text, std::string hint = {}) {
    result_.refusals.push_back({std::move(reason), std::move(text), std::move(hint)});
  }

  void refuse(const std::optional<Refusal>& refusal) {
    if (refusal) result_.refusals.push_back(*refusal);
  }

  void check_frame();
  void check_file(const std::string& name, const Digest& expected);
  void check_batch(const BatchPlan& batch);
  void check_station(const BatchPlan& batch);
  void check_certificates(const BatchPlan& batch);
  void check_list(const BatchPlan& batch);
  [[nodiscard]] std::optional<Refusal> check_se(const BatchPlan& batch,
                                                const ListedSe& listed) const;
  void check_room(const BatchPlan& batch);
  void check_family(const BatchPlan& batch);
  [[nodiscard]] std::optional<Refusal> check_certificate_room(const se::Entry& entry) const;

  void end_segment(audit::Frontier& segment) {
    result_.segment_roots.push_back(segment.root());
    segment = audit::Frontier{};
  }

  Context& context_;
  const Plan& plan_;
  fs::path folder_;
  Registry registry_;
  std::optional<x509::CertificateBuilder> certificates_;  // once the template has been checked
  std::vector<Bytes> issuers_;
  PlanCheck result_;
};

void Checker::check_frame() {
  // A restored HSM is an appliance of its own before it takes over.
  const ApplianceId expected = plan_.operation == Operation::HsmAdoptState
                                   ? adoption_facts(context_).appliance
                                   : context_.appliance_id();
  if (plan_.appliance != expected) {
    refuse("plan-appliance", "the plan was made for another appliance");
  }
  if (plan_.environment != context_.settings().environment) {
    refuse("plan-environment",
           fmt::format("the plan is for environment {}, this appliance is in {}",
                       environment_name(plan_.environment),
                       environment_name(context_.settings().environment)));
  }
  if (plan_.expires <= context_.clock().now()) {
    refuse("plan-expired",
           fmt::format("the plan expired at {}", to_rfc3339(plan_.expires)),
           "make a new plan and have it approved");
  }
  const std::uint64_t last = PlanStore{context_.ledger()}.highest_run_number();
  if (plan_.number <= last) {
    refuse("plan-number",
           fmt::format("plan number {} is used: the last one was {}", plan_.number, last),
           fmt::format("make the plan again with number {} or higher", last + 1));
  }
}

void Checker::check_file(const std::string& name, const Digest& expected) {
  const fs::path path = fs::path{name}.is_absolute() ? fs::path{name} : folder_ / name;
  const std::string shown = printable(name);
  if (!fs::is_regular_file(fs::symlink_status(path))) {
    refuse("file-missing", fmt::format("outside file {} is not there", shown));
    return;
  }
  const Fd fd = open_regular_file(path, Code::Storage);
  const std::uint64_t size = file_size_bytes(fd);
  if (size > kMaxOutsideFileBytes) {
    refuse("file-changed", fmt::format("outside file {} is too large", shown));
    return;
  }
  crypto::Sha256 hash;
  Bytes piece;
  for (std::uint64_t at = 0; at < size; at += piece.size()) {
    piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, size - at)));
    if (!read_exactly_at(fd, at, piece)) break;
    hash.update(piece);
  }
  if (hash.finish() != expected) {
    refuse("file-changed",
           fmt::format("outside file {} is not the one that the plan names", shown),
           "put the approved file back, or make a new plan");
  }
}

void Checker::check_batch(const BatchPlan& batch) {
  check_family(batch);
  if (batch.mode != BatchMode::Inject)
    refuse("batch-mode", "only mode \"inject\" is supported yet");
  refuse(check_firmware(batch));
  refuse(check_outside(batch));
  if (batch.segment_count() > kMaxSegmentsPerBatch) {
    refuse("batch-segments",
           fmt::format("{} segments are more than {}", batch.segment_count(), kMaxSegmentsPerBatch),
           "choose a larger --segment-size");
  }
  check_station(batch);
  check_certificates(batch);
  check_list(batch);
  check_room(batch);
}

void Checker::check_family(const BatchPlan& batch) {
  refuse(se::unsupported(batch.family));
  if (!registry_.enabled(batch.family)) {
    refuse("family-off",
           fmt::format("family {} is off: its device keys are in the clear in a worker while a record is made",
                       se::family_name(batch.family)),
           fmt::format("officers turn it on: keyferry-appliance family enable {} --reason TEXT",
                       se::family_name(batch.family)));
  }
}

void Checker::check_station(const BatchPlan& batch) {
  const KnownStation* station = registry_.station(batch.station);
  if (station == nullptr || station->retired) {
    refuse("batch-station",
           fmt::format("station {} is not enrolled here", batch.station.hex()),
           "enroll it first: keyferry-appliance station enroll TOKEN-DIR");
  } else if (station->site != batch.site) {
    refuse("batch-site",
           fmt::format("station \"{}\" stands at site \"{}\", the plan says \"{}\"",
                       station->name,
                       station->site,
                       batch.site));
  }
}

void Checker::check_certificates(const BatchPlan& batch) {
  const KnownAuthority* authority = registry_.authority(batch.certificate_authority);
  if (authority == nullptr) {
    refuse("batch-authority",
           fmt::format("there is no CA \"{}\"", batch.certificate_authority),
           "make it first: keyferry-appliance ca create NAME");
    return;
  }
  if (const KnownAuthority* revoked = registry_.revoked_in_chain(*authority)) {
    refuse("authority-revoked",
           revoked == authority ? fmt::format("the certificate of kf-ca/{} is revoked", authority->name)
                                : fmt::format("CA \"{}\" stands below kf-ca/{}, whose certificate is revoked",
                                              authority->name,
                                              revoked->name),
           "make another CA, and the plan with it: keyferry-appliance ca create");
    return;
  }
  if (authority->retired || authority->destroyed) {
    refuse("batch-authority",
           fmt::format("CA \"{}\" is retired", batch.certificate_authority),
           "make the plan with another CA");
    return;
  }
  if (authority->pending) {
    refuse("batch-authority",
           fmt::format("CA \"{}\" has no certificate yet: its request is out", batch.certificate_authority),
           fmt::format("when it is in: keyferry-appliance ca install {} --chain FILE", batch.certificate_authority));
    return;
  }
  if (authority->outside != batch.outside) {
    refuse("batch-outside",
           fmt::format("CA \"{}\" is {}, the plan says otherwise",
                       batch.certificate_authority,
                       authority->outside ? "an outside one" : "kept in the HSM"),
           "make the plan again");
    return;
  }
  const auto parsed = x509::parse_certificate(authority->certificate);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) {
    refuse(*refusal);
    return;
  }
  const auto& issuer = std::get<x509::CertificateFacts>(parsed);
  x509::DeviceTemplate device = batch.device_template();
  device.issuer_name = issuer.subject_name;
  device.issuer_key_identifier = issuer.subject_key_identifier;
  if (const auto refusal = x509::validate(device)) {
    refuse(*refusal);
    return;
  }
  if (const auto refusal = check_device_issuer(batch.certificate_authority, authority->kind, device)) {
    refuse(*refusal);
    return;
  }
  if (device.certification_declaration) {
    const auto anchor = x509::parse_certificate(authority->chain().back());
    const auto* paa = std::get_if<x509::CertificateFacts>(&anchor);
    refuse(check_kept_declaration(context_, device, paa != nullptr ? ByteView{paa->subject_key_identifier} : ByteView{}));
  }
  if (const auto refusal = x509::validate(device, issuer)) {
    refuse(*refusal);
    return;
  }
  certificates_.emplace(device);
  result_.max_certificate_bytes = x509::max_certificate_bytes(device);
  if (result_.max_certificate_bytes > token::kMaxCertificateBytes) {
    refuse("certificate-size",
           fmt::format("certificates may have {} octets, an SE of family {} and its record hold {}",
                       result_.max_certificate_bytes, se::family_name(batch.family), token::kMaxCertificateBytes),
           "make the template's names, policies and extensions shorter");
  }
  issuers_ = authority->chain();
  if (batch.not_before < issuer.not_before) {
    refuse("validity",
           fmt::format("certificates would begin at {}, before their CA does ({})",
                       to_rfc3339(batch.not_before),
                       to_rfc3339(issuer.not_before)));
  }
}

std::string name_of(const se::Entry& entry) {
  return fmt::format("SE {} ({}, key name \"{}\")",
                     se::serial_text(entry.family, entry.serial),
                     se::family_name(entry.family),
                     printable(entry.key_name));
}

/// Are these roots of its segments those of the plan's list?
bool is_list_root(const BatchPlan& batch, const std::vector<Digest>& roots) {
  if (roots.size() != batch.segment_count()) return false;
  const auto path = audit::subtree_path(roots, 0, batch.segment_size, batch.se_count);
  return audit::verify_subtree(
      roots.front(), 0, batch.segment_size, batch.se_count, path, batch.se_list_root);
}

std::optional<Refusal> Checker::check_se(const BatchPlan& batch, const ListedSe& listed) const {
  const se::Entry& entry = listed.entry;
  if (listed.changed) {
    return Refusal{"se-changed",
                   name_of(entry) + ": its inventory row was changed after the plan was made",
                   "find out who changed the ledger; make a new plan"};
  }
  if (listed.ended) {
    return Refusal{"se-ended",
                   name_of(entry) + " was scrapped, or its device has another SE: it gets no record any more",
                   "make a new plan: keyferry-appliance plan new chooses others"};
  }
  if (!listed.visible) return Refusal{"se-unknown", name_of(entry) + " is not in the inventory"};
  if (entry.family != batch.family || entry.key_name != batch.key_name) {
    return Refusal{"se-other", name_of(entry) + " is not of the plan's family and key name"};
  }
  if (registry_.source(listed.source) == nullptr) {
    return Refusal{
        "source-unknown",
        fmt::format("{}: source \"{}\" is not enrolled", name_of(entry), printable(listed.source))};
  }
  if (entry.transport_kind == se::TransportKind::Public) {
    return Refusal{"transport-unsupported", name_of(entry) + ": public transport keys are not supported yet"};
  }
  if (entry.transport_kind == se::TransportKind::Delivered &&
      gone(registry_.vendor_key(entry.transport_name))) {
    return Refusal{"vendor-key-unknown",
                   fmt::format("{}: there is no vendor key \"{}\"", name_of(entry), printable(entry.transport_name))};
  }
  if (entry.transport_kind == se::TransportKind::Derived && !gone(registry_.master(entry.transport_name)) &&
      registry_.master(entry.transport_name)->family != entry.family) {
    return Refusal{"master-family",
                   fmt::format("{}: transport-key master \"{}\" was made for family {}",
                               name_of(entry),
                               printable(entry.transport_name),
                               se::family_name(registry_.master(entry.transport_name)->family)),
                   "a master whose keys a worker may see derives for its own family alone"};
  }
  if (entry.transport_kind == se::TransportKind::Derived && gone(registry_.master(entry.transport_name))) {
    return Refusal{
        "master-unknown",
        fmt::format(
            "{}: there is no transport-key master \"{}\"", name_of(entry), printable(entry.transport_name))};
  }
  if (listed.live_in) {
    return Refusal{
        "se-has-key",
        fmt::format("{} has a live key already, from batch {}", name_of(entry), listed.live_in->hex()),
        "make a new plan: keyferry-appliance plan new chooses SEs without one"};
  }
  if (listed.reserved_by) {
    return Refusal{
        "se-reserved",
        fmt::format("{} is in batch {}, which is approved", name_of(entry), listed.reserved_by->hex()),
        "make a new plan, or let that batch's plan expire"};
  }
  if (certificates_) {
    const x509::SubjectFields fields{.device_serial = entry.device_serial.empty()
                                                          ? std::nullopt
                                                          : std::optional{entry.device_serial},
                                     .se_serial = entry.serial,
                                     .key_name = entry.key_name,
                                     .part = entry.part,
                                     .lot = entry.lot};
    if (auto refusal = certificates_->check(fields)) {
      return Refusal{refusal->reason, name_of(entry) + ": " + refusal->text, refusal->hint};
    }
  }
  if (batch.atecc608) {
    if (auto refusal = check_certificate_room(entry))
      return Refusal{refusal->reason, name_of(entry) + ": " + refusal->text, refusal->hint};
  }
  return std::nullopt;
}

/// The longest certificate that this SE can get: another key, serial or signature makes it shorter at most.
std::optional<Refusal> Checker::check_certificate_room(const se::Entry& entry) const {
  if (!certificates_) return std::nullopt;
  static const crypto::PublicKey kAnyKey = crypto::SoftKey::generate().public_key();
  const x509::SubjectFields fields{
      .device_serial = entry.device_serial.empty() ? std::nullopt : std::optional{entry.device_serial},
      .se_serial = entry.serial,
      .key_name = entry.key_name,
      .part = entry.part,
      .lot = entry.lot};
  const bool compress = plan_.batch().atecc608->certificate_form == se::CertificateForm::Compressed;
  const Bytes signature(crypto::kSignatureBytes, compress ? 0x01 : 0xFF);  // 0xFF: the longest in DER
  const Bytes certificate = x509::assemble(certificates_->to_be_signed(x509::longest_serial(), fields, kAnyKey), signature);
  if (compress) {
    const auto compressed = se::compress_certificate(certificate);
    if (const auto* refusal = std::get_if<Refusal>(&compressed)) return *refusal;
    return std::nullopt;
  }
  const auto area = se::plain_certificate_area(*plan_.batch().atecc608, certificate, issuers_);
  if (const auto* refusal = std::get_if<Refusal>(&area)) return *refusal;
  return std::nullopt;
}

void Checker::check_list(const BatchPlan& batch) {
  InventoryStore inventory{context_.ledger()};
  result_.list = inventory.list_by_root(batch.se_list_root);
  if (!result_.list) {
    refuse("se-list-unknown",
           "this ledger has no list of SEs with the plan's root",
           "make the plan on this appliance: keyferry-appliance plan new");
    return;
  }
  audit::Frontier segment;
  std::size_t listed_refusals = 0;
  Progress progress{"checking SEs", batch.se_count};
  inventory.visit_list(
      *result_.list, plan_.batch_id(), context_.clock().now(), [&](const ListedSe& listed) {
        if (!listed.changed) {
          segment.append(listed.leaf);
          if (segment.size() == batch.segment_size) end_segment(segment);
        }
        progress.at(listed.index);
        const auto refusal = check_se(batch, listed);
        if (!refusal) return;
        if (++listed_refusals <= kMaxListed) {
          refuse(*refusal);
        } else {
          ++result_.more_refusals;
        }
      });
  if (segment.size() != 0) end_segment(segment);
  const std::uint32_t count = inventory.list_count(*result_.list);
  if (count != batch.se_count) {
    refuse("se-count", fmt::format("the list has {} SEs, the plan says {}", count, batch.se_count));
  } else if (!is_list_root(batch, result_.segment_roots)) {
    refuse("se-list-root",
           "the root over the SEs is not the one in the plan: the ledger was changed");
  }
}

void Checker::check_room(const BatchPlan& batch) {
  const std::uint64_t needed = batch_room_bytes(batch.se_count);
  const std::uint64_t available = fs::space(context_.paths().home).available;
  if (available < needed) {
    refuse("no-room",
           fmt::format("{} MiB are free at {}, the batch may take {} MiB",
                       available >> 20,
                       context_.paths().home.string(),
                       needed >> 20),
           "make room, then check again");
  }
}

}  // namespace

std::uint64_t batch_room_bytes(std::uint64_t records) {
  return records * kRoomPerRecordBytes + kRoomToSpareBytes;
}

PlanCheck check_plan(Context& context, const Plan& plan, const fs::path& folder) {
  return Checker{context, plan, folder}.run();
}

}  // namespace keyferry::appliance
