#include "appliance/gate/client.h"



#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/frame.h"
#include "wrap/base/process_end.h"

namespace keyferry::appliance {
namespace {

constexpr int kFrontFd = 3;
constexpr int kPinFd = 4;
constexpr const char* kStartGate =
    "it logs out and ends when idle ([gate] idle_lock_s) or by hsm lock: start it again, with its PIN or custodians";

void add_share_arguments(const GateOptions& options, ChildSpec& spec) {
  const auto add = [&spec](const char* name, std::string value) {
    spec.arguments.insert(spec.arguments.end(), {name, std::move(value)});
  };
  if (options.backup_shares) {
    add("--backup-shares", *options.backup_shares);
    for (const std::filesystem::path& folder : options.backup_share_folders) add("--backup-share-dir", folder.string());
  }
  const std::string& appliance = options.appliance.empty() ? options.backup_name : options.appliance;
  if (!appliance.empty()) add("--appliance", appliance);
  if (options.pin_shares) add("--pin-shares", *options.pin_shares);
  if (options.new_pin_shares) add("--new-pin-shares", *options.new_pin_shares);
  for (const std::filesystem::path& folder : options.pin_share_folders) add("--pin-share-dir", folder.string());
  for (const std::string& uri : options.pin_share_tokens) add("--pin-share-token", uri);
  for (const std::string& uri : options.share_tokens) add("--share-token", uri);
  for (const std::uint32_t number : options.custodians) add("--custodian", std::to_string(number));
  for (const std::filesystem::path& file : options.share_files) add("--share", file.string());
  const auto add_descriptor = [&](const char* name, int ours) {
    const int number = kFrontFd + static_cast<int>(spec.descriptors.size());  // consecutive: Child closes the rest
    spec.descriptors.emplace_back(ours, number);
    add(name, std::to_string(number));
  };
  for (const int share : options.share_fds) add_descriptor("--share-fd", share);
  for (const std::string& value : options.component_check_values) add("--component-check-value", value);
  for (const int part : options.component_fds) add_descriptor("--component-fd", part);
  for (const int printer : options.pin_share_fds) add_descriptor("--pin-share-fd", printer);
  if (options.so_pin_fd) add_descriptor("--so-pin-fd", *options.so_pin_fd);
}

bool is_piece(const v1::GateReply& reply) {
  return reply.has_body() || reply.has_records() || reply.has_sealed_certificates();
}

}  // namespace

struct GateClient::Impl {
  GateStore& store;
  Fd fd;
  Child child;
  std::uint64_t next_id = 1;
  std::map<std::uint64_t, std::function<void(const v1::GateReply&)>> waiting;

  void send(const v1::GateRequest& request) {
    Bytes octets(request.ByteSizeLong());
    request.SerializeToArray(octets.data(), static_cast<int>(octets.size()));
    write_frame(fd.get(), octets);
  }

  void answer_store(const v1::GateReply& reply) {
    KF_CUT("front.pending.before-store");
    store.store_pending(reply.store_pending());
    KF_CUT("front.pending.stored");
    v1::GateRequest answer;
    answer.set_id(reply.id());
    answer.mutable_stored()->set_store_id(reply.store_pending().store_id());
    send(answer);
  }

  void answer_leaves(const v1::GateReply& reply) {
    const v1::AskLeaves& asked = reply.ask_leaves();
    v1::GateRequest answer;
    answer.set_id(reply.id());
    v1::LeafHashes& leaves = *answer.mutable_leaf_hashes();
    if (asked.whole()) {
      for (const Bytes& leaf : store.leaves(asked.from(), asked.to())) leaves.add_leaves(to_string(leaf));
    } else {
      for (const Bytes& hash : store.leaf_hashes(asked.from(), asked.to())) leaves.add_hashes(to_string(hash));
    }
    send(answer);
  }
};

GateClient::GateClient(const GateOptions& options, GateStore& store) : impl_{std::make_unique<Impl>(Impl{store, {}, {}, 1, {}})} {
  if (options.socket) {
    impl_->fd = connect_to_socket(*options.socket, "the gate", kStartGate);
    return;
  }
  auto [ours, theirs] = socket_pair();
  ChildSpec spec{.program = options.program.value_or(sibling_program("keyferry-hsm-gate")),
                 .arguments = {"--settings", options.settings.string()},
                 .descriptors = {{theirs.get(), kFrontFd}},
                 .environment = {}};
  if (options.pin_fd) {
    spec.descriptors.emplace_back(*options.pin_fd, kPinFd);
    spec.arguments.insert(spec.arguments.end(), {"--pin-fd", std::to_string(kPinFd)});
  }
  if (options.key_fd) {
    const int number = kFrontFd + static_cast<int>(spec.descriptors.size());  // consecutive: Child closes the rest
    spec.descriptors.emplace_back(*options.key_fd, number);
    spec.arguments.insert(spec.arguments.end(), {"--key-fd", std::to_string(number)});
  }
  if (options.ask_key) spec.arguments.emplace_back("--ask-key");
  add_share_arguments(options, spec);
  if (options.new_pin) spec.arguments.emplace_back("--new-pin");
  if (options.start_workers) spec.arguments.emplace_back("--start-workers");
  for (const std::string& name : options.insecure_allow) {
    spec.arguments.insert(spec.arguments.end(), {"--insecure-allow", name});
  }
  impl_->child = Child{spec};
  impl_->fd = std::move(ours);
}

GateClient::~GateClient() {
  impl_->fd.reset();  // the gate ends when its front end goes
  if (impl_->child.pid() > 0) static_cast<void>(impl_->child.wait_for(std::chrono::seconds{10}));
}

std::uint64_t GateClient::start(v1::GateRequest request, std::function<void(const v1::GateReply&)> on_reply) {
  const std::uint64_t id = impl_->next_id++;
  request.set_id(id);
  impl_->waiting.emplace(id, std::move(on_reply));
  impl_->send(request);
  return id;
}

GateClient::Asked GateClient::begin(v1::GateRequest request) {
  auto answer = std::make_shared<std::optional<v1::GateReply>>();
  start(std::move(request), [answer](const v1::GateReply& reply) { *answer = reply; });
  return answer;
}

v1::GateReply GateClient::finish(const Asked& asked) {
  while (!*asked) pump();
  if ((*asked)->has_error()) {
    const v1::ErrorReply& error = (*asked)->error();
    throw Error{code_from_name(error.code()), error.text(), error.hint()};
  }
  return std::move(**asked);
}

v1::GateReply GateClient::call(v1::GateRequest request) { return finish(begin(std::move(request))); }

void GateClient::pump() {
  std::optional<Bytes> frame;
  try {
    frame = read_frame(impl_->fd.get());
  } catch (const Error&) {  // a gate that ended with our request unread resets the socket: why is in its status
    if (impl_->child.pid() <= 0) throw;
  }
  if (!frame) {
    const auto status = impl_->child.pid() > 0 ? impl_->child.wait_for(std::chrono::seconds{2}) : std::nullopt;
    if (impl_->child.pid() <= 0) {
      throw Error{Code::Channel, "the gate has closed the connection: it was locked, or has ended", kStartGate};
    }
    // The gate has said on stderr what it refused; its status is ours.
    if (status == 1) throw Error{Code::Refused, "keyferry-hsm-gate refused to start"};
    if (status == 2) throw Error{Code::Usage, "keyferry-hsm-gate did not start"};
    throw Error{Code::Channel, "keyferry-hsm-gate has ended" + (status ? ": " + how_it_ended(*status) : ""),
                "give the same command again: the work goes on where it stopped"};
  }
  v1::GateReply reply;
  if (!reply.ParseFromArray(frame->data(), static_cast<int>(frame->size()))) {
    throw Error{Code::Channel, "the gate sent what is no reply"};
  }
  if (reply.has_store_pending()) return impl_->answer_store(reply);
  if (reply.has_ask_leaves()) return impl_->answer_leaves(reply);
  const auto found = impl_->waiting.find(reply.id());
  if (found == impl_->waiting.end()) throw Error{Code::Channel, "the gate answered what nobody asked"};
  if (is_piece(reply)) return found->second(reply);
  const auto handler = std::move(found->second);
  impl_->waiting.erase(found);
  handler(reply);
}

std::size_t GateClient::under_way() const { return impl_->waiting.size(); }

pid_t GateClient::gate_pid() const { return impl_->child.pid(); }

}  // namespace keyferry::appliance
