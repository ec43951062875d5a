#include "appliance/gate/internal/worker_link.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "appliance/gate/pin_tries.h"
#include "appliance/gate/seccomp.h"
#include "wrap/base/process_end.h"
#include "wrap/base/secret_frame.h"

namespace keyferry::appliance {
namespace {

constexpr int kWorkerFd = 3;
constexpr std::chrono::seconds kEndWait{1};    // its socket closed: it has ended or is about to
constexpr std::chrono::seconds kLoginWait{8};  // less than the front end waits for its gate

bool is_piece(const v1::WorkerReply& reply) {
  return reply.has_body() || reply.has_records() || reply.has_sealed_certificates();
}

}  // namespace

WorkerLink::Waiting::Waiting(const asio::any_io_executor& executor)
    : done{executor, asio::steady_timer::time_point::max()} {}

WorkerLink::WorkerLink(asio::any_io_executor executor,
                       const GateSettings& settings,
                       const std::filesystem::path& settings_file,
                       const SecretBytes& pin)
    : executor_{std::move(executor)}, settings_file_{settings_file} {
  auto [ours, theirs] = socket_pair();
  ChildSpec spec{.program = sibling_program("keyferry-hsm-worker"),
                 .arguments = {"--settings", settings_file.string()},
                 .descriptors = {{theirs.get(), kWorkerFd}},
                 .environment = {settings.environment.begin(), settings.environment.end()}};
  child_ = Child{spec};
  theirs.reset();
  write_secret_frame(ours, pin);  // no message and no buffer of ours ever holds the PIN
  LocalSocket socket{executor_, asio::local::stream_protocol{}, ours.release()};
  stream_ = std::make_shared<FrameStream>(std::move(socket));
  asio::co_spawn(executor_, read_replies(stream_, waiting_), [](std::exception_ptr failed) {
    if (failed) std::rethrow_exception(failed);
  });
}

void WorkerLink::log_out() {
  stream_->close();
  static_cast<void>(child_.wait_for(kEndWait));  // the destructor ends one that is stuck
}

WorkerLink::~WorkerLink() {
  const bool may_log_in = under_way() != 0;  // at its start and when it recovers; an idle one is not waited for
  stream_->close();
  const Fd no_login_begins = may_log_in ? keep_logins_out(settings_file_, kLoginWait) : Fd{};
  child_ = Child{};
}

asio::awaitable<void> WorkerLink::read_replies(std::shared_ptr<FrameStream> stream, std::shared_ptr<WaitingMap> waiting) {
  for (;;) {
    std::optional<Bytes> frame;
    try {
      frame = co_await stream->read();
    } catch (const Error&) {  // the border to the worker's process: a broken channel is a lost worker
      frame.reset();
    }
    v1::WorkerReply reply;
    if (!frame || !reply.ParseFromArray(frame->data(), static_cast<int>(frame->size()))) break;
    const auto found = waiting->find(reply.id());
    if (found == waiting->end()) continue;
    const std::shared_ptr<Waiting> who = found->second;
    if (is_piece(reply)) {
      if (who->on_piece) co_await who->on_piece(reply);
      continue;
    }
    who->reply = std::move(reply);
    waiting->erase(found);
    who->done.cancel();
  }
  for (const auto& [id, who] : *waiting) {
    who->lost = true;
    who->done.cancel();
  }
  waiting->clear();
}

Error WorkerLink::end_error() {
  const auto status = child_.wait_for(kEndWait);
  std::string text = "the HSM worker has ended";
  if (!status) return Error{Code::Channel, text, "give the same command again"};
  text += ": " + how_it_ended(*status);
  if (!ended_by_filter(*status)) return Error{Code::Channel, text, "give the same command again"};
  const auto call = refused_system_call(child_.pid());
  text += call ? ", system call " + *call : "; the kernel's log names the call (type=1326)";
  return Error{Code::Channel, text,
               "an HSM behind a network wants [gate] seccomp = \"network-module\" in gate.toml; else find out what made "
               "the module do that"};
}

asio::awaitable<v1::WorkerReply> WorkerLink::call(v1::WorkerRequest request, OnPiece on_piece,
                                                  std::vector<SecretBytes> secrets) {
  const std::uint64_t id = next_id_++;
  request.set_id(id);
  auto who = std::make_shared<Waiting>(executor_);
  who->on_piece = std::move(on_piece);
  waiting_->emplace(id, who);
  Bytes octets(request.ByteSizeLong());
  request.SerializeToArray(octets.data(), static_cast<int>(octets.size()));
  if (!child_.running()) throw end_error();
  stream_->write(octets);
  for (SecretBytes& secret : secrets) stream_->write_secret(std::move(secret));
  while (!who->reply && !who->lost) {
    boost::system::error_code ignored;
    co_await who->done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (who->lost) {
    throw end_error();
  }
  if (who->reply->has_error()) {
    const v1::ErrorReply& error = who->reply->error();
    throw Error{code_from_name(error.code()), error.text(), error.hint()};
  }
  co_return std::move(*who->reply);
}

}  // namespace keyferry::appliance
