#include "appliance/front/batch_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/own_card.h"
#include "appliance/ledger/outside_store.h"
#include "token/container.h"
#include "token/container_open.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/crypto/aead.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxCertificatesBytes =
    128U * 1024 * 1024;  // 16,384 records of less than 8 KiB
constexpr const char* kRestoreHint =
    "put the file back from a copy of the home; its keys were issued and stay outstanding until "
    "then";

bool is_there(const std::filesystem::path& path) {
  std::error_code problem;
  return std::filesystem::symlink_status(path, problem).type() ==
         std::filesystem::file_type::regular;
}

void remove_file(const std::filesystem::path& path) {
  std::error_code problem;
  std::filesystem::remove(path, problem);
  if (problem) throw system_error(Code::Storage, "remove " + path.string(), problem.value());
}

// The body may have been cut in the middle of the trailer: it is shortened to what was prepared
// first.
void append_trailer(const PartFiles& files, const SealedPart& part, ByteView trailer) {
  const std::string what = files.body.string();
  const Fd file{::open(files.body.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW)};
  if (!file.valid()) {
    throw Error{Code::Storage,
                fmt::format("the body of {} is gone: {}", part_name(part), what),
                kRestoreHint};
  }
  if (file_size_bytes(file) < part.body_size_bytes) {
    throw Error{Code::Storage,
                fmt::format("the body of {} is cut short: {}", part_name(part), what),
                kRestoreHint};
  }
  if (::ftruncate(file.get(), static_cast<off_t>(part.body_size_bytes)) != 0 ||
      ::lseek(file.get(), 0, SEEK_END) < 0) {
    throw system_error(Code::Storage, "shorten " + what, errno);
  }
  write_all(file, trailer, what);
  sync_file(file, what);
  KF_CUT("front.trailer.appended");
  std::filesystem::rename(files.body, files.container);
  sync_directory(files.container.parent_path());
  KF_CUT("front.part.renamed");
}

token::ContainerType type_of(const SealedPart& part) {
  if (!part.index) return token::ContainerType::Manifest;
  return part.waiting ? token::ContainerType::Waiting : token::ContainerType::Segment;
}

// What left is what was signed: one pass over the file on our own disk.
void check_container(Context& context,
                     const BatchRow& batch,
                     const SealedPart& part,
                     const PartFiles& files) {
  const token::ApplianceCard card = own_card(context);
  const Registry registry = context.ledger().registry();
  const KnownStation* station = registry.station(batch.station);
  auto recipient = station ? crypto::PublicKey::from_point(station->agreement_key) : std::nullopt;
  if (part.waiting) recipient = card.inbox_key;
  if (!recipient) throw Error{Code::Internal, "the batch's station is not in the registry"};
  const Fd file = open_regular_file(files.container, Code::Storage);
  const token::Expectation expected{
      .type = type_of(part),
      .environment = card.environment,
      .recipient = recipient->key_id(),
      .max_body_bytes = token::kMaxBodyBytes,
      .sender = card.export_key.key_id(),
      .batch_id = batch.id,
      .index = part.index ? part.index->value : 0U};
  const auto outlined = token::outline(file, expected);
  const auto* outline = std::get_if<token::Outline>(&outlined);
  if (outline == nullptr || outline->digest != part.digest ||
      outline->header.container_id != part.container ||
      std::holds_alternative<Refusal>(token::check_signature(*outline, card.export_key))) {
    throw Error{
        Code::Storage,
        fmt::format("{} is not what was signed for {}", files.container.string(), part_name(part)),
        kRestoreHint};
  }
}

PartFiles files_of(Context& context, const BatchRow& batch, const SealedPart& part) {
  const std::filesystem::path folder = context.paths().batch(batch.id);
  return part.waiting ? waiting_files(folder, *part.index) : part_files(folder, part.index);
}

std::vector<ByteView> certificates_in(ByteView octets, const std::string& what) {
  std::vector<ByteView> found;
  while (octets.size() >= 2) {
    const std::size_t length = read_u16be(octets);
    if (length > octets.size() - 2) break;
    found.push_back(octets.subspan(2, length));
    octets = octets.subspan(2 + length);
  }
  if (!octets.empty()) throw Error{Code::Storage, what + " is damaged", kRestoreHint};
  return found;
}

void check_certificates(Context& context,
                        const BatchRow& batch,
                        const SealedPart& part,
                        const std::vector<ByteView>& certificates,
                        const std::string& what) {
  const std::vector<Digest> hashes =
      part.waiting ? OutsideStore{context.ledger()}.request_hashes(batch.id, *part.index)
                   : BatchStore{context.ledger()}.certificate_hashes(batch.id, *part.index);
  bool equal = hashes.size() == certificates.size();
  for (std::size_t i = 0; equal && i < hashes.size(); ++i)
    equal = crypto::sha256(certificates[i]) == hashes[i];
  if (!equal)
    throw Error{
        Code::Storage, what + " does not hold the certificates of the ledger", kRestoreHint};
}

void open_certificates(Context& context,
                       const BatchRow& batch,
                       const SealedPart& part,
                       const PartFiles& files,
                       ByteView certificates_key) {
  if (is_there(files.certificates)) return;
  const Bytes sealed = read_file(files.sealed_certificates, kMaxCertificatesBytes);
  Bytes octets;
  crypto::AesGcm cipher{SecretBytes::copy_of(certificates_key)};
  if (!cipher.open(Bytes(crypto::kGcmNonceBytes), part.container.bytes(), sealed, octets)) {
    throw Error{Code::Storage, files.sealed_certificates.string() + " does not open", kRestoreHint};
  }
  check_certificates(context,
                     batch,
                     part,
                     certificates_in(octets, files.sealed_certificates.string()),
                     files.sealed_certificates.string());
  write_file_durably(files.certificates, octets, Overwrite::Replace);
  KF_CUT("front.certificates.opened");
}

}  // namespace

PartFiles part_files(const std::filesystem::path& folder, std::optional<SegmentIndex> index) {
  const std::string stem = index ? fmt::format("segment-{:05}", index->value) : "manifest";
  return {folder / (stem + ".kf"),
          folder / (stem + ".kf.tmp"),
          folder / (stem + ".certs"),
          folder / (stem + ".certs.sealed")};
}

PartFiles waiting_files(const std::filesystem::path& folder, SegmentIndex index) {
  const std::string stem = fmt::format("waiting-{:05}", index.value);
  return {folder / (stem + ".kf"),
          folder / (stem + ".kf.tmp"),
          folder / (stem + ".requests"),
          folder / (stem + ".requests.sealed")};
}

std::string part_name(const SealedPart& part) {
  if (part.waiting) return fmt::format("the keys of segment {}", part.index->value);
  return part.index ? fmt::format("segment {}", part.index->value) : "the manifest";
}

Fd create_file(const std::filesystem::path& path) {
  Fd file{::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
  if (!file.valid()) throw system_error(Code::Storage, "create " + path.string(), errno);
  return file;
}

void complete_part(Context& context,
                   const BatchRow& batch,
                   const SealedPart& part,
                   ByteView trailer,
                   ByteView certificates_key,
                   const std::string& checkpoint) {
  const PartFiles files = files_of(context, batch, part);
  KF_CUT("front.trailer.before");
  // Cut after the rename: the container has its name already and check_container decides.
  if (!is_there(files.container)) append_trailer(files, part, trailer);
  check_container(context, batch, part, files);
  if (part.index) open_certificates(context, batch, part, files, certificates_key);
  remove_file(files.sealed_certificates);
  if (part.waiting) {
    OutsideStore{context.ledger()}.seal(batch.id, part, trailer, checkpoint);
  } else {
    BatchStore{context.ledger()}.seal(batch.id, part, trailer, checkpoint);
  }
  KF_CUT("front.part.sealed");
}

void drop_part(Context& context, const BatchRow& batch, const SealedPart& part) {
  const PartFiles files = files_of(context, batch, part);
  if (part.waiting) {
    OutsideStore{context.ledger()}.drop_prepared(batch.id, part);
  } else {
    BatchStore{context.ledger()}.drop_prepared(batch.id, part);
  }
  KF_CUT("front.part.dropped");
  remove_file(files.body);
  remove_file(files.sealed_certificates);
}

void visit_requests(Context& context,
                    const BatchRow& batch,
                    const SealedPart& waiting,
                    const std::function<void(RecordNo, ByteView)>& visit) {
  visit_certificates(context, batch, waiting, visit);
}

void remove_waiting_files(Context& context, const BatchRow& batch) {
  for (const SealedPart& part : OutsideStore{context.ledger()}.segments(batch.id)) {
    remove_file(files_of(context, batch, part).container);
    KF_CUT("front.waiting.removed");
  }
}

void visit_certificates(Context& context,
                        const BatchRow& batch,
                        const SealedPart& segment,
                        const std::function<void(RecordNo, ByteView)>& visit) {
  const PartFiles files = files_of(context, batch, segment);
  const Bytes octets = read_file(files.certificates, kMaxCertificatesBytes);
  const std::vector<ByteView> certificates = certificates_in(octets, files.certificates.string());
  check_certificates(context, batch, segment, certificates, files.certificates.string());
  std::uint32_t number = segment.index->value * batch.segment_size;
  for (const ByteView certificate : certificates) visit(RecordNo{number++}, certificate);
}

}  // namespace keyferry::appliance
