#include "station-agent/firmware.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/support/temp_folder.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::station {
namespace {

class Firmware : public testing::Test {
 protected:
  void write(const std::string& name, ByteView octets) {
    std::ofstream{folder_ / name, std::ios::binary} << as_chars(octets);
  }

  FirmwareImage read() { return read_firmware(folder_ / "image", folder_ / "signature"); }

  keyferry::test::TempFolder folder_;
  crypto::SoftKey key_ = crypto::SoftKey::generate();
};

TEST_F(Firmware, TakesASignatureAsDerAndAsRAndS) {
  const Bytes image(3 * 1024 * 1024 + 5, 0x5A);
  write("image", image);
  const Bytes signature = key_.sign_digest(crypto::sha256(image));
  for (const Bytes& form : {signature, crypto::raw_to_der_signature(signature)}) {
    write("signature", form);
    const FirmwareImage firmware = read();
    EXPECT_EQ(firmware.sha256, crypto::sha256(image));
    EXPECT_TRUE(crypto::verify(key_.public_key(), firmware.sha256, firmware.signature));
  }
}

TEST_F(Firmware, RefusesASignatureOfNeitherForm) {
  write("image", Bytes(10));
  for (const std::size_t size : {0U, 63U, 65U, 72U, 200U}) {
    write("signature", Bytes(size, 1));
    EXPECT_THROW(static_cast<void>(read()), Error) << size;
  }
}

TEST_F(Firmware, SaysWhenAFileIsNotThere) {
  write("signature", Bytes(64, 1));
  EXPECT_THROW(static_cast<void>(read()), Error);
}

}  // namespace
}  // namespace keyferry::station
