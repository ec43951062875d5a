#include "appliance/gate/end_acts.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/end_operations.h"
#include "appliance/gate/state_store.h"
#include "keyferry/v1/worker.pb.h"
#include "token/revocations.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"
#include "wrap/x509/crl.h"

namespace keyferry::appliance {
namespace {

[[noreturn]] void refuse(std::string text) {
  throw Error{Code::Refused, std::move(text)};
}

template <typename Id>
void add_sorted(std::vector<Id>& ids, const std::string& octets) {
  const auto id = Id::from_bytes(as_bytes(octets));
  if (!id) refuse("kf-state or registry hold an id of a wrong length");
  ids.push_back(*id);
}

template <typename Id>
void make_ascending(std::vector<Id>& ids) {
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

Plan crl_plan(const std::string& octets) {
  auto parsed = parse_plan(as_bytes(octets));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  auto& plan = std::get<Plan>(parsed);
  if (!std::holds_alternative<CrlIssuePlan>(plan.detail)) refuse("the plan issues no CRL");
  return std::move(plan);
}

}  // namespace

void make_revocations(Hsm& hsm, const v1::MakeRevocations& request, v1::SignedBytes& out) {
  const auto octets = StateStore{hsm}.read();
  v1::HsmState state;
  if (!octets || !state.ParseFromArray(octets->data(), static_cast<int>(octets->size())))
    refuse("the HSM has no kf-state");
  v1::Registry registry;
  if (crypto::sha256(as_bytes(request.registry())).str() != state.registry_digest() ||
      !registry.ParseFromString(request.registry())) {
    refuse("the registry is not the one that kf-state names");
  }
  if (state.revocation_number() == 0) refuse("nothing was revoked yet: there is no revocation list");
  const auto appliance = ApplianceId::from_bytes(as_bytes(state.appliance_id()));
  const auto environment = token::environment_from_number(static_cast<std::uint32_t>(state.environment()));
  if (!appliance || !environment) refuse("kf-state is damaged");
  token::RevocationList list{.appliance_id = *appliance,
                             .environment = *environment,
                             .number = state.revocation_number(),
                             .time = UtcMillis{request.now_ms()}};
  for (const std::string& batch : state.closed_batches()) add_sorted(list.batches, batch);
  for (const v1::Station& station : registry.stations()) {
    if (station.retired()) add_sorted(list.stations, station.station_id());
  }
  make_ascending(list.batches);
  make_ascending(list.stations);
  p11::Session& session = hsm.session();
  p11::HsmSigner signer{session, find_role_key(session, KeyRole::Export, ""),
                        find_role_point(session, KeyRole::Export, "")};
  const Bytes encoded =
      token::encode(token::sign_payload(signer, crypto::SignatureKind::RevocationList, token::serialise(list)));
  if (!out.ParseFromArray(encoded.data(), static_cast<int>(encoded.size()))) {
    throw Error{Code::Internal, "a signed list that does not parse"};
  }
}

void make_crl(Hsm& hsm, const v1::MakeCrl& request, v1::Octets& out) {
  const Plan plan = crl_plan(request.plan());
  const auto& detail = std::get<CrlIssuePlan>(plan.detail);
  const ByteView entries = as_bytes(request.entries());
  if (detail.entries.count > kMaxCrlEntries || entries.size() != detail.entries.count * kCrlEntryBytes) {
    refuse("the number of CRL entries is not the plan's");
  }
  const auto parsed = x509::parse_certificate(as_bytes(request.ca_certificate()));
  const auto* authority = std::get_if<x509::CertificateFacts>(&parsed);
  p11::Session& session = hsm.session();
  const auto point = find_role_point(session, KeyRole::CertificateAuthority, detail.authority);
  if (authority == nullptr || authority->key != point)
    refuse("the CA's certificate is not that of its key in the HSM");
  x509::CrlBuilder crl{{.issuer_name = authority->subject_name,
                        .issuer_key_identifier = authority->subject_key_identifier,
                        .number = detail.number,
                        .this_update = UtcMillis{request.now_ms()},
                        .next_update = detail.next_update},
                       detail.entries.count};
  audit::Frontier frontier;
  for (std::size_t at = 0; at < entries.size(); at += kCrlEntryBytes) {
    const ByteView entry = entries.subspan(at, kCrlEntryBytes);
    frontier.append(audit::leaf_hash(entry));
    crl.add(entry.first(16), UtcMillis{static_cast<std::int64_t>(read_u64be(entry.subspan(16)))}, entry[24]);
  }
  if (frontier.root() != detail.entries.root) refuse("the CRL entries are not those that officers approved");
  const Bytes tbs = crl.to_be_signed();
  const Bytes signature = session.sign_ecdsa(find_role_key(session, KeyRole::CertificateAuthority, detail.authority),
                                             crypto::sha256(tbs));
  out.set_octets(to_string(x509::assemble(tbs, signature)));
}

void destroy_key(Hsm& hsm, const v1::DestroyKey& request, v1::KeyDestroyed& out) {
  const std::string& label = request.label();
  const bool may = label.starts_with("kf-tk/") || label.starts_with("kf-vendor/") || label.starts_with("kf-ca/");
  if (!may || !is_name(label.substr(label.find('/') + 1))) refuse("no key of that label is destroyed by request");
  p11::Session& session = hsm.session();
  if (!label.starts_with("kf-tk/")) {
    if (const auto found = session.find_one(p11::ObjectClass::PublicKey, label)) {
      const bool ec = label.starts_with("kf-ca/");
      out.set_public_key(to_string(ec ? to_bytes(session.ec_point(*found).point()) : session.rsa_public_key(*found)));
    }
  }
  for (const p11::ObjectHandle object : session.find(p11::Template{}.token(true).label(label))) {
    session.destroy(object);
    out.set_objects(out.objects() + 1);
  }
  hsm.sync_store();
}

}  // namespace keyferry::appliance
