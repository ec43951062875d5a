#include "appliance/gate/internal/entry_block.h"

#include <fmt/format.h>

#include "token/audit/merkle.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error{Code::Refused, text}; }

}  // namespace

std::vector<se::Entry> checked_block(const google::protobuf::RepeatedPtrField<std::string>& entries,
                                     const google::protobuf::RepeatedPtrField<std::string>& path,
                                     const EntryBlock& block) {
  if (std::uint64_t{block.index} * block.size >= block.count) refuse(fmt::format("the plan has no such {}", block.name));
  const std::uint64_t length = audit::block_length(block.index, block.size, block.count);
  if (static_cast<std::uint64_t>(entries.size()) != length) {
    refuse(fmt::format("{} {} has {} entries in the plan, {} were given", block.name, block.index, length, entries.size()));
  }
  std::vector<se::Entry> found;
  std::vector<Digest> leaves;
  for (const std::string& octets : entries) {
    auto parsed = se::parse_canonical_entry(as_bytes(octets));
    if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
    found.push_back(std::get<se::Entry>(std::move(parsed)));
    leaves.push_back(se::entry_leaf_hash(as_bytes(octets)));
  }
  std::vector<Digest> hashes;
  for (const std::string& hash : path) {
    const auto digest = Digest::from_bytes(as_bytes(hash));
    if (!digest) refuse("a hash of the audit path is not 32 octets");
    hashes.push_back(*digest);
  }
  if (!audit::verify_subtree(audit::tree_root(leaves), block.index, block.size, block.count, hashes, block.root)) {
    refuse(fmt::format("the entries of {} {} are not those that the officers approved", block.name, block.index));
  }
  return found;
}

}  // namespace keyferry::appliance
