#include "token/audit-tool/certificate_view.h"

#include <fmt/format.h>

#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/der.h"
#include "wrap/x509/matter.h"
#include "wrap/x509/name.h"

namespace keyferry::audit_tool {
namespace {

/// The subject's text, as far as the certificate can be read at all.
std::string subject_of(ByteView certificate) {
  const auto outer = x509::der::only_element(certificate, x509::der::kSequence);
  const auto tbs =
      outer ? x509::der::Reader{outer->content}.next(x509::der::kSequence) : std::nullopt;
  if (!tbs) return "(not readable)";
  x509::der::Reader fields{tbs->content};
  static_cast<void>(fields.next(x509::der::context_constructed(0)));
  for (const auto tag :
       {x509::der::kInteger, x509::der::kSequence, x509::der::kSequence, x509::der::kSequence}) {
    if (!fields.next(tag)) return "(not readable)";
  }
  const auto subject = fields.next(x509::der::kSequence);
  const auto text = subject ? x509::name_text(subject->whole) : std::nullopt;
  if (!text) return "(not readable)";
  return text->empty() ? "(empty)" : *text;
}

Bytes read_octets(const std::filesystem::path& file) {
  // Exit 1 means a finding, so a file that is not there is wrong usage. Links are followed: nothing
  // here is written.
  const std::string name = printable(file.string());
  std::error_code failed;
  const std::filesystem::path target = std::filesystem::canonical(file, failed);
  auto octets = failed ? std::nullopt : read_file_if_exists(target, x509::kMaxBundleBytes);
  if (!octets)
    throw Error{Code::Usage, fmt::format("there is no file {}", name), "give the file's name"};
  if (octets->empty()) throw Error{Code::Usage, fmt::format("{} is empty", name), "give it anew"};
  return std::move(*octets);
}

std::vector<Bytes> read_one(const std::filesystem::path& file) {
  const Bytes octets = read_octets(file);
  auto read = x509::read_certificates(octets);
  if (auto* certificates = std::get_if<std::vector<Bytes>>(&read)) return std::move(*certificates);
  const Refusal& refusal = std::get<Refusal>(read);
  // DER that is too long or no certificate still gets the lint's finding, not a refusal of the
  // file.
  if (refusal.reason == "certificate-size" && octets.front() == x509::der::kSequence)
    return {octets};
  throw Error{
      Code::Usage, fmt::format("{}: {}", printable(file.string()), refusal.text), refusal.hint};
}

}  // namespace

CertificateLint lint_files(const std::vector<std::filesystem::path>& files,
                           x509::LintProfile profile) {
  CertificateLint lint;
  std::vector<Bytes> chain;
  for (const std::filesystem::path& file : files) {
    const std::vector<Bytes> certificates = read_one(file);
    for (std::size_t i = 0; i < certificates.size(); ++i) {
      const std::string name = printable(file.string());
      lint.certificates.push_back(
          {certificates.size() == 1 ? name : fmt::format("{} #{}", name, i + 1),
           subject_of(certificates[i]),
           crypto::sha256(certificates[i]).hex()});
      chain.push_back(certificates[i]);
    }
  }
  lint.profile = x509::lint_profile_of(chain, profile);
  lint.findings = x509::lint_chain(chain, profile);
  return lint;
}

std::string lint_text(const CertificateLint& lint) {
  std::string text = fmt::format("profile  {}\n", x509::lint_profile_name(lint.profile));
  for (std::size_t i = 0; i < lint.certificates.size(); ++i) {
    const LintedCertificate& one = lint.certificates[i];
    text += fmt::format(
        "{:<7}  {}  ({})\n", i == 0 ? "leaf" : fmt::format("above {}", i), one.subject, one.origin);
  }
  if (lint.findings.empty()) return text + "no finding\n";
  for (const x509::Finding& finding : lint.findings) {
    const LintedCertificate& one = lint.certificates[finding.certificate];
    text += fmt::format("\n{}: {}: {}\n  {} ({})\n",
                        one.origin,
                        finding.rule->name,
                        finding.text,
                        finding.rule->sentence,
                        finding.rule->clause);
  }
  return text + fmt::format(
                    "\n{} finding{}\n", lint.findings.size(), lint.findings.size() == 1 ? "" : "s");
}

DeclarationView view_declaration(const std::filesystem::path& file,
                                 const std::vector<std::filesystem::path>& signers) {
  auto parsed = x509::parse_certification_declaration(read_octets(file));
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  DeclarationView view{std::get<x509::CertificationDeclaration>(std::move(parsed))};
  std::vector<Bytes> certificates;
  for (const std::filesystem::path& signer : signers) {
    for (Bytes& certificate : read_one(signer)) certificates.push_back(std::move(certificate));
  }
  const auto checked = x509::check_declaration_signature(view.declaration, certificates);
  if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
  view.signature = std::get<x509::DeclarationSignature>(checked);
  return view;
}

std::vector<std::pair<std::string, std::string>> declaration_fields(const DeclarationView& view) {
  const x509::CertificationDeclaration& declaration = view.declaration;
  std::string products;
  for (const std::uint16_t product : declaration.product_ids)
    products += (products.empty() ? "" : " ") + x509::matter_hex(product);
  std::vector<std::pair<std::string, std::string>> fields{
      {"certificate_id", declaration.certificate_id},
      {"vendor_id", x509::matter_hex(declaration.vendor_id)},
      {"product_ids", products},
      {"device_type_id", fmt::format("{:04X}", declaration.device_type_id)},
      {"security_level", std::to_string(declaration.security_level)},
      {"security_information", std::to_string(declaration.security_information)},
      {"version_number", std::to_string(declaration.version_number)},
      {"certification_type", std::to_string(declaration.certification_type)},
  };
  if (declaration.dac_origin_vendor_id) {
    fields.emplace_back("dac_origin_vendor_id",
                        x509::matter_hex(*declaration.dac_origin_vendor_id));
    fields.emplace_back("dac_origin_product_id",
                        x509::matter_hex(declaration.dac_origin_product_id.value()));
  }
  for (const Bytes& paa : declaration.authorized_paas)
    fields.emplace_back("authorized_paa", to_hex(paa));
  fields.emplace_back("signer_key_identifier", to_hex(declaration.signer_key_identifier));
  fields.emplace_back("signature",
                      view.signature == x509::DeclarationSignature::Verified
                          ? "verified"
                          : "not verified: no certificate of this signer was given");
  fields.emplace_back("sha256", declaration.sha256.hex());
  return fields;
}

}  // namespace keyferry::audit_tool
