#include "station-agent/lane-p11/device.h"

#include <algorithm>
#include <utility>

#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/crypto/signing.h"
#include "wrap/p11/probe.h"
#include "wrap/p11/softhsm_tokens.h"
#include "wrap/se/pkcs11_device.h"
#include "wrap/x509/der.h"
#include "wrap/x509/path.h"

namespace keyferry::lane_p11 {
namespace {

constexpr std::string_view kTransportLabel =
    "kf-transport/";  // then the key name, where a chip has several

Reply refused(std::string reason, std::string text, std::string hint = {}) {
  return Refused{Refusal{std::move(reason), std::move(text), std::move(hint)}};
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

Bytes issuer_id(const KeyHandle& key, std::size_t number) {
  Bytes id = to_bytes(key.bytes());
  id.push_back(static_cast<std::uint8_t>(number));
  return id;
}

}  // namespace

Device::Device(const p11::Uri& uri, std::optional<std::filesystem::path> store)
    : uri_{uri}, store_{std::move(store)} {}

void Device::sync_store() const {
  if (store_) sync_tree(*store_);
}

Reply Device::open() {
  if (!uri_.module_path)
    return refused("lane-settings", "the lane's URI names no module", "add module-path to it");
  try {
    if (store_) p11::keep_softhsm_tokens(*store_);
    module_ = std::make_unique<p11::Module>(*uri_.module_path);
  } catch (const Error& error) {
    return refused(
        "se-missing", error.what(), "check the fixture, its module-path and its configuration");
  }
  std::optional<p11::TokenInfo> token;
  try {
    token = module_->find_token(uri_);
  } catch (const Error& error) {
    if (error.code() == Code::Usage) return refused("lane-settings", error.what(), error.hint());
    Refused missing{Refusal{"se-missing",
                            error.what(),
                            "put the SE into the fixture, then give the same command again"}};
    for (const p11::TokenInfo& other : module_->tokens()) {
      if (!other.initialised) continue;
      missing.refusal.reason = "wrong-se";
      missing.refusal.text =
          "another SE than the lanes file expects: serial " + printable(other.serial);
      missing.refusal.hint = "put the SE back where it belongs";
      missing.found_serial = to_bytes(as_bytes(other.serial.substr(0, 16)));
    }
    return missing;
  }
  session_ = std::make_unique<p11::Session>(*module_, token->slot, p11::Access::ReadWrite);
  const auto pin_file = p11::pin_file(uri_);
  if (!pin_file)
    return refused(
        "lane-settings", "the lane's URI has no pin-source", "add pin-source=file:PATH to it");
  std::optional<SecretBytes> pin;
  try {
    pin = read_secret_file(*pin_file);
  } catch (const Error& error) {
    return refused("se-pin-refused", error.what(), error.hint());
  }
  const p11::LoginResult login =
      session_->login(p11::Role::User, *pin);  // one try: chips count them
  pin.reset();
  if (login != p11::LoginResult::Ok) {
    return refused("se-pin-refused",
                   "the SE refused its PIN: " + std::string{p11::to_string(login)},
                   "check the PIN file; some chips lock after a few tries");
  }
  return Opened{to_bytes(as_bytes(token->serial)),
                token->label,
                token->manufacturer,
                token->model,
                !transport_keys().empty()};
}

std::vector<p11::ObjectHandle> Device::private_keys(const KeyHandle& handle) {
  return session_->find(
      p11::Template{}.object_class(p11::ObjectClass::PrivateKey).id(handle.bytes()));
}

std::vector<Device::Transport> Device::transport_keys() {
  std::vector<Transport> keys;
  const auto wanted = p11::Template{}
                          .object_class(p11::ObjectClass::SecretKey)
                          .key_type(p11::KeyType::Aes)
                          .token(true)
                          .unwrap(true);
  for (const p11::ObjectHandle key : session_->find(wanted)) {
    Transport transport{key, std::nullopt};
    const auto allowed = session_->read_mechanisms(key, p11::Attribute::AllowedMechanisms);
    if (allowed && allowed.value.size() == 1) transport.mechanism = allowed.value.front();
    keys.push_back(transport);
  }
  return keys;
}

std::optional<Device::Transport> Device::transport_for(const std::string& key_name) {
  const std::vector<Transport> keys = transport_keys();
  if (keys.size() == 1) return keys.front();
  const std::string label = std::string{kTransportLabel} + key_name;
  for (const Transport& transport : keys) {
    if (session_->read_bytes(transport.key, p11::Attribute::Label).is(to_bytes(as_bytes(label))))
      return transport;
  }
  return std::nullopt;
}

Reply Device::answer(const Ask& ask) {
  const auto keys = private_keys(ask.key);
  if (keys.size() > 1) return Asked{Holding::Unsound, "two private keys under one CKA_ID"};
  if (keys.size() == 1) {
    const auto wrong = session_->differences(
        keys.front(), se::injected_key_template({}, ask.key.bytes()).remove(p11::Attribute::Label));
    if (!wrong.empty())
      return Asked{Holding::Unsound, "the key's attributes are wrong: " + joined(wrong)};
    return Asked{Holding::Key, {}};
  }
  for (const p11::ObjectHandle other :
       session_->find(p11::Template{}.object_class(p11::ObjectClass::PrivateKey))) {
    const auto id = session_->read_bytes(other, p11::Attribute::Id);
    const bool known = id && std::ranges::any_of(ask.known, [&](const KeyHandle& handle) {
                         return equal(handle.bytes(), id.value);
                       });
    if (!known) return Asked{Holding::Foreign, "it holds " + printable(session_->describe(other))};
  }
  return Asked{Holding::Empty, {}};
}

Reply Device::answer(const Inject& inject) {
  if (!private_keys(inject.key).empty())
    return refused("key-present", "the SE holds this record's key already");
  const auto transport = transport_for(inject.key_name);
  if (!transport) {
    return refused("se-not-prepared",
                   "the SE has no transport key for key name " + inject.key_name,
                   "this SE was not personalised; set it aside");
  }
  // The key says what it may be used with; where it does not, known answers tell which number is
  // RFC 5649.
  const p11::Mechanism mechanism =
      transport->mechanism ? *transport->mechanism
                           : p11::probe(*session_, p11::ProbeFor::Device).kwp_or_throw();
  const auto wanted = se::injected_key_template(inject.key_name, inject.key.bytes());
  KF_CUT("lane.before-unwrap");
  try {
    static_cast<void>(session_->unwrap(mechanism, transport->key, inject.payload, wanted));
  } catch (const p11::Pkcs11Error& error) {
    if (error.is_device_lost()) throw;
    // Which code a module gives for a bad blob varies: all of them mean "blob or key wrong".
    return refused("blob-refused", error.what(), "the record is quarantined; set the SE aside");
  }
  KF_CUT("lane.after-unwrap");  // cut here: the key is on the chip; asked first, it proves itself
  sync_store();
  return Done{};
}

std::vector<Bytes> Device::certificates(ByteView id) {
  std::vector<Bytes> found;
  for (const p11::ObjectHandle object :
       session_->find(p11::Template{}.object_class(p11::ObjectClass::Certificate).id(id))) {
    const auto der = session_->read_bytes(object, p11::Attribute::Value);
    found.push_back(der ? der.value : Bytes{});
  }
  return found;
}

std::optional<std::string> Device::write_certificate(ByteView id,
                                                     const std::string& label,
                                                     ByteView der) {
  const std::vector<Bytes> there = certificates(id);
  if (there.size() == 1 && equal(there.front(), der)) return std::nullopt;  // written before a cut
  if (!there.empty()) return "another certificate is there under the same CKA_ID";
  const auto parsed = x509::parse_certificate(der);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) return refusal->text;
  const auto& facts = std::get<x509::CertificateFacts>(parsed);
  const auto wanted = p11::Template{}
                          .x509_certificate()
                          .token(true)
                          .private_(false)
                          .modifiable(false)
                          .label(label)
                          .id(id)
                          .subject(facts.subject_name)
                          .issuer(facts.issuer_name)
                          .serial_number(x509::der::tlv(x509::der::kInteger, facts.serial))
                          .value(der);
  try {
    static_cast<void>(session_->create_object(wanted));
  } catch (const p11::Pkcs11Error& error) {
    if (error.is_device_lost()) throw;
    return error.what();
  }
  return std::nullopt;
}

Reply Device::answer(const WriteChain& chain) {
  for (std::size_t i = 0; i < chain.certificates.size(); ++i) {
    const Bytes id = i == 0 ? to_bytes(chain.key.bytes()) : issuer_id(chain.key, i);
    const std::string label =
        i == 0 ? chain.key_name : chain.key_name + "-issuer-" + std::to_string(i);
    KF_CUT("lane.before-certificate");
    if (const auto problem = write_certificate(id, label, chain.certificates[i])) {
      return refused("certificate-refused", *problem);
    }
    KF_CUT("lane.after-certificate");  // cut here: what is there already is compared and left alone
  }
  sync_store();
  return Done{};
}

Reply Device::answer(const ReadChain& chain) {
  Chain read;
  for (std::size_t i = 0; i < kMaxChainCertificates; ++i) {
    std::vector<Bytes> found =
        certificates(i == 0 ? to_bytes(chain.key.bytes()) : issuer_id(chain.key, i));
    if (found.empty()) break;
    if (found.size() > 1)
      return refused("chain-ambiguous", "several certificates under one CKA_ID");
    if (found.front().empty() || found.front().size() > kMaxCertificateBytes) {
      return refused("chain-unreadable", "a certificate on the SE is empty or above 4 KiB");
    }
    read.certificates.push_back(std::move(found.front()));
  }
  return read;
}

Reply Device::answer(const Sign& sign) {
  const auto keys = private_keys(sign.key);
  if (keys.size() != 1)
    return refused("key-missing", "the SE does not hold exactly one key of this record");
  const crypto::SignatureKind kind = sign.kind == SignedKind::Receipt
                                         ? crypto::SignatureKind::Receipt
                                         : crypto::SignatureKind::Challenge;
  try {
    return Signature{
        session_->sign_ecdsa(keys.front(), crypto::signing_digest(kind, sign.message))};
  } catch (const p11::Pkcs11Error& error) {
    if (error.is_device_lost()) throw;
    return refused("signature-refused", error.what());
  }
}

}  // namespace keyferry::lane_p11
