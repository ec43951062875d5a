#include "appliance/ledger/delivered_store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/support/temp_folder.h"

namespace keyferry::appliance {
namespace {

constexpr UtcMillis kNow{1'800'000'000'000};

se::Entry entry(std::uint64_t number, se::TransportKind kind = se::TransportKind::Delivered) {
  return se::Entry{.family = se::Family::Pkcs11,
                   .serial = *SeSerial::from_bytes(as_bytes(fmt::format("{:016}", number))),
                   .part = "P",
                   .lot = "L1",
                   .key_name = "dac",
                   .device_serial = "",
                   .generation = 1,
                   .transport_kind = kind,
                   .transport_name = "acme",
                   .transport_data = kind == se::TransportKind::Delivered
                                         ? Bytes(40, static_cast<std::uint8_t>(number))
                                         : Bytes{}};
}

Bytes check_value(std::uint8_t octet) {
  return Bytes(16, octet);
}

class DeliveredStoreTest : public testing::Test {
 protected:
  DeliveredStoreTest() { register_inventory_actions(ledger_); }

  ImportId begin() { return inventory_.begin_import("acme", "file.csv", kNow); }

  void stage(ImportId import, const std::vector<InventoryStore::Row>& rows) {
    EXPECT_TRUE(inventory_.stage(import, rows).empty());
  }

  void finish(ImportId import) {
    Digest digest = *Digest::from_bytes(Bytes(32, static_cast<std::uint8_t>(import.value)));
    inventory_.describe(import, digest, 1);
    store::WriteTransaction transaction{ledger_.database()};
    ledger_.apply_in_transaction(import_final_action(import));
    transaction.commit();
  }

  /// One final SE with this check value.
  void import_one(std::uint64_t number, std::uint8_t octet) {
    const ImportId import = begin();
    stage(import, {{2, entry(number)}});
    const auto rows = delivered_.rows(import, SeId{0}, 10);
    EXPECT_TRUE(delivered_.add(import, {{rows.at(0).id, 2, check_value(octet)}}).empty());
    finish(import);
  }

  test::TempFolder folder_;
  Ledger ledger_{folder_.path() / "ledger.db", store::Role::Writer};
  InventoryStore inventory_{ledger_};
  DeliveredStore delivered_{ledger_};
};

TEST_F(DeliveredStoreTest, GivesTheDeliveredRowsInTheFilesOrder) {
  const ImportId import = begin();
  stage(import,
        {{2, entry(9)}, {3, entry(5, se::TransportKind::Derived)}, {4, entry(1)}, {5, entry(7)}});
  const auto first = delivered_.rows(import, SeId{0}, 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].line, 2U);
  EXPECT_EQ(first[1].line, 4U);
  EXPECT_EQ(first[1].entry, entry(1));
  const auto rest = delivered_.rows(import, first[1].id, 2);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].line, 5U);
}

TEST_F(DeliveredStoreTest, TellsTheLinesOfACheckValueThatComesTwiceInAFile) {
  const ImportId import = begin();
  stage(import, {{2, entry(1)}, {3, entry(2)}, {4, entry(3)}});
  const auto rows = delivered_.rows(import, SeId{0}, 10);
  const auto doubled = delivered_.add(import,
                                      {{rows[2].id, 4, check_value(1)},
                                       {rows[0].id, 2, check_value(1)},
                                       {rows[1].id, 3, check_value(2)}});
  ASSERT_EQ(doubled.size(), 1U);
  EXPECT_EQ(doubled[0].line, 4U);
  EXPECT_EQ(doubled[0].earlier_line, 2U);
}

TEST_F(DeliveredStoreTest, TellsTheSeThatHadACheckValueBefore) {
  import_one(1, 9);
  const ImportId import = begin();
  stage(import, {{2, entry(2)}});
  const auto doubled =
      delivered_.add(import, {{delivered_.rows(import, SeId{0}, 1).at(0).id, 2, check_value(9)}});
  ASSERT_EQ(doubled.size(), 1U);
  EXPECT_EQ(doubled[0].earlier_line, 0U);
  EXPECT_EQ(doubled[0].earlier_se, "pkcs11 " + entry(1).serial.hex());
}

TEST_F(DeliveredStoreTest, ForgetsCheckValuesOfAnImportThatNeverBecameFinal) {
  const ImportId import = begin();
  stage(import, {{2, entry(1)}});
  EXPECT_TRUE(
      delivered_.add(import, {{delivered_.rows(import, SeId{0}, 1).at(0).id, 2, check_value(9)}})
          .empty());
  inventory_.clean_staged();
  import_one(1, 9);
}

TEST_F(DeliveredStoreTest, NeverForgetsThoseOfAFinalImport) {
  import_one(1, 9);
  inventory_.clean_staged();
  EXPECT_THROW(ledger_.database().exec("DELETE FROM transport_check"), std::exception);
  EXPECT_THROW(ledger_.database().exec("UPDATE transport_check SET se_id = 7"), std::exception);
}

TEST_F(DeliveredStoreTest, TellsABlobThatStandsInAnotherRow) {
  const ImportId import = begin();
  se::Entry same_blob = entry(2);
  same_blob.transport_data = entry(1).transport_data;
  const auto doubled = inventory_.stage(import, {{2, entry(1)}, {3, same_blob}});
  ASSERT_EQ(doubled.size(), 1U);
  EXPECT_EQ(doubled[0].what, Doubled::TransportData);
  EXPECT_EQ(doubled[0].line, 3U);
  EXPECT_EQ(doubled[0].earlier_line, 2U);
}

}  // namespace
}  // namespace keyferry::appliance
