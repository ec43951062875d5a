#include "station-agent/admission.h"

#include <utility>

namespace keyferry::station {

std::optional<Admission::Place> Admission::enter(const BatchFacts& batch, RecordState state) {
  std::unique_lock lock{mutex_};
  const auto end = std::chrono::steady_clock::now() + limit_;
  for (;;) {
    const std::uint64_t injected = store_.counts(batch.batch_id).of(RecordState::Injected);
    std::uint64_t& working = working_[batch.batch_id];
    if (state != RecordState::Loaded || injected + working < batch.target_count) {
      ++working;
      return Place{*this, batch.batch_id};
    }
    if (injected >= batch.target_count) return std::nullopt;
    if (left_.wait_until(lock, end) == std::cv_status::timeout) {
      throw Error{Code::Channel,
                  "batch " + batch.batch_id.hex() + ": the other lanes did not end their devices",
                  "when they have, put this device in again"};
    }
  }
}

std::optional<Admission::Claim> Admission::claim(token::Family family, const SeSerial& serial) {
  std::string se = std::string{token::name_of(family)} + " " + serial.hex();
  const std::scoped_lock lock{mutex_};
  if (!claimed_.insert(se).second) return std::nullopt;
  return std::optional<Claim>{std::in_place, *this, std::move(se)};
}

void Admission::release(const std::string& se) {
  const std::scoped_lock lock{mutex_};
  claimed_.erase(se);
}

void Admission::leave(const BatchId& batch) {
  {
    const std::scoped_lock lock{mutex_};
    --working_[batch];
  }
  left_.notify_all();
}

}  // namespace keyferry::station
