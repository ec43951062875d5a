#include "tests/shim/lies.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "wrap/p11/sp800_108.h"

namespace keyferry::shim {

namespace {

namespace sp800_108 = p11::sp800_108;

constexpr CK_ULONG kRawPointBytes = 65;
constexpr unsigned char kOctetString = 0x04;
constexpr std::size_t kValueBytes = 1024;

std::vector<CK_MECHANISM_TYPE> as_mechanisms(const void* octets, CK_ULONG size_bytes) {
  std::vector<CK_MECHANISM_TYPE> list(size_bytes / sizeof(CK_MECHANISM_TYPE));
  if (!list.empty()) std::memcpy(list.data(), octets, list.size() * sizeof(CK_MECHANISM_TYPE));
  return list;
}

// Everything that the product might try on a key that does not allow it.
constexpr std::array<CK_MECHANISM_TYPE, 12> kEverything{CKM_RSA_PKCS_OAEP,
                                                        CKM_ECDSA,
                                                        CKM_ECDH1_DERIVE,
                                                        CKM_AES_ECB,
                                                        CKM_AES_CBC,
                                                        CKM_AES_CBC_PAD,
                                                        CKM_AES_CMAC,
                                                        CKM_AES_ECB_ENCRYPT_DATA,
                                                        CKM_AES_CBC_ENCRYPT_DATA,
                                                        CKM_AES_KEY_WRAP,
                                                        CKM_AES_KEY_WRAP_PAD,
                                                        CKM_AES_GCM};

bool read_flag(Core& core,
               CK_SESSION_HANDLE session,
               CK_OBJECT_HANDLE object,
               CK_ATTRIBUTE_TYPE type) {
  CK_BBOOL flag = CK_FALSE;
  CK_ATTRIBUTE wanted{type, &flag, sizeof flag};
  return core.real()->C_GetAttributeValue(session, object, &wanted, 1) == CKR_OK &&
         flag != CK_FALSE;
}

bool is_told_otherwise(const Script& script, CK_ATTRIBUTE_TYPE type) {
  return type == CKA_ALLOWED_MECHANISMS || (type == CKA_EC_POINT && script.raw_points) ||
         (type == CKA_SIGN && script.sp800_108);
}

/// The value as the product is to see it, in place; gives its size.
CK_ULONG retold(Core& core,
                CK_SESSION_HANDLE session,
                CK_OBJECT_HANDLE object,
                CK_ATTRIBUTE_TYPE type,
                std::array<unsigned char, kValueBytes>& value,
                CK_ULONG size_bytes) {
  if (type == CKA_EC_POINT && size_bytes == kRawPointBytes + 2 && value[0] == kOctetString) {
    std::copy_n(value.begin() + 2, kRawPointBytes, value.begin());
    return kRawPointBytes;
  }
  if (type == CKA_SIGN && size_bytes == 1 && read_flag(core, session, object, CKA_DERIVE)) {
    value[0] = CK_FALSE;
  }
  if (type != CKA_ALLOWED_MECHANISMS) return size_bytes;
  std::vector<CK_MECHANISM_TYPE> list = as_mechanisms(value.data(), size_bytes);
  std::erase_if(list, [](CK_MECHANISM_TYPE one) { return (one & kAsked) == 0; });
  if (list.empty()) return size_bytes;
  for (CK_MECHANISM_TYPE& one : list) one &= ~kAsked;
  std::memcpy(value.data(), list.data(), list.size() * sizeof(CK_MECHANISM_TYPE));
  return list.size() * sizeof(CK_MECHANISM_TYPE);
}

void append_big_endian(std::vector<unsigned char>& out, CK_ULONG value, CK_ULONG bits) {
  for (CK_ULONG shift = bits; shift >= 8; shift -= 8) {
    out.push_back(static_cast<unsigned char>(value >> (shift - 8)));
  }
}

/// The message of block `number`; nothing when the parameters are none that we know.
std::optional<std::vector<unsigned char>> prf_message(const sp800_108::Params& parameters,
                                                      CK_ULONG number,
                                                      CK_ULONG key_bits) {
  std::vector<unsigned char> message;
  bool counted = false;
  for (CK_ULONG i = 0; i < parameters.data_count; ++i) {
    const sp800_108::DataParam& one = parameters.data[i];
    if (one.type == sp800_108::kIterationVariable &&
        one.value_len == sizeof(sp800_108::CounterFormat)) {
      const auto& format = *static_cast<const sp800_108::CounterFormat*>(one.value);
      if (format.little_endian != CK_FALSE) return std::nullopt;
      append_big_endian(message, number, format.width_in_bits);
      counted = true;
    } else if (one.type == sp800_108::kLength && one.value_len == sizeof(sp800_108::LengthFormat)) {
      const auto& format = *static_cast<const sp800_108::LengthFormat*>(one.value);
      if (format.little_endian != CK_FALSE || format.method != sp800_108::kSumOfKeys)
        return std::nullopt;
      append_big_endian(message, key_bits, format.width_in_bits);
    } else if (one.type == sp800_108::kByteArray) {
      const auto* const octets = static_cast<const unsigned char*>(one.value);
      message.insert(message.end(), octets, octets + one.value_len);
    } else {
      return std::nullopt;
    }
  }
  if (!counted) return std::nullopt;
  return message;
}

bool allows(Core& core,
            CK_SESSION_HANDLE session,
            CK_OBJECT_HANDLE object,
            CK_MECHANISM_TYPE mechanism) {
  std::array<CK_MECHANISM_TYPE, 64> list{};
  CK_ATTRIBUTE wanted{CKA_ALLOWED_MECHANISMS, list.data(), sizeof list};
  if (read_attributes(core, session, object, &wanted, 1) != CKR_OK || wanted.ulValueLen == 0)
    return true;
  const auto end =
      list.begin() + static_cast<std::ptrdiff_t>(wanted.ulValueLen / sizeof(CK_MECHANISM_TYPE));
  return std::find(list.begin(), end, mechanism) != end;
}

}  // namespace

std::optional<CK_MECHANISM_TYPE> real_mechanism(const Script& script, CK_MECHANISM_TYPE asked) {
  if (script.absent.contains(asked)) return std::nullopt;
  if (!script.kwp_number) return asked;
  if (asked == *script.kwp_number) return CKM_AES_KEY_WRAP_PAD;
  if (asked == CKM_AES_KEY_WRAP_PAD) return std::nullopt;
  return asked;
}

RealTemplate::RealTemplate(const Script& script,
                           const CK_ATTRIBUTE* attributes,
                           CK_ULONG count,
                           For use)
    : attributes_(attributes, attributes + count) {
  const CK_BBOOL yes = CK_TRUE;
  const CK_BBOOL no = CK_FALSE;
  if (use == For::Derive && script.derived_readable) {
    set(CKA_SENSITIVE, &no, sizeof no);
    set(CKA_EXTRACTABLE, &yes, sizeof yes);
  }
  if (!script.changes_templates() || use == For::Other) return;
  allow(script);
  if (script.sp800_108 && is_true(CKA_DERIVE) && number(CKA_KEY_TYPE) == CKK_AES) {
    set(CKA_SIGN, &yes, sizeof yes);
  }
  if (!script.raw_points || number(CKA_CLASS) != CKO_PUBLIC_KEY) return;
  for (const CK_ATTRIBUTE& one : attributes_) {
    if (one.type != CKA_EC_POINT) continue;
    refused_ = one.ulValueLen != kRawPointBytes;
    if (refused_) return;
    std::vector<unsigned char> der{kOctetString, static_cast<unsigned char>(kRawPointBytes)};
    const auto* const octets = static_cast<const unsigned char*>(one.pValue);
    der.insert(der.end(), octets, octets + kRawPointBytes);
    set(CKA_EC_POINT, der.data(), der.size());
    break;
  }
}

void RealTemplate::allow(const Script& script) {
  const auto found = std::ranges::find(
      attributes_, CK_ATTRIBUTE_TYPE{CKA_ALLOWED_MECHANISMS}, &CK_ATTRIBUTE::type);
  if (found == attributes_.end() || found->ulValueLen == 0) return;
  std::vector<CK_MECHANISM_TYPE> kept;
  for (const CK_MECHANISM_TYPE asked : as_mechanisms(found->pValue, found->ulValueLen)) {
    kept.push_back(asked | kAsked);
    if (script.sp800_108 && asked == sp800_108::kCounterKdf) kept.push_back(CKM_AES_CMAC);
    if (const auto real = real_mechanism(script, asked)) kept.push_back(*real);
  }
  if (script.ignore_allowed_mechanisms)
    kept.insert(kept.end(), kEverything.begin(), kEverything.end());
  set(CKA_ALLOWED_MECHANISMS, kept.data(), kept.size() * sizeof(CK_MECHANISM_TYPE));
}

// What is new goes first: SoftHSM applies a template in its order, and CKA_MODIFIABLE false, which
// the product puts last, shuts out what follows.
void RealTemplate::set(CK_ATTRIBUTE_TYPE type, const void* value, CK_ULONG size_bytes) {
  const auto* const octets = static_cast<const unsigned char*>(value);
  values_.emplace_back(octets, octets + size_bytes);
  const auto found = std::ranges::find(attributes_, type, &CK_ATTRIBUTE::type);
  CK_ATTRIBUTE& one = found == attributes_.end()
                          ? *attributes_.insert(attributes_.begin(), CK_ATTRIBUTE{})
                          : *found;
  one = {type, values_.back().data(), size_bytes};
}

void RealTemplate::remove(CK_ATTRIBUTE_TYPE type) {
  std::erase_if(attributes_, [type](const CK_ATTRIBUTE& one) { return one.type == type; });
}

std::optional<CK_ULONG> RealTemplate::number(CK_ATTRIBUTE_TYPE type) const {
  const auto found = std::ranges::find(attributes_, type, &CK_ATTRIBUTE::type);
  if (found == attributes_.end() || found->ulValueLen != sizeof(CK_ULONG)) return std::nullopt;
  CK_ULONG value = 0;
  std::memcpy(&value, found->pValue, sizeof value);
  return value;
}

bool RealTemplate::is_true(CK_ATTRIBUTE_TYPE type) const {
  const auto found = std::ranges::find(attributes_, type, &CK_ATTRIBUTE::type);
  return found != attributes_.end() && found->ulValueLen == 1 &&
         *static_cast<const CK_BBOOL*>(found->pValue) != CK_FALSE;
}

CK_RV read_attributes(Core& core,
                      CK_SESSION_HANDLE session,
                      CK_OBJECT_HANDLE object,
                      CK_ATTRIBUTE* attributes,
                      CK_ULONG count) {
  const Script& script = core.script();
  const auto otherwise = [&script](const CK_ATTRIBUTE& one) {
    return is_told_otherwise(script, one.type);
  };
  if (!script.changes_templates() || std::none_of(attributes, attributes + count, otherwise)) {
    return core.real()->C_GetAttributeValue(session, object, attributes, count);
  }
  std::vector<CK_ATTRIBUTE> wanted(attributes, attributes + count);
  std::vector<std::array<unsigned char, kValueBytes>> values(count);
  for (CK_ULONG i = 0; i < count; ++i) {
    if (otherwise(wanted[i])) wanted[i] = {wanted[i].type, values[i].data(), kValueBytes};
  }
  CK_RV rv = core.real()->C_GetAttributeValue(session, object, wanted.data(), count);
  for (CK_ULONG i = 0; i < count; ++i) {
    if (!otherwise(wanted[i]) || wanted[i].ulValueLen == CK_UNAVAILABLE_INFORMATION) {
      attributes[i].ulValueLen = wanted[i].ulValueLen;
      continue;
    }
    const CK_ULONG size_bytes =
        retold(core, session, object, wanted[i].type, values[i], wanted[i].ulValueLen);
    if (attributes[i].pValue == nullptr) {
      attributes[i].ulValueLen = size_bytes;
    } else if (attributes[i].ulValueLen < size_bytes) {
      attributes[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
      if (rv == CKR_OK) rv = CKR_BUFFER_TOO_SMALL;
    } else {
      std::memcpy(attributes[i].pValue, values[i].data(), size_bytes);
      attributes[i].ulValueLen = size_bytes;
    }
  }
  return rv;
}

CK_RV derive_sp800_108(Core& core,
                       CK_SESSION_HANDLE session,
                       const CK_MECHANISM& mechanism,
                       CK_OBJECT_HANDLE base,
                       RealTemplate& attributes,
                       CK_OBJECT_HANDLE* key) {
  if (mechanism.ulParameterLen != sizeof(sp800_108::Params)) return CKR_MECHANISM_PARAM_INVALID;
  const auto& parameters = *static_cast<const sp800_108::Params*>(mechanism.pParameter);
  const auto size_bytes = attributes.number(CKA_VALUE_LEN);
  if (parameters.prf != CKM_AES_CMAC || parameters.additional_count != 0)
    return CKR_MECHANISM_PARAM_INVALID;
  if (!size_bytes || *size_bytes == 0) return CKR_TEMPLATE_INCOMPLETE;
  if (!read_flag(core, session, base, CKA_DERIVE)) return CKR_KEY_FUNCTION_NOT_PERMITTED;
  if (!allows(core, session, base, sp800_108::kCounterKdf)) return CKR_MECHANISM_INVALID;
  std::vector<unsigned char> value;
  for (CK_ULONG number = 1; value.size() < *size_bytes; ++number) {
    auto message = prf_message(parameters, number, *size_bytes * 8);
    if (!message) return CKR_MECHANISM_PARAM_INVALID;
    CK_MECHANISM cmac{CKM_AES_CMAC, nullptr, 0};
    CK_RV rv = core.real()->C_SignInit(session, &cmac, base);
    if (rv != CKR_OK) return rv;
    std::array<unsigned char, 16> block{};
    CK_ULONG block_bytes = block.size();
    rv = core.real()->C_Sign(session, message->data(), message->size(), block.data(), &block_bytes);
    if (rv != CKR_OK) return rv;
    value.insert(value.end(), block.begin(), block.end());
  }
  value.resize(*size_bytes);
  attributes.remove(CKA_VALUE_LEN);
  attributes.set(CKA_VALUE, value.data(), value.size());
  return core.real()->C_CreateObject(session, attributes.data(), attributes.count(), key);
}

}  // namespace keyferry::shim
