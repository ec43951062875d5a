// A PAA, a PAI and DACs in software, made by the product's builders; and certificates cut into their parts, to break
// one at a time.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "tests/wrap/x509/fixture.h"
#include "wrap/x509/der.h"

namespace keyferry::x509::test {

inline CertificateFacts facts_of(const Bytes& certificate) {
  return std::get<CertificateFacts>(parse_certificate(certificate));
}

inline MatterIds matter(std::optional<std::uint16_t> vendor, std::optional<std::uint16_t> product = std::nullopt) {
  return MatterIds{vendor, product, MatterForm::Attributes};
}

struct MatterPki {
  crypto::SoftKey paa_key = crypto::SoftKey::generate();
  crypto::SoftKey pai_key = crypto::SoftKey::generate();
  crypto::SoftKey dac_key = crypto::SoftKey::generate();
  CaSpec paa_spec{"CN=ACME PAA", at("2026-01-01T00:00:00Z"), at("9999-12-31T23:59:59Z"), std::uint8_t{1},
                  CaKind::MatterPaa, matter(0xfff1)};
  CaSpec pai_spec{"CN=ACME PAI", at("2026-02-01T00:00:00Z"), at("9999-12-31T23:59:59Z"), std::uint8_t{0},
                  CaKind::MatterPai, matter(0xfff1, 0x8000)};
  Bytes paa = make_paa();
  Bytes pai = make_pai();
  DeviceTemplate dac_template = make_template();
  Bytes dac = make_dac();

  Bytes make_paa() {
    SystemRandom random;
    return sign_tbs(ca_to_be_signed(paa_spec, make_serial(random), paa_key.public_key()), paa_key);
  }

  Bytes make_pai() {
    SystemRandom random;
    return sign_tbs(ca_to_be_signed(pai_spec, make_serial(random), pai_key.public_key(), facts_of(paa)), paa_key);
  }

  DeviceTemplate make_template() const {
    const CertificateFacts issuer = facts_of(pai);
    return DeviceTemplate{.name = "matter-dac",
                          .subject = "CN=ACME {device_serial}",
                          .not_before = at("2026-03-01T00:00:00Z"),
                          .not_after = at("9999-12-31T23:59:59Z"),
                          .issuer_name = issuer.subject_name,
                          .issuer_key_identifier = issuer.subject_key_identifier,
                          .matter = matter(0xfff1, 0x8000)};
  }

  Bytes make_dac() {
    SystemRandom random;
    return sign_tbs(
        CertificateBuilder{dac_template}.to_be_signed(make_serial(random), fields(), dac_key.public_key()), pai_key);
  }

  std::vector<Bytes> chain() const { return {dac, pai, paa}; }
};

/// A certificate in parts, each whole DER; build() puts them together again and signs.
struct Parts {
  Bytes version;
  Bytes serial;
  Bytes algorithm;
  Bytes issuer;
  Bytes validity;
  Bytes subject;
  Bytes spki;
  Bytes unique_id;
  std::vector<Bytes> extensions;  // one Extension each
  bool has_extensions = true;
  Bytes outer_algorithm;  // as algorithm when empty
  Bytes signature_bits;   // the real signature when empty

  static Parts of(const Bytes& certificate) {
    const CertificateFacts facts = facts_of(certificate);
    der::Reader fields{der::only_element(facts.tbs, der::kSequence)->content};
    Parts parts;
    for (Bytes* part : {&parts.version, &parts.serial, &parts.algorithm, &parts.issuer, &parts.validity, &parts.subject,
                        &parts.spki}) {
      *part = to_bytes(fields.next()->whole);
    }
    der::Reader list{der::only_element(fields.next()->content, der::kSequence)->content};
    while (const auto extension = list.next()) parts.extensions.push_back(to_bytes(extension->whole));
    return parts;
  }

  Bytes build(crypto::Signer& signer) const {
    Bytes list;
    for (const Bytes& extension : extensions) append(list, extension);
    const Bytes wrapped = der::tlv(der::context_constructed(3), der::sequence({list}));
    const Bytes tbs = der::sequence({version, serial, algorithm, issuer, validity, subject, spki, unique_id,
                                     has_extensions ? wrapped : Bytes{}});
    const Bytes real = crypto::raw_to_der_signature(signer.sign_digest(crypto::sha256(tbs)));
    const Bytes bits = signature_bits.empty() ? der::bit_string(real) : der::tlv(der::kBitString, signature_bits);
    return der::sequence({tbs, outer_algorithm.empty() ? algorithm : outer_algorithm, bits});
  }

  /// The Extension with this id-ce number; `value` is what its OCTET STRING holds.
  void set(std::uint8_t number, bool critical, const Bytes& value) {
    const Bytes oid{0x06, 0x03, 0x55, 0x1d, number};
    const Bytes made =
        der::sequence({oid, critical ? der::boolean(true) : Bytes{}, der::octet_string(value)});
    for (Bytes& extension : extensions) {
      if (extension[6] != number) continue;
      extension = made;
      return;
    }
    extensions.push_back(made);
  }

  void remove(std::uint8_t number) {
    std::erase_if(extensions, [number](const Bytes& extension) { return extension[6] == number; });
  }
};

/// RDN of one attribute, any OID and string type.
inline Bytes rdn(std::string_view oid, std::uint8_t tag, std::string_view value) {
  return der::constructed(der::kSet, {der::sequence({der::oid(oid), der::tlv(tag, as_bytes(value))})});
}

inline constexpr std::string_view kCn = "2.5.4.3";
inline constexpr std::string_view kVid = "1.3.6.1.4.1.37244.2.1";
inline constexpr std::string_view kPid = "1.3.6.1.4.1.37244.2.2";

}  // namespace keyferry::x509::test
