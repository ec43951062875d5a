// What segments of all kinds are made of: plan and entries as they are checked, lines for the front end, certificates sealed
// for later. Includes protobuf: nobody but the worker includes this.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "appliance/gate/record_maker.h"
#include "appliance/gate/segment_maker.h"
#include "appliance/plan/plan.h"
#include "keyferry/v1/worker.pb.h"
#include "token/container.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/signing.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {

/// Upper bound of one Record item beside its certificates and payload.
inline constexpr std::uint64_t kRecordOverheadBytes = 1024;

[[noreturn]] void refuse(const std::string& text);

/// Error{Refused} unless the octets are a batch's plan.
[[nodiscard]] Plan batch_plan(std::string_view octets);

[[nodiscard]] crypto::PublicKey point_of(const std::string& octets, const char* what);
[[nodiscard]] token::Environment token_environment(Environment environment);
[[nodiscard]] token::Mode token_mode(BatchMode mode);
[[nodiscard]] v1::Family message_family(se::Family family);

/// The segment's entries, checked to be exactly those of the plan at this index.
[[nodiscard]] std::vector<se::Entry> checked_entries(const v1::MakeSegment& request, const BatchPlan& batch);

/// The issuing CA, then those above it.
[[nodiscard]] std::vector<Bytes> issuers_of(const v1::MakeSegment& request);
[[nodiscard]] std::uint64_t issuers_bytes(const v1::MakeSegment& request);

struct ContainerEnds {
  ContainerId container;
  KeyId sender, recipient;
};

/// Of a container with one item of at most `record_bytes` for each of `records`, beside its opening.
[[nodiscard]] token::Header header_of(token::ContainerType type, const Plan& plan, const v1::MakeSegment& request,
                                      std::size_t records, std::uint64_t record_bytes, const ContainerEnds& ends);

/// Whose key a leaf is about.
template <typename Leaf>
void name_record(Leaf& leaf, const BatchId& batch, const se::Entry& entry, const token::Record& record) {
  leaf.set_batch_id(batch.str());
  leaf.set_record_no(record.record_no.value);
  leaf.set_family(message_family(entry.family));
  leaf.set_se_serial(to_string(entry.serial.bytes()));
  leaf.set_key_name(entry.key_name);
  leaf.set_public_key_sha256(crypto::sha256(record.public_key.point()).str());
}

/// What the front end learns of a record: public data, hashes, and the leaf that will stand in the log.
void describe(const BatchId& batch, const se::Entry& entry, const MadeRecord& made, UtcMillis now, v1::IssuedRecord& line);

/// A leaf about a record, but for what it tells of it.
[[nodiscard]] v1::LogLeaf record_leaf(UtcMillis now);

/// Lines on their way to the front end, some at a time; other requests are served in between.
class IssuedLines {
 public:
  explicit IssuedLines(const SegmentSink& sink) : sink_{sink} {}

  [[nodiscard]] v1::IssuedRecord& next();
  void finish();

 private:
  const SegmentSink& sink_;
  v1::IssuedRecords lines_;
  std::uint64_t count_ = 0;
};

/// Seals the certificates under a key of their own that is released with the trailer: issued means signed, not before.
[[nodiscard]] SecretBytes seal_certificates(const ContainerId& container, ByteView certificates, RandomSource& random,
                                            const SegmentSink& sink);

/// All of `made` but its sentence about plaintext.
void tell_made(const token::Header& header, const token::Sealed& sealed, const std::vector<se::Entry>& entries,
               v1::SegmentMade& made);

}  // namespace keyferry::appliance
