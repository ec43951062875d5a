#include "tests/bench/lane_bench.h"

#include <fmt/format.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "station-agent/atecc608/packet.h"
#include "station-agent/atecc608_chip.h"
#include "station-agent/crew.h"
#include "tests/bench/report.h"
#include "tests/station-agent/soft_appliance.h"
#include "tests/station-agent/virtual_chip.h"

namespace keyferry::bench {
namespace {

namespace fs = std::filesystem;
using station::test::VirtualChip;
using std::chrono::milliseconds;

constexpr double kSecondsAnHour = 3600;
constexpr std::size_t kOpcodeAt = 1;  // of a packet

/// Adds up what the table says of each command that is sent.
class TableWire final : public atecc608::Wire {
 public:
  TableWire(std::unique_ptr<atecc608::Wire> wire, std::atomic<std::int64_t>& table_ms)
      : wire_{std::move(wire)}, table_ms_{table_ms} {}

  bool wake() override { return wire_->wake(); }

  void idle() override { wire_->idle(); }

  void sleep() override { wire_->sleep(); }

  bool send(ByteView packet) override {
    table_ms_ += vse::atecc608::execution_time(packet[kOpcodeAt], 0).count();
    return wire_->send(packet);
  }

  std::optional<Bytes> receive(atecc608::Millis limit) override { return wire_->receive(limit); }

  std::optional<Bytes> receive_again() override { return wire_->receive_again(); }

 private:
  std::unique_ptr<atecc608::Wire> wire_;
  std::atomic<std::int64_t>& table_ms_;
};

/// A station with a batch for these chips and nothing in them yet.
class Line {
 public:
  Line(const fs::path& folder, std::uint32_t lanes, std::uint32_t each) {
    fs::create_directories(folder);
    store_ = std::make_unique<station::Store>(folder / "store", store::Role::Writer, clock_);
    facts_ = std::make_unique<station::StationFacts>(
        station::StationFacts{token::station_id_of(signing_.public_key()),
                              "bench",
                              "bench",
                              token::Environment::Development,
                              signing_.public_key(),
                              agreement_.public_key()});
    store_->set_station(*facts_);
    add_chips(folder, lanes * each);
    load_batch();
    for (std::uint32_t lane = 0; lane < lanes; ++lane) add_lane(lane, each);
  }

  struct Result {
    double seconds = 0;
    double table_seconds = 0;
  };

  /// Runs all lanes; Error{Internal} when a device is not green.
  Result run() {
    station::Admission admission{*store_};
    std::atomic<std::int64_t> table_ms = 0;
    const station::LaneParts parts{
        *facts_, *store_, clock_, admission, [&](const station::SePlace& place) {
          return std::make_unique<station::Atecc608Chip>([&table_ms, address = *place.chip] {
            return std::make_unique<TableWire>(atecc608::open_wire(address), table_ms);
          });
        }};
    const std::vector<const station::FirmwareImage*> firmware(plans_.size(), nullptr);
    Result result;
    result.seconds = seconds_of([&] {
      const auto report = station::run_lanes(plans_, firmware, parts, expect_green, [] {});
      if (report.stopped) throw Error{Code::Refused, "stopped"};
    });
    result.table_seconds = static_cast<double>(table_ms) / 1000;
    return result;
  }

 private:
  static void expect_green(const station::DeviceOutcome& outcome) {
    if (outcome.colour != station::DeviceColour::Green)
      throw Error{Code::Internal, "a device is not green: " + outcome.text};
  }

  void add_chips(const fs::path& folder, std::uint32_t count) {
    for (std::uint32_t number = 1; number <= count; ++number) {
      chips_.push_back(
          std::make_unique<VirtualChip>(folder / ("chip-" + std::to_string(number)), number));
      chips_.back()->power({}, vse::atecc608::Timing::Table);
    }
  }

  void load_batch() {
    station::test::SoftAppliance appliance;
    appliance.adopt({"bench",
                     "bench",
                     token::Environment::Development,
                     signing_.public_key(),
                     agreement_.public_key(),
                     Bytes(16),
                     clock_.now()});
    std::vector<station::test::AteccChip> known;
    for (const auto& chip : chips_)
      known.push_back({chip->serial, chip->transport_key, chip->attestation_key});
    const auto batch = appliance.make_batch(
        known, station::test::example_profile(), static_cast<std::uint32_t>(known.size()));
    store_->add_manifest(
        batch.manifest, SystemRandom{}.id<ContainerId>(), SystemRandom{}.id<Digest>());
    station::Store::SegmentLoad segment{*store_, batch.manifest.batch_id, SegmentIndex{0}};
    for (const token::Record& record : batch.segments[0]) {
      if (const auto refusal = segment.add(record)) throw to_error(*refusal);
    }
    segment.commit(batch.sealed[0].id, batch.sealed[0].digest);
  }

  void add_lane(std::uint32_t lane, std::uint32_t each) {
    station::LanePlan plan{LaneNo{lane + 1}, token::Family::Atecc608, 1, {}};
    for (std::uint32_t i = 0; i < each; ++i) {
      station::SePlace place;
      const auto address = atecc608::parse_chip_address(chips_[lane * each + i]->address());
      place.chip = std::get<atecc608::ChipAddress>(address);
      plan.places.push_back(std::move(place));
    }
    plans_.push_back(std::move(plan));
  }

  SystemClock clock_;
  crypto::SoftKey signing_ = crypto::SoftKey::generate();
  crypto::SoftKey agreement_ = crypto::SoftKey::generate();
  std::unique_ptr<station::Store> store_;
  std::unique_ptr<station::StationFacts> facts_;
  std::vector<std::unique_ptr<VirtualChip>> chips_;
  std::vector<station::LanePlan> plans_;
};

/// The rounds' lines, each in a folder of its own.
class Lanes {
 public:
  Lanes(const LaneOptions& options, fs::path folder)
      : options_{options}, folder_{std::move(folder)} {}

  double one_lane() {
    last_one_ = run(1);
    return options_.count / last_one_.seconds * kSecondsAnHour;
  }

  /// Of the same commands as the last one_lane().
  [[nodiscard]] double table() const {
    return options_.count / last_one_.table_seconds * kSecondsAnHour;
  }

  double all_lanes() {
    return options_.lanes * options_.count / run(options_.lanes).seconds * kSecondsAnHour;
  }

 private:
  Line::Result run(std::uint32_t lanes) {
    const fs::path folder = folder_ / ("line-" + std::to_string(++lines_));
    const auto result = Line{folder, lanes, options_.count}.run();
    fs::remove_all(folder);
    return result;
  }

  const LaneOptions& options_;
  fs::path folder_;
  Line::Result last_one_;
  int lines_ = 0;
};

}  // namespace

int run_lane(const LaneOptions& options) {
  const WorkFolder folder{options.folder};
  Lanes lanes{options, folder.path()};
  static_cast<void>(lanes.one_lane());
  const std::vector<Side> sides{{"figure", [&] { return lanes.one_lane(); }},
                                {"raw", [&] { return lanes.table(); }},
                                {"all_lanes", [&] { return lanes.all_lanes(); }}};
  const Rounds rounds = alternate(options.rounds, "devices/h", sides);
  const double one = median(rounds.rates[0]);
  const double multiple = options.lanes * one / median(rounds.rates[2]);
  const Json more{
      {"count", options.count},
      {"lanes", options.lanes},
      {"station_share_percent", rounded(100 * (1 - one / median(rounds.rates[1])), 2)},
      {"all_lanes_times_one", rounded(multiple, 3)},
      {"measured", "a device from its serial to its durable receipt, chips in table timing"},
      {"raw_measured", "the table's times of the same commands"}};
  print_result(result_json("lane", sides, rounds, more), options.json);
  if (!options.json) {
    fmt::print("station's own share {:.2f} %, {} lanes take {:.3f} times the time of one\n",
               more.at("station_share_percent").get<double>(),
               options.lanes,
               multiple);
  }
  return EXIT_SUCCESS;
}

}  // namespace keyferry::bench
