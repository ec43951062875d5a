#include "tests/wrap/x509/lint_cases.h"

namespace keyferry::x509::test {

const std::vector<Case>& matter_cases() {
  static const std::vector<Case> all{
      {"matter-version", 0, "version 1", [](Chain& c) { c.dac.version.clear(); }, {"x509-version"}},
      {"matter-signature",
       1,
       "ecdsa-with-SHA384",
       [](Chain& c) { c.pai.algorithm = kSha384; },
       {"profile-signature", "chain-signature"}},
      {"matter-key",
       0,
       "the key is EC P-256",
       [](Chain& c) {
         // The point compressed, which PublicKey::from_spki does not take.
         Bytes point = to_bytes(c.pki.dac_key.public_key().point().first(33));
         point[0] = static_cast<std::uint8_t>(2 + (c.pki.dac_key.public_key().point()[64] & 1U));
         c.dac.spki = der::sequence(
             {der::sequence({der::oid("1.2.840.10045.2.1"), der::oid("1.2.840.10045.3.1.7")}),
              der::bit_string(point)});
       },
       {"profile-key"}},
      {"matter-size",
       0,
       " octets",
       [](Chain& c) {
         c.dac.extensions.push_back(der::sequence(
             {der::oid("1.2.3.4"), der::octet_string(der::octet_string(Bytes(200, 7)))}));
       }},
      {"matter-vid-utf8",
       0,
       "string tag 0x13",
       [](Chain& c) {
         c.name(0, {rdn(kVid, 0x13, "FFF1"), utf8(kPid, "8000")});
       }},
      {"matter-vid-digits",
       0,
       "VendorID is \"fff1\"",
       [](Chain& c) {
         c.name(0, {utf8(kVid, "fff1"), utf8(kPid, "8000")});
       }},
      {"matter-vid-digits",
       0,
       "VendorID is \"FFF\"",
       [](Chain& c) {
         c.name(0, {utf8(kVid, "FFF"), utf8(kPid, "8000")});
       }},
      {"matter-pid-utf8",
       0,
       "string tag 0x13",
       [](Chain& c) {
         c.name(0, {utf8(kVid, "FFF1"), rdn(kPid, 0x13, "8000")});
       }},
      {"matter-pid-digits",
       0,
       "ProductID is \"80000\"",
       [](Chain& c) {
         c.name(0, {utf8(kVid, "FFF1"), utf8(kPid, "80000")});
       }},
      {"matter-common-name",
       0,
       "behind Mpid: stands \"80g0\"",
       [](Chain& c) { c.name(0, {utf8(kCn, "ACME Mvid:FFF1 Mpid:80g0")}); }},
      {"matter-common-name",
       0,
       "Mvid: stands 2 times",
       [](Chain& c) { c.name(0, {utf8(kCn, "Mvid:FFF1 Mvid:FFF1 Mpid:8000")}); },
       {"matter-dac-vendor-id"}},
      {"matter-mixed",
       0,
       "a reader takes the attributes alone",
       [](Chain& c) {
         c.name(0, {utf8(kCn, "ACME Mpid:8000"), utf8(kVid, "FFF1")});
       },
       {"matter-dac-product-id"}},
      {"matter-subject-key-identifier", 0, "there is none", [](Chain& c) { c.dac.remove(0x0e); }},
      {"matter-authority-key-identifier",
       1,
       "there is none",
       [](Chain& c) { c.pai.remove(0x23); },
       {"x509-authority-key-identifier"}},
      {"matter-dac-vendor-id",
       0,
       "there are 0",
       [](Chain& c) {
         c.name(0, {utf8(kCn, "ACME"), utf8(kPid, "8000")});
       }},
      {"matter-dac-vendor-id",
       0,
       "there are 2",
       [](Chain& c) {
         c.name(0, {utf8(kVid, "FFF1"), utf8(kVid, "FFF1"), utf8(kPid, "8000")});
       }},
      {"matter-dac-product-id",
       0,
       "there are 0",
       [](Chain& c) {
         c.name(0, {utf8(kCn, "ACME"), utf8(kVid, "FFF1")});
       }},
      {"matter-dac-basic-constraints",
       0,
       "not critical, cA FALSE, path length absent",
       [](Chain& c) { c.dac.set(0x13, false, hex("3000")); }},
      {"matter-dac-basic-constraints",
       0,
       "cA TRUE",
       [](Chain& c) { c.dac.set(0x13, true, hex("30030101ff")); },
       {"x509-cert-sign-use"}},
      {"matter-dac-key-usage",
       0,
       "not critical: digitalSignature",
       [](Chain& c) { c.dac.set(0x0f, false, hex("03020780")); }},
      {"matter-dac-key-usage",
       0,
       "digitalSignature contentCommitment",
       [](Chain& c) { c.dac.set(0x0f, true, hex("030206c0")); }},
      {"matter-dac-key-usage", 0, "there is none", [](Chain& c) { c.dac.remove(0x0f); }},
      {"matter-dac-vendor-match",
       0,
       "FFF2, but its issuer's is FFF1",
       [](Chain& c) {
         c.name(0, {utf8(kVid, "FFF2"), utf8(kPid, "8000")});
       }},
      {"matter-dac-product-match",
       0,
       "8001, but its issuer's is 8000",
       [](Chain& c) {
         c.name(0, {utf8(kVid, "FFF1"), utf8(kPid, "8001")});
       }},
      {"matter-dac-validity",
       0,
       "its PAI 2046",
       [](Chain& c) { c.pai.validity = validity("2026-02-01T00:00:00Z", "2046-02-01T00:00:00Z"); },
       {"chain-validity"}},
      {"matter-pai-vendor-id",
       1,
       "there are 0",
       [](Chain& c) {
         c.name(1, {utf8(kCn, "ACME PAI"), utf8(kPid, "8000")});
       }},
      {"matter-pai-product-id",
       1,
       "there are 2",
       [](Chain& c) {
         c.name(1, {utf8(kVid, "FFF1"), utf8(kPid, "8000"), utf8(kPid, "8000")});
       }},
      {"matter-pai-basic-constraints",
       1,
       "critical, cA TRUE, path length absent",
       [](Chain& c) { c.pai.set(0x13, true, hex("30030101ff")); }},
      {"matter-pai-basic-constraints",
       1,
       "path length 1",
       [](Chain& c) { c.pai.set(0x13, true, hex("30060101ff020101")); }},
      {"matter-pai-key-usage",
       1,
       "critical: keyCertSign",
       [](Chain& c) { c.pai.set(0x0f, true, hex("03020204")); }},
      {"matter-pai-key-usage",
       1,
       "not critical: keyCertSign cRLSign",
       [](Chain& c) { c.pai.set(0x0f, false, hex("03020106")); }},
      {"matter-pai-vendor-match",
       1,
       "FFF1, but its issuer's is FFF2",
       [](Chain& c) {
         c.name(2, {utf8(kCn, "ACME PAA"), utf8(kVid, "FFF2")});
       }},
      {"matter-paa-self-signed",
       2,
       "issued by CN=other",
       [](Chain& c) { c.paa.issuer = der::sequence({utf8(kCn, "other")}); }},
      {"matter-paa-vendor-id",
       2,
       "there are 2",
       [](Chain& c) {
         c.name(2, {utf8(kVid, "FFF1"), utf8(kVid, "FFF1")});
       }},
      {"matter-paa-product-id",
       2,
       "there are 1",
       [](Chain& c) {
         c.name(2, {utf8(kVid, "FFF1"), utf8(kPid, "8000")});
       }},
      {"matter-paa-basic-constraints",
       2,
       "path length 2",
       [](Chain& c) { c.paa.set(0x13, true, hex("30060101ff020102")); }},
      {"matter-paa-key-usage",
       2,
       "critical: cRLSign",
       [](Chain& c) { c.paa.set(0x0f, true, hex("03020102")); },
       {"x509-cert-sign-use", "x509-path-length-use", "chain-key-usage"}},
  };
  return all;
}

}  // namespace keyferry::x509::test
