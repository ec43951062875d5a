#include "wrap/se/kdf2.h"

#include <botan/kdf.h>
#include <gtest/gtest.h>

#include "tests/wrap/se/example.h"
#include "wrap/se/kdf.h"

namespace keyferry::se {
namespace {

SecretBytes counting() {
  SecretBytes octets{32};
  std::uint8_t next = 0;
  for (std::uint8_t& octet : octets.expose_writable()) octet = next++;
  return octets;
}

TEST(KfKdf2, GivesTheExampleOfTheFormat) {
  const Bytes input = kdf_input("site-a", example_entry());
  EXPECT_EQ(in_format_md("k2-message-1"), "00000001" + to_hex(input) + "00000100");
  EXPECT_EQ(in_format_md("k2-message-2"), "00000002" + to_hex(input) + "00000100");
  EXPECT_EQ(to_hex(kf_kdf_2(counting(), input, 32).expose()), in_format_md("k2-key"));
}

TEST(KfKdf2, IsWhatBotanCallsSp800108) {
  const Bytes input = kdf_input("site-a", example_entry());
  const std::string_view label = "keyferry/v1/tk";
  ASSERT_TRUE(equal(ByteView{input}.first(label.size()), as_bytes(label)));
  ASSERT_EQ(input[label.size()], 0x00);
  const ByteView context = ByteView{input}.subspan(label.size() + 1);
  const SecretBytes master = counting();
  const auto kdf = Botan::KDF::create_or_throw("SP800-108-Counter(CMAC(AES-256))");
  for (const std::size_t size : {16UL, 17UL, 32UL, 48UL, 64UL}) {
    const auto expected = kdf->derive_key(size,
                                          master.expose().data(),
                                          master.size(),
                                          context.data(),
                                          context.size(),
                                          as_bytes(label).data(),
                                          label.size());
    EXPECT_TRUE(equal(kf_kdf_2(master, input, size).expose(), ByteView{expected})) << size;
  }
}

TEST(KfKdf2, RefusesOtherSizes) {
  EXPECT_THROW(static_cast<void>(kf_kdf_2(counting(), Bytes(8), 15)), Error);
  EXPECT_THROW(static_cast<void>(kf_kdf_2(counting(), Bytes(8), 65)), Error);
  EXPECT_THROW(static_cast<void>(kf_kdf_2(SecretBytes{20}, Bytes(8), 32)), Error);
}

TEST(Kdf, HasANameAndAMechanismEach) {
  for (const Kdf kdf : {Kdf::KfKdf1, Kdf::KfKdf2}) EXPECT_EQ(kdf_from_name(kdf_name(kdf)), kdf);
  EXPECT_EQ(kdf_name(Kdf::KfKdf1), "kf-kdf-1");
  EXPECT_EQ(kdf_name(Kdf::KfKdf2), "kf-kdf-2");
  EXPECT_EQ(kdf_from_name("kf-kdf-3"), std::nullopt);
  EXPECT_NE(kdf_mechanism(Kdf::KfKdf1), kdf_mechanism(Kdf::KfKdf2));
}

TEST(Kdf, IsRefusedWhereTheProbeDidNotSeeIt) {
  p11::ProbeResult facts;
  facts.ecb_data_derives = true;
  EXPECT_EQ(check_kdf(Kdf::KfKdf1, facts), std::nullopt);
  const auto refusal = check_kdf(Kdf::KfKdf2, facts);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, "hsm-no-kdf");
  EXPECT_NE(refusal->text.find("kf-kdf-2"), std::string::npos);
}

TEST(Kdf, NoEntryHasTheInputOfACheckValue) {
  EXPECT_EQ(to_hex(kdf_check_input()), in_format_md("kcv-input"));
  Entry nearest = example_entry();
  nearest.part = nearest.key_name = "kcv";
  nearest.serial = serial_of("kcv");
  nearest.generation = 0;
  EXPECT_TRUE(check_entry(nearest)) << "generation 0";
  EXPECT_NE(kdf_input("", nearest), kdf_check_input()) << "the family";
  EXPECT_EQ(family_from_name("kcv"), std::nullopt);
}

}  // namespace
}  // namespace keyferry::se
