#include "tests/vse/chip_keys.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/vse/test/own_process.h"
#include "wrap/base/random.h"

namespace keyferry::vse {
namespace {

using p11::Mechanism;
using p11::Template;

constexpr Mechanism kKwp = Mechanism::AesKeyWrapPad;  // what RFC 5649 is called in SoftHSM

/// Sentences about a chip whose transport key was placed by `wanted`.
std::string abuses_of(const Template& wanted) {
  OpenToken token{"chip", test_support::pin(test_support::kUserPin)};
  SystemRandom random;
  SecretBytes value{32};
  random.fill(value.expose_writable());
  Template with_value = wanted;
  const p11::Key key = token.session->create_object(with_value.secret_value(value));
  std::string all;
  for (const std::string& sentence : try_abuses(*token.session, key, value, kKwp))
    all += sentence + "\n";
  return all;
}

std::string expect_mentioned(const std::string& sentences, std::string_view what) {
  if (sentences.find(what) != std::string::npos) return "";
  return "not noticed: " + std::string{what} + "; noticed:\n" + sentences;
}

class ChipAbuses : public testing::Test {
 protected:
  ChipAbuses() { store_.init_token_outside("chip"); }

  test_support::SoftHsmFolder store_;
};

TEST_F(ChipAbuses, AreAllRefusedByAChipThatWasPreparedRight) {
  EXPECT_TRUE(in_own_process(
      store_.config(), [] { return abuses_of(transport_key_template("kf-transport/dac", kKwp)); }));
}

TEST_F(ChipAbuses, AreNoticedWithoutTheUnwrapTemplate) {
  EXPECT_TRUE(in_own_process(store_.config(), [] {
    const std::string sentences = abuses_of(
        transport_key_template("kf-transport/dac", kKwp).remove(p11::Attribute::UnwrapTemplate));
    return expect_mentioned(sentences, "as extractable was let through") +
           expect_mentioned(sentences, "as a readable generic secret was let through");
  }));
}

TEST_F(ChipAbuses, AreNoticedWhenTheKeyCanBeChanged) {
  EXPECT_TRUE(in_own_process(store_.config(), [] {
    return expect_mentioned(
        abuses_of(transport_key_template("kf-transport/dac", kKwp).modifiable(true)),
        "switching CKA_DECRYPT on");
  }));
}

TEST_F(ChipAbuses, AreNoticedWhenTheKeyCanBeCopied) {
  EXPECT_TRUE(in_own_process(store_.config(), [] {
    return expect_mentioned(
        abuses_of(transport_key_template("kf-transport/dac", kKwp).copyable(true)),
        "a copy of the transport key");
  }));
}

TEST_F(ChipAbuses, AreNoticedWhenTheKeyAlsoWraps) {
  EXPECT_TRUE(in_own_process(store_.config(), [] {
    return expect_mentioned(abuses_of(transport_key_template("kf-transport/dac", kKwp).wrap(true)),
                            "wrapping with the transport key");
  }));
}

TEST_F(ChipAbuses, AreNoticedWhenAnyMechanismMayBeUsed) {
  EXPECT_TRUE(in_own_process(store_.config(), [] {
    return expect_mentioned(abuses_of(transport_key_template("kf-transport/dac", kKwp)
                                          .remove(p11::Attribute::AllowedMechanisms)),
                            "unwrapping by another mechanism");
  }));
}

}  // namespace
}  // namespace keyferry::vse
