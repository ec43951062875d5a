#include "tests/support/memory_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <vector>

namespace keyferry::test_support {
namespace {

namespace fs = std::filesystem;

std::string file_text(const fs::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}};
}

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
};

/// proc(5): the second field of stat is the name in brackets and may hold anything; the parent is
/// the second after it.
std::vector<Process> all_processes() {
  std::vector<Process> found;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator{"/proc", gone}) {
    const std::string name = entry.path().filename().string();
    if (!std::ranges::all_of(name, [](unsigned char c) { return std::isdigit(c) != 0; })) continue;
    const std::string stat = file_text(entry.path() / "stat");
    const std::size_t after_name = stat.rfind(')');
    if (after_name == std::string::npos) continue;  // ended meanwhile
    std::istringstream fields{stat.substr(after_name + 1)};
    char state = 0;
    Process process{static_cast<pid_t>(std::stol(name)), 0};
    if (fields >> state >> process.parent) found.push_back(process);
  }
  return found;
}

std::set<pid_t> tree_of(pid_t root) {
  const std::vector<Process> all = all_processes();
  std::set<pid_t> tree{root};
  for (std::size_t before = 0; before != tree.size();) {
    before = tree.size();
    for (const Process& process : all) {
      if (tree.contains(process.parent)) tree.insert(process.pid);
    }
  }
  return tree;
}

/// File name of argv[0]; readable also for processes that are not dumpable.
std::string program_of(pid_t pid) {
  const std::string command_line = file_text(fmt::format("/proc/{}/cmdline", pid));
  return fs::path{command_line.substr(0, command_line.find('\0'))}.filename().string();
}

std::uint64_t peak_bytes_of(pid_t pid) {
  std::ifstream in{fmt::format("/proc/{}/status", pid)};
  for (std::string line; std::getline(in, line);) {
    std::istringstream fields{line};
    std::string key;
    std::uint64_t kibibytes = 0;
    if (fields >> key && key == "VmHWM:" && fields >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

void look(pid_t root, MemoryWatch& watch) {
  for (const pid_t pid : tree_of(root)) {
    const std::uint64_t peak = peak_bytes_of(pid);
    const std::string program = program_of(pid);
    if (peak == 0 || program.empty()) continue;
    std::uint64_t& highest = watch.peak_bytes[program];
    highest = std::max(highest, peak);
  }
}

}  // namespace

std::string MemoryWatch::text() const {
  std::string lines;
  for (const auto& [program, peak] : peak_bytes) {
    lines +=
        fmt::format("{}: {:.1f} MiB\n", program, static_cast<double>(peak) / (1024.0 * 1024.0));
  }
  return lines;
}

MemoryWatch watch_memory(const ChildSpec& command, std::chrono::milliseconds distance) {
  MemoryWatch watch;
  Child child{command};
  std::optional<int> status;
  while (!(status = child.wait_for(distance))) look(child.pid(), watch);
  watch.status = *status;
  return watch;
}

}  // namespace keyferry::test_support
