#include "wrap/x509/certificate_builder.h"

#include <botan/hash.h>

#include <algorithm>
#include <memory>

#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

// Fixed DER of the profile. RFC 5758 3.2: ecdsa-with-SHA256, no parameters. RFC 5280 4.2.1: the
// extensions.
constexpr std::uint8_t kVersion3[] = {0xa0, 0x03, 0x02, 0x01, 0x02};
constexpr std::uint8_t kEcdsaWithSha256[] = {
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr std::uint8_t kNotACa[] = {
    0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, 0x04, 0x02, 0x30, 0x00};
constexpr std::uint8_t kUsageDigitalSignature[] = {
    0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x07, 0x80};
constexpr std::uint8_t kUsageCertAndCrlSign[] = {
    0x30, 0x0e, 0x06, 0x03, 0x55, 0x1d, 0x0f, 0x01, 0x01, 0xff, 0x04, 0x04, 0x03, 0x02, 0x01, 0x06};
constexpr std::uint8_t kOidBasicConstraints[] = {0x06, 0x03, 0x55, 0x1d, 0x13};
constexpr std::uint8_t kOidSubjectKeyIdentifier[] = {0x06, 0x03, 0x55, 0x1d, 0x0e};
constexpr std::uint8_t kOidAuthorityKeyIdentifier[] = {0x06, 0x03, 0x55, 0x1d, 0x23};

Bytes subject_key_extension(ByteView identifier) {
  return der::sequence(
      {kOidSubjectKeyIdentifier, der::octet_string(der::octet_string(identifier))});
}

Bytes authority_key_extension(ByteView identifier) {
  const Bytes key_identifier = der::tlv(der::context_primitive(0), identifier);
  return der::sequence(
      {kOidAuthorityKeyIdentifier, der::octet_string(der::sequence({key_identifier}))});
}

Bytes validity(UtcMillis not_before, UtcMillis not_after) {
  return der::sequence({der::time(not_before), der::time(not_after)});
}

void check_serial(const CertificateSerial& serial) {
  if (!is_our_serial(serial)) {
    throw Error{Code::InvalidArgument, "certificate serial: the top bits of our serials are 01"};
  }
}

}  // namespace

CertificateSerial make_serial(RandomSource& random) {
  Bytes octets = random.bytes(CertificateSerial::kSizeBytes);
  octets[0] = static_cast<std::uint8_t>((octets[0] & 0x3fU) | 0x40U);
  return *CertificateSerial::from_bytes(octets);
}

bool is_our_serial(const CertificateSerial& serial) {
  return (serial.bytes()[0] & 0xc0U) == 0x40U;
}

KeyIdentifier key_identifier(const crypto::PublicKey& key) {
  // SHA-1 names the key here, as RFC 5280 proposes; nothing rests on its collision resistance.
  thread_local const std::unique_ptr<Botan::HashFunction> sha1 =
      Botan::HashFunction::create_or_throw("SHA-1");
  std::array<std::uint8_t, KeyIdentifier::kSizeBytes> digest{};
  sha1->update(key.point().data(), key.point().size());
  sha1->final(digest.data());
  return *KeyIdentifier::from_bytes(digest);
}

CertificateBuilder::CertificateBuilder(const DeviceTemplate& device_template) {
  if (const auto refusal = validate(device_template)) throw to_error(*refusal);
  pattern_ = std::get<SubjectPattern>(SubjectPattern::parse(device_template.subject));

  append(before_subject_, kEcdsaWithSha256);
  append(before_subject_, device_template.issuer_name);
  append(before_subject_, validity(device_template.not_before, device_template.not_after));

  const Bytes no_identifier(KeyIdentifier::kSizeBytes);
  const Bytes subject_key = subject_key_extension(no_identifier);
  const Bytes authority_key = authority_key_extension(device_template.issuer_key_identifier);
  const Bytes list = der::sequence({kNotACa, kUsageDigitalSignature, subject_key, authority_key});
  extensions_ = der::tlv(der::context_constructed(3), list);
  key_identifier_at_ = extensions_.size() - authority_key.size() - KeyIdentifier::kSizeBytes;
}

Bytes CertificateBuilder::to_be_signed(const CertificateSerial& serial,
                                       const SubjectFields& subject,
                                       const crypto::PublicKey& key) const {
  check_serial(serial);
  Bytes name;
  name.reserve(256);
  pattern_.append_name(name, subject);
  const Bytes spki = key.spki_der();

  constexpr std::size_t kSerialBytes = 2 + CertificateSerial::kSizeBytes;
  const std::size_t size = sizeof kVersion3 + kSerialBytes + before_subject_.size() + name.size() +
                           spki.size() + extensions_.size();
  Bytes tbs;
  tbs.reserve(der::header_size(size) + size);
  der::append_header(tbs, der::kSequence, size);
  append(tbs, kVersion3);
  der::append_tlv(tbs, der::kInteger, serial.bytes());
  append(tbs, before_subject_);
  append(tbs, name);
  append(tbs, spki);
  const std::size_t identifier_at = tbs.size() + key_identifier_at_;
  append(tbs, extensions_);
  const KeyIdentifier identifier = key_identifier(key);
  std::ranges::copy(identifier.bytes(), tbs.begin() + static_cast<std::ptrdiff_t>(identifier_at));
  return tbs;
}

Bytes assemble(ByteView tbs, ByteView raw_signature) {
  if (!der::only_element(tbs, der::kSequence)) {
    throw Error{Code::InvalidArgument, "assemble: the to-be-signed part is not one SEQUENCE"};
  }
  return der::sequence(
      {tbs, kEcdsaWithSha256, der::bit_string(crypto::raw_to_der_signature(raw_signature))});
}

Bytes ca_to_be_signed(const CaSpec& spec,
                      const CertificateSerial& serial,
                      const crypto::PublicKey& key) {
  check_serial(serial);
  const auto name_or_refusal = fixed_name(spec.subject);
  if (const auto* refusal = std::get_if<Refusal>(&name_or_refusal)) throw to_error(*refusal);
  if (spec.not_before >= spec.not_after || spec.not_before < der::kFirstTime ||
      spec.not_after > der::kLastTime) {
    throw Error{Code::Refused,
                "validity of the CA: not_before must be before not_after, both from 1950 to 9999"};
  }
  const Bytes& name = std::get<Bytes>(name_or_refusal);
  const Bytes constraints =
      der::sequence({der::boolean(true), der::integer(std::uint64_t{spec.path_length})});
  const Bytes is_ca =
      der::sequence({kOidBasicConstraints, der::boolean(true), der::octet_string(constraints)});
  const KeyIdentifier identifier = key_identifier(key);
  const Bytes list = der::sequence({is_ca,
                                    kUsageCertAndCrlSign,
                                    subject_key_extension(identifier.bytes()),
                                    authority_key_extension(identifier.bytes())});
  return der::sequence({kVersion3,
                        der::tlv(der::kInteger, serial.bytes()),
                        kEcdsaWithSha256,
                        name,
                        validity(spec.not_before, spec.not_after),
                        name,
                        key.spki_der(),
                        der::tlv(der::context_constructed(3), list)});
}

}  // namespace keyferry::x509
