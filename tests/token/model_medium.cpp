#include "tests/token/model_medium.h"

#include <algorithm>
#include <set>
#include <utility>

namespace keyferry::token::test {
namespace {

std::string folder_of(const std::string& name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string::npos ? std::string{} : name.substr(0, slash);
}

class ModelFile final : public MediumFile {
 public:
  explicit ModelFile(Bytes content) : content_{std::move(content)} {}

  [[nodiscard]] std::uint64_t size_bytes() const override { return content_.size(); }

  [[nodiscard]] std::size_t read_at(std::uint64_t offset, std::span<std::uint8_t> out) override {
    if (offset >= content_.size()) return 0;
    const std::size_t part = std::min<std::size_t>(out.size(), content_.size() - offset);
    std::copy_n(content_.begin() + static_cast<std::ptrdiff_t>(offset), part, out.begin());
    return part;
  }

 private:
  Bytes content_;
};

class ModelWriter final : public MediumWriter {
 public:
  ModelWriter(ModelMedium& medium, int file) : medium_{medium}, file_{file} {}

  void write(ByteView content) override { medium_.append_to(file_, content); }

  void sync() override { medium_.sync(file_); }

 private:
  ModelMedium& medium_;
  int file_;
};

enum class Unsynced { Kept, Lost, Wrong };

/// A change of one folder entry: `name` stands for `node` from now on, or for nothing.
struct EntryChange {
  std::string name;
  std::optional<int> node;
};

void apply(StickState& state, const EntryChange& change) {
  if (change.node) {
    state.names[change.name] = *change.node;
  } else {
    state.names.erase(change.name);
  }
}

/// What is on the medium for certain, and what a cut may take or leave.
struct Durability {
  StickState safe;                    // names and contents as last synced
  std::vector<Bytes> written;         // contents as written
  std::vector<EntryChange> unsynced;  // in order

  explicit Durability(const StickState& start) : safe{start}, written{start.files} {}

  void take(const RecordedOp& op) {
    switch (op.op) {
      case StickOp::MakeFolder:
        unsynced.push_back({op.name, StickState::kFolder});
        break;
      case StickOp::Create:
        safe.files.emplace_back();
        written.emplace_back();
        unsynced.push_back({op.name, op.file});
        break;
      case StickOp::Write:
        append(written[static_cast<std::size_t>(op.file)], op.content);
        break;
      case StickOp::SyncFile:
        safe.files[static_cast<std::size_t>(op.file)] = written[static_cast<std::size_t>(op.file)];
        break;
      case StickOp::Rename:
        unsynced.push_back({op.to, op.file});
        unsynced.push_back({op.name, std::nullopt});
        break;
      case StickOp::Remove:
        unsynced.push_back({op.name, std::nullopt});
        break;
      case StickOp::SyncFolder:
        for (const EntryChange& change : unsynced) {
          if (folder_of(change.name) == op.name) apply(safe, change);
        }
        std::erase_if(unsynced,
                      [&](const EntryChange& change) { return folder_of(change.name) == op.name; });
        break;
    }
  }

  /// bit i of `kept`: the i-th unsynced change is there.
  [[nodiscard]] StickState after_cut(std::size_t kept, Unsynced octets) const {
    StickState out = safe;
    for (std::size_t i = 0; i < unsynced.size(); ++i) {
      if ((kept >> i & 1U) != 0) apply(out, unsynced[i]);
    }
    for (std::size_t file = 0; file < written.size(); ++file) {
      if (octets == Unsynced::Lost) continue;
      out.files[file] = written[file];
      if (octets == Unsynced::Kept) continue;
      for (std::size_t i = safe.files[file].size(); i < out.files[file].size(); ++i)
        out.files[file][i] = 0xee;
    }
    // What lies below a folder that is not there, is not there.
    std::erase_if(out.names, [&](const auto& entry) {
      for (std::string up = folder_of(entry.first); !up.empty(); up = folder_of(up)) {
        if (!out.names.contains(up)) return true;
      }
      return false;
    });
    return out;
  }

  [[nodiscard]] bool octets_at_risk() const { return written != safe.files; }
};

}  // namespace

std::vector<MediumEntry> ModelMedium::list(const std::string& folder, std::size_t max_entries) {
  std::vector<MediumEntry> out;
  for (const auto& [name, node] : state_.names) {
    if (folder_of(name) != folder || out.size() == max_entries) continue;
    auto entry = *look(name);
    out.push_back(std::move(entry));
  }
  return out;
}

std::optional<MediumEntry> ModelMedium::look(const std::string& name) {
  const auto found = state_.names.find(name);
  if (found == state_.names.end()) return std::nullopt;
  const std::string last = name.substr(name.rfind('/') + 1);
  if (found->second == StickState::kFolder) return MediumEntry{last, EntryKind::Folder, 0};
  return MediumEntry{
      last, EntryKind::File, state_.files[static_cast<std::size_t>(found->second)].size()};
}

std::unique_ptr<MediumFile> ModelMedium::open(const std::string& name, ReadFrom) {
  const auto found = state_.names.find(name);
  if (found == state_.names.end()) return nullptr;
  return std::make_unique<ModelFile>(state_.files.at(static_cast<std::size_t>(found->second)));
}

void ModelMedium::make_folder(const std::string& folder) {
  if (state_.names.contains(folder)) return;
  state_.names[folder] = StickState::kFolder;
  ops_.push_back({StickOp::MakeFolder, folder});
}

std::unique_ptr<MediumWriter> ModelMedium::create(const std::string& name) {
  if (state_.names.contains(name)) throw Error{Code::Medium, "taken: " + name};
  const int file = static_cast<int>(state_.files.size());
  state_.files.emplace_back();
  state_.names[name] = file;
  ops_.push_back({StickOp::Create, name, {}, file});
  return std::make_unique<ModelWriter>(*this, file);
}

void ModelMedium::append_to(int file, ByteView content) {
  append(state_.files[static_cast<std::size_t>(file)], content);
  ops_.push_back({StickOp::Write, {}, {}, file, to_bytes(content)});
}

void ModelMedium::sync(int file) {
  ops_.push_back({StickOp::SyncFile, {}, {}, file});
}

void ModelMedium::rename(const std::string& from, const std::string& to) {
  const int file = state_.names.at(from);
  state_.names.erase(from);
  state_.names[to] = file;
  ops_.push_back({StickOp::Rename, from, to, file});
}

void ModelMedium::remove(const std::string& name) {
  if (state_.names.erase(name) == 0) return;
  ops_.push_back({StickOp::Remove, name});
}

void ModelMedium::sync_folder(const std::string& folder) {
  ops_.push_back({StickOp::SyncFolder, folder});
}

std::size_t for_each_cut(const StickState& start,
                         const std::vector<RecordedOp>& ops,
                         const std::function<void(const StickState&)>& visit) {
  std::size_t states = 0;
  Durability durability{start};
  for (std::size_t n = 0; n <= ops.size(); ++n) {
    if (n > 0) durability.take(ops[n - 1]);
    const std::size_t subsets = std::size_t{1} << durability.unsynced.size();
    for (std::size_t kept = 0; kept < subsets; ++kept) {
      for (const Unsynced octets : {Unsynced::Kept, Unsynced::Lost, Unsynced::Wrong}) {
        if (octets != Unsynced::Kept && !durability.octets_at_risk()) continue;
        visit(durability.after_cut(kept, octets));
        ++states;
      }
    }
  }
  return states;
}

}  // namespace keyferry::token::test
