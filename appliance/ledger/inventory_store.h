// The SE inventory, its imports, and the ordered lists of SEs that plans are made for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "appliance/ledger/ledger.h"
#include "wrap/base/clock.h"
#include "wrap/se/entry.h"

namespace keyferry::appliance {

using SeId = Number<struct SeIdTag, std::int64_t>;      // row of the inventory
using ListId = Number<struct ListIdTag, std::int64_t>;  // row of se_list
using ImportId = Number<struct ImportIdTag, std::int64_t>;

enum class Doubled {
  Serial,         // family, serial and key name
  TransportData,  // the delivered blob
};

/// Where one line of an import clashes with an earlier one.
struct DoubledRow {
  std::uint64_t line = 0;
  std::uint64_t earlier_line = 0;  // of the same file; 0: in the ledger already
  std::string earlier_source;      // of the row in the ledger
  Doubled what = Doubled::Serial;
};

/// What of the inventory a batch may take.
struct Selection {
  se::Family family = se::Family::Pkcs11;
  std::string key_name = "dac";
  std::optional<std::string> lot = std::nullopt;
  std::optional<std::string> source = std::nullopt;
  std::uint32_t count = 0;  // 0 with revoked_at: all
  std::optional<StationId> revoked_at = std::nullopt;  // SEs whose records were revoked with this station
};

/// One SE of a list with what `plan check` asks about.
struct ListedSe {
  std::uint32_t index = 0;
  SeId id;
  se::Entry entry;
  std::string source;
  bool visible = false;                // its import is final
  Digest leaf;                         // of its canonical entry; nothing when the row is no valid entry
  bool changed = false;                // the row is not what it was when the list was made
  std::optional<BatchId> live_in;      // batch whose record holds the live key of this SE
  std::optional<BatchId> reserved_by;  // another batch, approved or generating, that will make one
  bool ended = false;                  // scrapped, or taken out of a device that has another SE
};

class InventoryStore {
 public:
  static constexpr std::size_t kRowsPerTransaction = 20'000;

  explicit InventoryStore(Ledger& ledger) : ledger_{ledger} {}

  // --- import: rows are staged in chunks and become visible at once by the action `import-final`
  // ---

  /// Removes rows of imports that never became final (an earlier run was cut), in bounded
  /// transactions.
  void clean_staged();

  /// A new staged import; its digest is noted by describe().
  [[nodiscard]] ImportId begin_import(const std::string& source,
                                      const std::string& file_name,
                                      UtcMillis now);

  struct Row {
    std::uint64_t line = 0;
    se::Entry entry;
  };

  /// Stages rows in one transaction; doubled ones are not stored but told.
  [[nodiscard]] std::vector<DoubledRow> stage(ImportId import, const std::vector<Row>& rows);
  /// After the last row, when the file's digest is known.
  void describe(ImportId import, const Digest& file_sha256, std::uint64_t rows);

  /// A final import of this file by this source.
  [[nodiscard]] bool imported(const std::string& source, const Digest& file_sha256);
  [[nodiscard]] std::uint64_t visible_rows();

  // --- lists ---

  /// SEs without a live key and not reserved, ordered by family, serial, key name; stored as a list
  /// with its root. Refusal "se-too-few" with how many there are.
  struct MadeList {
    ListId id;
    Digest root;
    std::uint32_t count = 0;
  };

  [[nodiscard]] std::variant<MadeList, Refusal> make_list(const Selection& selection,
                                                          UtcMillis now);

  [[nodiscard]] std::optional<ListId> list_by_root(const Digest& root);
  [[nodiscard]] std::uint32_t list_count(ListId list);

  /// Visits the whole list in order, in constant memory. `self`: the batch that is asked about is
  /// not "another". Error{Storage} naming the row when one no longer is an entry (edited).
  void visit_list(ListId list,
                  const BatchId& self,
                  UtcMillis now,
                  const std::function<void(const ListedSe&)>& visit);

  /// Entries [first, first + count) of a list with their rows, in order.
  struct SegmentEntry {
    SeId id;
    se::Entry entry;
  };

  [[nodiscard]] std::vector<SegmentEntry> entries(ListId list,
                                                  std::uint32_t first,
                                                  std::uint32_t count);

  /// Leaf hashes (se::entry_leaf_hash of the canonical entries) of the whole list, from the rows as
  /// they are now.
  [[nodiscard]] std::vector<Digest> leaf_hashes(ListId list);

 private:
  /// False: no SE of the list has a record, of any batch. True: one may have.
  [[nodiscard]] bool has_records(ListId list);
  /// Is another batch in the making, or approved and not expired?
  [[nodiscard]] bool others_wait(const BatchId& self, UtcMillis now);
  [[nodiscard]] bool any_scrapped();

  Ledger& ledger_;
};

/// `import-final`: data = u64be import id.
void register_inventory_actions(Ledger& ledger);
[[nodiscard]] Action import_final_action(ImportId import);

}  // namespace keyferry::appliance
