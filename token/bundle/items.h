// Files of a bundle that hold many things, one behind the other, each behind its length as u32be.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "wrap/base/bytes.h"
#include "wrap/base/error.h"
#include "wrap/base/ids.h"

namespace keyferry::bundle {

inline constexpr std::size_t kMaxItems = 16'384;  ///< of one file: the most records of a segment

struct ShownLeaf {
  std::uint64_t index = 0;
  Bytes leaf;
};

/// The accepted receipt of a record (proto: EvidenceReceipt).
struct ReceiptItem {
  RecordNo record_no;
  StationId station;
  std::uint32_t generation = 0;  // both 0 in a bundle of a part, which has no station's log
  std::uint64_t position = 0;
  Bytes core;            // a serialised token::ReceiptCore
  Bytes signature = {};  // 64, or empty
  Bytes attestation = {};
  Bytes attestation_key = {};  // 65; empty without attestation
};

void append_item(Bytes& file, ByteView item);
void append_item(Bytes& file, const ShownLeaf& leaf);
void append_item(Bytes& file, const ReceiptItem& receipt);

/// Views into `file`. Refusal "items-malformed": it ends inside an item, or has more than
/// `max_items`.
[[nodiscard]] std::variant<std::vector<ByteView>, Refusal> split_items(ByteView file,
                                                                       std::size_t max_items);

/// Nothing for a wrong form or length, or octets that append_item does not give for the content.
[[nodiscard]] std::optional<ShownLeaf> parse_shown_leaf(ByteView item);
[[nodiscard]] std::optional<ReceiptItem> parse_receipt_item(ByteView item);

}  // namespace keyferry::bundle
