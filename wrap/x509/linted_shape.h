// The linted certificate of a segment, cut once, so that each real one is held against it for
// little more than comparing octets (design.md section 11). Several threads may use one at the same
// time.
#pragma once

#include <optional>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/crypto/signing.h"
#include "wrap/x509/matter.h"

namespace keyferry::x509 {

class LintedShape {
 public:
  /// `tbs`: the to-be-signed part that passed the lint. Error{Internal} when it is none of ours.
  explicit LintedShape(Bytes tbs);
  LintedShape(const LintedShape&) = delete;
  LintedShape& operator=(const LintedShape&) = delete;

  /// Nothing if `tbs` is the linted one but for serial, values of subject and alternative names,
  /// key and subject key identifier, and the latter two are `key`'s. Refusal "lint": what differs.
  [[nodiscard]] std::optional<Refusal> compare(ByteView tbs, const crypto::PublicKey& key) const;

 private:
  /// Views into a to-be-signed part.
  struct Cut {
    ByteView before_serial, serial, before_subject, subject, key, extensions;
  };

  struct Attribute {
    ByteView type;
    std::uint8_t string_tag = 0;
  };

  struct Extension {
    ByteView oid, whole;
  };

  [[nodiscard]] static std::optional<Cut> cut(ByteView tbs);
  [[nodiscard]] bool same_subject(ByteView subject) const;
  [[nodiscard]] bool same_extensions(ByteView list, const crypto::PublicKey& key) const;

  Bytes tbs_;
  Cut linted_;
  std::vector<Attribute> attributes_;  // of the subject, in its order
  std::vector<Extension> extensions_;
  std::optional<MatterIds> ids_;  // of a Matter certificate
};

}  // namespace keyferry::x509
