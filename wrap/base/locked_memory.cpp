#include "wrap/base/locked_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace keyferry {
namespace {

struct Range {
  std::uintptr_t from = 0;
  std::uintptr_t to = 0;  // behind the last octet
};

Range pages_of(ByteView octets) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = reinterpret_cast<std::uintptr_t>(octets.data());
  return {first / page * page, (first + octets.size() + page - 1) / page * page};
}

bool has_flag(const std::string& line, const std::string& flag) {
  return (line + " ").find(" " + flag + " ") != std::string::npos;
}

}  // namespace

// proc(5): each mapping opens with "FROM-TO perms ...", its flags stand in "VmFlags:" of two letters each.
bool memory_is_locked(ByteView octets) {
  if (octets.empty()) return false;
  const Range wanted = pages_of(octets);
  std::uintptr_t next = wanted.from;  // mappings come in rising order
  std::ifstream maps{"/proc/self/smaps"};
  Range mapping;
  std::string line;
  while (std::getline(maps, line)) {
    unsigned long from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      mapping = {from, to};
    } else if (line.starts_with("VmFlags:") && mapping.from <= next && next < mapping.to) {
      if (!has_flag(line, "lo")) return false;
      next = mapping.to;
      if (next >= wanted.to) return true;
    }
  }
  return false;
}

bool lock_memory(ByteView octets) {
  if (octets.empty()) return false;
  if (memory_is_locked(octets)) return true;
  const Range pages = pages_of(octets);
  void* const start = reinterpret_cast<void*>(pages.from);  // NOLINT(performance-no-int-to-ptr): whole pages
  if (mlock(start, pages.to - pages.from) != 0) return false;
  madvise(start, pages.to - pages.from, MADV_DONTDUMP);
  return memory_is_locked(octets);
}

bool lock_all_memory() {
  return mlockall(MCL_CURRENT | MCL_FUTURE) == 0;
}

bool swap_is_on(const std::filesystem::path& swaps) {
  std::ifstream file{swaps};
  std::string line;
  std::getline(file, line);  // the heading
  return static_cast<bool>(std::getline(file, line));
}

}  // namespace keyferry
