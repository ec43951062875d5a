#include "token/ordered_crew.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <utility>

namespace keyferry::token {

unsigned usual_threads() {
  constexpr int kMost = 4;
  cpu_set_t ours;
  CPU_ZERO(&ours);
  if (sched_getaffinity(0, sizeof ours, &ours) != 0) return 1;
  return static_cast<unsigned>(std::clamp(CPU_COUNT(&ours), 1, kMost));
}

OrderedCrew::OrderedCrew(unsigned threads, std::size_t places, Work work)
    : work_{std::move(work)}, errors_(places), done_(places, 0) {
  try {
    for (unsigned i = 1; i < threads; ++i) threads_.emplace_back([this, i] { run(i); });
  } catch (const std::system_error&) {
    // The system gives no more threads: those that there are do the work.
    return;
  }
}

OrderedCrew::~OrderedCrew() {
  {
    const std::lock_guard lock{mutex_};
    ends_ = true;
  }
  has_work_.notify_all();
}

void OrderedCrew::give() {
  {
    const std::lock_guard lock{mutex_};
    done_[next_place()] = 0;
    ++given_;
  }
  has_work_.notify_one();
}

bool OrderedCrew::oldest_done() const {
  if (empty()) return false;
  const std::lock_guard lock{mutex_};
  return done_[taken_ % done_.size()] != 0;
}

std::size_t OrderedCrew::wait_oldest() {
  const std::size_t place = taken_ % done_.size();
  Lock lock{mutex_};
  while (done_[place] == 0) {
    if (!work_on_next(0, lock)) has_done_.wait(lock, [&] { return done_[place] != 0; });
  }
  if (errors_[place]) std::rethrow_exception(std::exchange(errors_[place], nullptr));
  return place;
}

bool OrderedCrew::work_on_next(unsigned thread, Lock& lock) {
  if (started_ == given_) return false;
  const std::size_t place = started_++ % done_.size();
  lock.unlock();
  std::exception_ptr error;
  try {
    work_(thread, place);
  } catch (...) {
    error = std::current_exception();  // the owner's to judge
  }
  lock.lock();
  errors_[place] = error;
  done_[place] = 1;
  return true;
}

void OrderedCrew::run(unsigned thread) {
  Lock lock{mutex_};
  for (;;) {
    has_work_.wait(lock, [&] { return ends_ || started_ < given_; });
    if (ends_) return;
    if (work_on_next(thread, lock)) has_done_.notify_one();
  }
}

void for_each_stretch(unsigned threads,
                      std::size_t count,
                      std::size_t stretch,
                      const std::function<void(std::size_t from, std::size_t to)>& work) {
  const std::size_t stretches = count / stretch + (count % stretch != 0 ? 1 : 0);
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  const auto run = [&] {
    try {
      for (std::size_t i = next++; i < stretches; i = next++) {
        work(i * stretch, std::min(count, (i + 1) * stretch));
      }
    } catch (...) {
      next = stretches;
      const std::lock_guard lock{mutex};
      if (!error) error = std::current_exception();
    }
  };
  std::vector<std::jthread> others;  // joined by their end
  const std::size_t helpers = std::min<std::size_t>(threads, stretches);
  for (std::size_t i = 1; i < helpers; ++i) others.emplace_back(run);
  run();
  others.clear();
  if (error) std::rethrow_exception(error);
}

}  // namespace keyferry::token
