#include "appliance/plan/plan_authorities.h"

#include <fmt/format.h>

#include <array>

#include "appliance/plan/ca_chain.h"
#include "wrap/base/words.h"
#include "wrap/x509/template.h"

namespace keyferry::appliance {
namespace {

/// In the order of the enumeration. Matter 6.2.2.4, 6.2.2.5: path length 1 of a PAA, 0 of a PAI.
struct KindRow {
  std::uint8_t least_path_length = 0, most_path_length = 0;
  std::string_view what;
};

constexpr std::array kKinds{
    KindRow{0, 2, "a self-signed root"},
    KindRow{0, 1, "an intermediate CA"},
    KindRow{1, 1, "a Matter product attestation authority (PAA)"},
    KindRow{0, 0, "a Matter product attestation intermediate (PAI)"},
};

const KindRow& row_of(x509::CaKind kind) {
  return kKinds.at(static_cast<std::size_t>(kind));
}

x509::CaKind kind_of(PlanFields& fields) {
  const auto kind = x509::ca_kind_from_name(fields.text("template", 32));
  if (!kind) fields.refuse("template", "is none of root, intermediate, matter-paa and matter-pai");
  return kind.value_or(x509::CaKind::Root);
}

std::optional<std::uint16_t> matter_id(PlanFields& fields, std::string_view field) {
  if (!fields.has(field)) return std::nullopt;
  const auto id = x509::read_matter_hex(fields.text(field, 4));
  if (!id) fields.refuse(field, "is not 4 upper-case hex digits");
  return id;
}

x509::MatterIds matter_ids_of(PlanFields& fields) {
  x509::MatterIds ids;
  ids.vendor_id = matter_id(fields, "vendor_id");
  ids.product_id = matter_id(fields, "product_id");
  return ids;
}

void check_spec(PlanFields& fields, const x509::CaSpec& spec) {
  const auto refusal = x509::validate(spec);
  if (!refusal) return;
  const bool subject = refusal->reason.starts_with("subject");
  const bool ids = refusal->reason == "ca-matter";
  if (subject) return fields.refuse("subject", refusal->text);
  if (ids) return fields.refuse("vendor_id", "does not fit: " + refusal->text);
  fields.refuse(*refusal);
}

std::vector<Bytes> chain_of(PlanFields& fields, std::size_t least) {
  std::vector<Bytes> chain = fields.hex_list("chain", kMaxCaChain, kMaxCaCertificateBytes);
  if (fields.refusal()) return chain;
  if (chain.size() < least) fields.refuse("chain", fmt::format("has less than {} certificates", least));
  const auto read = read_ca_chain(chain);
  if (const auto* refusal = std::get_if<Refusal>(&read)) fields.refuse(*refusal);
  return chain;
}

std::string ids_text(const x509::MatterIds& ids) {
  std::string text;
  if (ids.vendor_id) text += fmt::format("vendor_id = \"{}\"\n", x509::matter_hex(*ids.vendor_id));
  if (ids.product_id) text += fmt::format("product_id = \"{}\"\n", x509::matter_hex(*ids.product_id));
  return text;
}

std::string chain_text(const std::vector<Bytes>& chain) {
  std::string text = "chain = [\n";
  for (const Bytes& der : chain) text += fmt::format("  \"{}\",\n", to_hex(der));
  return text + "]\n";
}

void add_ids(std::vector<std::string>& lines, const x509::MatterIds& ids) {
  if (!ids.vendor_id) return;
  const std::string vendor = x509::matter_hex(*ids.vendor_id);
  lines.push_back(ids.product_id
                      ? fmt::format("Matter vendor id {}, product id {}.", vendor, x509::matter_hex(*ids.product_id))
                      : fmt::format("Matter vendor id {}, any product of it.", vendor));
}

void add_chain(std::vector<std::string>& lines, const std::vector<Bytes>& chain) {
  const auto read = read_ca_chain(chain);
  const auto* facts = std::get_if<std::vector<x509::CertificateFacts>>(&read);
  if (facts == nullptr) return;
  for (std::size_t i = 0; i < facts->size(); ++i) {
    const x509::CertificateFacts& one = (*facts)[i];
    lines.push_back(fmt::format("{}: {}, valid from {} to {}, SHA-256 {}.",
                                i + 1 == facts->size() ? "Anchor" : "Certificate", one.subject,
                                to_rfc3339(one.not_before), to_rfc3339(one.not_after), one.sha256.hex()));
  }
  lines.push_back(fmt::format("The anchor's SHA-256 in words: {}.", key_words(facts->back().sha256.bytes())));
}

}  // namespace

CaCreatePlan read_ca_create(PlanFields& fields) {
  CaCreatePlan plan;
  plan.name = fields.name("name");
  plan.subject = fields.text("subject", x509::kMaxPatternBytes);
  plan.not_before = fields.time("not_before");
  plan.not_after = fields.time("not_after");
  if (plan.not_after <= plan.not_before) fields.refuse("not_after", "is not after not_before");
  if (fields.has("template")) plan.kind = kind_of(fields);
  const KindRow& row = row_of(plan.kind);
  plan.path_length = row.least_path_length;
  if (fields.has("issuer")) plan.issuer = fields.name("issuer");
  if (fields.has("path_length")) {
    plan.path_length =
        static_cast<std::uint8_t>(fields.integer("path_length", row.least_path_length, row.most_path_length));
  }
  const std::string_view kind = x509::ca_kind_name(plan.kind);
  const bool alone = x509::is_self_signed(plan.kind);
  if (alone && !plan.issuer.empty()) fields.refuse("issuer", fmt::format("is there: {} is self-signed", kind));
  if (!alone && plan.issuer.empty())
    fields.refuse("issuer", fmt::format("is missing: {} is signed by a CA above it", kind));
  if (plan.issuer == plan.name) fields.refuse("issuer", "is the CA itself");
  plan.matter = matter_ids_of(fields);
  check_spec(fields, plan.spec());
  return plan;
}

CaRequestPlan read_ca_request(PlanFields& fields) {
  CaRequestPlan plan;
  plan.name = fields.name("name");
  plan.subject = fields.text("subject", x509::kMaxPatternBytes);
  plan.kind = kind_of(fields);
  if (x509::is_self_signed(plan.kind)) fields.refuse("template", "is self-signed: make it with ca create");
  plan.matter = matter_ids_of(fields);
  check_spec(fields, {plan.subject, UtcMillis{0}, UtcMillis{1000}, std::uint8_t{0}, plan.kind, plan.matter});
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
  plan.kind = kind_of(fields);
  plan.chain = chain_of(fields, 1);
  if (fields.refusal()) return plan;
  if (plan.kind == x509::CaKind::MatterPaa)
    fields.refuse("template", "is matter-paa: a PAA issues no device certificate");
  if (x509::is_self_signed(plan.kind) != (plan.chain.size() == 1)) {
    fields.refuse("template", fmt::format("is {}, and the chain has {} certificates", x509::ca_kind_name(plan.kind),
                                          plan.chain.size()));
  }
  return plan;
}

std::string detail_text(const CaCreatePlan& plan) {
  std::string text = fmt::format("name = \"{}\"\nsubject = {}\nnot_before = \"{}\"\nnot_after = \"{}\"\n", plan.name,
                                 toml_quoted(plan.subject), to_rfc3339(plan.not_before), to_rfc3339(plan.not_after));
  if (plan.kind != x509::CaKind::Root) text += fmt::format("template = \"{}\"\n", x509::ca_kind_name(plan.kind));
  if (!plan.issuer.empty()) text += fmt::format("issuer = \"{}\"\n", plan.issuer);
  if (plan.path_length != row_of(plan.kind).least_path_length)
    text += fmt::format("path_length = {}\n", plan.path_length);
  return text + ids_text(plan.matter);
}

std::string detail_text(const CaRequestPlan& plan) {
  return fmt::format("name = \"{}\"\nsubject = {}\ntemplate = \"{}\"\n", plan.name, toml_quoted(plan.subject),
                     x509::ca_kind_name(plan.kind)) +
         ids_text(plan.matter);
}

std::string detail_text(const CaInstallPlan& plan) {
  return fmt::format("name = \"{}\"\n", plan.name) + chain_text(plan.chain);
}

std::string detail_text(const CaImportPlan& plan) {
  return fmt::format("name = \"{}\"\ntemplate = \"{}\"\n", plan.name, x509::ca_kind_name(plan.kind)) +
         chain_text(plan.chain);
}

std::vector<std::string> detail_sentences(const CaCreatePlan& plan) {
  std::vector<std::string> lines{
      fmt::format("The HSM makes certificate authority kf-ca/{} with subject {}.", plan.name, plan.subject),
      fmt::format("Its certificate is valid from {} to {}.", to_rfc3339(plan.not_before), to_rfc3339(plan.not_after))};
  lines.push_back(plan.issuer.empty()
                      ? fmt::format("It is {}.", row_of(plan.kind).what)
                      : fmt::format("It is {}, signed by kf-ca/{}.", row_of(plan.kind).what, plan.issuer));
  lines.push_back(plan.path_length == 0
                      ? std::string{"No other CA may stand below it."}
                      : fmt::format("{} CA{} may stand below it.", plan.path_length, plan.path_length == 1 ? "" : "s"));
  add_ids(lines, plan.matter);
  return lines;
}

std::vector<std::string> detail_sentences(const CaRequestPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("The HSM makes certificate authority kf-ca/{} and a request for {} with subject {}.", plan.name,
                  row_of(plan.kind).what, plan.subject),
      "It issues nothing until officers install the certificate that answers the request."};
  add_ids(lines, plan.matter);
  return lines;
}

std::vector<std::string> detail_sentences(const CaInstallPlan& plan) {
  std::vector<std::string> lines{fmt::format(
      "Certificate authority kf-ca/{} gets the certificate that answers its request; from then on it issues.",
      plan.name)};
  add_chain(lines, plan.chain);
  return lines;
}

std::vector<std::string> detail_sentences(const CaImportPlan& plan) {
  std::vector<std::string> lines{
      fmt::format("Outside CA \"{}\" ({}) may certify keys of this appliance: its key is not in the HSM.", plan.name,
                  row_of(plan.kind).what)};
  add_chain(lines, plan.chain);
  return lines;
}

std::string detail_subject(const CaCreatePlan& plan) {
  return plan.name;
}

std::string detail_subject(const CaRequestPlan& plan) {
  return plan.name;
}

std::string detail_subject(const CaInstallPlan& plan) {
  return plan.name;
}

std::string detail_subject(const CaImportPlan& plan) {
  return plan.name;
}

}  // namespace keyferry::appliance
