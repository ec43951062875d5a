// `keyferry-bench ingest`: receipts that come home, verified and taken into the ledger.
#pragma once

#include <cstdint>
#include <filesystem>

namespace keyferry::bench {

inline constexpr const char* kIngestHelp =
    "What is measured, in alternation, at least five times, on one and the same disk:\n"
    "  figure  receipts/s of the appliance's own code over a container of --count receipts and a "
    "ledger whose batch is\n"
    "          out: container outlined and opened, its signature, the station's log, every SE's "
    "signature against the\n"
    "          ledger's public key, entries put aside and carried out, each transaction durable. "
    "Not in it: copying from\n"
    "          the token, and the gate, which signs one checkpoint for 1,536 receipts; keys are in "
    "software.\n"
    "  raw     P-256 verifications/s of libcrypto on all cores, over the same signatures, parsed "
    "beforehand.\n"
    "example: keyferry-bench ingest --json --count 100000";

struct IngestOptions {
  std::uint32_t count = 20'000;
  std::uint32_t rounds = 5;
  unsigned threads = 1;  // of the raw work and of making the receipts
  std::filesystem::path folder;
  bool json = false;
};

/// The exit status.
int run_ingest(const IngestOptions& options);

}  // namespace keyferry::bench
