// Persons and policy of a registry: conversion, and what the operations on them do. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "appliance/gate/internal/gate_state.h"
#include "appliance/plan/policy.h"

namespace keyferry::appliance {

[[nodiscard]] v1::OfficerRole wire_role(PersonRole role);
[[nodiscard]] std::optional<PersonRole> person_role(v1::OfficerRole role);

/// Rules of operations that this program does not know are left out.
[[nodiscard]] PolicyRules policy_rules(const v1::Policy& policy);
void set_rules(v1::Policy& policy, const PolicyRules& rules);

/// Persons with role officer that are not disabled.
[[nodiscard]] std::uint32_t enabled_officers(const v1::Registry& registry);

[[nodiscard]] v1::Officer* person(v1::Registry& registry, std::uint32_t number);
[[nodiscard]] const v1::Officer* person(const v1::Registry& registry, std::uint32_t number);

/// What already has this key: "person 3", "person 3 before it was replaced", "station \"line1\"", "source \"acme\"".
[[nodiscard]] std::optional<std::string> owner_of_key(const v1::Registry& registry, ByteView public_key);

// Reasons: person-number, person-key, person-unknown, person-disabled, person-quorum, and those of check_policy.
[[nodiscard]] std::optional<Refusal> check(const OfficerAddPlan& plan, const GateState& state);
[[nodiscard]] std::optional<Refusal> check(const OfficerReplacePlan& plan, const GateState& state);
[[nodiscard]] std::optional<Refusal> check(const OfficerDisablePlan& plan, const GateState& state);
[[nodiscard]] std::optional<Refusal> check(const PolicyChangePlan& plan, const GateState& state);

void apply(v1::Registry& registry, const OfficerAddPlan& plan);
void apply(v1::Registry& registry, const OfficerReplacePlan& plan);
void apply(v1::Registry& registry, const OfficerDisablePlan& plan);
void apply(v1::Registry& registry, const PolicyChangePlan& plan);
void apply(v1::Registry& registry, const FamilyEnablePlan& plan);

/// event: of PersonLeaf.
[[nodiscard]] v1::LogLeaf person_leaf(const v1::Officer& person, const std::string& event);
[[nodiscard]] v1::LogLeaf policy_leaf(const v1::Policy& policy);

/// May an appliance begin with these people? Reasons: init-officers (no officer, or M is more than there are, or fewer
/// than M + 1 in production), init-quorum (M below 2 in production), init-pins (production without PINs as shares).
[[nodiscard]] std::optional<Refusal> check_first_persons(std::uint32_t officers,
                                                         std::uint32_t needed,
                                                         Environment environment,
                                                         bool pins_are_shares);

/// A card that a person brings to init, as the gate takes it.
struct CardPerson {
  v1::Officer person;  // number 0
  Digest card_sha256;
};

/// Cards of one init, in their order: numbers from 1 on, keys once each, of this environment. Error{Refused} names the
/// card by its place.
[[nodiscard]] std::vector<CardPerson> persons_of_cards(const google::protobuf::RepeatedPtrField<v1::SignedBytes>& cards,
                                                       v1::Environment environment);

}  // namespace keyferry::appliance
