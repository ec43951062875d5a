#include "wrap/se/atecc608_payload.h"

#include <gtest/gtest.h>

#include <functional>

#include "keyferry/v1/atecc608.pb.h"
#include "tests/wrap/se/atecc608_example.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::se {
namespace {

Atecc608Payload example(bool attested) {
  Atecc608Payload payload{.serial = example_chip(), .profile = example_profile()};
  payload.nonce.fill(1);
  payload.cipher.fill(2);
  payload.mac.fill(3);
  payload.challenge.fill(4);
  payload.response.fill(5);
  if (attested) payload.attestation_key = crypto::SoftKey::generate().public_key();
  return payload;
}

std::string reason_of(const v1::Atecc608Payload& message) {
  const std::string octets = message.SerializeAsString();
  const auto parsed = parse_payload(as_bytes(octets));
  const auto* refusal = std::get_if<Refusal>(&parsed);
  return refusal != nullptr ? refusal->reason : "";
}

v1::Atecc608Payload message_of(const Atecc608Payload& payload) {
  const Bytes octets = serialise_payload(payload);
  v1::Atecc608Payload message;
  EXPECT_TRUE(message.ParseFromArray(octets.data(), static_cast<int>(octets.size())));
  return message;
}

TEST(Atecc608Payload, ReadsBack) {
  for (const bool attested : {false, true}) {
    const Atecc608Payload payload = example(attested);
    const Bytes octets = serialise_payload(payload);
    EXPECT_LE(octets.size(), kMaxAtecc608PayloadBytes);
    const auto parsed = parse_payload(octets);
    ASSERT_TRUE(std::holds_alternative<Atecc608Payload>(parsed));
    EXPECT_EQ(std::get<Atecc608Payload>(parsed), payload);
  }
}

TEST(Atecc608Payload, ReportsARandomNonceInsteadOfGuessing) {
  auto message = message_of(example(false));
  message.set_nonce_mode(v1::ATECC608_NONCE_MODE_RANDOM);
  EXPECT_EQ(reason_of(message), "atecc608-nonce-mode");
}

TEST(Atecc608Payload, RefusesWhatItDoesNotKnow) {
  using Spoil = std::function<void(v1::Atecc608Payload&)>;
  const std::vector<std::pair<std::string, Spoil>> table{
      {"atecc608-payload", [](auto& m) { m.set_version(2); }},
      {"atecc608-payload", [](auto& m) { m.clear_nonce_mode(); }},
      {"atecc608-payload", [](auto& m) { m.mutable_nonce()->pop_back(); }},
      {"atecc608-payload", [](auto& m) { m.mutable_cipher()->push_back('x'); }},
      {"atecc608-payload", [](auto& m) { m.clear_mac(); }},
      {"atecc608-payload", [](auto& m) { m.set_attestation_key(std::string(65, '\4')); }},
      {"serial-invalid", [](auto& m) { m.mutable_serial()->at(1) = '\x24'; }},
      {"atecc608-profile", [](auto& m) { m.mutable_profile()->set_target_slot(16); }},
      {"atecc608-slots", [](auto& m) { m.mutable_profile()->set_target_slot(4); }},
  };
  for (const auto& [reason, spoil] : table) {
    auto message = message_of(example(true));
    spoil(message);
    EXPECT_EQ(reason_of(message), reason);
  }
  Bytes more = serialise_payload(example(false));
  append(more, Bytes{0x58, 0x01});  // field 11: unknown
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_payload(more)));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_payload(Bytes(kMaxAtecc608PayloadBytes + 1))));
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_payload({})));
}

TEST(Atecc608Payload, IsRefusedAtEveryCutAndHasOneFormAfterAnyFlippedBit) {
  const Bytes octets = serialise_payload(example(false));
  for (std::size_t at = 0; at < octets.size(); ++at) {
    EXPECT_TRUE(std::holds_alternative<Refusal>(parse_payload(ByteView{octets}.first(at)))) << at;
    Bytes changed = octets;
    changed[at] ^= 0x01;
    const auto parsed = parse_payload(changed);
    if (const auto* payload = std::get_if<Atecc608Payload>(&parsed)) {
      EXPECT_EQ(serialise_payload(*payload), changed);
    }
  }
}

}  // namespace
}  // namespace keyferry::se
