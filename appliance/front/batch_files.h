// The files of a batch below HOME/batches/<batch id>: bodies that grow under a temporary name,
// containers that are whole, the certificates of each segment. What is written here is ciphertext
// or public.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "appliance/ledger/batch_store.h"
#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/ids.h"

namespace keyferry::appliance {

class Context;

/// Where one part of a batch lies. A body becomes a container by its trailer and by losing ".tmp".
struct PartFiles {
  std::filesystem::path container;  // manifest.kf, segment-00000.kf
  std::filesystem::path body;       // container + ".tmp"
  std::filesystem::path
      certificates;  // segments only: DER leafs, each behind a u16be length, by record number
  std::filesystem::path sealed_certificates;  // the same before the segment is issued
};

[[nodiscard]] PartFiles part_files(const std::filesystem::path& folder,
                                   std::optional<SegmentIndex> index);

/// waiting-00000.kf, .kf.tmp, and for certificates .requests: PKCS#10 in DER, in the same form.
[[nodiscard]] PartFiles waiting_files(const std::filesystem::path& folder, SegmentIndex index);

/// "segment 3", "the keys of segment 3", "the manifest"
[[nodiscard]] std::string part_name(const SealedPart& part);

/// An empty file of that name, replacing what a cut run left. Not durable before sync_file().
[[nodiscard]] Fd create_file(const std::filesystem::path& path);

/// The last steps of a part whose trailer the HSM has stored: trailer appended, synced, renamed;
/// certificates opened and compared with the ledger; the container read once more and held against
/// its signature; sealed in the ledger. May be cut anywhere and called again. checkpoint: of the
/// reply that brought the trailer; empty when the leaves are final already. Error{Storage} with a
/// hint when the body is gone.
void complete_part(Context& context,
                   const BatchRow& batch,
                   const SealedPart& part,
                   ByteView trailer,
                   ByteView certificates_key,
                   const std::string& checkpoint);

/// Rows and files of a part that never was sealed: nobody can open them.
void drop_part(Context& context, const BatchRow& batch, const SealedPart& part);

/// The same for the requests of one waiting container.
void visit_requests(Context& context,
                    const BatchRow& batch,
                    const SealedPart& waiting,
                    const std::function<void(RecordNo, ByteView)>& visit);

/// The waiting containers of a batch that is sealed: what is in them is in its segments.
void remove_waiting_files(Context& context, const BatchRow& batch);

/// Calls `visit(record number, DER)` for the certificates of one sealed segment, in order, each
/// checked against the ledger. Error{Storage} when the file is gone or differs.
void visit_certificates(Context& context,
                        const BatchRow& batch,
                        const SealedPart& segment,
                        const std::function<void(RecordNo, ByteView)>& visit);

}  // namespace keyferry::appliance
