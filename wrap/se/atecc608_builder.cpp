#include "wrap/se/atecc608_builder.h"

#include <botan/hash.h>
#include <fmt/format.h>

#include <algorithm>

#include "wrap/crypto/hash.h"
#include "wrap/crypto/kwp.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/pkcs8.h"

namespace keyferry::se {

namespace {

using p11::KeyType;
using p11::ObjectClass;
using p11::Template;

constexpr std::size_t kTransportKeyBytes = 32;
constexpr std::size_t kScalarBytes = 32;
constexpr std::size_t kHashBytes = 32;
constexpr std::size_t kScalarOffset = 4;  // a private key slot: four zero octets, then d
constexpr std::size_t kNonceIdBytes = 16;

// Opcodes and parameters as they enter the hashes (facts page 4.7, 4.8, 6.1).
constexpr std::uint8_t kGenDig = 0x15;
constexpr std::uint8_t kGenDigData = 0x02;
constexpr std::uint8_t kPrivWrite = 0x46;
constexpr std::uint8_t kPrivWriteEncrypted = 0x40;
constexpr std::array<std::uint8_t, 25> kZeros{};
constexpr std::size_t kGenDigZeros = 25;
constexpr std::size_t kPrivWriteZeros = 21;

/// SN[0..8] as the hashes take it apart.
struct Serial {
  ByteView octets;

  [[nodiscard]] ByteView first_two() const { return octets.first(2); }  // SN[0..1]

  [[nodiscard]] ByteView last() const { return octets.subspan(kAtecc608SerialBytes - 1); }  // SN[8]
};

/// Botan's, whose buffers are wiped: what is hashed here is secret.
SecretBytes secret_sha256(std::initializer_list<ByteView> parts) {
  const auto hash = Botan::HashFunction::create_or_throw("SHA-256");
  for (const ByteView part : parts) hash->update(part.data(), part.size());
  SecretBytes digest{kHashBytes};
  hash->final(digest.expose_writable().data());
  return digest;
}

/// The key that GenDig leaves in TempKey.
SecretBytes session_key(const TransportHash& transport,
                        const Serial& serial,
                        std::uint8_t transport_slot,
                        ByteView nonce) {
  const std::array<std::uint8_t, 4> head{kGenDig, kGenDigData, transport_slot, 0x00};
  return transport(
      {head, serial.last(), serial.first_two(), ByteView{kZeros}.first(kGenDigZeros), nonce});
}

SecretBytes preflight_response(const TransportHash& transport,
                               const Serial& serial,
                               std::uint8_t transport_slot,
                               ByteView challenge) {
  const auto other = preflight_other_data(transport_slot);
  const ByteView head = ByteView{other}.first(4);
  const ByteView zeros{kZeros};
  return transport({challenge,
                    head,
                    zeros.first(8),  // no OTP[0..7]
                    zeros.first(3),  // other data 4..6
                    serial.last(),
                    zeros.first(4),  // other data 7..10
                    serial.first_two(),
                    zeros.first(2)});  // other data 11..12
}

void copy_to(ByteView from, std::span<std::uint8_t> to) {
  std::ranges::copy(from, to.begin());
}

Template transport_template(TransportPlace place, KeyType type) {
  const bool inside = place == TransportPlace::Hsm;
  return Template{}
      .object_class(ObjectClass::SecretKey)
      .key_type(type)
      .token(false)
      .private_(true)
      .sensitive(inside)
      .extractable(!inside)
      .modifiable(false)
      .copyable(false)
      .wrap(false)
      .unwrap(false)
      .encrypt(false)
      .decrypt(false)
      .sign(false)
      .verify(false)
      .derive(false);
}

/// Without leading zeros that a module may have left out, and with those that it may have added.
SecretBytes fixed_width(const SecretBytes& scalar) {
  SecretBytes fixed{kScalarBytes};
  ByteView octets = scalar.expose();
  while (octets.size() > kScalarBytes && octets.front() == 0) octets = octets.subspan(1);
  if (octets.size() > kScalarBytes)
    throw Error{Code::Hsm, "the module's P-256 scalar is longer than 32 octets"};
  copy_to(octets, fixed.expose_writable().subspan(kScalarBytes - octets.size()));
  return fixed;
}

}  // namespace

TransportPlace transport_place(const p11::ProbeResult& facts) {
  return facts.digests_secret_key ? TransportPlace::Hsm : TransportPlace::Worker;
}

ScalarWay scalar_way(const p11::ProbeResult& facts) {
  return facts.reads_scalar ? ScalarWay::Read : ScalarWay::Unwrapped;
}

std::string plaintext_sentence(TransportPlace transport, ScalarWay scalar) {
  return fmt::format(
      "device keys are in the worker's locked memory for one record ({}); transport keys {}",
      scalar == ScalarWay::Read ? "read from a session object"
                                : "unwrapped from under a throw-away key",
      transport == TransportPlace::Hsm
          ? "stay in the HSM (C_DigestKey)"
          : "too, since this module has no C_DigestKey for keys that stay inside");
}

TransportHash software_hash(const SecretBytes& transport_key) {
  if (transport_key.size() != kTransportKeyBytes)
    throw Error{Code::InvalidArgument, "an ATECC608 transport key has 32 octets"};
  return [&transport_key](std::initializer_list<ByteView> followed_by) {
    const auto hash = Botan::HashFunction::create_or_throw("SHA-256");
    hash->update(transport_key.expose().data(), transport_key.size());
    for (const ByteView part : followed_by) hash->update(part.data(), part.size());
    SecretBytes digest{kHashBytes};
    hash->final(digest.expose_writable().data());
    return digest;
  };
}

Atecc608Payload seal_scalar(const TransportHash& transport,
                            const SeSerial& serial,
                            const Atecc608Profile& profile,
                            const Atecc608Fresh& fresh,
                            const SecretBytes& scalar) {
  if (scalar.size() != kScalarBytes || serial.bytes().size() != kAtecc608SerialBytes)
    throw Error{Code::InvalidArgument,
                "an ATECC608 payload needs 32 octets of key and 9 of serial"};
  const Serial parts{serial.bytes()};
  Atecc608Payload payload{.serial = serial, .profile = profile, .nonce = fresh.nonce};
  payload.challenge = fresh.challenge;
  copy_to(preflight_response(transport, parts, profile.transport_slot, fresh.challenge).expose(),
          payload.response);

  // From here to the end of the function: session key and plaintext, both in locked memory.
  const SecretBytes key = session_key(transport, parts, profile.transport_slot, fresh.nonce);
  const SecretBytes key_of_rest = secret_sha256({key.expose()});
  SecretBytes plain{kScalarOffset + kScalarBytes};
  copy_to(scalar.expose(), plain.expose_writable().subspan(kScalarOffset));
  for (std::size_t i = 0; i < payload.cipher.size(); ++i) {
    const std::uint8_t mask =
        i < kHashBytes ? key.expose()[i] : key_of_rest.expose()[i - kHashBytes];
    payload.cipher[i] = plain.expose()[i] ^ mask;
  }
  const std::array<std::uint8_t, 4> head{
      kPrivWrite, kPrivWriteEncrypted, profile.target_slot, 0x00};
  const SecretBytes mac = secret_sha256({key.expose(),
                                         head,
                                         parts.last(),
                                         parts.first_two(),
                                         ByteView{kZeros}.first(kPrivWriteZeros),
                                         plain.expose()});
  copy_to(mac.expose(), payload.mac);
  return payload;
}

std::array<std::uint8_t, 16> atecc608_nonce_id(const SeSerial& serial, ByteView nonce) {
  const Digest digest = crypto::sha256_of({serial.bytes(), nonce});
  std::array<std::uint8_t, kNonceIdBytes> id{};
  copy_to(digest.bytes().first(kNonceIdBytes), id);
  return id;
}

Atecc608Builder::Atecc608Builder(p11::Session& session,
                                 const p11::ProbeResult& facts,
                                 Pkcs11Builder& pkcs11,
                                 const Atecc608Profile& profile)
    : session_{session},
      pkcs11_{pkcs11},
      profile_{profile},
      transport_place_{transport_place(facts)},
      scalar_way_{scalar_way(facts)},
      kwp_{facts.kwp_or_throw()},
      derived_{transport_template(transport_place_, KeyType::Aes).value_len(kTransportKeyBytes)},
      delivered_{transport_template(transport_place_, KeyType::Aes)},
      device_public_{device_public_template()},
      device_private_{device_private_template()} {
  if (const auto refusal = check_profile(profile_)) throw to_error(*refusal);
  if (scalar_way_ == ScalarWay::Read) device_private_.sensitive(false);
}

p11::Key Atecc608Builder::derive_transport_key(p11::ObjectHandle master,
                                               std::string_view master_name,
                                               const Entry& entry,
                                               Kdf kdf) {
  p11::Key transport =
      derive(session_, kdf, master, kdf_input(master_name, entry), kTransportKeyBytes, derived_);
  read_back(transport, derived_, derived_read_back_);
  return transport;
}

std::variant<p11::Key, Refusal> Atecc608Builder::unwrap_transport_key(Delivery delivery,
                                                                      p11::ObjectHandle vendor_key,
                                                                      ByteView blob) {
  auto measured = pkcs11_.unwrap_transport_key(delivery, vendor_key, blob);
  if (auto* refusal = std::get_if<Refusal>(&measured)) return std::move(*refusal);
  const auto hash = oaep_hash(delivery);
  p11::Key transport = hash ? session_.unwrap_oaep(*hash, vendor_key, blob, delivered_)
                            : session_.unwrap(kwp_, vendor_key, blob, delivered_);
  read_back(transport, delivered_, delivered_read_back_);
  return transport;
}

Atecc608Builder::Built Atecc608Builder::build(const Entry& entry,
                                              p11::ObjectHandle transport,
                                              RandomSource& random) {
  Atecc608Fresh fresh;
  random.fill(fresh.nonce);
  random.fill(fresh.challenge);
  const p11::DeviceKeyPair device = session_.generate_device_pair(device_public_, device_private_);
  const auto public_key = crypto::PublicKey::from_point(device.point);
  if (!public_key)
    throw Error{Code::Hsm, "the HSM gave a device key whose point is not on the curve"};

  const SecretBytes scalar = device_scalar(device);
  p11::Read<SecretBytes> transport_key;
  TransportHash transport_hash = [this, transport](std::initializer_list<ByteView> followed_by) {
    return session_.digest_key(transport, followed_by);
  };
  if (transport_place_ == TransportPlace::Worker) {
    transport_key = session_.read_secret(transport);
    if (!transport_key)
      throw Error{Code::Hsm,
                  "the module does not let a transport key be read that was made readable"};
    transport_hash = software_hash(transport_key.value);
  }
  Atecc608Payload payload = seal_scalar(transport_hash, entry.serial, profile_, fresh, scalar);
  return {std::move(payload),
          *public_key};  // the scalar and a transport key that was read end here
}

SecretBytes Atecc608Builder::device_scalar(const p11::DeviceKeyPair& device) {
  SecretBytes scalar;
  if (scalar_way_ == ScalarWay::Read) {
    const auto value = session_.read_secret(device.private_key);
    if (!value)
      throw Error{Code::Hsm, "the module does not let a device key be read that was made readable"};
    scalar = fixed_width(value.value);
  } else {
    const p11::Key throw_away = session_.generate_aes(Template{}
                                                          .object_class(ObjectClass::SecretKey)
                                                          .key_type(KeyType::Aes)
                                                          .value_len(kTransportKeyBytes)
                                                          .token(false)
                                                          .private_(true)
                                                          .sensitive(false)
                                                          .extractable(true)
                                                          .wrap(true));
    const auto kek = session_.read_secret(throw_away);
    const auto plain =
        kek ? crypto::unwrap_kwp(kek.value, session_.wrap(kwp_, throw_away, device.private_key))
            : std::nullopt;
    if (!plain)
      throw Error{Code::Hsm, "a device key that was wrapped for the worker does not open"};
    scalar = scalar_in_wrapped_plaintext(plain->expose());
  }
  const auto key = crypto::SoftKey::from_scalar(SecretBytes::copy_of(scalar.expose()));
  if (!key || !equal(key->public_key().point(), device.point)) {
    throw Error{Code::Hsm,
                "the HSM made a device key whose halves do not belong together",
                "this module must not be used: keyferry-appliance doctor"};
  }
  return scalar;
}

void Atecc608Builder::read_back(p11::ObjectHandle transport, const Template& expected, bool& done) {
  std::vector<std::string> wrong;
  if (!done) {
    for (const auto& attribute : session_.differences(transport, expected))
      wrong.emplace_back(attribute);
  } else if (transport_place_ == TransportPlace::Hsm && !session_.stays_inside(transport)) {
    wrong.emplace_back("CKA_SENSITIVE or CKA_EXTRACTABLE");
  }
  if (!wrong.empty()) {
    throw Error{
        Code::Hsm,
        fmt::format("the module made a transport key with other attributes than asked for: {}",
                    fmt::join(wrong, ", ")),
        "this module must not be used: run the probe"};
  }
  done = true;
}

}  // namespace keyferry::se
