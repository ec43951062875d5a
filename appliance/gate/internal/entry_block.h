// An aligned block of canonical entries, checked to be the one that officers approved: segments of a batch's SE list and
// blocks of an import's delivered keys are held against their plan's root in this one way.
// Includes protobuf: nobody but the worker includes this.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <cstdint>
#include <string>
#include <vector>

#include "wrap/base/ids.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {

struct EntryBlock {
  const char* name;         // "segment", "block": in refusals
  std::uint32_t index;      // of the block
  std::uint32_t size;       // entries of each block but the last one; a power of two
  std::uint64_t count;      // entries of the whole list
  const Digest& root;       // RFC 6962, over all of them
};

/// path: RFC 6962 audit path of the block's subtree, 32 octets each. Error{Refused}: no such block, another number of
/// entries, one that is not canonical, or entries that are not under the root.
[[nodiscard]] std::vector<se::Entry> checked_block(const google::protobuf::RepeatedPtrField<std::string>& entries,
                                                   const google::protobuf::RepeatedPtrField<std::string>& path,
                                                   const EntryBlock& block);

}  // namespace keyferry::appliance
