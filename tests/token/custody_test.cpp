#include "token/custody.h"

#include <gtest/gtest.h>

#include <functional>

#include "keyferry/v1/revocation.pb.h"
#include "tests/token/token_fixture.h"

namespace keyferry::token {
namespace {

using test::id_filled;

CustodyStatement sample() {
  return {.appliance_id = id_filled<ApplianceId>(0xa1),
          .token_id = id_filled<TokenId>(0x70),
          .sequence = 2,
          .event = "handed-out",
          .direction = "out",
          .bag = "A-4711",
          .officer = 1,
          .receiver = 0,
          .receiver_name_hash = id_filled<Digest>(0x33),
          .due = UtcMillis{1'790'000'100'000},
          .time = UtcMillis{1'790'000'000'000},
          .previous = id_filled<Digest>(0x44)};
}

TEST(Custody, GoesThereAndBack) {
  EXPECT_EQ(std::get<CustodyStatement>(parse_custody(serialise(sample()))), sample());
}

TEST(Custody, RefusesEachFieldThatIsWrong) {
  const std::vector<std::pair<std::string, std::function<void(v1::CustodyStatement&)>>> cases{
      {"version", [](auto& m) { m.set_version(2); }},
      {"sequence", [](auto& m) { m.set_sequence(0); }},
      {"previous-sha256", [](auto& m) { m.clear_previous_sha256(); }},
      {"previous-sha256", [](auto& m) { m.set_sequence(1); }},
      {"direction", [](auto& m) { m.clear_direction(); }},
      {"direction", [](auto& m) { m.set_direction("sideways"); }},
      {"direction", [](auto& m) { m.set_event("returned"); }},
      {"event",
       [](auto& m) {
         m.set_event("eaten");
         m.clear_direction();
       }},
      {"bag", [](auto& m) { m.set_bag("A 4711"); }},
      {"token-id", [](auto& m) { m.set_token_id("short"); }},
      {"receiver-name-hash", [](auto& m) { m.set_receiver_name_hash("short"); }},
  };
  for (const auto& [field, spoil] : cases) {
    v1::CustodyStatement message;
    const Bytes octets = serialise(sample());
    ASSERT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
    spoil(message);
    const std::string spoilt = message.SerializeAsString();
    const auto parsed = parse_custody(as_bytes(spoilt));
    const auto* refusal = std::get_if<Refusal>(&parsed);
    ASSERT_NE(refusal, nullptr) << field;
    EXPECT_EQ(refusal->reason, field);
  }
}

}  // namespace
}  // namespace keyferry::token
