#include "token/bundle/keys.h"

#include <nlohmann/json.hpp>

#include "keyferry/v1/log.pb.h"
#include "wrap/base/text.h"

namespace keyferry::bundle {
namespace {

std::string hex(const std::string& octets) {
  return to_hex(as_bytes(octets));
}

}  // namespace

void KeyInventory::take(std::uint64_t index, ByteView octets) {
  v1::LogLeaf leaf;
  if (!leaf.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return;
  const auto own = [&](const auto& of) {
    keys_["kf-log"] = {index, "log", "generated", {}, of.log_key(), {}};
    keys_["kf-export"] = {index, "export", "generated", {}, of.export_key(), {}};
    keys_["kf-inbox"] = {index, "inbox", "generated", {}, of.inbox_key(), {}};
  };
  if (leaf.has_initialized()) own(leaf.initialized());
  if (leaf.has_adopted()) own(leaf.adopted());
  if (leaf.has_key_made()) {
    const v1::KeyMadeLeaf& made = leaf.key_made();
    keys_[made.label()] = {index,
                           made.role(),
                           made.origin(),
                           made.attributes(),
                           made.public_key(),
                           made.check_value()};
  }
  if (leaf.has_key_destroyed()) keys_.erase(leaf.key_destroyed().label());
}

Bytes KeyInventory::json() const {
  using Json = nlohmann::ordered_json;
  Json keys = Json::array();
  for (const auto& [label, row] : keys_) {
    keys.push_back(Json{{"label", printable(label)},
                        {"role", printable(row.role)},
                        {"origin", printable(row.origin)},
                        {"public_key", hex(row.public_key)},
                        {"check_value", hex(row.check_value)},
                        {"attributes", printable(row.attributes)},
                        {"leaf", row.leaf}});
  }
  const Json whole{{"schema", "keyferry.evidence-keys.v1"}, {"keys", keys}};
  return to_bytes(as_bytes(whole.dump(1) + "\n"));
}

}  // namespace keyferry::bundle
