// One certificate as the lint sees it: every part that could be read, however wrong it is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/clock.h"
#include "wrap/x509/der.h"
#include "wrap/x509/internal/lint_rules.h"

namespace keyferry::x509 {

struct ViewExtension {
  ByteView oid;  // content octets
  bool critical = false;
  ByteView value;
};

struct ViewAttribute {
  ByteView oid;
  der::Element value;
};

struct ViewName {
  std::optional<der::Element> whole;
  bool well_formed = false;
  std::vector<ViewAttribute> attributes;

  [[nodiscard]] std::string text() const;  // printable
};

struct ViewConstraints {
  bool critical = false;
  bool is_ca = false;
  std::optional<std::uint32_t> path_length;
};

struct ViewUsage {
  bool critical = false;
  std::uint16_t bits = 0;
};

/// Views point into the certificate's octets, which must outlive it.
struct LintView {
  ByteView der;
  bool readable = false;  // at least the TBSCertificate's fields up to the key
  int version = 1;
  ByteView serial;
  std::optional<der::Element> algorithm;        // in the TBSCertificate
  std::optional<der::Element> outer_algorithm;  // behind it
  std::string algorithm_name;
  bool is_ecdsa_sha256 = false;
  ByteView signature_bits;
  ViewName issuer;
  ViewName subject;
  std::optional<der::Element> first_time;
  std::optional<der::Element> last_time;
  std::optional<UtcMillis> not_before;
  std::optional<UtcMillis> not_after;
  bool is_p256 = false;
  std::string key_name;
  bool has_unique_id = false;
  bool has_extensions = false;
  std::vector<ViewExtension> extensions;
  std::optional<ViewConstraints> constraints;
  std::optional<ViewUsage> usage;
  std::optional<ByteView> subject_key;
  std::optional<ByteView> authority_key;  // its keyIdentifier

  [[nodiscard]] bool is_ca() const { return constraints && constraints->is_ca; }

  [[nodiscard]] bool is_self_issued() const {
    return issuer.whole && subject.whole && equal(issuer.whole->whole, subject.whole->whole);
  }

  [[nodiscard]] const ViewExtension* find(ByteView der_oid) const;
};

/// Reads what can be read; what is wrong in the form goes to `report`.
[[nodiscard]] LintView read_for_lint(ByteView der, std::size_t index, LintReport& report);

// Rules by their groups.
void lint_general(const LintView& view, std::size_t index, LintReport& report);
void lint_link(const LintView& view, const LintView& issuer, std::size_t index, LintReport& report);
void lint_matter(const LintView& view, LintProfile kind, std::size_t index, LintReport& report);
void lint_matter_link(const LintView& view,
                      const LintView& issuer,
                      LintProfile kind,
                      std::size_t index,
                      LintReport& report);
[[nodiscard]] bool looks_like_matter(const LintView& view);

/// The signature of `certificate` by the key of `issuer`, whatever the algorithms; nothing when
/// libcrypto cannot tell.
[[nodiscard]] std::optional<bool> is_signed_by(ByteView certificate, ByteView issuer);

}  // namespace keyferry::x509
