// keyferry-token-reader: looks at a stick from outside for the front end, in a sandbox, and where it listens under a user of
// its own: the front end then needs no right to the stick at all.
#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <optional>

#include "appliance/reader/reader.h"
#include "appliance/reader/sandbox.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/process.h"

namespace {

using namespace keyferry;             // NOLINT(google-build-using-namespace): a main of its own
using namespace keyferry::appliance;  // NOLINT(google-build-using-namespace)

constexpr int kFrontFd = 3;

struct Options {
  std::filesystem::path token;
  std::optional<std::filesystem::path> listen;
  std::optional<unsigned> allow_uid;
};

/// One front end, then the end: what a bad file system did to this process ends with it.
void serve(int fd, const Options& options) {
  std::optional<token::FolderMedium> medium;
  try {
    medium.emplace(options.token);
    for (const std::string& missing : enter_sandbox(options.token)) {
      fmt::print(stderr, "keyferry-token-reader: {}\n", missing);
    }
  } catch (const Error& error) {  // the front end is who has to hear it
    return refuse_token(fd, error);
  }
  serve_token(fd, *medium);
}

bool peer_allowed(int fd, const Options& options) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == options.allow_uid.value_or(geteuid());
}

Fd listening_socket(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  Fd fd{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string text = path.string();
  if (!fd.valid() || text.size() >= sizeof address.sun_path) throw Error{Code::Usage, "no socket can be at " + text};
  std::memcpy(address.sun_path, text.c_str(), text.size() + 1);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd.get(), 4) != 0) {
    throw system_error(Code::Channel, "listen at " + text, errno);
  }
  chmod(text.c_str(), 0666);  // who may speak is decided by SO_PEERCRED
  return fd;
}

/// A process for each front end, one after another.
[[noreturn]] void listen_forever(const Options& options) {
  const Fd listening = listening_socket(*options.listen);
  for (;;) {
    const Fd fd{accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (!fd.valid() || !peer_allowed(fd.get(), options)) continue;
    const pid_t child = fork();
    if (child == 0) {
      serve(fd.get(), options);
      _exit(0);
    }
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  }
}

int run(const Options& options) {
  if (options.listen) listen_forever(options);
  const pid_t parent = getppid();
  if (!die_with_parent() || getppid() != parent) throw Error{Code::Channel, "the front end has gone"};
  serve(kFrontFd, options);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  harden_process();
  google::protobuf::SetLogHandler(nullptr);
  CLI::App app{"keyferry-token-reader: reads a token from outside for keyferry-appliance, and can do nothing else"};
  Options options;
  app.add_option("--token", options.token, "the folder where the token is mounted")->required();
  app.add_option("--listen", options.listen, "serve this Unix socket, under a user of its own, instead of descriptor 3");
  app.add_option("--allow-uid", options.allow_uid, "the front end's user (default: this one)");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-token-reader: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-token-reader: {}\n", error.what());
    return 70;
  }
}
