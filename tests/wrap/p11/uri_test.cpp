#include "wrap/p11/uri.h"

#include <gtest/gtest.h>

namespace keyferry::p11 {
namespace {

Uri parsed(std::string_view text) {
  auto result = parse_uri(text);
  if (const auto* refusal = std::get_if<Refusal>(&result))
    ADD_FAILURE() << text << ": " << refusal->text;
  return std::holds_alternative<Uri>(result) ? std::get<Uri>(result) : Uri{};
}

struct Refused {
  std::string_view text;
  std::string_view reason;
};

class UriRefused : public ::testing::TestWithParam<Refused> {};

TEST_P(UriRefused, SaysWhy) {
  const auto result = parse_uri(GetParam().text);
  ASSERT_TRUE(std::holds_alternative<Refusal>(result)) << GetParam().text;
  EXPECT_EQ(std::get<Refusal>(result).reason, GetParam().reason) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Table,
    UriRefused,
    ::testing::Values(Refused{"", "uri-scheme"},
                      Refused{"pkcs11", "uri-scheme"},
                      Refused{"https://token=a", "uri-scheme"},
                      Refused{"pkcs11:token", "uri-syntax"},
                      Refused{"pkcs11:=x", "uri-syntax"},
                      Refused{"pkcs11:to ken=x", "uri-syntax"},
                      Refused{"pkcs11:token=a;", "uri-syntax"},
                      Refused{"pkcs11:token=a;;serial=b", "uri-syntax"},
                      Refused{"pkcs11:token=a?module-path=/m&", "uri-syntax"},
                      Refused{"pkcs11:token=a;token=b", "uri-attribute-twice"},
                      Refused{"pkcs11:?pin-source=/a&pin-source=/b", "uri-attribute-twice"},
                      Refused{"pkcs11:token=a b", "uri-value"},
                      Refused{"pkcs11:token=a%2", "uri-value"},
                      Refused{"pkcs11:token=a%zz", "uri-value"},
                      Refused{"pkcs11:token=a/b", "uri-value"},
                      Refused{"pkcs11:token=a#b", "uri-value"},
                      Refused{"pkcs11:type=secret", "uri-value"},
                      Refused{"pkcs11:slot-id=0x1", "uri-value"},
                      Refused{"pkcs11:slot-id=", "uri-value"},
                      Refused{"pkcs11:slot-id=99999999999999999999999", "uri-value"},
                      Refused{"pkcs11:library-version=1.", "uri-value"},
                      Refused{"pkcs11:token=a?pin-value=1234", "uri-pin-value"}));

TEST(Uri, EmptyMatchesEverything) {
  EXPECT_EQ(parsed("pkcs11:"), Uri{});
}

TEST(Uri, TakesTheSchemeInAnyCase) {
  EXPECT_EQ(parsed("PKCS11:token=a").token, "a");
}

TEST(Uri, DecodesEveryPathAttribute) {
  const Uri uri = parsed(
      "pkcs11:token=Software%20PKCS%2311%20softtoken;manufacturer=Snake%20Oil,%20Inc.;serial=01;"
      "model=1.0;"
      "library-manufacturer=Oil;library-description=Soft%20Token;library-version=3.1;object=my-key;"
      "type=private;"
      "id=%69%95%3E%5C;slot-id=327;slot-description=Sun%20Metaslot;slot-manufacturer=Sun");
  EXPECT_EQ(uri.token, "Software PKCS#11 softtoken");
  EXPECT_EQ(uri.manufacturer, "Snake Oil, Inc.");
  EXPECT_EQ(uri.serial, "01");
  EXPECT_EQ(uri.model, "1.0");
  EXPECT_EQ(uri.library_manufacturer, "Oil");
  EXPECT_EQ(uri.library_description, "Soft Token");
  EXPECT_EQ(uri.library_version, "3.1");
  EXPECT_EQ(uri.object, "my-key");
  EXPECT_EQ(uri.type, "private");
  EXPECT_EQ(uri.id, (Bytes{0x69, 0x95, 0x3E, 0x5C}));
  EXPECT_EQ(uri.slot_id, 327U);
  EXPECT_EQ(uri.slot_description, "Sun Metaslot");
  EXPECT_EQ(uri.slot_manufacturer, "Sun");
}

TEST(Uri, DecodesTheQuery) {
  const Uri uri = parsed(
      "pkcs11:object=a?module-path=/usr/lib/libp11.so&module-name=soft&pin-source=file:/run/p?in");
  EXPECT_EQ(uri.module_path, "/usr/lib/libp11.so");
  EXPECT_EQ(uri.module_name, "soft");
  EXPECT_EQ(uri.pin_source, "file:/run/p?in");
}

TEST(Uri, TakesReservedCharactersThatDelimitNothing) {
  EXPECT_EQ(parsed("pkcs11:token=:[]@!$'()*+,=&").token, ":[]@!$'()*+,=&");
}

TEST(Uri, KeepsWhatItDoesNotKnow) {
  const Uri uri = parsed("pkcs11:token=a;x-rack=7?x-a=1&x-a=2");
  ASSERT_EQ(uri.unknown_path.size(), 1U);
  EXPECT_EQ(uri.unknown_path[0], (std::pair<std::string, std::string>{"x-rack", "7"}));
  EXPECT_EQ(uri.unknown_query.size(), 2U);
}

TEST(Uri, SurvivesPrintingAndParsing) {
  constexpr std::string_view kText =
      "pkcs11:token=a%20b%3Bc;manufacturer=%FF;serial=01;object=x%2Fy;type=cert;id=%00%01;slot-id="
      "5;x-rack=7"
      "?pin-source=file:/run/pin&module-path=/usr/lib/m.so&x-a=1%262";
  EXPECT_EQ(to_string(parsed(kText)), kText);
}

TEST(Uri, NeverRepeatsAPinInARefusal) {
  const auto result = parse_uri("pkcs11:token=a?pin-value=98765");
  EXPECT_EQ(std::get<Refusal>(result).text.find("98765"), std::string::npos);
}

TEST(Uri, RefusesMoreThanFourKilobytes) {
  const auto result = parse_uri("pkcs11:token=" + std::string(5000, 'a'));
  EXPECT_EQ(std::get<Refusal>(result).reason, "uri-too-long");
}

TEST(Uri, IsAnUsageErrorWhereItMustBeRight) {
  try {
    static_cast<void>(uri_or_throw("pkcs12:"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::Usage);
  }
}

TEST(PinFile, IsNamedByFileUriOrAbsolutePath) {
  EXPECT_EQ(pin_file(parsed("pkcs11:?pin-source=file:/run/pin")), "/run/pin");
  EXPECT_EQ(pin_file(parsed("pkcs11:?pin-source=file:///run/pin")), "/run/pin");
  EXPECT_EQ(pin_file(parsed("pkcs11:?pin-source=/run/pin")), "/run/pin");
}

TEST(PinFile, IsNeverACommandOrAnotherMachinesFile) {
  for (const char* text : {"pkcs11:",
                           "pkcs11:?pin-source=|/bin/cat",
                           "pkcs11:?pin-source=prompt",
                           "pkcs11:?pin-source=file://host/pin",
                           "pkcs11:?pin-source=https:/x",
                           "pkcs11:?pin-source=file:run/pin",
                           "pkcs11:?pin-source=/run/%00pin"}) {
    EXPECT_EQ(pin_file(parsed(text)), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace keyferry::p11
