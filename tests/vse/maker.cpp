#include "tests/vse/maker.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include "wrap/base/frame.h"
#include "wrap/base/process.h"

namespace keyferry::vse {
namespace {

constexpr int kParent = 3;
constexpr std::size_t kTransportKeyBytes = 32;
constexpr std::chrono::seconds kChildDeadline{60};

ChipFacts facts_of(const MakeOrder& order, const KeyRoom& room, std::uint32_t number) {
  return {fmt::format("kf-se-{:05}", number), {}, room.master(), order.part, order.key_name, {}};
}

/// A finished store must be what this order would have made: the master's name may stand for
/// another key by now.
void check_kept(const MadeChip& chip, const MakeOrder& order, KeyRoom& room) {
  const ChipFacts wanted = facts_of(order, room, chip.number);
  const ChipFacts& has = chip.facts;
  const bool same =
      has.label == wanted.label && has.master == wanted.master && has.part == wanted.part &&
      has.key_name == wanted.key_name &&
      has.check_value == check_value(room.transport_key(order.part, order.key_name, has.serial));
  if (same) return;
  throw Error{Code::Refused,
              chip.store.path().string() + " was made for another part, master or appliance",
              "give the options of the first run, or another --dir"};
}

/// One child at work.
struct Work {
  MadeChip chip;
  Child child;
  Fd socket;
};

Work start(const MakeOrder& order, const KeyRoom& room, std::uint32_t number) {
  MadeChip chip{number, ChipStore{order.folder, number}, facts_of(order, room, number)};
  auto [ours, theirs] = socket_pair();
  ChildSpec spec;
  spec.program = order.program;
  spec.arguments = child_arguments(order, chip.store, chip.facts);
  spec.descriptors = {{theirs.get(), kParent}};
  spec.environment = {{"SOFTHSM2_CONF", chip.store.config().string()}};
  return {std::move(chip), Child{spec}, std::move(ours)};
}

[[noreturn]] void failed(const Work& work) {
  throw Error{Code::Hsm,
              "the process that makes " + work.chip.store.path().string() + " failed",
              "what it said is above; run the same command again when that is mended"};
}

MadeChip finish(Work work, const MakeOrder& order, KeyRoom& room) {
  const auto serial = read_frame(work.socket.get(), kChildDeadline);
  if (!serial) failed(work);
  {
    const SecretBytes key = room.transport_key(order.part, order.key_name, *serial);
    write_all(work.socket, key.expose(), "the socket of a child");
  }
  const auto status = work.child.wait_for(kChildDeadline);
  if (!status || *status != 0) failed(work);
  const auto facts = work.chip.store.facts();
  if (!facts || facts->serial != *serial) failed(work);
  work.chip.facts = *facts;
  return std::move(work.chip);
}

SecretBytes read_transport_key(int fd) {
  SecretBytes key{kTransportKeyBytes};
  std::size_t size = 0;
  while (size < key.size()) {
    const ssize_t got = read(fd, key.expose_writable().data() + size, key.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0)
      throw Error{Code::Channel, "the secure room went away before it gave the transport key"};
    size += static_cast<std::size_t>(got);
  }
  return key;
}

}  // namespace

std::vector<std::string> child_arguments(const MakeOrder& order,
                                         const ChipStore& store,
                                         const ChipFacts& facts) {
  return {"pkcs11",
          "make-one",
          "--dir",
          store.path().string(),
          "--module",
          order.module.string(),
          "--label",
          facts.label,
          "--master",
          facts.master,
          "--part",
          facts.part,
          "--key-name",
          facts.key_name};
}

MakeResult make_chips(const MakeOrder& order,
                      KeyRoom& room,
                      const std::function<void(std::uint32_t)>& progress) {
  MakeResult result;
  std::deque<Work> working;
  const auto finish_oldest = [&] {
    Work work = std::move(working.front());
    working.pop_front();
    result.chips.push_back(finish(std::move(work), order, room));
    ++result.made;
    progress(result.made + result.kept);
  };
  for (std::uint32_t number = order.first; number < order.first + order.count; ++number) {
    MadeChip chip{number, ChipStore{order.folder, number}, {}};
    if (auto facts = chip.store.facts()) {
      chip.facts = std::move(*facts);
      check_kept(chip, order, room);
      while (!working.empty()) finish_oldest();  // chips stand by number
      result.chips.push_back(std::move(chip));
      ++result.kept;
      continue;
    }
    if (working.size() >= order.parallel) finish_oldest();
    working.push_back(start(order, room, number));
  }
  while (!working.empty()) finish_oldest();
  return result;
}

void make_chip_for_parent(int parent,
                          const std::filesystem::path& path,
                          const std::filesystem::path& module,
                          ChipFacts facts,
                          RandomSource& random) {
  make_chip(ChipStore{path}, module, std::move(facts), random, [parent](const Bytes& serial) {
    write_frame(parent, serial);
    return read_transport_key(parent);
  });
}

}  // namespace keyferry::vse
