#include "appliance/gate/record_line.h"

#include <fmt/format.h>

#include <chrono>
#include <system_error>
#include <utility>

namespace keyferry::appliance {
namespace {

constexpr unsigned kAttempts = 5;               // of one record, before the run stops with the module's error
constexpr unsigned kRecoveriesPerSegment = 64;  // an HSM that needs more is not to be worked with
constexpr auto kFirstPause = std::chrono::milliseconds{20};  // four times as long before each further attempt: 1.7 s in all
constexpr std::size_t kSampleEvery = 256;
constexpr std::size_t kAheadPerThread = 8;

}  // namespace

RecordLine::RecordLine(Hsm& hsm, RandomSource& random, const Order& order, RecoverHsm recover)
    : hsm_{hsm}, random_{random}, order_{order}, recover_{std::move(recover)}, pool_{random} {
  for (unsigned attempt = 1; makers_.empty(); ++attempt) {
    try {
      build();
    } catch (const p11::Pkcs11Error& error) {
      this->recover(error, attempt);
    }
  }
}

RecordLine::~RecordLine() { stop_threads(); }

/// Sessions, makers and threads; strong: a failure leaves none of them.
void RecordLine::build() {
  if (!hsm_.connected()) recover_(p11::Recovery::NewModule);
  if (order_.threads > 1 && hsm_.calls_from() == p11::CallsFrom::OneThread) {
    throw Error{Code::Internal, "the module was promised calls from one thread alone"};
  }
  std::vector<std::unique_ptr<p11::Session>> sessions;
  std::vector<std::unique_ptr<RecordMaker>> makers;
  while (order_.threads > 1 && sessions.size() < order_.threads) {
    auto session = hsm_.another_session();
    if (!session) break;  // no more to be had: as many threads as there are sessions, or none and the Hsm's own session
    sessions.push_back(std::move(session));
  }
  const auto add = [&](p11::Session& session) {
    makers.push_back(
        std::make_unique<RecordMaker>(session, hsm_.facts(), order_.batch, order_.request, order_.entries));
  };
  if (sessions.empty()) add(hsm_.session());
  for (const auto& session : sessions) add(*session);
  sessions_ = std::move(sessions);
  makers_ = std::move(makers);
  plaintext_ = makers_.front()->plaintext();
  if (!sessions_.empty()) start_threads();
}

/// Session objects go with their sessions.
void RecordLine::take_down() {
  stop_threads();
  makers_.clear();
  sessions_.clear();
}

Sample RecordLine::sample(std::size_t index) const { return index % kSampleEvery == 0 ? Sample::Yes : Sample::No; }

RecordNo RecordLine::number(std::size_t index) const {
  return RecordNo{order_.first.value + static_cast<std::uint32_t>(index)};
}

MadeRecord RecordLine::next() {
  for (unsigned attempt = 1;; ++attempt) {
    try {
      if (makers_.empty()) build();
      MadeRecord made = sessions_.empty() ? make_here() : take_made();
      if (keys_left()) renew_sessions();
      return made;
    } catch (const p11::Pkcs11Error& error) {
      recover(error, attempt);
    }
  }
}

bool RecordLine::keys_left() {
  const std::lock_guard lock{mutex_};
  return std::exchange(keys_left_, false);
}

/// The record is good, and keys of one would live on in a session. A module that gives no new one now is the next
/// record's to deal with: this one is not lost for it.
void RecordLine::renew_sessions() {
  ++recoveries_;
  const bool own = !sessions_.empty();
  take_down();
  if (own) return;
  try {
    recover_(p11::Recovery::NewSession);
  } catch (const p11::Pkcs11Error&) {
    return;  // the Hsm is not connected() any more: build() begins with that
  }
}

MadeRecord RecordLine::make_here() {
  RecordMaker& maker = *makers_.front();
  const int undestroyed = maker.failed_destroys();
  MadeRecord made = maker.make(order_.entries[next_], number(next_), pool_, sample(next_));
  keys_left_ = maker.failed_destroys() != undestroyed;  // no thread beside this one
  ++next_;
  return made;
}

/// A new session also takes every key of the failed record with it, those included whose handle the module never told.
/// In the handler of `error`: throws it again where nothing helps.
void RecordLine::recover(const p11::Pkcs11Error& error, unsigned& attempt) {
  take_down();
  p11::Recovery recovery = error.recovery();
  if (recovery == p11::Recovery::None) throw;
  if (recovery == p11::Recovery::RetryRecord) recovery = p11::Recovery::NewSession;
  std::string last = error.what();
  std::string hint = error.hint();
  for (;; ++attempt) {
    ++recoveries_;
    if (attempt >= kAttempts || recoveries_ > kRecoveriesPerSegment) {
      throw Error{Code::Hsm,
                  fmt::format("record {}: {} (tried {} times, {} failures in this segment)", number(next_).value, last,
                              attempt, recoveries_),
                  fmt::format("{}; then give the same command again: the batch goes on where it stopped",
                              hint.empty() ? "look after the HSM" : hint)};
    }
    std::this_thread::sleep_for(kFirstPause * (1U << (2 * (attempt - 1))));
    try {
      return recover_(recovery);
    } catch (const p11::Pkcs11Error& again) {
      if (again.recovery() == p11::Recovery::None) throw;
      last = again.what();
      hint = again.hint();
      recovery = p11::Recovery::NewModule;
    }
  }
}

// --- several threads -------------------------------------------------------------------------------------------------

void RecordLine::start_threads() {
  stop_ = false;
  keys_left_ = false;
  begun_ = next_;
  slots_.clear();
  try {
    for (const auto& maker : makers_) threads_.emplace_back([this, &one = *maker] { work(one); });
  } catch (const std::system_error& error) {  // std::thread's only way to say no: those that run are enough
    if (threads_.empty()) {
      throw Error{Code::Hsm, fmt::format("no thread for the HSM could be started: {}", error.code().message()),
                  "raise the limit of processes, or set threads_per_worker = 1 in gate.toml"};
    }
  }
}

void RecordLine::stop_threads() {
  {
    const std::lock_guard lock{mutex_};
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void RecordLine::work(RecordMaker& maker) {
  SystemRandom system;
  PooledRandom random{system};
  for (;;) {
    std::size_t index = 0;
    {
      std::unique_lock lock{mutex_};
      changed_.wait(lock, [&] { return stop_ || begun_ < next_ + kAheadPerThread * sessions_.size(); });
      if (stop_ || begun_ >= order_.entries.size()) return;
      index = begun_++;
      slots_.emplace_back();
    }
    Slot made;
    bool keys_left = false;
    try {
      const int undestroyed = maker.failed_destroys();
      made.made = maker.make(order_.entries[index], number(index), random, sample(index));
      keys_left = maker.failed_destroys() != undestroyed;
    } catch (...) {  // the border of a thread: whatever it was is thrown again by take_made()
      made.made.reset();
      made.failed = std::current_exception();
    }
    const std::lock_guard lock{mutex_};
    if (made.failed) stop_ = true;
    if (keys_left) keys_left_ = true;
    slots_[index - next_] = std::move(made);
    changed_.notify_all();
    if (stop_) return;
  }
}

MadeRecord RecordLine::take_made() {
  std::unique_lock lock{mutex_};
  const auto ready = [&] { return !slots_.empty() && (slots_.front().made || slots_.front().failed); };
  // After a failure the others end their records and stop: what is in front may never come.
  changed_.wait(lock, [&] { return ready() || stop_; });
  if (!ready()) {
    for (const Slot& slot : slots_) {
      if (slot.failed) std::rethrow_exception(slot.failed);
    }
    lock.unlock();
    stop_threads();
    lock.lock();
    for (const Slot& slot : slots_) {
      if (slot.failed) std::rethrow_exception(slot.failed);
    }
    throw Error{Code::Internal, "the threads of a segment stopped without saying why"};
  }
  Slot slot = std::move(slots_.front());
  if (slot.failed) std::rethrow_exception(slot.failed);
  slots_.pop_front();
  ++next_;
  lock.unlock();
  changed_.notify_all();
  return std::move(*slot.made);
}

}  // namespace keyferry::appliance
