#include "token/bundle/items.h"

#include "keyferry/v1/evidence.pb.h"

namespace keyferry::bundle {
namespace {

constexpr std::size_t kMaxAttestation = 512;
constexpr std::size_t kPointBytes = 65;
constexpr std::size_t kSignatureBytes = 64;

Bytes field(const std::string& value) {
  return to_bytes(as_bytes(value));
}

bool is_empty_or(const std::string& value, std::size_t size) {
  return value.empty() || value.size() == size;
}

}  // namespace

void append_item(Bytes& file, ByteView item) {
  append_u32be(file, static_cast<std::uint32_t>(item.size()));
  append(file, item);
}

void append_item(Bytes& file, const ShownLeaf& leaf) {
  v1::EvidenceLeaf message;
  message.set_index(leaf.index);
  message.set_leaf(to_string(leaf.leaf));
  append_item(file, as_bytes(message.SerializeAsString()));
}

void append_item(Bytes& file, const ReceiptItem& receipt) {
  v1::EvidenceReceipt message;
  message.set_record_no(receipt.record_no.value);
  message.set_station_id(receipt.station.str());
  message.set_generation(receipt.generation);
  message.set_position(receipt.position);
  message.set_core(to_string(receipt.core));
  message.set_signature(to_string(receipt.signature));
  message.set_attestation(to_string(receipt.attestation));
  message.set_attestation_key(to_string(receipt.attestation_key));
  append_item(file, as_bytes(message.SerializeAsString()));
}

std::variant<std::vector<ByteView>, Refusal> split_items(ByteView file, std::size_t max_items) {
  std::vector<ByteView> items;
  while (!file.empty()) {
    if (items.size() == max_items) return Refusal{"items-malformed", "more items than it may have"};
    if (file.size() < 4) return Refusal{"items-malformed", "it ends inside a length"};
    const std::uint32_t size = read_u32be(file);
    file = file.subspan(4);
    if (size > file.size()) return Refusal{"items-malformed", "it ends inside an item"};
    items.push_back(file.first(size));
    file = file.subspan(size);
  }
  return items;
}

std::optional<ShownLeaf> parse_shown_leaf(ByteView item) {
  v1::EvidenceLeaf message;
  if (!message.ParseFromArray(item.data(), static_cast<int>(item.size()))) return std::nullopt;
  ShownLeaf leaf{message.index(), field(message.leaf())};
  Bytes again;
  append_item(again, leaf);
  if (!equal(ByteView{again}.subspan(4), item)) return std::nullopt;  // one form for one content
  return leaf;
}

std::optional<ReceiptItem> parse_receipt_item(ByteView item) {
  v1::EvidenceReceipt message;
  if (!message.ParseFromArray(item.data(), static_cast<int>(item.size()))) return std::nullopt;
  const auto station = StationId::from_bytes(as_bytes(message.station_id()));
  if (!station || !is_empty_or(message.signature(), kSignatureBytes) ||
      message.attestation().size() > kMaxAttestation ||
      !is_empty_or(message.attestation_key(), kPointBytes))
    return std::nullopt;
  ReceiptItem receipt{.record_no = RecordNo{message.record_no()},
                      .station = *station,
                      .generation = message.generation(),
                      .position = message.position(),
                      .core = field(message.core()),
                      .signature = field(message.signature()),
                      .attestation = field(message.attestation()),
                      .attestation_key = field(message.attestation_key())};
  Bytes again;
  append_item(again, receipt);
  if (!equal(ByteView{again}.subspan(4), item)) return std::nullopt;  // one form for one content
  return receipt;
}

}  // namespace keyferry::bundle
