#include "appliance/ledger/registry.h"

#include <algorithm>
#include <utility>

#include "keyferry/v1/governance.pb.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"

namespace keyferry::appliance {
namespace {

std::string source_kind(v1::SourceKind kind) {
  if (kind == v1::SOURCE_KIND_VENDOR_KEY) return "vendor-key";
  if (kind == v1::SOURCE_KIND_PREPARATION) return "preparation";
  if (kind == v1::SOURCE_KIND_MICROCHIP_MANIFEST) return "microchip-manifest";
  return "officer-approved";
}

template <typename Item>
const Item* find_by_name(const std::vector<Item>& items, std::string_view name) {
  const auto at = std::ranges::find(items, name, &Item::name);
  return at == items.end() ? nullptr : &*at;
}

}  // namespace

std::vector<Bytes> KnownAuthority::chain() const {
  std::vector<Bytes> whole{certificate};
  whole.insert(whole.end(), issuers.begin(), issuers.end());
  return whole;
}

const KnownSource* Registry::source(std::string_view name) const {
  return find_by_name(sources, name);
}

const KnownStation* Registry::station(const StationId& id) const {
  const auto at = std::ranges::find(stations, id, &KnownStation::id);
  return at == stations.end() ? nullptr : &*at;
}

const KnownStation* Registry::station_by_name(std::string_view name) const {
  return find_by_name(stations, name);
}

const KnownMaster* Registry::master(std::string_view name) const {
  return find_by_name(masters, name);
}

const KnownVendorKey* Registry::vendor_key(std::string_view name) const {
  return find_by_name(vendor_keys, name);
}

const KnownAuthority* Registry::authority(std::string_view name) const {
  return find_by_name(authorities, name);
}

const KnownAuthority* Registry::of_certificate(ByteView certificate) const {
  for (const KnownAuthority& one : authorities) {
    if (!one.certificate.empty() && equal(one.certificate, certificate)) return &one;
  }
  return nullptr;
}

const KnownAuthority* Registry::revoked_in_chain(const KnownAuthority& authority) const {
  if (authority.revoked) return &authority;
  for (const Bytes& issuer : authority.issuers) {
    const KnownAuthority* above = of_certificate(issuer);
    if (above != nullptr && above->revoked) return above;
  }
  return nullptr;
}

std::uint32_t Registry::enabled_officers() const {
  return static_cast<std::uint32_t>(std::ranges::count_if(officers, &KnownOfficer::approves));
}

std::optional<std::uint32_t> Registry::officers_needed(Operation operation) const {
  return appliance::officers_needed(rules, operation, enabled_officers());
}

const KnownOfficer* Registry::person(std::uint32_t number) const {
  const auto at = std::ranges::find(officers, number, &KnownOfficer::number);
  return at == officers.end() ? nullptr : &*at;
}

const KnownOfficer* Registry::person_of_key(const KeyId& key_id) const {
  const auto has_id = [&key_id](const Bytes& point) {
    const auto key = crypto::PublicKey::from_point(point);
    return key && key->key_id() == key_id;
  };
  for (const KnownOfficer& one : officers) {
    if (has_id(one.public_key) || std::ranges::any_of(one.former_keys, has_id)) return &one;
  }
  return nullptr;
}

bool Registry::enabled(se::Family family) const {
  return !se::needs_plaintext(family) ||
         std::ranges::find(enabled_families, se::family_name(family)) != enabled_families.end();
}

Registry parse_registry(ByteView octets) {
  const Error damaged{Code::Storage,
                      "ledger: the registry in it is damaged",
                      "restore the ledger from its newest backup"};
  v1::Registry message;
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) throw damaged;
  Registry registry;
  registry.epoch = message.epoch();
  registry.policy_epoch = message.policy().epoch();
  registry.appliance_name = message.appliance_name();
  for (const v1::Officer& officer : message.officers()) {
    KnownOfficer known{
        officer.number(), to_bytes(as_bytes(officer.public_key())), officer.disabled()};
    const int role = static_cast<int>(officer.role()) - 1;  // in one order
    if (role < 0 || role >= static_cast<int>(kRoleTable.size())) throw damaged;
    known.role = static_cast<PersonRole>(role);
    known.name_hash = to_bytes(as_bytes(officer.name_hash()));
    for (const std::string& former : officer.former_keys())
      known.former_keys.push_back(to_bytes(as_bytes(former)));
    registry.officers.push_back(std::move(known));
  }
  for (const v1::PolicyRule& rule : message.policy().rules()) {
    if (const auto operation = operation_from_name(rule.operation()))
      registry.rules.push_back({*operation, rule.officers_needed()});
  }
  registry.rehearsal_required = message.policy().rehearsal_required();
  registry.enabled_families.assign(message.policy().enabled_families().begin(),
                                   message.policy().enabled_families().end());
  for (const v1::Source& source : message.sources()) {
    registry.sources.push_back({source.name(),
                                source_kind(source.kind()),
                                Digest::from_bytes(as_bytes(source.certificate_sha256())),
                                to_bytes(as_bytes(source.public_key()))});
  }
  for (const v1::Station& station : message.stations()) {
    const auto id = StationId::from_bytes(as_bytes(station.station_id()));
    if (!id) throw damaged;
    registry.stations.push_back({*id,
                                 station.name(),
                                 station.site(),
                                 to_bytes(as_bytes(station.signing_key())),
                                 to_bytes(as_bytes(station.agreement_key())),
                                 station.retired()});
  }
  for (const v1::TransportMaster& master : message.transport_masters()) {
    const auto family =
        master.family().empty() ? se::Family::Pkcs11 : se::family_from_name(master.family());
    if (!family) throw damaged;
    registry.masters.push_back({master.name(),
                                master.kdf(),
                                to_bytes(as_bytes(master.check_value())),
                                master.imported(),
                                master.destroyed(),
                                *family});
  }
  for (const v1::VendorKey& key : message.vendor_keys()) {
    registry.vendor_keys.push_back({key.name(),
                                    key.mechanism(),
                                    to_bytes(as_bytes(key.check_value())),
                                    to_bytes(as_bytes(key.public_key())),
                                    key.destroyed()});
  }
  registry.bus_devices.assign(message.bus_devices().begin(), message.bus_devices().end());
  for (const v1::CertificateAuthority& authority : message.authorities()) {
    KnownAuthority known{authority.name(),
                         to_bytes(as_bytes(authority.certificate())),
                         authority.retired(),
                         authority.destroyed()};
    for (const std::string& issuer : authority.issuers())
      known.issuers.push_back(to_bytes(as_bytes(issuer)));
    known.outside = authority.outside();
    known.pending = authority.pending();
    known.revoked = authority.revoked();
    known.kind = x509::ca_kind_from_name(authority.profile()).value_or(x509::CaKind::Root);
    if (authority.has_vendor_id()) known.matter.vendor_id = static_cast<std::uint16_t>(authority.vendor_id());
    if (authority.has_product_id()) known.matter.product_id = static_cast<std::uint16_t>(authority.product_id());
    known.request = to_bytes(as_bytes(authority.request()));
    known.subject = authority.subject();
    registry.authorities.push_back(std::move(known));
  }
  return registry;
}

}  // namespace keyferry::appliance
