#include "appliance/plan/plan_keys.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::uint64_t kMaxPlanNumber = 1'000'000'000;
constexpr std::uint64_t kMaxLogSize = 1'000'000'000'000;

std::string read_kdf(PlanFields& fields) {
  std::string kdf = fields.text("kdf", 16);
  if (kdf != "kf-kdf-1" && kdf != "kf-kdf-2")
    fields.refuse("kdf", "is neither kf-kdf-1 nor kf-kdf-2");
  return kdf;
}

/// Said of masters for families other than pkcs11 alone.
se::Family read_family(PlanFields& fields) {
  if (!fields.has("family")) return se::Family::Pkcs11;
  const auto family = se::family_from_name(fields.text("family", 32));
  if (!family || *family == se::Family::Pkcs11 || se::unsupported(*family))
    fields.refuse("family", "is none that a master of its own is made for");
  return family.value_or(se::Family::Pkcs11);
}

std::string family_text(se::Family family) {
  if (family == se::Family::Pkcs11) return {};
  return fmt::format("family = \"{}\"\n", se::family_name(family));
}

void add_family_sentence(se::Family family, std::vector<std::string>& lines) {
  if (family == se::Family::Pkcs11) return;
  lines.push_back(
      fmt::format("It derives for family {} alone; a worker may see what it derives.",
                  se::family_name(family)));
}

/// None, or the check values of two or three parts.
std::vector<Bytes> read_components(PlanFields& fields) {
  std::vector<Bytes> components;
  if (!fields.has("components")) return components;
  for (const std::string& text : fields.texts("components", 3, 2 * kCheckValueBytes)) {
    const auto value = from_hex(text);
    if (!value || value->size() != kCheckValueBytes) {
      fields.refuse("components", "has a check value that is not 32 hex digits");
    } else {
      components.push_back(*value);
    }
  }
  if (components.size() < 2) fields.refuse("components", "are not two or three check values");
  return components;
}

std::string components_text(const std::vector<Bytes>& components) {
  if (components.empty()) return {};
  std::string text = "components = [";
  for (std::size_t i = 0; i < components.size(); ++i)
    text += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", to_hex(components[i]));
  return text + "]\n";
}

void add_components_sentence(const std::vector<Bytes>& components,
                             std::vector<std::string>& lines) {
  if (components.empty()) return;
  std::string text =
      fmt::format("It is entered in {} parts, each by another custodian; their check values are",
                  components.size());
  for (std::size_t i = 0; i < components.size(); ++i)
    text += (i == 0 ? " " : ", ") + to_hex(components[i]);
  lines.push_back(text + ".");
}

std::string key_text(const std::string& name, const char* field, const std::string& value) {
  return fmt::format("name = \"{}\"\n{} = \"{}\"\n", name, field, value);
}

}  // namespace

TransportMasterPlan read_master(PlanFields& fields) {
  return {fields.name("name"), read_kdf(fields), read_family(fields)};
}

TransportMasterImportPlan read_master_import(PlanFields& fields) {
  return {fields.name("name"),
          read_kdf(fields),
          fields.hex("check_value", kCheckValueBytes),
          read_components(fields),
          read_family(fields)};
}

VendorKeyImportPlan read_vendor_key_import(PlanFields& fields) {
  VendorKeyImportPlan plan{fields.name("name"),
                           fields.text("mechanism", 32),
                           fields.hex("check_value", kCheckValueBytes),
                           read_components(fields)};
  if (plan.mechanism != "aes-kwp")
    fields.refuse("mechanism", "is not supported for an imported key: only aes-kwp is");
  return plan;
}

VendorKeyCreatePlan read_vendor_key_create(PlanFields& fields) {
  VendorKeyCreatePlan plan{fields.name("name"),
                           fields.text("mechanism", 32),
                           static_cast<std::uint32_t>(fields.integer("bits", 3072, 4096))};
  if (plan.mechanism != "rsa-oaep-sha1" && plan.mechanism != "rsa-oaep-sha256") {
    fields.refuse("mechanism", "is neither rsa-oaep-sha1 nor rsa-oaep-sha256");
  }
  if (plan.bits != 3072 && plan.bits != 4096) fields.refuse("bits", "is neither 3072 nor 4096");
  return plan;
}

HsmBackupPlan read_backup(PlanFields& fields) {
  HsmBackupPlan plan;
  plan.shares = static_cast<std::uint32_t>(fields.integer("shares", 2, kMaxBackupShares));
  plan.shares_needed =
      static_cast<std::uint32_t>(fields.integer("shares_needed", 2, kMaxBackupShares));
  if (plan.shares_needed > plan.shares) fields.refuse("shares_needed", "is more than shares");
  plan.reason = fields.reason();
  return plan;
}

namespace {

constexpr std::size_t kMaxCrls = 128;
constexpr std::size_t kMaxCrlChars = 192;
constexpr std::uint64_t kMaxCrlNumber = 1'000'000'000;

std::optional<std::uint64_t> decimal(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size() && value <= kMaxCrlNumber;
  return whole ? std::optional{value} : std::nullopt;
}

/// "NAME NUMBER ENTRIES ROOT"
std::optional<HsmAdoptStatePlan::Crl> parse_crl(std::string_view text) {
  std::array<std::string_view, 4> words;
  for (std::size_t at = 0; at < words.size(); ++at) {
    const std::size_t blank = at + 1 < words.size() ? text.find(' ') : text.size();
    if (blank == std::string_view::npos) return std::nullopt;
    words.at(at) = text.substr(0, blank);
    text.remove_prefix(std::min(text.size(), blank + 1));
  }
  const auto number = decimal(words[1]);
  const auto count = decimal(words[2]);
  const auto root = Digest::from_hex(words[3]);
  if (!is_name(words[0]) || !number || *number == 0 || !count || !root) return std::nullopt;
  return HsmAdoptStatePlan::Crl{std::string{words[0]}, *number, {*count, *root}};
}

std::vector<HsmAdoptStatePlan::Crl> read_crls(PlanFields& fields) {
  std::vector<HsmAdoptStatePlan::Crl> crls;
  for (const std::string& text : fields.texts("crls", kMaxCrls, kMaxCrlChars)) {
    auto crl = parse_crl(text);
    if (!crl) {
      fields.refuse("crls", "has a line that is not NAME NUMBER ENTRIES ROOT");
    } else if (!crls.empty() && crls.back().authority >= crl->authority) {
      fields.refuse("crls", "are not in the order of their names, each once");
    } else {
      crls.push_back(std::move(*crl));
    }
  }
  return crls;
}

std::string crls_text(const std::vector<HsmAdoptStatePlan::Crl>& crls) {
  if (crls.empty()) return {};
  std::string text = "crls = [\n";
  for (const auto& crl : crls) {
    text += fmt::format("  \"{} {} {} {}\",\n", crl.authority, crl.number, crl.entries.count, crl.entries.root.hex());
  }
  return text + "]\n";
}

}  // namespace

HsmAdoptStatePlan read_adopt_state(PlanFields& fields) {
  HsmAdoptStatePlan plan;
  plan.old_appliance = fields.id<ApplianceId>("old_appliance");
  plan.last_checkpoint_size = fields.integer("last_checkpoint_size", 1, kMaxLogSize);
  plan.last_checkpoint_root = fields.id<Digest>("last_checkpoint_root");
  plan.last_plan_number = fields.integer("last_plan_number", 0, kMaxPlanNumber);
  plan.registry_digest = fields.id<Digest>("registry_digest");
  plan.backup_id = fields.hex("backup_id", kBackupIdBytes);
  if (fields.has("crls")) plan.crls = read_crls(fields);
  return plan;
}

std::string detail_text(const TransportMasterPlan& plan) {
  return key_text(plan.name, "kdf", plan.kdf) + family_text(plan.family);
}

std::string detail_text(const TransportMasterImportPlan& plan) {
  return key_text(plan.name, "kdf", plan.kdf) +
         fmt::format("check_value = \"{}\"\n", to_hex(plan.check_value)) +
         components_text(plan.components) + family_text(plan.family);
}

std::string detail_text(const VendorKeyImportPlan& plan) {
  return key_text(plan.name, "mechanism", plan.mechanism) +
         fmt::format("check_value = \"{}\"\n", to_hex(plan.check_value)) +
         components_text(plan.components);
}

std::string detail_text(const VendorKeyCreatePlan& plan) {
  return key_text(plan.name, "mechanism", plan.mechanism) + fmt::format("bits = {}\n", plan.bits);
}

std::string detail_text(const HsmBackupPlan& plan) {
  return fmt::format("shares_needed = {}\nshares = {}\nreason = {}\n",
                     plan.shares_needed,
                     plan.shares,
                     toml_quoted(plan.reason));
}

std::string detail_text(const HsmAdoptStatePlan& plan) {
  return fmt::format(
      "old_appliance = \"{}\"\nlast_checkpoint_size = {}\nlast_checkpoint_root = \"{}\"\n"
      "last_plan_number = {}\nregistry_digest = \"{}\"\nbackup_id = \"{}\"\n",
      plan.old_appliance.hex(),
      plan.last_checkpoint_size,
      plan.last_checkpoint_root.hex(),
      plan.last_plan_number,
      plan.registry_digest.hex(),
      to_hex(plan.backup_id)) + crls_text(plan.crls);
}

std::vector<std::string> detail_sentences(const TransportMasterPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("The HSM makes transport-key master kf-tk/{} for {}.", plan.name, plan.kdf)};
  add_family_sentence(plan.family, lines);
  return lines;
}

std::vector<std::string> detail_sentences(const TransportMasterImportPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("Transport-key master kf-tk/{} for {} is imported: someone outside knows it too.",
                  plan.name,
                  plan.kdf),
      fmt::format("Its check value is {}; another key is refused.", to_hex(plan.check_value))};
  add_family_sentence(plan.family, lines);
  add_components_sentence(plan.components, lines);
  return lines;
}

std::vector<std::string> detail_sentences(const VendorKeyImportPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("Vendor key kf-vendor/{} is imported; it opens transport keys that the vendor "
                  "wrapped ({}).",
                  plan.name,
                  plan.mechanism),
      fmt::format("Its check value is {}; another key is refused.", to_hex(plan.check_value))};
  add_components_sentence(plan.components, lines);
  return lines;
}

std::vector<std::string> detail_sentences(const VendorKeyCreatePlan& plan) {
  return {
      fmt::format("The HSM makes vendor key kf-vendor/{}, RSA {} bits, for {}; the vendor gets its "
                  "public half.",
                  plan.name,
                  plan.bits,
                  plan.mechanism)};
}

std::vector<std::string> detail_sentences(const HsmBackupPlan& plan) {
  return {fmt::format(
              "Masters, vendor and CA keys are written to a backup file that {} of {} shares open.",
              plan.shares_needed,
              plan.shares),
          fmt::format("Reason: {}.", plan.reason)};
}

std::vector<std::string> detail_sentences(const HsmAdoptStatePlan& plan) {
  std::vector<std::string> lines{
      fmt::format("This HSM goes on for appliance {}, whose HSM counts as dead from now on.",
                  plan.old_appliance.hex().substr(0, 16)),
      fmt::format(
          "The last known checkpoint covers {} leaves with root {}; plan numbers go on above {}.",
          plan.last_checkpoint_size,
          plan.last_checkpoint_root.hex(),
          plan.last_plan_number),
      fmt::format("The registry is {}, the keys are those of backup {}.",
                  plan.registry_digest.hex(),
                  to_hex(plan.backup_id))};
  for (const auto& crl : plan.crls) {
    lines.push_back(fmt::format("CRLs of kf-ca/{} go on above number {}, whose {} entries stay.",
                                crl.authority, crl.number, crl.entries.count));
  }
  lines.push_back(plan.crls.empty() ? "No CA of it has issued a CRL: the first of each is number 1."
                                    : "No other CA of it has issued a CRL: the first of each is number 1.");
  return lines;
}

std::string detail_subject(const TransportMasterPlan& plan) {
  return plan.name;
}

std::string detail_subject(const TransportMasterImportPlan& plan) {
  return plan.name;
}

std::string detail_subject(const VendorKeyImportPlan& plan) {
  return plan.name;
}

std::string detail_subject(const VendorKeyCreatePlan& plan) {
  return plan.name;
}

std::string detail_subject(const HsmBackupPlan& plan) {
  return fmt::format("{}-of-{}", plan.shares_needed, plan.shares);
}

std::string detail_subject(const HsmAdoptStatePlan& plan) {
  return plan.old_appliance.hex();
}

}  // namespace keyferry::appliance
