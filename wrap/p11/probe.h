// What a module can do, found by trying with known answers: names of mechanisms lie (pkcs11.md).
// Every known answer is held against software of ours (Botan), never against the module itself.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wrap/base/error.h"
#include "wrap/p11/session.h"

namespace keyferry::p11 {

/// Who asks decides what is needed and tried.
enum class ProbeFor {
  Appliance,  // wraps, derives, signs, ECDH for kf-inbox
  Station,    // signs, ECDH
  Device,     // unwraps and signs: an SE that is a PKCS#11 token (see also se::device_abuses)
};

enum class ProbeDepth {
  Start,     // what each worker tries when it logs in: some milliseconds, one session
  Thorough,  // for `doctor` and for operations with vendor keys: also RSA-OAEP and the session
             // limit
};

/// Sessions that a thorough probe opens at most.
inline constexpr unsigned kMaxProbedSessions = 8;

struct ProbeResult {
  ModuleInfo module;

  std::optional<Mechanism> kwp;  // the number that is RFC 5649
  bool kwp_pads_first =
      false;  // plaintext is zero-padded to 8 octets before RFC 5649 sees it (SoftHSM before 2.7)
  std::size_t pkcs8_size_bytes = 0;  // of a wrapped P-256 key, without such padding (SoftHSM: 67)
  bool kwp_unwraps = false;          // opens what our software wrapped, and the key signs
  bool kwp_rejects_tampered = false;
  // C_WrapKey refuses untrusted wrapping keys; nothing when the module has no KWP at all
  std::optional<bool> wraps_only_under_trusted;
  bool ecb_data_derives = false;   // CKM_AES_ECB_ENCRYPT_DATA, 32 octets, right value (kf-kdf-1)
  bool sp800_108_derives = false;  // CKM_SP800_108_COUNTER_KDF, CMAC, right value (kf-kdf-2)
  bool aes_cmac = false;           // CKM_AES_CMAC equals software's
  std::optional<bool>
      derived_key_stays_secret;  // SENSITIVE true, EXTRACTABLE false: unreadable and not wrappable
  // C_DigestKey (SHA-256) of a derived key that is sensitive and not extractable equals software's
  bool digests_secret_key = false;
  // CKA_VALUE of a P-256 key made with SENSITIVE false is its scalar
  bool reads_scalar = false;
  bool allowed_mechanisms_enforced = false;
  bool ecdsa = false;                        // raw r and s over a digest, verified in software
  bool ecdh = false;                         // x coordinate equals software's
  std::optional<PointForm> ecdh_point_form;  // what C_DeriveKey took
  PointForm ec_point_form = PointForm::DerOctetString;  // how CKA_EC_POINT comes
  bool rng = false;

  // Thorough only.
  std::optional<bool> oaep_sha1;    // opens what software wrapped: SHA-1, MGF1 with SHA-1
  std::optional<bool> oaep_sha256;  // the same with SHA-256
  /// Sessions that could be opened beside the caller's, at most kMaxProbedSessions.
  std::optional<unsigned> further_sessions;

  std::vector<std::string> facts;  // sentences for people, in the order of trying
  std::vector<Refusal> missing;    // needs of `ProbeFor` that are not met; empty = usable

  [[nodiscard]] bool usable() const { return missing.empty(); }

  /// The mechanism to wrap with; Error{Hsm} when there is none.
  [[nodiscard]] Mechanism kwp_or_throw() const;

  /// Nothing unless the probe was thorough.
  [[nodiscard]] std::optional<bool> opens_oaep(crypto::OaepHash hash) const {
    return hash == crypto::OaepHash::Sha1 ? oaep_sha1 : oaep_sha256;
  }
};

/// The session must be logged in as user; every key is a session object with a published value,
/// gone afterwards. Refusal reasons: hsm-no-known-key, hsm-no-kwp,
/// hsm-wrap-trusted-only, hsm-kwp-unwrap, hsm-kwp-accepts-tampered, hsm-no-derive (neither kf-kdf-1
/// nor kf-kdf-2), hsm-derived-readable, hsm-no-ecdsa, hsm-no-ecdh, hsm-no-rng. Throws when a call
/// is cut off (lost device or session, no room).
[[nodiscard]] ProbeResult probe(Session& session,
                                ProbeFor who = ProbeFor::Appliance,
                                ProbeDepth depth = ProbeDepth::Start);

}  // namespace keyferry::p11
