#include "appliance/plan/plan_families.h"

#include <fmt/format.h>

#include <algorithm>

namespace keyferry::appliance {
namespace {

constexpr const char* kTable = "atecc608";
constexpr std::uint64_t kLastSlot = se::kAtecc608SlotCount - 1;

std::uint8_t read_slot(PlanFields& fields, const char* field) {
  return static_cast<std::uint8_t>(fields.integer(field, 0, kLastSlot));
}

void read_certificates(PlanFields& fields, se::Atecc608Profile& profile) {
  const auto form = se::certificate_form_from_name(fields.text("certificate_form", 16));
  if (!form) fields.refuse("certificate_form", "is neither plain nor compressed");
  profile.certificate_form = form.value_or(se::CertificateForm::Plain);
  if (fields.has("chain")) {
    const auto chain = se::certificate_chain_from_name(fields.text("chain", 16));
    if (!chain) fields.refuse("chain", "is neither leaf nor whole");
    profile.certificate_chain = chain.value_or(se::CertificateChain::Leaf);
  }
  for (const std::uint64_t slot :
       fields.integers("certificate_slots", 0, kLastSlot, se::kAtecc608SlotCount))
    profile.certificate_slots.push_back(static_cast<std::uint8_t>(slot));
  if (profile.certificate_slots.empty())
    fields.refuse("certificate_slots", "are none: the chain is checked as it stands in the chip");
}

}  // namespace

se::Atecc608Profile read_atecc608(PlanFields& fields) {
  fields.enter(kTable);
  se::Atecc608Profile profile;
  const Bytes configuration = fields.hex("configuration", profile.configuration.size());
  std::ranges::copy(configuration, profile.configuration.begin());
  profile.transport_slot = read_slot(fields, "transport_slot");
  profile.target_slot = read_slot(fields, "target_slot");
  if (fields.has("attestation_slot"))
    profile.attestation_slot = read_slot(fields, "attestation_slot");
  if (fields.has("secure_boot_slot"))
    profile.secure_boot_slot = read_slot(fields, "secure_boot_slot");
  read_certificates(fields, profile);
  if (fields.refusal()) return profile;
  if (const auto refusal = se::check_profile(profile)) fields.refuse(*refusal);
  return profile;
}

std::string atecc608_text(const se::Atecc608Profile& profile) {
  std::string text =
      fmt::format("[{}]\nconfiguration = \"{}\"\n", kTable, to_hex(profile.configuration));
  text += fmt::format(
      "transport_slot = {}\ntarget_slot = {}\n", profile.transport_slot, profile.target_slot);
  if (profile.attestation_slot)
    text += fmt::format("attestation_slot = {}\n", *profile.attestation_slot);
  if (profile.secure_boot_slot)
    text += fmt::format("secure_boot_slot = {}\n", *profile.secure_boot_slot);
  text += fmt::format("certificate_form = \"{}\"\nchain = \"{}\"\ncertificate_slots = [{}]\n",
                      se::certificate_form_name(profile.certificate_form),
                      se::certificate_chain_name(profile.certificate_chain),
                      fmt::join(profile.certificate_slots, ", "));
  return text;
}

std::vector<std::string> atecc608_sentences(const se::Atecc608Profile& profile) {
  std::vector<std::string> lines;
  lines.push_back(
      fmt::format("In each chip the key goes into slot {}, encrypted for the transport key in slot "
                  "{}; the slot is then locked for good.",
                  profile.target_slot,
                  profile.transport_slot));
  lines.push_back(
      "No HSM can make this format: each device key is in the clear in a worker's locked memory "
      "while its one record is made. `doctor` and each segment's leaf in the log say whether the "
      "transport key is, too.");
  lines.push_back(
      profile.attestation_slot
          ? fmt::format("Chips whose attestation key is known prove by slot {} that the key is in "
                        "them, locked (attested); others prove possession.",
                        *profile.attestation_slot)
          : std::string{"Chips prove possession of the key; no attestation slot is named."});
  lines.push_back(fmt::format(
      "Stored in slots {} ({} octets): {}, {}.",
      fmt::join(profile.certificate_slots, ", "),
      se::certificate_area_bytes(profile),
      profile.certificate_chain == se::CertificateChain::Whole ? "the whole chain"
                                                               : "the device's certificate",
      se::certificate_form_name(profile.certificate_form)));
  if (profile.secure_boot_slot) {
    lines.push_back(fmt::format("The secure boot key is the one in slot {}.", *profile.secure_boot_slot));
  }
  lines.push_back(
      fmt::format("A chip with another configuration is refused: {}.", to_hex(profile.configuration)));
  return lines;
}

std::variant<se::Atecc608Profile, Refusal> parse_atecc608_profile(ByteView octets) {
  if (octets.size() > kMaxPlanBytes) return Refusal{"plan-size", "the profile is larger than 64 KiB"};
  PlanFields fields{octets};
  if (fields.refusal()) return *fields.refusal();
  const se::Atecc608Profile profile = read_atecc608(fields);
  fields.refuse_unknown();
  if (fields.refusal()) return *fields.refusal();
  return profile;
}

std::optional<Refusal> check_firmware(const BatchPlan& batch) {
  const bool verifies = batch.atecc608 && batch.atecc608->secure_boot_slot;
  if (!batch.firmware_sha256 || verifies) return std::nullopt;
  return Refusal{"batch-firmware",
                 fmt::format("the plan asks for a firmware check, and SEs of family {} {}",
                             se::family_name(batch.family),
                             batch.atecc608 ? "have one only where the profile names a secure_boot_slot"
                                            : "have none"),
                 "leave the firmware out, or name the slot of the secure boot key"};
}

FamilyEnablePlan read_family_enable(PlanFields& fields) {
  FamilyEnablePlan plan;
  const auto family = se::family_from_name(fields.text("family", 32));
  if (!family || !se::needs_plaintext(*family))
    fields.refuse("family", "is none that has to be enabled");
  plan.family = family.value_or(se::Family::Atecc608);
  plan.reason = fields.reason();
  return plan;
}

std::string detail_text(const FamilyEnablePlan& plan) {
  return fmt::format(
      "family = \"{}\"\nreason = {}\n", se::family_name(plan.family), toml_quoted(plan.reason));
}

std::vector<std::string> detail_sentences(const FamilyEnablePlan& plan) {
  return {fmt::format("From now on records may be made for secure elements of family {}.",
                      se::family_name(plan.family)),
          "Their format cannot be made inside an HSM: each device key, and where the module leaves "
          "no other way its transport key, is in the clear in a worker's locked memory while its "
          "one record is made.",
          fmt::format("Reason: {}.", plan.reason)};
}

std::string detail_subject(const FamilyEnablePlan& plan) {
  return std::string{se::family_name(plan.family)};
}

}  // namespace keyferry::appliance
