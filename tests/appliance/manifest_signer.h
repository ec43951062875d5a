// Manifests in Microchip's form, made for tests: key, certificate and signatures by the openssl command line.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "tests/support/temp_folder.h"
#include "wrap/base/base64.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/pem.h"

namespace keyferry::test {

inline std::string base64url(ByteView octets) {
  std::string text = to_base64(octets);
  std::erase(text, '=');
  for (char& c : text) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
  }
  return text;
}

inline Bytes file_content(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// A manifest signer whose key and certificate were made, and whose entries are signed, by the openssl
/// command line.
class OpensslSigner {
 public:
  OpensslSigner() {
    run("ecparam -name prime256v1 -genkey -noout -out " + quoted("key.pem"));
    run("req -x509 -new -key " + quoted("key.pem") + " -days 3650 -subj '/CN=Manifest Signer/O=Test' -out " +
        quoted("cert.pem"));
    const Bytes pem = file_content(path("cert.pem"));
    const auto ders = x509::from_pem(as_chars(pem), x509::kPemCertificate);
    certificate_ = std::get<std::vector<Bytes>>(ders).front();
  }

  [[nodiscard]] const Bytes& certificate() const { return certificate_; }

  [[nodiscard]] Digest sha256() const { return crypto::sha256(certificate_); }

  [[nodiscard]] std::filesystem::path certificate_file() const { return path("cert.pem"); }

  [[nodiscard]] nlohmann::json header() const {
    return {{"typ", "JWT"}, {"alg", "ES256"}, {"kid", "AAAA"}, {"x5t#S256", base64url(sha256().bytes())}};
  }

  /// One entry of a manifest, signed.
  [[nodiscard]] nlohmann::json entry(const nlohmann::json& head, const nlohmann::json& body) {
    const std::string protected_header = base64url(as_bytes(head.dump()));
    const std::string payload = base64url(as_bytes(body.dump()));
    return {{"payload", payload},
            {"protected", protected_header},
            {"header", {{"uniqueId", body.value("uniqueId", "")}, {"other", "x"}}},
            {"signature", base64url(sign(protected_header + "." + payload))},
            {"unknown", {1, 2, 3}}};
  }

  [[nodiscard]] Bytes sign(const std::string& text) {
    std::ofstream{path("data"), std::ios::binary} << text;
    run("dgst -sha256 -sign " + quoted("key.pem") + " -out " + quoted("sig") + " " + quoted("data"));
    return crypto::der_to_raw_signature(file_content(path("sig"))).value();
  }

 private:
  [[nodiscard]] std::filesystem::path path(const char* name) const { return folder_.path() / name; }

  [[nodiscard]] std::string quoted(const char* name) const { return "'" + path(name).string() + "'"; }

  static void run(const std::string& arguments) {
    const std::string command = std::string{OPENSSL_PROGRAM} + " " + arguments + " 2>/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error{"openssl " + arguments};
  }

  TempFolder folder_;
  Bytes certificate_;
};

}  // namespace keyferry::test
