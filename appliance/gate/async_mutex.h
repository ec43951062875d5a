// One act at a time on one event loop: `const auto guard = co_await mutex.lock();`
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace keyferry::appliance {

class AsyncMutex {
 public:
  explicit AsyncMutex(const boost::asio::any_io_executor& executor)
      : freed_{executor, boost::asio::steady_timer::time_point::max()} {}

  class Guard {
   public:
    explicit Guard(AsyncMutex& mutex) : mutex_{&mutex} {}
    Guard(Guard&& other) noexcept : mutex_{other.mutex_} { other.mutex_ = nullptr; }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;
    Guard& operator=(Guard&&) = delete;

    ~Guard() {
      if (mutex_ == nullptr) return;
      mutex_->taken_ = false;
      mutex_->freed_.cancel();
    }

   private:
    AsyncMutex* mutex_;
  };

  boost::asio::awaitable<Guard> lock() {
    while (taken_) {
      boost::system::error_code ignored;
      co_await freed_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    }
    taken_ = true;
    co_return Guard{*this};
  }

 private:
  boost::asio::steady_timer freed_;
  bool taken_ = false;
};

}  // namespace keyferry::appliance
