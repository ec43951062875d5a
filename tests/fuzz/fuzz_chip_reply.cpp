// What an ATECC608 or what stands in its place may send: response packets, and what is read back
// out of its certificate slots.
#include "station-agent/atecc608/packet.h"
#include "station-agent/atecc608_certificates.h"
#include "wrap/crypto/soft_key.h"

namespace {

/// A certificate is expected of the chip's slots, so none has to be in the record.
keyferry::token::Record empty_record() {
  static const keyferry::crypto::PublicKey key = keyferry::crypto::SoftKey::generate().public_key();
  return {.record_no = {},
          .se_serial = *keyferry::SeSerial::from_hex("0123a5c7e90b2d4fee"),
          .key_name = "dac",
          .payload = {},
          .public_key = key,
          .certificate = {},
          .issuers = {},
          .challenge = {}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const keyferry::ByteView input{data, size};
  static_cast<void>(keyferry::atecc608::decode(input));
  keyferry::se::Atecc608Profile profile;
  for (const auto form :
       {keyferry::se::CertificateForm::Plain, keyferry::se::CertificateForm::Compressed}) {
    profile.certificate_form = form;
    static_cast<void>(keyferry::station::certificates_in(profile, input, empty_record()));
  }
  return 0;
}
