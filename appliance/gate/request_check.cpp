#include "appliance/gate/request_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/worker.pb.h"

namespace keyferry::appliance {
namespace {

namespace pb = google::protobuf;

struct Bound {
  std::string_view field;  // message and field, as in the .proto files
  int max_count = 1;
  std::size_t max_bytes = 0;  // of one text or octet string
};

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kMiB = 1024 * kKiB;

// What a message of the front end may hold where the table says nothing: a few short values.
constexpr Bound kOtherwise{"", 64, 4 * kKiB};
// What the gate itself composed from kf-state and registry.
constexpr Bound kOtherwiseOfGate{"", 65'536, 1 * kMiB};

// Plans: kMaxPlanBytes. Segments: kMaxSegmentRecords. An audit path has one hash for each bit of a position.
constexpr std::array kBounds{
    Bound{"AdoptRequest.backup_registry", 1, kMaxRegistryBytes},
    Bound{"AdoptRequest.plan", 1, 64 * kKiB},
    Bound{"AdoptRequest.registry", 1, kMaxRegistryBytes},
    Bound{"BackupRequest.plan", 1, 64 * kKiB},
    Bound{"CheckDeliveredRequest.entries", 1024, 4 * kKiB},
    Bound{"CheckDeliveredRequest.path", 64, 32},
    Bound{"CheckDeliveredRequest.plan", 1, 64 * kKiB},
    Bound{"CloseBatchRequest.plan_digest", 1, 32},
    Bound{"ExportRequest.plan", 1, 64 * kKiB},
    Bound{"InboxRequest.chunk_hashes", 262'144, 32},  // 16 GiB of chunks
    Bound{"LeafHashes.hashes", 65'536, 32},
    Bound{"LeafHashes.leaves", 65'536, 4 * kKiB},
    Bound{"MakeManifest.certification_declaration", 1, 4 * kKiB},
    Bound{"MakeManifest.declaration_signer", 1, 4 * kKiB},
    Bound{"ManifestRequest.certification_declaration", 1, 4 * kKiB},
    Bound{"ManifestRequest.declaration_signer", 1, 4 * kKiB},
    Bound{"ManifestRequest.plan", 1, 64 * kKiB},
    Bound{"ManifestRequest.station_log_root", 1, 32},
    Bound{"MakeSegment.certificates", 2048, 4 * kKiB},
    Bound{"MakeSegment.certificates_path", 64, 32},
    Bound{"MakeSegment.entries", 16'384, 4 * kKiB},
    Bound{"MakeSegment.path", 64, 32},
    Bound{"MakeSegment.plan", 1, 64 * kKiB},
    Bound{"MakeSegment.waiting", 1, 8 * kMiB},
    Bound{"OpenInbox.chunk_hashes", 262'144, 32},
    Bound{"OpenRequest.registries", 64, kMaxRegistryBytes},
    Bound{"MakeCrl.ca_certificate", 1, 16 * kKiB},
    Bound{"MakeCrl.entries", 1, 8 * kMiB},  // 300,000 of 25 octets
    Bound{"MakePreparationOrder.plan", 1, 64 * kKiB},
    Bound{"MakePreparationOrder.registry", 1, kMaxRegistryBytes},
    Bound{"ReportRequest.leaves", 4096, 0},
    Bound{"Restore.backup", 1, 8 * kMiB},
    Bound{"RestoreRequest.backup", 1, 8 * kMiB},
    Bound{"RunPlanRequest.crl_entries", 1, 8 * kMiB},
    Bound{"RunPlanRequest.plan", 1, 64 * kKiB},
    Bound{"SegmentAbandon.plan_digest", 1, 32},
    Bound{"SegmentCommit.plan_digest", 1, 32},
    Bound{"SegmentRequest.certificates", 2048, 4 * kKiB},  // kMaxOutsideSegmentRecords
    Bound{"SegmentRequest.certificates_path", 64, 32},
    Bound{"SegmentRequest.entries", 16'384, 4 * kKiB},
    Bound{"SegmentRequest.path", 64, 32},
    Bound{"SegmentRequest.plan", 1, 64 * kKiB},
    Bound{"SegmentRequest.waiting", 1, 8 * kMiB},
    Bound{"SignedBytes.payload", 1, 64 * kKiB},
};

const Bound& bound_of(const pb::FieldDescriptor& field, const Bound& otherwise) {
  const std::string name = fmt::format("{}.{}", field.containing_type()->name(), field.name());
  const auto* const found = std::ranges::find(kBounds, std::string_view{name}, &Bound::field);
  return found == kBounds.end() ? otherwise : *found;
}

Refusal beyond(const pb::FieldDescriptor& field, std::string_view what, std::size_t found, std::size_t allowed) {
  return Refusal{"request-bound",
                 fmt::format("{}.{} has {} {}, at most {} are taken", field.containing_type()->name(), field.name(), found,
                             what, allowed)};
}

std::optional<Refusal> check_message(const pb::Message& message, const Bound& otherwise);

std::optional<Refusal> check_text(const pb::Message& message, const pb::FieldDescriptor& field, const Bound& bound) {
  const pb::Reflection& reflection = *message.GetReflection();
  std::string scratch;
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    const std::string& value = field.is_repeated() ? reflection.GetRepeatedStringReference(message, &field, i, &scratch)
                                                   : reflection.GetStringReference(message, &field, &scratch);
    if (value.size() > bound.max_bytes) return beyond(field, "octets", value.size(), bound.max_bytes);
  }
  return std::nullopt;
}

std::optional<Refusal> check_field(const pb::Message& message, const pb::FieldDescriptor& field, const Bound& otherwise) {
  const pb::Reflection& reflection = *message.GetReflection();
  const Bound& bound = bound_of(field, otherwise);
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  if (count > bound.max_count) {
    return beyond(field, "values", static_cast<std::size_t>(count), static_cast<std::size_t>(bound.max_count));
  }
  if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING) return check_text(message, field, bound);
  if (field.cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) return std::nullopt;
  for (int i = 0; i < count; ++i) {
    const pb::Message& part =
        field.is_repeated() ? reflection.GetRepeatedMessage(message, &field, i) : reflection.GetMessage(message, &field);
    if (auto refusal = check_message(part, otherwise)) return refusal;
  }
  return std::nullopt;
}

// As deep as the .proto files nest: the parser has refused anything deeper than 100.
std::optional<Refusal> check_message(const pb::Message& message, const Bound& otherwise) {
  const pb::Reflection& reflection = *message.GetReflection();
  if (!reflection.GetUnknownFields(message).empty()) {
    return Refusal{"request-unknown-field",
                   fmt::format("the request has a field of {} that this program does not know", message.GetDescriptor()->name()),
                   "front end and gate are of different versions: install both from one release"};
  }
  std::vector<const pb::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    if (auto refusal = check_field(message, *field, otherwise)) return refusal;
  }
  return std::nullopt;
}

bool parse(ByteView frame, pb::Message& message) {
  return frame.size() <= kMaxFrameBytes && message.ParseFromArray(frame.data(), static_cast<int>(frame.size()));
}

}  // namespace

std::optional<std::uint32_t> frame_length(ByteView four_octets, std::uint32_t max_bytes) {
  if (four_octets.size() != 4) return std::nullopt;
  const std::uint32_t length = read_u32be(four_octets);
  return length > max_bytes ? std::nullopt : std::optional{length};
}

bool parse_request(ByteView frame, v1::GateRequest& request) { return parse(frame, request); }

bool parse_request(ByteView frame, v1::WorkerRequest& request) { return parse(frame, request); }

std::optional<Refusal> check_request(const v1::GateRequest& request) { return check_message(request, kOtherwise); }

std::optional<Refusal> check_request(const v1::WorkerRequest& request) { return check_message(request, kOtherwiseOfGate); }

}  // namespace keyferry::appliance
