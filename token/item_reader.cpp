// The order and the counts of a body's items, and the way from a container's chunks to them.
#include <utility>

#include "token/items.h"

namespace keyferry::token {
namespace {

Refusal order_refusal() {
  return Refusal{"order", "the container's body has an item where it does not belong"};
}

Refusal count_refusal() {
  return Refusal{"count", "the container's body has another number of items than its header says"};
}

}  // namespace

ItemReader::ItemReader(const Header& header, std::uint64_t max_total_bytes)
    : header_{header},
      max_item_bytes_{header.type == ContainerType::Manifest ? kMaxManifestItemBytes
                                                             : kMaxItemBytes},
      left_bytes_{max_total_bytes} {}

Refusal ItemReader::refuse(Refusal refusal) {
  refused_ = std::move(refusal);
  return *refused_;
}

void ItemReader::feed(ByteView plaintext) {
  if (refused_) return;
  if (plaintext.size() > left_bytes_) {
    refuse(Refusal{"size", "the container's body is longer than it may be"});
    return;
  }
  left_bytes_ -= plaintext.size();
  buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(taken_));
  taken_ = 0;
  append(buffer_, plaintext);
}

std::variant<NeedMore, Item, Refusal> ItemReader::next() {
  if (refused_) return *refused_;
  const ByteView left = ByteView{buffer_}.subspan(taken_);
  if (left.size() < 4) return NeedMore{};
  const std::uint32_t size = read_u32be(left);
  if (size == 0 || size > max_item_bytes_) {
    return refuse(
        Refusal{"size", "the container's body has an item of " + std::to_string(size) + " octets"});
  }
  if (left.size() - 4 < size) return NeedMore{};
  auto item = parse_item(left.subspan(4, size));
  if (auto* no = std::get_if<Refusal>(&item)) return refuse(std::move(*no));
  taken_ += 4 + std::size_t{size};
  if (auto no = accept(std::get<Item>(item))) return refuse(std::move(*no));
  ++items_;
  return std::get<Item>(std::move(item));
}

template <typename One>
std::optional<Refusal> ItemReader::accept_record(const Item& item) {
  const auto* record = std::get_if<One>(&item);
  if (record == nullptr) return order_refusal();
  if (items_ > header_.count) return count_refusal();
  if (last_record_no_ && record->record_no <= *last_record_no_) {
    return Refusal{"record-order", "the segment's record numbers do not ascend"};
  }
  last_record_no_ = record->record_no;
  return std::nullopt;
}

std::optional<Refusal> ItemReader::accept(const Item& item) {
  if (items_ == 0) {
    const auto* opening = std::get_if<BodyOpening>(&item);
    if (opening == nullptr) return order_refusal();
    if (*opening == opening_for(header_)) return std::nullopt;
    return Refusal{"opening", "the container's body belongs to another header"};
  }
  switch (header_.type) {
    case ContainerType::Segment:
      return accept_record<Record>(item);
    case ContainerType::Waiting:
      return accept_record<WaitingRecord>(item);
    case ContainerType::Manifest: {
      const auto* manifest = std::get_if<Manifest>(&item);
      if (manifest == nullptr || items_ > 1) return order_refusal();
      if (manifest->segments.size() != header_.count) return count_refusal();
      if (manifest->batch_id == header_.batch_id && manifest->environment == header_.environment) {
        return std::nullopt;
      }
      return Refusal{"opening",
                     "the manifest is of another batch or environment than its header says"};
    }
    case ContainerType::Receipts: {
      if (items_ > 1) {
        if (!std::holds_alternative<ReceiptEntry>(item)) return order_refusal();
        return items_ - 2 < header_.count ? std::nullopt : std::optional{count_refusal()};
      }
      const auto* opening = std::get_if<ReceiptsOpening>(&item);
      if (opening == nullptr) return order_refusal();
      if (opening->to_size - opening->from_size != header_.count) return count_refusal();
      return std::nullopt;
    }
  }
  return order_refusal();
}

Checked ItemReader::finish() {
  if (refused_) return *refused_;
  if (taken_ != buffer_.size()) {
    return refuse(Refusal{"truncated", "the container's body ends in the middle of an item"});
  }
  std::uint64_t expected = 1;  // the opening
  switch (header_.type) {
    case ContainerType::Segment:
    case ContainerType::Waiting:
      expected += header_.count;
      break;
    case ContainerType::Manifest:
      expected += 1;
      break;
    case ContainerType::Receipts:
      expected += 1 + std::uint64_t{header_.count};
      break;
  }
  if (items_ != expected) return refuse(count_refusal());
  return std::monostate{};
}

Checked read_items(const Fd& file,
                   const Outline& outline,
                   const ContentKey& key,
                   const std::function<Checked(Item&&)>& take,
                   unsigned threads) {
  ItemReader reader{outline.header, outline.header.body_bound_bytes};
  const auto drain = [&](ByteView plaintext) -> Checked {
    reader.feed(plaintext);
    for (;;) {
      auto step = reader.next();
      if (auto* no = std::get_if<Refusal>(&step)) return std::move(*no);
      if (std::holds_alternative<NeedMore>(step)) return std::monostate{};
      auto taken = take(std::get<Item>(std::move(step)));
      if (auto* no = std::get_if<Refusal>(&taken)) return std::move(*no);
    }
  };
  BodyReader body{file, outline, key, threads};
  auto read = body.read_all(drain);
  if (auto* no = std::get_if<Refusal>(&read)) return std::move(*no);
  return reader.finish();
}

}  // namespace keyferry::token
