#include "tests/bench/raw_loop.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <p11-kit/pkcs11.h>

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <vector>

#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"

namespace keyferry::bench {
namespace {

constexpr std::array<CK_BYTE, 10> kP256{0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07};
constexpr std::size_t kKeyBytes = 32;
constexpr const char* kLabel = "bench";

/// PKCS#11 2.40 has the number; p11-kit's header names it as we do.
constexpr CK_MECHANISM_TYPE kKeyWrapPad = 0x210A;

void check(CK_RV rv, const char* function) {
  if (rv != CKR_OK) throw Error{Code::Hsm, fmt::format("{}: {:#x}", function, rv)};
}

CK_BBOOL* flag(bool value) {
  static CK_BBOOL yes = CK_TRUE;
  static CK_BBOOL no = CK_FALSE;
  return value ? &yes : &no;
}

CK_ATTRIBUTE boolean(CK_ATTRIBUTE_TYPE type, bool value) {
  return {type, flag(value), sizeof(CK_BBOOL)};
}

template <typename Value>
CK_ATTRIBUTE of(CK_ATTRIBUTE_TYPE type, Value& value) {
  return {type, &value, sizeof value};
}

CK_ATTRIBUTE label() {
  return {CKA_LABEL, const_cast<char*>(kLabel), std::strlen(kLabel)};
}

class RawLoop {
 public:
  RawLoop(const std::filesystem::path& module, const std::string& pin) : pin_{pin} {
    void* const library = dlopen(module.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
      throw Error{Code::Hsm, fmt::format("{}: {}", module.string(), dlerror())};
    CK_C_GetFunctionList get = nullptr;
    void* const symbol = dlsym(library, "C_GetFunctionList");
    if (symbol == nullptr) throw Error{Code::Hsm, module.string() + " is no PKCS#11 library"};
    std::memcpy(&get, &symbol, sizeof get);
    check(get(&p11_), "C_GetFunctionList");
    check(p11_->C_Initialize(nullptr), "C_Initialize");
    const CK_SLOT_ID slot = token();
    check(
        p11_->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session_),
        "C_OpenSession");
    check(p11_->C_Login(session_, CKU_USER, pin_octets(), pin_.size()), "C_Login");
    master_ = master();
    authority_ = authority();
  }

  ~RawLoop() { p11_->C_Finalize(nullptr); }

  RawLoop(const RawLoop&) = delete;
  RawLoop& operator=(const RawLoop&) = delete;

  double run(std::uint32_t count) {
    const auto start = std::chrono::steady_clock::now();
    for (std::uint32_t i = 0; i < count; ++i) one_key(i);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  CK_UTF8CHAR_PTR pin_octets() { return reinterpret_cast<CK_UTF8CHAR_PTR>(pin_.data()); }

  /// The store's token; made when the store is empty.
  CK_SLOT_ID token() {
    for (const bool made : {false, true}) {
      CK_ULONG count = 0;
      check(p11_->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList");
      std::vector<CK_SLOT_ID> slots(count);
      check(p11_->C_GetSlotList(CK_TRUE, slots.data(), &count), "C_GetSlotList");
      for (const CK_SLOT_ID slot : slots) {
        CK_TOKEN_INFO info{};
        check(p11_->C_GetTokenInfo(slot, &info), "C_GetTokenInfo");
        if ((info.flags & CKF_USER_PIN_INITIALIZED) != 0) return slot;
        if (!made) make_token(slot);
      }
    }
    throw Error{Code::Hsm, "the store has no token and makes none"};
  }

  void make_token(CK_SLOT_ID slot) {
    std::array<CK_UTF8CHAR, 32> name{};
    name.fill(' ');
    std::memcpy(name.data(), kLabel, std::strlen(kLabel));
    check(p11_->C_InitToken(slot, pin_octets(), pin_.size(), name.data()), "C_InitToken");
    CK_SESSION_HANDLE session = 0;
    check(
        p11_->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session),
        "C_OpenSession");
    check(p11_->C_Login(session, CKU_SO, pin_octets(), pin_.size()), "C_Login");
    check(p11_->C_InitPIN(session, pin_octets(), pin_.size()), "C_InitPIN");
    check(p11_->C_CloseSession(session), "C_CloseSession");
  }

  std::optional<CK_OBJECT_HANDLE> find(CK_OBJECT_CLASS object_class) {
    std::array wanted{of(CKA_CLASS, object_class), label()};
    CK_OBJECT_HANDLE found = CK_INVALID_HANDLE;
    CK_ULONG count = 0;
    check(p11_->C_FindObjectsInit(session_, wanted.data(), wanted.size()), "C_FindObjectsInit");
    check(p11_->C_FindObjects(session_, &found, 1, &count), "C_FindObjects");
    check(p11_->C_FindObjectsFinal(session_), "C_FindObjectsFinal");
    return count == 1 ? std::optional{found} : std::nullopt;
  }

  CK_OBJECT_HANDLE master() {
    if (const auto there = find(CKO_SECRET_KEY)) return *there;
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    CK_ULONG size_bytes = kKeyBytes;
    CK_MECHANISM_TYPE allowed = CKM_AES_ECB_ENCRYPT_DATA;
    std::array key{label(),
                   boolean(CKA_TOKEN, true),
                   boolean(CKA_PRIVATE, true),
                   boolean(CKA_SENSITIVE, true),
                   boolean(CKA_EXTRACTABLE, false),
                   boolean(CKA_DERIVE, true),
                   boolean(CKA_WRAP, false),
                   boolean(CKA_ENCRYPT, false),
                   of(CKA_VALUE_LEN, size_bytes),
                   of(CKA_ALLOWED_MECHANISMS, allowed)};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    check(p11_->C_GenerateKey(session_, &mechanism, key.data(), key.size(), &handle),
          "C_GenerateKey");
    return handle;
  }

  CK_OBJECT_HANDLE authority() {
    if (const auto there = find(CKO_PRIVATE_KEY)) return *there;
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    std::array<CK_BYTE, kP256.size()> curve = kP256;
    CK_MECHANISM_TYPE allowed = CKM_ECDSA;
    std::array public_key{
        label(), boolean(CKA_TOKEN, true), boolean(CKA_VERIFY, true), of(CKA_EC_PARAMS, curve)};
    std::array private_key{label(),
                           boolean(CKA_TOKEN, true),
                           boolean(CKA_PRIVATE, true),
                           boolean(CKA_SENSITIVE, true),
                           boolean(CKA_EXTRACTABLE, false),
                           boolean(CKA_SIGN, true),
                           of(CKA_ALLOWED_MECHANISMS, allowed)};
    CK_OBJECT_HANDLE public_handle = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE private_handle = CK_INVALID_HANDLE;
    check(p11_->C_GenerateKeyPair(session_,
                                  &mechanism,
                                  public_key.data(),
                                  public_key.size(),
                                  private_key.data(),
                                  private_key.size(),
                                  &public_handle,
                                  &private_handle),
          "C_GenerateKeyPair");
    return private_handle;
  }

  CK_OBJECT_HANDLE derive(std::uint32_t number) {
    std::array<CK_BYTE, kKeyBytes> data{};
    for (const std::size_t block : {std::size_t{0}, kKeyBytes / 2}) {
      data.at(block) = block == 0 ? 1 : 2;
      std::memcpy(&data.at(block + 1), &number, sizeof number);
    }
    CK_KEY_DERIVATION_STRING_DATA parameter{data.data(), data.size()};
    CK_MECHANISM mechanism{CKM_AES_ECB_ENCRYPT_DATA, &parameter, sizeof parameter};
    CK_OBJECT_CLASS object_class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ULONG size_bytes = kKeyBytes;
    CK_MECHANISM_TYPE allowed = kKeyWrapPad;
    std::array key{of(CKA_CLASS, object_class),
                   of(CKA_KEY_TYPE, type),
                   of(CKA_VALUE_LEN, size_bytes),
                   boolean(CKA_TOKEN, false),
                   boolean(CKA_PRIVATE, true),
                   boolean(CKA_SENSITIVE, true),
                   boolean(CKA_EXTRACTABLE, false),
                   boolean(CKA_COPYABLE, false),
                   boolean(CKA_WRAP, true),
                   boolean(CKA_UNWRAP, false),
                   boolean(CKA_ENCRYPT, false),
                   boolean(CKA_DECRYPT, false),
                   boolean(CKA_SIGN, false),
                   boolean(CKA_VERIFY, false),
                   boolean(CKA_DERIVE, false),
                   of(CKA_ALLOWED_MECHANISMS, allowed),
                   boolean(CKA_MODIFIABLE, false)};
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    check(p11_->C_DeriveKey(session_, &mechanism, master_, key.data(), key.size(), &handle),
          "C_DeriveKey");
    return handle;
  }

  void generate(CK_OBJECT_HANDLE& public_handle, CK_OBJECT_HANDLE& private_handle) {
    CK_MECHANISM mechanism{CKM_EC_KEY_PAIR_GEN, nullptr, 0};
    CK_OBJECT_CLASS public_class = CKO_PUBLIC_KEY;
    CK_OBJECT_CLASS private_class = CKO_PRIVATE_KEY;
    CK_KEY_TYPE type = CKK_EC;
    CK_MECHANISM_TYPE allowed = CKM_ECDSA;
    std::array<CK_BYTE, kP256.size()> curve = kP256;
    std::array public_key{of(CKA_CLASS, public_class),
                          of(CKA_KEY_TYPE, type),
                          boolean(CKA_TOKEN, false),
                          boolean(CKA_PRIVATE, true),
                          boolean(CKA_VERIFY, true),
                          boolean(CKA_ENCRYPT, false),
                          boolean(CKA_WRAP, false),
                          boolean(CKA_DERIVE, false),
                          of(CKA_EC_PARAMS, curve)};
    std::array private_key{of(CKA_CLASS, private_class),
                           of(CKA_KEY_TYPE, type),
                           boolean(CKA_TOKEN, false),
                           boolean(CKA_PRIVATE, true),
                           boolean(CKA_SENSITIVE, true),
                           boolean(CKA_EXTRACTABLE, true),
                           boolean(CKA_COPYABLE, false),
                           boolean(CKA_SIGN, true),
                           boolean(CKA_DECRYPT, false),
                           boolean(CKA_UNWRAP, false),
                           boolean(CKA_DERIVE, false),
                           of(CKA_ALLOWED_MECHANISMS, allowed),
                           boolean(CKA_MODIFIABLE, false)};
    check(p11_->C_GenerateKeyPair(session_,
                                  &mechanism,
                                  public_key.data(),
                                  public_key.size(),
                                  private_key.data(),
                                  private_key.size(),
                                  &public_handle,
                                  &private_handle),
          "C_GenerateKeyPair");
  }

  void one_key(std::uint32_t number) {
    const CK_OBJECT_HANDLE transport = derive(number);
    CK_OBJECT_HANDLE public_handle = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE private_handle = CK_INVALID_HANDLE;
    generate(public_handle, private_handle);

    CK_MECHANISM wrap{kKeyWrapPad, nullptr, 0};
    std::array<CK_BYTE, 512> blob;
    CK_ULONG blob_bytes = blob.size();
    check(p11_->C_WrapKey(session_, &wrap, transport, private_handle, blob.data(), &blob_bytes),
          "C_WrapKey");

    std::array<CK_BYTE, 128> point;
    CK_ATTRIBUTE wanted{CKA_EC_POINT, point.data(), point.size()};
    check(p11_->C_GetAttributeValue(session_, public_handle, &wanted, 1), "C_GetAttributeValue");

    CK_MECHANISM ecdsa{CKM_ECDSA, nullptr, 0};
    std::array<CK_BYTE, kKeyBytes> digest{};
    std::memcpy(digest.data(), &number, sizeof number);
    std::array<CK_BYTE, 64> signature;
    CK_ULONG signature_bytes = signature.size();
    check(p11_->C_SignInit(session_, &ecdsa, authority_), "C_SignInit");
    check(p11_->C_Sign(session_, digest.data(), digest.size(), signature.data(), &signature_bytes),
          "C_Sign");

    for (const CK_OBJECT_HANDLE object : {public_handle, private_handle, transport}) {
      check(p11_->C_DestroyObject(session_, object), "C_DestroyObject");
    }
  }

  std::string pin_;
  CK_FUNCTION_LIST_PTR p11_ = nullptr;
  CK_SESSION_HANDLE session_ = 0;
  CK_OBJECT_HANDLE master_ = 0;
  CK_OBJECT_HANDLE authority_ = 0;
};

}  // namespace

double raw_loop_seconds(const std::filesystem::path& module,
                        const std::string& pin,
                        std::uint32_t count) {
  return RawLoop{module, pin}.run(count);
}

std::filesystem::path make_raw_store(const std::filesystem::path& folder) {
  const std::filesystem::path tokens = folder / "tokens";
  const std::filesystem::path config = folder / "softhsm2.conf";
  make_private_directory(tokens);
  write_file_durably(
      config,
      as_bytes(
          fmt::format("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n"
                      "slots.removable = false\n",
                      tokens.string())),
      Overwrite::Replace);
  return config;
}

}  // namespace keyferry::bench
