// The gate's end of one keyferry-hsm-worker: starts it, hands it the PIN, sends requests and matches replies.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "appliance/gate/async_frames.h"
#include "appliance/gate/settings.h"
#include "keyferry/v1/worker.pb.h"
#include "wrap/base/process.h"

namespace keyferry::appliance {

class WorkerLink {
 public:
  /// Called for each piece that comes before a request's final reply; awaited, so a slow reader slows the worker.
  using OnPiece = std::function<asio::awaitable<void>(const v1::WorkerReply&)>;

  WorkerLink(asio::any_io_executor executor,
             const GateSettings& settings,
             const std::filesystem::path& settings_file,
             const SecretBytes& pin);
  ~WorkerLink();  ///< ends the process, but not in the middle of a login, which would count as a wrong PIN
  WorkerLink(const WorkerLink&) = delete;
  WorkerLink& operator=(const WorkerLink&) = delete;

  /// The final reply. An error reply becomes Error with the worker's code, text and hint; a worker that ends is
  /// Error{Channel} for every request that waits.
  /// `secrets` follow the request as raw frames, in order (worker.proto says which requests have any).
  asio::awaitable<v1::WorkerReply> call(v1::WorkerRequest request, OnPiece on_piece = {},
                                        std::vector<SecretBytes> secrets = {});

  /// Closes its channel, at whose end a worker logs out and ends; waits a little for that.
  void log_out();

  [[nodiscard]] std::size_t under_way() const { return waiting_->size(); }

  [[nodiscard]] bool alive() { return child_.running(); }

  /// What to tell about a worker that is gone; a filter's kill names the system call if the kernel's log can be read.
  [[nodiscard]] Error end_error();

  std::uint64_t keys_given = 0;       // records asked for so far: modules leak
  std::uint64_t keys_to_make = 0;     // of those, the ones that have not arrived
  std::size_t segments_pending = 0;   // made here and not yet signed

 private:
  struct Waiting {
    explicit Waiting(const asio::any_io_executor& executor);
    asio::steady_timer done;
    OnPiece on_piece;
    std::optional<v1::WorkerReply> reply;
    bool lost = false;
  };

  using WaitingMap = std::map<std::uint64_t, std::shared_ptr<Waiting>>;

  /// What to tell about a worker that is gone; a filter's kill names the system call if the kernel's log can be read.
  [[nodiscard]] Error lost_error();

  static asio::awaitable<void> read_replies(std::shared_ptr<FrameStream> stream, std::shared_ptr<WaitingMap> waiting);

  asio::any_io_executor executor_;
  std::filesystem::path settings_file_;
  Child child_;
  std::shared_ptr<FrameStream> stream_;
  std::shared_ptr<WaitingMap> waiting_ = std::make_shared<WaitingMap>();
  std::uint64_t next_id_ = 1;
};

}  // namespace keyferry::appliance
