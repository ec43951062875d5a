#include "wrap/evidence/atecc608.h"

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/evidence/possession.h"

namespace keyferry::evidence {
namespace {

const ByteView kCore = as_bytes("core of a receipt");

Bytes octets(const nlohmann::json& value) {
  return *from_hex(value.get<std::string>());
}

Atecc608Slot example_slot() {
  return {.target_slot = 0,
          .attestation_slot = 1,
          .slot_config = {0x81, 0x44},
          .key_config = {0x33, 0x00}};
}

TEST(Atecc608AttestationMessage, IsThePages) {
  std::ifstream file{KEYFERRY_SOURCE_DIR "/tests/vectors/atecc608/vectors.json"};
  const auto vectors = nlohmann::json::parse(file);
  const auto& page = vectors["attestation"];
  Bytes point{0x04};
  append(point, octets(vectors["injection"]["public_key"]));
  const auto message = attestation_message(example_slot(),
                                           *crypto::PublicKey::from_point(point),
                                           *Digest::from_bytes(octets(page["challenge"])),
                                           octets(vectors["injection"]["serial"]));
  EXPECT_EQ(to_hex(message), page["message"]);
  EXPECT_EQ(crypto::sha256(message).hex(), page["message_hash"]);
}

TEST(Atecc608Attestation, ReadsBackAndNothingElse) {
  Atecc608Attestation attestation{.slot = example_slot()};
  attestation.signature.fill(0x5A);
  const Bytes serialised = serialise_attestation(attestation);
  const auto parsed = parse_attestation(serialised);
  ASSERT_TRUE(std::holds_alternative<Atecc608Attestation>(parsed));
  EXPECT_EQ(std::get<Atecc608Attestation>(parsed), attestation);
  for (std::size_t size = 0; size < serialised.size(); ++size) {
    EXPECT_TRUE(
        std::holds_alternative<Refusal>(parse_attestation(ByteView{serialised}.first(size))));
  }
  Bytes more = serialised;
  append(more, Bytes{0x58, 0x01});
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_attestation(more)));
}

/// A chip in software: the injected key, and one that never left it.
class ChipAttestation : public ::testing::Test {
 protected:
  ChipAttestation() { attest(); }

  /// Signs what the chip would sign in the state that these members tell.
  void attest() {
    const Digest challenge = crypto::signing_digest(crypto::SignatureKind::Receipt, core_);
    auto message = attestation_message(slot_, injected_.public_key(), challenge, serial_);
    message[52] = slot_lock_octet_;
    Atecc608Attestation made{.slot = slot_};
    std::ranges::copy(attestation_key_.sign_digest(crypto::sha256(message)),
                      made.signature.begin());
    attestation_ = serialise_attestation(made);
    signature_ = crypto::sign(injected_, crypto::SignatureKind::Receipt, core_);
  }

  [[nodiscard]] Evidence evidence() const {
    return Evidence{.family = "atecc608",
                    .kind = EvidenceKind::Attested,
                    .key = injected_.public_key(),
                    .core = kCore,
                    .signature = signature_,
                    .attestation = attestation_,
                    .attestation_key = attestation_key_.public_key(),
                    .se_serial = known_serial_,
                    .expected = example_slot()};
  }

  [[nodiscard]] std::string reason() const { return reason(evidence()); }

  static std::string reason(const Evidence& evidence) {
    const auto refusal = verify_evidence(evidence);
    return refusal ? refusal->reason : "";
  }

  crypto::SoftKey injected_ = crypto::SoftKey::generate();
  crypto::SoftKey attestation_key_ = crypto::SoftKey::generate();
  Atecc608Slot slot_ = example_slot();
  ByteView core_ = kCore;
  Bytes known_serial_ = *from_hex("0123a5c7e90b2d4fee");
  Bytes serial_ = known_serial_;
  std::uint8_t slot_lock_octet_ = 0x00;
  Bytes attestation_, signature_;
};

TEST_F(ChipAttestation, HoldsForTheChipAndTheSlotThatThePlanNames) {
  EXPECT_EQ(reason(), "");
}

TEST_F(ChipAttestation, HoldsWithoutAPlanForASlotThatKeepsItsKey) {
  Evidence without_plan = evidence();
  without_plan.expected.reset();
  EXPECT_EQ(reason(without_plan), "");
}

TEST_F(ChipAttestation, IsRefusedWithoutAPlanForASlotThatCouldSignForItself) {
  slot_.slot_config[0] |= 0x02;
  attest();
  Evidence without_plan = evidence();
  without_plan.expected.reset();
  EXPECT_EQ(reason(without_plan), "attestation-slot");
}

TEST_F(ChipAttestation, IsRefusedWhenTheSlotIsNotLocked) {
  slot_lock_octet_ = 0x01;
  attest();
  EXPECT_EQ(reason(), "attestation-invalid");
}

TEST_F(ChipAttestation, IsRefusedForAnotherChip) {
  serial_ = *from_hex("0123a5c7e90b2d5fee");
  attest();
  EXPECT_EQ(reason(), "attestation-invalid");
}

TEST_F(ChipAttestation, IsRefusedForAnotherSlotOrConfiguration) {
  slot_.target_slot = 2;
  attest();
  EXPECT_EQ(reason(), "attestation-slot");
  slot_ = example_slot();
  slot_.key_config[1] ^= 0x40;
  attest();
  EXPECT_EQ(reason(), "attestation-slot");
}

TEST_F(ChipAttestation, IsRefusedForAnotherCore) {
  core_ = as_bytes("core of another receipt");
  attest();
  signature_ = crypto::sign(injected_, crypto::SignatureKind::Receipt, kCore);
  EXPECT_EQ(reason(), "attestation-invalid");
}

TEST_F(ChipAttestation, IsRefusedForAnotherInjectedKey) {
  const auto other = crypto::SoftKey::generate();
  Evidence swapped = evidence();
  const Evidence bad{.family = swapped.family,
                     .kind = swapped.kind,
                     .key = other.public_key(),
                     .core = swapped.core,
                     .signature = swapped.signature,
                     .attestation = swapped.attestation,
                     .attestation_key = swapped.attestation_key,
                     .se_serial = swapped.se_serial,
                     .expected = swapped.expected};
  EXPECT_EQ(reason(bad), "signature-invalid");
}

TEST_F(ChipAttestation, IsRefusedByAnotherAttestationKey) {
  Evidence bad = evidence();
  bad.attestation_key = crypto::SoftKey::generate().public_key();
  EXPECT_EQ(reason(bad), "attestation-invalid");
  bad.attestation_key.reset();
  EXPECT_EQ(reason(bad), "attestation-key-unknown");
}

TEST_F(ChipAttestation, IsRefusedWithoutAnAttestation) {
  Evidence bad = evidence();
  bad.attestation = {};
  EXPECT_EQ(reason(bad), "attestation-missing");
  const Bytes garbage(100, 0xFF);
  bad.attestation = garbage;
  EXPECT_EQ(reason(bad), "attestation-malformed");
}

TEST_F(ChipAttestation, NeedsTheInjectedKeysOwnSignatureToo) {
  signature_[10] ^= 1;
  EXPECT_EQ(reason(), "signature-invalid");
}

TEST_F(ChipAttestation, OfKindPossessionLooksAtTheSignatureAlone) {
  Evidence possession = evidence();
  possession.kind = EvidenceKind::Possession;
  possession.attestation = {};
  EXPECT_EQ(reason(possession), "");
}

}  // namespace
}  // namespace keyferry::evidence
