// The registry as kf-state names it by its SHA-256: who is known here. Kept in the ledger as the
// gate's octets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "appliance/plan/policy.h"
#include "wrap/base/bytes.h"
#include "wrap/base/ids.h"
#include "wrap/x509/certificate_builder.h"

namespace keyferry::appliance {

/// A person of any role.
struct KnownOfficer {
  std::uint32_t number = 0;
  Bytes public_key;  // 65
  bool disabled = false;
  PersonRole role = PersonRole::Officer;
  Bytes name_hash = {};                 // 32
  std::vector<Bytes> former_keys = {};  // before officer-replace

  [[nodiscard]] bool approves() const { return !disabled && role_row(role).approves; }
};

struct KnownSource {
  std::string name;
  std::string kind;  // "officer-approved", "vendor-key", "preparation", "microchip-manifest"
  std::optional<Digest> certificate_sha256 = {};  // of the signer's; microchip-manifest only
  Bytes public_key = {};                          // 65; not of officer-approved
};

struct KnownStation {
  StationId id;
  std::string name;
  std::string site;
  Bytes signing_key;    // 65
  Bytes agreement_key;  // 65
  bool retired = false;
};

struct KnownMaster {
  std::string name;
  std::string kdf;
  Bytes check_value = {};  // 16; empty: made by an older program version
  bool imported = false;
  bool destroyed = false;  // by officers: name and check value stay used up
  se::Family family = se::Family::Pkcs11;  // derives for this one alone
};

struct KnownVendorKey {
  std::string name;
  std::string mechanism;  // "aes-kwp", "rsa-oaep-sha1", "rsa-oaep-sha256"
  Bytes check_value;      // aes-kwp: 16
  Bytes public_key;       // rsa-oaep-*: DER SubjectPublicKeyInfo
  bool destroyed = false;
};

struct KnownAuthority {
  std::string name;
  Bytes certificate;  // DER
  bool retired = false;    // issues nothing any more
  bool destroyed = false;  // its key is gone too
  std::vector<Bytes> issuers = {};  // above it: its issuer first, the self-signed anchor last
  bool outside = false;             // its key is elsewhere
  bool pending = false;             // its request is out; it has no certificate yet
  bool revoked = false;             // by officers, on the CRL of the CA above it
  x509::CaKind kind = x509::CaKind::Root;
  x509::MatterIds matter = {};  // Matter's kinds alone
  Bytes request = {};           // PKCS#10, DER
  std::string subject = {};     // pattern of the request

  /// Its certificate, then those above.
  [[nodiscard]] std::vector<Bytes> chain() const;
};

struct Registry {
  std::uint32_t epoch = 0;
  std::uint32_t policy_epoch = 0;
  std::string appliance_name;
  std::vector<KnownOfficer> officers;
  std::vector<KnownSource> sources;
  std::vector<KnownStation> stations;
  std::vector<KnownMaster> masters;
  std::vector<KnownVendorKey> vendor_keys;
  std::vector<KnownAuthority> authorities;
  std::vector<std::string> bus_devices;  // of the machine, when the appliance was set up
  PolicyRules rules;
  bool rehearsal_required = false;
  std::vector<std::string> enabled_families;  // of those that need plaintext in a worker

  [[nodiscard]] bool enabled(se::Family family) const;

  /// How many officers can approve at most.
  [[nodiscard]] std::uint32_t enabled_officers() const;
  /// How many must; nothing when the policy has no rule for it.
  [[nodiscard]] std::optional<std::uint32_t> officers_needed(Operation operation) const;
  [[nodiscard]] const KnownOfficer* person(std::uint32_t number) const;
  /// Who has this key, or had it before it was replaced.
  [[nodiscard]] const KnownOfficer* person_of_key(const KeyId& key_id) const;

  /// Null when there is none of that name (or id).
  [[nodiscard]] const KnownSource* source(std::string_view name) const;
  [[nodiscard]] const KnownStation* station(const StationId& id) const;
  [[nodiscard]] const KnownStation* station_by_name(std::string_view name) const;
  [[nodiscard]] const KnownMaster* master(std::string_view name) const;
  [[nodiscard]] const KnownVendorKey* vendor_key(std::string_view name) const;
  /// The CA whose certificate is this one; null when there is none.
  [[nodiscard]] const KnownAuthority* of_certificate(ByteView certificate) const;
  /// This CA or one above it, if officers revoked its certificate; null when nothing was.
  [[nodiscard]] const KnownAuthority* revoked_in_chain(const KnownAuthority& authority) const;
  [[nodiscard]] const KnownAuthority* authority(std::string_view name) const;
};

/// From a serialised v1.Registry. The gate vouches for the octets; damage is Error{Storage}.
[[nodiscard]] Registry parse_registry(ByteView octets);

}  // namespace keyferry::appliance
