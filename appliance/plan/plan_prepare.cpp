#include "appliance/plan/plan_prepare.h"

#include <fmt/format.h>

#include "appliance/plan/plan_families.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/oaep.h"
#include "wrap/crypto/signing.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kMaxVendorKeyBytes = 2048;
constexpr std::size_t kLocksAt = 86;  // of the configuration zone: LockValue, LockConfig, SlotLocked
constexpr std::array<std::uint8_t, 4> kOpen{0x55, 0x55, 0xFF, 0xFF};

Bytes read_vendor_key(PlanFields& fields) {
  auto octets = from_hex(fields.text("vendor_public_key", 2 * kMaxVendorKeyBytes));
  if (!octets || !crypto::rsa_bits(*octets)) {
    fields.refuse("vendor_public_key", "is no RSA key of 2048 to 8192 bits");
    return {};
  }
  return std::move(*octets);
}

std::string read_part_text(PlanFields& fields, const char* field) {
  std::string text = fields.text(field, 64);
  if (!is_part_text(text)) fields.refuse(field, "has characters that no part or lot has");
  return text;
}

}  // namespace

SePreparePlan read_se_prepare(PlanFields& fields) {
  SePreparePlan plan;
  plan.preparer = fields.name("preparer");
  plan.part = read_part_text(fields, "part");
  plan.lot = read_part_text(fields, "lot");
  plan.key_name = fields.name("key_name");
  plan.count = static_cast<std::uint32_t>(fields.integer("count", 1, kMaxPreparedChips));
  plan.vendor = fields.name("vendor");
  plan.mechanism = fields.text("mechanism", 32);
  if (plan.mechanism != "rsa-oaep-sha1" && plan.mechanism != "rsa-oaep-sha256")
    fields.refuse("mechanism", "is neither rsa-oaep-sha1 nor rsa-oaep-sha256");
  plan.vendor_public_key = read_vendor_key(fields);
  if (fields.has("secure_boot_key")) {
    plan.secure_boot_key = fields.hex("secure_boot_key", crypto::PublicKey::kPointBytes);
    if (!crypto::PublicKey::from_point(plan.secure_boot_key))
      fields.refuse("secure_boot_key", "is no P-256 point");
  }
  plan.profile = read_atecc608(fields);
  if (fields.refusal()) return plan;
  if (plan.secure_boot_key.empty() == plan.profile.secure_boot_slot.has_value())
    fields.refuse("secure_boot_slot", "and secure_boot_key go together");
  if (!equal(ByteView{plan.profile.configuration}.subspan(kLocksAt, kOpen.size()), kOpen))
    fields.refuse("configuration", "does not have 55 55 ff ff in octets 86 to 89: an open chip's locks");
  return plan;
}

std::string detail_text(const SePreparePlan& plan) {
  std::string text = fmt::format(
      "preparer = \"{}\"\npart = \"{}\"\nlot = \"{}\"\nkey_name = \"{}\"\ncount = {}\nvendor = \"{}\"\n"
      "mechanism = \"{}\"\nvendor_public_key = \"{}\"\n",
      plan.preparer, plan.part, plan.lot, plan.key_name, plan.count, plan.vendor, plan.mechanism,
      to_hex(plan.vendor_public_key));
  if (!plan.secure_boot_key.empty())
    text += fmt::format("secure_boot_key = \"{}\"\n", to_hex(plan.secure_boot_key));
  return text + "\n" + atecc608_text(plan.profile);
}

std::vector<std::string> detail_sentences(const SePreparePlan& plan) {
  const se::Atecc608Profile& profile = plan.profile;
  std::vector<std::string> lines{
      fmt::format("Preparer \"{}\" may make up to {} blank ATECC608 chips ready: part {}, lot {}, key {}.",
                  plan.preparer, plan.count, plan.part, plan.lot, plan.key_name),
      fmt::format("Their configuration is written and locked for good: SHA-256 {}, octets {}.",
                  crypto::sha256(profile.configuration).hex(), to_hex(profile.configuration)),
      fmt::format("Each gets a random transport key in slot {}, which comes here under kf-vendor/{} ({}, "
                  "public key SHA-256 {}).",
                  profile.transport_slot, plan.vendor, plan.mechanism,
                  crypto::sha256(plan.vendor_public_key).hex()),
      profile.attestation_slot
          ? fmt::format("Each makes an attestation key of its own in slot {}, which is locked.",
                        *profile.attestation_slot)
          : std::string{"They make no attestation key."}};
  if (profile.secure_boot_slot) {
    lines.push_back(fmt::format("The secure-boot key in slot {} reads in words: {}.",
                                *profile.secure_boot_slot,
                                key_words(crypto::sha256(plan.secure_boot_key).bytes())));
  }
  return lines;
}

std::string detail_subject(const SePreparePlan& plan) { return plan.preparer; }

}  // namespace keyferry::appliance
