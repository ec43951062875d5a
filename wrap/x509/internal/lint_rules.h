// The table of rules, and the report that findings go to.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "wrap/x509/lint.h"

namespace keyferry::x509 {

enum class Rule {
  Size,
  Der,
  Version,
  SerialDer,
  SerialPositive,
  SerialLength,
  AlgorithmSame,
  WeakHash,
  SignatureAlgorithm,
  SignatureForm,
  Key,
  NameForm,
  IssuerEmpty,
  SubjectEmpty,
  NameString,
  NameValue,
  TimeForm,
  ValidityOrder,
  UniqueId,
  ExtensionsForm,
  ExtensionFlag,
  ExtensionTwice,
  CriticalUnknown,
  BasicConstraints,
  CaConstraints,
  PathLengthUse,
  KeyUsage,
  CertSignUse,
  SubjectKeyIdentifier,
  AuthorityKeyIdentifier,
  KeyIdentifierCritical,
  AltName,
  ExtendedKeyUsage,
  Policies,
  ChainLength,
  ChainName,
  ChainKeyIdentifier,
  ChainSignature,
  ChainNotACa,
  ChainUsage,
  ChainPathLength,
  ChainValidity,
  MatterVersion,
  MatterSignature,
  MatterKey,
  MatterSize,
  MatterVidUtf8,
  MatterVidDigits,
  MatterPidUtf8,
  MatterPidDigits,
  MatterCommonName,
  MatterMixed,
  MatterSubjectKey,
  MatterAuthorityKey,
  DacVendor,
  DacProduct,
  DacConstraints,
  DacUsage,
  DacVendorMatch,
  DacProductMatch,
  DacValidity,
  PaiVendor,
  PaiProduct,
  PaiConstraints,
  PaiUsage,
  PaiVendorMatch,
  PaaSelfSigned,
  PaaVendor,
  PaaProduct,
  PaaConstraints,
  PaaUsage,
};

/// In the order of the enumeration.
inline constexpr std::array kLintRules{
    LintRule{"profile-size", "keyferry", "a certificate has 1 to 16,384 octets"},
    LintRule{"x509-der", "RFC 5280 4.1, X.690 10.1", "a certificate is one DER SEQUENCE of its three parts, with nothing behind"},
    LintRule{"x509-version", "RFC 5280 4.1.2.1", "a certificate with extensions is of version 3"},
    LintRule{"x509-serial-der", "X.690 8.3.2", "the serial is an INTEGER in shortest form"},
    LintRule{"x509-serial-positive", "RFC 5280 4.1.2.2", "the serial is positive"},
    LintRule{"x509-serial-length", "RFC 5280 4.1.2.2", "the serial has at most 20 octets"},
    LintRule{"x509-algorithm-same", "RFC 5280 4.1.1.2", "both places name the same signature algorithm"},
    LintRule{"x509-weak-hash", "NIST SP 800-131A Rev. 2 section 9", "the signature's hash is neither SHA-1 nor MD5"},
    LintRule{"profile-signature", "keyferry; RFC 5758 3.2", "the signature algorithm is ecdsa-with-SHA256, without parameters"},
    LintRule{"x509-signature-form", "RFC 3279 2.2.3", "an ECDSA signature is a DER SEQUENCE of two INTEGERs in whole octets"},
    LintRule{"profile-key", "keyferry; RFC 5480 2.1.1", "the key is an uncompressed point on P-256, the curve named"},
    LintRule{"x509-name-form", "RFC 5280 4.1.2.4", "issuer and subject are Names"},
    LintRule{"x509-issuer-empty", "RFC 5280 4.1.2.4", "the issuer is not empty"},
    LintRule{"x509-subject-empty", "RFC 5280 4.1.2.6", "the subject is not empty, or a critical subjectAltName stands for it"},
    LintRule{"x509-name-string", "RFC 5280 4.1.2.4, appendix A.1", "names are UTF8String or PrintableString; country and serialNumber PrintableString, domainComponent and emailAddress IA5String"},
    LintRule{"x509-name-value", "RFC 5280 appendix A.1, X.680 41.4", "values of names have only characters of their string type and no more than the upper bound"},
    LintRule{"x509-time-form", "RFC 5280 4.1.2.5", "times are UTCTime through 2049 and GeneralizedTime from 2050, to the second, with Z"},
    LintRule{"x509-validity-order", "RFC 5280 4.1.2.5", "notBefore is not after notAfter"},
    LintRule{"x509-unique-id", "RFC 5280 4.1.2.8", "there are no unique identifiers"},
    LintRule{"x509-extensions-form", "RFC 5280 4.1.2.9", "extensions are a SEQUENCE of at least one Extension"},
    LintRule{"x509-extension-flag", "X.690 11.1, 11.5", "BOOLEANs are 0xff for TRUE, and FALSE is left out"},
    LintRule{"x509-extension-twice", "RFC 5280 4.2", "no extension stands twice"},
    LintRule{"x509-critical-unknown", "RFC 5280 4.2", "critical extensions are known: others make readers refuse the certificate"},
    LintRule{"x509-basic-constraints", "RFC 5280 4.2.1.9", "basicConstraints are well-formed"},
    LintRule{"x509-ca-constraints", "RFC 5280 4.2.1.9", "basicConstraints of a CA are critical"},
    LintRule{"x509-path-length-use", "RFC 5280 4.2.1.9", "a path length is a CA's with keyCertSign"},
    LintRule{"x509-key-usage", "RFC 5280 4.2.1.3, X.690 11.2.2", "keyUsage has at least one bit, no trailing zero ones"},
    LintRule{"x509-cert-sign-use", "RFC 5280 4.2.1.3", "keyCertSign is in the keyUsage of every CA and of nobody else"},
    LintRule{"x509-subject-key-identifier", "RFC 5280 4.2.1.2", "a CA has a subjectKeyIdentifier, well-formed"},
    LintRule{"x509-authority-key-identifier", "RFC 5280 4.2.1.1", "what is not self-signed has an authorityKeyIdentifier, well-formed"},
    LintRule{"x509-key-identifier-critical", "RFC 5280 4.2.1.1, 4.2.1.2", "key identifiers are not critical"},
    LintRule{"x509-alt-name", "RFC 5280 4.2.1.6", "subjectAltName holds at least one name, each well-formed"},
    LintRule{"x509-extended-key-usage", "RFC 5280 4.2.1.12", "extendedKeyUsage holds at least one OID and only OIDs"},
    LintRule{"x509-policies", "RFC 5280 4.2.1.4", "certificatePolicies hold at least one policy, none twice"},
    LintRule{"chain-length", "keyferry", "a chain has at most 10 certificates"},
    LintRule{"chain-name", "RFC 5280 6.1.3 (a)(4)", "the issuer is the next certificate's subject"},
    LintRule{"chain-key-identifier", "RFC 5280 4.2.1.1", "the authorityKeyIdentifier is the next certificate's subjectKeyIdentifier"},
    LintRule{"chain-signature", "RFC 5280 6.1.3 (a)(1)", "the signature is by the next certificate's key"},
    LintRule{"chain-not-a-ca", "RFC 5280 6.1.4 (k)", "an issuer is a CA"},
    LintRule{"chain-key-usage", "RFC 5280 6.1.4 (n)", "an issuer's keyUsage, if any, has keyCertSign"},
    LintRule{"chain-path-length", "RFC 5280 4.2.1.9, 6.1.4 (m)", "no more CAs follow than an issuer's path length allows"},
    LintRule{"chain-validity", "RFC 5280 6.1.3 (a)(2)", "a certificate is valid only while its issuer's is"},
    LintRule{"matter-version", "Matter 6.2.2", "attestation certificates are of version 3"},
    LintRule{"matter-signature", "Matter 6.2.2", "attestation certificates are signed with ecdsa-with-SHA256"},
    LintRule{"matter-key", "Matter 6.2.2", "attestation certificates hold P-256 keys"},
    LintRule{"matter-size", "Matter: attestation certificate size", "an attestation certificate has at most 600 octets"},
    LintRule{"matter-vid-utf8", "Matter 6.2.2.2", "a VendorID is a UTF8String"},
    LintRule{"matter-vid-digits", "Matter 6.2.2.2", "a VendorID is exactly four upper-case hex digits"},
    LintRule{"matter-pid-utf8", "Matter 6.2.2.2", "a ProductID is a UTF8String"},
    LintRule{"matter-pid-digits", "Matter 6.2.2.2", "a ProductID is exactly four upper-case hex digits"},
    LintRule{"matter-common-name", "Matter 6.2.2.2", "Mvid: and Mpid: stand once each, with exactly four upper-case hex digits behind"},
    LintRule{"matter-mixed", "Matter 6.2.2.2", "Mvid: and Mpid: are in the common name only when neither VendorID nor ProductID is present"},
    LintRule{"matter-subject-key-identifier", "Matter 6.2.2", "attestation certificates have a subjectKeyIdentifier"},
    LintRule{"matter-authority-key-identifier", "Matter 6.2.2", "DAC and PAI have an authorityKeyIdentifier"},
    LintRule{"matter-dac-vendor-id", "Matter 6.2.2.3", "a DAC has exactly one VendorID"},
    LintRule{"matter-dac-product-id", "Matter 6.2.2.3", "a DAC has exactly one ProductID"},
    LintRule{"matter-dac-basic-constraints", "Matter 6.2.2.3", "a DAC's basicConstraints are critical, cA FALSE, without path length"},
    LintRule{"matter-dac-key-usage", "Matter 6.2.2.3", "a DAC's keyUsage is critical, digitalSignature and nothing else"},
    LintRule{"matter-dac-vendor-match", "Matter 6.2.2.3", "a DAC's VendorID is its PAI's"},
    LintRule{"matter-dac-product-match", "Matter 6.2.2.3", "a DAC's ProductID is its PAI's, where that has one"},
    LintRule{"matter-dac-validity", "Matter 6.2.2.3", "a DAC is valid only while its PAI is"},
    LintRule{"matter-pai-vendor-id", "Matter 6.2.2.4", "a PAI has exactly one VendorID"},
    LintRule{"matter-pai-product-id", "Matter 6.2.2.4", "a PAI has at most one ProductID"},
    LintRule{"matter-pai-basic-constraints", "Matter 6.2.2.4", "a PAI's basicConstraints are critical, cA TRUE, path length 0"},
    LintRule{"matter-pai-key-usage", "Matter 6.2.2.4", "a PAI's keyUsage is critical, keyCertSign and cRLSign, with or without digitalSignature"},
    LintRule{"matter-pai-vendor-match", "Matter 6.2.2.4", "a PAI's VendorID is its PAA's, where that has one"},
    LintRule{"matter-paa-self-signed", "Matter 6.2.2.5", "a PAA is self-signed"},
    LintRule{"matter-paa-vendor-id", "Matter 6.2.2.5", "a PAA has at most one VendorID"},
    LintRule{"matter-paa-product-id", "Matter 6.2.2.5", "a PAA has no ProductID"},
    LintRule{"matter-paa-basic-constraints", "Matter 6.2.2.5", "a PAA's basicConstraints are critical, cA TRUE, path length 1 or absent"},
    LintRule{"matter-paa-key-usage", "Matter 6.2.2.5", "a PAA's keyUsage is critical, keyCertSign and cRLSign, with or without digitalSignature"},
};

static_assert(kLintRules.size() == static_cast<std::size_t>(Rule::PaaUsage) + 1);

class LintReport {
 public:
  void add(std::size_t certificate, Rule rule, std::string text) {
    findings_.push_back({certificate, &kLintRules[static_cast<std::size_t>(rule)], std::move(text)});
  }

  /// By certificate, then rule.
  [[nodiscard]] std::vector<Finding> take() {
    std::ranges::stable_sort(findings_, [](const Finding& a, const Finding& b) {
      return a.certificate != b.certificate ? a.certificate < b.certificate : a.rule < b.rule;
    });
    return std::move(findings_);
  }

 private:
  std::vector<Finding> findings_;
};

}  // namespace keyferry::x509
