// `keyferry-bench log`: the Merkle log, appended and proved leaf by leaf.
#pragma once

#include <cstdint>
#include <filesystem>

namespace keyferry::bench {

inline constexpr const char* kLogHelp =
    "What is measured, in alternation, at least five times, on one thread:\n"
    "  figure  leaves/s: each leaf is hashed and appended to a log whose subtrees are kept in a "
    "file; then the inclusion\n"
    "          proof of each leaf is made from that file. One in a thousand proofs is verified "
    "afterwards.\n"
    "  raw     leaves/s of bare SHA-256 over the same octets: each leaf with its prefix, each inner "
    "node's 65, in one\n"
    "          loop over memory.\n"
    "example: keyferry-bench log --json --count 1000000";

struct LogOptions {
  std::uint32_t count = 1'000'000;
  std::uint32_t leaf_bytes = 160;  // as the leaf of one issued key
  std::uint32_t rounds = 5;
  std::filesystem::path folder;
  bool json = false;
};

/// The exit status.
int run_log(const LogOptions& options);

}  // namespace keyferry::bench
