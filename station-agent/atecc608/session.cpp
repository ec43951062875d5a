#include "station-agent/atecc608/session.h"

#include <algorithm>
#include <utility>

namespace keyferry::atecc608 {
namespace {

constexpr int kWakeTries = 8;
constexpr int kReadAgain = 4;
constexpr int kCatchUpTries = 4;
constexpr int kMostLate = 8;      // answers that may stand before that to Info
constexpr Millis kQuiet{20};      // and nothing comes behind it

/// Info's answer (section 2.1 of the facts): 00 00 60 and the revision.
bool is_revision(const Response& response) {
  const auto* data = std::get_if<Bytes>(&response);
  return data != nullptr && data->size() == 4 && (*data)[0] == 0 && (*data)[1] == 0 &&
         (*data)[2] == 0x60;
}

struct Timing {
  Opcode opcode;
  std::array<int, 3> ms;  // M0, M1, M2
};

/// Section 1.5 of the facts.
constexpr std::array kTimings{
    Timing{Opcode::CheckMac, {40, 40, 40}},
    Timing{Opcode::GenDig, {25, 35, 35}},
    Timing{Opcode::GenKey, {115, 215, 653}},
    Timing{Opcode::Info, {5, 5, 5}},
    Timing{Opcode::Lock, {35, 35, 35}},
    Timing{Opcode::Nonce, {20, 20, 20}},
    Timing{Opcode::PrivWrite, {50, 50, 50}},
    Timing{Opcode::Random, {23, 23, 23}},
    Timing{Opcode::Read, {5, 5, 5}},
    Timing{Opcode::SecureBoot, {80, 160, 480}},
    Timing{Opcode::Sign, {115, 220, 665}},
    Timing{Opcode::Verify, {105, 295, 1085}},
    Timing{Opcode::Write, {45, 45, 45}},
};

}  // namespace

Divider divider_of(std::uint8_t chip_mode) {
  switch (chip_mode & 0xF8U) {
    case 0x28:
      return Divider::M1;
    case 0x68:
      return Divider::M2;
    default:
      return Divider::M0;
  }
}

Millis execution_time(Opcode opcode, Divider divider) {
  const auto found = std::ranges::find(kTimings, opcode, &Timing::opcode);
  return Millis{found->ms.at(static_cast<std::size_t>(divider))};
}

Session::Session(std::unique_ptr<Wire> wire, SessionSettings settings)
    : wire_{std::move(wire)}, settings_{settings} {}

Session::~Session() {
  try {
    sleep();
  } catch (const Error&) {
    // The bus is gone, and the chip's watchdog does the same a second later.
  }
}

void Session::idle() {
  if (!awake_) return;
  wire_->idle();
  awake_ = false;
}

void Session::sleep() {
  wire_->sleep();
  awake_ = false;
}

void Session::stay_awake(Opcode opcode) {
  const auto needed = execution_time(opcode, divider_);
  const auto awake_for = SteadyClock::now() - awake_since_;
  if (awake_ && awake_for + needed < settings_.awake_budget) return;
  if (awake_ && awake_for >= settings_.watchdog) overslept_ = true;
  idle();
  for (int tries = 0; tries < kWakeTries; ++tries) {
    if (wire_->wake()) {
      awake_ = true;
      awake_since_ = SteadyClock::now();
      return;
    }
  }
  throw station::ChipLost{"the chip does not wake up"};
}

Response Session::response_to(const Command& command) {
  ++counts_.commands;
  stay_awake(command.opcode);
  silent_ = false;
  Bytes sent = encode(command);
  const Wiped wiped{sent};
  if (!wire_->send(sent)) {
    awake_ = false;
    return Damaged{};
  }
  auto packet = wire_->receive(settings_.give_up);
  silent_ = !packet.has_value();
  if (!packet) {
    awake_ = false;
    return Damaged{};
  }
  Response response = decode(*packet);
  for (int again = 0; again < kReadAgain && std::holds_alternative<Damaged>(response); ++again) {
    packet = wire_->receive_again();
    if (!packet) break;
    response = decode(*packet);
  }
  return response;
}

Session::Once Session::attempt(const Command& command, std::size_t data_bytes) {
  const std::string name = opcode_name(command.opcode);
  const Response response = response_to(command);
  if (silent_) return Unanswered{name + ": no answer"};
  if (std::holds_alternative<Damaged>(response)) return Unanswered{name + ": damaged answer"};
  if (const auto* status = std::get_if<Status>(&response)) {
    if (*status == Status::JustWoken) return Unanswered{name + ": the chip has just woken"};
    if (*status != Status::Success || data_bytes == 0) return *status;
    out_of_step_ = true;
    return Unanswered{name + ": a status where there should be data"};
  }
  const Bytes& data = std::get<Bytes>(response);
  if (data.size() == data_bytes) return data;
  out_of_step_ = true;
  return Unanswered{name + ": an answer of another size"};
}

Session::Once Session::once(const Command& command, std::size_t data_bytes) {
  for (int tries = 1;; ++tries) {
    Once result = attempt(command, data_bytes);
    const auto* status = std::get_if<Status>(&result);
    const bool nothing_done =
        status != nullptr && (*status == Status::Communication || *status == Status::WatchdogSoon);
    if (!nothing_done) return result;
    if (tries >= settings_.tries) {
      throw station::ChipLost{std::string{opcode_name(command.opcode)} + ": " +
                              status_text(*status) + " each time"};
    }
    ++counts_.repeated;
    if (*status == Status::WatchdogSoon) idle();
  }
}

void Session::catch_up() {
  if (!silent_ && !out_of_step_) return;
  for (int tries = 0; tries < kCatchUpTries; ++tries) {
    Response response = response_to(Command{Opcode::Info, 0, 0});
    // What comes late stands before the answer to Info; and behind that one nothing may stand.
    for (int late = 0; late < kMostLate && !silent_ && !is_revision(response); ++late) {
      const auto packet = wire_->receive(settings_.give_up);
      if (!packet) break;
      response = decode(*packet);
    }
    if (silent_ || !is_revision(response)) continue;
    for (int more = 0; more < kMostLate && wire_->receive(kQuiet); ++more) continue;
    out_of_step_ = false;
    return;
  }
  throw station::ChipLost{"the chip does not answer"};
}

Answer<Bytes> Session::repeat(const Command& command, std::size_t data_bytes) {
  std::string last;
  for (int tries = 0; tries < settings_.tries; ++tries) {
    Once result = once(command, data_bytes);
    if (auto* data = std::get_if<Bytes>(&result)) return std::move(*data);
    if (const auto* status = std::get_if<Status>(&result)) return *status;
    last = std::get<Unanswered>(result).text;
    ++counts_.repeated;
    catch_up();
  }
  throw station::ChipLost{last + ", " + std::to_string(settings_.tries) + " times"};
}

Status Session::repeat_status(const Command& command) {
  const Answer<Bytes> answer = repeat(command, 0);
  const auto* status = std::get_if<Status>(&answer);
  return status != nullptr ? *status : Status::Success;
}

Session::Once Session::sequence(const std::string& name, const std::function<Once()>& steps) {
  std::string last;
  for (int tries = 0; tries < settings_.sequences; ++tries) {
    overslept_ = false;
    Once result = steps();
    const auto* status = std::get_if<Status>(&result);
    const bool too_late = overslept_ && status != nullptr && *status == Status::ExecutionError;
    const auto* unanswered = std::get_if<Unanswered>(&result);
    if (unanswered == nullptr && !too_late) return result;
    last = too_late ? "the watchdog was quicker" : unanswered->text;
    ++counts_.repeated;
    catch_up();
  }
  throw station::ChipLost{name + ": " + last + ", " + std::to_string(settings_.sequences) +
                          " times"};
}

}  // namespace keyferry::atecc608
