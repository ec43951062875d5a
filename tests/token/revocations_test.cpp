#include "token/revocations.h"

#include <gtest/gtest.h>

#include "keyferry/v1/revocation.pb.h"
#include "tests/token/token_fixture.h"

namespace keyferry::token {
namespace {

using test::id_filled;

RevocationList sample() {
  return {.appliance_id = id_filled<ApplianceId>(0xa1),
          .environment = Environment::Development,
          .number = 7,
          .time = UtcMillis{1'790'000'000'000},
          .batches = {id_filled<BatchId>(0x01), id_filled<BatchId>(0x02)},
          .stations = {id_filled<StationId>(0x51)}};
}

std::string refused(const v1::RevocationList& message) {
  const std::string octets = message.SerializeAsString();
  const auto parsed = parse_revocations(as_bytes(octets));
  const auto* refusal = std::get_if<Refusal>(&parsed);
  return refusal == nullptr ? "" : refusal->reason;
}

v1::RevocationList message_of(const RevocationList& list) {
  v1::RevocationList message;
  const Bytes octets = serialise(list);
  EXPECT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  return message;
}

TEST(Revocations, GoThereAndBack) {
  const auto parsed = parse_revocations(serialise(sample()));
  EXPECT_EQ(std::get<RevocationList>(parsed), sample());
}

TEST(Revocations, RefuseWhatIsNotAscendingOrHasAWrongLengthOrNoNumber) {
  auto message = message_of(sample());
  message.mutable_batches()->SwapElements(0, 1);
  EXPECT_EQ(refused(message), "batches");
  message = message_of(sample());
  message.add_batches(message.batches(1));
  EXPECT_EQ(refused(message), "batches");
  message = message_of(sample());
  message.add_stations("short");
  EXPECT_EQ(refused(message), "stations");
  message = message_of(sample());
  message.set_number(0);
  EXPECT_EQ(refused(message), "number");
  message = message_of(sample());
  message.set_version(2);
  EXPECT_EQ(refused(message), "version");
  message = message_of(sample());
  message.set_environment(v1::ENVIRONMENT_UNSPECIFIED);
  EXPECT_EQ(refused(message), "environment");
}

TEST(Revocations, RefuseMoreThanTheirLimit) {
  auto message = message_of(sample());
  for (std::size_t i = 0; i <= kMaxRevoked; ++i) message.add_batches(std::string(16, 'x'));
  EXPECT_EQ(refused(message), "batches");
}

TEST(Revocations, AreNotSerialisedWhenTheirReaderWouldRefuseThem) {
  RevocationList list = sample();
  std::swap(list.batches[0], list.batches[1]);
  EXPECT_THROW(static_cast<void>(serialise(list)), Error);
}

}  // namespace
}  // namespace keyferry::token
