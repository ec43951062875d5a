// How many devices a batch still takes, when several lanes work at the same time: the line stops at
// the batch's target, and a lane whose device may be one too many waits until the others know how
// theirs ended.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "station-agent/store.h"

namespace keyferry::station {

class Admission {
 public:
  /// `store` must outlive it. limit: how long a lane waits for the others.
  explicit Admission(Store& store, std::chrono::milliseconds limit = std::chrono::minutes{10})
      : store_{store}, limit_{limit} {}

  /// A device of a batch that is being worked on; ends with it.
  class Place {
   public:
    Place(Admission& admission, const BatchId& batch) : admission_{&admission}, batch_{batch} {}

    Place(Place&& other) noexcept
        : admission_{std::exchange(other.admission_, nullptr)}, batch_{other.batch_} {}

    Place& operator=(Place&& other) noexcept {
      std::swap(admission_, other.admission_);
      std::swap(batch_, other.batch_);
      return *this;
    }

    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

    ~Place() {
      if (admission_ != nullptr) admission_->leave(batch_);
    }

   private:
    Admission* admission_;
    BatchId batch_;
  };

  /// An SE that one lane works on: no other lane may take it, under whatever address.
  class Claim {
   public:
    Claim(Admission& admission, std::string se) : admission_{&admission}, se_{std::move(se)} {}

    Claim(Claim&& other) noexcept
        : admission_{std::exchange(other.admission_, nullptr)}, se_{std::move(other.se_)} {}

    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    Claim& operator=(Claim&&) = delete;

    ~Claim() {
      if (admission_ != nullptr) admission_->release(se_);
    }

   private:
    Admission* admission_;
    std::string se_;
  };

  /// Nothing: another lane has this SE, or one that says the same serial.
  [[nodiscard]] std::optional<Claim> claim(token::Family family, const SeSerial& serial);

  /// Nothing: the batch has its devices. A record that is not Loaded any more always gets a place:
  /// its chip may hold the key already. Error{Channel} when the others take longer than the limit.
  [[nodiscard]] std::optional<Place> enter(const BatchFacts& batch, RecordState state);

 private:
  void leave(const BatchId& batch);
  void release(const std::string& se);

  Store& store_;
  std::chrono::milliseconds limit_;
  std::mutex mutex_;
  std::condition_variable left_;
  std::map<BatchId, std::uint64_t> working_;
  std::set<std::string> claimed_;
};

}  // namespace keyferry::station
