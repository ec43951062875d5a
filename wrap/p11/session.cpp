#include "wrap/p11/session.h"

#include <fmt/format.h>

#include <utility>

#include "wrap/base/text.h"
#include "wrap/p11/cryptoki.h"

namespace keyferry::p11 {

namespace {

CK_USER_TYPE to_ck(Role role) {
  return role == Role::User ? CKU_USER : CKU_SO;
}

std::string_view role_name(Role role) {
  return role == Role::User ? "user" : "security officer";
}

/// Nothing when `rv` is no answer about a PIN.
std::optional<LoginResult> as_login_result(CK_RV rv) {
  switch (rv) {
    case CKR_OK:
    case CKR_USER_ALREADY_LOGGED_IN:
      return LoginResult::Ok;
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return LoginResult::WrongPin;
    case CKR_PIN_LOCKED:
      return LoginResult::Locked;
    case CKR_PIN_EXPIRED:
      return LoginResult::Expired;
    case CKR_USER_PIN_NOT_INITIALIZED:
      return LoginResult::NoPinSet;
    default:
      return std::nullopt;
  }
}

std::string_view class_word(ObjectClass object_class) {
  switch (object_class) {
    case ObjectClass::Data:
      return "data object";
    case ObjectClass::Certificate:
      return "certificate";
    case ObjectClass::PublicKey:
      return "public key";
    case ObjectClass::PrivateKey:
    case ObjectClass::SecretKey:
      return "key";
  }
  return "object";
}

}  // namespace

std::string_view to_string(LoginResult result) {
  switch (result) {
    case LoginResult::Ok:
      return "logged in";
    case LoginResult::WrongPin:
      return "the PIN is wrong";
    case LoginResult::Locked:
      return "the PIN is locked";
    case LoginResult::Expired:
      return "the PIN has expired";
    case LoginResult::NoPinSet:
      return "no PIN has been set";
  }
  return "";
}

Key::Key(Key&& other) noexcept
    : session_{other.session_},
      handle_{std::exchange(other.handle_, {})},
      owned_{std::exchange(other.owned_, false)} {}

Key& Key::operator=(Key&& other) noexcept {
  if (this == &other) return *this;
  if (owned_) session_->destroy_quietly(handle_);
  session_ = other.session_;
  handle_ = std::exchange(other.handle_, {});
  owned_ = std::exchange(other.owned_, false);
  return *this;
}

Key::~Key() {
  if (owned_) session_->destroy_quietly(handle_);
}

void Key::destroy() {
  const ObjectHandle handle = std::exchange(handle_, {});
  if (std::exchange(owned_, false)) session_->destroy(handle);
}

ObjectHandle Key::release() {
  owned_ = false;
  return std::exchange(handle_, {});
}

Session::Session(Module& module, SlotId slot, Access access) : module_{module}, slot_{slot} {
  const CK_FLAGS flags = CKF_SERIAL_SESSION | (access == Access::ReadWrite ? CKF_RW_SESSION : 0UL);
  check(module_.cryptoki().functions->C_OpenSession(slot.value, flags, nullptr, nullptr, &handle_),
        "C_OpenSession",
        [slot] { return fmt::format("slot {}", slot.value); });
  ++module_.open_sessions_;
}

Session::~Session() {
  if (!lost_) module_.cryptoki().functions->C_CloseSession(handle_);
  --module_.open_sessions_;
}

// Handles are numbers that a module may give again: what belonged to a session that is gone is not
// touched any more.
void Session::note(unsigned long rv) noexcept {
  if (rv == CKR_SESSION_HANDLE_INVALID || rv == CKR_SESSION_CLOSED ||
      rv == CKR_CRYPTOKI_NOT_INITIALIZED) {
    lost_ = true;
  }
}

LoginResult Session::login(Role role, const SecretBytes& pin) {
  const CK_RV rv = module_.cryptoki().functions->C_Login(
      handle_, to_ck(role), input(pin.expose()), size_of(pin.expose()));
  if (const auto result = as_login_result(rv)) return *result;
  note(rv);
  throw Pkcs11Error{"C_Login", rv, fmt::format("{}, slot {}", role_name(role), slot_.value)};
}

void Session::login_or_throw(Role role, const SecretBytes& pin) {
  const LoginResult result = login(role, pin);
  if (result == LoginResult::Ok) return;
  throw Error{Code::Refused,
              fmt::format("login as {} to token \"{}\" (slot {}): {}",
                          role_name(role),
                          printable(module_.token_info(slot_).label),
                          slot_.value,
                          to_string(result)),
              result == LoginResult::WrongPin ? "some tokens lock after a few wrong tries" : ""};
}

void Session::logout() {
  check(module_.cryptoki().functions->C_Logout(handle_), "C_Logout", [this] {
    return fmt::format("slot {}", slot_.value);
  });
}

void Session::init_pin(const SecretBytes& user_pin) {
  check(module_.cryptoki().functions->C_InitPIN(
            handle_, input(user_pin.expose()), size_of(user_pin.expose())),
        "C_InitPIN",
        [this] { return fmt::format("slot {}", slot_.value); });
}

LoginResult Session::set_pin(const SecretBytes& old_pin, const SecretBytes& new_pin) {
  const CK_RV rv = module_.cryptoki().functions->C_SetPIN(handle_,
                                                          input(old_pin.expose()),
                                                          size_of(old_pin.expose()),
                                                          input(new_pin.expose()),
                                                          size_of(new_pin.expose()));
  if (const auto result = as_login_result(rv)) return *result;
  note(rv);
  throw Pkcs11Error{"C_SetPIN", rv, fmt::format("slot {}", slot_.value)};
}

Bytes Session::generate_random(std::size_t size_bytes) {
  Bytes out(size_bytes);
  check(module_.cryptoki().functions->C_GenerateRandom(handle_, out.data(), out.size()),
        "C_GenerateRandom",
        [this] { return fmt::format("slot {}", slot_.value); });
  return out;
}

// In the way of an error already: what cannot be read is left out.
std::string Session::describe(ObjectHandle object) {
  const auto read = [this, object](Attribute attribute) -> std::optional<Bytes> {
    try {
      auto value = read_bytes(object, attribute);
      if (value) return std::move(value.value);
    } catch (const Error&) {
      return std::nullopt;
    }
    return std::nullopt;
  };
  const auto raw_class = read(Attribute::Class);
  if (!raw_class) return fmt::format("object {:#x}, slot {}", object.value, slot_.value);
  unsigned long number = 0;
  if (raw_class->size() == sizeof number)
    std::copy_n(raw_class->begin(), sizeof number, reinterpret_cast<unsigned char*>(&number));
  const std::string_view word = class_word(static_cast<ObjectClass>(number));
  const auto label = read(Attribute::Label);
  if (label && !label->empty())
    return fmt::format("{} \"{}\", slot {}", word, printable(as_chars(*label)), slot_.value);
  const auto id = read(Attribute::Id);
  if (id && !id->empty())
    return fmt::format("{} with id {}, slot {}", word, to_hex(*id), slot_.value);
  return fmt::format("{} without label, slot {}", word, slot_.value);
}

std::string Session::describe_new(const Template& attributes) const {
  const Template::Entry* const label = attributes.find(Attribute::Label);
  if (label == nullptr) return fmt::format("new object without label, slot {}", slot_.value);
  return fmt::format(
      "new object \"{}\", slot {}", printable(as_chars(attributes.octets_of(*label))), slot_.value);
}

}  // namespace keyferry::p11
