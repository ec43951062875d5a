// A ledger that waits for its receipts, and the container that brings them: an appliance whose
// batch is out, one station, and software keys for everybody, those in the SEs too. Made once;
// each round works on a copy of the ledger.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "appliance/plan/plan.h"
#include "tests/bench/raw_crypto.h"
#include "token/enrolment.h"
#include "wrap/base/ids.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hpke.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::bench {

class IngestLine {
 public:
  /// Makes keys, records and receipts: `count` of them, on `threads` threads. `folder`: on the disk
  /// that is measured. Memory: about half a kilobyte a receipt while they are made.
  IngestLine(std::filesystem::path folder, std::uint32_t count, unsigned threads);

  /// Seconds for one import of all receipts into a fresh copy of the ledger: container, station
  /// log, signatures, ledger. Error{Internal} when it did not accept every one.
  [[nodiscard]] double import_seconds();

  /// Some of the same signatures, with their keys and digests.
  [[nodiscard]] const std::vector<RawSignature>& signatures() const { return signatures_; }

 private:
  struct Receipts;

  void fill_ledger(const Receipts& receipts);
  void seal(const Receipts& receipts);

  std::filesystem::path folder_;
  std::uint32_t count_;
  SystemRandom random_;
  crypto::SoftKey station_ = crypto::SoftKey::generate();
  crypto::SoftKey log_ = crypto::SoftKey::generate();
  crypto::SoftKey export_ = crypto::SoftKey::generate();
  crypto::SoftDhKey inbox_{crypto::SoftKey::generate()};
  token::ApplianceCard card_;
  StationId station_id_;
  appliance::Plan plan_;
  BatchId batch_;
  Digest manifest_digest_;
  std::vector<RawSignature> signatures_;
};

}  // namespace keyferry::bench
