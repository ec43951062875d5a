#include "appliance/gate/preparation_acts.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/state_store.h"
#include "appliance/plan/plan.h"
#include "keyferry/v1/atecc608.pb.h"
#include "keyferry/v1/worker.pb.h"
#include "token/preparation.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"

namespace keyferry::appliance {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error{Code::Refused, text}; }

struct KnownState {
  v1::HsmState state;
  v1::Registry registry;
};

KnownState known_state(Hsm& hsm, const std::string& registry) {
  KnownState known;
  const auto octets = StateStore{hsm}.read();
  if (!octets || !known.state.ParseFromArray(octets->data(), static_cast<int>(octets->size())))
    refuse("the HSM has no kf-state");
  if (crypto::sha256(as_bytes(registry)).str() != known.state.registry_digest() ||
      !known.registry.ParseFromString(registry)) {
    refuse("the registry is not the one that kf-state names");
  }
  return known;
}

SePreparePlan plan_of(const Plan& plan, const v1::HsmState& state) {
  const auto* detail = std::get_if<SePreparePlan>(&plan.detail);
  if (detail == nullptr) refuse("the plan orders no preparation");
  if (plan.appliance.str() != state.appliance_id()) refuse("the plan is of another appliance");
  if (std::ranges::find(state.given_orders(), plan.digest.str()) == state.given_orders().end())
    refuse("the plan was not run, or so many orders ago that it is not given out again");
  return *detail;
}

crypto::PublicKey preparer_of(const SePreparePlan& plan, const v1::Registry& registry) {
  for (const v1::Source& source : registry.sources()) {
    if (source.name() != plan.preparer || source.kind() != v1::SOURCE_KIND_PREPARATION) continue;
    if (const auto key = crypto::PublicKey::from_point(as_bytes(source.public_key()))) return *key;
  }
  refuse(fmt::format("no preparer \"{}\" is enrolled", plan.preparer));
}

void check_vendor_key(const SePreparePlan& plan, const v1::Registry& registry) {
  const bool known = std::ranges::any_of(registry.vendor_keys(), [&](const v1::VendorKey& key) {
    return key.name() == plan.vendor && key.mechanism() == plan.mechanism && !key.destroyed() &&
           equal(as_bytes(key.public_key()), plan.vendor_public_key);
  });
  if (!known) refuse(fmt::format("kf-vendor/{} is not the key that the plan names", plan.vendor));
}

token::SignedBytes card_of(const v1::SignedBytes& message) {
  const auto parsed = token::parse_signed_bytes(as_bytes(message.SerializeAsString()));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<token::SignedBytes>(parsed);
}

}  // namespace

void make_preparation_order(Hsm& hsm, const v1::MakePreparationOrder& request, v1::SignedBytes& out) {
  const KnownState known = known_state(hsm, request.registry());
  const auto parsed = parse_plan(as_bytes(request.plan()));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  const Plan& plan = std::get<Plan>(parsed);
  const SePreparePlan detail = plan_of(plan, known.state);
  check_vendor_key(detail, known.registry);
  const token::SignedBytes card = card_of(request.card());
  const auto opened = token::open_appliance_card(card);
  if (const auto* refusal = std::get_if<Refusal>(&opened)) throw to_error(*refusal);
  const auto& facts = std::get<token::ApplianceCard>(opened);
  if (facts.appliance_id != plan.appliance ||
      token::name_of(facts.environment) != environment_name(plan.environment)) {
    refuse("the card is of another appliance or environment than the plan");
  }
  v1::Atecc608Profile profile;
  se::to_message(detail.profile, profile);
  token::PreparationOrder order{.appliance_id = plan.appliance,
                                .environment = facts.environment,
                                .card = card,
                                .plan_digest = plan.digest,
                                .plan_number = plan.number,
                                .preparer = preparer_of(detail, known.registry),
                                .part = detail.part,
                                .lot = detail.lot,
                                .key_name = detail.key_name,
                                .count = detail.count,
                                .profile = to_bytes(as_bytes(profile.SerializeAsString())),
                                .secure_boot_key = std::nullopt,
                                .vendor = detail.vendor,
                                .mechanism = detail.mechanism,
                                .vendor_public_key = detail.vendor_public_key,
                                .expires = plan.expires};
  if (!detail.secure_boot_key.empty())
    order.secure_boot_key = crypto::PublicKey::from_point(detail.secure_boot_key);
  p11::Session& session = hsm.session();
  p11::HsmSigner signer{session, find_role_key(session, KeyRole::Export, ""),
                        find_role_point(session, KeyRole::Export, "")};
  const Bytes encoded = token::encode(
      token::sign_payload(signer, crypto::SignatureKind::PreparationOrder, token::serialise(order)));
  if (!out.ParseFromArray(encoded.data(), static_cast<int>(encoded.size())))
    throw Error{Code::Internal, "a signed value that does not parse"};
}

}  // namespace keyferry::appliance
