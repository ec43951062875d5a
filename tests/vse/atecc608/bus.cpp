#include "tests/vse/atecc608/bus.h"

#include <algorithm>
#include <array>
#include <utility>

#include "wrap/base/error.h"

namespace keyferry::vse::atecc608 {
namespace {

using std::chrono::milliseconds;

struct CommandTime {
  Opcode opcode;
  std::array<std::uint16_t, 3> ms;  // clock dividers M0, M1, M2
};

constexpr std::array kTimes{
    CommandTime{Opcode::CheckMac, {40, 40, 40}},
    CommandTime{Opcode::Counter, {25, 25, 25}},
    CommandTime{Opcode::DeriveKey, {50, 50, 50}},
    CommandTime{Opcode::GenDig, {25, 35, 35}},
    CommandTime{Opcode::GenKey, {115, 215, 653}},
    CommandTime{Opcode::Info, {5, 5, 5}},
    CommandTime{Opcode::Lock, {35, 35, 35}},
    CommandTime{Opcode::Mac, {55, 55, 55}},
    CommandTime{Opcode::Nonce, {20, 20, 20}},
    CommandTime{Opcode::PrivWrite, {50, 50, 50}},
    CommandTime{Opcode::Random, {23, 23, 23}},
    CommandTime{Opcode::Read, {5, 5, 5}},
    CommandTime{Opcode::SecureBoot, {80, 160, 480}},
    CommandTime{Opcode::SelfTest, {250, 625, 2324}},
    CommandTime{Opcode::Sha, {36, 42, 75}},
    CommandTime{Opcode::Sign, {115, 220, 665}},
    CommandTime{Opcode::UpdateExtra, {10, 10, 10}},
    CommandTime{Opcode::Verify, {105, 295, 1085}},
    CommandTime{Opcode::Write, {45, 45, 45}},
};

milliseconds watchdog(std::uint8_t chip_mode) {
  constexpr std::uint8_t kLongWatchdog = 4;
  return (chip_mode & kLongWatchdog) != 0 ? milliseconds{13'000} : milliseconds{1'300};
}

Memory memory_of(const std::filesystem::path& state) {
  auto memory = load_memory(state);
  if (!memory) throw Error{Code::Storage, state.string() + " is not there", "make the chip first"};
  return std::move(*memory);
}

std::uint8_t opcode_of(ByteView packet) {
  return packet.size() > 1 ? packet[1] : 0;
}

}  // namespace

milliseconds execution_time(std::uint8_t opcode, std::uint8_t chip_mode) {
  constexpr unsigned kDividerM1 = 0x28 >> 3U;
  constexpr unsigned kDividerM2 = 0x68 >> 3U;
  const unsigned divider = chip_mode >> 3U;
  const std::size_t column = divider == kDividerM1 ? 1 : divider == kDividerM2 ? 2 : 0;
  const auto known = std::ranges::find(kTimes, static_cast<Opcode>(opcode), &CommandTime::opcode);
  return milliseconds{known == kTimes.end() ? 0 : known->ms.at(column)};
}

Bus::Bus(const BusSettings& settings, RandomSource& random, Now now)
    : settings_{settings},
      random_{random},
      now_{std::move(now)},
      chip_{memory_of(settings.state),
            random,
            {.strict_rand = settings.strict_rand, .counterfeit = settings.faults.counterfeit}},
      faults_{settings.faults} {}

BusAnswer Bus::command(ByteView packet) {
  const std::uint8_t opcode = opcode_of(packet);
  ++commands_;
  const std::vector<Fault> due = faults_.due(opcode);
  for (const Fault& fault : due) {
    if (fault.kind == FaultKind::Nack) nacks_left_ = fault.first;
    if (fault.kind == FaultKind::CutBefore) return {{}, milliseconds{0}, true};
  }
  if (nacks_left_ > 0) {
    --nacks_left_;
    return {};
  }
  BusAnswer answer;
  if (!awake_in_time(opcode)) {
    answer.reply = reply_packet(Status::Watchdog);
    return answer;
  }
  if (settings_.timing == Timing::Table)
    answer.busy = execution_time(opcode, chip_.memory().chip_mode());
  const Bytes before = last_reply_;
  if (settings_.before_command) settings_.before_command(chip_.cells());
  last_reply_ = carry_out(faults_.with_noise(to_bytes(packet)));
  answer.reply = faults_.with_noise(last_reply_);
  for (const Fault& fault : due) apply(fault, answer, before);
  return answer;
}

/// False when the command would still run when the watchdog bites.
bool Bus::awake_in_time(std::uint8_t opcode) {
  const auto now = now_();
  if (!awake_since_) awake_since_ = now;
  if (settings_.timing == Timing::Instant) return true;
  const milliseconds limit = watchdog(chip_.memory().chip_mode());
  if (now - *awake_since_ >= limit) {
    chip_.sleep();
    awake_since_ = now;
  }
  const milliseconds time = execution_time(opcode, chip_.memory().chip_mode());
  return time >= limit || now - *awake_since_ + time < limit;
}

Bytes Bus::carry_out(ByteView packet) {
  const Memory before = chip_.memory();
  Bytes reply = chip_.answer(packet);
  if (chip_.memory() != before) save_memory(settings_.state, chip_.memory());
  return reply;
}

void Bus::apply(const Fault& fault, BusAnswer& answer, const Bytes& before) {
  switch (fault.kind) {
    case FaultKind::Drop:
      answer.reply.clear();
      return;
    case FaultKind::Flip:
      if (fault.first < answer.reply.size())
        answer.reply[fault.first] ^= static_cast<std::uint8_t>(1U << fault.second);
      return;
    case FaultKind::Garbage:
      random_.fill(std::span{answer.reply}.subspan(1));
      return;
    case FaultKind::Late:
      answer.busy += milliseconds{fault.first};
      return;
    case FaultKind::Previous:
      answer.reply = before;
      return;
    case FaultKind::CutAfter:
      answer = {{}, milliseconds{0}, true};
      return;
    case FaultKind::Nack:
    case FaultKind::CutBefore:
      return;  // done before the command
  }
}

void Bus::idle() {
  awake_since_.reset();
}

void Bus::sleep() {
  awake_since_.reset();
  chip_.sleep();
}

void Bus::power_off() {
  awake_since_.reset();
  nacks_left_ = 0;
  last_reply_.clear();
  chip_.power_off();
}

}  // namespace keyferry::vse::atecc608
