// `keyferry-audit cert lint`: files of certificates, linted as they are, whoever made them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/x509/lint.h"

namespace keyferry::audit_tool {

struct LintedCertificate {
  std::string origin;   ///< the file, and the place in it when it holds several; printable
  std::string subject;  ///< printable; says so when it cannot be read
  std::string sha256;   ///< of the DER, hex
};

struct CertificateLint {
  std::vector<LintedCertificate> certificates;  ///< in their order, leaf first
  x509::LintProfile profile = x509::LintProfile::General;
  std::vector<x509::Finding> findings;
};

/// Certificates of all files (PEM, DER, PKCS#7), in the order given: one chain, leaf first. A file that is no
/// certificate in any of these forms is itself linted as DER, so that it gets its finding; Error{Usage} for a file that
/// is not there, is empty, or is PEM or PKCS#7 without certificates.
[[nodiscard]] CertificateLint lint_files(const std::vector<std::filesystem::path>& files, x509::LintProfile profile);

/// For people: one line a finding, then the rule's clause and sentence; "no finding" when there is none.
[[nodiscard]] std::string lint_text(const CertificateLint& lint);

}  // namespace keyferry::audit_tool
