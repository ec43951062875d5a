// What bad input gets: a clear refusal, and nothing changed.
#include <gtest/gtest.h>

#include "tests/station-agent/bench.h"
#include "token/layout.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/words.h"

namespace keyferry::station::test {
namespace {

namespace fs = std::filesystem;

void put(const fs::path& path, ByteView octets) {
  fs::create_directories(path.parent_path());
  std::ofstream out{path, std::ios::binary | std::ios::trunc};
  out.write(as_chars(octets).data(), static_cast<std::streamsize>(octets.size()));
}

/// Stand-ins for SEs where no chip is touched: loading looks at records only.
std::vector<SeStore> paper_ses(int count) {
  std::vector<SeStore> ses;
  for (int i = 0; i < count; ++i) {
    ses.push_back(
        {"", *SeSerial::from_bytes(as_bytes("paper-" + std::to_string(i))), Bytes(32, 9)});
  }
  return ses;
}

class StationLoading : public testing::Test {
 protected:
  void SetUp() override {
    place_.enrol();
    batch_ = place_.appliance.make_batch(paper_ses(4), 2);
  }

  [[nodiscard]] fs::path segment(std::uint32_t index) const {
    return place_.token() / token::segment_name(batch_.manifest.batch_id, SegmentIndex{index});
  }

  [[nodiscard]] fs::path manifest() const {
    return place_.token() / token::manifest_name(batch_.manifest.batch_id);
  }

  void expect_refused(const std::string& reason) {
    const Ran load = place_.load();
    EXPECT_EQ(load.status, 1) << load.errors;
    EXPECT_NE(load.errors.find(reason), std::string::npos) << load.errors;
  }

  [[nodiscard]] nlohmann::json status() { return place_.station("status").json; }

  WorkPlace place_;
  SoftBatch batch_;
};

TEST_F(StationLoading, AnyFlippedBitIsNoticedAndTheGoodTokenIsTakenAfterwards) {
  place_.appliance.write_token(place_.token(), batch_);
  const Bytes good = batch_.sealed[0].octets;
  for (const std::size_t at : {std::size_t{3},
                               std::size_t{20},
                               std::size_t{70},
                               std::size_t{200},
                               good.size() / 2,
                               good.size() - 141,
                               good.size() - 70,
                               good.size() - 1}) {
    Bytes bad = good;
    bad[at] ^= 0x10;
    put(segment(0), bad);
    const Ran load = place_.load();
    EXPECT_EQ(load.status, 1) << at;
    EXPECT_EQ(load.json["batches"][0]["segments_here"], 1) << at;
  }
  put(segment(0), good);
  const Ran load = place_.load();
  EXPECT_EQ(load.status, 0) << load.errors;
  EXPECT_EQ(load.json["batches"][0]["records"], 4);
}

TEST_F(StationLoading, SaysHowManySegmentsAreHere) {
  place_.appliance.write_token(place_.token(), batch_);
  fs::remove(segment(1));
  const Ran first = place_.load();
  EXPECT_EQ(first.status, 1);
  EXPECT_NE(first.errors.find("1 of 2 segments"), std::string::npos) << first.errors;
  EXPECT_EQ(first.json["batches"][0]["absent"][0], 1);
  put(segment(1), batch_.sealed[1].octets);
  EXPECT_EQ(place_.load().status, 0);
}

TEST_F(StationLoading, RefusesASegmentOfAnotherBatch) {
  const SoftBatch other = place_.appliance.make_batch(paper_ses(4), 2);
  place_.appliance.write_token(place_.token(), batch_);
  put(segment(0), other.sealed[0].octets);
  expect_refused("batch");
}

TEST_F(StationLoading, RefusesSegmentsThatAreExchanged) {
  place_.appliance.write_token(place_.token(), batch_);
  put(segment(0), batch_.sealed[1].octets);
  expect_refused("index");
}

TEST_F(StationLoading, RefusesASegmentThatTheManifestDoesNotList) {
  place_.appliance.write_token(place_.token(), batch_);
  put(segment(0), place_.appliance.seal_segment(batch_, 0, batch_.segments[0]).octets);
  expect_refused("segment-not-listed");
}

TEST_F(StationLoading, RefusesAManifestThatListsASegmentTwice) {
  batch_.manifest.segments[1].container_id = batch_.manifest.segments[0].container_id;
  place_.appliance.write_token(place_.token(), batch_);
  const Ran load = place_.load();
  EXPECT_EQ(load.status, 1) << load.errors;
  EXPECT_TRUE(status()["batches"].empty());
}

TEST_F(StationLoading, AnotherContentUnderAKnownIdIsAnIncident) {
  place_.appliance.write_token(place_.token(), batch_);
  ASSERT_EQ(place_.load().status, 0);
  EXPECT_EQ(place_.load().status, 0) << "the same again is a no-op";
  put(segment(0),
      place_.appliance.seal_segment(batch_, 0, batch_.segments[0], batch_.sealed[0].id).octets);
  expect_refused("container-replayed");
  EXPECT_EQ(status()["incidents"][0]["kind"], "container-replayed");
  EXPECT_EQ(status()["batches"][0]["loaded"], 4);
}

TEST_F(StationLoading, ASecondManifestForABatchIsAnIncident) {
  place_.appliance.write_token(place_.token(), batch_);
  ASSERT_EQ(place_.load().status, 0);
  put(manifest(), place_.appliance.seal_manifest(batch_.manifest).octets);
  expect_refused("second-manifest");
  EXPECT_EQ(status()["incidents"][0]["kind"], "second-manifest");
}

TEST_F(StationLoading, RefusesAManifestForAnotherStation) {
  place_.appliance.write_token(place_.token(), batch_);
  batch_.manifest.station_id = SystemRandom{}.id<StationId>();
  put(manifest(), place_.appliance.seal_manifest(batch_.manifest).octets);
  expect_refused("station");
  EXPECT_TRUE(status()["batches"].empty());
}

TEST_F(StationLoading, RefusesATokenForAnotherStation) {
  batch_.manifest.station_id = SystemRandom{}.id<StationId>();
  place_.appliance.write_token(place_.token(), batch_);
  expect_refused("the token is for station");
}

TEST_F(StationLoading, RefusesWhatIsSealedToAnotherOrSignedByAStranger) {
  place_.appliance.write_token(place_.token(), batch_);
  place_.appliance.seal_to = crypto::SoftKey::generate().public_key();
  put(manifest(), place_.appliance.seal_manifest(batch_.manifest).octets);
  expect_refused("recipient");
  place_.appliance.seal_to.reset();
  crypto::SoftKey stranger = crypto::SoftKey::generate();
  place_.appliance.seal_by = &stranger;
  put(manifest(), place_.appliance.seal_manifest(batch_.manifest).octets);
  expect_refused("sender");
  EXPECT_TRUE(status()["batches"].empty());
}

TEST_F(StationLoading, RefusesFilesThatAreNone) {
  place_.appliance.write_token(place_.token(), batch_);
  const Bytes good = place_.appliance.seal_manifest(batch_.manifest).octets;
  put(manifest(), {});
  expect_refused("empty");
  put(manifest(), ByteView{good}.first(good.size() - 1));
  expect_refused("trailer");
  Bytes longer = good;
  longer.push_back(0);
  put(manifest(), longer);
  expect_refused("trailer");
  put(manifest(), Bytes(100'000));
  expect_refused("magic");
  fs::remove(manifest());
  fs::create_symlink(place_.pin_file(), manifest());
  EXPECT_EQ(place_.load().status, 1);
  EXPECT_TRUE(status()["batches"].empty());
}

TEST_F(StationLoading, RefusesWhatThisVersionCannotDo) {
  const token::Manifest good = batch_.manifest;
  batch_.manifest.family = token::Family::Tpm2;
  place_.appliance.write_token(place_.token(), batch_);
  expect_refused("family-unsupported");
  batch_.manifest = good;
  batch_.manifest.mode = token::Mode::OnDevice;
  place_.appliance.write_token(place_.token(), batch_);
  expect_refused("mode-unsupported");
  batch_.manifest = good;
  batch_.manifest.firmware_sha256 = Digest{};
  place_.appliance.write_token(place_.token(), batch_);
  expect_refused("firmware-unsupported");
  batch_.manifest = good;
  batch_.manifest.certification_declaration = Bytes(40, 0x30);
  place_.appliance.write_token(place_.token(), batch_);
  expect_refused("declaration-malformed");
  batch_.manifest = good;
  batch_.manifest.site = "elsewhere";
  place_.appliance.write_token(place_.token(), batch_);
  expect_refused("site");
}

TEST_F(StationLoading, NoticesThatItsOwnLogWasRolledBack) {
  batch_.manifest.station_log = token::StationLogSeen{1, 99, Digest{}};
  place_.appliance.write_token(place_.token(), batch_);
  expect_refused("station-log");
  EXPECT_EQ(status()["incidents"][0]["kind"], "station-log-behind");
}

TEST_F(StationLoading, UnloadsFromWhereTheApplianceIs) {
  place_.appliance.write_token(place_.token(), batch_);
  ASSERT_EQ(place_.load().status, 0);
  ASSERT_EQ(place_.unload().status, 0);
  const OpenedReceipts first = place_.appliance.open_receipts(place_.token());
  SoftBatch next =
      place_.appliance.make_batch({{"", *SeSerial::from_bytes(as_bytes("paper-x")), Bytes(32, 9)}});
  next.manifest.station_log = token::StationLogSeen{1, first.head.size, first.head.root};
  fs::remove_all(place_.token() / "keyferry");
  place_.appliance.write_token(place_.token(), next);
  ASSERT_EQ(place_.load().status, 0);
  ASSERT_EQ(place_.unload().status, 0);
  const OpenedReceipts second = place_.appliance.open_receipts(place_.token());
  EXPECT_EQ(second.from, first.to);
  EXPECT_GT(second.to, second.from);
}

TEST_F(StationLoading, ReturnsWhatWasNotUsedOnceItWasConfirmed) {
  place_.appliance.write_token(place_.token(), batch_);
  ASSERT_EQ(place_.load().status, 0);
  const std::string id = batch_.manifest.batch_id.hex();
  EXPECT_EQ(place_.station("return " + id + " --confirm " + std::string(32, '0')).status, 1);
  EXPECT_EQ(status()["batches"][0]["loaded"], 4);
  EXPECT_EQ(place_.station("return " + std::string(32, '1') + " --confirm " + id).status, 1);
  const Ran done = place_.station("return " + id + " --confirm " + id);
  EXPECT_EQ(done.status, 0);
  EXPECT_EQ(done.json["returned"], 4);
  ASSERT_EQ(place_.unload().status, 0);
  EXPECT_EQ(place_.appliance.sums(place_.appliance.open_receipts(place_.token())),
            (Sums{0, 0, 4, 0}));
}

TEST_F(StationLoading, TwoProcessesDoNotShareAHome) {
  const FileLock held{place_.home() / "lock"};
  EXPECT_EQ(place_.load().status, 3);
  EXPECT_EQ(place_.station("status").status, 0) << "looking is always allowed";
}

TEST(StationEnrolment, RefusesWhatDoesNotFit) {
  WorkPlace place;
  EXPECT_EQ(place.station("status").status, 2) << "no station there";
  ASSERT_EQ(place.init().status, 0);
  EXPECT_EQ(place.init().status, 0) << "the same again";
  EXPECT_EQ(place.station("init --name other --site factory-a").status, 1)
      << "another station is there";
  EXPECT_EQ(place.load().status, 1) << "not enrolled";
  ASSERT_EQ(place.station("enroll --to " + place.token().string()).status, 0);
  place.appliance.answer_enrolment(place.token());
  SoftAppliance stranger;
  EXPECT_EQ(
      place
          .station("enroll --from " + place.token().string() + " --fingerprint " + stranger.words())
          .status,
      1);
  EXPECT_EQ(
      place.station("enroll --from " + place.token().string() + " --fingerprint nonsense").status,
      1);
  EXPECT_EQ(place.station("status").json["enrolled"], false);
  EXPECT_EQ(place
                .station("enroll --from " + place.token().string() + " --fingerprint " +
                         place.appliance.words())
                .status,
            0);
  stranger.answer_enrolment(place.token());
  EXPECT_EQ(
      place
          .station("enroll --from " + place.token().string() + " --fingerprint " + stranger.words())
          .status,
      1)
      << "another appliance is pinned";
}

TEST(StationEnrolment, AWrongPinOpensNothing) {
  WorkPlace place;
  ASSERT_EQ(place.init().status, 0);
  const fs::path wrong = place.folder() / "wrong";
  std::ofstream{wrong} << "0000000\n";
  const Ran ran =
      place.station("enroll --to " + place.token().string() + " --pin-fd 4 4<" + wrong.string());
  EXPECT_EQ(ran.status, 1) << ran.errors;
  EXPECT_FALSE(fs::exists(place.token() / "keyferry"));
}

}  // namespace
}  // namespace keyferry::station::test
