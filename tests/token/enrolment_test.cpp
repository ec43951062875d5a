#include "token/enrolment.h"

#include <gtest/gtest.h>

#include "keyferry/v1/common.pb.h"
#include "keyferry/v1/enrolment.pb.h"
#include "tests/token/sample_items.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

using crypto::SignatureKind;
using test::reason_of;

TEST(SignedBytesForm, ComesBackAsItWas) {
  const SignedBytes value = test::sample_signed_card();
  const auto parsed = parse_signed_bytes(encode(value));
  ASSERT_EQ(reason_of(parsed), "");
  EXPECT_EQ(std::get<SignedBytes>(parsed), value);
}

TEST(SignedBytesForm, VerifiesForItsKindAndKeyOnly) {
  const SignedBytes value = test::sample_signed_card();
  const auto key = test::key_of(0x61).public_key();
  EXPECT_TRUE(verify_signed(value, SignatureKind::ApplianceCard, key));
  EXPECT_FALSE(verify_signed(value, SignatureKind::TokenCard, key));
  EXPECT_FALSE(verify_signed(value, SignatureKind::ApplianceCard, test::key_of(0x62).public_key()));
  SignedBytes changed = value;
  changed.payload.back() = static_cast<std::uint8_t>(changed.payload.back() ^ 1);
  EXPECT_FALSE(verify_signed(changed, SignatureKind::ApplianceCard, key));
  changed = value;
  changed.signatures[0].signature[10] =
      static_cast<std::uint8_t>(changed.signatures[0].signature[10] ^ 1);
  EXPECT_FALSE(verify_signed(changed, SignatureKind::ApplianceCard, key));
  changed = value;
  changed.signatures[0].key_id = test::id_filled<KeyId>(1);
  EXPECT_FALSE(verify_signed(changed, SignatureKind::ApplianceCard, key));
}

TEST(SignedBytesForm, KeepsToItsLimits) {
  SignedBytes value = test::sample_signed_card();
  value.signatures.resize(kMaxSignatures, value.signatures[0]);
  EXPECT_EQ(reason_of(parse_signed_bytes(encode(value))), "");
  value.signatures.resize(kMaxSignatures + 1, value.signatures[0]);
  EXPECT_THROW(encode(value), Error);
  value.signatures.clear();
  EXPECT_THROW(encode(value), Error);
  value = test::sample_signed_card();
  value.payload = test::pattern(kMaxSignedPayloadBytes);
  EXPECT_EQ(reason_of(parse_signed_bytes(encode(value))), "");
  value.payload.push_back(0);
  EXPECT_THROW(encode(value), Error);
  EXPECT_EQ(reason_of(parse_signed_bytes(Bytes(kMaxSignedBytes + 1, 0))), "size");
  EXPECT_EQ(reason_of(parse_signed_bytes(Bytes{})), "size");
  EXPECT_EQ(reason_of(parse_signed_bytes(Bytes(100, 0xff))), "protobuf");
}

TEST(SignedBytesForm, RefusesHundredsOfThousandsOfEmptySignaturesBeforeItFillsMemory) {
  Bytes octets;
  while (octets.size() < kMaxSignedPayloadBytes)
    append(octets, as_bytes(std::string_view{"\x12\x00", 2}));
  EXPECT_EQ(reason_of(parse_signed_bytes(octets)), "signatures");
}

TEST(Enrolment, ValuesComeBackAsTheyWere) {
  const auto card = parse_appliance_card(serialise(test::sample_card()));
  ASSERT_EQ(reason_of(card), "");
  EXPECT_EQ(std::get<ApplianceCard>(card), test::sample_card());
  const auto request = parse_enrolment_request(serialise(test::sample_request()));
  ASSERT_EQ(reason_of(request), "");
  EXPECT_EQ(std::get<EnrolmentRequest>(request), test::sample_request());
  const EnrolmentAnswer answer =
      test::sample_answer();  // its card is signed: another signature each time
  const auto answer_back = parse_enrolment_answer(serialise(answer));
  ASSERT_EQ(reason_of(answer_back), "");
  EXPECT_EQ(std::get<EnrolmentAnswer>(answer_back), answer);
  const auto token_card = parse_token_card(serialise(test::sample_token_card()));
  ASSERT_EQ(reason_of(token_card), "");
  EXPECT_EQ(std::get<TokenCard>(token_card), test::sample_token_card());
}

TEST(Enrolment, ATokenWithoutABatchHasACardToo) {
  TokenCard card = test::sample_token_card();
  card.batch_id.reset();
  const auto back = parse_token_card(serialise(card));
  ASSERT_EQ(reason_of(back), "");
  EXPECT_EQ(std::get<TokenCard>(back), card);
}

TEST(Enrolment, ACardIsItsLogKeys) {
  EXPECT_EQ(reason_of(open_appliance_card(test::sample_signed_card())), "");
  ApplianceCard card = test::sample_card();
  card.appliance_id = test::id_filled<ApplianceId>(1);
  EXPECT_THROW(serialise(card), Error);
  auto stranger = test::stranger_key();
  EXPECT_EQ(reason_of(open_appliance_card(sign_payload(
                stranger, SignatureKind::ApplianceCard, serialise(test::sample_card())))),
            "signature");
}

TEST(Enrolment, ARequestIsSignedByTheKeyThatItBrings) {
  EXPECT_EQ(reason_of(open_enrolment_request(test::sample_signed_request())), "");
  auto agreement = test::key_of(0x72);
  EXPECT_EQ(reason_of(open_enrolment_request(sign_payload(
                agreement, SignatureKind::EnrolmentRequest, serialise(test::sample_request())))),
            "signature");
  auto signing = test::key_of(0x71);
  EXPECT_EQ(reason_of(open_enrolment_request(sign_payload(
                signing, SignatureKind::EnrolmentAnswer, serialise(test::sample_request())))),
            "signature");
}

TEST(Enrolment, ARequestHasTwoDifferentKeys) {
  EnrolmentRequest request = test::sample_request();
  request.agreement_key = request.signing_key;
  EXPECT_THROW(serialise(request), Error);
}

TEST(Enrolment, AnAnswerIsForTheStationThatItNames) {
  EnrolmentAnswer answer = test::sample_answer();
  answer.station_id = test::id_filled<StationId>(1);
  EXPECT_THROW(serialise(answer), Error);
}

TEST(Enrolment, ARequestIsRefusedByItsField) {
  struct Case {
    std::function<void(pb::EnrolmentRequest&)> change;
    const char* reason;
  };

  const std::vector<Case> cases{
      {[](auto& m) { m.set_version(0); }, "version"},
      {[](auto& m) { m.set_version(2); }, "version"},
      {[](auto& m) { m.set_name("Line 1"); }, "name"},
      {[](auto& m) { m.set_name("a\x1b[31m"); }, "name"},
      {[](auto& m) { m.clear_site(); }, "site"},
      {[](auto& m) { m.set_environment(pb::ENVIRONMENT_UNSPECIFIED); }, "environment"},
      {[](auto& m) { m.set_signing_key("x"); }, "signing-key"},
      {[](auto& m) { m.set_agreement_key(std::string(65, '\4')); }, "agreement-key"},
      {[](auto& m) { m.set_nonce("short"); }, "nonce"},
      {[](auto& m) { m.set_time_ms(-5); }, "time-ms"},
  };
  for (const Case& wrong : cases) {
    pb::EnrolmentRequest message;
    const Bytes octets = serialise(test::sample_request());
    ASSERT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
    wrong.change(message);
    EXPECT_EQ(reason_of(parse_enrolment_request(as_bytes(message.SerializeAsString()))),
              wrong.reason);
  }
  EXPECT_EQ(reason_of(parse_enrolment_request(Bytes(kMaxEnrolmentBytes + 1, 0))), "size");
}

}  // namespace
}  // namespace keyferry::token
