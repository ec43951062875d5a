// Orders of family atecc608: chips behind sockets.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <list>
#include <thread>

#include "tests/vse/atecc608/maker.h"
#include "tests/vse/atecc608/server.h"
#include "tests/vse/orders.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/pem.h"

namespace keyferry::vse {
namespace {

namespace fs = std::filesystem;
using atecc608::Bus;
using atecc608::BusSettings;

constexpr std::string_view kFamily = "atecc608";
constexpr std::uint64_t kMaxTextBytes = 1024 * 1024;

/// X | Y of a PEM file with one P-256 public key.
Bytes point_in(const fs::path& file) {
  const Bytes content = read_file(file, kMaxTextBytes);
  const auto blocks = x509::from_pem(as_chars(content), x509::kPemPublicKey);
  if (const auto* found = std::get_if<std::vector<Bytes>>(&blocks)) {
    const auto key = crypto::PublicKey::from_spki(found->front());
    if (found->size() == 1 && key) return to_bytes(key->point().subspan(1));
  }
  throw Error{Code::Usage,
              file.string() + " is not one P-256 public key in PEM",
              "openssl ec -in KEY -pubout writes one"};
}

atecc608::MakeOrder order_of(const Options& options) {
  atecc608::MakeOrder order;
  order.folder = fs::absolute(options.folder).lexically_normal();
  order.config = atecc608::read_config_hex(options.config);
  order.first = options.first;
  order.count = options.count;
  if (options.blank) return order;
  atecc608::Preparation& preparation = order.preparation.emplace();
  preparation.transport_slot = options.transport_slot;
  preparation.attestation_slot = options.attestation_slot;
  if (!options.secure_boot_key.empty())
    preparation.secure_boot_key = point_in(options.secure_boot_key);
  return order;
}

void write_lists(const Options& options, const atecc608::MakeResult& made) {
  InventoryWriter inventory{options.inventory, AttestationColumn::Present};
  std::vector<LaneChip> lanes;
  for (const atecc608::MadeChip& chip : made.chips) {
    InventoryRow row = row_of(options, std::string{kFamily}, chip.serial, chip.number);
    row.attestation_key = chip.attestation_key;
    inventory.add(row);
    lanes.push_back({{{"chip", "unix:" + atecc608::socket_of(chip.state).string()}},
                     device_serial(options, chip.number)});
  }
  inventory.commit();
  write_lanes(options.lanes, std::string{kFamily}, lanes, options.lane_count);
}

/// --faults lines and the file's, the file's first.
atecc608::FaultScript script_of(const Options& options) {
  std::string text;
  if (!options.faults_file.empty())
    text = to_string(read_file(options.faults_file, kMaxTextBytes)) + "\n";
  for (const std::string& line : options.faults) text += line + "\n";
  return atecc608::read_faults(
      text, options.faults_file.empty() ? "--fault" : options.faults_file.string());
}

/// Somebody who reaches into the silicon: the cells that lie beside a state file as NAME.hand take their place.
std::function<void(atecc608::Memory&)> hand_at(const fs::path& state) {
  fs::path hand = state;
  hand.replace_extension(".hand");
  return [state, hand](atecc608::Memory& cells) {
    const auto laid = atecc608::load_memory(hand);
    if (!laid) return;
    cells = *laid;
    save_memory(state, cells);
    fs::remove(hand);
  };
}

BusSettings settings_of(const Options& options, const fs::path& state, std::uint64_t number) {
  BusSettings settings;
  settings.state = state;
  settings.before_command = hand_at(state);
  settings.timing = options.timing == "table" ? atecc608::Timing::Table : atecc608::Timing::Instant;
  settings.strict_rand = options.strict_rand;
  settings.faults = script_of(options);
  settings.faults.noise_seed += number;  // chips side by side are not damaged alike
  return settings;
}

void say(const std::string& line) {
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

int serve_one(const Options& options) {
  check(!options.state.empty(), "--state says where the chip's cells are kept");
  check(options.port.has_value() != !options.socket.empty(), "one of --tcp and --unix is needed");
  const BusSettings settings = settings_of(options, options.state, 0);
  if (!fs::exists(options.state)) {
    check(!options.config.empty(), "--config is needed for a chip that has no --state yet");
    save_memory(options.state, atecc608::Memory{atecc608::read_config_hex(options.config)});
  }
  SystemRandom random;
  Bus bus{settings, random};
  if (options.port) {
    const atecc608::TcpListener listener = atecc608::listen_tcp(*options.port);
    say(fmt::format("listening tcp:127.0.0.1:{}", listener.port));
    atecc608::serve(listener.fd, bus);
  } else {
    const Fd listener = atecc608::listen_unix(options.socket);
    say(fmt::format("listening unix:{}", options.socket.string()));
    atecc608::serve(listener, bus);
  }
  return 0;
}

/// One thread and one socket for each state file of the folder.
int serve_folder(const Options& options) {
  check(options.state.empty() && options.socket.empty() && !options.port,
        "--folder stands alone: each chip in it has its own state and socket");
  std::vector<fs::path> states;
  for (const auto& entry : fs::directory_iterator{fs::absolute(options.folder)}) {
    if (entry.path().extension() == ".state") states.push_back(entry.path().lexically_normal());
  }
  std::ranges::sort(states);
  check(!states.empty(), options.folder.string() + " holds no chip");
  SystemRandom random;
  std::list<Bus> buses;
  std::list<Fd> listeners;
  for (const fs::path& state : states) {
    buses.emplace_back(settings_of(options, state, buses.size()), random);
    listeners.push_back(atecc608::listen_unix(atecc608::socket_of(state)));
  }
  say(fmt::format("listening {} chips in {}", states.size(), options.folder.string()));
  std::list<std::jthread> threads;
  auto bus = buses.begin();
  for (const Fd& listener : listeners) {
    threads.emplace_back([&listener, &served = *bus] { atecc608::serve(listener, served); });
    ++bus;
  }
  return 0;  // after the threads, which do not end
}

}  // namespace

int make_atecc608(const Options& options) {
  if (!options.blank) {
    check_texts(options);
    check(!options.inventory.empty() && !options.lanes.empty(),
          "--inventory and --lanes are needed, or --blank");
    check(options.lane_count <= options.count, "--lane-count: there are fewer chips than lanes");
  }
  const atecc608::MakeOrder order = order_of(options);
  make_private_directory(order.folder);
  const FileLock lock{order.folder / "lock"};
  SystemRandom random;
  std::unique_ptr<KeyRoom> room;
  if (!options.blank) room = open_room(options, std::string{kFamily}, random);
  const auto key_for = [&](const Bytes& serial) {
    return room->transport_key(options.part, options.key_name, serial);
  };
  Progress progress{options.count};
  const atecc608::MakeResult made = atecc608::make_chips(
      order, key_for, random, [&](std::uint32_t ready) { progress.at(ready); });
  if (room) close_room(*room);
  if (!options.blank) write_lists(options, made);
  print_made(options, made.made, made.kept);
  return 0;
}

int serve_atecc608(const Options& options) {
  return options.folder.empty() ? serve_one(options) : serve_folder(options);
}

}  // namespace keyferry::vse
