#include "station-agent/crew.h"

#include <signal.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <exception>
#include <utility>

namespace keyferry::station {
namespace {

using SteadyClock = std::chrono::steady_clock;

std::int64_t ms_since(SteadyClock::time_point begun) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(SteadyClock::now() - begun).count();
}

class Crew {
 public:
  Crew(const std::vector<LanePlan>& plans,
       const std::vector<const FirmwareImage*>& firmware,
       const LaneParts& parts,
       const std::function<void(const DeviceOutcome&)>& tell,
       const std::function<void()>& stopping)
      : plans_{plans}, firmware_{firmware}, parts_{parts}, tell_{tell}, stopping_{stopping} {}

  CrewReport run() {
    report_.outcomes.resize(plans_.size());
    for (const LanePlan& plan : plans_) report_.lanes.push_back({plan.number});
    working_ = plans_.size();
    listen();
    boost::asio::thread_pool threads{plans_.size()};
    for (std::size_t lane = 0; lane < plans_.size(); ++lane)
      boost::asio::post(threads, [this, lane] { work(lane); });
    try {
      loop_.run();
    } catch (...) {
      fail(std::current_exception());
    }
    stop_ = true;
    threads.join();
    if (failure_) std::rethrow_exception(failure_);
    report_.duration_ms = ms_since(begun_);
    return std::move(report_);
  }

 private:
  /// On the lane's own thread; everything that others see goes through the loop.
  void work(std::size_t number) {
    try {
      Lane lane{plans_[number], parts_, firmware_[number]};
      for (const SePlace& place : plans_[number].places) {
        if (stop_) break;
        hand_over(number, lane.handle(place));
      }
    } catch (...) {
      boost::asio::post(loop_, [this, failure = std::current_exception()] { fail(failure); });
    }
    boost::asio::post(loop_, [this] {
      if (--working_ == 0) signals_.cancel();  // the loop has nothing left to wait for
    });
  }

  void hand_over(std::size_t number, std::vector<DeviceOutcome> outcomes) {
    const std::int64_t now_ms = ms_since(begun_);
    boost::asio::post(loop_, [this, number, now_ms, ended = std::move(outcomes)]() mutable {
      LaneSummary& summary = report_.lanes[number];
      ++summary.devices;
      summary.duration_ms = now_ms;
      for (DeviceOutcome& outcome : ended) {
        tell_(outcome);
        report_.outcomes[number].push_back(std::move(outcome));
      }
    });
  }

  void listen() {
    signals_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      if (stop_.exchange(true)) {
        ::signal(number, SIG_DFL);
        ::raise(number);
      }
      report_.stopped = true;
      stopping_();
      listen();
    });
  }

  void fail(std::exception_ptr failure) {
    if (!failure_) failure_ = std::move(failure);
    stop_ = true;
  }

  const std::vector<LanePlan>& plans_;
  const std::vector<const FirmwareImage*>& firmware_;
  const LaneParts& parts_;
  const std::function<void(const DeviceOutcome&)>& tell_;
  const std::function<void()>& stopping_;
  const SteadyClock::time_point begun_ = SteadyClock::now();
  boost::asio::io_context loop_;
  boost::asio::signal_set signals_{loop_, SIGINT, SIGTERM};
  std::atomic<bool> stop_ = false;
  // Of the loop's thread:
  std::size_t working_ = 0;
  std::exception_ptr failure_;
  CrewReport report_;
};

}  // namespace

CrewReport run_lanes(const std::vector<LanePlan>& plans,
                     const std::vector<const FirmwareImage*>& firmware,
                     const LaneParts& parts,
                     const std::function<void(const DeviceOutcome&)>& tell,
                     const std::function<void()>& stopping) {
  return Crew{plans, firmware, parts, tell, stopping}.run();
}

}  // namespace keyferry::station
