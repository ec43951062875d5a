#include "appliance/gate/internal/people.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/gate_impl.h"
#include "appliance/plan/officer_card.h"

namespace keyferry::appliance {
namespace {

using Answer = std::optional<Refusal>;

Answer key_taken(const v1::Registry& registry, ByteView key) {
  const auto owner = owner_of_key(registry, key);
  if (!owner) return std::nullopt;
  return Refusal{"person-key",
                 fmt::format("that key is there already: {} has it", *owner),
                 "each person has a key of one's own, and no key comes back: make a new one"};
}

Answer check_known(const v1::Registry& registry, std::uint32_t number) {
  const v1::Officer* known = person(registry, number);
  if (known == nullptr) {
    return Refusal{
        "person-unknown", fmt::format("there is no person {}", number), "see keyferry-appliance officer list"};
  }
  if (known->disabled()) {
    return Refusal{"person-disabled",
                   fmt::format("person {} is disabled already", number),
                   "who comes back gets a new number: keyferry-appliance officer add CARD"};
  }
  return std::nullopt;
}

}  // namespace

v1::OfficerRole wire_role(PersonRole role) {
  switch (role) {
    case PersonRole::Officer:
      return v1::OFFICER_ROLE_OFFICER;
    case PersonRole::Custodian:
      return v1::OFFICER_ROLE_CUSTODIAN;
    case PersonRole::Technician:
      return v1::OFFICER_ROLE_TECHNICIAN;
    case PersonRole::LineLead:
      return v1::OFFICER_ROLE_LINE_LEAD;
    case PersonRole::Auditor:
      return v1::OFFICER_ROLE_AUDITOR;
    case PersonRole::Witness:
      return v1::OFFICER_ROLE_WITNESS;
  }
  return v1::OFFICER_ROLE_UNSPECIFIED;
}

std::optional<PersonRole> person_role(v1::OfficerRole role) {
  for (const RoleRow& row : kRoleTable) {
    if (wire_role(row.role) == role) return row.role;
  }
  return std::nullopt;
}

PolicyRules policy_rules(const v1::Policy& policy) {
  PolicyRules rules;
  for (const v1::PolicyRule& rule : policy.rules()) {
    if (const auto operation = operation_from_name(rule.operation()))
      rules.push_back({*operation, rule.officers_needed()});
  }
  return rules;
}

void set_rules(v1::Policy& policy, const PolicyRules& rules) {
  policy.clear_rules();
  for (const PolicyChangePlan::Rule& rule : rules) {
    v1::PolicyRule& message = *policy.add_rules();
    message.set_operation(std::string{operation_name(rule.operation)});
    message.set_officers_needed(rule.officers_needed);
  }
}

std::uint32_t enabled_officers(const v1::Registry& registry) {
  return static_cast<std::uint32_t>(std::ranges::count_if(registry.officers(), [](const v1::Officer& one) {
    return !one.disabled() && one.role() == v1::OFFICER_ROLE_OFFICER;
  }));
}

v1::Officer* person(v1::Registry& registry, std::uint32_t number) {
  for (v1::Officer& one : *registry.mutable_officers()) {
    if (one.number() == number) return &one;
  }
  return nullptr;
}

const v1::Officer* person(const v1::Registry& registry, std::uint32_t number) {
  for (const v1::Officer& one : registry.officers()) {
    if (one.number() == number) return &one;
  }
  return nullptr;
}

std::optional<std::string> owner_of_key(const v1::Registry& registry, ByteView public_key) {
  const std::string key = to_string(public_key);
  for (const v1::Officer& one : registry.officers()) {
    if (one.public_key() == key) return fmt::format("person {}", one.number());
    if (std::ranges::find(one.former_keys(), key) != one.former_keys().end()) {
      return fmt::format("person {} before it was replaced", one.number());
    }
  }
  for (const v1::Station& station : registry.stations()) {
    if (station.signing_key() == key || station.agreement_key() == key)
      return fmt::format("station \"{}\"", station.name());
  }
  for (const v1::Source& source : registry.sources()) {
    if (source.public_key() == key) return fmt::format("source \"{}\"", source.name());
  }
  return std::nullopt;
}

Answer check(const OfficerAddPlan& plan, const GateState& state) {
  if (person(state.registry, plan.number) != nullptr) {
    return Refusal{"person-number",
                   fmt::format("person {} is there already", plan.number),
                   "a number stands for one person for good"};
  }
  return key_taken(state.registry, plan.public_key);
}

Answer check(const OfficerReplacePlan& plan, const GateState& state) {
  if (auto refusal = check_known(state.registry, plan.number)) return refusal;
  return key_taken(state.registry, plan.public_key);
}

Answer check(const OfficerDisablePlan& plan, const GateState& state) {
  if (auto refusal = check_known(state.registry, plan.number)) return refusal;
  if (person(state.registry, plan.number)->role() != v1::OFFICER_ROLE_OFFICER) return std::nullopt;
  const std::uint32_t left = enabled_officers(state.registry) - 1;
  const std::uint32_t highest = std::max<std::uint32_t>(highest_rule(policy_rules(state.registry.policy())), 1);
  if (left >= highest) return std::nullopt;
  return Refusal{
      "person-quorum",
      fmt::format(
          "{} officer{} would be left, and the policy's highest rule needs {}", left, left == 1 ? "" : "s", highest),
      "give the person's place another key (officer replace), enroll another officer, or lower the policy first"};
}

Answer check(const PolicyChangePlan& plan, const GateState& state) {
  const auto environment = static_cast<Environment>(static_cast<int>(state.hsm.environment()) - 1);
  return check_policy(plan.rules, enabled_officers(state.registry), environment);
}

void apply(v1::Registry& registry, const OfficerAddPlan& plan) {
  v1::Officer& added = *registry.add_officers();
  added.set_number(plan.number);
  added.set_name_hash(plan.name_hash.str());
  added.set_role(wire_role(role_from_name(plan.role).value()));
  added.set_public_key(to_string(plan.public_key));
}

void apply(v1::Registry& registry, const OfficerReplacePlan& plan) {
  v1::Officer& known = *person(registry, plan.number);
  known.add_former_keys(known.public_key());
  known.set_public_key(to_string(plan.public_key));
}

void apply(v1::Registry& registry, const OfficerDisablePlan& plan) {
  person(registry, plan.number)->set_disabled(true);
}

void apply(v1::Registry& registry, const PolicyChangePlan& plan) {
  v1::Policy& policy = *registry.mutable_policy();
  policy.set_epoch(policy.epoch() + 1);
  set_rules(policy, plan.rules);
  policy.set_rehearsal_required(plan.rehearsal_required);
}

void apply(v1::Registry& registry, const FamilyEnablePlan& plan) {
  v1::Policy& policy = *registry.mutable_policy();
  policy.set_epoch(policy.epoch() + 1);
  policy.add_enabled_families(std::string{se::family_name(plan.family)});
}

v1::LogLeaf person_leaf(const v1::Officer& person, const std::string& event) {
  v1::LogLeaf leaf;
  v1::PersonLeaf& said = *leaf.mutable_person();
  said.set_event(event);
  said.set_number(person.number());
  if (const auto role = person_role(person.role())) said.set_role(std::string{role_name(*role)});
  said.set_public_key(person.public_key());
  said.set_name_hash(person.name_hash());
  return leaf;
}

v1::LogLeaf policy_leaf(const v1::Policy& policy) {
  v1::LogLeaf leaf;
  v1::PolicyLeaf& said = *leaf.mutable_policy();
  said.set_epoch(policy.epoch());
  for (const v1::PolicyRule& rule : policy.rules()) {
    v1::PolicyRuleText& text = *said.add_rules();
    text.set_operation(rule.operation());
    text.set_officers_needed(rule.officers_needed());
  }
  said.set_rehearsal_required(policy.rehearsal_required());
  *said.mutable_enabled_families() = policy.enabled_families();
  return leaf;
}

std::optional<Refusal> check_first_persons(std::uint32_t officers,
                                           std::uint32_t needed,
                                           Environment environment,
                                           bool pins_are_shares) {
  if (officers == 0 || needed == 0 || needed > officers) {
    return Refusal{"init-officers",
                   fmt::format("{} officers are needed for an approval, and {} have a card", needed, officers),
                   "give each officer's card: --officer-card FILE, and --officers-needed M"};
  }
  if (environment != Environment::Production) return std::nullopt;
  if (needed < 2) {
    return Refusal{"init-quorum", "in production nobody decides alone", "give --officers-needed 2 or more"};
  }
  if (officers < needed + 1) {
    return Refusal{"init-officers",
                   fmt::format("{} of {} officers: with one key lost nobody could replace it", needed, officers),
                   fmt::format("enroll {} officers or more", needed + 1)};
  }
  if (!pins_are_shares) {
    return Refusal{"init-pins",
                   "in production nobody knows the HSM's PINs: they are random and split into shares",
                   "give --pin-shares M/N"};
  }
  return std::nullopt;
}

std::vector<CardPerson> persons_of_cards(const google::protobuf::RepeatedPtrField<v1::SignedBytes>& cards,
                                         v1::Environment environment) {
  std::vector<CardPerson> persons;
  v1::Registry seen;
  for (const v1::SignedBytes& message : cards) {
    const std::size_t number = persons.size() + 1;
    const auto opened = open_officer_card(signed_from_message(message));
    if (const auto* refusal = std::get_if<Refusal>(&opened)) {
      throw Error{Code::Refused, fmt::format("card {}: {}", number, refusal->text), refusal->hint};
    }
    const auto& card = std::get<OfficerCard>(opened);
    if (static_cast<int>(card.environment) + 1 != static_cast<int>(environment)) {
      throw Error{Code::Refused,
                  fmt::format("card {} was made for environment {}, this appliance is for another one",
                              number,
                              environment_name(card.environment)),
                  "make it anew: keyferry-appliance officer request --environment NAME"};
    }
    if (const auto owner = owner_of_key(seen, card.public_key.point())) {
      throw Error{Code::Refused,
                  fmt::format("card {} has the key of {}: each person has a key of one's own", number, *owner)};
    }
    CardPerson one{{}, card.sha256};
    one.person.set_number(static_cast<std::uint32_t>(number));
    one.person.set_name_hash(card.name_hash.str());
    one.person.set_role(wire_role(card.role));
    one.person.set_public_key(to_string(card.public_key.point()));
    *seen.add_officers() = one.person;
    persons.push_back(std::move(one));
  }
  return persons;
}

}  // namespace keyferry::appliance
