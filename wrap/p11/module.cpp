#include "wrap/p11/module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <chrono>
#include <thread>

#include "wrap/base/text.h"
#include "wrap/p11/cryptoki.h"

namespace keyferry::p11 {

namespace {

constexpr int kFindTries = 4;
constexpr std::chrono::milliseconds kFindPause{75};
constexpr std::size_t kLabelOctets = 32;

/// A field of fixed width, without the blanks (or NULs, in modules that err) at its end.
template <std::size_t N>
std::string text_of(const unsigned char (&field)[N]) {
  std::string text = keyferry::to_string(ByteView{field, N});
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.pop_back();
  return text;
}

std::string version_of(const CK_VERSION& version) {
  return fmt::format(
      "{}.{}", static_cast<unsigned>(version.major), static_cast<unsigned>(version.minor));
}

bool version_matches(std::string_view wanted, const std::string& version) {
  return version == wanted || (wanted.find('.') == std::string_view::npos &&
                               version.starts_with(fmt::format("{}.", wanted)));
}

TokenInfo read_token(CK_FUNCTION_LIST_PTR functions, CK_SLOT_ID slot) {
  const auto name = [slot] { return fmt::format("slot {}", slot); };
  CK_TOKEN_INFO token{};
  CK_SLOT_INFO where{};
  check(functions->C_GetTokenInfo(slot, &token), "C_GetTokenInfo", name);
  check(functions->C_GetSlotInfo(slot, &where), "C_GetSlotInfo", name);
  TokenInfo info;
  info.slot = SlotId{slot};
  info.label = text_of(token.label);
  info.manufacturer = text_of(token.manufacturerID);
  info.model = text_of(token.model);
  info.serial = text_of(token.serialNumber);
  info.slot_description = text_of(where.slotDescription);
  info.slot_manufacturer = text_of(where.manufacturerID);
  const auto has = [&token](CK_FLAGS flag) { return (token.flags & flag) != 0; };
  info.initialised = has(CKF_TOKEN_INITIALIZED);
  info.user_pin_set = has(CKF_USER_PIN_INITIALIZED);
  info.login_required = has(CKF_LOGIN_REQUIRED);
  info.write_protected = has(CKF_WRITE_PROTECTED);
  info.has_rng = has(CKF_RNG);
  info.user_pin_locked = has(CKF_USER_PIN_LOCKED);
  info.user_pin_low = has(CKF_USER_PIN_COUNT_LOW) || has(CKF_USER_PIN_FINAL_TRY);
  info.user_pin_final_try = has(CKF_USER_PIN_FINAL_TRY);
  info.min_pin_length = token.ulMinPinLen;
  info.max_pin_length = token.ulMaxPinLen == CK_UNAVAILABLE_INFORMATION ? 0 : token.ulMaxPinLen;
  info.protected_pin_path = has(CKF_PROTECTED_AUTHENTICATION_PATH);
  return info;
}

CK_FUNCTION_LIST_PTR load(const std::filesystem::path& library) {
  // The library stays mapped: modules leave exit handlers and threads behind that must not point at
  // nothing.
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* const reason = dlerror();  // NOLINT(concurrency-mt-unsafe): glibc's is per thread
    throw Error{
        Code::Hsm,
        fmt::format(
            "cannot load PKCS#11 module {}: {}", library.string(), reason == nullptr ? "" : reason),
        "check the path of the module"};
  }
  const auto get_list = reinterpret_cast<CK_C_GetFunctionList>(dlsym(handle, "C_GetFunctionList"));
  if (get_list == nullptr) {
    dlclose(handle);
    throw Error{
        Code::Hsm,
        fmt::format("{} is no PKCS#11 module: it has no C_GetFunctionList", library.string())};
  }
  CK_FUNCTION_LIST_PTR functions = nullptr;
  check(get_list(&functions), "C_GetFunctionList", [&library] { return library.string(); });
  if (functions == nullptr || functions->version.major != 2) {
    throw Error{Code::Hsm,
                fmt::format("{}: its function list is not of PKCS#11 2.x", library.string())};
  }
  return functions;
}

std::string describe(const TokenInfo& token) {
  return fmt::format("token \"{}\" (serial {}, slot {})",
                     printable(token.label),
                     printable(token.serial),
                     token.slot.value);
}

}  // namespace

Module::Module(std::filesystem::path library, CallsFrom calls)
    : library_{std::move(library)}, calls_{calls},
      cryptoki_{std::make_unique<Cryptoki>(Cryptoki{load(library_)})} {
  initialise();
}

Module::~Module() {
  finalise();
}

void Module::initialise() {
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  check(cryptoki_->functions->C_Initialize(calls_ == CallsFrom::OneThread ? nullptr : &arguments), "C_Initialize", [this] {
    return library_.string();
  });
  initialised_ = true;
}

void Module::finalise() noexcept {
  if (initialised_) cryptoki_->functions->C_Finalize(nullptr);
  initialised_ = false;
}

ModuleInfo Module::info() const {
  CK_INFO info{};
  check(cryptoki_->functions->C_GetInfo(&info), "C_GetInfo", [this] { return library_.string(); });
  return {text_of(info.manufacturerID),
          text_of(info.libraryDescription),
          version_of(info.libraryVersion),
          version_of(info.cryptokiVersion)};
}

std::vector<TokenInfo> Module::tokens() const {
  const auto name = [this] { return library_.string(); };
  // Between the two calls a slot may appear: ask again then.
  std::vector<CK_SLOT_ID> slots;
  CK_RV rv = CKR_BUFFER_TOO_SMALL;
  while (rv == CKR_BUFFER_TOO_SMALL) {
    CK_ULONG count = 0;
    check(cryptoki_->functions->C_GetSlotList(CK_TRUE, nullptr, &count), "C_GetSlotList", name);
    slots.resize(count);
    rv = cryptoki_->functions->C_GetSlotList(CK_TRUE, slots.data(), &count);
    if (rv == CKR_OK) slots.resize(count);
  }
  check(rv, "C_GetSlotList", name);
  std::vector<TokenInfo> tokens;
  for (const CK_SLOT_ID slot : slots) {
    try {
      tokens.push_back(read_token(cryptoki_->functions, slot));
    } catch (const Pkcs11Error& error) {
      // Pulled between the list and the question: it is not there. CKR_GENERAL_ERROR: what a kill within C_InitToken
      // leaves in SoftHSM's store; no token that anybody can use, and not in the way of the others.
      if (!error.is_device_lost() && error.rv() != CKR_GENERAL_ERROR) throw;
    }
  }
  return tokens;
}

TokenInfo Module::token_info(SlotId slot) const {
  return read_token(cryptoki_->functions, slot.value);
}

TokenInfo Module::find_token(const Uri& uri) {
  for (int attempt = 1;; ++attempt) {
    std::vector<TokenInfo> found;
    const ModuleInfo module = info();
    for (TokenInfo& token : tokens()) {
      // Cut between C_InitToken and C_InitPIN: nobody can use that token, so it is not in the way of the one made next.
      if (!token.initialised || !token.user_pin_set) continue;
      if (matches(uri, token, module)) found.push_back(std::move(token));
    }
    if (found.size() == 1) return found.front();
    if (found.size() > 1) {
      throw Error{Code::Usage,
                  fmt::format("{} matches {} tokens", to_string(uri), found.size()),
                  "add serial= or slot-id= to the URI"};
    }
    if (attempt == kFindTries || open_sessions_ != 0) {
      throw Error{Code::NotFound,
                  fmt::format("{}: no such token in {}", to_string(uri), library_.string()),
                  "compare with the module's list of tokens"};
    }
    std::this_thread::sleep_for(kFindPause);
    finalise();
    initialise();
  }
}

std::optional<SlotId> Module::uninitialised_slot() const {
  for (const TokenInfo& token : tokens()) {
    if (!token.initialised) return token.slot;
  }
  return std::nullopt;
}

TokenInfo Module::init_token(SlotId slot, const SecretBytes& so_pin, std::string_view label) {
  if (label.empty() || label.size() > kLabelOctets) {
    throw Error{Code::InvalidArgument, "a token's label has 1 to 32 octets"};
  }
  if (const TokenInfo before = token_info(slot); before.initialised) {
    throw Error{
        Code::Refused,
        fmt::format("{} is initialised already; nothing was changed", p11::describe(before))};
  }
  std::array<unsigned char, kLabelOctets> padded{};
  padded.fill(' ');
  std::copy(label.begin(), label.end(), padded.begin());
  check(cryptoki_->functions->C_InitToken(
            slot.value, input(so_pin.expose()), size_of(so_pin.expose()), padded.data()),
        "C_InitToken",
        [slot] { return fmt::format("slot {}", slot.value); });
  return token_info(slot);
}

bool Module::has_mechanism(SlotId slot, Mechanism mechanism) const {
  CK_MECHANISM_INFO info{};
  return cryptoki_->functions->C_GetMechanismInfo(
             slot.value, static_cast<CK_MECHANISM_TYPE>(mechanism), &info) == CKR_OK;
}

bool matches(const Uri& uri, const TokenInfo& token, const ModuleInfo& info) {
  const auto fits = [](const std::optional<std::string>& wanted, const std::string& is) {
    return !wanted || *wanted == is;
  };
  return uri.unknown_path.empty() && fits(uri.token, token.label) &&
         fits(uri.serial, token.serial) && fits(uri.manufacturer, token.manufacturer) &&
         fits(uri.model, token.model) && fits(uri.slot_description, token.slot_description) &&
         fits(uri.slot_manufacturer, token.slot_manufacturer) &&
         fits(uri.library_description, info.description) &&
         fits(uri.library_manufacturer, info.manufacturer) &&
         (!uri.library_version || version_matches(*uri.library_version, info.library_version)) &&
         (!uri.slot_id || *uri.slot_id == token.slot.value);
}

}  // namespace keyferry::p11
