#include "tests/vse/secure_room.h"

#include <botan/mac.h>
#include <fmt/format.h>
#include <toml++/toml.h>

#include <cstdlib>
#include <utility>

#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"

namespace keyferry::vse {
namespace {

constexpr std::uint64_t kMaxSettingsBytes = 64 * 1024;
constexpr std::size_t kTransportKeyBytes = 32;

[[noreturn]] void wrong(const std::filesystem::path& file, const std::string& what) {
  throw Error{
      Code::Usage,
      file.string() + ": " + what,
      "--gate-settings is the gate.toml that keyferry-appliance init wrote beside the HSM's store"};
}

/// Readable on purpose; no use but being read.
p11::Template readable_template() {
  return p11::Template{}
      .object_class(p11::ObjectClass::SecretKey)
      .key_type(p11::KeyType::Aes)
      .label("kf-vse")
      .token(false)
      .private_(true)
      .sensitive(false)
      .extractable(true)
      .value_len(kTransportKeyBytes)
      .encrypt(false)
      .decrypt(false)
      .wrap(false)
      .unwrap(false)
      .derive(false);
}

}  // namespace

ApplianceHsm read_gate_settings(const std::filesystem::path& file) {
  const Bytes content = read_file(file, kMaxSettingsBytes);
  toml::table table;
  try {
    table = toml::parse(as_chars(content), file.string());
  } catch (const toml::parse_error& error) {  // the parser's only way to say no
    wrong(file,
          fmt::format("line {}: {}", error.source().begin.line, printable(error.description())));
  }
  ApplianceHsm hsm;
  const auto uri = table["hsm"]["uri"].value<std::string>();
  if (!uri) wrong(file, "[hsm] uri is missing");
  hsm.uri = p11::uri_or_throw(*uri);
  if (!hsm.uri.module_path) wrong(file, "[hsm] uri has no module-path");
  if (const toml::table* variables = table["hsm"]["environment"].as_table()) {
    for (const auto& [name, node] : *variables) {
      const auto value = node.value<std::string>();
      if (!value) wrong(file, "[hsm.environment] holds strings only");
      hsm.environment.emplace(std::string{name.str()}, *value);
    }
  }
  return hsm;
}

SecretBytes derive_transport_key(p11::Session& session,
                                 p11::ObjectHandle master,
                                 const TransportKeyInput& input) {
  static constexpr const char* kHint =
      "this stand-in for the secure room needs an HSM that lets a derived key be read, as SoftHSM "
      "does";
  try {
    const p11::Key derived =
        session.derive_aes_ecb_data(master, kf_kdf_1_blocks(input), readable_template());
    p11::Read<SecretBytes> value = session.read_secret(derived);
    if (value && value.value.size() == kTransportKeyBytes) return std::move(value.value);
  } catch (const p11::Pkcs11Error& error) {
    if (error.is_device_lost()) throw;
    throw Error{Code::Hsm,
                fmt::format("no transport key can be read out of this HSM: {}", error.what()),
                kHint};
  }
  throw Error{Code::Hsm, "the HSM derived a transport key and does not let it be read", kHint};
}

Bytes check_value(const SecretBytes& transport_key) {
  const auto cmac = Botan::MessageAuthenticationCode::create_or_throw("CMAC(AES-256)");
  cmac->set_key(transport_key.expose().data(), transport_key.size());
  cmac->update(Bytes(16));
  Bytes value(cmac->output_length());
  cmac->final(value.data());
  return value;
}

SecureRoom::SecureRoom(const ApplianceHsm& hsm,
                       const SecretBytes& pin,
                       std::string master,
                       std::string family)
    : master_{std::move(master)}, family_{std::move(family)} {
  for (const auto& [name, value] : hsm.environment) setenv(name.c_str(), value.c_str(), 1);
  module_ = std::make_unique<p11::Module>(*hsm.uri.module_path);
  const p11::TokenInfo token = module_->find_token(hsm.uri);
  session_ = std::make_unique<p11::Session>(*module_, token.slot, p11::Access::ReadWrite);
  session_->login_or_throw(p11::Role::User, pin);
  const std::string label = "kf-tk/" + master_;
  const auto found = session_->find_one(p11::ObjectClass::SecretKey, label);
  if (!found) {
    throw Error{Code::NotFound,
                fmt::format("the HSM holds no transport-key master \"{}\"", label),
                "keyferry-appliance transport-master create NAME makes one"};
  }
  handle_ = *found;
}

SecretBytes SecureRoom::transport_key(const std::string& part,
                                      const std::string& key_name,
                                      const Bytes& serial) {
  TransportKeyInput input;
  input.master = master_;
  input.family = family_;
  input.part = part;
  input.key_name = key_name;
  input.serial = serial;
  return derive_transport_key(*session_, handle_, input);
}

}  // namespace keyferry::vse
