// keys.json of a bundle: the keys that the HSM has, as the leaves of its log tell. Derived: who
// reads a bundle makes it again from the leaves that it shows, and compares.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "wrap/base/bytes.h"

namespace keyferry::bundle {

class KeyInventory {
 public:
  /// A leaf of the appliance's log, in order; others than those about keys change nothing.
  void take(std::uint64_t index, ByteView leaf);

  /// Schema keyferry.evidence-keys.v1; by label.
  [[nodiscard]] Bytes json() const;

 private:
  struct Row {
    std::uint64_t leaf = 0;
    std::string role, origin, attributes;
    std::string public_key, check_value;  // octets
  };

  std::map<std::string, Row> keys_;
};

}  // namespace keyferry::bundle
