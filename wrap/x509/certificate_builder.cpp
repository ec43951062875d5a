#include "wrap/x509/certificate_builder.h"

#include <botan/hash.h>

#include <algorithm>
#include <memory>

#include "wrap/x509/der.h"
#include "wrap/x509/internal/extensions.h"

namespace keyferry::x509 {
namespace {

// Fixed DER of the profile. RFC 5758 3.2: ecdsa-with-SHA256, no parameters. RFC 5280 4.2.1: the
// extensions.
constexpr std::uint8_t kVersion3[] = {0xa0, 0x03, 0x02, 0x01, 0x02};
constexpr std::uint8_t kEcdsaWithSha256[] = {
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};

Bytes validity(UtcMillis not_before, UtcMillis not_after) {
  return der::sequence({der::time(not_before), der::time(not_after)});
}

void check_serial(const CertificateSerial& serial) {
  if (!is_our_serial(serial)) {
    throw Error{Code::InvalidArgument, "a certificate's serial is not zero"};
  }
}

}  // namespace

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
  pattern_ = std::get<SubjectPattern>(x509::subject_pattern(device_template));

  append(before_subject_, kEcdsaWithSha256);
  append(before_subject_, device_template.issuer_name);
  append(before_subject_, validity(device_template.not_before, device_template.not_after));

  usages_ = usage_extensions(device_template);
  alt_names_ = alt_name_patterns(device_template);
  if (std::ranges::all_of(alt_names_, &AltNamePattern::is_fixed)) {
    constexpr std::uint8_t kUnused[] = {0};
    const SubjectFields none{std::nullopt, *SeSerial::from_bytes(kUnused), "", "", ""};
    append(usages_, alt_name_extension(alt_names_, none));
    alt_names_.clear();
  }
  rest_ = extra_extensions(device_template);
  append(rest_, subject_key_extension(Bytes(KeyIdentifier::kSizeBytes)));
  key_identifier_at_ = rest_.size() - KeyIdentifier::kSizeBytes;
  append(rest_, authority_key_extension(device_template.issuer_key_identifier));
}

std::optional<Refusal> CertificateBuilder::check(const SubjectFields& fields) const {
  if (auto refusal = pattern_.check(fields)) return refusal;
  for (const AltNamePattern& name : alt_names_) {
    if (auto refusal = name.check(fields)) return refusal;
  }
  return std::nullopt;
}

Bytes CertificateBuilder::to_be_signed(const CertificateSerial& serial,
                                       const SubjectFields& subject,
                                       const crypto::PublicKey& key) const {
  check_serial(serial);
  Bytes name;
  name.reserve(256);
  pattern_.append_name(name, subject);
  const Bytes alt_names = alt_name_extension(alt_names_, subject);
  const Bytes spki = key.spki_der();

  const SerialContent number{serial};
  const std::size_t serial_bytes = 2 + number.view().size();
  const std::size_t list = usages_.size() + alt_names.size() + rest_.size();
  const std::size_t wrapped = der::header_size(list) + list;
  const std::size_t size = sizeof kVersion3 + serial_bytes + before_subject_.size() + name.size() +
                           spki.size() + der::header_size(wrapped) + wrapped;
  Bytes tbs;
  tbs.reserve(der::header_size(size) + size);
  der::append_header(tbs, der::kSequence, size);
  append(tbs, kVersion3);
  der::append_tlv(tbs, der::kInteger, number.view());
  append(tbs, before_subject_);
  append(tbs, name);
  append(tbs, spki);
  der::append_header(tbs, der::context_constructed(3), wrapped);
  der::append_header(tbs, der::kSequence, list);
  append(tbs, usages_);
  append(tbs, alt_names);
  const std::size_t identifier_at = tbs.size() + key_identifier_at_;
  append(tbs, rest_);
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

}  // namespace keyferry::x509
