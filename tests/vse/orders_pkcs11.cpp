// Orders of family pkcs11: SoftHSM stores that play SEs.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/vse/maker.h"
#include "tests/vse/orders.h"
#include "wrap/base/process.h"

namespace keyferry::vse {
namespace {

namespace fs = std::filesystem;

constexpr int kParent = 3;

fs::path softhsm_module() {
  constexpr std::array kPlaces{"/usr/lib/softhsm/libsofthsm2.so",
                               "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
                               "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"};
  for (const char* place : kPlaces) {
    if (fs::exists(place)) return place;
  }
  throw Error{Code::NotFound,
              "SoftHSM's library is not where Debian puts it",
              "install softhsm2, or give --module"};
}

std::vector<LaneChip> lane_chips(const MakeResult& made,
                                 const Options& options,
                                 const fs::path& module) {
  std::vector<LaneChip> chips;
  for (const MadeChip& chip : made.chips) {
    p11::Uri uri;
    uri.token = chip.facts.label;
    uri.serial = to_string(chip.facts.serial);
    uri.pin_source = "file:" + chip.store.pin().string();
    uri.module_path = module.string();
    chips.push_back(
        {{{"uri", p11::to_string(uri)}, {"softhsm2_conf", chip.store.config().string()}},
         device_serial(options, chip.number)});
  }
  return chips;
}

/// Serials that look random and cannot repeat within a run: a bijection (the mixing steps of
/// SplitMix64) of a counter that starts at a random place.
Bytes made_up_serial(std::uint64_t counter) {
  counter = (counter ^ (counter >> 30)) * 0xbf58476d1ce4e5b9ULL;
  counter = (counter ^ (counter >> 27)) * 0x94d049bb133111ebULL;
  return to_bytes(as_bytes(fmt::format("{:016x}", counter ^ (counter >> 31))));
}

}  // namespace

int make_pkcs11(const Options& options) {
  check_texts(options);
  check(options.lane_count <= options.count, "--lane-count: there are fewer chips than lanes");
  MakeOrder order;
  order.folder = fs::absolute(options.folder).lexically_normal();
  order.module = options.module.empty() ? softhsm_module() : fs::absolute(options.module);
  order.program = sibling_program("keyferry-vse");
  order.part = options.part;
  order.key_name = options.key_name;
  order.first = options.first;
  order.count = options.count;
  order.parallel =
      options.parallel != 0 ? options.parallel : std::max(1U, std::thread::hardware_concurrency());
  make_private_directory(order.folder);
  const FileLock lock{order.folder / "lock"};
  SystemRandom random;
  const std::unique_ptr<KeyRoom> room = open_room(options, "pkcs11", random);
  Progress progress{options.count};
  const MakeResult made =
      make_chips(order, *room, [&](std::uint32_t ready) { progress.at(ready); });
  close_room(*room);

  InventoryWriter inventory{options.inventory, AttestationColumn::Absent};
  for (const MadeChip& chip : made.chips)
    inventory.add(row_of(options, "pkcs11", chip.facts.serial, chip.number));
  inventory.commit();
  write_lanes(options.lanes, "pkcs11", lane_chips(made, options, order.module), options.lane_count);
  print_made(options, made.made, made.kept);
  return 0;
}

int inventory_only(const Options& options) {
  check_texts(options);
  SystemRandom random;
  const std::uint64_t start = read_u64be(random.bytes(8));
  InventoryWriter inventory{options.inventory, AttestationColumn::Absent};
  for (std::uint32_t i = 0; i < options.count; ++i) {
    inventory.add(row_of(options, "pkcs11", made_up_serial(start + i), options.first + i));
  }
  inventory.commit();
  if (options.json) {
    const nlohmann::ordered_json result{{"schema", "keyferry.vse.v1"},
                                        {"rows", options.count},
                                        {"inventory", options.inventory.string()}};
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print("rows         {}\ninventory    {}\n", options.count, options.inventory.string());
  }
  return 0;
}

int make_one_pkcs11(const Options& options) {
  if (!die_with_parent()) return exit_status(Code::Channel);
  check_texts(options);
  SystemRandom random;
  make_chip_for_parent(kParent,
                       options.folder,
                       options.module,
                       {options.label, {}, options.master, options.part, options.key_name, {}},
                       random);
  return 0;
}

}  // namespace keyferry::vse
