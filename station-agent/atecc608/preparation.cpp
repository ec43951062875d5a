// What only a secure room does to a chip: zone locks and new keys. An object file of its own, so
// that a program that does not ask for it (the station's) does not contain it.
#include "station-agent/atecc608/session.h"

namespace keyferry::atecc608 {
namespace {

// Sections 2.1, 4.4 and 4.9 of the facts.
constexpr std::uint8_t kCreate = 0x04;
constexpr std::uint8_t kLockConfigWithSummary = 0x00;
constexpr std::uint8_t kLockDataNoSummary = 0x81;
constexpr std::size_t kLockBytes = 84;  // octets 84..87: LockValue is 86, LockConfig 87
constexpr std::uint8_t kUnlockedZone = 0x55;

}  // namespace

Answer<bool> Session::zone_locked(std::size_t octet_in_word) {
  const auto answer = read_config_word(kLockBytes);
  if (const auto* status = std::get_if<Status>(&answer)) return *status;
  return std::get<Bytes>(answer).at(octet_in_word) != kUnlockedZone;
}

Status Session::lock_config(std::uint16_t summary) {
  return lock({Opcode::Lock, kLockConfigWithSummary, summary}, [&] { return zone_locked(3); });
}

Status Session::lock_data() {
  return lock({Opcode::Lock, kLockDataNoSummary, 0}, [&] { return zone_locked(2); });
}

std::variant<Bytes, Status, Unanswered> Session::make_key(std::uint8_t slot) {
  auto result = once({Opcode::GenKey, kCreate, slot}, kPointBytes);
  if (std::holds_alternative<Unanswered>(result)) catch_up();
  return result;
}

}  // namespace keyferry::atecc608
