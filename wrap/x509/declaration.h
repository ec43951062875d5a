// Matter's Certification Declaration: what the alliance signed about a product, carried beside its
// DACs. CMS SignedData (RFC 5652) in DER in the one form of the Matter Core Specification 6.3:
// version 3, SHA-256, content id-data with Matter TLV (specification, appendix A), one signer named
// by its subjectKeyIdentifier, ecdsa-with-SHA256, no signed attributes. Field numbers and an
// example with its values: 6.3.1, and TestCertificationDeclaration.cpp of
// project-chip/connectedhomeip (tests/vectors/matter).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"
#include "wrap/crypto/signing.h"

namespace keyferry::x509 {

inline constexpr std::size_t kMaxDeclarationBytes = 4096;
inline constexpr std::size_t kMaxDeclaredProducts = 100;         ///< product_id_array: 1 to 100
inline constexpr std::size_t kDeclarationCertificateChars = 19;  ///< certificate_id
inline constexpr std::size_t kMaxAuthorizedPaas = 10;

struct CertificationDeclaration {
  std::uint64_t format_version = 0;
  std::uint16_t vendor_id = 0;
  std::vector<std::uint16_t> product_ids;
  std::uint32_t device_type_id = 0;
  std::string certificate_id;
  std::uint64_t security_level = 0;
  std::uint64_t security_information = 0;
  std::uint64_t version_number = 0;
  std::uint64_t certification_type = 0;  ///< 0 test, 1 provisional, 2 official
  std::optional<std::uint16_t> dac_origin_vendor_id;
  std::optional<std::uint16_t> dac_origin_product_id;
  std::vector<Bytes> authorized_paas;  ///< subject key identifiers
  Bytes signer_key_identifier;
  Bytes content;    ///< the TLV that is signed
  Bytes signature;  ///< raw r||s, 64 octets
  Digest sha256;    ///< of the whole file
};

/// Refusals: "declaration-size" (empty, above 4 KiB), "declaration-malformed" (CMS or TLV),
/// "declaration-profile" (another format version, algorithm, or form of CMS).
[[nodiscard]] std::variant<CertificationDeclaration, Refusal> parse_certification_declaration(
    ByteView cms);

/// Nothing if the declaration is for a device whose DAC names this vendor and product: those of
/// dac_origin where the declaration has them, else vendor_id and one of product_id_array; and if it
/// lists authorized PAAs, that `paa_key_identifier` (when given) is one. Refusals: those of
/// parsing, "declaration-vendor", "declaration-product", "declaration-paa". The signature is not
/// looked at.
[[nodiscard]] std::optional<Refusal> check_certification_declaration(
    ByteView cms,
    std::uint16_t vendor_id,
    std::uint16_t product_id,
    ByteView paa_key_identifier = {});

enum class DeclarationSignature {
  Verified,
  NotVerified  ///< no certificate of this signer was given: say so wherever the declaration is
               ///< shown
};

/// `signers`: certificates that are trusted to sign declarations. Refusals: "declaration-signature"
/// (the signer's certificate was given, but the signature is not by its key), those of
/// parse_certificate.
[[nodiscard]] std::variant<DeclarationSignature, Refusal> check_declaration_signature(
    const CertificationDeclaration& declaration, std::span<const Bytes> signers);

}  // namespace keyferry::x509
