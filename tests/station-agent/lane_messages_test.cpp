#include <gtest/gtest.h>

#include "keyferry/v1/lane.pb.h"
#include "station-agent/lane-p11/messages.h"

namespace keyferry::lane_p11 {
namespace {

const KeyHandle kHandle = *KeyHandle::from_bytes(Bytes(16, 7));

template <typename T>
T request_back(const T& value) {
  return std::get<T>(parse_request(serialise(Request{value})).value());
}

template <typename T>
T reply_back(const T& value) {
  return std::get<T>(parse_reply(serialise(Reply{value})).value());
}

TEST(LaneMessages, RequestsComeBackAsTheyWere) {
  EXPECT_EQ(request_back(Open{"pkcs11:serial=1"}).uri, "pkcs11:serial=1");
  EXPECT_EQ(request_back(Ask{kHandle, {kHandle}}).known.size(), 1U);
  EXPECT_EQ(request_back(Inject{kHandle, "dac", Bytes(80, 1)}).payload, Bytes(80, 1));
  EXPECT_EQ(
      request_back(WriteChain{kHandle, "dac", {Bytes(9, 1), Bytes(8, 2)}}).certificates.size(), 2U);
  EXPECT_EQ(request_back(ReadChain{kHandle}).key, kHandle);
  EXPECT_EQ(request_back(Sign{kHandle, SignedKind::Receipt, Bytes(5, 1)}).kind,
            SignedKind::Receipt);
}

TEST(LaneMessages, RepliesComeBackAsTheyWere) {
  EXPECT_EQ(reply_back(Opened{Bytes(16, '1'), "se", "maker", "model", true}).label, "se");
  EXPECT_EQ(reply_back(Asked{Holding::Foreign, "a key"}).holding, Holding::Foreign);
  EXPECT_EQ(reply_back(Chain{{Bytes(9, 1)}}).certificates.size(), 1U);
  EXPECT_EQ(reply_back(Signature{Bytes(64, 1)}).signature.size(), 64U);
  EXPECT_EQ(reply_back(Refused{Refusal{"wrong-se", "no", "hint"}, Bytes(4, '1')}).refusal.reason,
            "wrong-se");
  EXPECT_EQ(reply_back(Lost{"gone"}).text, "gone");
}

TEST(LaneMessages, TextFromAChipCannotHoldEscapeCodes) {
  EXPECT_EQ(reply_back(Opened{Bytes(4, '1'), "\x1b[2J", "", "", true}).label, "\\x1b[2J");
}

TEST(LaneMessages, RefusesSizesBeyondTheirBounds) {
  EXPECT_FALSE(
      parse_request(serialise(Request{Inject{kHandle, "dac", Bytes(kMaxPayloadBytes + 1)}})));
  EXPECT_FALSE(parse_request(serialise(Request{Inject{kHandle, "dac", {}}})));
  EXPECT_FALSE(parse_request(serialise(Request{Inject{kHandle, "DAC!", Bytes(80)}})));
  EXPECT_FALSE(parse_request(serialise(Request{WriteChain{kHandle, "dac", {}}})));
  EXPECT_FALSE(parse_request(
      serialise(Request{WriteChain{kHandle, "dac", std::vector<Bytes>(5, Bytes(9))}})));
  EXPECT_FALSE(parse_request(
      serialise(Request{Sign{kHandle, SignedKind::Receipt, Bytes(kMaxMessageBytes + 1)}})));
  EXPECT_FALSE(parse_reply(serialise(Reply{Signature{Bytes(63)}})));
  EXPECT_FALSE(parse_reply(serialise(Reply{Opened{Bytes(17), "", "", "", true}})));
}

TEST(LaneMessages, RefusesWhatIsNoMessage) {
  EXPECT_FALSE(parse_request({}));
  EXPECT_FALSE(parse_reply({}));
  EXPECT_FALSE(parse_request(Bytes(100, 0xff)));
  v1::LaneRequest unknown;
  unknown.mutable_sign()->set_key_handle(kHandle.str());
  unknown.mutable_sign()->set_message("x");
  EXPECT_FALSE(parse_request(to_bytes(as_bytes(unknown.SerializeAsString()))))
      << "a kind that is unspecified";
}

}  // namespace
}  // namespace keyferry::lane_p11
