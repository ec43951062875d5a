#include "token/ordered_crew.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>

namespace keyferry::token {
namespace {

class OrderedCrewTest : public testing::TestWithParam<unsigned> {};

TEST_P(OrderedCrewTest, HandsOutWhatItWasGivenInItsOrder) {
  constexpr std::size_t kPlaces = 5;
  constexpr int kGiven = 1000;
  std::vector<int> ring(kPlaces);
  OrderedCrew crew{GetParam(), kPlaces, [&](unsigned, std::size_t place) { ring[place] *= 3; }};
  int given = 0, taken = 0;
  while (taken < kGiven) {
    while (given < kGiven && !crew.full()) {
      ring[crew.next_place()] = given++;
      crew.give();
    }
    ASSERT_EQ(ring[crew.wait_oldest()], 3 * taken);
    crew.take();
    ++taken;
  }
  EXPECT_TRUE(crew.empty());
}

TEST_P(OrderedCrewTest, GivesEachThreadItsOwnNumber) {
  const unsigned threads = GetParam();
  std::vector<std::atomic<int>> inside(threads);
  std::atomic<bool> two{false};
  OrderedCrew crew{threads, 8, [&](unsigned thread, std::size_t) {
                     if (++inside.at(thread) != 1) two = true;
                     --inside.at(thread);
                   }};
  for (int i = 0; i < 2000; ++i) {
    if (crew.full()) {
      static_cast<void>(crew.wait_oldest());
      crew.take();
    }
    crew.give();
  }
  EXPECT_FALSE(two);
}

TEST_P(OrderedCrewTest, ThrowsWhatTheWorkThrewWhereItsTurnComes) {
  std::vector<int> ring(4);
  OrderedCrew crew{GetParam(), ring.size(), [&](unsigned, std::size_t place) {
                     if (ring[place] == 2) throw std::runtime_error{"two"};
                   }};
  for (int i = 0; i < 4; ++i) {
    ring[crew.next_place()] = i;
    crew.give();
  }
  for (int i = 0; i < 2; ++i) {
    static_cast<void>(crew.wait_oldest());
    crew.take();
  }
  EXPECT_THROW(static_cast<void>(crew.wait_oldest()), std::runtime_error);
}

TEST_P(OrderedCrewTest, MayBeLeftWithWorkInIt) {
  std::atomic<int> done{0};
  {
    OrderedCrew crew{GetParam(), 64, [&](unsigned, std::size_t) { ++done; }};
    for (int i = 0; i < 64; ++i) crew.give();
  }
  EXPECT_LE(done, 64);
}

TEST_P(OrderedCrewTest, StretchesCoverEachIndexOnce) {
  for (const std::size_t count : {0U, 1U, 7U, 16U, 100U}) {
    std::vector<std::atomic<int>> seen(count);
    for_each_stretch(GetParam(), count, 16, [&](std::size_t from, std::size_t to) {
      for (std::size_t i = from; i < to; ++i) ++seen[i];
    });
    for (const auto& times : seen) EXPECT_EQ(times, 1) << count;
  }
}

TEST_P(OrderedCrewTest, AStretchMayThrow) {
  const auto work = [](std::size_t from, std::size_t) {
    if (from == 32) throw std::runtime_error{"here"};
  };
  EXPECT_THROW(for_each_stretch(GetParam(), 100, 16, work), std::runtime_error);
}

INSTANTIATE_TEST_SUITE_P(Threads, OrderedCrewTest, testing::Values(1U, 2U, 5U));

TEST(UsualThreads, AreAtLeastOneAndFew) {
  EXPECT_GE(usual_threads(), 1U);
  EXPECT_LE(usual_threads(), 4U);
}

}  // namespace
}  // namespace keyferry::token
