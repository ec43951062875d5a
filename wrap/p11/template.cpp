#include "wrap/p11/template.h"

#include <algorithm>
#include <cstring>

#include "wrap/base/error.h"
#include "wrap/p11/cryptoki.h"

namespace keyferry::p11 {

namespace {

// Numbers are read in place by modules: each value starts where an unsigned long may stand.
constexpr std::size_t kAlignment = alignof(unsigned long);

std::size_t aligned(std::size_t offset) {
  return (offset + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

Template& Template::object_class(ObjectClass value) {
  return number(Attribute::Class, static_cast<unsigned long>(value));
}

Template& Template::key_type(KeyType value) {
  return number(Attribute::KeyType, static_cast<unsigned long>(value));
}

Template& Template::label(std::string_view value) {
  return octets(Attribute::Label, as_bytes(value));
}

Template& Template::id(ByteView value) {
  return octets(Attribute::Id, value);
}

Template& Template::application(std::string_view value) {
  return octets(Attribute::Application, as_bytes(value));
}

Template& Template::object_id(ByteView value) {
  return octets(Attribute::ObjectId, value);
}

Template& Template::token(bool value) {
  return boolean(Attribute::Token, value);
}

Template& Template::private_(bool value) {
  return boolean(Attribute::Private, value);
}

Template& Template::sensitive(bool value) {
  return boolean(Attribute::Sensitive, value);
}

Template& Template::extractable(bool value) {
  return boolean(Attribute::Extractable, value);
}

Template& Template::modifiable(bool value) {
  return boolean(Attribute::Modifiable, value);
}

Template& Template::copyable(bool value) {
  return boolean(Attribute::Copyable, value);
}

Template& Template::destroyable(bool value) {
  return boolean(Attribute::Destroyable, value);
}

Template& Template::trusted(bool value) {
  return boolean(Attribute::Trusted, value);
}

Template& Template::wrap_with_trusted(bool value) {
  return boolean(Attribute::WrapWithTrusted, value);
}

Template& Template::always_authenticate(bool value) {
  return boolean(Attribute::AlwaysAuthenticate, value);
}

Template& Template::sign(bool value) {
  return boolean(Attribute::Sign, value);
}

Template& Template::verify(bool value) {
  return boolean(Attribute::Verify, value);
}

Template& Template::wrap(bool value) {
  return boolean(Attribute::Wrap, value);
}

Template& Template::unwrap(bool value) {
  return boolean(Attribute::Unwrap, value);
}

Template& Template::encrypt(bool value) {
  return boolean(Attribute::Encrypt, value);
}

Template& Template::decrypt(bool value) {
  return boolean(Attribute::Decrypt, value);
}

Template& Template::derive(bool value) {
  return boolean(Attribute::Derive, value);
}

Template& Template::value(ByteView octets_in) {
  return octets(Attribute::Value, octets_in);
}

Template& Template::secret_value(const SecretBytes& octets_in) {
  remove(Attribute::Value);
  if (!secret_.empty()) throw Error{Code::InvalidArgument, "a template holds one secret value"};
  const ByteView exposed = octets_in.expose();
  secret_.assign(exposed.begin(), exposed.end());
  entries_.push_back({Attribute::Value, 0, secret_.size(), Entry::Kind::Secret});
  return *this;
}

Template& Template::value_len(unsigned long size_bytes) {
  return number(Attribute::ValueLen, size_bytes);
}

Template& Template::modulus_bits(unsigned long bits) {
  return number(Attribute::ModulusBits, bits);
}

Template& Template::public_exponent(ByteView big_endian) {
  return octets(Attribute::PublicExponent, big_endian);
}

Template& Template::p256() {
  return ec_params(kP256Params);
}

Template& Template::ec_params(ByteView der) {
  return octets(Attribute::EcParams, der);
}

Template& Template::ec_point(ByteView value) {
  return octets(Attribute::EcPoint, value);
}

Template& Template::allowed_mechanisms(std::span<const Mechanism> mechanisms) {
  static_assert(sizeof(Mechanism) == sizeof(CK_MECHANISM_TYPE));
  const auto bytes = std::as_bytes(mechanisms);
  Bytes raw(bytes.size());
  if (!raw.empty()) std::memcpy(raw.data(), bytes.data(), raw.size());
  return octets(Attribute::AllowedMechanisms, raw);
}

Template& Template::allowed_mechanisms(std::initializer_list<Mechanism> mechanisms) {
  return allowed_mechanisms(std::span{mechanisms.begin(), mechanisms.size()});
}

Template& Template::wrap_template(Template inner) {
  return nested(Attribute::WrapTemplate, std::move(inner));
}

Template& Template::unwrap_template(Template inner) {
  return nested(Attribute::UnwrapTemplate, std::move(inner));
}

Template& Template::derive_template(Template inner) {
  return nested(Attribute::DeriveTemplate, std::move(inner));
}

Template& Template::x509_certificate() {
  return object_class(ObjectClass::Certificate).number(Attribute::CertificateType, CKC_X_509);
}

Template& Template::subject(ByteView der) {
  return octets(Attribute::Subject, der);
}

Template& Template::issuer(ByteView der) {
  return octets(Attribute::Issuer, der);
}

Template& Template::serial_number(ByteView der) {
  return octets(Attribute::SerialNumber, der);
}

Template& Template::boolean(Attribute attribute, bool value) {
  const std::uint8_t octet = value ? CK_TRUE : CK_FALSE;
  return octets(attribute, {&octet, 1});
}

Template& Template::number(Attribute attribute, unsigned long value) {
  std::array<std::uint8_t, sizeof value> raw{};
  std::memcpy(raw.data(), &value, sizeof value);
  return octets(attribute, raw);
}

Template& Template::octets(Attribute attribute, ByteView value) {
  remove(attribute);
  const std::size_t offset = aligned(octets_.size());
  octets_.resize(offset);
  append(octets_, value);
  entries_.push_back({attribute, offset, value.size(), Entry::Kind::Octets});
  return *this;
}

Template& Template::nested(Attribute attribute, Template inner) {
  remove(attribute);
  entries_.push_back({attribute, nested_.size(), 0, Entry::Kind::Nested});
  nested_.push_back(std::move(inner));
  return *this;
}

// The octets of a removed attribute stay unused; a secret is wiped.
Template& Template::remove(Attribute attribute) {
  const auto found = std::ranges::find(entries_, attribute, &Entry::attribute);
  if (found == entries_.end()) return *this;
  if (found->kind == Entry::Kind::Secret) secret_ = {};
  entries_.erase(found);
  return *this;
}

ByteView Template::octets_of(const Entry& entry) const {
  switch (entry.kind) {
    case Entry::Kind::Octets:
      return ByteView{octets_}.subspan(entry.offset, entry.size_bytes);
    case Entry::Kind::Secret:
      return {secret_.data(), secret_.size()};
    case Entry::Kind::Nested:
      break;
  }
  return {};
}

const Template::Entry* Template::find(Attribute attribute) const {
  const auto found = std::ranges::find(entries_, attribute, &Entry::attribute);
  return found == entries_.end() ? nullptr : &*found;
}

std::optional<bool> Template::boolean_of(Attribute attribute) const {
  const Entry* const entry = find(attribute);
  if (entry == nullptr || entry->size_bytes != 1) return std::nullopt;
  return octets_of(*entry)[0] != CK_FALSE;
}

CkTemplate::CkTemplate(const Template& attributes) {
  count_ = attributes.entries().size();
  place(attributes, 0);
}

// Own attributes from `from` on, then those of nested templates; gives the first free place.
// CKA_MODIFIABLE comes last: SoftHSM applies a template in its order when it derives and unwraps,
// and false shuts out whatever follows.
std::size_t CkTemplate::place(const Template& attributes, std::size_t from) {
  std::size_t free = from + attributes.entries().size();
  if (free > attributes_.size())
    throw Error{Code::InvalidArgument, "a template has more than 40 attributes"};
  const Template::Entry* last = nullptr;
  for (const Template::Entry& entry : attributes.entries()) {
    if (entry.attribute == Attribute::Modifiable) {
      last = &entry;
    } else {
      free = place_one(attributes, entry, attributes_[from++], free);
    }
  }
  return last == nullptr ? free : place_one(attributes, *last, attributes_[from], free);
}

std::size_t CkTemplate::place_one(const Template& attributes,
                                  const Template::Entry& entry,
                                  CK_ATTRIBUTE& out,
                                  std::size_t free) {
  out.type = to_ck(entry.attribute);
  if (entry.kind == Template::Entry::Kind::Nested) {
    const Template& inner = attributes.nested_of(entry);
    out.pValue = attributes_.data() + free;
    out.ulValueLen = inner.entries().size() * sizeof(CK_ATTRIBUTE);
    return place(inner, free);
  }
  const ByteView octets = attributes.octets_of(entry);
  out.pValue = input(octets);
  out.ulValueLen = size_of(octets);
  return free;
}

}  // namespace keyferry::p11
