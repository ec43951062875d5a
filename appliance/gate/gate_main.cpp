// keyferry-hsm-gate: serves the front end on an inherited socket (development) or on a Unix socket (production).
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>

#include "appliance/gate/gate.h"
#include "appliance/gate/hsm_pin.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;             // NOLINT(google-build-using-namespace): a main of its own
using namespace keyferry::appliance;  // NOLINT(google-build-using-namespace)

constexpr int kFrontFd = 3;

struct Options {
  std::string settings_file;
  int pin_fd = -1;
  bool new_pin = false;
  bool listen = false;
  std::vector<std::string> insecure_allow;
};

/// SO_PEERCRED: the kernel says who connected.
bool peer_allowed(LocalSocket& socket, const GateSettings& settings) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == settings.allow_uid.value_or(geteuid());
}

asio::awaitable<void> listen_forever(asio::local::stream_protocol::acceptor& acceptor, Gate& gate,
                                     const GateSettings& settings, asio::io_context& context) {
  while (!gate.broken()) {
    LocalSocket socket = co_await acceptor.async_accept(asio::use_awaitable);
    if (!peer_allowed(socket, settings)) continue;
    asio::co_spawn(context, gate.serve(std::move(socket)), [](std::exception_ptr failed) {
      if (failed) std::rethrow_exception(failed);  // serve() handles what a front end can cause
    });
  }
  context.stop();
}

int serve(const Options& options) {
  GateSettings settings = read_settings(options.settings_file);
  SecretBytes pin = obtain_pin(settings, options.pin_fd, options.new_pin);
  asio::io_context context{1};
  const SystemClock clock;
  Gate gate{context,
            GateArguments{settings, options.settings_file, std::move(pin), options.insecure_allow},
            clock};
  std::optional<asio::local::stream_protocol::acceptor> acceptor;
  if (options.listen) {
    if (!settings.socket) throw Error{Code::Usage, "the settings name no [socket] path"};
    std::error_code ignored;
    std::filesystem::remove(*settings.socket, ignored);
    acceptor.emplace(context, asio::local::stream_protocol::endpoint{settings.socket->string()});
    if (settings.allow_uid) chmod(settings.socket->c_str(), 0666);  // who may speak is decided by SO_PEERCRED
    asio::co_spawn(context, listen_forever(*acceptor, gate, settings, context), [](std::exception_ptr failed) {
      if (failed) std::rethrow_exception(failed);
    });
  } else {
    asio::co_spawn(context,
                   gate.serve(LocalSocket{context, asio::local::stream_protocol{}, kFrontFd}),
                   [&context](std::exception_ptr failed) {
                     context.stop();
                     if (failed) std::rethrow_exception(failed);
                   });
  }
  context.run();
  return gate.broken() ? 3 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  google::protobuf::SetLogHandler(nullptr);  // what others send is refused in our words, not in the library's
  CLI::App app{"keyferry-hsm-gate: the only door to the HSM; checks approvals, starts keyferry-hsm-worker"};
  Options options;
  app.add_option("--settings", options.settings_file, "gate.toml beside the HSM's store")->required();
  app.add_option("--pin-fd", options.pin_fd, "descriptor to read the PIN from (else pin-source=file:, else the terminal)");
  app.add_flag("--new-pin", options.new_pin, "a PIN from the terminal is asked for twice");
  app.add_flag("--listen", options.listen, "serve the Unix socket of the settings instead of descriptor 3");
  app.add_option("--insecure-allow", options.insecure_allow, "network, swap, memlock (development and rehearsal)")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  try {
    if (!options.listen && !die_with_parent()) return 3;
    return serve(options);
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-hsm-gate: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-hsm-gate: {}\n", error.what());
    return 70;
  }
}
