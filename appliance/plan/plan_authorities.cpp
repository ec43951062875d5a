#include "appliance/plan/plan_authorities.h"

#include <fmt/format.h>

#include <array>

#include "appliance/plan/ca_chain.h"
#include "wrap/base/words.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {
namespace {

struct ProfileRow {
  CaProfile profile{};
  std::string_view name;
  bool matter = false;
  bool self_signed = false;
  std::uint8_t least_path_length = 0, most_path_length = 0;  // Matter 6.2.2.4, 6.2.2.5: PAA 1, PAI 0
  std::string_view what;
};

constexpr std::array kProfiles{
    ProfileRow{CaProfile::Root, "root", false, true, 0, 2, "a self-signed root"},
    ProfileRow{CaProfile::Intermediate, "intermediate", false, false, 0, 1, "an intermediate CA"},
    ProfileRow{CaProfile::MatterPaa, "matter-paa", true, true, 1, 1, "a Matter product attestation authority (PAA)"},
    ProfileRow{CaProfile::MatterPai, "matter-pai", true, false, 0, 0, "a Matter product attestation intermediate (PAI)"},
};

const ProfileRow& row_of(CaProfile profile) { return kProfiles.at(static_cast<std::size_t>(profile)); }

std::string subject_of(PlanFields& fields) {
  std::string subject = fields.text("subject", x509::kMaxPatternBytes);
  const auto name = x509::fixed_name(subject);
  if (const auto* refusal = std::get_if<Refusal>(&name)) fields.refuse("subject", refusal->text);
  return subject;
}

CaProfile profile_of(PlanFields& fields) {
  const auto profile = profile_from_name(fields.text("template", 32));
  if (!profile) fields.refuse("template", "is none of root, intermediate, matter-paa and matter-pai");
  return profile.value_or(CaProfile::Root);
}

/// Four upper-case hex digits, not 0000.
std::uint16_t matter_id(PlanFields& fields, std::string_view field) {
  if (!fields.has(field)) return 0;
  const std::string text = fields.text(field, 4);
  const bool good = text.size() == 4 && text != "0000" && text.find_first_not_of("0123456789ABCDEF") == std::string::npos;
  if (!good) fields.refuse(field, "is not 4 upper-case hex digits from 0001 to FFFF");
  return good ? static_cast<std::uint16_t>(std::stoul(text, nullptr, 16)) : std::uint16_t{0};
}

/// Matter 6.2.2.4 and 6.2.2.5: a PAI has one VID and may have a PID, a PAA may have a VID and never has a PID.
void check_ids(PlanFields& fields, CaProfile profile, std::uint16_t vendor_id, std::uint16_t product_id) {
  if (!is_matter(profile) && (vendor_id != 0 || product_id != 0))
    fields.refuse("vendor_id", fmt::format("is for Matter's templates only, and this one is {}", profile_name(profile)));
  if (profile == CaProfile::MatterPai && vendor_id == 0) fields.refuse("vendor_id", "is missing: a PAI has one");
  if (profile == CaProfile::MatterPaa && product_id != 0) fields.refuse("product_id", "is there: a PAA has none");
}

std::vector<Bytes> chain_of(PlanFields& fields, std::size_t least) {
  std::vector<Bytes> chain;
  for (const std::string& hex : fields.texts("chain", kMaxCaChain, 2 * kMaxCaCertificateBytes)) {
    const auto der = from_hex(hex);
    if (!der) fields.refuse("chain", "has an item that is no hex");
    chain.push_back(der.value_or(Bytes{}));
  }
  if (fields.refusal()) return chain;
  if (chain.size() < least) fields.refuse("chain", fmt::format("has less than {} certificates", least));
  const auto read = read_ca_chain(chain);
  if (const auto* refusal = std::get_if<Refusal>(&read)) fields.refuse(*refusal);
  return chain;
}

std::string ids_text(std::uint16_t vendor_id, std::uint16_t product_id) {
  std::string text;
  if (vendor_id != 0) text += fmt::format("vendor_id = \"{:04X}\"\n", vendor_id);
  if (product_id != 0) text += fmt::format("product_id = \"{:04X}\"\n", product_id);
  return text;
}

std::string chain_text(const std::vector<Bytes>& chain) {
  std::string text = "chain = [\n";
  for (const Bytes& der : chain) text += fmt::format("  \"{}\",\n", to_hex(der));
  return text + "]\n";
}

void add_ids(std::vector<std::string>& lines, std::uint16_t vendor_id, std::uint16_t product_id) {
  if (vendor_id == 0) return;
  lines.push_back(product_id == 0 ? fmt::format("Matter vendor id {:04X}, any product of it.", vendor_id)
                                  : fmt::format("Matter vendor id {:04X}, product id {:04X}.", vendor_id, product_id));
}

void add_chain(std::vector<std::string>& lines, const std::vector<Bytes>& chain) {
  const auto read = read_ca_chain(chain);
  const auto* facts = std::get_if<std::vector<x509::CertificateFacts>>(&read);
  if (facts == nullptr) return;
  for (std::size_t i = 0; i < facts->size(); ++i) {
    const x509::CertificateFacts& one = (*facts)[i];
    lines.push_back(fmt::format("{}: {}, valid from {} to {}, SHA-256 {}.", i + 1 == facts->size() ? "Anchor" : "Certificate",
                                one.subject, to_rfc3339(one.not_before), to_rfc3339(one.not_after), one.sha256.hex()));
  }
  lines.push_back(fmt::format("The anchor's SHA-256 in words: {}.", key_words(facts->back().sha256.bytes())));
}

}  // namespace

std::string_view profile_name(CaProfile profile) { return row_of(profile).name; }

std::optional<CaProfile> profile_from_name(std::string_view name) {
  for (const ProfileRow& row : kProfiles) {
    if (row.name == name) return row.profile;
  }
  return std::nullopt;
}

bool is_matter(CaProfile profile) { return row_of(profile).matter; }

CaCreatePlan read_ca_create(PlanFields& fields) {
  CaCreatePlan plan;
  plan.name = fields.name("name");
  plan.subject = subject_of(fields);
  plan.not_before = fields.time("not_before");
  plan.not_after = fields.time("not_after");
  if (plan.not_after <= plan.not_before) fields.refuse("not_after", "is not after not_before");
  if (fields.has("template")) plan.profile = profile_of(fields);
  const ProfileRow& row = row_of(plan.profile);
  plan.path_length = row.least_path_length;
  if (fields.has("issuer")) plan.issuer = fields.name("issuer");
  if (fields.has("path_length")) {
    plan.path_length =
        static_cast<std::uint8_t>(fields.integer("path_length", row.least_path_length, row.most_path_length));
  }
  if (row.self_signed && !plan.issuer.empty()) fields.refuse("issuer", fmt::format("is there: {} is self-signed", row.name));
  if (!row.self_signed && plan.issuer.empty()) fields.refuse("issuer", fmt::format("is missing: {} is signed by a CA above it", row.name));
  if (plan.issuer == plan.name) fields.refuse("issuer", "is the CA itself");
  plan.vendor_id = matter_id(fields, "vendor_id");
  plan.product_id = matter_id(fields, "product_id");
  check_ids(fields, plan.profile, plan.vendor_id, plan.product_id);
  return plan;
}

CaRequestPlan read_ca_request(PlanFields& fields) {
  CaRequestPlan plan;
  plan.name = fields.name("name");
  plan.subject = subject_of(fields);
  plan.profile = profile_of(fields);
  if (row_of(plan.profile).self_signed) fields.refuse("template", "is self-signed: make it with ca create");
  plan.vendor_id = matter_id(fields, "vendor_id");
  plan.product_id = matter_id(fields, "product_id");
  check_ids(fields, plan.profile, plan.vendor_id, plan.product_id);
  return plan;
}

CaInstallPlan read_ca_install(PlanFields& fields) {
  CaInstallPlan plan;
  plan.name = fields.name("name");
  plan.chain = chain_of(fields, 2);
  return plan;
}

CaImportPlan read_ca_import(PlanFields& fields) {
  CaImportPlan plan;
  plan.name = fields.name("name");
  plan.profile = profile_of(fields);
  plan.chain = chain_of(fields, 1);
  if (fields.refusal()) return plan;
  if (plan.profile == CaProfile::MatterPaa) fields.refuse("template", "is matter-paa: a PAA issues no device certificate");
  if (row_of(plan.profile).self_signed != (plan.chain.size() == 1))
    fields.refuse("template", fmt::format("is {}, and the chain has {} certificates", profile_name(plan.profile), plan.chain.size()));
  return plan;
}

std::string detail_text(const CaCreatePlan& plan) {
  std::string text = fmt::format("name = \"{}\"\nsubject = {}\nnot_before = \"{}\"\nnot_after = \"{}\"\n", plan.name,
                                 toml_quoted(plan.subject), to_rfc3339(plan.not_before), to_rfc3339(plan.not_after));
  if (plan.profile != CaProfile::Root) text += fmt::format("template = \"{}\"\n", profile_name(plan.profile));
  if (!plan.issuer.empty()) text += fmt::format("issuer = \"{}\"\n", plan.issuer);
  if (plan.path_length != row_of(plan.profile).least_path_length) text += fmt::format("path_length = {}\n", plan.path_length);
  return text + ids_text(plan.vendor_id, plan.product_id);
}

std::string detail_text(const CaRequestPlan& plan) {
  return fmt::format("name = \"{}\"\nsubject = {}\ntemplate = \"{}\"\n", plan.name, toml_quoted(plan.subject),
                     profile_name(plan.profile)) +
         ids_text(plan.vendor_id, plan.product_id);
}

std::string detail_text(const CaInstallPlan& plan) {
  return fmt::format("name = \"{}\"\n", plan.name) + chain_text(plan.chain);
}

std::string detail_text(const CaImportPlan& plan) {
  return fmt::format("name = \"{}\"\ntemplate = \"{}\"\n", plan.name, profile_name(plan.profile)) + chain_text(plan.chain);
}

std::vector<std::string> detail_sentences(const CaCreatePlan& plan) {
  std::vector<std::string> lines{
      fmt::format("The HSM makes certificate authority kf-ca/{} with subject {}.", plan.name, plan.subject),
      fmt::format("Its certificate is valid from {} to {}.", to_rfc3339(plan.not_before), to_rfc3339(plan.not_after))};
  lines.push_back(plan.issuer.empty() ? fmt::format("It is {}.", row_of(plan.profile).what)
                                      : fmt::format("It is {}, signed by kf-ca/{}.", row_of(plan.profile).what, plan.issuer));
  lines.push_back(plan.path_length == 0 ? std::string{"No other CA may stand below it."}
                                        : fmt::format("{} CA{} may stand below it.", plan.path_length, plan.path_length == 1 ? "" : "s"));
  add_ids(lines, plan.vendor_id, plan.product_id);
  return lines;
}

std::vector<std::string> detail_sentences(const CaRequestPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("The HSM makes certificate authority kf-ca/{} and a request for {} with subject {}.", plan.name,
                  row_of(plan.profile).what, plan.subject),
      "It issues nothing until officers install the certificate that answers the request."};
  add_ids(lines, plan.vendor_id, plan.product_id);
  return lines;
}

std::vector<std::string> detail_sentences(const CaInstallPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("Certificate authority kf-ca/{} gets the certificate that answers its request; from then on it issues.", plan.name)};
  add_chain(lines, plan.chain);
  return lines;
}

std::vector<std::string> detail_sentences(const CaImportPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("Outside CA \"{}\" ({}) may certify keys of this appliance: its key is not in the HSM.", plan.name,
                  row_of(plan.profile).what)};
  add_chain(lines, plan.chain);
  return lines;
}

std::string detail_subject(const CaCreatePlan& plan) { return plan.name; }

std::string detail_subject(const CaRequestPlan& plan) { return plan.name; }

std::string detail_subject(const CaInstallPlan& plan) { return plan.name; }

std::string detail_subject(const CaImportPlan& plan) { return plan.name; }

}  // namespace keyferry::appliance
