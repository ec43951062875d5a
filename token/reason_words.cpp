#include "token/reason_words.h"

#include <algorithm>
#include <array>

namespace keyferry::token {
namespace {

constexpr std::array kReasons{
    ReasonWords{"already-injected", "This SE has its key and its receipt already."},
    ReasonWords{"attestation-invalid",
                "What the chip says of itself is not signed by its attestation key."},
    ReasonWords{"attestation-key-unknown",
                "The attestation key of this chip is not in the inventory."},
    ReasonWords{"attestation-malformed",
                "What the chip says of itself is not in the form of its family."},
    ReasonWords{"attestation-missing", "The chip said nothing of itself."},
    ReasonWords{"attestation-slot", "What the chip says of itself is about another slot."},
    ReasonWords{"batch-revoked",
                "Officers closed this batch: none of its records is used any more."},
    ReasonWords{"blob-refused",
                "The SE refused the wrapped key: it was made for another chip, or the chip for "
                "another key."},
    ReasonWords{"certificate-malformed", "A certificate on the SE cannot be read."},
    ReasonWords{"certificate-profile", "A certificate on the SE is not made as its template says."},
    ReasonWords{"certificate-refused", "The SE did not take its certificates."},
    ReasonWords{"certificate-size",
                "A certificate on the SE is larger than any certificate may be."},
    ReasonWords{"chain-ambiguous", "The SE holds several certificates where one belongs."},
    ReasonWords{"chain-anchor",
                "The certificates on the SE lead to another CA than the plan names."},
    ReasonWords{"chain-differs", "The SE gives back other certificates than were written."},
    ReasonWords{"chain-empty", "The SE holds no certificates."},
    ReasonWords{"chain-expired", "A certificate on the SE is past its end."},
    ReasonWords{"chain-invalid", "The certificates read back from the SE are not valid."},
    ReasonWords{"chain-key-identifier", "The certificates on the SE do not belong together."},
    ReasonWords{"chain-leaf-usage", "The device's certificate is not for what it should be."},
    ReasonWords{"chain-name", "The certificates on the SE do not follow from each other."},
    ReasonWords{"chain-not-a-ca", "A certificate in the middle of the chain is not a CA's."},
    ReasonWords{"chain-not-yet-valid",
                "A certificate on the SE begins later than this station's clock."},
    ReasonWords{"chain-path-length", "The chain is longer than a CA in it allows."},
    ReasonWords{"chain-signature", "A certificate on the SE is not signed by the one above it."},
    ReasonWords{"chain-too-long", "The SE holds more certificates than a chain may have."},
    ReasonWords{"chain-unreadable", "The certificates could not be read back from the SE."},
    ReasonWords{"challenge-failed",
                "The SE did not answer the challenge with the key of its certificate."},
    ReasonWords{"chip-certificates", "The certificates do not fit what this chip stores."},
    ReasonWords{"chip-part", "The chip is another part than the record was made for."},
    ReasonWords{"chip-refused", "The SE refused a step."},
    ReasonWords{"chip-refused-key", "The chip refused the key that was written."},
    ReasonWords{"configuration-differs", "The chip is configured otherwise than the plan says."},
    ReasonWords{"cut-off", "Work on this SE was cut off, and nobody knows what it holds."},
    ReasonWords{"device-serial-mismatch",
                "The record is for another device than the one in the fixture."},
    ReasonWords{"evidence-unsupported",
                "This family of SE cannot give the evidence that is asked for."},
    ReasonWords{"family-unsupported", "This station does not know this family of SE."},
    ReasonWords{"firmware-missing", "The batch asks for a firmware image and the lane names none."},
    ReasonWords{"firmware-not-verified",
                "The firmware image does not verify with the secure-boot key in the SE."},
    ReasonWords{"firmware-other", "The lane's firmware image is not the approved one."},
    ReasonWords{"firmware-signature",
                "The firmware image's signature is not of the form that the chip checks."},
    ReasonWords{"firmware-unsupported", "This SE cannot verify a firmware image."},
    ReasonWords{"key-missing", "The key is not on the SE any more."},
    ReasonWords{"key-not-here",
                "This SE cannot sign with the key of its receipt: it may be another chip."},
    ReasonWords{"key-present", "The SE holds a key already."},
    ReasonWords{"key-unsound",
                "The key on the SE is not as it must be: it could be copied, or replaced."},
    ReasonWords{"lane-failed", "The lane's program failed at this device."},
    ReasonWords{"lane-settings", "The lane's settings do not fit this SE."},
    ReasonWords{"not-attested", "The chip's own statement about its key does not verify."},
    ReasonWords{"not-locked", "The chip is not locked as it must be."},
    ReasonWords{"not-proved",
                "Nobody could prove before the batch was returned what this SE holds."},
    ReasonWords{"payload-serial", "The payload is for a chip with another serial."},
    ReasonWords{"preflight-refused", "The chip refused a trial of its transport key."},
    ReasonWords{"receipt-not-signed", "The SE did not sign its receipt with the injected key."},
    ReasonWords{"record-chain", "The record's own certificates are not valid here."},
    ReasonWords{"record-returned", "This SE's record was returned unused."},
    ReasonWords{"se-in-another-lane", "This SE is in another lane already."},
    ReasonWords{"se-lost", "The SE did not answer any more."},
    ReasonWords{"se-missing", "There is no SE in the fixture."},
    ReasonWords{"se-not-empty", "The SE is not empty: it holds a key that is not this record's."},
    ReasonWords{"se-not-prepared", "The SE was not prepared for injection."},
    ReasonWords{"se-pin-refused", "The SE refused its PIN."},
    ReasonWords{"se-unknown", "No record of this station is for this SE."},
    ReasonWords{"secure-boot-key-other", "The secure-boot key in the SE is not the plan's."},
    ReasonWords{
        "secure-boot-slot-open",
        "The slot of the secure-boot key is open: anybody could have put another key there."},
    ReasonWords{"serial-not-registered",
                "The certificate on the SE is not registered in this batch."},
    ReasonWords{"sign-refused", "The chip did not sign with its key."},
    ReasonWords{"signature-invalid", "The SE's signature does not verify."},
    ReasonWords{"signature-length", "The SE's signature has a wrong length."},
    ReasonWords{"signature-refused", "The SE did not sign with its key."},
    ReasonWords{"station-retired", "Officers retired this station."},
    ReasonWords{"target-reached", "The batch has its devices: this one is a spare."},
    ReasonWords{"transport-key-wrong",
                "The chip's transport key is not the one that the record was made under."},
    ReasonWords{"wrong-se", "Another SE is in the fixture than the one that was begun."},
};

static_assert(std::ranges::is_sorted(kReasons, {}, &ReasonWords::reason));

}  // namespace

std::span<const ReasonWords> reason_table() {
  return kReasons;
}

std::string reason_words(std::string_view reason) {
  const auto found = std::ranges::lower_bound(kReasons, reason, {}, &ReasonWords::reason);
  if (found != kReasons.end() && found->reason == reason) return std::string{found->words};
  return "The station gave a reason that this version of the program does not know.";
}

}  // namespace keyferry::token
