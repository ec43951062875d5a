// `keyferry-bench seal` and `open`: the sealed container, as a station and an import use it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace keyferry::bench {

inline constexpr const char* kSealHelp =
    "What is measured, in alternation, at least five times, on one file:\n"
    "  figure  MB/s (10^6 octets of plaintext) of the product's way, as a station unloads: the plain "
    "file (in the\n"
    "          page cache) is read, sealed, written, signed with a key in software, renamed and "
    "synced: durable at the end.\n"
    "  raw     libcrypto's AES-256-GCM over 64 KiB chunks and SHA-256 of what comes out, octets in "
    "memory, on as many\n"
    "          threads as the product uses. No file.\n"
    "  age     `age -r RECIPIENT -o OUT PLAIN` on the same file, where age is installed; its output "
    "is not synced.\n"
    "example: keyferry-bench seal --json --count 131072 --threads 2";

inline constexpr const char* kOpenHelp =
    "What is measured, in alternation, at least five times, on one file:\n"
    "  figure  MB/s (10^6 octets of plaintext) of the product's way, as a station loads and an "
    "appliance imports: outline\n"
    "          of the container on its own disk (in the page cache, as after copying it in), "
    "signature, key agreement\n"
    "          with a key in software, then the body chunk by chunk to a consumer that drops it.\n"
    "  raw     libcrypto's SHA-256 and AES-256-GCM over 64 KiB chunks, octets in memory, on as many "
    "threads as the\n"
    "          product uses. No file.\n"
    "  age     `age -d -i IDENTITY -o /dev/null FILE` of the same plaintext, where age is "
    "installed.\n"
    "example: keyferry-bench open --json --count 131072 --threads 2";

struct ContainerOptions {
  std::uint32_t count = 131'072;        // records
  std::uint32_t record_bytes = 2'048;   // octets of plaintext in each
  std::uint32_t rounds = 5;
  unsigned threads = 1;
  std::filesystem::path folder;
  bool json = false;
};

/// The exit status.
int run_seal(const ContainerOptions& options);
int run_open(const ContainerOptions& options);

}  // namespace keyferry::bench
