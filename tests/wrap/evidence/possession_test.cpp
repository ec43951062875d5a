#include "wrap/evidence/possession.h"

#include <gtest/gtest.h>

#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::evidence {
namespace {

const ByteView kCore = as_bytes("core of a receipt");

std::string reason(const std::optional<Refusal>& refusal) {
  return refusal ? refusal->reason : "";
}

TEST(PossessionEvidence, IsASignatureOverTheCoreAsAReceipt) {
  auto chip = crypto::SoftKey::generate();
  const Bytes signature = crypto::sign(chip, crypto::SignatureKind::Receipt, kCore);
  EXPECT_EQ(reason(verify_evidence(
                "pkcs11", EvidenceKind::Possession, chip.public_key(), kCore, signature)),
            "");
}

TEST(PossessionEvidence, IsRefusedForAnotherKeyCoreOrKind) {
  auto chip = crypto::SoftKey::generate();
  const auto other = crypto::SoftKey::generate();
  const Bytes signature = crypto::sign(chip, crypto::SignatureKind::Receipt, kCore);
  const Bytes approval = crypto::sign(chip, crypto::SignatureKind::Approval, kCore);
  const Bytes bare = chip.sign_digest(crypto::sha256(kCore));
  const auto verify = [](const crypto::PublicKey& key, ByteView core, ByteView evidence) {
    return reason(verify_evidence("pkcs11", EvidenceKind::Possession, key, core, evidence));
  };
  EXPECT_EQ(verify(other.public_key(), kCore, signature), "signature-invalid");
  EXPECT_EQ(verify(chip.public_key(), as_bytes("core of a receipT"), signature),
            "signature-invalid");
  EXPECT_EQ(verify(chip.public_key(), kCore, approval), "signature-invalid");
  EXPECT_EQ(verify(chip.public_key(), kCore, bare), "signature-invalid");
}

TEST(PossessionEvidence, HasSignaturesOf64Octets) {
  auto chip = crypto::SoftKey::generate();
  const Bytes signature = crypto::sign(chip, crypto::SignatureKind::Receipt, kCore);
  for (const std::size_t size : {0UL, 63UL}) {
    EXPECT_EQ(reason(verify_evidence("pkcs11",
                                     EvidenceKind::Possession,
                                     chip.public_key(),
                                     kCore,
                                     ByteView{signature}.first(size))),
              "signature-length");
  }
  EXPECT_EQ(reason(verify_evidence("pkcs11",
                                   EvidenceKind::Possession,
                                   chip.public_key(),
                                   kCore,
                                   crypto::raw_to_der_signature(signature))),
            "signature-length");
}

TEST(AttestedEvidence, IsRefusedForPkcs11) {
  auto chip = crypto::SoftKey::generate();
  const Bytes signature = crypto::sign(chip, crypto::SignatureKind::Receipt, kCore);
  EXPECT_EQ(reason(verify_evidence(
                "pkcs11", EvidenceKind::Attested, chip.public_key(), kCore, signature)),
            "evidence-unsupported");
}

TEST(Evidence, IsRefusedForFamiliesOutsideTheTable) {
  auto chip = crypto::SoftKey::generate();
  const Bytes signature = crypto::sign(chip, crypto::SignatureKind::Receipt, kCore);
  for (const char* family : {"", "PKCS11", "optiga-trust-m", "tpm2"}) {
    EXPECT_EQ(reason(verify_evidence(
                  family, EvidenceKind::Possession, chip.public_key(), kCore, signature)),
              "family-unsupported")
        << family;
    EXPECT_FALSE(is_supported(family, EvidenceKind::Possession)) << family;
  }
  EXPECT_TRUE(is_supported("pkcs11", EvidenceKind::Possession));
  EXPECT_TRUE(is_supported("atecc608", EvidenceKind::Possession));
  EXPECT_TRUE(is_supported("atecc608", EvidenceKind::Attested));
}

TEST(EvidenceKind, HasNames) {
  for (const EvidenceKind kind : {EvidenceKind::Possession, EvidenceKind::Attested}) {
    EXPECT_EQ(evidence_kind_from_name(evidence_kind_name(kind)), kind);
  }
  EXPECT_FALSE(evidence_kind_from_name("").has_value());
  EXPECT_FALSE(evidence_kind_from_name("Possession").has_value());
}

}  // namespace
}  // namespace keyferry::evidence
