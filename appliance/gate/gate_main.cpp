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
#include "appliance/gate/hardening.h"
#include "appliance/gate/hsm_pin.h"
#include "appliance/gate/imported_key.h"
#include "appliance/gate/pin_custody.h"
#include "appliance/gate/pin_tries.h"
#include "appliance/gate/surroundings.h"
#include "wrap/base/process.h"
#include "wrap/base/process_end.h"

namespace {

using namespace keyferry;             // NOLINT(google-build-using-namespace): a main of its own
using namespace keyferry::appliance;  // NOLINT(google-build-using-namespace)

constexpr int kFrontFd = 3;
constexpr std::size_t kMaxConnections = 16;

struct Options {
  std::string settings_file;
  int pin_fd = -1;
  bool new_pin = false;
  bool start_workers = false;
  int key_fd = -1;
  bool ask_key = false;
  std::vector<std::string> component_check_values;  // 32 hex digits for each part of a key to import
  std::vector<int> component_fds;
  std::string backup_shares;  // "2/3": new shares are made
  std::vector<std::filesystem::path> backup_share_folders;
  std::string backup_name;
  std::vector<std::filesystem::path> shares;  // of an existing kf-backup, of the PINs
  std::vector<int> share_fds;
  std::string pin_shares;      // "2/3": init makes both PINs and splits them
  std::string new_pin_shares;  // "2/3": a change does
  PinCustodyOptions custody;
  int so_pin_fd = -1;
  bool listen = false;
  bool forget_wrong_pins = false;
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
  const auto connections = std::make_shared<std::size_t>(0);
  while (!gate.broken()) {
    LocalSocket socket = co_await acceptor.async_accept(asio::use_awaitable);
    if (!peer_allowed(socket, settings) || *connections >= kMaxConnections) continue;
    ++*connections;
    asio::co_spawn(context, gate.serve(std::move(socket)), [connections](std::exception_ptr failed) {
      --*connections;
      if (failed) std::rethrow_exception(failed);  // serve() handles what a front end can cause
    });
  }
  context.stop();
}

/// Ends the service once it is locked: by a request, or because nobody has asked for anything for so long.
asio::awaitable<void> lock_when_idle(Gate& gate, std::chrono::seconds limit, asio::io_context& context) {
  constexpr auto kLook = std::chrono::milliseconds{100};
  asio::steady_timer timer{context};
  while (!gate.locked()) {
    timer.expires_after(kLook);
    co_await timer.async_wait(asio::use_awaitable);
    if (limit.count() == 0 || gate.idle() < limit) continue;
    gate.lock();
    fmt::print(stderr, "keyferry-hsm-gate: locked: no request for {} s; the HSM login has ended\n", limit.count());
  }
  timer.expires_after(kLook);  // the answer to who asked for it is on its way
  co_await timer.async_wait(asio::use_awaitable);
  context.stop();
}

/// A deliberate act of a person, with nothing else in the same run.
int forget(const Options& options) {
  const GateSettings settings = read_settings(options.settings_file);  // the right file?
  const unsigned forgotten = forget_wrong_pins(options.settings_file);
  fmt::print("{} wrong PINs forgotten for {}; the next login alone may use up the token's final try\n", forgotten, settings.uri);
  return 0;
}

struct Secrets {
  SecretBytes pin;
  std::optional<SecretBytes> imported_key;
  std::vector<Bytes> component_check_values;
  std::optional<BackupShares> backup;
  std::optional<SecretBytes> so_pin;
  std::optional<PinSharing> pin_sharing;
  std::optional<NewPins> new_pins;
};

/// Random PINs: made and handed out at `init`, else put together from what custodians bring.
void obtain_shared_pins(const Options& options, std::vector<GivenShare>& given, Secrets& secrets) {
  PinCustodyOptions custody = options.custody;
  custody.settings_file = options.settings_file;
  custody.appliance = options.backup_name;
  PinPair pins = options.pin_shares.empty()
                     ? pin_for_login(custody, given)
                     : first_pins(custody, parse_share_counts(options.pin_shares, "--pin-shares"), given);
  secrets.pin = std::move(pins.user_pin);
  secrets.pin_sharing = pins.sharing;
  if (!pins.so_pin.empty()) secrets.so_pin = std::move(pins.so_pin);
  if (options.new_pin_shares.empty()) return;
  SecretBytes so_pin = so_pin_for_change(custody, given);
  if (!so_pin.empty()) secrets.so_pin = std::move(so_pin);
  secrets.new_pins = new_pins(custody, parse_share_counts(options.new_pin_shares, "--new-pin-shares"), given);
}

SecretBytes read_so_pin(int so_pin_fd) {
  const Fd fd{so_pin_fd};
  return read_secret_line(fd.get());
}

/// Nobody is asked for a PIN that would not be tried: then the workers refuse, and the front end is told why.
Secrets obtain_secrets(const Options& options, const GateSettings& settings) {
  if (!options.listen && options.pin_fd == kFrontFd) throw Error{Code::Usage, "--pin-fd 3 is the front end's socket"};
  const auto refusal = pin_tries_refusal(options.settings_file);
  if (refusal && options.listen) throw to_error(*refusal);
  Secrets secrets;
  if (refusal) return secrets;
  std::vector<GivenShare> given = read_given_shares(options.shares, options.share_fds);
  secrets.backup = take_backup_shares(given);
  if (settings.pin == PinSource::Shares) {
    obtain_shared_pins(options, given, secrets);
  } else if (!given.empty() || !options.pin_shares.empty() || !options.new_pin_shares.empty() || !options.custody.share_tokens.empty()) {
    throw Error{Code::Usage, "shares of a PIN were given or asked for, and gate.toml says that the PIN is typed",
                "only init --pin-shares M/N makes an appliance whose PIN is held as shares"};
  } else {
    secrets.pin = obtain_pin(settings, options.pin_fd, options.new_pin);
  }
  if (!options.component_check_values.empty()) {
    secrets.component_check_values = component_check_values(options.component_check_values);
    secrets.imported_key = obtain_components(secrets.component_check_values, options.component_fds);
  } else if (options.key_fd >= 0 || options.ask_key) {
    secrets.imported_key = obtain_imported_key(options.key_fd);
  }
  if (options.so_pin_fd >= 0) secrets.so_pin = read_so_pin(options.so_pin_fd);
  // New ones are written and read back before the HSM hears of their key.
  if (!secrets.backup && !options.backup_shares.empty()) {
    secrets.backup = make_share_files(options.backup_share_folders, parse_share_counts(options.backup_shares), options.backup_name);
  }
  return secrets;
}

/// The terminal's echo comes back when the front end dies at the prompt (SIGTERM); afterwards the end is SIGKILL.
Secrets obtain_secrets_of_child(const Options& options, const GateSettings& settings) {
  const pid_t parent = getppid();
  terminate_with_parent();
  Secrets secrets = obtain_secrets(options, settings);
  if (!die_with_parent() || getppid() != parent) throw Error{Code::Channel, "the front end has gone"};
  return secrets;
}

int serve(const Options& options) {
  GateSettings settings = read_settings(options.settings_file);
  // Before anybody types a PIN or is handed a share; the gate looks again when it has the PIN.
  refuse_unfit(options.settings_file, settings, options.insecure_allow, SystemClock{}.now());
  Secrets secrets = options.listen ? obtain_secrets(options, settings) : obtain_secrets_of_child(options, settings);
  close_descriptors_but(options.listen ? std::vector<int>{} : std::vector<int>{kFrontFd});
  detach_input();
  asio::io_context context{1};
  const SystemClock clock;
  install_filter(FilteredProcess::Gate, settings.filter);
  GateArguments arguments{.settings = settings,
                          .settings_file = options.settings_file,
                          .pin = std::move(secrets.pin),
                          .insecure_allow = options.insecure_allow,
                          .hardening = {},
                          .imported_key = std::move(secrets.imported_key),
                          .component_check_values = std::move(secrets.component_check_values),
                          .backup = std::move(secrets.backup),
                          .so_pin = std::move(secrets.so_pin),
                          .pin_sharing = std::move(secrets.pin_sharing),
                          .new_pins = std::move(secrets.new_pins),
                          .start_workers = options.start_workers};
  arguments.hardening = hardening_facts(FilteredProcess::Gate, arguments.pin);
  Gate gate{context, std::move(arguments), clock};
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
    asio::co_spawn(context, lock_when_idle(gate, idle_lock(settings), context), [](std::exception_ptr failed) {
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
  if (gate.locked() && settings.socket) {
    std::error_code ignored;
    std::filesystem::remove(*settings.socket, ignored);  // who comes next is told that nobody listens
  }
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
  app.add_flag("--start-workers", options.start_workers, "start every key worker as soon as the HSM is open");
  app.add_flag("--new-pin", options.new_pin, "a PIN from the terminal is asked for twice");
  app.add_option("--key-fd", options.key_fd, "descriptor to read the key to import from (64 hex digits, one line)");
  app.add_flag("--ask-key", options.ask_key, "ask on the terminal for the key to import");
  app.add_option("--component-check-value", options.component_check_values,
                 "check value of each part of the key to import, in order: they are read one at a time")->allow_extra_args(false);
  app.add_option("--component-fd", options.component_fds, "descriptor to read each part from (else the terminal)")
      ->allow_extra_args(false);
  app.add_option("--backup-shares", options.backup_shares, "M/N: make kf-backup and write its shares, any M of N open backups");
  app.add_option("--backup-share-dir", options.backup_share_folders, "folder for the share files: one for all, or one for each custodian")
      ->allow_extra_args(false);
  app.add_option("--backup-name,--appliance", options.backup_name, "the appliance's name, in names of files and labels of shares");
  app.add_option("--pin-shares", options.pin_shares, "M/N: init makes random PINs and hands out their shares");
  app.add_option("--new-pin-shares", options.new_pin_shares, "M/N: for hsm-pin-change, new PINs and their shares");
  app.add_option("--pin-share-dir", options.custody.targets.folders, "folder for new shares: one for all, or one for each custodian")
      ->allow_extra_args(false);
  app.add_option("--pin-share-fd", options.custody.targets.printers, "descriptor of a printer for each custodian (else the terminal)")
      ->allow_extra_args(false);
  app.add_option("--pin-share-token", options.custody.targets.tokens, "PKCS#11 URI of each custodian's own token, for new shares")
      ->allow_extra_args(false);
  app.add_option("--custodian", options.custody.custodians, "person number of each custodian of new shares, in order")
      ->allow_extra_args(false);
  app.add_option("--share-token", options.custody.share_tokens, "PKCS#11 URI of a token that holds a share; repeatable")
      ->allow_extra_args(false);
  app.add_option("--share", options.shares, "a share file, for a login or a restore; repeatable")->allow_extra_args(false);
  app.add_option("--share-fd", options.share_fds, "descriptor to read a share from; repeatable")->allow_extra_args(false);
  app.add_option("--so-pin-fd", options.so_pin_fd, "descriptor to read the SO PIN from, to make kf-backup in a token that is there already");
  app.add_flag("--listen", options.listen, "serve the Unix socket of the settings instead of descriptor 3");
  app.add_flag("--forget-wrong-pins", options.forget_wrong_pins,
               "forget that wrong PINs were given, and let the next login use up the token's final try; does nothing else");
  app.add_option("--insecure-allow", options.insecure_allow, "network, swap, memlock (development and rehearsal)")->delimiter(',');
  CLI11_PARSE(app, argc, argv);
  try {
    return options.forget_wrong_pins ? forget(options) : serve(options);
  } catch (const Error& error) {
    fmt::print(stderr, "keyferry-hsm-gate: {}\n", error.what());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
    return exit_status(error.code());
  } catch (const std::exception& error) {
    fmt::print(stderr, "keyferry-hsm-gate: {}\n", error.what());
    return 70;
  }
}
