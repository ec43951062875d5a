// A fuzz target without libFuzzer: each file of the corpus folder as it is, cut short at many
// places, and with single bits flipped. Finds no new paths, but holds the known ones in every test
// run, under the sanitizers too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/durable_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::uint64_t kMaxSeedBytes = 1U << 20;
constexpr std::size_t kPlaces = 400;  // of each kind and seed, spread evenly

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
    for (const auto& seed : seeds) run_variants(keyferry::read_file(seed, kMaxSeedBytes));
    std::printf("%zu seeds\n", seeds.size());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
