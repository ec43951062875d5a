// What an end-to-end test needs and Python's own library has not: signatures by a station's key, a look into a segment
// as its station has it, and transport keys out of the secure room. Prints JSON; exit 1 and a line on stderr otherwise.
//
//   reseal IN OUT stranger keep|rename            IN with another trailer: signed by a key that nobody knows,
//   reseal IN OUT station HOME PIN keep|rename    or by the station of HOME; rename: the header names that signer
//   records HOME PIN FILE...                      what the station of HOME finds in its segments
//   replace-key URI                               another private key in the place of each on that SE, with the same
//                                                 attributes; SOFTHSM2_CONF as the lane's helper has it
//   replace-leaf URI FILE                         the certificate in DER in the place of the one beside that SE's key
//   verdicts CORE...                              of receipts' cores in hex: chain, challenge, serial, firmware
//   transport-keys GATE-TOML PIN MASTER PART SERIAL...   serials in hex, as in the inventory
#include <cstdio>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "station-agent/identity.h"
#include "station-agent/settings.h"
#include "tests/vse/secure_room.h"
#include "token/container_open.h"
#include "token/items.h"
#include "token/receipt.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/process.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/p11/module.h"
#include "wrap/p11/session.h"
#include "wrap/p11/uri.h"
#include "wrap/se/pkcs11_device.h"

namespace {

using namespace keyferry;
using Json = nlohmann::ordered_json;
using Words = std::vector<std::string>;

constexpr std::uint64_t kMaxFileBytes = 64U << 20;

template <typename T>
const T& value_of(const std::variant<T, Refusal>& answer) {
  if (const auto* refusal = std::get_if<Refusal>(&answer)) throw to_error(*refusal);
  return std::get<T>(answer);
}

void demand(const token::Checked& answer) {
  if (const auto* refusal = std::get_if<Refusal>(&answer)) throw to_error(*refusal);
}

std::unique_ptr<station::Identity> identity_of(const std::string& home, const std::string& pin_file) {
  const station::Home place{home};
  return station::open_identity(
      station::read_settings(place.settings()), read_secret_file(pin_file), station::KeyCreation::Forbidden);
}

int reseal(const Words& words) {
  const Bytes file = read_file(words.at(0), kMaxFileBytes);
  std::unique_ptr<station::Identity> identity;
  crypto::SoftKey soft = crypto::SoftKey::generate();
  crypto::Signer* signer = &soft;
  if (words.at(2) == "station") {
    identity = identity_of(words.at(3), words.at(4));
    signer = &identity->signer();
  }
  const ByteView octets{file};
  const ByteView body = octets.subspan(token::kHeaderSizeBytes, octets.size() - token::kHeaderSizeBytes - token::kTrailerSizeBytes);
  token::Header header = value_of(token::parse_header(octets.first(token::kHeaderSizeBytes)));
  token::Trailer trailer = value_of(token::parse_trailer(octets.last(token::kTrailerSizeBytes)));
  if (words.back() == "rename") header.sender = signer->public_key().key_id();
  Bytes made = token::encode(header);
  token::DigestBuilder digest{crypto::sha256(made)};
  for (std::size_t at = 0; at < body.size(); at += token::kSealedChunkBytes) {
    digest.add_chunk(crypto::sha256(body.subspan(at, std::min(token::kSealedChunkBytes, body.size() - at))));
  }
  trailer.signature = crypto::sign(*signer, crypto::SignatureKind::Container, digest.finish(trailer.enc).bytes());
  append(made, body);
  append(made, token::encode(trailer));
  write_file_durably(words.at(1), made, Overwrite::Replace);
  return 0;
}

int records(const Words& words) {
  const auto identity = identity_of(words.at(0), words.at(1));
  Json found = Json::array();
  for (std::size_t i = 2; i < words.size(); ++i) {
    const Fd file = open_regular_file(words[i], Code::Usage);
    Bytes start(token::kHeaderSizeBytes);
    if (!read_exactly_at(file, 0, start)) throw Error{Code::Usage, "no container: " + words[i]};
    const token::Header header = value_of(token::parse_header(start));
    const token::Expectation expected{.type = header.type,
                                      .environment = header.environment,
                                      .recipient = identity->agreement().public_key().key_id(),
                                      .max_body_bytes = kMaxFileBytes};
    const auto outlined = token::outline(file, expected);
    const token::Outline& outline = value_of(outlined);
    const auto key = token::open_content_key(outline.trailer.enc, outline.header_bytes, identity->agreement());
    if (!key) throw Error{Code::Refused, "no content key: " + words[i]};
    demand(token::read_items(file, outline, *key, [&](token::Item&& item) -> token::Checked {
      if (const auto* record = std::get_if<token::Record>(&item)) {
        found.push_back({{"record_no", record->record_no.value},
                         {"se_serial", to_hex(record->se_serial.bytes())},
                         {"payload", to_hex(record->payload)},
                         {"public_key", to_hex(record->public_key.point())},
                         {"certificate", to_hex(record->certificate)}});
      }
      return {};
    }));
  }
  std::puts(found.dump().c_str());
  return 0;
}

int transport_keys(const Words& words) {
  vse::SecureRoom room{vse::read_gate_settings(words.at(0)), read_secret_file(words.at(1)), words.at(2)};
  Json keys = Json::object();
  for (std::size_t i = 4; i < words.size(); ++i) {
    const auto serial = from_hex(words[i]);
    if (!serial) throw Error{Code::Usage, "not hex: " + words[i]};
    keys[words[i]] = to_hex(room.transport_key(words.at(3), "dac", *serial).expose());
  }
  std::puts(keys.dump().c_str());
  return 0;
}

int replace_key(const Words& words) {
  const p11::Uri uri = p11::uri_or_throw(words.at(0));
  p11::Module module{uri.module_path.value()};
  p11::Session session{module, module.find_token(uri).slot, p11::Access::ReadWrite};
  session.login_or_throw(p11::Role::User, read_secret_file(p11::pin_file(uri).value()));
  int replaced = 0;
  for (const auto key : session.find(p11::Template{}.object_class(p11::ObjectClass::PrivateKey))) {
    const Bytes id = session.read_bytes(key, p11::Attribute::Id).value;
    session.destroy(key);
    static_cast<void>(session.generate_p256_pair(
        p11::Template{}.object_class(p11::ObjectClass::PublicKey).key_type(p11::KeyType::Ec).token(true).p256(),
        se::injected_key_template("dac", id)));
    ++replaced;
  }
  std::puts(Json{{"replaced", replaced}}.dump().c_str());
  return 0;
}

int replace_leaf(const Words& words) {
  const p11::Uri uri = p11::uri_or_throw(words.at(0));
  const Bytes leaf = read_file(words.at(1), kMaxFileBytes);
  p11::Module module{uri.module_path.value()};
  p11::Session session{module, module.find_token(uri).slot, p11::Access::ReadWrite};
  session.login_or_throw(p11::Role::User, read_secret_file(p11::pin_file(uri).value()));
  int replaced = 0;
  for (const auto key : session.find(p11::Template{}.object_class(p11::ObjectClass::PrivateKey))) {
    const Bytes id = session.read_bytes(key, p11::Attribute::Id).value;
    for (const auto old : session.find(p11::Template{}.object_class(p11::ObjectClass::Certificate).id(id))) session.destroy(old);
    static_cast<void>(session.create_object(
        p11::Template{}.x509_certificate().token(true).private_(false).label("dac").id(id).subject(as_bytes("s")).value(leaf)));
    ++replaced;
  }
  std::puts(Json{{"replaced", replaced}}.dump().c_str());
  return 0;
}

int verdicts(const Words& words) {
  Json all = Json::array();
  for (const std::string& word : words) {
    const auto octets = from_hex(word);
    if (!octets) throw Error{Code::Usage, "not hex: " + word};
    const token::Verdicts found = value_of(token::parse_core(*octets)).verdicts;
    all.push_back({token::name_of(found.chain), token::name_of(found.challenge), token::name_of(found.serial_registered),
                   token::name_of(found.firmware)});
  }
  std::puts(all.dump().c_str());
  return 0;
}

int run(int argc, char** argv) {
  if (argc < 2) throw Error{Code::Usage, "what is wanted stands at the top of e2e_tool.cpp"};
  const std::string command = argv[1];
  const Words words{argv + 2, argv + argc};
  if (command == "reseal") return reseal(words);
  if (command == "records") return records(words);
  if (command == "transport-keys") return transport_keys(words);
  if (command == "replace-key") return replace_key(words);
  if (command == "replace-leaf") return replace_leaf(words);
  if (command == "verdicts") return verdicts(words);
  throw Error{Code::Usage, "unknown command " + command};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "e2e_tool: %s\n", error.what());
    return 1;
  }
}
