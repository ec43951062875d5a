#include "tests/station-agent/se_store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>

#include "station-agent/softhsm_conf.h"
#include "tests/support/softhsm_store.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/p11/module.h"
#include "wrap/se/pkcs11_device.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;
using test_support::kSoPin;
using test_support::kUserPin;

std::string in_child(const fs::path& conf, const std::function<std::string()>& body) {
  int ends[2];
  if (pipe(ends) != 0) throw std::runtime_error("pipe");
  const pid_t child = fork();
  if (child == 0) {
    setenv("SOFTHSM2_CONF", conf.c_str(), 1);
    std::string answer;
    int status = 0;
    try {
      answer = body();
    } catch (const std::exception& error) {
      answer = error.what();
      status = 1;
    }
    const ssize_t written = write(ends[1], answer.data(), answer.size());
    _exit(written == static_cast<ssize_t>(answer.size()) ? status : 1);
  }
  close(ends[1]);
  std::string answer;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = read(ends[0], buffer.data(), buffer.size())) > 0;) {
    answer.append(buffer.data(), static_cast<std::size_t>(got));
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) throw std::runtime_error("in a child: " + answer);
  return answer;
}

std::string personalise(const Bytes& transport_key, Prepared prepared) {
  p11::Module module{test_support::softhsm_module()};
  const p11::TokenInfo token =
      module.init_token(*module.uninitialised_slot(), test_support::pin(kSoPin), "se");
  p11::Session session{module, token.slot, p11::Access::ReadWrite};
  session.login_or_throw(p11::Role::SecurityOfficer, test_support::pin(kSoPin));
  session.init_pin(test_support::pin(kUserPin));
  session.logout();
  session.login_or_throw(p11::Role::User, test_support::pin(kUserPin));
  if (prepared == Prepared::Yes) {
    auto wanted = se::device_transport_key_template("kf-transport", p11::Mechanism::AesKeyWrapPad);
    static_cast<void>(
        session.create_object(wanted.secret_value(SecretBytes::copy_of(transport_key))));
  }
  return module.token_info(token.slot).serial;
}

}  // namespace

std::string SeStore::uri() const {
  return "pkcs11:serial=" + to_string(serial.bytes()) +
         "?module-path=" + test_support::softhsm_module().string() +
         "&pin-source=file:" + (folder / "pin").string();
}

SeStore make_se(const fs::path& folder, Prepared prepared) {
  const fs::path conf = make_softhsm_store(folder);
  write_file_durably(folder / "pin", as_bytes(std::string{kUserPin} + "\n"), Overwrite::Replace);
  SystemRandom random;
  const Bytes transport_key = random.bytes(32);
  const std::string serial = in_child(conf, [&] { return personalise(transport_key, prepared); });
  return {folder, *SeSerial::from_bytes(as_bytes(serial)), transport_key};
}

std::string ask_se(const SeStore& se, const std::function<std::string(p11::Session&)>& body) {
  return in_child(se.conf(), [&] {
    p11::Module module{test_support::softhsm_module()};
    const p11::TokenInfo token = module.find_token(p11::uri_or_throw(se.uri()));
    p11::Session session{module, token.slot, p11::Access::ReadWrite};
    session.login_or_throw(p11::Role::User, test_support::pin(kUserPin));
    return body(session);
  });
}

int private_keys_on(const SeStore& se) {
  return std::stoi(ask_se(se, [](p11::Session& session) {
    return std::to_string(
        session.find(p11::Template{}.object_class(p11::ObjectClass::PrivateKey)).size());
  }));
}

int certificates_on(const SeStore& se) {
  return std::stoi(ask_se(se, [](p11::Session& session) {
    return std::to_string(
        session.find(p11::Template{}.object_class(p11::ObjectClass::Certificate)).size());
  }));
}

void put_foreign_key(const SeStore& se) {
  static_cast<void>(ask_se(se, [](p11::Session& session) {
    const auto pair =
        session.generate_p256_pair(p11::Template{}
                                       .object_class(p11::ObjectClass::PublicKey)
                                       .key_type(p11::KeyType::Ec)
                                       .token(true)
                                       .p256(),
                                   se::injected_key_template("foreign", as_bytes("foreign")));
    return std::string{};
  }));
}

}  // namespace keyferry::station::test
