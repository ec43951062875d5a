// Attribute templates as values: what an object is to be, or what a search is for.
//
//   const Template transport =
//   Template{}.key_class(ObjectClass::SecretKey).key_type(KeyType::Aes).wrap(true)...;
//
// A template is built once and used for many calls: the hot loop builds none.
#pragma once

#include <botan/secmem.h>

#include <cstddef>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "wrap/base/secret_bytes.h"
#include "wrap/p11/types.h"

namespace keyferry::p11 {

class Template {
 public:
  /// At most this many attributes, nested ones included; one more is Error{InvalidArgument}.
  static constexpr std::size_t kMaxAttributes = 40;

  // Setting an attribute that is there already replaces it.
  Template& object_class(ObjectClass value);
  Template& key_type(KeyType value);
  Template& label(std::string_view value);
  Template& id(ByteView value);
  Template& application(std::string_view value);
  Template& object_id(ByteView value);

  Template& token(bool value);
  Template& private_(bool value);
  Template& sensitive(bool value);
  Template& extractable(bool value);
  Template& modifiable(bool value);
  Template& copyable(bool value);
  Template& destroyable(bool value);
  Template& trusted(bool value);
  Template& wrap_with_trusted(bool value);
  Template& always_authenticate(bool value);

  Template& sign(bool value);
  Template& verify(bool value);
  Template& wrap(bool value);
  Template& unwrap(bool value);
  Template& encrypt(bool value);
  Template& decrypt(bool value);
  Template& derive(bool value);

  Template& value(ByteView octets);  ///< public data: certificates, data objects
  Template& secret_value(
      const SecretBytes& octets);  ///< keys; the copy is wiped when the template ends
  Template& value_len(unsigned long size_bytes);
  Template& modulus_bits(unsigned long bits);
  Template& public_exponent(ByteView big_endian);
  Template& p256();  ///< CKA_EC_PARAMS = prime256v1
  Template& ec_params(ByteView der);
  Template& ec_point(ByteView value);
  Template& allowed_mechanisms(std::span<const Mechanism> mechanisms);
  Template& allowed_mechanisms(std::initializer_list<Mechanism> mechanisms);
  Template& wrap_template(Template nested);
  Template& unwrap_template(Template nested);
  Template& derive_template(Template nested);

  Template& x509_certificate();  ///< CKO_CERTIFICATE, CKC_X_509
  Template& subject(ByteView der);
  Template& issuer(ByteView der);
  Template& serial_number(ByteView der);

  Template& boolean(Attribute attribute, bool value);
  Template& number(Attribute attribute, unsigned long value);
  Template& octets(Attribute attribute, ByteView value);
  Template& remove(Attribute attribute);

  struct Entry {
    Attribute attribute{};
    std::size_t offset = 0;  // into the octets, or index of the nested template
    std::size_t size_bytes = 0;
    enum class Kind { Octets, Secret, Nested } kind = Kind::Octets;
  };

  /// In the order in which they were set.
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

  /// The octets as the module gets them (bool: one octet; number: native unsigned long). Empty for
  /// a nested template.
  [[nodiscard]] ByteView octets_of(const Entry& entry) const;

  [[nodiscard]] const Template& nested_of(const Entry& entry) const {
    return nested_[entry.offset];
  }

  [[nodiscard]] const Entry* find(Attribute attribute) const;
  [[nodiscard]] std::optional<bool> boolean_of(Attribute attribute) const;

  [[nodiscard]] bool empty() const { return entries_.empty(); }

 private:
  Template& nested(Attribute attribute, Template nested);

  std::vector<Entry> entries_;
  Bytes octets_;
  Botan::secure_vector<std::uint8_t> secret_;
  std::vector<Template> nested_;
};

}  // namespace keyferry::p11
