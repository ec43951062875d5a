#include "token/bundle/index.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace keyferry::bundle {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSchema = "keyferry.evidence.v1";
constexpr std::size_t kMaxText = 128;
constexpr int kMaxDepth = 3;

constexpr std::array kScopes{
    std::pair{ScopeKind::All, std::string_view{"all"}},
    std::pair{ScopeKind::Batch, std::string_view{"batch"}},
    std::pair{ScopeKind::Site, std::string_view{"site"}},
    std::pair{ScopeKind::Customer, std::string_view{"customer"}},
    std::pair{ScopeKind::Since, std::string_view{"since"}},
};

Refusal malformed(std::string what) {
  return Refusal{"index-malformed", "index.json is malformed: " + std::move(what)};
}

bool is_plain_text(std::string_view text) {
  return text.size() <= kMaxText &&
         std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

/// What the JSON says, without looking whether it is the one text for it.
class Reading {
 public:
  explicit Reading(const Json& json) : json_{json} {}

  std::optional<Index> index() {
    Index index;
    if (text(json_, "schema") != kSchema) return std::nullopt;
    index.origin = text(json_, "origin");
    const auto environment = token::environment_from_name(text(json_, "environment"));
    index.log_size = number(json_, "log_size");
    const auto root = Digest::from_hex(text(json_, "root"));
    const auto last_leaf = from_rfc3339(text(json_, "last_leaf"));
    read_scope(index.scope);
    for (const Json& one : array("batches")) {
      const auto batch =
          one.is_string() ? BatchId::from_hex(one.get_ref<const std::string&>()) : std::nullopt;
      if (!batch) return std::nullopt;
      index.batches.push_back(*batch);
    }
    const Json& software = object("software_claimed");
    index.software_version = text(software, "version");
    const auto software_sha256 = Digest::from_hex(text(software, "sha256"));
    for (const Json& one : array("files")) {
      const auto sha256 = Digest::from_hex(text(one, "sha256"));
      if (!sha256) return std::nullopt;
      index.files.push_back({text(one, "path"), number(one, "size"), *sha256});
    }
    if (bad_ || !environment || !root || !last_leaf || !software_sha256) return std::nullopt;
    index.environment = *environment;
    index.root = *root;
    index.last_leaf = *last_leaf;
    index.software_sha256 = *software_sha256;
    return index;
  }

 private:
  const Json* member(const Json& of, const char* name) {
    const auto found = of.is_object() ? of.find(name) : of.end();
    if (!of.is_object() || found == of.end()) {
      bad_ = true;
      return nullptr;
    }
    return &*found;
  }

  std::string text(const Json& of, const char* name) {
    const Json* value = member(of, name);
    if (value != nullptr && value->is_string()) return value->get<std::string>();
    bad_ = true;
    return {};
  }

  std::uint64_t number(const Json& of, const char* name) {
    const Json* value = member(of, name);
    if (value != nullptr && value->is_number_unsigned()) return value->get<std::uint64_t>();
    bad_ = true;
    return 0;
  }

  const Json& array(const char* name) {
    static const Json kNone = Json::array();
    const Json* value = member(json_, name);
    if (value != nullptr && value->is_array()) return *value;
    bad_ = true;
    return kNone;
  }

  const Json& object(const char* name) {
    static const Json kNone = Json::object();
    const Json* value = member(json_, name);
    return value != nullptr ? *value : kNone;
  }

  void read_scope(Scope& scope) {
    const Json& json = object("scope");
    const std::string kind = text(json, "kind");
    const auto found =
        std::ranges::find(kScopes, kind, &std::pair<ScopeKind, std::string_view>::second);
    if (found == kScopes.end()) {
      bad_ = true;
      return;
    }
    scope = {found->first, text(json, "value")};
  }

  const Json& json_;
  bool bad_ = false;
};

std::optional<std::string> fault_of(const Index& index) {
  if (!is_plain_text(index.origin) || index.origin.empty()) return "origin";
  if (index.log_size == 0 || index.log_size > kMaxLogSize) return "log_size";
  if (!is_plain_text(index.scope.value) ||
      (index.scope.kind == ScopeKind::All) != index.scope.value.empty())
    return "scope";
  if (!is_plain_text(index.software_version)) return "software_claimed";
  if (!std::ranges::is_sorted(index.batches, std::less_equal{})) return "batches: order";
  if (index.files.size() > kMaxFiles) return "more files than a bundle has";
  const FileEntry* before = nullptr;
  for (const FileEntry& file : index.files) {
    if (!is_bundle_path(file.path) || file.path == kIndexName)
      return fmt::format("files: no name for a file of a bundle, after {}",
                         before == nullptr ? "the first" : before->path);
    if (before != nullptr && file.path == before->path)
      return fmt::format("files: {} is named twice", file.path);
    if (before != nullptr && file.path < before->path)
      return fmt::format("files: {} is out of order", file.path);
    if (file.size_bytes > kMaxFileBytes) return fmt::format("files: {} is too large", file.path);
    before = &file;
  }
  return std::nullopt;
}

std::string text_of(const Index& index) {
  Json files = Json::array();
  for (const FileEntry& file : index.files) {
    files.push_back(
        Json{{"path", file.path}, {"size", file.size_bytes}, {"sha256", file.sha256.hex()}});
  }
  Json batches = Json::array();
  for (const BatchId& batch : index.batches) batches.push_back(batch.hex());
  const Json json{
      {"schema", kSchema},
      {"origin", index.origin},
      {"environment", token::name_of(index.environment)},
      {"log_size", index.log_size},
      {"root", index.root.hex()},
      {"last_leaf", to_rfc3339(index.last_leaf)},
      {"scope", Json{{"kind", name_of(index.scope.kind)}, {"value", index.scope.value}}},
      {"batches", batches},
      {"software_claimed",
       Json{{"version", index.software_version}, {"sha256", index.software_sha256.hex()}}},
      {"files", files}};
  return json.dump(1) + "\n";
}

struct TooDeep {};

}  // namespace

std::string_view name_of(ScopeKind kind) {
  return std::ranges::find(kScopes, kind, &std::pair<ScopeKind, std::string_view>::first)->second;
}

bool is_bundle_path(std::string_view path) {
  if (path == kReadmeName) return true;
  if (path.empty() || path.size() > kMaxPathChars || path.back() == '/') return false;
  constexpr std::size_t kMaxParts = 10;
  std::size_t parts = 0;
  bool begins = true;
  for (const char c : path) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (begins && !word) return false;  // no "..", no hidden file, no empty part, no root
    if (begins && ++parts > kMaxParts) return false;
    if (!word && c != '.' && c != '-' && c != '_' && c != '/') return false;
    begins = c == '/';
  }
  return true;
}

Bytes serialise(const Index& index) {
  if (const auto fault = fault_of(index))
    throw Error{Code::InvalidArgument, "index of a bundle: " + *fault};
  return to_bytes(as_bytes(text_of(index)));
}

std::variant<Index, Refusal> parse_index(ByteView octets) {
  if (octets.empty() || octets.size() > kMaxIndexBytes) {
    return Refusal{
        "index-size",
        fmt::format("index.json has {} octets; 1 to {} are read", octets.size(), kMaxIndexBytes)};
  }
  Json json;
  try {
    // Depth is cut while it is read: a nest of brackets costs no memory.
    json = Json::parse(octets.begin(), octets.end(), [](int depth, Json::parse_event_t, Json&) {
      if (depth > kMaxDepth) throw TooDeep{};
      return true;
    });
  } catch (const Json::exception&) {  // the parser's only way to say no
    return malformed("no JSON");
  } catch (const TooDeep&) {
    return malformed("nested deeper than an index is");
  }
  auto index = Reading{json}.index();
  if (!index) return malformed("a field is missing or of another type");
  if (const auto fault = fault_of(*index)) return malformed(*fault);
  json = Json{};
  if (as_chars(octets) != text_of(*index))
    return malformed("other names, order or blanks than an index of this content has");
  return *std::move(index);
}

std::string checkpoint_path(std::uint64_t size) {
  return fmt::format("checkpoints/{:012}", size);
}

std::string leaves_path(std::uint32_t file) {
  return fmt::format("leaves/{:05}.kfl", file);
}

std::string plan_path(const Digest& digest) {
  return fmt::format("plans/{}.toml", digest.hex());
}

std::string approval_path(const Digest& plan, const KeyId& officer) {
  return fmt::format("approvals/{}/{}.kf", plan.hex(), officer.hex().substr(0, 32));
}

std::string batch_path(const BatchId& batch, std::string_view name) {
  return fmt::format("batches/{}/{}", batch.hex(), name);
}

std::string certificates_name(std::uint32_t segment) {
  return fmt::format("certificates-{:05}.kfl", segment);
}

std::string receipts_name(std::uint32_t segment) {
  return fmt::format("receipts-{:05}.kfl", segment);
}

std::string certificate_path(const Digest& sha256) {
  return fmt::format("authorities/{}.der", sha256.hex());
}

std::string crl_path(const Digest& sha256) {
  return fmt::format("crls/{}.crl", sha256.hex());
}

std::string custody_path(const Digest& statement) {
  return fmt::format("custody/{}.kf", statement.hex());
}

std::string transcript_path(const Digest& transcript) {
  return fmt::format("transcripts/{}.txt", transcript.hex());
}

std::string station_log_path(const StationId& station, std::uint32_t generation) {
  return fmt::format("stations/{}/{}/", station.hex(), generation);
}

}  // namespace keyferry::bundle
