// Writes the seeds of fuzz_gate_request and fuzz_worker_request: one request of each kind that carries octets, and one
// connection of several, from the seeds of plans, enrolments and containers.
#include <cstdio>
#include <filesystem>

#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/worker.pb.h"
#include "token/container.h"
#include "wrap/base/durable_file.h"
#include "wrap/se/entry.h"

namespace {

using namespace keyferry;  // NOLINT(google-build-using-namespace): a main of its own

constexpr std::uint64_t kMaxSeedBytes = 1U << 20;

void put(const std::filesystem::path& path, ByteView content) {
  std::filesystem::create_directories(path.parent_path());
  write_file_durably(path, content, Overwrite::Replace);
}

std::string seed(const std::filesystem::path& path) { return to_string(read_file(path, kMaxSeedBytes)); }

void append_frame(Bytes& out, const google::protobuf::Message& message) {
  const std::string octets = message.SerializeAsString();
  append_u32be(out, static_cast<std::uint32_t>(octets.size()));
  append(out, as_bytes(octets));
}

std::string entry() {
  const se::Entry one{.serial = *SeSerial::from_bytes(as_bytes("0000000000000001")),
                      .part = "",
                      .lot = "lot-a",
                      .device_serial = "D00001",
                      .transport_name = "m",
                      .transport_data = {}};
  return to_string(se::canonical_entry(one));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: make_gate_corpus CORPUS_FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path root{argv[1]};
  const std::string plan = seed(root / "plan" / "batch.toml");
  const std::string container = seed(root / "container" / "segment");
  v1::GateRequest open, run, segment, inbox, report, leaves;
  open.set_id(1);
  open.mutable_open()->set_log_size(3);
  open.mutable_open()->set_checkpoint(seed(root / "checkpoint" / "note"));
  open.mutable_open()->add_registries("registry");
  run.set_id(2);
  run.mutable_run_plan()->set_plan(plan);
  v1::SignedBytes request;
  if (!request.ParseFromString(seed(root / "enrolment" / "signed-request"))) return 1;
  *run.mutable_run_plan()->add_approvals() = request;
  *run.mutable_run_plan()->mutable_enrolment_request() = request;
  segment.set_id(3);
  segment.mutable_segment()->set_plan(plan);
  segment.mutable_segment()->add_entries(entry());
  segment.mutable_segment()->add_path(std::string(32, 'p'));
  inbox.set_id(4);
  inbox.mutable_inbox()->set_header(container.substr(0, token::kHeaderSizeBytes));
  inbox.mutable_inbox()->set_trailer(container.substr(container.size() - token::kTrailerSizeBytes));
  inbox.mutable_inbox()->add_chunk_hashes(std::string(32, 'h'));
  report.set_id(5);
  report.mutable_report()->add_leaves()->mutable_note()->set_event("seed");
  leaves.set_id(6);
  leaves.mutable_leaf_hashes()->add_hashes(std::string(32, 'l'));
  Bytes all;
  for (const auto& [name, message] : {std::pair{"open", &open}, std::pair{"run-plan", &run}, std::pair{"segment", &segment},
                                      std::pair{"inbox", &inbox}, std::pair{"report", &report}, std::pair{"leaf-hashes", &leaves}}) {
    Bytes one;
    append_frame(one, *message);
    put(root / "gate-request" / name, one);
    append(all, one);
  }
  put(root / "gate-request" / "connection", all);

  v1::WorkerRequest make, answer, opened;
  make.mutable_make_segment()->set_plan(plan);
  make.mutable_make_segment()->add_entries(entry());
  make.mutable_make_segment()->add_path(std::string(32, 'p'));
  *answer.mutable_make_answer()->mutable_request() = request;
  opened.mutable_open_inbox()->set_header(inbox.inbox().header());
  opened.mutable_open_inbox()->set_trailer(inbox.inbox().trailer());
  opened.mutable_open_inbox()->add_stations()->set_name("line-1");
  put(root / "worker-request" / "make-segment", as_bytes(make.SerializeAsString()));
  put(root / "worker-request" / "make-answer", as_bytes(answer.SerializeAsString()));
  put(root / "worker-request" / "open-inbox", as_bytes(opened.SerializeAsString()));
  return 0;
}
