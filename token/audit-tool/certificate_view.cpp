#include "token/audit-tool/certificate_view.h"

#include <fmt/format.h>

#include "wrap/base/durable_file.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/x509/bundle.h"
#include "wrap/x509/der.h"
#include "wrap/x509/name.h"

namespace keyferry::audit_tool {
namespace {

/// The subject's text, as far as the certificate can be read at all.
std::string subject_of(ByteView certificate) {
  const auto outer = x509::der::only_element(certificate, x509::der::kSequence);
  const auto tbs = outer ? x509::der::Reader{outer->content}.next(x509::der::kSequence) : std::nullopt;
  if (!tbs) return "(not readable)";
  x509::der::Reader fields{tbs->content};
  static_cast<void>(fields.next(x509::der::context_constructed(0)));
  for (const auto tag : {x509::der::kInteger, x509::der::kSequence, x509::der::kSequence, x509::der::kSequence}) {
    if (!fields.next(tag)) return "(not readable)";
  }
  const auto subject = fields.next(x509::der::kSequence);
  const auto text = subject ? x509::name_text(subject->whole) : std::nullopt;
  if (!text) return "(not readable)";
  return text->empty() ? "(empty)" : *text;
}

std::vector<Bytes> read_one(const std::filesystem::path& file) {
  // Exit 1 means a finding, so a file that is not there is wrong usage. Links are followed: nothing here is written.
  const std::string name = printable(file.string());
  std::error_code failed;
  const std::filesystem::path target = std::filesystem::canonical(file, failed);
  const auto octets = failed ? std::nullopt : read_file_if_exists(target, x509::kMaxBundleBytes);
  if (!octets) throw Error{Code::Usage, fmt::format("there is no file {}", name), "give files of certificates"};
  if (octets->empty()) throw Error{Code::Usage, fmt::format("{} is empty", name), "give PEM, DER or PKCS#7"};
  auto read = x509::read_certificates(*octets);
  if (auto* certificates = std::get_if<std::vector<Bytes>>(&read)) return std::move(*certificates);
  const Refusal& refusal = std::get<Refusal>(read);
  // DER that is too long or no certificate still gets the lint's finding, not a refusal of the file.
  if (refusal.reason == "certificate-size" && octets->front() == x509::der::kSequence) return {*octets};
  throw Error{Code::Usage, fmt::format("{}: {}", name, refusal.text), refusal.hint};
}

}  // namespace

CertificateLint lint_files(const std::vector<std::filesystem::path>& files, x509::LintProfile profile) {
  CertificateLint lint;
  std::vector<Bytes> chain;
  for (const std::filesystem::path& file : files) {
    const std::vector<Bytes> certificates = read_one(file);
    for (std::size_t i = 0; i < certificates.size(); ++i) {
      const std::string name = printable(file.string());
      lint.certificates.push_back({certificates.size() == 1 ? name : fmt::format("{} #{}", name, i + 1),
                                   subject_of(certificates[i]), crypto::sha256(certificates[i]).hex()});
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
    text += fmt::format("{:<7}  {}  ({})\n", i == 0 ? "leaf" : fmt::format("above {}", i), one.subject, one.origin);
  }
  if (lint.findings.empty()) return text + "no finding\n";
  for (const x509::Finding& finding : lint.findings) {
    const LintedCertificate& one = lint.certificates[finding.certificate];
    text += fmt::format("\n{}: {}: {}\n  {} ({})\n", one.origin, finding.rule->name, finding.text,
                        finding.rule->sentence, finding.rule->clause);
  }
  return text + fmt::format("\n{} finding{}\n", lint.findings.size(), lint.findings.size() == 1 ? "" : "s");
}

}  // namespace keyferry::audit_tool
