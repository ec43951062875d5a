// A root CA, an issuing CA and leafs in software, made by the product's builders.
#pragma once

#include <string>
#include <variant>

#include "wrap/base/clock.h"
#include "wrap/base/random.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/linted_shape.h"

namespace keyferry::x509::test {

inline UtcMillis at(const char* rfc3339) {
  return *from_rfc3339(rfc3339);
}

inline Bytes sign_tbs(const Bytes& tbs, crypto::Signer& signer) {
  return assemble(tbs, signer.sign_digest(crypto::sha256(tbs)));
}

struct Ca {
  crypto::SoftKey key = crypto::SoftKey::generate();
  CaSpec spec{"CN=Test CA,O=ACME,C=DE", at("2026-01-01T00:00:00Z"), at("2066-01-01T00:00:00Z"), 0};
  Bytes certificate = make();

  Bytes make() {
    SystemRandom random;
    return sign_tbs(ca_to_be_signed(spec, make_serial(random), key.public_key()), key);
  }

  CertificateFacts facts() const {
    return std::get<CertificateFacts>(parse_certificate(certificate));
  }
};

inline DeviceTemplate device_template(const Ca& ca) {
  const CertificateFacts facts = ca.facts();
  return DeviceTemplate{.subject = "CN={device_serial},O=ACME,serialNumber={se_serial}",
                        .not_before = at("2026-06-01T00:00:00Z"),
                        .not_after = at("2056-05-31T23:59:59Z"),
                        .issuer_name = facts.subject_name,
                        .issuer_key_identifier = facts.subject_key_identifier};
}

inline SubjectFields fields() {
  return SubjectFields{"DEV-0001", *SeSerial::from_hex("01ab02cd"), "dac", "PN-7", "LOT.3"};
}

struct Leaf {
  crypto::SoftKey key = crypto::SoftKey::generate();
  Bytes tbs;
  Bytes certificate;
};

inline Leaf make_leaf(Ca& ca,
                      const DeviceTemplate& leaf_template,
                      const SubjectFields& subject = fields()) {
  SystemRandom random;
  Leaf leaf;
  leaf.tbs = CertificateBuilder{leaf_template}.to_be_signed(
      make_serial(random), subject, leaf.key.public_key());
  leaf.certificate = sign_tbs(leaf.tbs, ca.key);
  return leaf;
}

inline Leaf make_leaf(Ca& ca) {
  return make_leaf(ca, device_template(ca));
}

/// What the worker asks of each certificate of a batch.
inline std::optional<Refusal> compare(const Leaf& made, const Leaf& linted) {
  return LintedShape{linted.tbs}.compare(made.tbs, made.key.public_key());
}

/// The reason of a refusal, empty for success: works for optional<Refusal> and variant<T, Refusal>.
inline std::string reason(const std::optional<Refusal>& refusal) {
  return refusal ? refusal->reason : "";
}

template <typename T>
std::string reason(const std::variant<T, Refusal>& result) {
  const auto* refusal = std::get_if<Refusal>(&result);
  return refusal != nullptr ? refusal->reason : "";
}

}  // namespace keyferry::x509::test
