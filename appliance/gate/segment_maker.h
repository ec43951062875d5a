// Makes whole segments and manifests: checks the entries against the plan's root, makes, wraps, certifies, seals and
// hashes. What it seals is noise until sign() gives the trailer, which comes last (design.md section 6).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "appliance/gate/hsm.h"
#include "appliance/gate/record_line.h"
#include "appliance/plan/plan.h"
#include "token/container.h"
#include "token/items.h"
#include "wrap/base/clock.h"
#include "wrap/base/random.h"

namespace keyferry::v1 {
class IssuedRecords;
class MakeManifest;
class MakeSegment;
class SegmentMade;
}  // namespace keyferry::v1

namespace keyferry::appliance {

/// Where the pieces of a segment go while it is made.
struct SegmentSink {
  std::function<void(ByteView)> body;                          // header, then chunks
  std::function<void(v1::IssuedRecords&)> records;             // in order, some at a time; may take their content
  std::function<void(ByteView)> sealed_certificates;           // in pieces
  std::function<void()> between_records;                       // other requests are served here
};

struct SignedTrailer {
  Bytes trailer;
  SecretBytes certificates_key;  // 32
};

class SegmentMaker {
 public:
  /// `hsm` is logged in and probed, and outlives this. threads: of each segment's records; at least 1.
  SegmentMaker(Hsm& hsm, RandomSource& random, unsigned max_pending, unsigned threads, RecoverHsm recover);
  ~SegmentMaker();
  SegmentMaker(const SegmentMaker&) = delete;
  SegmentMaker& operator=(const SegmentMaker&) = delete;

  /// Error{Refused}: the entries are not those of the plan at this index, a family or transport is not supported, a
  /// master is missing, the template refuses an entry. Error{Hsm} from the module. On any error nothing is pending.
  /// Under an outside CA it is first a waiting container, sealed to kf-inbox, with a PKCS#10 for each key in place of its
  /// certificate; then, when the request brings that container and the certificates, the segment for the station. Error
  /// {Refused} too: the container is not the one that kf-state names, a certificate is not among the approved ones or not
  /// for the key in its place.
  void make_segment(const v1::MakeSegment& request, const SegmentSink& sink, v1::SegmentMade& made);

  void make_manifest(const v1::MakeManifest& request, const SegmentSink& sink, v1::SegmentMade& made);

  /// Signs what is pending under this container id, once. Error{NotFound} otherwise.
  [[nodiscard]] SignedTrailer sign(const ContainerId& container);

  /// Forgets it: nobody can open that body any more.
  void drop(const ContainerId& container);

  [[nodiscard]] std::uint64_t keys_made() const { return keys_made_; }

 private:
  struct Pending {
    token::Sealed sealed;
    SecretBytes certificates_key;
  };

  // segment_waiting.cpp
  void make_waiting(const Plan& plan, const v1::MakeSegment& request, const SegmentSink& sink, v1::SegmentMade& made);
  void make_certified(const Plan& plan, const v1::MakeSegment& request, const SegmentSink& sink, v1::SegmentMade& made);
  [[nodiscard]] std::vector<token::WaitingRecord> open_waiting(const Plan& plan, const v1::MakeSegment& request);

  void keep(const ContainerId& container, token::Sealed sealed, SecretBytes certificates_key);
  [[nodiscard]] const crypto::PublicKey& export_key();

  Hsm& hsm_;
  RandomSource& random_;
  unsigned max_pending_;
  unsigned threads_;
  RecoverHsm recover_;
  std::map<ContainerId, Pending> pending_;
  std::optional<crypto::PublicKey> export_key_;
  std::uint64_t keys_made_ = 0;
};

}  // namespace keyferry::appliance
