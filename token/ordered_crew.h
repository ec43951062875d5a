// A few threads that work on numbered places of a ring and whose results are taken in the order in
// which the work was given: chunks are sealed and opened beside each other, and leave in theirs.
// Memory is the ring, whatever goes through it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace keyferry::token {

/// Threads for who has the machine to itself (a station that loads or unloads, an import): one for
/// each core that this process may use, at most 4: beyond, the disk is what is waited for.
[[nodiscard]] unsigned usual_threads();

/// Given to and taken from by one thread, the owner, who is one of the crew: where it would have to
/// wait, it works. So a crew of one starts no thread, and one place makes it a plain call.
class OrderedCrew {
 public:
  /// `thread`: 0..threads-1, for state that each thread has of its own; 0 is the owner. `place`:
  /// 0..places-1. What it throws comes out of wait_oldest().
  using Work = std::function<void(unsigned thread, std::size_t place)>;

  /// threads and places: 1 or more.
  OrderedCrew(unsigned threads, std::size_t places, Work work);

  /// Waits for what is being worked on; what was only given is dropped.
  ~OrderedCrew();
  OrderedCrew(const OrderedCrew&) = delete;
  OrderedCrew& operator=(const OrderedCrew&) = delete;

  [[nodiscard]] bool empty() const { return given_ == taken_; }

  [[nodiscard]] bool full() const { return given_ - taken_ == errors_.size(); }

  /// The place that give() hands over; the owner's until then. Not when full().
  [[nodiscard]] std::size_t next_place() const { return given_ % errors_.size(); }

  void give();

  /// Is the oldest that was given done?
  [[nodiscard]] bool oldest_done() const;

  /// Works on what was given until it is. Its place is the owner's from here on; it can be given again after take().
  /// Throws what the work threw. Not when empty().
  [[nodiscard]] std::size_t wait_oldest();

  void take() { ++taken_; }

 private:
  using Lock = std::unique_lock<std::mutex>;

  void run(unsigned thread);
  [[nodiscard]] bool work_on_next(unsigned thread, Lock& lock);

  Work work_;
  mutable std::mutex mutex_;
  std::condition_variable has_work_;
  std::condition_variable has_done_;
  std::vector<std::exception_ptr> errors_;  // one for each place
  std::vector<char> done_;                  // one for each place
  std::uint64_t given_ = 0;                 // written by the owner under the mutex
  std::uint64_t started_ = 0;
  std::uint64_t taken_ = 0;  // the owner's
  bool ends_ = false;
  std::vector<std::jthread> threads_;  // last: joined before the rest ends
};

/// work(from, to) until 0..count are done, in stretches of `stretch` (the last may be shorter), on
/// `threads` threads (the caller is one of them), in any order. Throws what the first of them threw;
/// the others stop early then.
void for_each_stretch(unsigned threads,
                      std::size_t count,
                      std::size_t stretch,
                      const std::function<void(std::size_t from, std::size_t to)>& work);

}  // namespace keyferry::token
