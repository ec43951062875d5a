// The records of one segment in order, made by one session or by several threads of this process, each with a session of
// its own (network HSMs answer slowly and take many questions at once; SoftHSM gains nothing: settings, pkcs11.md).
//
// A call that fails because session, token or module is gone is answered with a new one, and the record is made anew:
// its keys were session objects, its serial is not used again. What is not safe to repeat is thrown.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "appliance/gate/hsm.h"
#include "appliance/gate/record_maker.h"

namespace keyferry::appliance {

/// Opens session (and module) again, as far as `recovery` asks, and logs in. Throws when that fails.
using RecoverHsm = std::function<void(p11::Recovery recovery)>;

class RecordLine {
 public:
  struct Order {
    const BatchPlan& batch;
    const v1::MakeSegment& request;
    const std::vector<se::Entry>& entries;  // checked to be the plan's
    RecordNo first;
    unsigned threads = 1;  // 1: in the caller's thread and the Hsm's own session; fewer when the module gives no session
  };

  /// All that the order names outlives this. Throws as RecordMaker's constructor.
  RecordLine(Hsm& hsm, RandomSource& random, const Order& order, RecoverHsm recover);
  ~RecordLine();
  RecordLine(const RecordLine&) = delete;
  RecordLine& operator=(const RecordLine&) = delete;

  /// The next record; call it once for each entry. Error{Hsm} when the HSM does not come back, or answers with what
  /// repeating cannot help.
  [[nodiscard]] MadeRecord next();

  /// As RecordMaker::plaintext: of the records made so far.
  [[nodiscard]] const std::string& plaintext() const { return plaintext_; }

  /// Records that were begun again so far.
  [[nodiscard]] unsigned recoveries() const { return recoveries_; }

 private:
  struct Slot {
    std::optional<MadeRecord> made;
    std::exception_ptr failed;
  };

  void build();
  void take_down();
  void renew_sessions();
  [[nodiscard]] bool keys_left();
  void start_threads();
  void stop_threads();
  void work(RecordMaker& maker);
  [[nodiscard]] MadeRecord make_here();
  [[nodiscard]] MadeRecord take_made();
  void recover(const p11::Pkcs11Error& error, unsigned& attempt);
  [[nodiscard]] Sample sample(std::size_t index) const;
  [[nodiscard]] RecordNo number(std::size_t index) const;

  Hsm& hsm_;
  RandomSource& random_;
  Order order_;
  RecoverHsm recover_;
  PooledRandom pool_;
  std::vector<std::unique_ptr<p11::Session>> sessions_;  // of the threads; empty: no threads
  std::vector<std::unique_ptr<RecordMaker>> makers_;     // empty: to be built anew
  std::string plaintext_;
  std::size_t next_ = 0;
  unsigned recoveries_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Slot> slots_;  // of the entries from next_ on, in order
  std::size_t begun_ = 0;   // entries that a thread has taken
  bool stop_ = false;
  bool keys_left_ = false;  // a C_DestroyObject failed: its session is to be closed
  std::vector<std::thread> threads_;
};

}  // namespace keyferry::appliance
