// A fuzz target without libFuzzer: each file of the corpus folder as it is, cut short at many
// places, with single bits flipped, and with random damage (always the same: the generator's seed is
// fixed). Finds few new paths, but holds the known ones in every test run, under the sanitizers too.
// KEYFERRY_LONG=1 (tests/run --long): the full count of random damage.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <random>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::uint64_t kMaxSeedBytes = 1U << 20;
constexpr std::size_t kPlaces = 400;  // of each kind and seed, spread evenly
constexpr int kRandomInputs = 500;    // of each seed
constexpr int kRandomInputsLong = 200'000;

void run(const keyferry::Bytes& input) {
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

void run_variants(const keyferry::Bytes& seed) {
  run(seed);
  const std::size_t step = std::max<std::size_t>(1, seed.size() / kPlaces);
  for (std::size_t at = 0; at < seed.size(); at += step) {
    run({seed.begin(), seed.begin() + static_cast<std::ptrdiff_t>(at)});
    for (const int bit : {0x01, 0x80, 0xff}) {
      keyferry::Bytes changed = seed;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ bit);
      run(changed);
    }
  }
}

/// A few octets replaced, removed, doubled or inserted at random places.
keyferry::Bytes damaged(keyferry::Bytes input, std::mt19937_64& random) {
  const auto below = [&random](std::size_t bound) { return static_cast<std::size_t>(random() % bound); };
  for (std::size_t n = 1 + below(8); n > 0 && !input.empty(); --n) {
    const auto at = input.begin() + static_cast<std::ptrdiff_t>(below(input.size()));
    switch (below(4)) {
      case 0: *at = static_cast<std::uint8_t>(random()); break;
      case 1: input.erase(at); break;
      case 2: input.insert(at, *at); break;
      default: input.insert(at, static_cast<std::uint8_t>(random())); break;
    }
  }
  return input;
}

void run_random(const keyferry::Bytes& seed) {
  const char* full = std::getenv("KEYFERRY_LONG");
  std::mt19937_64 random{seed.size()};
  for (int i = full != nullptr && *full == '1' ? kRandomInputsLong : kRandomInputs; i > 0; --i) {
    run(damaged(seed, random));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: fuzz_NAME CORPUS_FOLDER\n", stderr);
    return 2;
  }
  try {
    std::vector<std::filesystem::path> seeds;
    for (const auto& entry : std::filesystem::directory_iterator{argv[1]})
      seeds.push_back(entry.path());
    std::ranges::sort(seeds);
    if (seeds.empty()) {
      std::fputs("no seeds\n", stderr);
      return 1;
    }
    for (const auto& file : seeds) {
      const keyferry::Bytes seed = keyferry::read_file(file, kMaxSeedBytes);
      run_variants(seed);
      run_random(seed);
    }
    std::printf("%zu seeds\n", seeds.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
