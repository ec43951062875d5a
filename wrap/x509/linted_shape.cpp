#include "wrap/x509/linted_shape.h"

#include <utility>

#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

constexpr std::uint8_t kSubjectKeyIdentifier[] = {0x55, 0x1d, 0x0e};  // RFC 5280 4.2.1.2
constexpr std::uint8_t kSubjectAltName[] = {0x55, 0x1d, 0x11};        // RFC 5280 4.2.1.6

Refusal differs(const char* what) {
  return Refusal{
      "lint",
      std::string{"a certificate is not like the one that passed the lint: "} + what + " differs"};
}

/// Type and string type of a RelativeDistinguishedName's one attribute.
std::optional<std::pair<ByteView, std::uint8_t>> attribute_type(const der::Element& rdn) {
  der::Reader set{rdn.content};
  const auto attribute = set.next(der::kSequence);
  if (!attribute || !set.at_end()) return std::nullopt;
  der::Reader fields{attribute->content};
  const auto type = fields.next(der::kOid);
  const auto value = fields.next();
  if (!type || !value || !fields.at_end()) return std::nullopt;
  return std::pair{type->whole, value->tag};
}

/// Tags of the alternative names, which the entry fills.
bool same_names(ByteView left, ByteView right) {
  const auto a = der::only_element(left, der::kSequence);
  const auto b = der::only_element(right, der::kSequence);
  if (!a || !b) return false;
  der::Reader one{a->content};
  der::Reader other{b->content};
  while (!one.at_end()) {
    const auto x = one.next();
    const auto y = other.next();
    if (!x || !y || x->tag != y->tag) return false;
  }
  return other.at_end();
}

/// Of an Extension, behind its type; nothing when it is critical.
std::optional<ByteView> value_of(ByteView extension) {
  const auto whole = der::only_element(extension, der::kSequence);
  if (!whole) return std::nullopt;
  der::Reader fields{whole->content};
  const auto type = fields.next(der::kOid);
  const auto value = fields.next(der::kOctetString);
  return type && value && fields.at_end() ? std::optional{value->content} : std::nullopt;
}

}  // namespace

std::optional<LintedShape::Cut> LintedShape::cut(ByteView tbs) {
  const auto outer = der::only_element(tbs, der::kSequence);
  if (!outer) return std::nullopt;
  der::Reader fields{outer->content};
  const auto version = fields.next(der::context_constructed(0));
  const auto serial = fields.next(der::kInteger);
  const auto algorithm = fields.next(der::kSequence);
  const auto issuer = fields.next(der::kSequence);
  const auto validity = fields.next(der::kSequence);
  const auto subject = fields.next(der::kSequence);
  const auto key = fields.next(der::kSequence);
  const auto extensions = fields.next(der::context_constructed(3));
  if (!version || !serial || !algorithm || !issuer || !validity || !subject || !key ||
      !extensions || !fields.at_end())
    return std::nullopt;
  const auto list = der::only_element(extensions->content, der::kSequence);
  if (!list) return std::nullopt;
  const std::size_t between = algorithm->whole.size() + issuer->whole.size() + validity->whole.size();
  return Cut{version->whole, serial->content, ByteView{algorithm->whole.data(), between},
             subject->whole, key->whole,      list->content};
}

LintedShape::LintedShape(Bytes tbs) : tbs_{std::move(tbs)} {
  const auto cut_once = cut(tbs_);
  if (!cut_once)
    throw Error{Code::Internal, "the certificate that passed the lint is none of ours"};
  linted_ = *cut_once;
  der::Reader names{der::only_element(linted_.subject, der::kSequence)->content};
  while (const auto rdn = names.next(der::kSet)) {
    const auto type = attribute_type(*rdn);
    if (!type) throw Error{Code::Internal, "a subject of ours has one attribute in each place"};
    attributes_.push_back({type->first, type->second});
  }
  der::Reader list{linted_.extensions};
  while (const auto extension = list.next(der::kSequence)) {
    const auto type = der::Reader{extension->content}.next(der::kOid);
    if (!type) throw Error{Code::Internal, "an extension of ours has a type"};
    extensions_.push_back({type->content, extension->whole});
  }
  const auto ids = matter_ids(linted_.subject);
  const auto* found = std::get_if<MatterIds>(&ids);
  if (found != nullptr && found->vendor_id) ids_ = *found;
}

bool LintedShape::same_subject(ByteView subject) const {
  const auto name = der::only_element(subject, der::kSequence);
  if (!name) return false;
  der::Reader names{name->content};
  for (const Attribute& wanted : attributes_) {
    const auto rdn = names.next(der::kSet);
    const auto type = rdn ? attribute_type(*rdn) : std::nullopt;
    if (!type || type->second != wanted.string_tag || !equal(type->first, wanted.type))
      return false;
  }
  if (!names.at_end()) return false;
  if (!ids_) return true;
  const auto ids = matter_ids(subject);
  const auto* found = std::get_if<MatterIds>(&ids);
  return found != nullptr && *found == *ids_;
}

bool LintedShape::same_extensions(ByteView list, const crypto::PublicKey& key) const {
  der::Reader made{list};
  for (const Extension& wanted : extensions_) {
    const auto extension = made.next(der::kSequence);
    if (!extension) return false;
    const bool is_identifier = equal(wanted.oid, kSubjectKeyIdentifier);
    if (!is_identifier && !equal(wanted.oid, kSubjectAltName)) {
      if (!equal(extension->whole, wanted.whole)) return false;
      continue;
    }
    const auto type = der::Reader{extension->content}.next(der::kOid);
    const auto value = value_of(extension->whole);
    if (!type || !equal(type->content, wanted.oid) || !value) return false;
    if (is_identifier) {
      const auto identifier = der::only_element(*value, der::kOctetString);
      if (!identifier || !equal(identifier->content, key_identifier(key).bytes())) return false;
    } else if (const auto linted = value_of(wanted.whole);
               !linted || !same_names(*value, *linted)) {
      return false;
    }
  }
  return made.at_end();
}

std::optional<Refusal> LintedShape::compare(ByteView tbs, const crypto::PublicKey& key) const {
  const auto made = cut(tbs);
  if (!made) return differs("its form");
  if (!equal(made->before_serial, linted_.before_serial)) return differs("version");
  if (!serial_from_content(made->serial)) return differs("form of the serial");
  if (!equal(made->before_subject, linted_.before_subject)) return differs("algorithm, issuer or validity");
  if (!same_subject(made->subject)) return differs("subject, in more than its values,");
  if (!equal(made->key, key.spki_der())) return differs("key");
  if (!same_extensions(made->extensions, key)) return differs("an extension");
  return std::nullopt;
}

}  // namespace keyferry::x509
