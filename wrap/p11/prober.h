// The probe's inside, for its .cpp files alone: one class, whose steps stand in probe.cpp
// (signatures, ECDH, attributes), probe_wrap.cpp and probe_derive.cpp.
#pragma once

#include <fmt/format.h>

#include <array>

#include "wrap/p11/probe.h"

namespace keyferry::p11 {

inline constexpr std::size_t kProbeKeyBytes = 32;  // AES-256
inline constexpr std::size_t kProbeScalarBytes = 32;

// A published private key: RFC 6979 section A.2.5.
inline constexpr std::array<std::uint8_t, kProbeScalarBytes> kPublishedScalar{
    0xC9, 0xAF, 0xA9, 0xD8, 0x45, 0xBA, 0x75, 0x16, 0x6B, 0x5C, 0x21, 0x57, 0x67, 0xB1, 0xD6, 0x93,
    0x4E, 0x50, 0xC3, 0xDB, 0x36, 0xE8, 0x9B, 0x12, 0x7B, 0x8A, 0x62, 0x2B, 0x12, 0x0F, 0x67, 0x21};

/// 32 octets: `first`, and each one more than the last.
[[nodiscard]] SecretBytes published_aes_key(std::uint8_t first);

// Templates of the probe's objects: session objects labelled "probe".
[[nodiscard]] Template probe_aes_template();
[[nodiscard]] Template probe_ec_public_template();
[[nodiscard]] Template probe_ec_private_template();

class Prober {
 public:
  Prober(Session& session, ProbeFor who, ProbeDepth depth)
      : session_{session}, who_{who}, depth_{depth} {}

  ProbeResult run();

 private:
  struct KnownKey {
    Key handle;
    SecretBytes value;
  };

  void fact(std::string sentence) { result_.facts.push_back(std::move(sentence)); }

  void missing(std::string reason, std::string text, std::string hint = {}) {
    result_.missing.push_back({std::move(reason), std::move(text), std::move(hint)});
  }

  /// Did `step` go through? A module's refusal is a fact, a call that was cut off an error.
  template <typename Step>
  bool went_through(std::string_view what, const Step& step) {
    try {
      step();
      return true;
    } catch (const Pkcs11Error& error) {
      if (error.is_no_answer()) throw;
      fact(fmt::format("{}: {} says {}", what, error.function(), rv_name(error.rv())));
    } catch (const Error& error) {
      fact(fmt::format("{}: {}", what, error.what()));
    }
    return false;
  }

  /// An AES key with a value that we know: imported, or where imports are refused generated and
  /// read.
  [[nodiscard]] std::optional<KnownKey> known_aes(std::uint8_t first, const Template& uses);

  void try_random();
  void try_signature_and_point();
  void try_ecdh();
  void try_allowed_mechanisms();
  void try_sessions();

  // probe_wrap.cpp
  void try_kwp();
  void try_wrap(Mechanism candidate);
  [[nodiscard]] bool refuses_untrusted(Mechanism candidate);
  void try_unwrap();
  void try_oaep();
  [[nodiscard]] bool opens_oaep(crypto::OaepHash hash, ObjectHandle private_key, ByteView spki);

  // probe_derive.cpp
  void try_derive();
  void try_cmac();
  void try_digest_key(const KnownKey& base);
  void try_read_scalar();
  [[nodiscard]] bool derives_by_ecb(const KnownKey& base);
  [[nodiscard]] bool derives_by_sp800_108(const KnownKey& base);
  template <typename Derive>
  void try_derived_key_stays_secret(const Derive& derive);

  Session& session_;
  ProbeFor who_;
  ProbeDepth depth_;
  ProbeResult result_;
  std::optional<KnownKey> kek_;
};

}  // namespace keyferry::p11
