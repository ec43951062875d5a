// Many chips: one child process per store, a few at a time, the transport keys handed over through
// sockets.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tests/vse/chip_store.h"
#include "tests/vse/secure_room.h"

namespace keyferry::vse {

struct MakeOrder {
  std::filesystem::path folder;   // absolute
  std::filesystem::path module;   // the chips' PKCS#11 library
  std::filesystem::path program;  // keyferry-vse, for the children
  std::string part;
  std::string key_name = "dac";
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  unsigned parallel = 2;
};

struct MadeChip {
  std::uint32_t number = 0;
  ChipStore store;
  ChipFacts facts;
};

struct MakeResult {
  std::vector<MadeChip> chips;  // by number
  std::uint32_t made = 0;
  std::uint32_t kept = 0;
};

/// Idempotent: a finished store is kept, one that was cut off is made anew. progress: chips that
/// are ready, at each one. Error{Refused}: a finished store has another part, master or transport
/// key than this order would give it. Error{Hsm}: a child failed; it said why on stderr.
[[nodiscard]] MakeResult make_chips(const MakeOrder& order,
                                    KeyRoom& room,
                                    const std::function<void(std::uint32_t)>& progress);

/// The child: makes the store in `path` with the parent on the socket `parent` (serial out,
/// transport key in).
void make_chip_for_parent(int parent,
                          const std::filesystem::path& path,
                          const std::filesystem::path& module,
                          ChipFacts facts,
                          RandomSource& random);

/// The arguments of the child (all public), in the order that main() reads them.
[[nodiscard]] std::vector<std::string> child_arguments(const MakeOrder& order,
                                                       const ChipStore& store,
                                                       const ChipFacts& facts);

}  // namespace keyferry::vse
