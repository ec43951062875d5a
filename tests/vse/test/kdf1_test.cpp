#include "tests/vse/kdf1.h"

#include <gtest/gtest.h>

#include "wrap/base/error.h"

namespace keyferry::vse {
namespace {

TransportKeyInput demo() {
  TransportKeyInput input;
  input.master = "demo";
  input.part = "SOFTHSM2";
  input.serial = to_bytes(as_bytes("0123456789abcdef"));
  return input;
}

// Both values: Python, hashlib.sha256 and struct.pack('>H') over the text of FORMAT.md.
TEST(VirtualChipKdf, GivesTheBlocksThatAnIndependentScriptGives) {
  EXPECT_EQ(to_hex(kf_kdf_1_blocks(demo())),
            "01393b64c8c478a5b27d954bcb4afaca02393b64c8c478a5b27d954bcb4afaca");
}

TEST(VirtualChipKdf, TakesAnEmptyPartAndALaterGeneration) {
  TransportKeyInput input = demo();
  input.part = "";
  input.generation = 2;
  EXPECT_EQ(to_hex(kf_kdf_1_blocks(input)),
            "0147f4736fc1c8fb9b8af34154fe69ab0247f4736fc1c8fb9b8af34154fe69ab");
}

TEST(VirtualChipKdf, KeepsSerialsApartThatDifferOnlyBehindOctet11) {
  TransportKeyInput other = demo();
  other.serial.back() ^= 0x01;
  EXPECT_NE(kf_kdf_1_blocks(demo()), kf_kdf_1_blocks(other));
}

TEST(VirtualChipKdf, TakesTrailingBlanksOffASerial) {
  EXPECT_EQ(pkcs11_serial("A 1             "), to_bytes(as_bytes("A 1")));
}

TEST(VirtualChipKdf, RefusesASerialThatIsNone) {
  for (const std::string_view text : {"", "    ", " A1", "A\x01", "0123456789abcdef0"}) {
    EXPECT_THROW(static_cast<void>(pkcs11_serial(text)), Error) << text;
  }
}

}  // namespace
}  // namespace keyferry::vse
