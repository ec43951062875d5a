#include "appliance/front/part_maker.h"

#include <fmt/format.h>

#include <utility>

#include "keyferry/v1/gate.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kNonceIdBytes = 16;
constexpr std::size_t kPointBytes = 65;
constexpr std::size_t kSerialBytes = 16;
constexpr std::size_t kMaxOutsideSerialBytes = 20;  // RFC 5280 4.1.2.2

Error nonsense(const std::string& what) {
  return Error{Code::Channel, "the gate's answer does not fit what was asked: " + what};
}

template <typename Id>
Id id_of(const std::string& octets, const char* what) {
  const auto id = Id::from_bytes(as_bytes(octets));
  if (!id) throw nonsense(what);
  return *id;
}

}  // namespace

PartMaker::PartMaker(const std::filesystem::path& folder,
                     std::optional<SegmentIndex> index,
                     RecordNo first_record,
                     std::vector<InventoryStore::SegmentEntry> entries,
                     PartKind kind)
    : files_{kind == PartKind::Waiting ? waiting_files(folder, *index) : part_files(folder, index)},
      next_record_{first_record},
      entries_{std::move(entries)},
      body_{create_file(files_.body)} {
  part_.index = index;
  part_.waiting = kind == PartKind::Waiting;
  part_.count = static_cast<std::uint32_t>(entries_.size());
  if (index) certificates_ = create_file(files_.sealed_certificates);
}

void PartMaker::take(const v1::GateReply& reply) {
  switch (reply.reply_case()) {
    case v1::GateReply::kBody:
      write_all(body_, as_bytes(reply.body().octets()), files_.body.string());
      part_.body_size_bytes += reply.body().octets().size();
      return;
    case v1::GateReply::kRecords:
      take_record(reply);
      return;
    case v1::GateReply::kSealedCertificates:
      if (!certificates_.valid()) throw nonsense("certificates of a manifest");
      write_all(certificates_,
                as_bytes(reply.sealed_certificates().octets()),
                files_.sealed_certificates.string());
      return;
    case v1::GateReply::kPrepared: {
      const v1::SegmentPrepared& done = reply.prepared();
      if (records_.size() + requests_.size() != entries_.size()) throw nonsense("records are missing");
      part_.container = id_of<ContainerId>(done.container_id(), "container id");
      part_.digest = id_of<Digest>(done.digest(), "digest");
      leaves_.push_back(to_bytes(as_bytes(done.summary_leaf())));
      prepared_ = true;
      return;
    }
    case v1::GateReply::kIssued:
      error_ = Error{
          Code::Storage,
          fmt::format("{} was issued before, and its body is not here any more", part_name(part_)),
          "put the batch's folder and the ledger back from a copy that holds it"};
      return;
    case v1::GateReply::kError:
      error_ =
          Error{code_from_name(reply.error().code()), reply.error().text(), reply.error().hint()};
      return;
    default:
      throw nonsense("kind of reply");
  }
}

void PartMaker::take_record(const v1::GateReply& reply) {
  for (const v1::IssuedRecord& record : reply.records().records()) {
    const std::size_t taken = records_.size() + requests_.size();
    if (taken >= entries_.size() || record.record_no() != next_record_.value)
      throw nonsense("record number");
    const InventoryStore::SegmentEntry& entry = entries_[taken];
    if (part_.waiting) {
      take_request(record, entry);
      continue;
    }
    RecordRow row{
        .record_no = next_record_,
        .se = entry.id,
        .generation = entry.entry.generation,
        .public_key = to_bytes(as_bytes(record.public_key())),
        .certificate_serial = to_bytes(as_bytes(record.certificate_serial())),
        .certificate_sha256 = id_of<Digest>(record.certificate_sha256(), "certificate hash"),
        .challenge = id_of<Digest>(record.challenge(), "challenge"),
        .nonce_id = to_bytes(as_bytes(record.nonce_id())),
        .outside_serial = to_bytes(as_bytes(record.outside_serial()))};
    if (row.outside_serial.size() > kMaxOutsideSerialBytes) throw nonsense("size of an outside serial");
    if (row.public_key.size() != kPointBytes || row.certificate_serial.size() != kSerialBytes) {
      throw nonsense("size of key or serial");
    }
    const std::size_t nonce_id_bytes = entry.entry.family == se::Family::Atecc608 ? kNonceIdBytes : 0;
    if (row.nonce_id.size() != nonce_id_bytes) throw nonsense("size of nonce id");
    records_.push_back(std::move(row));
    leaves_.push_back(to_bytes(as_bytes(record.leaf())));
    ++next_record_.value;
  }
}

void PartMaker::take_request(const v1::IssuedRecord& record, const InventoryStore::SegmentEntry& entry) {
  RequestRow row{.record_no = next_record_,
                 .se = entry.id,
                 .generation = entry.entry.generation,
                 .public_key = to_bytes(as_bytes(record.public_key())),
                 .request_sha256 = id_of<Digest>(record.request_sha256(), "request hash"),
                 .nonce_id = to_bytes(as_bytes(record.nonce_id()))};
  if (row.public_key.size() != kPointBytes) throw nonsense("size of key");
  const std::size_t nonce_id_bytes = entry.entry.family == se::Family::Atecc608 ? kNonceIdBytes : 0;
  if (row.nonce_id.size() != nonce_id_bytes) throw nonsense("size of nonce id");
  requests_.push_back(std::move(row));
  leaves_.push_back(to_bytes(as_bytes(record.leaf())));
  ++next_record_.value;
}

bool PartMaker::prepared() const {
  if (error_) throw Error{*error_};
  return prepared_;
}

void PartMaker::sync_files() {
  sync_file(body_, files_.body.string());
  if (certificates_.valid()) sync_file(certificates_, files_.sealed_certificates.string());
  sync_directory(files_.body.parent_path());
  body_.reset();
  certificates_.reset();
  KF_CUT("front.body.synced");
}

SealedPart PartMaker::store_prepared(BatchStore& store, const BatchId& batch) {
  sync_files();
  return noted(store.prepare(batch, part_, records_, leaves_));
}

SealedPart PartMaker::store_prepared(OutsideStore& store, const BatchId& batch) {
  sync_files();
  return noted(store.prepare(batch, part_, requests_, leaves_));
}

SealedPart PartMaker::noted(std::uint64_t first_leaf) {
  part_.first_leaf = first_leaf;
  KF_CUT("front.part.prepared");
  return part_;
}

}  // namespace keyferry::appliance
