// The appliance's revocation list at the station: taken, kept, obeyed, and never replaced by an older or another one.
#include "token/revocations.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/station-agent/bench.h"
#include "token/layout.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;

class StationRevocations : public testing::Test {
 protected:
  void SetUp() override {
    place_.enrol();
    std::vector<SeStore> ses;
    for (int i = 0; i < 2; ++i) {
      ses.push_back({"", *SeSerial::from_bytes(as_bytes("paper-" + std::to_string(i))), Bytes(32, 9)});
    }
    batch_ = place_.appliance.make_batch(ses, 2);
    place_.appliance.write_token(place_.token(), batch_);
  }

  [[nodiscard]] token::RevocationList list(std::uint64_t number, std::vector<BatchId> batches = {},
                                           std::vector<StationId> stations = {}) {
    return {.appliance_id = place_.appliance.id(),
            .environment = token::Environment::Development,
            .number = number,
            .time = UtcMillis{1'790'000'000'000},
            .batches = std::move(batches),
            .stations = std::move(stations)};
  }

  void put(const token::RevocationList& revoked, crypto::SoftKey* signer = nullptr,
           crypto::SignatureKind kind = crypto::SignatureKind::RevocationList) {
    const Bytes octets = token::encode(token::sign_payload(signer != nullptr ? *signer : place_.appliance.export_key,
                                                           kind, token::serialise(revoked)));
    std::ofstream out{file(), std::ios::binary | std::ios::trunc};
    out.write(as_chars(octets).data(), static_cast<std::streamsize>(octets.size()));
  }

  [[nodiscard]] fs::path file() const { return place_.token() / token::kRevocationsName; }

  [[nodiscard]] nlohmann::json status() { return place_.station("status").json; }

  void expect_refused(const std::string& reason) {
    const Ran load = place_.load();
    EXPECT_EQ(load.status, 1) << load.errors;
    EXPECT_NE(load.errors.find(reason), std::string::npos) << load.errors;
  }

  [[nodiscard]] StationId own_id() const { return token::station_id_of(place_.appliance.station().signing_key); }

  WorkPlace place_;
  SoftBatch batch_;
};

TEST_F(StationRevocations, ABatchOnTheListIsNotLoadedAndOthersAre) {
  put(list(1, {*BatchId::from_bytes(Bytes(16, 0xee))}));
  EXPECT_EQ(place_.load().status, 0);
  EXPECT_EQ(status()["revocations"], 1);
  EXPECT_EQ(status()["batches"].size(), 1U);
}

TEST_F(StationRevocations, ARevokedBatchIsRefusedBeforeItsManifestIsOpened) {
  put(list(1, {batch_.manifest.batch_id}));
  expect_refused("batch-revoked");
  EXPECT_TRUE(status()["batches"].empty());
  fs::remove(file());
  expect_refused("batch-revoked");
}

TEST_F(StationRevocations, AnOlderListIsRefusedAndTheNewerOneStaysInForce) {
  put(list(2, {batch_.manifest.batch_id}));
  expect_refused("batch-revoked");
  put(list(1));
  expect_refused("revocations-older");
  EXPECT_EQ(status()["revocations"], 2);
  EXPECT_TRUE(status()["batches"].empty());
}

TEST_F(StationRevocations, TwoListsOfOneNumberAreAnIncident) {
  put(list(2, {batch_.manifest.batch_id}));
  expect_refused("batch-revoked");
  put(list(2));
  expect_refused("revocations-forged");
  EXPECT_EQ(status()["incidents"][0]["kind"], "revocations-forged");
  EXPECT_TRUE(status()["batches"].empty());
}

TEST_F(StationRevocations, TheSameListSignedAgainIsNoNews) {
  token::RevocationList revoked = list(2);
  put(revoked);
  EXPECT_EQ(place_.load().status, 0);
  revoked.time = UtcMillis{1'790'000'999'000};
  put(revoked);
  EXPECT_EQ(place_.load().status, 0);
  EXPECT_TRUE(status()["incidents"].empty());
}

TEST_F(StationRevocations, AListOfSomebodyElseIsRefusedAndNotKept) {
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  put(list(9, {batch_.manifest.batch_id}), &stranger);
  expect_refused("revocations-signature");
  put(list(9, {batch_.manifest.batch_id}), nullptr, crypto::SignatureKind::TokenCard);
  expect_refused("revocations-signature");
  token::RevocationList other = list(9, {batch_.manifest.batch_id});
  other.appliance_id = *ApplianceId::from_bytes(Bytes(32, 0x55));
  put(other);
  expect_refused("revocations-appliance");
  std::ofstream{file()} << "no list";
  expect_refused("revocations-malformed");
  EXPECT_EQ(status()["revocations"], 0);
}

TEST_F(StationRevocations, ARetiredStationLoadsAndRunsNothingAndUnloadsStill) {
  put(list(1, {}, {own_id()}));
  const Ran load = place_.load();
  EXPECT_EQ(load.status, 1);
  EXPECT_NE(load.errors.find("retired this station"), std::string::npos) << load.errors;
  EXPECT_TRUE(status()["retired"]);
  place_.write_lanes({});
  EXPECT_NE(place_.run().errors.find("retired this station"), std::string::npos);
  EXPECT_EQ(place_.unload().status, 0);
}

TEST_F(StationRevocations, AStationOnceRetiredStaysSoWhateverALaterListSays) {
  put(list(1, {}, {own_id()}));
  EXPECT_EQ(place_.load().status, 1);
  put(list(2));
  EXPECT_EQ(place_.load().status, 1);
  EXPECT_TRUE(status()["retired"]);
}

}  // namespace
}  // namespace keyferry::station::test
