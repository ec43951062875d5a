#include "wrap/se/atecc608_profile.h"

#include <gtest/gtest.h>

#include <functional>

#include "keyferry/v1/atecc608.pb.h"
#include "tests/wrap/se/atecc608_example.h"

namespace keyferry::se {
namespace {

// Octets of the configuration zone: facts page section 2.1.
constexpr std::size_t kSlotConfig = 20;
constexpr std::size_t kKeyConfig = 96;

struct Spoiled {
  const char* name;
  const char* reason;
  const char* told;  // stands in the text
  std::function<void(Atecc608Profile&)> spoil;
};

void flip(Atecc608Profile& profile, std::size_t octet, unsigned bit) {
  profile.configuration.at(octet) ^= static_cast<std::uint8_t>(1U << bit);
}

TEST(Atecc608Profile, OfTheExampleIsGood) {
  const auto refusal = check_profile(example_profile());
  EXPECT_FALSE(refusal) << refusal->text;
}

class SpoiledProfile : public ::testing::TestWithParam<Spoiled> {};

TEST_P(SpoiledProfile, IsRefusedByName) {
  Atecc608Profile profile = example_profile();
  GetParam().spoil(profile);
  const auto refusal = check_profile(profile);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->reason, GetParam().reason);
  EXPECT_NE(refusal->text.find(GetParam().told), std::string::npos) << refusal->text;
}

INSTANTIATE_TEST_SUITE_P(All,
                         SpoiledProfile,
                         ::testing::Values(Spoiled{"TransportWantsARandomNonce",
                                                   "atecc608-req-random",
                                                   "ReqRandom 1",
                                                   [](auto& p) { flip(p, kKeyConfig + 8, 6); }},
                                           Spoiled{"TransportIsPrivate",
                                                   "atecc608-transport-slot",
                                                   "Private",
                                                   [](auto& p) { flip(p, kKeyConfig + 8, 0); }},
                                           Spoiled{"TransportIsAnAesKey",
                                                   "atecc608-transport-slot",
                                                   "KeyType",
                                                   [](auto& p) { flip(p, kKeyConfig + 8, 2); }},
                                           Spoiled{"TransportNeedsAuth",
                                                   "atecc608-transport-slot",
                                                   "ReqAuth",
                                                   [](auto& p) { flip(p, kKeyConfig + 8, 7); }},
                                           Spoiled{"TransportIsNotSecret",
                                                   "atecc608-transport-slot",
                                                   "IsSecret",
                                                   [](auto& p) { flip(p, kSlotConfig + 8, 7); }},
                                           Spoiled{"TransportIsReadEncrypted",
                                                   "atecc608-transport-slot",
                                                   "EncryptRead",
                                                   [](auto& p) { flip(p, kSlotConfig + 8, 6); }},
                                           Spoiled{"TransportHasAReadKey",
                                                   "atecc608-transport-slot",
                                                   "ReadKey",
                                                   [](auto& p) { flip(p, kSlotConfig + 8, 3); }},
                                           Spoiled{"TransportIsWrittenEncrypted",
                                                   "atecc608-transport-slot",
                                                   "WriteConfig",
                                                   [](auto& p) { flip(p, kSlotConfig + 9, 6); }},
                                           Spoiled{"TransportIsRolled",
                                                   "atecc608-transport-slot",
                                                   "WriteConfig",
                                                   [](auto& p) { flip(p, kSlotConfig + 9, 5); }},
                                           Spoiled{"TransportIsWrittenInClear",
                                                   "atecc608-transport-slot",
                                                   "WriteConfig",
                                                   [](auto& p) { flip(p, kSlotConfig + 9, 7); }},
                                           Spoiled{"TargetTakesNoPrivWrite",
                                                   "atecc608-target-slot",
                                                   "bit 14",
                                                   [](auto& p) { flip(p, kSlotConfig + 1, 6); }},
                                           Spoiled{"TargetHasAnotherWriteKey",
                                                   "atecc608-target-slot",
                                                   "WriteKey is 5, must be 4",
                                                   [](auto& p) { flip(p, kSlotConfig + 1, 0); }},
                                           Spoiled{"TargetIsNotSecret",
                                                   "atecc608-target-slot",
                                                   "IsSecret",
                                                   [](auto& p) { flip(p, kSlotConfig, 7); }},
                                           Spoiled{"TargetSignsInside",
                                                   "atecc608-target-slot",
                                                   "internal",
                                                   [](auto& p) { flip(p, kSlotConfig, 1); }},
                                           Spoiled{"TargetSignsNothing",
                                                   "atecc608-target-slot",
                                                   "external",
                                                   [](auto& p) { flip(p, kSlotConfig, 0); }},
                                           Spoiled{"TargetIsNotPrivate",
                                                   "atecc608-target-slot",
                                                   "Private",
                                                   [](auto& p) { flip(p, kKeyConfig, 0); }},
                                           Spoiled{"TargetHidesItsPublicKey",
                                                   "atecc608-target-slot",
                                                   "PubInfo",
                                                   [](auto& p) { flip(p, kKeyConfig, 1); }},
                                           Spoiled{"TargetCannotBeLocked",
                                                   "atecc608-target-slot",
                                                   "Lockable",
                                                   [](auto& p) { flip(p, kKeyConfig, 5); }},
                                           Spoiled{"TargetWantsARandomNonce",
                                                   "atecc608-target-slot",
                                                   "ReqRandom",
                                                   [](auto& p) { flip(p, kKeyConfig, 6); }},
                                           Spoiled{"AttestationSignsWhatItIsGiven",
                                                   "atecc608-attestation-slot",
                                                   "external",
                                                   [](auto& p) { flip(p, kSlotConfig + 2, 0); }},
                                           Spoiled{"AttestationSignsNothing",
                                                   "atecc608-attestation-slot",
                                                   "internal",
                                                   [](auto& p) { flip(p, kSlotConfig + 2, 1); }},
                                           Spoiled{"AttestationKeyCanBeWritten",
                                                   "atecc608-attestation-slot",
                                                   "PrivWrite",
                                                   [](auto& p) { flip(p, kSlotConfig + 3, 6); }},
                                           Spoiled{"SameSlotTwice",
                                                   "atecc608-slots",
                                                   "slot 4 is named for two uses",
                                                   [](auto& p) { p.target_slot = 4; }},
                                           Spoiled{"SlotOutOfRange",
                                                   "atecc608-slots",
                                                   "slot 16",
                                                   [](auto& p) { p.secure_boot_slot = 16; }},
                                           Spoiled{"CertificateInAKeySlot",
                                                   "atecc608-certificate-slots",
                                                   "slots 8 to 15",
                                                   [](auto& p) { p.certificate_slots = {6}; }},
                                           Spoiled{"CertificateInASlotThatIsNeverWritten",
                                                   "atecc608-certificate-slots",
                                                   "slot 9",
                                                   [](auto& p) {
                                                     p.certificate_slots = {8, 9};
                                                   }},
                                           Spoiled{"CompressedInTwoSlots",
                                                   "atecc608-certificate-slots",
                                                   "exactly one",
                                                   [](auto& p) {
                                                     p.certificate_form =
                                                         CertificateForm::Compressed;
                                                   }},
                                           Spoiled{"SecureBootOfAnotherSlot",
                                                   "atecc608-secure-boot-slot",
                                                   "must be 11",
                                                   [](auto& p) { p.secure_boot_slot = 11; }}),
                         [](const auto& param) { return std::string{param.param.name}; });

TEST(Atecc608Profile, DiffersByNameInOctetsThatMatter) {
  const Atecc608Profile profile = example_profile();
  auto chip = profile.configuration;
  EXPECT_TRUE(configuration_differences(profile, chip).empty());
  chip[0] = 0xEE;              // serial number
  chip[7] = 0x02;              // revision
  chip[16] = 0x6A;             // address
  chip[52] = 0x00;             // a counter
  chip[86] = 0x00;             // data zone locked
  chip[88] = 0xFE;             // slot 0 locked
  chip[kSlotConfig + 4] ^= 1;  // slot 2: of no use to us
  EXPECT_TRUE(configuration_differences(profile, chip).empty());
  chip[19] = 0x04;
  chip[kSlotConfig + 8] ^= 0x10;
  chip[70] = 0x02;
  chip[kKeyConfig + 1] ^= 0x01;
  EXPECT_EQ(configuration_differences(profile, chip),
            (std::vector<std::string>{"ChipMode: plan 00, chip 04",
                                      "SlotConfig[4]: plan 9f8f, chip 8f8f",
                                      "SecureBoot: plan 01f0, chip 02f0",
                                      "KeyConfig[0]: plan 3300, chip 3301"}));
}

TEST(Atecc608Profile, IsOffByOneBitInEveryOctetThatItCompares) {
  const Atecc608Profile profile = example_profile();
  std::size_t compared = 0;
  for (std::size_t octet = 0; octet < profile.configuration.size(); ++octet) {
    const auto differs = [&](unsigned bit) {
      auto chip = profile.configuration;
      chip.at(octet) ^= static_cast<std::uint8_t>(1U << bit);
      return configuration_differences(profile, chip).size();
    };
    const std::size_t first = differs(0);
    if (first != 0) ++compared;
    for (unsigned bit = 1; bit < 8; ++bit) EXPECT_EQ(differs(bit), first) << octet;
  }
  // CountMatch, ChipMode, UseLock, VolatileKeyPermission; SecureBoot, ChipOptions; seven slots
  EXPECT_EQ(compared, 4U + 2U * 2U + 7U * 4U);
}

TEST(CertificateArea, IsTheSlotsTogether) {
  Atecc608Profile profile = example_profile();
  EXPECT_EQ(certificate_area_bytes(profile), 416U + 72U + 72U);
  const Bytes leaf(300, 0xAA);
  const Bytes issuer(250, 0xBB);
  const auto alone = plain_certificate_area(profile, leaf, {issuer});
  ASSERT_TRUE(std::holds_alternative<Bytes>(alone));
  EXPECT_EQ(std::get<Bytes>(alone).size(), 2U + 300U + 2U);
  profile.certificate_chain = CertificateChain::Whole;
  const auto whole = plain_certificate_area(profile, leaf, {issuer});
  ASSERT_TRUE(std::holds_alternative<Bytes>(whole));
  Bytes expected;
  append_u16be_prefixed(expected, leaf);
  append_u16be_prefixed(expected, issuer);
  append_u16be(expected, 0);
  EXPECT_EQ(std::get<Bytes>(whole), expected);
}

TEST(CertificateArea, IsRefusedWhenTheChainDoesNotFit) {
  Atecc608Profile profile = example_profile();
  const auto fits = plain_certificate_area(profile, Bytes(558), {});
  ASSERT_TRUE(std::holds_alternative<Bytes>(fits));
  EXPECT_EQ(std::get<Bytes>(fits).size(), 560U) << "no room for an end mark, and none is needed";
  const auto one_more = plain_certificate_area(profile, Bytes(559), {});
  ASSERT_TRUE(std::holds_alternative<Refusal>(one_more));
  EXPECT_EQ(std::get<Refusal>(one_more).reason, "atecc608-certificate-room");
}

TEST(Atecc608Profile, ReadsBackFromItsMessage) {
  Atecc608Profile profile = example_profile();
  for (const auto& change : std::vector<std::function<void(Atecc608Profile&)>>{
           [](Atecc608Profile&) {},
           [](Atecc608Profile& p) { p.attestation_slot.reset(); },
           [](Atecc608Profile& p) { p.secure_boot_slot.reset(); },
           [](Atecc608Profile& p) { p.certificate_chain = CertificateChain::Whole; },
           [](Atecc608Profile& p) { p.certificate_form = CertificateForm::Compressed; }}) {
    change(profile);
    v1::Atecc608Profile message;
    to_message(profile, message);
    const auto read = profile_from_message(message);
    ASSERT_TRUE(std::holds_alternative<Atecc608Profile>(read));
    EXPECT_EQ(std::get<Atecc608Profile>(read), profile);
  }
}

TEST(Atecc608Profile, RefusesAMessageOutOfBounds) {
  for (const auto& spoil : std::vector<std::function<void(v1::Atecc608Profile&)>>{
           [](v1::Atecc608Profile& m) { m.mutable_configuration()->pop_back(); },
           [](v1::Atecc608Profile& m) { m.set_transport_slot(16); },
           [](v1::Atecc608Profile& m) { m.set_attestation_slot(256); },
           [](v1::Atecc608Profile& m) { m.add_certificate_slots(16); },
           [](v1::Atecc608Profile& m) { m.clear_certificate_form(); },
           [](v1::Atecc608Profile& m) { m.clear_certificate_chain(); }}) {
    v1::Atecc608Profile message;
    to_message(example_profile(), message);
    spoil(message);
    const auto read = profile_from_message(message);
    ASSERT_TRUE(std::holds_alternative<Refusal>(read));
    EXPECT_EQ(std::get<Refusal>(read).reason, "atecc608-profile");
  }
}

}  // namespace
}  // namespace keyferry::se
