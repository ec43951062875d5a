#include "appliance/front/inventory_csv.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace keyferry::appliance {
namespace {

constexpr const char* kHeader =
    "family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data\n";

Registry registry_with_master() {
  Registry registry;
  registry.masters.push_back({"m1", "kf-kdf-1"});
  registry.masters.push_back({.name = "chips", .kdf = "kf-kdf-1", .family = se::Family::Atecc608});
  registry.vendor_keys.push_back({"acme", "aes-kwp", Bytes(16), {}});
  registry.vendor_keys.push_back({"acme-rsa", "rsa-oaep-sha1", {}, {}});
  return registry;
}

CsvReader::Source source_of(std::string text) {
  return [text = std::move(text), at = std::size_t{0}](std::span<std::uint8_t> out) mutable {
    const std::size_t size = std::min(out.size(), text.size() - at);
    std::copy_n(text.begin() + static_cast<std::ptrdiff_t>(at), size, out.begin());
    at += size;
    return size;
  };
}

/// The first answer behind the header.
std::variant<std::monostate, InventoryLine, CsvProblem> first(const std::string& text) {
  static const Registry kRegistry = registry_with_master();
  InventoryCsv csv{source_of(text), kRegistry};
  return csv.next();
}

CsvProblem problem_of(const std::string& text) {
  const auto answer = first(text);
  const auto* problem = std::get_if<CsvProblem>(&answer);
  return problem != nullptr ? *problem : CsvProblem{};
}

TEST(InventoryCsv, TakesARowWithAllColumns) {
  const auto answer = first(std::string{kHeader} + "pkcs11,30313233,P-1,L7,att,SN-1,derived:m1,\n");
  const auto& entry = std::get<InventoryLine>(answer).entry;
  EXPECT_EQ(to_string(entry.serial.bytes()), "0123");
  EXPECT_EQ(entry.part, "P-1");
  EXPECT_EQ(entry.lot, "L7");
  EXPECT_EQ(entry.key_name, "att");
  EXPECT_EQ(entry.device_serial, "SN-1");
  EXPECT_EQ(entry.transport_name, "m1");
  EXPECT_EQ(entry.generation, 1U);
}

// A point of P-256: FIPS 186's generator.
constexpr const char* kPoint =
    "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

std::string chip_row(const std::string& fields) {
  return "family,se_serial,part_number,lot,key_name,device_serial,transport,transport_data,attestation_key\n" + fields +
         "\n";
}

TEST(InventoryCsv, TakesAnAtecc608WithItsAttestationKey) {
  const auto answer = first(chip_row(std::string{"atecc608,0123a5c7e90b2d4fee,,,,,derived:chips,,"} + kPoint));
  ASSERT_TRUE(std::holds_alternative<InventoryLine>(answer)) << std::get<CsvProblem>(answer).text;
  const auto& entry = std::get<InventoryLine>(answer).entry;
  EXPECT_EQ(entry.family, se::Family::Atecc608);
  EXPECT_EQ(entry.serial.hex(), "0123a5c7e90b2d4fee");
  ASSERT_TRUE(entry.attestation_key);
  EXPECT_EQ(to_hex(entry.attestation_key->point()), kPoint);
}

TEST(InventoryCsv, TakesAnAtecc608WithoutAnAttestationKey) {
  for (const std::string& text :
       {chip_row("atecc608,0123a5c7e90b2d4fee,,,,,derived:chips,,"),
        std::string{kHeader} + "atecc608,0123a5c7e90b2d4fee,,,,,derived:chips,\n"}) {
    const auto answer = first(text);
    ASSERT_TRUE(std::holds_alternative<InventoryLine>(answer)) << std::get<CsvProblem>(answer).text;
    EXPECT_FALSE(std::get<InventoryLine>(answer).entry.attestation_key);
  }
}

TEST(InventoryCsv, RefusesAttestationKeysThatAreNone) {
  const auto column = [](const std::string& fields) { return problem_of(chip_row(fields)).column; };
  const std::string chip = "atecc608,0123a5c7e90b2d4fee,,,,,derived:chips,,";
  EXPECT_EQ(column(chip + "zz"), "attestation_key");
  EXPECT_EQ(column(chip + std::string{kPoint}.substr(2)), "attestation_key");
  EXPECT_EQ(column(chip + std::string{kPoint}.replace(129, 1, "4")), "attestation_key");
  EXPECT_EQ(column(std::string{"pkcs11,30,,,,,derived:m1,,"} + kPoint), "attestation_key");
}

TEST(InventoryCsv, RefusesAMasterOfAnotherFamily) {
  EXPECT_EQ(problem_of(chip_row("atecc608,0123a5c7e90b2d4fee,,,,,derived:m1,,")).column, "transport");
  EXPECT_EQ(problem_of(chip_row("pkcs11,30,,,,,derived:chips,,")).column, "transport");
}

TEST(InventoryCsv, TakesADeliveredKeyWithItsBlob) {
  const std::string blob(80, 'a');
  const auto answer = first(std::string{kHeader} + "pkcs11,30,,,,,delivered:acme," + blob + "\n");
  const auto& entry = std::get<InventoryLine>(answer).entry;
  EXPECT_EQ(entry.transport_kind, se::TransportKind::Delivered);
  EXPECT_EQ(entry.transport_name, "acme");
  EXPECT_EQ(to_hex(entry.transport_data), blob);
}

TEST(InventoryCsv, TakesColumnsInAnyOrder) {
  const auto answer = first(
      "transport,lot,family,transport_data,device_serial,key_name,part_number,se_serial\n"
      "derived:m1,L7,pkcs11,,,,P,3031\n");
  EXPECT_EQ(std::get<InventoryLine>(answer).entry.lot, "L7");
}

TEST(InventoryCsv, ReadsAnEmptyKeyNameAsDac) {
  const auto answer = first(std::string{kHeader} + "pkcs11,30,,,,,derived:m1,\n");
  EXPECT_EQ(std::get<InventoryLine>(answer).entry.key_name, "dac");
}

TEST(InventoryCsv, TellsSerialsApartThatDifferBehindOctetEleven) {
  static const Registry kRegistry = registry_with_master();
  InventoryCsv csv{
      source_of(std::string{kHeader} + "pkcs11,303132333435363738393061,,,,,derived:m1,\n"
                                       "pkcs11,303132333435363738393062,,,,,derived:m1,\n"),
      kRegistry};
  const auto one = csv.next();
  const auto two = csv.next();
  EXPECT_NE(std::get<InventoryLine>(one).entry.serial, std::get<InventoryLine>(two).entry.serial);
}

TEST(InventoryCsv, GoesOnAfterAProblemInOneLine) {
  static const Registry kRegistry = registry_with_master();
  InventoryCsv csv{
      source_of(std::string{kHeader} + "pkcs11,xx,,,,,derived:m1,\npkcs11,30,,,,,derived:m1,\n"),
      kRegistry};
  EXPECT_TRUE(std::holds_alternative<CsvProblem>(csv.next()));
  EXPECT_TRUE(std::holds_alternative<InventoryLine>(csv.next()));
}

struct Case {
  const char* name;
  std::string text;
  std::uint64_t line;
  std::string column;
};

class InventoryProblems : public testing::TestWithParam<Case> {};

TEST_P(InventoryProblems, AreRefusedWithLineAndColumn) {
  const CsvProblem problem = problem_of(GetParam().text);
  EXPECT_EQ(problem.line, GetParam().line) << problem.text;
  EXPECT_EQ(problem.column, GetParam().column) << problem.text;
}

std::string row(const std::string& text) {
  return kHeader + text + "\n";
}

INSTANTIATE_TEST_SUITE_P(
    Table,
    InventoryProblems,
    testing::Values(
        Case{"NoHeader", "", 1, ""},
        Case{"LackingColumn", "family,se_serial\n", 1, "part_number"},
        Case{"StrangeColumn", "family,colour\n", 1, "colour"},
        Case{"ColumnTwice", "family,family\n", 1, "family"},
        Case{"TooFewFields", row("pkcs11,30"), 2, ""},
        Case{"TooManyFields", row("pkcs11,30,,,,,derived:m1,,"), 2, ""},
        Case{"UnknownFamily", row("abacus,30,,,,,derived:m1,"), 2, "family"},
        Case{"FamilyNotYetSupported", row("tpm2,30,,,,,derived:m1,"), 2, "family"},
        Case{"SerialNotHex", row("pkcs11,3g,,,,,derived:m1,"), 2, "se_serial"},
        Case{"SerialOddHex", row("pkcs11,303,,,,,derived:m1,"), 2, "se_serial"},
        Case{"SerialEmpty", row("pkcs11,,,,,,derived:m1,"), 2, "se_serial"},
        Case{"SerialTooLong",
             row("pkcs11," + std::string(34, '3') + ",,,,,derived:m1,"),
             2,
             "se_serial"},
        Case{"PartWithTag", row("pkcs11,30,<script>,,,,derived:m1,"), 2, "part_number"},
        Case{"LotWithEscape", row("pkcs11,30,,\x1b[31m,,,derived:m1,"), 2, "lot"},
        Case{"KeyNameWithSpace", row("pkcs11,30,,,a b,,derived:m1,"), 2, "key_name"},
        Case{"DeviceSerialTag", row("pkcs11,30,,,,<script>,derived:m1,"), 2, "device_serial"},
        Case{"DeviceSerialFormula", row("pkcs11,30,,,,=cmd(),derived:m1,"), 2, "device_serial"},
        Case{"DeviceSerialQuotedLines",
             row("pkcs11,30,,,,\"a\nb\",derived:m1,"),
             2,
             "device_serial"},
        Case{"UnknownMaster", row("pkcs11,30,,,,,derived:m2,"), 2, "transport"},
        Case{"UnknownTransport", row("pkcs11,30,,,,,sent:m1,"), 2, "transport"},
        Case{"TransportWithoutName", row("pkcs11,30,,,,,derived,"), 2, "transport"},
        Case{"DeliveredByNobody", row("pkcs11,30,,,,,delivered:other,aa"), 2, "transport"},
        Case{"DeliveredWithoutBlob", row("pkcs11,30,,,,,delivered:acme-rsa,"), 2, "transport_data"},
        Case{"DeliveredBlobOfAnotherSize", row("pkcs11,30,,,,,delivered:acme,aa"), 2, "transport_data"},
        Case{"PublicNotYet", row("pkcs11,30,,,,,public,aa"), 2, "transport"},
        Case{"TransportDataNotHex", row("pkcs11,30,,,,,derived:m1,zz"), 2, "transport_data"},
        Case{"DerivedWithData", row("pkcs11,30,,,,,derived:m1,aa"), 2, "transport_data"}),
    [](const auto& tested) { return std::string{tested.param.name}; });

TEST(InventoryCsv, NeverRepeatsEscapeCodesInAMessage) {
  EXPECT_EQ(problem_of(row("pkcs11,30,,\x1b[31m,,,derived:m1,")).text.find('\x1b'),
            std::string::npos);
}

}  // namespace
}  // namespace keyferry::appliance
