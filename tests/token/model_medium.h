// A stick in memory that remembers each operation, and gives every state that a power cut may leave
// behind (shared/media.md): each prefix of the operations, and of what was not synced any part.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "token/medium.h"

namespace keyferry::token::test {

/// Names and contents. A folder has the node kFolder.
struct StickState {
  static constexpr int kFolder = -1;

  std::map<std::string, int> names;  // full name -> index in files
  std::vector<Bytes> files;
};

enum class StickOp { MakeFolder, Create, Write, SyncFile, Rename, Remove, SyncFolder };

struct RecordedOp {
  StickOp op;
  std::string name;     // or folder
  std::string to = {};  // Rename
  int file = 0;         // Create, Write, SyncFile
  Bytes content = {};   // Write
};

class ModelMedium final : public Medium {
 public:
  ModelMedium() = default;

  explicit ModelMedium(StickState state) : state_{std::move(state)} {}

  std::vector<MediumEntry> list(const std::string& folder, std::size_t max_entries) override;
  std::optional<MediumEntry> look(const std::string& name) override;
  std::unique_ptr<MediumFile> open(const std::string& name, ReadFrom from) override;

  std::uint64_t free_bytes() override { return std::uint64_t{1} << 40; }

  void make_folder(const std::string& folder) override;
  std::unique_ptr<MediumWriter> create(const std::string& name) override;
  void rename(const std::string& from, const std::string& to) override;
  void remove(const std::string& name) override;
  void sync_folder(const std::string& folder) override;

  void give_up(const std::string&) override {}

  void append_to(int file, ByteView content);
  void sync(int file);

  [[nodiscard]] const std::vector<RecordedOp>& ops() const { return ops_; }

  [[nodiscard]] const StickState& state() const { return state_; }

 private:
  StickState state_;
  std::vector<RecordedOp> ops_;
};

/// Calls `visit` with every state that a cut may leave after the first n of `ops`, for each n,
/// beginning at `start`:
/// - a file's octets since its last fsync: all there, none there, or the length there and the
/// octets wrong;
/// - a folder's changes since its last fsync: any subset; a rename is two of them, a new name and
/// an old name gone. Gives the number of states.
std::size_t for_each_cut(const StickState& start,
                         const std::vector<RecordedOp>& ops,
                         const std::function<void(const StickState&)>& visit);

}  // namespace keyferry::token::test
