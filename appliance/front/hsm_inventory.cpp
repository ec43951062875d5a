#include "appliance/front/hsm_inventory.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "appliance/front/context.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/log.pb.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kHashCharsShown = 16;

/// The newest leaf about a key.
struct LoggedKey {
  std::uint64_t index = 0;
  std::string public_key;   // octets
  std::string check_value;  // octets
  std::string attributes;
  std::string origin;
};

using LoggedKeys = std::map<std::string, LoggedKey>;  // by label

void note_own_keys(LoggedKeys& keys,
                   std::uint64_t at,
                   const std::string& log_key,
                   const std::string& export_key,
                   const std::string& inbox_key) {
  keys["kf-log"] = {at, log_key, {}, {}, "generated"};
  keys["kf-export"] = {at, export_key, {}, {}, "generated"};
  keys["kf-inbox"] = {at, inbox_key, {}, {}, "generated"};
}

LoggedKeys logged_keys(Ledger& ledger) {
  LoggedKeys keys;
  ledger.visit_leaves(0, [&keys](std::uint64_t at, ByteView octets, bool) {
    v1::LogLeaf leaf;
    if (!leaf.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return;
    if (leaf.has_key_made()) {
      const v1::KeyMadeLeaf& made = leaf.key_made();
      keys[made.label()] = {
          at, made.public_key(), made.check_value(), made.attributes(), made.origin()};
    } else if (leaf.has_key_destroyed()) {
      keys.erase(leaf.key_destroyed().label());  // an object of that label is one that nobody made
    } else if (leaf.has_initialized()) {
      // Appliances of an older program version have these three in no leaf of their own.
      note_own_keys(keys,
                    at,
                    leaf.initialized().log_key(),
                    leaf.initialized().export_key(),
                    leaf.initialized().inbox_key());
    } else if (leaf.has_adopted()) {
      note_own_keys(keys,
                    at,
                    leaf.adopted().log_key(),
                    leaf.adopted().export_key(),
                    leaf.adopted().inbox_key());
    }
  });
  return keys;
}

/// In an HSM with drift no key is used, so no check value is computed.
enum class CheckValues { Known, Unknown };

v1::GateRequest inventory_request() {
  v1::GateRequest request;
  request.mutable_inventory();
  return request;
}

struct Row {
  std::string label, role, object_class;
  std::string identity;  // "public key 04ab...", "check value 0f1e..."
  std::string attributes;
  std::optional<std::uint64_t> leaf;
  std::vector<std::string> wrong;
  bool stranger = false;
};

std::string identity_of(const v1::HsmObject& object) {
  if (!object.public_key().empty()) {
    return "public key " +
           crypto::sha256(as_bytes(object.public_key())).hex().substr(0, kHashCharsShown);
  }
  if (!object.check_value().empty()) return "check value " + to_hex(as_bytes(object.check_value()));
  return {};
}

/// The log's word against the HSM's.
void compare_with_leaf(const v1::HsmObject& object,
                       const LoggedKeys& logged,
                       CheckValues check_values,
                       Row& row) {
  const auto found = logged.find(object.label());
  if (found == logged.end()) {
    row.wrong.emplace_back("it is missing in the log: nobody recorded that it was made");
    return;
  }
  const LoggedKey& leaf = found->second;
  row.leaf = leaf.index;
  if (!object.drift().empty())
    return;  // its check value was not computed: a key that drifted is not used
  if (leaf.public_key != object.public_key())
    row.wrong.emplace_back("its public key is not that of its leaf");
  if (check_values == CheckValues::Known && !leaf.check_value.empty() &&
      leaf.check_value != object.check_value()) {
    row.wrong.emplace_back("its check value is not that of its leaf");
  }
  if (!leaf.attributes.empty() && leaf.attributes != object.attributes()) {
    row.wrong.emplace_back("its attributes are not those of its leaf");
  }
}

Row row_of(const v1::HsmObject& object, const LoggedKeys& logged, CheckValues check_values) {
  Row row{.label = printable(object.label()),
          .role = printable(object.role()),
          .object_class = printable(object.object_class()),
          .identity = identity_of(object),
          .attributes = printable(object.attributes()),
          .leaf = std::nullopt,
          .wrong = {},
          .stranger = object.role().empty()};
  if (object.drift_size() != 0) {
    row.wrong.push_back(fmt::format("it drifted from its role: {}",
                                    printable(fmt::format("{}", fmt::join(object.drift(), ", ")))));
  }
  const bool public_half = object.object_class() == "public key";
  if (!row.stranger && object.role() != "state" && object.role() != "backup" && !public_half) {
    compare_with_leaf(object, logged, check_values, row);
  }
  return row;
}

/// What the registry names and the HSM does not hold.
std::vector<std::string> missing_keys(const Registry& registry, const v1::HsmInventory& inventory) {
  std::vector<std::string> wanted{"kf-log", "kf-export", "kf-inbox"};
  const auto want = [&wanted](const char* prefix, const auto& rows) {
    for (const auto& row : rows) {
      if (!row.destroyed) wanted.push_back(prefix + row.name);
    }
  };
  for (const KnownAuthority& authority : registry.authorities) {
    if (!authority.destroyed && !authority.outside) wanted.push_back("kf-ca/" + authority.name);
  }
  want("kf-tk/", registry.masters);
  want("kf-vendor/", registry.vendor_keys);
  std::vector<std::string> missing;
  for (const std::string& label : wanted) {
    const bool found =
        std::ranges::any_of(inventory.objects(), [&label](const v1::HsmObject& object) {
          return object.label() == label && object.object_class() != "public key" &&
                 !object.role().empty();
        });
    if (!found) missing.push_back(label);
  }
  return missing;
}

/// The registry's word against the HSM's.
void compare_with_registry(const Registry& registry, const v1::HsmObject& object, Row& row) {
  if (object.drift_size() != 0) return;
  const auto differs = [&object](const Bytes& check_value) {
    return !check_value.empty() && to_string(check_value) != object.check_value();
  };
  if (object.role() == "transport-master") {
    const KnownMaster* master =
        registry.master(object.label().substr(object.label().find('/') + 1));
    if (master == nullptr) {
      row.wrong.emplace_back("the registry does not name it");
    } else if (differs(master->check_value)) {
      row.wrong.emplace_back("its check value is not that of the registry: it is another key");
    }
  }
  if (object.role() == "vendor") {
    const KnownVendorKey* key =
        registry.vendor_key(object.label().substr(object.label().find('/') + 1));
    if (key == nullptr) {
      row.wrong.emplace_back("the registry does not name it");
    } else if (differs(key->check_value)) {
      row.wrong.emplace_back(
          "it does not open what was wrapped under the approved key: it is another key");
    }
  }
}

Json json_of(const Row& row) {
  Json json{{"label", row.label},
            {"role", row.role},
            {"class", row.object_class},
            {"identity", row.identity},
            {"attributes", row.attributes},
            {"leaf", row.leaf ? Json(*row.leaf) : Json(nullptr)},
            {"stranger", row.stranger},
            {"wrong", row.wrong}};
  return json;
}

std::string line_of(const Row& row) {
  const std::string verdict = row.stranger ? "STRANGER" : row.wrong.empty() ? "ok" : "WRONG";
  return fmt::format("{:<9} {:<24} {:<16} {:<12} {}",
                     verdict,
                     row.label,
                     row.role.empty() ? "-" : row.role,
                     row.leaf ? fmt::format("leaf {}", *row.leaf) : std::string{"no leaf"},
                     row.identity.empty() ? row.object_class : row.identity);
}

}  // namespace

int hsm_inventory(Context& context) {
  // First without opening: with drift the gate opens nothing, and the drift is what people came
  // for.
  v1::GateReply reply = context.gate_unopened().call(inventory_request());
  const bool drift =
      std::ranges::any_of(reply.inventory().objects(),
                          [](const v1::HsmObject& object) { return object.drift_size() != 0; });
  if (!drift) reply = context.gate().call(inventory_request());
  const v1::HsmInventory& inventory = reply.inventory();
  const LoggedKeys logged = logged_keys(context.ledger());
  const Registry registry = context.ledger().registry();

  std::vector<std::string> lines;
  Json objects = Json::array();
  int wrong = 0;
  int strangers = 0;
  for (const v1::HsmObject& object : inventory.objects()) {
    Row row = row_of(object, logged, drift ? CheckValues::Unknown : CheckValues::Known);
    if (!drift) compare_with_registry(registry, object, row);
    strangers += row.stranger ? 1 : 0;
    wrong += row.wrong.empty() ? 0 : 1;
    const bool silent = object.object_class() == "public key" && !row.stranger && row.wrong.empty();
    objects.push_back(json_of(row));
    if (!silent) lines.push_back(line_of(row));
    for (const std::string& sentence : row.wrong) lines.push_back("          " + sentence);
  }
  const std::vector<std::string> missing = missing_keys(registry, inventory);
  for (const std::string& label : missing) {
    ++wrong;
    lines.push_back(fmt::format("{:<9} {:<24} the registry names it, the HSM does not hold it",
                                "MISSING",
                                printable(label)));
  }
  if (strangers != 0) {
    lines.push_back(fmt::format("warning: {} object{} of no role of this product: find out whose",
                                strangers,
                                strangers == 1 ? " is" : "s are"));
  }
  if (drift) lines.emplace_back("check values were not computed: with drift no key is used");
  lines.push_back(wrong == 0 ? std::string{"every key is in the log, as its role demands"}
                             : fmt::format("{} problem{}: sign nothing before they are explained",
                                           wrong,
                                           wrong == 1 ? "" : "s"));
  context.out().result("hsm-inventory",
                       Json{{"module", printable(inventory.facts().module())},
                            {"objects", objects},
                            {"missing", missing},
                            {"strangers", strangers},
                            {"wrong", wrong}},
                       lines);
  return wrong == 0 ? 0 : 1;
}

}  // namespace keyferry::appliance
