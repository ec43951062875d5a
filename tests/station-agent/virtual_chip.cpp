#include "tests/station-agent/virtual_chip.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "tests/vse/atecc608/server.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;
namespace vse608 = vse::atecc608;

/// Section 2.4 of the facts, as in tests/vectors/atecc608/example-configuration.hex (a test
/// compares).
constexpr std::string_view kExampleConfiguration =
    "0123a5c700006003e90b2d4fee010100c0000000814482208f8f8f8f9f8f8f8f"
    "8f0f8f8f0f0f0f8f0f0f0f0f0f0f0f8f0f8f0f0fffffffff00000000ffffffff"
    "00000000000001f000000000000000000000000000005555ffff026000000000"
    "330033001c001c001c001c003c001c003c001c003c0030003c001c001c003000";

constexpr std::size_t kPadBytes = 4;
constexpr std::size_t kCoordinateBytes = 32;

Bytes private_slot(ByteView scalar) {
  Bytes content(kPadBytes);
  append(content, scalar);
  return content;
}

Bytes public_slot(const crypto::PublicKey& key) {
  Bytes content(kPadBytes);
  append(content, key.point().subspan(1, kCoordinateBytes));
  append(content, Bytes(kPadBytes));
  append(content, key.point().last(kCoordinateBytes));
  return content;
}

void put(Bytes& slot, ByteView content) {
  std::ranges::copy(content, slot.begin());
}

crypto::SoftKey key_of(ByteView scalar) {
  return *crypto::SoftKey::from_scalar(SecretBytes::copy_of(scalar));
}

}  // namespace

se::Atecc608Profile example_profile() {
  se::Atecc608Profile profile;
  std::ranges::copy(*from_hex(kExampleConfiguration), profile.configuration.begin());
  profile.transport_slot = 4;
  profile.target_slot = 0;
  profile.attestation_slot = 1;
  profile.certificate_slots = {8, 10, 12};
  profile.secure_boot_slot = 15;
  return profile;
}

VirtualChip::VirtualChip(const fs::path& folder, unsigned number, const ChipMaking& making)
    : serial{*SeSerial::from_hex("0123000000000000ee")},
      attestation_key{crypto::SoftKey::generate().public_key()},
      folder_{folder},
      profile_{making.profile} {
  fs::create_directories(folder_);
  auto configuration = making.profile.configuration;
  configuration[2] = static_cast<std::uint8_t>(number >> 8U);
  configuration[3] = static_cast<std::uint8_t>(number);
  vse608::Memory cells{configuration};
  serial = *SeSerial::from_bytes(cells.serial());
  transport_key = random_.bytes(32);
  put(cells.slots.at(making.profile.transport_slot), transport_key);
  const Bytes scalar = random_.bytes(32);
  attestation_key = key_of(scalar).public_key();
  if (making.profile.attestation_slot)
    put(cells.slots.at(*making.profile.attestation_slot), private_slot(scalar));
  if (making.firmware_key)
    put(cells.slots.at(*making.profile.secure_boot_slot), public_slot(*making.firmware_key));
  if (making.locked) {
    cells.lock_config();
    cells.lock_data();
    if (making.profile.attestation_slot) cells.lock_slot(*making.profile.attestation_slot);
    if (making.firmware_key && !making.boot_slot_open)
      cells.lock_slot(*making.profile.secure_boot_slot);
  }
  set_cells(cells);
}

VirtualChip::~VirtualChip() {
  power_off();
}

void VirtualChip::power(const vse608::FaultScript& faults, vse608::Timing timing) {
  power_off();
  listener_ = vse608::listen_unix(socket());
  off_ = false;
  commands_ = 0;
  vse608::BusSettings settings{.state = state(), .timing = timing, .faults = faults};
  settings.before_command = [this](vse608::Memory& cells) {
    const std::scoped_lock lock{change_mutex_};
    if (change_) std::exchange(change_, {})(cells);
  };
  thread_ = std::thread{[this, settings] { serve(settings); }};
}

void VirtualChip::power(const std::string& faults) {
  power(vse608::read_faults(faults, "the test"));
}

void VirtualChip::power_off() {
  if (!thread_.joinable()) return;
  off_ = true;
  shutdown(listener_.get(), SHUT_RDWR);
  {
    const std::scoped_lock lock{mutex_};
    if (connection_ >= 0) shutdown(connection_, SHUT_RDWR);
  }
  thread_.join();
  listener_.reset();
}

void VirtualChip::serve(vse608::BusSettings settings) {
  vse608::Bus bus{settings, random_};
  while (!off_) {
    Fd connection{accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
    if (!connection.valid()) continue;
    {
      const std::scoped_lock lock{mutex_};
      if (off_) return;
      connection_ = connection.get();
    }
    vse608::serve_connection(connection.get(), bus);
    commands_ = bus.commands();
    const std::scoped_lock lock{mutex_};
    connection_ = -1;
    connection.reset();
  }
}

void VirtualChip::alter(std::function<void(vse608::Memory&)> change) {
  const std::scoped_lock lock{change_mutex_};
  change_ = std::move(change);
}

vse608::Memory VirtualChip::cells() const {
  return *vse608::load_memory(state());
}

void VirtualChip::set_cells(const vse608::Memory& cells) {
  vse608::save_memory(state(), cells);
}

std::optional<crypto::PublicKey> VirtualChip::held_key() const {
  const Bytes slot = cells().slots.at(profile_.target_slot);
  const auto key = crypto::SoftKey::from_scalar(
      SecretBytes::copy_of(ByteView{slot}.subspan(kPadBytes, kCoordinateBytes)));
  if (!key) return std::nullopt;
  return key->public_key();
}

bool VirtualChip::target_locked() const {
  return cells().slot_locked(profile_.target_slot);
}

}  // namespace keyferry::station::test
