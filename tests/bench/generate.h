// `keyferry-bench generate`, and the child that it starts for the raw limit.
#pragma once

#include <cstdint>
#include <filesystem>

namespace keyferry::bench {

inline constexpr const char* kGenerateHelp =
    "What is measured, in alternation, at least five times, on one and the same disk:\n"
    "  figure  keys/s of `keyferry-appliance plan run` from the start of the process to its end: "
    "gate and worker start,\n"
    "          log in and check their keys; a whole approved batch is made, wrapped, certified, "
    "sealed, written durably,\n"
    "          logged and committed to the HSM's state; a real SoftHSM, one key worker unless "
    "--processes says otherwise.\n"
    "          Import and approval of the inventory come before and are not measured. Nothing is "
    "subtracted.\n"
    "  raw     keys/s of a bare loop over the module calls that one key needs: derive, generate, "
    "wrap, read the point,\n"
    "          sign by a CA key, destroy; in a process of its own with a store of the same kind; "
    "its start is not\n"
    "          measured.\n"
    "  scaling figure / the same with one key worker, measured between the rounds' others (--scaling).\n"
    "  ratio   figure / raw. Both are medians over the rounds; `rounds` has each.\n"
    "example: keyferry-bench generate --json --count 12000 --rounds 5";

struct GenerateOptions {
  std::uint32_t count = 100'000;
  std::uint32_t rounds = 5;
  unsigned processes = 1;
  std::filesystem::path folder;
  bool json = false;
  bool scaling = false;  // one worker too, in every round
};

/// The exit status.
int run_generate(const GenerateOptions& options);

/// PIN on descriptor 3, seconds on stdout.
int run_raw_loop(const GenerateOptions& options);

}  // namespace keyferry::bench
