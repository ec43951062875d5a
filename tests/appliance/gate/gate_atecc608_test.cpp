// Records of family atecc608 by the real gate and worker on SoftHSM: off until officers enable it, masters of its own,
// payloads that say what they should, a log that says what was in the clear.
#include <set>

#include "tests/appliance/gate/gate_fixture.h"
#include "tests/wrap/se/atecc608_example.h"
#include "token/audit/merkle.h"
#include "token/items.h"
#include "wrap/base/durable_file.h"
#include "wrap/crypto/hash.h"
#include "wrap/se/atecc608_builder.h"
#include "wrap/se/atecc608_payload.h"

namespace keyferry::appliance::test {
namespace {

class GateAtecc608 : public GateFixture {
 protected:
  void make_master(GateClient& gate, const std::string& name, se::Family family) {
    Plan made = plan(Operation::TransportMasterCreate);
    made.detail = TransportMasterPlan{name, "kf-kdf-1", family};
    run(gate, parsed(made));
  }

  void enable(GateClient& gate) {
    Plan made = plan(Operation::FamilyEnable);
    made.detail = FamilyEnablePlan{se::Family::Atecc608, "first line with them"};
    run(gate, parsed(made));
  }

  static SeSerial chip(std::uint32_t number) {
    Bytes serial{0x01, 0x23, 0xA5, 0xC7};
    append_u32be(serial, number);
    serial.push_back(0xEE);
    return *SeSerial::from_bytes(serial);
  }

  /// Four chips; every other one has a known attestation key.
  Plan chips_plan(const std::string& master) {
    entries_.clear();
    std::vector<Digest> leaves;
    for (std::uint32_t i = 0; i < 4; ++i) {
      se::Entry entry = se::example_chip_entry();
      entry.serial = chip(i);
      entry.device_serial = "D0000" + std::to_string(i);
      entry.transport_name = master;
      if (i % 2 == 0) entry.attestation_key = crypto::SoftKey::generate().public_key();
      leaves.push_back(se::entry_leaf_hash(se::canonical_entry(entry)));
      entries_.push_back(std::move(entry));
    }
    std::vector<se::Entry> chips = entries_;
    Plan made = batch_plan(4, 4);  // of pkcs11: its list is replaced
    entries_ = std::move(chips);
    auto& batch = std::get<BatchPlan>(made.detail);
    batch.family = se::Family::Atecc608;
    batch.atecc608 = se::example_profile();
    batch.se_list_root = audit::tree_root(leaves);
    return parsed(made);
  }

  std::vector<token::Record> open_segment(const Made& made, const v1::SegmentIssued& issued) {
    const std::filesystem::path file = store_.folder() / "segment.kf";
    Bytes whole = made.body;
    append(whole, as_bytes(issued.trailer()));
    write_file_durably(file, whole, Overwrite::Replace);
    const Fd fd = open_regular_file(file, Code::Storage);
    const auto outlined = token::outline(fd, {.type = token::ContainerType::Segment,
                                              .environment = token::Environment::Development,
                                              .recipient = station_.agreement.public_key().key_id(),
                                              .max_body_bytes = 1U << 30});
    const auto& outline = std::get<token::Outline>(outlined);
    crypto::SoftDhKey key{std::move(station_.agreement)};
    const auto content_key = token::open_content_key(outline.trailer.enc, outline.header_bytes, key);
    std::vector<token::Record> records;
    const auto read = token::read_items(fd, outline, *content_key, [&](token::Item&& item) -> token::Checked {
      if (auto* record = std::get_if<token::Record>(&item)) records.push_back(std::move(*record));
      return std::monostate{};
    });
    EXPECT_TRUE(std::holds_alternative<std::monostate>(read));
    return records;
  }

  void expect_refused_segment(GateClient& gate, const Plan& plan, std::string_view said) {
    const Made made = make(gate, segment_request(plan, 0));
    ASSERT_TRUE(made.error);
    EXPECT_NE(made.error->text().find(said), std::string::npos) << made.error->text();
  }
};

TEST_F(GateAtecc608, IsOffUntilOfficersEnableIt) {
  const auto gate = start_gate();
  EXPECT_FALSE(open(*gate).initialized());
  make_appliance(*gate);
  make_master(*gate, "chips", se::Family::Atecc608);
  const Error refused = refusal_of(*gate, run_request(chips_plan("chips")));
  EXPECT_NE(std::string{refused.what()}.find("family atecc608 is off"), std::string::npos) << refused.what();
  const std::uint32_t epoch = registry_.policy().epoch();
  enable(*gate);
  EXPECT_EQ(registry_.policy().epoch(), epoch + 1) << "approvals given before are void";
  ASSERT_EQ(registry_.policy().enabled_families_size(), 1);
  EXPECT_EQ(registry_.policy().enabled_families(0), "atecc608");
  run(*gate, chips_plan("chips"));
  EXPECT_EQ(state_.open_plans_size(), 1);
}

TEST_F(GateAtecc608, MakesPayloadsForEachChipAndSaysWhatWasInTheClear) {
  const auto gate = start_gate();
  make_appliance(*gate);
  make_master(*gate, "chips", se::Family::Atecc608);
  enable(*gate);
  const Plan plan = chips_plan("chips");
  run(*gate, plan);
  const Made made = make(*gate, segment_request(plan, 0));
  ASSERT_FALSE(made.error) << made.error->text();
  const v1::SegmentIssued issued = commit(*gate, plan, made, 0);
  const auto records = open_segment(made, issued);
  ASSERT_EQ(records.size(), 4U);
  std::set<std::string> nonces;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto parsed = se::parse_payload(records[i].payload);
    ASSERT_TRUE(std::holds_alternative<se::Atecc608Payload>(parsed)) << std::get<Refusal>(parsed).text;
    const auto& payload = std::get<se::Atecc608Payload>(parsed);
    EXPECT_EQ(payload.serial, entries_[i].serial);
    EXPECT_EQ(payload.profile, se::example_profile());
    EXPECT_EQ(payload.attestation_key, entries_[i].attestation_key);
    const auto id = se::atecc608_nonce_id(payload.serial, payload.nonce);
    EXPECT_EQ(made.records[i].nonce_id(), std::string(id.begin(), id.end()));
    nonces.insert(to_hex(payload.nonce));
    EXPECT_EQ(records[i].family, token::Family::Atecc608);
    EXPECT_EQ(to_string(records[i].public_key.point()), made.records[i].public_key());
  }
  EXPECT_EQ(nonces.size(), records.size());
  v1::LogLeaf summary;
  ASSERT_TRUE(summary.ParseFromString(made.prepared.summary_leaf()));
  EXPECT_NE(summary.segment_issued().plaintext().find("worker's locked memory for one record"), std::string::npos);
  EXPECT_NE(summary.segment_issued().plaintext().find("transport keys stay in the HSM (C_DigestKey)"), std::string::npos)
      << summary.segment_issued().plaintext();
}

TEST_F(GateAtecc608, SaysOfPkcs11ThatNothingWasInTheClear) {
  const auto gate = start_gate();
  make_appliance(*gate);
  const Plan plan = batch_plan(4, 4);
  run(*gate, plan);
  const Made made = make(*gate, segment_request(plan, 0));
  v1::LogLeaf summary;
  ASSERT_TRUE(summary.ParseFromString(made.prepared.summary_leaf()));
  EXPECT_EQ(summary.segment_issued().plaintext(), "");
  EXPECT_EQ(made.records.at(0).nonce_id(), "");
}

TEST_F(GateAtecc608, HasMastersOfItsOwn) {
  const auto gate = start_gate();
  make_appliance(*gate);
  make_master(*gate, "chips", se::Family::Atecc608);
  enable(*gate);
  for (const v1::TransportMaster& master : registry_.transport_masters())
    EXPECT_EQ(master.family(), master.name() == "chips" ? "atecc608" : "");
  const Plan with_pkcs11_master = chips_plan("m");
  run(*gate, with_pkcs11_master);
  expect_refused_segment(*gate, with_pkcs11_master, "was made for family pkcs11");
  Plan with_chips_master = batch_plan(4, 4);
  std::vector<Digest> leaves;
  for (se::Entry& entry : entries_) {
    entry.transport_name = "chips";
    leaves.push_back(se::entry_leaf_hash(se::canonical_entry(entry)));
  }
  std::get<BatchPlan>(with_chips_master.detail).se_list_root = audit::tree_root(leaves);
  with_chips_master = parsed(with_chips_master);
  run(*gate, with_chips_master);
  expect_refused_segment(*gate, with_chips_master, "was made for family atecc608");
}

TEST_F(GateAtecc608, MakesASegmentAnewWithOtherNonces) {
  auto gate = start_gate();
  make_appliance(*gate);
  make_master(*gate, "chips", se::Family::Atecc608);
  enable(*gate);
  const Plan plan = chips_plan("chips");
  run(*gate, plan);
  const Made lost = make(*gate, segment_request(plan, 0));
  gate.reset();  // cut before the commit: nobody can open what was made
  gate = start_gate();
  static_cast<void>(open(*gate));
  const Made again = make(*gate, segment_request(plan, 0));
  ASSERT_FALSE(again.error) << again.error->text();
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NE(lost.records[i].nonce_id(), again.records[i].nonce_id());
}

}  // namespace
}  // namespace keyferry::appliance::test
