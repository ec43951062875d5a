#include "token/items.h"

#include <gtest/gtest.h>

#include "keyferry/v1/batch.pb.h"
#include "tests/token/sample_items.h"
#include "tests/token/token_fixture.h"

namespace keyferry::token {
namespace {

using test::plain_header;
using test::reason_of;
using test::sample_entry;
using test::sample_manifest;
using test::sample_receipts_opening;
using test::sample_record;

Header header_for(ContainerType type, std::uint32_t count) {
  Header header = plain_header();
  header.type = type;
  header.count = count;
  return header;
}

/// All items of `stream`, fed in pieces; the refusal that ended it, or "".
struct ReadBack {
  std::vector<Item> items;
  std::string reason;
};

ReadBack read_stream(const Header& header,
                     ByteView stream,
                     std::size_t piece_bytes = 64,
                     std::uint64_t max_total_bytes = 8U << 20) {
  ReadBack out;
  ItemReader reader{header, max_total_bytes};
  while (true) {
    auto step = reader.next();
    if (auto* no = std::get_if<Refusal>(&step)) {
      out.reason = no->reason;
      return out;
    }
    if (std::holds_alternative<Item>(step)) {
      out.items.push_back(std::get<Item>(std::move(step)));
      continue;
    }
    if (stream.empty()) break;
    const std::size_t part = std::min(piece_bytes, stream.size());
    reader.feed(stream.first(part));
    stream = stream.subspan(part);
  }
  out.reason = reason_of(reader.finish());
  return out;
}

Bytes stream_of(const std::vector<Item>& items) {
  Bytes out;
  ItemWriter writer{[&](ByteView octets) { append(out, octets); }};
  for (const Item& item : items) writer.write(item);
  return out;
}

std::vector<Item> segment_items(const Header& header) {
  std::vector<Item> items{opening_for(header)};
  for (std::uint32_t i = 0; i < header.count; ++i) items.emplace_back(sample_record(100 + i));
  return items;
}

TEST(Items, OfASegmentComeBackWhateverThePieces) {
  const Header header = header_for(ContainerType::Segment, 3);
  const std::vector<Item> items = segment_items(header);
  const Bytes stream = stream_of(items);
  for (const std::size_t piece :
       {std::size_t{1}, std::size_t{5}, std::size_t{1000}, stream.size()}) {
    const ReadBack back = read_stream(header, stream, piece);
    EXPECT_EQ(back.reason, "");
    EXPECT_EQ(back.items, items);
  }
}

TEST(Items, OfAManifestComeBack) {
  const Header header = header_for(ContainerType::Manifest, 3);
  const std::vector<Item> items{opening_for(header), sample_manifest()};
  const ReadBack back = read_stream(header, stream_of(items));
  EXPECT_EQ(back.reason, "");
  EXPECT_EQ(back.items, items);
}

TEST(Items, OfReceiptsComeBack) {
  const Header header = header_for(ContainerType::Receipts, 3);
  ReceiptEntry unsigned_entry = sample_entry();
  unsigned_entry.signature.clear();
  const std::vector<Item> items{opening_for(header),
                                sample_receipts_opening(),
                                sample_entry(),
                                unsigned_entry,
                                sample_entry()};
  const ReadBack back = read_stream(header, stream_of(items));
  EXPECT_EQ(back.reason, "");
  EXPECT_EQ(back.items, items);
}

TEST(Items, OfAnEmptyManifestWithoutItsOptionalPartsComeBack) {
  const Header header = header_for(ContainerType::Manifest, 0);
  Manifest manifest = sample_manifest();
  manifest.segments.clear();
  manifest.anchors.clear();
  manifest.customer.clear();
  manifest.checkpoint.clear();
  manifest.firmware_sha256.reset();
  manifest.station_log.reset();
  manifest.line_checks.reset();
  manifest.certification_declaration.clear();
  manifest.declaration_signer.clear();
  const std::vector<Item> items{opening_for(header), manifest};
  EXPECT_EQ(read_stream(header, stream_of(items)).items, items);
}

WaitingRecord sample_waiting(std::uint32_t number) {
  return WaitingRecord{.record_no = {number},
                       .se_serial = sample_record().se_serial,
                       .payload = sample_record().payload,
                       .public_key = sample_record().public_key,
                       .request_sha256 = test::id_filled<Digest>(9)};
}

TEST(Items, OfWaitingKeysComeBackAndBelongNowhereElse) {
  const Header header = header_for(ContainerType::Waiting, 2);
  const std::vector<Item> items{opening_for(header), sample_waiting(4), sample_waiting(5)};
  const ReadBack back = read_stream(header, stream_of(items));
  EXPECT_EQ(back.reason, "");
  EXPECT_EQ(back.items, items);
  EXPECT_EQ(read_stream(header, stream_of({items[0], items[1]})).reason, "count");
  EXPECT_EQ(read_stream(header, stream_of({items[0], items[2], items[1]})).reason, "record-order");
  EXPECT_EQ(read_stream(header, stream_of({items[0], sample_record(4), sample_record(5)})).reason, "order");
  const Header segment = header_for(ContainerType::Segment, 1);
  EXPECT_EQ(read_stream(segment, stream_of({opening_for(segment), sample_waiting(4)})).reason, "order");
}

TEST(ItemReader, RefusesABodyThatBelongsToAnotherHeader) {
  const Header header = header_for(ContainerType::Segment, 1);
  const std::vector<std::function<void(BodyOpening&)>> changes{
      [](BodyOpening& o) { o.type = ContainerType::Manifest; },
      [](BodyOpening& o) { o.sender = test::id_filled<KeyId>(1); },
      [](BodyOpening& o) { o.batch_id = test::id_filled<BatchId>(1); },
      [](BodyOpening& o) { ++o.index; },
      [](BodyOpening& o) { ++o.count; },
  };
  for (const auto& change : changes) {
    BodyOpening opening = opening_for(header);
    change(opening);
    EXPECT_EQ(read_stream(header, stream_of({opening, sample_record()})).reason, "opening");
  }
}

TEST(ItemReader, RefusesItemsWhereTheyDoNotBelong) {
  struct Case {
    ContainerType type;
    std::uint32_t count;
    std::vector<Item> behind_opening;
    bool with_opening;
    const char* reason;
  };

  const std::vector<Case> cases{
      {ContainerType::Segment, 1, {sample_record()}, false, "order"},
      {ContainerType::Segment,
       1,
       {opening_for(header_for(ContainerType::Segment, 1))},
       true,
       "order"},
      {ContainerType::Segment, 1, {sample_entry()}, true, "order"},
      {ContainerType::Manifest, 3, {sample_record()}, true, "order"},
      {ContainerType::Manifest, 3, {sample_manifest(), sample_manifest()}, true, "order"},
      {ContainerType::Receipts, 3, {sample_entry()}, true, "order"},
      {ContainerType::Receipts,
       3,
       {sample_receipts_opening(), sample_receipts_opening()},
       true,
       "order"},
      {ContainerType::Receipts, 3, {sample_receipts_opening(), sample_record()}, true, "order"},
  };
  for (const Case& wrong : cases) {
    const Header header = header_for(wrong.type, wrong.count);
    std::vector<Item> items;
    if (wrong.with_opening) items.emplace_back(opening_for(header));
    items.insert(items.end(), wrong.behind_opening.begin(), wrong.behind_opening.end());
    EXPECT_EQ(read_stream(header, stream_of(items)).reason, wrong.reason);
  }
}

TEST(ItemReader, RefusesAnotherNumberOfItemsThanTheHeaderSays) {
  for (const std::uint32_t count : {0U, 2U, 4U}) {
    const Header header = header_for(ContainerType::Segment, count);
    std::vector<Item> items = segment_items(header_for(ContainerType::Segment, 3));
    items.front() = opening_for(header);
    EXPECT_EQ(read_stream(header, stream_of(items)).reason, "count") << count;
  }
  const Header manifest = header_for(ContainerType::Manifest, 2);
  EXPECT_EQ(read_stream(manifest, stream_of({opening_for(manifest), sample_manifest()})).reason,
            "count");
  EXPECT_EQ(read_stream(manifest, stream_of({opening_for(manifest)})).reason, "count");
  const Header receipts = header_for(ContainerType::Receipts, 3);
  EXPECT_EQ(
      read_stream(receipts,
                  stream_of({opening_for(receipts), sample_receipts_opening(), sample_entry()}))
          .reason,
      "count");
  const Header other = header_for(ContainerType::Receipts, 4);
  EXPECT_EQ(read_stream(other, stream_of({opening_for(other), sample_receipts_opening()})).reason,
            "count");
}

TEST(ItemReader, RefusesARecordTwice) {
  const Header header = header_for(ContainerType::Segment, 2);
  EXPECT_EQ(
      read_stream(header, stream_of({opening_for(header), sample_record(5), sample_record(5)}))
          .reason,
      "record-order");
}

TEST(ItemReader, RefusesAManifestOfAnotherBatchOrEnvironment) {
  const Header header = header_for(ContainerType::Manifest, 3);
  Manifest manifest = sample_manifest();
  manifest.environment = Environment::Production;
  EXPECT_EQ(read_stream(header, stream_of({opening_for(header), manifest})).reason, "opening");
  manifest = sample_manifest();
  manifest.batch_id = test::id_filled<BatchId>(1);
  EXPECT_EQ(read_stream(header, stream_of({opening_for(header), manifest})).reason, "opening");
}

TEST(ItemReader, RefusesAStreamThatIsCutAnywhere) {
  const Header header = header_for(ContainerType::Segment, 2);
  const Bytes stream = stream_of(segment_items(header));
  for (std::size_t size = 0; size < stream.size(); ++size) {
    EXPECT_NE(read_stream(header, ByteView{stream}.first(size), 4096).reason, "") << size;
  }
}

TEST(ItemReader, RefusesAnItemLengthBeforeItIsThere) {
  Bytes stream;
  append_u32be(stream, static_cast<std::uint32_t>(kMaxItemBytes) + 1);
  EXPECT_EQ(read_stream(header_for(ContainerType::Segment, 1), stream).reason, "size");
  EXPECT_EQ(read_stream(header_for(ContainerType::Manifest, 1), stream).reason, "truncated");
  stream.clear();
  append_u32be(stream, static_cast<std::uint32_t>(kMaxManifestItemBytes) + 1);
  EXPECT_EQ(read_stream(header_for(ContainerType::Manifest, 1), stream).reason, "size");
  stream.assign(4, 0);
  EXPECT_EQ(read_stream(header_for(ContainerType::Segment, 1), stream).reason, "size");
}

TEST(ItemReader, RefusesMorePlaintextThanItsCallerAllows) {
  const Header header = header_for(ContainerType::Segment, 3);
  const Bytes stream = stream_of(segment_items(header));
  EXPECT_EQ(read_stream(header, stream, 64, stream.size()).reason, "");
  EXPECT_EQ(read_stream(header, stream, 64, stream.size() - 1).reason, "size");
}

TEST(ItemReader, StaysWithItsFirstRefusal) {
  ItemReader reader{header_for(ContainerType::Segment, 1), 1000};
  reader.feed(Bytes(4, 0));
  EXPECT_EQ(reason_of(reader.next()), "size");
  reader.feed(Bytes(2000, 0));
  EXPECT_EQ(reason_of(reader.next()), "size");
  EXPECT_EQ(reason_of(reader.finish()), "size");
}

// --- one field at a time, on the wire: our own writer would not write these
// ---------------------------------------------

namespace pb = keyferry::v1;

pb::BodyItem message_of(const Item& item) {
  pb::BodyItem message;
  const Bytes octets = encode_item(item);
  EXPECT_TRUE(message.ParseFromArray(octets.data() + 4, static_cast<int>(octets.size() - 4)));
  return message;
}

std::string parse_reason(const pb::BodyItem& message) {
  const std::string octets = message.SerializeAsString();
  return reason_of(parse_item(as_bytes(octets)));
}

struct WrongField {
  std::function<void(pb::BodyItem&)> change;
  const char* reason;
};

void expect_refusals(const Item& good, const std::vector<WrongField>& cases) {
  ASSERT_EQ(parse_reason(message_of(good)), "");
  for (const WrongField& wrong : cases) {
    pb::BodyItem message = message_of(good);
    wrong.change(message);
    EXPECT_EQ(parse_reason(message), wrong.reason);
  }
}

TEST(ParseItem, RefusesARecordByItsField) {
  const std::string long_text(70, 'a');
  expect_refusals(
      sample_record(),
      {
          {[](auto& m) { m.mutable_record()->set_family(pb::FAMILY_UNSPECIFIED); }, "family"},
          {[](auto& m) { m.mutable_record()->set_family(static_cast<pb::Family>(5)); }, "family"},
          {[](auto& m) { m.mutable_record()->set_family(static_cast<pb::Family>(-1)); }, "family"},
          {[](auto& m) { m.mutable_record()->clear_se_serial(); }, "se-serial"},
          {[](auto& m) { m.mutable_record()->set_se_serial(std::string(65, 'x')); }, "se-serial"},
          {[](auto& m) { m.mutable_record()->set_key_name(""); }, "key-name"},
          {[](auto& m) { m.mutable_record()->set_key_name("DAC"); }, "key-name"},
          {[&](auto& m) { m.mutable_record()->set_key_name(long_text); }, "key-name"},
          {[](auto& m) { m.mutable_record()->set_device_serial("=1+1"); }, "device-serial"},
          {[](auto& m) { m.mutable_record()->set_device_serial("a\x1b[2J"); }, "device-serial"},
          {[](auto& m) { m.mutable_record()->set_generation(0); }, "generation"},
          {[](auto& m) { m.mutable_record()->clear_payload(); }, "payload"},
          {[](auto& m) { m.mutable_record()->set_payload(std::string(kMaxPayloadBytes + 1, 'x')); },
           "payload"},
          {[](auto& m) { m.mutable_record()->set_public_key(std::string(65, '\4')); },
           "public-key"},
          {[](auto& m) { m.mutable_record()->mutable_public_key()->pop_back(); }, "public-key"},
          {[](auto& m) { m.mutable_record()->clear_certificate(); }, "certificate"},
          {[](auto& m) { m.mutable_record()->set_certificate(std::string(4097, 'x')); },
           "certificate"},
          {[](auto& m) { m.mutable_record()->clear_issuers(); }, "issuers"},
          {[](auto& m) { m.mutable_record()->add_issuers(""); }, "issuers"},
          {[](auto& m) {
             m.mutable_record()->add_issuers("a");
             m.mutable_record()->add_issuers("b");
           },
           "issuers"},
          {[](auto& m) { m.mutable_record()->mutable_challenge()->pop_back(); }, "challenge"},
          {[](auto& m) { m.clear_item(); }, "size"},
      });
}

TEST(ParseItem, RefusesAManifestByItsField) {
  const auto segment = [](pb::BodyItem& m, int i) {
    return m.mutable_manifest()->mutable_segments(i);
  };
  const auto checks = [](pb::BodyItem& m) { return m.mutable_manifest()->mutable_line_checks(); };
  expect_refusals(
      sample_manifest(),
      {
          {[](auto& m) { m.mutable_manifest()->set_version(2); }, "version"},
          {[](auto& m) { m.mutable_manifest()->set_environment(static_cast<pb::Environment>(4)); },
           "environment"},
          {[](auto& m) { m.mutable_manifest()->set_mode(pb::MODE_UNSPECIFIED); }, "mode"},
          {[](auto& m) { m.mutable_manifest()->set_site(""); }, "site"},
          {[](auto& m) { m.mutable_manifest()->set_customer("<b>"); }, "customer"},
          {[](auto& m) { m.mutable_manifest()->set_target_count(11); }, "target-count"},
          {[](auto& m) { m.mutable_manifest()->set_se_count(9); }, "segments"},
          {[&](auto& m) { segment(m, 1)->set_index(0); }, "segments"},
          {[&](auto& m) { segment(m, 1)->set_first_record_no(3); }, "segments"},
          {[&](auto& m) { segment(m, 1)->set_first_record_no(0xffffffff); }, "segments"},
          {[&](auto& m) { segment(m, 1)->set_count(0); }, "segment-count"},
          {[&](auto& m) { segment(m, 1)->set_count(16'385); }, "segment-count"},
          {[&](auto& m) { segment(m, 2)->clear_last_se_serial(); }, "last-se-serial"},
          {[&](auto& m) { segment(m, 2)->set_container_id("x"); }, "container-id"},
          {[](auto& m) { m.mutable_manifest()->set_firmware_sha256("x"); }, "firmware-sha256"},
          {[&](auto& m) { checks(m)->set_chain_time(pb::CHAIN_TIME_UNSPECIFIED); }, "line-checks"},
          {[&](auto& m) { checks(m)->set_chain_time(static_cast<pb::ChainTime>(3)); },
           "line-checks"},
          {[&](auto& m) { checks(m)->set_chain_time(pb::CHAIN_TIME_ISSUING); }, "line-checks"},
          {[&](auto& m) { checks(m)->set_clock_skew_s(604'801); }, "line-checks"},
          {[&](auto& m) { checks(m)->set_issuing_ms(-1); }, "line-checks"},
          {[&](auto& m) { checks(m)->set_secure_boot_key_sha256("x"); }, "line-checks"},
          {[](auto& m) {
             m.mutable_manifest()->set_certification_declaration(std::string(4097, 'a'));
           },
           "certification-declaration"},
          {[](auto& m) { m.mutable_manifest()->set_declaration_signer(std::string(4097, 'a')); },
           "declaration-signer"},
          {[](auto& m) { m.mutable_manifest()->clear_certification_declaration(); },
           "declaration-signer"},
          {[](auto& m) { m.mutable_manifest()->set_checkpoint("a\tb"); }, "checkpoint"},
          {[](auto& m) { m.mutable_manifest()->set_checkpoint(std::string(4097, 'a')); },
           "checkpoint"},
          {[](auto& m) { m.mutable_manifest()->mutable_station_log()->set_generation(0); },
           "station-log"},
          {[](auto& m) { m.mutable_manifest()->mutable_station_log()->set_root("x"); },
           "station-log"},
      });
}

TEST(ParseItem, RefusesReceiptsByTheirField) {
  expect_refusals(
      sample_receipts_opening(),
      {
          {[](auto& m) { m.mutable_receipts_opening()->set_from_size(9); }, "to-size"},
          {[](auto& m) { m.mutable_receipts_opening()->clear_head(); }, "payload"},
          {[](auto& m) { m.mutable_receipts_opening()->mutable_head()->clear_signatures(); },
           "signatures"},
          {[](auto& m) { m.mutable_receipts_opening()->set_highest_checkpoint("\x01"); },
           "highest-checkpoint"},
      });
  expect_refusals(
      sample_entry(),
      {
          {[](auto& m) { m.mutable_receipt()->clear_leaf(); }, "leaf"},
          {[](auto& m) { m.mutable_receipt()->set_leaf(std::string(8193, 'x')); }, "leaf"},
          {[](auto& m) { m.mutable_receipt()->set_signature("x"); }, "signature"},
      });
}

TEST(ParseItem, IgnoresAFieldThatItDoesNotKnow) {
  const pb::BodyItem message = message_of(sample_record());
  const std::string octets =
      message.SerializeAsString() + std::string{"\xfa\x3f\x02hi", 5};  // field 1023
  const auto parsed = parse_item(as_bytes(octets));
  ASSERT_EQ(reason_of(parsed), "");
  EXPECT_EQ(std::get<Item>(parsed), Item{sample_record()});
}

TEST(ParseItem, RefusesAKindOfItemThatItDoesNotKnow) {
  const std::string octets{"\xfa\x3f\x02hi", 5};
  EXPECT_EQ(reason_of(parse_item(as_bytes(octets))), "item");
}

TEST(ParseItem, RefusesWhatIsNoProtobuf) {
  EXPECT_EQ(reason_of(parse_item(Bytes(20, 0xff))), "protobuf");
  EXPECT_EQ(reason_of(parse_item(Bytes{})), "size");
}

TEST(ParseItem, RefusesAManifestOfAMillionEmptySegmentsBeforeItFillsMemory) {
  Bytes segments;
  for (std::size_t i = 0; i < 1'000'000; ++i)
    append(segments, as_bytes(std::string_view{"\x7a\x00", 2}));  // field 15
  Bytes octets{0x1a};                                             // field 3: the manifest
  for (std::size_t size = segments.size(); size > 0; size >>= 7) {
    octets.push_back(static_cast<std::uint8_t>((size & 0x7f) | (size > 0x7f ? 0x80 : 0)));
  }
  append(octets, segments);
  EXPECT_EQ(reason_of(parse_item(octets)), "segments");
}

TEST(EncodeItem, RefusesWhatItsReaderWouldRefuse) {
  Record record = sample_record();
  record.issuers.clear();
  EXPECT_THROW(encode_item(record), Error);
  Manifest manifest = sample_manifest();
  manifest.target_count = 11;
  EXPECT_THROW(encode_item(manifest), Error);
}

TEST(Items, GoThroughASealedContainer) {
  const Header header = header_for(ContainerType::Segment, 200);
  Bytes container;
  Sealer sealer{header, test::recipient_key().public_key(), [&](ByteView octets) {
                  append(container, octets);
                }};
  ItemWriter writer{[&](ByteView octets) { sealer.write(octets); }};
  const std::vector<Item> items = segment_items(header);
  for (const Item& item : items) writer.write(item);
  auto signer = test::sender_key();
  const Sealed sealed = sealer.finish();
  append(
      container,
      make_trailer(sealed,
                   crypto::sign(signer, crypto::SignatureKind::Container, sealed.digest.bytes())));
  ASSERT_GT(sealed.chunk_count, 1U);

  const Fd file = test::file_of(container);
  const auto outlined = outline(file, test::plain_expectation());
  ASSERT_EQ(reason_of(outlined), "");
  const auto& found = std::get<Outline>(outlined);
  ASSERT_EQ(reason_of(check_signature(found, signer.public_key())), "");
  crypto::SoftDhKey recipient{test::recipient_key()};
  const auto key = open_content_key(found.trailer.enc, found.header_bytes, recipient);
  std::vector<Item> back;
  const auto read = read_items(file, found, *key, [&](Item&& item) -> Checked {
    back.push_back(std::move(item));
    return std::monostate{};
  });
  EXPECT_EQ(reason_of(read), "");
  EXPECT_EQ(back, items);
}

}  // namespace
}  // namespace keyferry::token
