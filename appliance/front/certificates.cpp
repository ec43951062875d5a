// The certificates of a batch as PEM, for openssl and for whoever registers devices (export.h).
#include <fmt/format.h>

#include <utility>

#include "appliance/front/batch_files.h"
#include "appliance/front/context.h"
#include "appliance/front/declarations.h"
#include "appliance/front/export.h"
#include "wrap/base/error.h"
#include "wrap/x509/pem.h"

namespace keyferry::appliance {
namespace {

/// PEM of the batch's CA and all above it.
std::string authority_chain(Context& context, const BatchRow& batch) {
  const Registry registry = context.ledger().registry();
  const KnownAuthority* authority = registry.authority(batch.authority);
  if (authority == nullptr) {
    throw Error{
        Code::NotFound,
        fmt::format("certificate authority \"{}\" is not in the registry", batch.authority)};
  }
  std::string pem;
  for (const Bytes& der : authority->chain()) pem += x509::to_pem(x509::kPemCertificate, der);
  return pem;
}

// Public and made again at any time: not worth an fsync each.
void write_public_file(const std::filesystem::path& path, ByteView octets) {
  const Fd file = create_file(path);
  write_all(file, octets, path.string());
}

void write_public_file(const std::filesystem::path& path, const std::string& pem) {
  write_public_file(path, as_bytes(pem));
}

}  // namespace

int export_certificates(Context& context, std::string_view batch, const std::filesystem::path& to) {
  BatchStore store{context.ledger()};
  auto found = store.resolve(batch);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  const BatchRow row = std::get<BatchRow>(std::move(found));
  const std::string authority = authority_chain(context, row);
  const bool folder = std::filesystem::is_directory(to);
  std::optional<DurableWriter> file;
  if (!folder) file.emplace(to);
  std::uint64_t count = 0;
  for (const SealedPart& segment : store.segments(row.id)) {
    if (segment.state != SealState::Sealed) continue;
    visit_certificates(context, row, segment, [&](RecordNo record, ByteView der) {
      const std::string pem = x509::to_pem(x509::kPemCertificate, der);
      if (folder) {
        write_public_file(to / fmt::format("record-{:07}.pem", record.value), pem);
      } else {
        file->write(as_bytes(pem));
      }
      ++count;
    });
  }
  if (folder) {
    write_public_file(to / "ca.pem", authority);
    const ProductDeclaration declaration = declaration_of(context, row.id);
    if (!declaration.cms.empty()) write_public_file(to / "certification-declaration.der", declaration.cms);
    if (!declaration.signer.empty()) write_public_file(to / "declaration-signer.der", declaration.signer);
    sync_directory(to);
  } else {
    file->write(as_bytes(authority));
    file->commit();
  }
  context.out().result(
      "certificates",
      Json{{"batch", row.id.hex()},
           {"authority", row.authority},
           {"count", count},
           {"to", to.string()}},
      {fmt::format(
          "{} certificates of batch {} and its CA chain: {}", count, row.id.hex(), to.string())});
  return 0;
}

}  // namespace keyferry::appliance
