#include "appliance/gate/key_acts.h"

#include <fmt/format.h>

#include "appliance/gate/backup_key.h"
#include "appliance/gate/internal/entry_block.h"
#include "appliance/gate/transport_keys.h"
#include "appliance/plan/lint_findings.h"
#include "appliance/plan/plan.h"
#include "keyferry/v1/worker.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/random_health.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/atecc608_builder.h"
#include "wrap/se/check_value.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/certificate_builder.h"
#include "wrap/x509/request.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint32_t kDeliveredBlock = 1024;

[[noreturn]] void refuse(std::string text, std::string hint = {}) { throw Error{Code::Refused, std::move(text), std::move(hint)}; }

se::Kdf kdf_of(const std::string& name) {
  const auto kdf = se::kdf_from_name(name);
  if (!kdf) refuse("a KDF that is unknown: " + printable(name));
  return *kdf;
}

se::Delivery delivery_of(const std::string& name) {
  const auto delivery = se::delivery_from_name(name);
  if (!delivery) refuse("a way of delivery that is unknown: " + printable(name));
  return *delivery;
}

/// Which mechanism the key is made for, and whether this module was seen to do it.
KeyChoice choice_for(Hsm& hsm, KeyRole role, const v1::MakeKey& request) {
  KeyChoice choice;
  switch (role) {
    case KeyRole::TransportMaster: {
      const se::Kdf kdf = kdf_of(request.kdf());
      if (const auto refusal = se::check_kdf(kdf, hsm.facts())) throw to_error(*refusal);
      choice.mechanism = se::kdf_mechanism(kdf);
      return choice;
    }
    case KeyRole::Vendor: {
      if (delivery_of(request.mechanism()) != se::Delivery::AesKwp || !request.import()) {
        refuse("an AES vendor key is imported, and only for aes-kwp");
      }
      if (const auto refusal = se::check_delivery(se::Delivery::AesKwp, hsm.facts())) throw to_error(*refusal);
      choice.mechanism = se::delivery_mechanism(se::Delivery::AesKwp, hsm.facts());
      return choice;
    }
    case KeyRole::VendorRsa: {
      const se::Delivery delivery = delivery_of(request.mechanism());
      if (!se::oaep_hash(delivery)) refuse("an RSA vendor key is for rsa-oaep-sha1 or rsa-oaep-sha256");
      const p11::ProbeResult facts = p11::probe(hsm.session(), p11::ProbeFor::Appliance, p11::ProbeDepth::Thorough);
      if (const auto refusal = se::check_delivery(delivery, facts)) throw to_error(*refusal);
      choice.modulus_bits = request.modulus_bits();
      return choice;
    }
    case KeyRole::Backup:
    case KeyRole::CertificateAuthority:
    case KeyRole::Log:
    case KeyRole::Export:
    case KeyRole::Inbox: return choice;
  }
  return choice;
}

void need_approved(const Bytes& check_value, const v1::MakeKey& request) {
  if (to_string(check_value) == request.check_value()) return;
  refuse(fmt::format("the key that was given has check value {}, the officers approved {}", to_hex(check_value),
                     to_hex(as_bytes(request.check_value()))),
         "give the right key, or have the plan made and approved with the right check value");
}

/// Takes `octets` in. Before the HSM sees them: the check value, in software.
void import_key(Hsm& hsm, const KeyRoleRow& row, const v1::MakeKey& request, const KeyChoice& choice,
                const SecretBytes& octets, v1::KeyMade& made) {
  if (octets.size() != 32) refuse("an imported key has 32 octets");
  if (row.role == KeyRole::TransportMaster) {
    need_approved(se::master_check_value(octets, kdf_of(request.kdf())), request);
  } else if (row.role == KeyRole::Vendor) {
    const se::VendorKeyCheck check = se::check_vendor_key(octets);
    need_approved(check.check_value, request);
    made.set_check_blob(to_string(check.proof));
  } else {
    refuse(fmt::format("keys of role \"{}\" are made in the HSM, not imported", row.name));
  }
  KF_CUT("worker.key.before-import");
  import_role_key(hsm.session(), row.role, request.name(), choice, octets);
  made.set_check_value(request.check_value());
}

x509::CaSpec spec_of(const v1::MakeKey& request) {
  const auto kind =
      request.profile().empty() ? std::optional{x509::CaKind::Root} : x509::ca_kind_from_name(request.profile());
  if (!kind) refuse("a kind of CA that is unknown: " + printable(request.profile()));
  x509::CaSpec spec{.subject = request.subject(), .kind = *kind};
  spec.not_before = UtcMillis{request.not_before_ms()};
  spec.not_after = UtcMillis{request.not_after_ms()};
  if (request.certificate_request()) spec.not_after = UtcMillis{spec.not_before.value + 1000};  // whoever signs it says when
  spec.path_length = static_cast<std::uint8_t>(request.path_length());
  if (request.has_vendor_id()) spec.matter.vendor_id = static_cast<std::uint16_t>(request.vendor_id());
  if (request.has_product_id()) spec.matter.product_id = static_cast<std::uint16_t>(request.product_id());
  return spec;
}

/// Of the CA that signs another one; its key in the HSM is the certificate's.
x509::CertificateFacts issuer_of(Hsm& hsm, const v1::MakeKey& request) {
  auto parsed = x509::parse_certificate(as_bytes(request.issuer_certificate()));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  if (find_role_point(hsm.session(), KeyRole::CertificateAuthority, request.issuer()) != std::get<x509::CertificateFacts>(parsed).key)
    refuse(fmt::format("the certificate of kf-ca/{} is not for the key in the HSM", request.issuer()));
  return std::get<x509::CertificateFacts>(std::move(parsed));
}

/// A throw-away key signs it: what the real issuer signs has been linted, and no key is made for what is refused.
void lint_ca(const x509::CaSpec& spec, const x509::CertificateFacts* issuer, const v1::MakeKey& request) {
  crypto::SoftKey key = crypto::SoftKey::generate();
  const x509::CertificateSerial serial = x509::longest_serial();
  const Bytes tbs = issuer == nullptr ? x509::ca_to_be_signed(spec, serial, key.public_key())
                                      : x509::ca_to_be_signed(spec, serial, key.public_key(), *issuer);
  std::vector<Bytes> chain{x509::assemble(tbs, key.sign_digest(crypto::sha256(tbs)))};
  if (issuer != nullptr) chain.push_back(to_bytes(as_bytes(request.issuer_certificate())));
  const LeafSignature signature = issuer == nullptr ? LeafSignature::Checked : LeafSignature::NotYet;
  if (const auto refusal = lint_refusal(chain, lint_profile(spec.kind), signature)) throw to_error(*refusal);
}

/// Before a key is made: what would be refused of its certificate.
void check_ca(Hsm& hsm, const v1::MakeKey& request) {
  const x509::CaSpec spec = spec_of(request);
  const bool below = !request.issuer().empty();
  if (!request.certificate_request() && below == x509::is_self_signed(spec.kind)) {
    refuse(fmt::format("a CA of kind {} is {}self-signed", request.profile(), below ? "" : "not "));
  }
  const auto issuer = below ? std::optional{issuer_of(hsm, request)} : std::nullopt;
  const auto refusal = issuer ? x509::validate(spec, *issuer) : x509::validate(spec);
  if (refusal) throw to_error(*refusal);
  // What an outside CA is asked for, that CA certifies: linted when it is installed.
  if (!request.certificate_request()) lint_ca(spec, issuer ? &*issuer : nullptr, request);
}

void certify(Hsm& hsm, RandomSource& random, const v1::MakeKey& request, v1::KeyMade& made) {
  const auto sign = [&hsm](const std::string& name, const Bytes& tbs) {
    const p11::ObjectHandle key = find_role_key(hsm.session(), KeyRole::CertificateAuthority, name);
    return x509::assemble(tbs, hsm.session().sign_ecdsa(key, crypto::sha256(tbs)));
  };
  const crypto::PublicKey point = find_role_point(hsm.session(), KeyRole::CertificateAuthority, request.name());
  const x509::CaSpec spec = spec_of(request);
  made.set_public_key(to_string(point.point()));
  if (request.certificate_request()) {
    made.set_certificate_request(to_string(sign(request.name(), x509::ca_request_to_be_signed(spec, point))));
  } else if (request.issuer().empty()) {
    made.set_certificate(to_string(sign(request.name(), x509::ca_to_be_signed(spec, x509::make_serial(random), point))));
  } else {
    const x509::CertificateFacts issuer = issuer_of(hsm, request);
    made.set_certificate(to_string(sign(request.issuer(), x509::ca_to_be_signed(spec, x509::make_serial(random), point, issuer))));
  }
  if (!request.certificate_request()) {
    const std::vector<Bytes> certificate{to_bytes(as_bytes(made.certificate()))};
    if (const auto refusal = lint_refusal(certificate, lint_profile(spec.kind))) throw to_error(*refusal);
  }
  KF_CUT("worker.ca.certified");
}

/// Why the key in the HSM is not what was asked for; nothing when it is.
std::optional<std::string> wrong_with(Hsm& hsm, const RoleObject& key, const v1::MakeKey& request, v1::KeyMade& made) {
  p11::Session& session = hsm.session();
  if (!key.drift.empty()) return fmt::format("it was made with other attributes: {}", fmt::join(key.drift, ", "));
  if (key.row->role == KeyRole::TransportMaster) {
    const Bytes computed = se::master_check_value(session, key.handle, kdf_of(request.kdf()), hsm.facts());
    if (!request.import()) {
      made.set_check_value(to_string(computed));
    } else if (to_string(computed) != request.check_value()) {
      return "the HSM computes check value " + to_hex(computed) + " with it";
    }
  }
  if (key.row->role == KeyRole::Vendor) {
    se::Pkcs11Builder builder{session, hsm.facts()};
    if (!builder.opens_vendor_proof(se::Delivery::AesKwp, key.handle, as_bytes(made.check_blob()))) {
      return std::string{"the HSM does not open with it what software wrapped"};
    }
  }
  return std::nullopt;
}

Bytes public_key_of(p11::Session& session, const KeyRoleRow& row, const std::string& label) {
  const auto found = session.find_one(p11::ObjectClass::PublicKey, label);
  if (!found) return {};
  if (row.shape == KeyShape::RsaUnwrap) return session.rsa_public_key(*found);
  return to_bytes(session.ec_point(*found).point());
}

void describe(Hsm& hsm, const RoleObject& object, const v1::ListObjects& request, v1::HsmObject& out) {
  out.set_label(object.label);
  out.set_object_class(object.class_name);
  for (const std::string& drift : object.drift) out.add_drift(drift);
  if (object.is_state) out.set_role("state");
  if (object.row == nullptr) return;
  const KeyRoleRow& row = *object.row;
  out.set_role(std::string{row.name});
  out.set_attributes(attributes_text(hsm.session(), object));
  if (!object.drift.empty()) return;  // a key that is not as it should be is not used
  if (is_pair(row)) {
    out.set_public_key(to_string(public_key_of(hsm.session(), row, object.label)));
    return;
  }
  const std::string name{key_name_of(row, object.label)};
  if (row.role == KeyRole::TransportMaster) {
    for (const v1::TransportMaster& master : request.transport_masters()) {
      const auto kdf = se::kdf_from_name(master.kdf());
      if (master.name() != name || !kdf || se::check_kdf(*kdf, hsm.facts())) continue;
      out.set_check_value(to_string(se::master_check_value(hsm.session(), object.handle, *kdf, hsm.facts())));
    }
  }
  if (row.role == KeyRole::Backup && hsm.facts().kwp) {
    out.set_check_value(to_string(backup_key_check_in(hsm.session(), *hsm.facts().kwp)));
  }
  if (row.role == KeyRole::Vendor) {
    for (const v1::VendorKey& key : request.vendor_keys()) {
      if (key.name() != name || key.check_blob().empty()) continue;
      se::Pkcs11Builder builder{hsm.session(), hsm.facts()};
      // Only the key that the blob was made under opens it: the check value follows.
      if (builder.opens_vendor_proof(se::Delivery::AesKwp, object.handle, as_bytes(key.check_blob()))) {
        out.set_check_value(key.check_value());
      }
    }
  }
}

/// The block's entries, checked to be exactly the delivered ones of the plan at this index.
std::vector<se::Entry> delivered_entries(const v1::CheckDelivered& request) {
  auto parsed = parse_plan(as_bytes(request.plan()));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  const auto* plan = std::get_if<SeImportPlan>(&std::get<Plan>(parsed).detail);
  if (plan == nullptr || !plan->delivered_root) refuse("the plan imports no delivered transport keys");
  std::vector<se::Entry> entries =
      checked_block(request.entries(), request.path(),
                    EntryBlock{"block", request.index(), kDeliveredBlock, plan->delivered_count, *plan->delivered_root});
  for (const se::Entry& entry : entries) {
    if (entry.transport_kind != se::TransportKind::Delivered) refuse("an entry's transport key is not delivered");
  }
  return entries;
}

}  // namespace

void make_key(Hsm& hsm, RandomSource& random, const v1::MakeKey& request, const SecretBytes* octets,
              v1::KeyMade& made) {
  const KeyRoleRow* row = key_role_by_name(request.role());
  if (row == nullptr || !row->named) refuse("no key of that role is made by request");
  if (request.import() != (octets != nullptr)) throw Error{Code::Internal, "an import without its key, or a key without import"};
  const KeyChoice choice = choice_for(hsm, row->role, request);
  if (row->role == KeyRole::CertificateAuthority) check_ca(hsm, request);
  // The gate knows no such key: what carries the label was left by a cut before kf-state named it.
  destroy_role_key(hsm.session(), row->role, request.name());
  KF_CUT("worker.key.before-make");
  if (octets != nullptr) {
    import_key(hsm, *row, request, choice, *octets, made);
  } else {
    make_role_key(hsm.session(), row->role, request.name(), choice);
  }
  const RoleObject key = find_role_object(hsm.session(), row->role, request.name());
  if (const auto wrong = wrong_with(hsm, key, request, made)) {
    destroy_role_key(hsm.session(), row->role, request.name());
    hsm.sync_store();
    refuse(fmt::format("key \"{}\" was destroyed again: {}", key.label, *wrong), "see keyferry-appliance doctor");
  }
  hsm.sync_store();
  KF_CUT("worker.key.made");
  made.set_attributes(attributes_text(hsm.session(), key));
  if (row->role == KeyRole::CertificateAuthority) {
    certify(hsm, random, request, made);
  } else if (is_pair(*row)) {
    made.set_public_key(to_string(public_key_of(hsm.session(), *row, key.label)));
  }
}

void make_appliance_keys(Hsm& hsm, v1::HsmInventory& made) {
  for (const KeyRole role : {KeyRole::Log, KeyRole::Export, KeyRole::Inbox}) {
    destroy_role_key(hsm.session(), role, "");
    make_role_key(hsm.session(), role, "");
    describe(hsm, find_role_object(hsm.session(), role, ""), v1::ListObjects{}, *made.add_objects());
    KF_CUT("worker.init.key-made");
  }
  hsm.sync_store();
}

void check_delivered(Hsm& hsm, const v1::CheckDelivered& request, v1::DeliveredChecks& checks) {
  const std::vector<se::Entry> entries = delivered_entries(request);
  se::Pkcs11Builder builder{hsm.session(), hsm.facts()};
  TransportKeys keys{hsm.session(), hsm.facts(), builder, request};
  keys.check(entries);
  for (const se::Entry& entry : entries) {
    checks.add_check_values(to_string(keys.delivered_check_value(entry).value_or(Bytes{})));
  }
}

void list_objects(Hsm& hsm, const v1::ListObjects& request, v1::HsmInventory& inventory) {
  for (const RoleObject& object : role_objects(hsm.session())) describe(hsm, object, request, *inventory.add_objects());
  describe_hsm(hsm, *inventory.mutable_facts());
}

void probe_thoroughly(Hsm& hsm, v1::HsmFacts& facts) {
  const p11::ProbeResult probed = p11::probe(hsm.session(), p11::ProbeFor::Appliance, p11::ProbeDepth::Thorough);
  describe_hsm(hsm, facts);
  const auto use = [&facts](const char* what, const std::string& value) {
    facts.add_facts(fmt::format("use {}: {}", what, value));
  };
  const auto yes_no = [](std::optional<bool> value) { return std::string{!value ? "not tried" : *value ? "yes" : "no"}; };
  use("kwp", probed.kwp ? p11::mechanism_name(*probed.kwp) : "none");
  use("kf-kdf-1", yes_no(probed.ecb_data_derives));
  use("kf-kdf-2", yes_no(probed.sp800_108_derives));
  use("check values", probed.aes_cmac ? "CKM_AES_CMAC" : "CMAC from two CKM_AES_ECB blocks");
  use("points", probed.ec_point_form == p11::PointForm::Raw ? "raw" : "DER OCTET STRING");
  use("aes-kwp", yes_no(probed.kwp_unwraps));
  use("rsa-oaep-sha1", yes_no(probed.oaep_sha1));
  use("rsa-oaep-sha256", yes_no(probed.oaep_sha256));
  use("wraps only under trusted keys", yes_no(probed.wraps_only_under_trusted));
  use("mechanism lists", probed.allowed_mechanisms_enforced ? "enforced" : "not enforced");
  use("atecc608", se::plaintext_sentence(se::transport_place(probed), se::scalar_way(probed)));
  if (probed.further_sessions) {
    use("sessions", *probed.further_sessions >= p11::kMaxProbedSessions
                        ? fmt::format("{} or more", p11::kMaxProbedSessions + 1)
                        : fmt::format("{}", *probed.further_sessions + 1));
  }
  for (const std::string& fact : probed.facts) facts.add_facts("probe: " + fact);
  for (const Refusal& refusal : probed.missing) facts.add_facts("missing: " + refusal.text);
}

void test_generator(Hsm& hsm, v1::RandomTested& tested) {
  constexpr std::size_t kDrawBytes = 1024 * 1024;
  constexpr std::size_t kBlockBytes = 4096;  // modules may refuse more in one call
  Bytes drawn;
  drawn.reserve(kDrawBytes);
  while (drawn.size() < kDrawBytes) append(drawn, hsm.session().generate_random(kBlockBytes));
  const crypto::RandomHealth health = crypto::test_random(drawn);
  tested.set_octets(health.octets);
  tested.set_longest_run(health.longest_run);
  tested.set_run_cutoff(health.run_cutoff);
  tested.set_most_in_window(health.most_in_window);
  tested.set_window_cutoff(health.window_cutoff);
}

void describe_hsm(Hsm& hsm, v1::HsmFacts& facts) {
  facts.set_module(hsm.module_text());
  facts.set_token_label(hsm.token().label);
  facts.set_token_serial(hsm.token().serial);
  for (const std::string& stranger : check_roles(hsm.session()).strangers) facts.add_strangers(stranger);
}

}  // namespace keyferry::appliance
