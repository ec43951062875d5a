#include "appliance/ledger/inventory_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "appliance/ledger/batch_store.h"
#include "tests/support/temp_folder.h"
#include "token/audit/merkle.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::appliance {
namespace {

constexpr UtcMillis kNow{1'800'000'000'000};

se::Entry entry(const std::string& serial, const std::string& lot = "L1") {
  return se::Entry{.family = se::Family::Pkcs11,
                   .serial = *SeSerial::from_bytes(as_bytes(serial)),
                   .part = "P",
                   .lot = lot,
                   .key_name = "dac",
                   .device_serial = "SN-" + serial,
                   .generation = 1,
                   .transport_kind = se::TransportKind::Derived,
                   .transport_name = "m1",
                   .transport_data = {}};
}

class InventoryTest : public testing::Test {
 protected:
  InventoryTest() { register_inventory_actions(ledger_); }

  ImportId stage(const std::vector<std::string>& serials) {
    const ImportId import = inventory_.begin_import("acme", "file.csv", kNow);
    std::vector<InventoryStore::Row> rows;
    std::uint64_t line = 2;
    for (const std::string& serial : serials) rows.push_back({line++, entry(serial)});
    EXPECT_TRUE(inventory_.stage(import, rows).empty());
    Digest digest = *Digest::from_bytes(Bytes(32, static_cast<std::uint8_t>(import.value)));
    inventory_.describe(import, digest, rows.size());
    return import;
  }

  void finish(ImportId import) {
    store::WriteTransaction transaction{ledger_.database()};
    ledger_.apply_in_transaction(import_final_action(import));
    transaction.commit();
  }

  std::variant<InventoryStore::MadeList, Refusal> choose(std::uint32_t count) {
    return inventory_.make_list(Selection{.count = count}, kNow);
  }

  test::TempFolder folder_;
  Ledger ledger_{folder_.path() / "ledger.db", store::Role::Writer};
  InventoryStore inventory_{ledger_};
};

TEST_F(InventoryTest, KeepsTheAttestationKeyOfAChip) {
  se::Entry chip = entry("A");
  chip.family = se::Family::Atecc608;
  chip.serial = *SeSerial::from_hex("0123a5c7e90b2d4fee");
  chip.attestation_key = crypto::SoftKey::generate().public_key();
  se::Entry without = chip;
  without.serial = *SeSerial::from_hex("0123a5c7e90b2d50ee");
  without.attestation_key.reset();
  const ImportId import = inventory_.begin_import("acme", "file.csv", kNow);
  ASSERT_TRUE(inventory_.stage(import, {{2, chip}, {3, without}}).empty());
  inventory_.describe(import, *Digest::from_bytes(Bytes(32, 1)), 2);
  finish(import);
  const auto made = inventory_.make_list(Selection{.family = se::Family::Atecc608, .count = 2}, kNow);
  ASSERT_TRUE(std::holds_alternative<InventoryStore::MadeList>(made));
  const auto listed = inventory_.entries(std::get<InventoryStore::MadeList>(made).id, 0, 2);
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0].entry, chip);
  EXPECT_EQ(listed[1].entry, without);
}

TEST_F(InventoryTest, ShowsNothingOfAnImportThatIsNotFinal) {
  stage({"A", "B"});
  EXPECT_TRUE(std::holds_alternative<Refusal>(choose(1)));
  EXPECT_EQ(inventory_.visible_rows(), 0U);
}

TEST_F(InventoryTest, ShowsAllOfAFinalImport) {
  finish(stage({"A", "B"}));
  EXPECT_EQ(inventory_.visible_rows(), 2U);
}

TEST_F(InventoryTest, RemovesWhatACutImportLeft) {
  stage({"A", "B"});
  inventory_.clean_staged();
  finish(stage({"A", "B"}));
  EXPECT_EQ(inventory_.visible_rows(), 2U);
}

TEST_F(InventoryTest, KeepsFinalRowsWhenItCleans) {
  finish(stage({"A"}));
  inventory_.clean_staged();
  EXPECT_TRUE(std::holds_alternative<InventoryStore::MadeList>(choose(1)));
}

TEST_F(InventoryTest, TellsTheEarlierLineOfADoubledRow) {
  const ImportId import = inventory_.begin_import("acme", "file.csv", kNow);
  const auto doubled =
      inventory_.stage(import, {{2, entry("A")}, {3, entry("B")}, {4, entry("A")}});
  ASSERT_EQ(doubled.size(), 1U);
  EXPECT_EQ(doubled[0].line, 4U);
  EXPECT_EQ(doubled[0].earlier_line, 2U);
}

TEST_F(InventoryTest, TellsTheSourceOfARowThatWasThereBefore) {
  finish(stage({"A"}));
  const ImportId import = inventory_.begin_import("other", "more.csv", kNow);
  const auto doubled = inventory_.stage(import, {{2, entry("A")}});
  ASSERT_EQ(doubled.size(), 1U);
  EXPECT_EQ(doubled[0].earlier_line, 0U);
  EXPECT_EQ(doubled[0].earlier_source, "acme");
}

TEST_F(InventoryTest, ChoosesInAFixedOrderWhateverTheOrderOfTheFile) {
  finish(stage({"C", "A", "B"}));
  const auto list = std::get<InventoryStore::MadeList>(choose(3));
  std::string order;
  for (const auto& [id, one] : inventory_.entries(list.id, 0, 3))
    order += to_string(one.serial.bytes());
  EXPECT_EQ(order, "ABC");
}

TEST_F(InventoryTest, MakesTheRootOverTheCanonicalEntries) {
  finish(stage({"A", "B", "C"}));
  const auto list = std::get<InventoryStore::MadeList>(choose(3));
  std::vector<Digest> leaves;
  for (const char* serial : {"A", "B", "C"}) {
    leaves.push_back(se::entry_leaf_hash(se::canonical_entry(entry(serial))));
  }
  EXPECT_EQ(list.root, audit::tree_root(leaves));
  EXPECT_EQ(inventory_.leaf_hashes(list.id), leaves);
}

TEST_F(InventoryTest, GivesTheSameListForTheSameChoice) {
  finish(stage({"A", "B"}));
  const auto one = std::get<InventoryStore::MadeList>(choose(2));
  const auto two = std::get<InventoryStore::MadeList>(choose(2));
  EXPECT_EQ(one.id, two.id);
}

TEST_F(InventoryTest, RefusesMoreThanThereAre) {
  finish(stage({"A"}));
  const auto refused = choose(2);
  EXPECT_EQ(std::get<Refusal>(refused).reason, "se-too-few");
}

TEST_F(InventoryTest, NamesARowThatWasChangedAfterTheListWasMade) {
  finish(stage({"A", "B"}));
  const auto list = std::get<InventoryStore::MadeList>(choose(2));
  ledger_.database().exec("UPDATE se SET part = 'X' WHERE se_serial = x'42'");
  std::string changed;
  inventory_.visit_list(list.id, BatchId{}, kNow, [&](const ListedSe& listed) {
    if (listed.changed) changed += to_string(listed.entry.serial.bytes());
  });
  EXPECT_EQ(changed, "B");
}

TEST_F(InventoryTest, NeverLetsAGenerationGoBack) {
  finish(stage({"A"}));
  ledger_.database().exec("UPDATE se SET generation = 2");
  EXPECT_THROW(ledger_.database().exec("UPDATE se SET generation = 1"), SQLite::Exception);
}

/// Records and batches are made by hand here: what the constraints forbid must not depend on any
/// program.
class RecordConstraints : public InventoryTest {
 protected:
  RecordConstraints() {
    finish(stage({"A", "B"}));
    list_ = std::get<InventoryStore::MadeList>(choose(2)).id;
    ledger_.database().exec(
        "INSERT INTO station VALUES (zeroblob(16), 's', 's', zeroblob(65), zeroblob(65), 0);");
    add_batch(1, "generating");
    add_batch(2, "generating");
  }

  void add_batch(int number, const std::string& state) {
    const std::string id = fmt::format("x'{:032x}'", number);
    const std::string digest = fmt::format("x'{:064x}'", number);
    ledger_.database().exec(fmt::format(
        "INSERT INTO plan VALUES ({}, {}, 'batch', x'00', 'made', 0, 0)", digest, number));
    ledger_.database().exec(
        fmt::format("INSERT INTO batch (batch_id, plan_digest, state, list_id, site, customer, "
                    "station_id, authority, se_count, "
                    "target_count, segment_count, segment_size, due_ms, expires_ms, made_ms) "
                    "VALUES ({}, {}, '{}', {}, 's', '', "
                    "zeroblob(16), 'ca', 2, 2, 1, 2, 0, {}, 0)",
                    id,
                    digest,
                    state,
                    list_.value,
                    kNow.value + 1));
  }

  void add_record(int batch,
                  int key,
                  int serial,
                  int se,
                  int generation = 1,
                  const std::string& state = "issued") {
    ledger_.database().exec(
        fmt::format("INSERT INTO record (batch_id, record_no, segment_idx, se_id, generation, "
                    "public_key, "
                    "certificate_serial, certificate_sha256, challenge, state) VALUES (x'{:032x}', "
                    "{}, 0, {}, {}, x'{:0130x}', "
                    "x'{:032x}', zeroblob(32), zeroblob(32), '{}')",
                    batch,
                    se,
                    se,
                    generation,
                    key,
                    serial,
                    state));
  }

  ListId list_;
};

TEST_F(RecordConstraints, RefuseASecondLiveKeyForOneSe) {
  add_record(1, 1, 1, 1);
  EXPECT_THROW(add_record(2, 2, 2, 1, 2), SQLite::Exception);
}

TEST_F(RecordConstraints, RefuseASecondKeyOfOneGenerationEvenWhenTheFirstIsRevoked) {
  add_record(1, 1, 1, 1);
  ledger_.database().exec("UPDATE record SET revoked = 1, state = 'revoked'");
  EXPECT_THROW(add_record(2, 2, 2, 1, 1), SQLite::Exception);
}

TEST_F(RecordConstraints, AllowAHigherGenerationAfterRevocation) {
  add_record(1, 1, 1, 1);
  ledger_.database().exec("UPDATE record SET revoked = 1, state = 'revoked'");
  EXPECT_NO_THROW(add_record(2, 2, 2, 1, 2));
}

/// What was ever seen is refused before anything is issued (I2), through the store that programs use.
class SeenBefore : public RecordConstraints {
 protected:
  /// A segment of one record, prepared and sealed.
  void make(std::uint32_t index, std::int64_t se, std::uint8_t key, std::uint8_t serial) {
    BatchStore store{ledger_};
    const BatchId batch = *BatchId::from_hex(fmt::format("{:032x}", 1));
    Bytes public_key(65, key);
    const std::vector<RecordRow> records{RecordRow{.record_no = RecordNo{index},
                                                   .se = SeId{se},
                                                   .public_key = public_key,
                                                   .certificate_serial = Bytes(16, serial)}};
    const SealedPart part{.index = SegmentIndex{index},
                          .count = 1,
                          .container = *ContainerId::from_hex(fmt::format("{:032x}", index + 1)),
                          .body_size_bytes = 1};
    const Bytes leaf{std::uint8_t{1}};
    store.prepare(batch, part, records, {leaf});
    store.seal(batch, part, leaf, fmt::format("appliance\n{}\nAAAA\n\nsignature\n", ledger_.log_size()));
  }

  void expect_refused(std::uint32_t index, std::int64_t se, std::uint8_t key, std::uint8_t serial) {
    try {
      make(index, se, key, serial);
      FAIL() << "was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::Refused) << error.what();
    }
    EXPECT_EQ(ledger_.database().execAndGet("SELECT count(*) FROM record").getInt(), 1);
    EXPECT_EQ(ledger_.log_size(), 1U);
  }
};

/// Parents are looked at for a whole segment at once: a record without one stores nothing.
TEST_F(SeenBefore, ARecordOfNoKnownSeIsRefused) {
  make(0, 1, 1, 1);
  try {
    make(1, 987'654, 2, 2);
    FAIL() << "was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Storage) << error.what();
  }
  EXPECT_EQ(ledger_.database().execAndGet("SELECT count(*) FROM record").getInt(), 1);
  EXPECT_EQ(ledger_.database().execAndGet("PRAGMA foreign_keys").getInt(), 1);
  make(1, 2, 2, 2);
}

TEST_F(SeenBefore, TwoKeysAndSerialsAreTaken) {
  make(0, 1, 1, 1);
  make(1, 2, 2, 2);
  EXPECT_EQ(ledger_.log_size(), 2U);
}

TEST_F(SeenBefore, APublicKeyIsRefused) {
  make(0, 1, 1, 1);
  expect_refused(1, 2, 1, 2);
}

TEST_F(SeenBefore, ACertificateSerialIsRefused) {
  make(0, 1, 1, 1);
  expect_refused(1, 2, 2, 1);
}

TEST_F(SeenBefore, IsRefusedAlsoWhenItsRunHasMoved) {
  make(0, 1, 1, 1);
  ledger_.database().exec("INSERT INTO seen_public_key SELECT public_keys FROM seen_run");
  ledger_.database().exec("INSERT INTO seen_serial SELECT serials FROM seen_run");
  ledger_.database().exec("DELETE FROM seen_run");
  for (const char* table : {"seen_public_key", "seen_serial"}) {
    EXPECT_THROW(ledger_.database().exec(fmt::format("DELETE FROM {}", table)), SQLite::Exception);
  }
  expect_refused(1, 2, 1, 2);
  expect_refused(1, 2, 2, 1);
}

TEST_F(SeenBefore, IsRefusedAlsoFromASegmentThatWasDropped) {
  const std::string id = crypto::sha256(Bytes(65, 7)).hex().substr(0, 32);
  ledger_.database().exec(fmt::format("INSERT INTO seen_public_key VALUES (x'{}')", id));
  make(0, 1, 1, 1);
  expect_refused(1, 2, 7, 2);
}

TEST_F(RecordConstraints, LetARecordEndOnlyOnce) {
  add_record(1, 1, 1, 1);
  ledger_.database().exec("UPDATE record SET state = 'quarantined'");
  EXPECT_THROW(ledger_.database().exec("UPDATE record SET state = 'injected'"), SQLite::Exception);
}

TEST_F(RecordConstraints, KeepKeysAsTheyAre) {
  add_record(1, 1, 1, 1);
  EXPECT_THROW(ledger_.database().exec("UPDATE record SET certificate_sha256 = zeroblob(31) || x'01'"),
               SQLite::Exception);
}

TEST_F(RecordConstraints, HideReservedSesFromTheNextChoice) {
  const auto refused = choose(1);
  EXPECT_TRUE(std::holds_alternative<Refusal>(refused));
}

TEST_F(RecordConstraints, NameTheOtherBatchOfAnSe) {
  add_record(1, 1, 1, 1);
  const BatchId second = *BatchId::from_hex(fmt::format("{:032x}", 2));
  const BatchId first = *BatchId::from_hex(fmt::format("{:032x}", 1));
  inventory_.visit_list(list_, second, kNow, [&](const ListedSe& listed) {
    EXPECT_EQ(listed.reserved_by, first);
    EXPECT_EQ(listed.live_in.has_value(), listed.id.value == 1);
  });
}

}  // namespace
}  // namespace keyferry::appliance
