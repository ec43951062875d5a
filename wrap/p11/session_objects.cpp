// Session: finding, reading, creating and destroying objects.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "wrap/base/text.h"
#include "wrap/p11/cryptoki.h"
#include "wrap/p11/session.h"

namespace keyferry::p11 {

namespace {

constexpr std::size_t kMaxAttributeBytes = 2UL << 20;
constexpr std::size_t kMaxNestedValueBytes = 4096;
constexpr std::size_t kMaxNested = 32;

std::vector<unsigned long> as_numbers(ByteView octets) {
  std::vector<unsigned long> numbers(octets.size() / sizeof(unsigned long));
  if (!numbers.empty())
    std::memcpy(numbers.data(), octets.data(), numbers.size() * sizeof(unsigned long));
  return numbers;
}

/// Lists of mechanisms have no order.
bool same_mechanisms(ByteView a, ByteView b) {
  std::vector<unsigned long> left = as_numbers(a);
  std::vector<unsigned long> right = as_numbers(b);
  std::ranges::sort(left);
  std::ranges::sort(right);
  return left == right;
}

bool same_value(Attribute attribute, ByteView a, ByteView b) {
  return attribute == Attribute::AllowedMechanisms ? same_mechanisms(a, b) : equal(a, b);
}

}  // namespace

std::vector<ObjectHandle> Session::find(const Template& wanted) {
  auto* const functions = module_.cryptoki().functions;
  const auto name = [this] { return fmt::format("search in slot {}", slot_.value); };
  CkTemplate attributes{wanted};
  check(functions->C_FindObjectsInit(handle_, attributes.data(), attributes.count()),
        "C_FindObjectsInit",
        name);
  std::vector<ObjectHandle> found;
  std::array<CK_OBJECT_HANDLE, 64> some{};
  CK_RV rv = CKR_OK;
  CK_ULONG count = 0;
  do {
    rv = functions->C_FindObjects(handle_, some.data(), some.size(), &count);
    if (rv != CKR_OK) break;
    for (CK_ULONG i = 0; i < count; ++i) found.push_back(ObjectHandle{some.at(i)});
  } while (count != 0);
  const CK_RV final_rv = functions->C_FindObjectsFinal(handle_);
  check(rv, "C_FindObjects", name);
  check(final_rv, "C_FindObjectsFinal", name);
  return found;
}

std::optional<ObjectHandle> Session::find_one(ObjectClass object_class, std::string_view label) {
  const auto found = find(Template{}.object_class(object_class).label(label));
  if (found.empty()) return std::nullopt;
  if (found.size() > 1) {
    throw Error{Code::Hsm,
                fmt::format("slot {} holds {} objects of one class with label \"{}\"",
                            slot_.value,
                            found.size(),
                            printable(label)),
                "one of them is a stranger: list the objects and remove it"};
  }
  return found.front();
}

std::optional<ObjectHandle> Session::find_lasting(ObjectClass object_class, std::string_view label) {
  std::pair<ObjectClass, std::string> key{object_class, label};
  if (const auto known = lasting_.find(key); known != lasting_.end()) return known->second;
  const auto found = find_one(object_class, label);
  if (found) lasting_.emplace(std::move(key), *found);
  return found;
}

Session::RawRead Session::read_raw(ObjectHandle object,
                                   Attribute attribute,
                                   std::span<std::uint8_t> buffer,
                                   std::size_t& size_bytes) {
  CK_ATTRIBUTE wanted{to_ck(attribute), buffer.data(), buffer.size()};
  const CK_RV rv =
      module_.cryptoki().functions->C_GetAttributeValue(handle_, object.value, &wanted, 1);
  switch (rv) {
    case CKR_ATTRIBUTE_SENSITIVE:
      return RawRead::Sensitive;
    case CKR_ATTRIBUTE_TYPE_INVALID:
      return RawRead::Absent;
    case CKR_BUFFER_TOO_SMALL:
      return RawRead::TooSmall;
    default:
      break;
  }
  check(rv, "C_GetAttributeValue", [object, attribute, this] {
    return fmt::format(
        "{} of object {:#x}, slot {}", attribute_name(attribute), object.value, slot_.value);
  });
  if (wanted.ulValueLen == CK_UNAVAILABLE_INFORMATION) return RawRead::Absent;
  if (wanted.ulValueLen > buffer.size()) return RawRead::TooSmall;
  size_bytes = wanted.ulValueLen;
  return RawRead::Value;
}

std::size_t Session::raw_size(ObjectHandle object, Attribute attribute) {
  CK_ATTRIBUTE wanted{to_ck(attribute), nullptr, 0};
  check(module_.cryptoki().functions->C_GetAttributeValue(handle_, object.value, &wanted, 1),
        "C_GetAttributeValue",
        [object, attribute, this] {
          return fmt::format("size of {} of object {:#x}, slot {}",
                             attribute_name(attribute),
                             object.value,
                             slot_.value);
        });
  if (wanted.ulValueLen > kMaxAttributeBytes) {
    throw Error{Code::Hsm,
                fmt::format("{} of object {:#x} is above {} octets",
                            attribute_name(attribute),
                            object.value,
                            kMaxAttributeBytes)};
  }
  return wanted.ulValueLen;
}

namespace {

template <typename T, typename Raw>
typename Read<T>::State state_of(Raw raw) {
  switch (raw) {
    case Raw::Value:
      return Read<T>::State::Value;
    case Raw::Sensitive:
      return Read<T>::State::Sensitive;
    case Raw::Absent:
    case Raw::TooSmall:
      break;
  }
  return Read<T>::State::Absent;
}

}  // namespace

Read<bool> Session::read_bool(ObjectHandle object, Attribute attribute) {
  std::array<std::uint8_t, 1> octet{};
  std::size_t size_bytes = 0;
  const RawRead raw = read_raw(object, attribute, octet, size_bytes);
  if (raw == RawRead::Value && size_bytes != 1) return {};
  return {state_of<bool>(raw), octet[0] != CK_FALSE};
}

Read<unsigned long> Session::read_number(ObjectHandle object, Attribute attribute) {
  std::array<std::uint8_t, sizeof(unsigned long)> octets{};
  std::size_t size_bytes = 0;
  const RawRead raw = read_raw(object, attribute, octets, size_bytes);
  if (raw == RawRead::Value && size_bytes != octets.size()) return {};
  unsigned long number = 0;
  std::memcpy(&number, octets.data(), sizeof number);
  return {state_of<unsigned long>(raw), number};
}

Read<Bytes> Session::read_bytes(ObjectHandle object, Attribute attribute) {
  std::array<std::uint8_t, 256> small{};
  std::size_t size_bytes = 0;
  RawRead raw = read_raw(object, attribute, small, size_bytes);
  if (raw == RawRead::Value) {
    return {Read<Bytes>::State::Value,
            Bytes(small.begin(), small.begin() + static_cast<std::ptrdiff_t>(size_bytes))};
  }
  if (raw != RawRead::TooSmall) return {state_of<Bytes>(raw), {}};
  Bytes large(raw_size(object, attribute));
  raw = read_raw(object, attribute, large, size_bytes);
  large.resize(size_bytes);
  return {state_of<Bytes>(raw), std::move(large)};
}

Read<std::vector<Mechanism>> Session::read_mechanisms(ObjectHandle object, Attribute attribute) {
  const Read<Bytes> raw = read_bytes(object, attribute);
  Read<std::vector<Mechanism>> result;
  result.state = static_cast<Read<std::vector<Mechanism>>::State>(raw.state);
  for (const unsigned long number : as_numbers(raw.value))
    result.value.push_back(static_cast<Mechanism>(number));
  return result;
}

Read<SecretBytes> Session::read_secret(ObjectHandle object) {
  SecretBytes value{512};
  std::size_t size_bytes = 0;
  const RawRead raw = read_raw(object, Attribute::Value, value.expose_writable(), size_bytes);
  value.resize(raw == RawRead::Value ? size_bytes : 0);
  return {state_of<SecretBytes>(raw), std::move(value)};
}

bool Session::stays_inside(ObjectHandle key) {
  CK_BBOOL sensitive = CK_FALSE;
  CK_BBOOL extractable = CK_TRUE;
  std::array<CK_ATTRIBUTE, 2> wanted{
      CK_ATTRIBUTE{CKA_SENSITIVE, &sensitive, sizeof sensitive},
      CK_ATTRIBUTE{CKA_EXTRACTABLE, &extractable, sizeof extractable}};
  check(module_.cryptoki().functions->C_GetAttributeValue(
            handle_, key.value, wanted.data(), wanted.size()),
        "C_GetAttributeValue",
        [&] { return describe(key); });
  return sensitive != CK_FALSE && extractable == CK_FALSE;
}

PolicyAttributes Session::read_policy(ObjectHandle object) {
  PolicyAttributes policy;
  const auto flag = [&](Attribute attribute) { return read_bool(object, attribute); };
  policy.object_class = read_number(object, Attribute::Class);
  policy.key_type = read_number(object, Attribute::KeyType);
  policy.value_len = read_number(object, Attribute::ValueLen);
  policy.modulus_bits = read_number(object, Attribute::ModulusBits);
  policy.label = read_bytes(object, Attribute::Label);
  policy.id = read_bytes(object, Attribute::Id);
  policy.ec_params = read_bytes(object, Attribute::EcParams);
  policy.token = flag(Attribute::Token);
  policy.private_ = flag(Attribute::Private);
  policy.sensitive = flag(Attribute::Sensitive);
  policy.extractable = flag(Attribute::Extractable);
  policy.modifiable = flag(Attribute::Modifiable);
  policy.copyable = flag(Attribute::Copyable);
  policy.destroyable = flag(Attribute::Destroyable);
  policy.trusted = flag(Attribute::Trusted);
  policy.wrap_with_trusted = flag(Attribute::WrapWithTrusted);
  policy.always_authenticate = flag(Attribute::AlwaysAuthenticate);
  policy.always_sensitive = flag(Attribute::AlwaysSensitive);
  policy.never_extractable = flag(Attribute::NeverExtractable);
  policy.local = flag(Attribute::Local);
  policy.sign = flag(Attribute::Sign);
  policy.verify = flag(Attribute::Verify);
  policy.wrap = flag(Attribute::Wrap);
  policy.unwrap = flag(Attribute::Unwrap);
  policy.encrypt = flag(Attribute::Encrypt);
  policy.decrypt = flag(Attribute::Decrypt);
  policy.derive = flag(Attribute::Derive);
  policy.allowed_mechanisms = read_mechanisms(object, Attribute::AllowedMechanisms);
  return policy;
}

// PKCS#11 2.40 section 5.7 (C_GetAttributeValue on CKF_ARRAY_ATTRIBUTE): first the number of
// attributes, then their types and sizes, then their values.
bool Session::same_nested(ObjectHandle object, Attribute attribute, const Template& expected) {
  CK_ATTRIBUTE outer{to_ck(attribute), nullptr, 0};
  const auto told = [&] {
    const CK_RV rv =
        module_.cryptoki().functions->C_GetAttributeValue(handle_, object.value, &outer, 1);
    if (rv == CKR_OK) return true;
    note(rv);
    const Pkcs11Error error{"C_GetAttributeValue", rv, attribute_name(attribute)};
    if (error.is_no_answer()) throw error;  // no drift: nobody was there to ask
    return false;
  };
  if (!told()) return false;
  const std::size_t count = outer.ulValueLen / sizeof(CK_ATTRIBUTE);
  if (outer.ulValueLen == CK_UNAVAILABLE_INFORMATION || count != expected.entries().size() ||
      count > kMaxNested) {
    return false;
  }
  std::array<CK_ATTRIBUTE, kMaxNested> inner{};
  outer.pValue = inner.data();
  if (!told()) return false;
  std::vector<Bytes> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    CK_ATTRIBUTE& one = inner.at(i);
    if (one.ulValueLen > kMaxNestedValueBytes) return false;
    values[i].resize(one.ulValueLen);
    one.pValue = values[i].data();
  }
  if (!told()) return false;
  for (std::size_t i = 0; i < count; ++i) {
    const auto name = static_cast<Attribute>(inner.at(i).type);
    const Template::Entry* const entry = expected.find(name);
    if (entry == nullptr || !same_value(name, values[i], expected.octets_of(*entry))) return false;
  }
  return true;
}

std::vector<std::string> Session::differences(ObjectHandle object, const Template& expected) {
  std::vector<std::string> names;
  for (const Template::Entry& entry : expected.entries()) {
    bool same = true;
    switch (entry.kind) {
      case Template::Entry::Kind::Secret:
        break;
      case Template::Entry::Kind::Nested:
        same = same_nested(object, entry.attribute, expected.nested_of(entry));
        break;
      case Template::Entry::Kind::Octets: {
        const Read<Bytes> is = read_bytes(object, entry.attribute);
        same = is && same_value(entry.attribute, is.value, expected.octets_of(entry));
        break;
      }
    }
    if (!same) names.push_back(attribute_name(entry.attribute));
  }
  return names;
}

Key Session::made(ObjectHandle handle, const Template& attributes) {
  return Key{*this, handle, !attributes.boolean_of(Attribute::Token).value_or(false)};
}

Key Session::create_object(const Template& attributes) {
  CkTemplate ck{attributes};
  CK_OBJECT_HANDLE object = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_CreateObject(handle_, ck.data(), ck.count(), &object),
        "C_CreateObject",
        [&] { return describe_new(attributes); });
  return made(ObjectHandle{object}, attributes);
}

Key Session::copy_object(ObjectHandle object, const Template& changes) {
  CkTemplate ck{changes};
  CK_OBJECT_HANDLE copy = CK_INVALID_HANDLE;
  check(module_.cryptoki().functions->C_CopyObject(
            handle_, object.value, ck.data(), ck.count(), &copy),
        "C_CopyObject",
        [&] { return describe(object); });
  const ObjectHandle handle{copy};
  // Without CKA_TOKEN in the changes the copy is what the original was.
  const bool stays =
      changes.boolean_of(Attribute::Token).value_or(read_bool(handle, Attribute::Token).is(true));
  return Key{*this, handle, !stays};
}

void Session::set_attributes(ObjectHandle object, const Template& changes) {
  CkTemplate ck{changes};
  check(module_.cryptoki().functions->C_SetAttributeValue(
            handle_, object.value, ck.data(), ck.count()),
        "C_SetAttributeValue",
        [&] { return describe(object); });
}

void Session::destroy(ObjectHandle object) {
  check(module_.cryptoki().functions->C_DestroyObject(handle_, object.value),
        "C_DestroyObject",
        [&] { return describe(object); });
  std::erase_if(lasting_, [object](const auto& entry) { return entry.second == object; });
}

void Session::destroy_quietly(ObjectHandle object) noexcept {
  if (lost_) return;
  const CK_RV rv = module_.cryptoki().functions->C_DestroyObject(handle_, object.value);
  note(rv);
  if (rv != CKR_OK && !lost_) ++failed_destroys_;
}

}  // namespace keyferry::p11
