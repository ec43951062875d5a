// Writes the seeds of the token's fuzz targets: one good input of each kind, from the samples of
// the tests.
#include <cstdio>
#include <filesystem>

#include "tests/token/sample_items.h"
#include "tests/token/token_fixture.h"
#include "token/custody.h"
#include "token/preparation.h"
#include "token/revocations.h"
#include "wrap/base/durable_file.h"

namespace {

using namespace keyferry;
using namespace keyferry::token;

void put(const std::filesystem::path& path, ByteView content) {
  std::filesystem::create_directories(path.parent_path());
  write_file_durably(path, content, Overwrite::Replace);
}

Bytes stream_of(ContainerType type, const std::vector<Item>& items, Header& header) {
  header = test::plain_header();
  header.type = type;
  header.count = type == ContainerType::Segment ? 2 : 3;
  Bytes out = encode_item(opening_for(header));
  for (const Item& item : items) append(out, encode_item(item));
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: make_token_corpus CORPUS_FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path root{argv[1]};
  Header header;
  const std::vector<std::pair<const char*, Bytes>> streams{
      {"segment",
       stream_of(ContainerType::Segment, {test::sample_record(1), test::sample_record(2)}, header)},
      {"manifest", stream_of(ContainerType::Manifest, {test::sample_manifest()}, header)},
      {"receipts",
       stream_of(ContainerType::Receipts,
                 {test::sample_receipts_opening(),
                  test::sample_entry(),
                  test::sample_entry(),
                  test::sample_entry()},
                 header)},
  };
  for (const auto& [name, octets] : streams)
    put(root / "items" / (std::string{"stream-"} + name), octets);
  const auto single = [&](const char* name, const Item& item) {
    put(root / "items" / (std::string{"item-"} + name), ByteView{encode_item(item)}.subspan(4));
  };
  single("record", test::sample_record());
  single("manifest", test::sample_manifest());
  single("receipts-opening", test::sample_receipts_opening());
  single("entry", test::sample_entry());
  put(root / "items/core", serialise_core(test::sample_core()));
  put(root / "items/leaf", serialise_leaf(test::sample_leaf()));
  put(root / "items/leaf-void", serialise_leaf({{5}, VoidLeaf{17, "power-lost"}}));
  put(root / "items/head", serialise_head(test::sample_head()));

  header = test::plain_header();
  header.count = 2;
  put(root / "container/segment", test::container_of(streams[0].second, header));
  header.type = ContainerType::Manifest;
  header.count = 3;
  put(root / "container/manifest", test::container_of(streams[1].second, header));
  header.type = ContainerType::Receipts;
  put(root / "container/receipts", test::container_of(streams[2].second, header));
  put(root / "container/empty-body", test::container_of({}));

  put(root / "enrolment/card", serialise(test::sample_card()));
  put(root / "enrolment/request", serialise(test::sample_request()));
  put(root / "enrolment/answer", serialise(test::sample_answer()));
  put(root / "enrolment/token-card", serialise(test::sample_token_card()));
  put(root / "enrolment/signed-card", encode(test::sample_signed_card()));
  put(root / "enrolment/signed-request", encode(test::sample_signed_request()));
  const RevocationList revoked{.appliance_id = test::id_filled<ApplianceId>(0xa1),
                               .environment = Environment::Development,
                               .number = 7,
                               .time = UtcMillis{5},
                               .batches = {test::id_filled<BatchId>(0x01), test::id_filled<BatchId>(0x02)},
                               .stations = {test::id_filled<StationId>(0x51)}};
  put(root / "enrolment/revocations", serialise(revoked));
  const CustodyStatement custody{.appliance_id = test::id_filled<ApplianceId>(0xa1),
                                 .token_id = test::id_filled<TokenId>(0x70),
                                 .sequence = 2,
                                 .event = "handed-out",
                                 .direction = "out",
                                 .bag = "A-4711",
                                 .officer = 1,
                                 .receiver_name_hash = test::id_filled<Digest>(0x33),
                                 .due = UtcMillis{9},
                                 .time = UtcMillis{5},
                                 .previous = test::id_filled<Digest>(0x44)};
  put(root / "enrolment/custody", serialise(custody));
  const PreparationOrder order{.appliance_id = test::sample_card().appliance_id,
                               .environment = test::sample_card().environment,
                               .card = test::sample_signed_card(),
                               .plan_digest = test::id_filled<Digest>(0x11),
                               .plan_number = 7,
                               .preparer = test::sample_card().log_key,
                               .part = "ATECC608B",
                               .lot = "L7",
                               .key_name = "dac",
                               .count = 100,
                               .profile = Bytes(140, 0x0a),
                               .secure_boot_key = test::sample_card().export_key,
                               .vendor = "room",
                               .mechanism = "rsa-oaep-sha256",
                               .vendor_public_key = Bytes(294, 0x30),
                               .expires = UtcMillis{9}};
  put(root / "enrolment/preparation-order", serialise(order));
  const PreparationReceipt prepared{.appliance_id = order.appliance_id,
                                    .environment = order.environment,
                                    .plan_digest = order.plan_digest,
                                    .serial = Bytes(9, 0x01),
                                    .revision = Bytes(4, 0x60),
                                    .configuration_sha256 = test::id_filled<Digest>(0x22),
                                    .part = order.part,
                                    .lot = order.lot,
                                    .key_name = order.key_name,
                                    .vendor = order.vendor,
                                    .delivered = Bytes(384, 0x44),
                                    .check_value = Bytes(16, 0x55),
                                    .attestation_key = order.preparer,
                                    .time = UtcMillis{5}};
  put(root / "enrolment/preparation-receipt", serialise(prepared));
  put(root / "enrolment/preparation-line", as_bytes(preparation_line(test::sample_signed_card())));
  put(root / "enrolment/name-receipts",
      as_bytes("keyferry/receipts/51515151515151515151515151515151-1-0-3.kf"));
  put(root / "enrolment/name-segment",
      as_bytes("keyferry/batch/b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1/segment-00001.kf"));
  return 0;
}
