#include "token/preparation.h"

#include <gtest/gtest.h>

#include "keyferry/v1/preparation.pb.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::token {
namespace {

crypto::PublicKey some_key() { return crypto::SoftKey::generate().public_key(); }

PreparationReceipt some_receipt() {
  return {.appliance_id = *ApplianceId::from_bytes(Bytes(32, 1)),
          .environment = Environment::Rehearsal,
          .plan_digest = crypto::sha256(as_bytes("plan")),
          .serial = Bytes(9, 2),
          .revision = Bytes(4, 3),
          .configuration_sha256 = crypto::sha256(as_bytes("configuration")),
          .part = "ATECC608B",
          .lot = "L7",
          .key_name = "dac",
          .vendor = "room",
          .delivered = Bytes(384, 4),
          .check_value = Bytes(16, 5),
          .attestation_key = some_key(),
          .time = UtcMillis{1'700'000'000'000}};
}

TEST(PreparationReceipt, ReadsBackWhatItWrites) {
  PreparationReceipt receipt = some_receipt();
  EXPECT_EQ(std::get<PreparationReceipt>(parse_preparation_receipt(serialise(receipt))), receipt);
  receipt.attestation_key.reset();
  EXPECT_EQ(std::get<PreparationReceipt>(parse_preparation_receipt(serialise(receipt))), receipt);
}

TEST(PreparationReceipt, NamesTheFieldThatIsWrong) {
  const Bytes good = serialise(some_receipt());
  const auto reason_after = [&](const auto& change) {
    v1::PreparationReceipt message;
    EXPECT_TRUE(message.ParseFromArray(good.data(), static_cast<int>(good.size())));
    change(message);
    const auto parsed = parse_preparation_receipt(as_bytes(message.SerializeAsString()));
    return std::holds_alternative<Refusal>(parsed) ? std::get<Refusal>(parsed).reason : "";
  };
  EXPECT_EQ(reason_after([](auto& m) { m.set_version(2); }), "version");
  EXPECT_EQ(reason_after([](auto& m) { m.set_serial("short"); }), "serial");
  EXPECT_EQ(reason_after([](auto& m) { m.set_check_value("short"); }), "check-value");
  EXPECT_EQ(reason_after([](auto& m) { m.set_attestation_key(std::string(65, 4)); }), "attestation-key");
  EXPECT_EQ(reason_after([](auto& m) { m.set_delivered(std::string(2000, 1)); }), "delivered");
  EXPECT_EQ(reason_after([](auto& m) { m.set_part("=1+1"); }), "part");
  EXPECT_EQ(reason_after([](auto& m) { m.clear_environment(); }), "environment");
}

TEST(PreparationReceipt, IsItsPreparersAlone) {
  crypto::SoftKey preparer = crypto::SoftKey::generate();
  const SignedBytes receipt =
      sign_payload(preparer, crypto::SignatureKind::Preparation, serialise(some_receipt()));
  EXPECT_TRUE(std::holds_alternative<PreparationReceipt>(
      open_preparation_receipt(receipt, preparer.public_key())));
  const auto other = open_preparation_receipt(receipt, some_key());
  EXPECT_EQ(std::get<Refusal>(other).reason, "signature");
  const SignedBytes of_another_kind =
      sign_payload(preparer, crypto::SignatureKind::Receipt, serialise(some_receipt()));
  EXPECT_TRUE(std::holds_alternative<Refusal>(
      open_preparation_receipt(of_another_kind, preparer.public_key())));
}

TEST(PreparationLine, IsStrictBase64) {
  crypto::SoftKey preparer = crypto::SoftKey::generate();
  const SignedBytes receipt =
      sign_payload(preparer, crypto::SignatureKind::Preparation, serialise(some_receipt()));
  const std::string line = preparation_line(receipt);
  EXPECT_LE(line.size(), kMaxPreparationLine);
  EXPECT_EQ(std::get<SignedBytes>(parse_preparation_line(line)), receipt);
  EXPECT_EQ(std::get<Refusal>(parse_preparation_line(line + " ")).reason, "base64");
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_preparation_line("")));
}

TEST(PreparationOrder, OfAWrongSizeIsRefused) {
  EXPECT_TRUE(std::holds_alternative<Refusal>(parse_preparation_order(Bytes(20'000, 0))));
  EXPECT_TRUE(std::holds_alternative<Refusal>(open_preparation_order(Bytes{})));
}

}  // namespace
}  // namespace keyferry::token
