#include "station-agent/prepare/work.h"

#include <algorithm>

#include "keyferry/v1/preparation.pb.h"
#include "wrap/base/error.h"

namespace keyferry::prepare {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr std::uint64_t kMaxWorkBytes = 16 * 1024;
constexpr std::string_view kSuffix = ".work";

[[noreturn]] void damaged(const std::filesystem::path& file) {
  throw Error{Code::Storage,
              file.string() + " is no work of this order",
              "it was damaged or put there by somebody: keep it, and set that chip aside"};
}

}  // namespace

std::string_view stage_name(Stage stage) {
  switch (stage) {
    case Stage::Begun:
      return "begun";
    case Stage::Attested:
      return "attested";
    case Stage::Sealed:
      return "sealed";
    case Stage::Done:
      return "done";
    case Stage::SetAside:
      return "set-aside";
  }
  throw Error{Code::Internal, "a stage that is none"};
}

Journal::Journal(const std::filesystem::path& folder, const Digest& plan_digest)
    : folder_{folder / plan_digest.hex()}, plan_digest_{plan_digest} {
  make_private_directory(folder_);
}

std::filesystem::path Journal::file_of(ByteView serial) const {
  return folder_ / (to_hex(serial) + std::string{kSuffix});
}

Work Journal::read(const std::filesystem::path& file) const {
  const Bytes octets = read_file(file, kMaxWorkBytes);
  v1::PreparationWork message;
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size())) ||
      message.version() != kVersion || message.stage() < 1 || message.stage() > 5 ||
      message.plan_digest() != plan_digest_.str()) {
    damaged(file);
  }
  Work work{.serial = to_bytes(as_bytes(message.serial())),
            .plan_digest = plan_digest_,
            .stage = static_cast<Stage>(message.stage()),
            .attestation_key = to_bytes(as_bytes(message.attestation_key())),
            .receipt = to_bytes(as_bytes(message.receipt())),
            .challenge = to_bytes(as_bytes(message.challenge())),
            .response = to_bytes(as_bytes(message.response())),
            .reason = message.reason()};
  if (file_of(work.serial) != file) damaged(file);
  return work;
}

std::optional<Work> Journal::find(ByteView serial) const {
  const std::filesystem::path file = file_of(serial);
  if (!std::filesystem::exists(file)) return std::nullopt;
  return read(file);
}

void Journal::save(const Work& work) const {
  v1::PreparationWork message;
  message.set_version(kVersion);
  message.set_serial(to_string(work.serial));
  message.set_plan_digest(work.plan_digest.str());
  message.set_stage(static_cast<std::uint32_t>(work.stage));
  message.set_attestation_key(to_string(work.attestation_key));
  message.set_receipt(to_string(work.receipt));
  message.set_challenge(to_string(work.challenge));
  message.set_response(to_string(work.response));
  message.set_reason(work.reason);
  write_file_durably(
      file_of(work.serial), as_bytes(message.SerializeAsString()), Overwrite::Replace);
}

std::vector<Work> Journal::all() const {
  std::vector<Work> works;
  for (const auto& entry : std::filesystem::directory_iterator{folder_}) {
    if (entry.path().extension() == kSuffix) works.push_back(read(entry.path()));
  }
  std::ranges::sort(works, {}, &Work::serial);
  return works;
}

}  // namespace keyferry::prepare
