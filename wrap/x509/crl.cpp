#include "wrap/x509/crl.h"

#include <utility>

#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

constexpr std::uint8_t kEnumerated = 0x0a;
constexpr std::uint8_t kVersion2[] = {0x02, 0x01, 0x01};
// RFC 5758 3.2: ecdsa-with-SHA256, no parameters.
constexpr std::uint8_t kEcdsaWithSha256[] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
constexpr std::uint8_t kOidAuthorityKeyIdentifier[] = {0x06, 0x03, 0x55, 0x1d, 0x23};
constexpr std::uint8_t kOidCrlNumber[] = {0x06, 0x03, 0x55, 0x1d, 0x14};
constexpr std::uint8_t kOidReasonCode[] = {0x06, 0x03, 0x55, 0x1d, 0x15};
constexpr std::size_t kUsualEntryBytes = 49;

Bytes reason_extension(std::uint8_t reason) {
  const Bytes code = der::octet_string(der::tlv(kEnumerated, ByteView{&reason, 1}));
  return der::sequence({der::sequence({kOidReasonCode, code})});
}

}  // namespace

CrlBuilder::CrlBuilder(CrlFacts facts, std::uint64_t entries) : facts_{std::move(facts)} {
  if (facts_.this_update >= facts_.next_update) {
    throw Error{Code::InvalidArgument, "a CRL's next update comes after its own time"};
  }
  revoked_.reserve(static_cast<std::size_t>(entries) * kUsualEntryBytes);
}

void CrlBuilder::add(ByteView serial, UtcMillis revoked, std::uint8_t reason) {
  if (serial.empty() || serial.size() > 20 || !is_crl_reason(reason)) {
    throw Error{Code::InvalidArgument, "a CRL entry with a serial or a reason that there is not"};
  }
  const Bytes number = der::integer(serial);
  const Bytes time = der::time(revoked);
  append(revoked_,
         reason == 0 ? der::sequence({number, time}) : der::sequence({number, time, reason_extension(reason)}));
}

Bytes CrlBuilder::to_be_signed() const {
  const Bytes key_identifier = der::tlv(der::context_primitive(0), facts_.issuer_key_identifier);
  const Bytes authority =
      der::sequence({kOidAuthorityKeyIdentifier, der::octet_string(der::sequence({key_identifier}))});
  const Bytes number = der::sequence({kOidCrlNumber, der::octet_string(der::integer(facts_.number))});
  const Bytes extensions = der::tlv(der::context_constructed(0), der::sequence({authority, number}));
  // RFC 5280 5.1.2.6: where nothing is revoked the list must be absent.
  const Bytes revoked = revoked_.empty() ? Bytes{} : der::sequence({revoked_});
  return der::sequence({kVersion2, kEcdsaWithSha256, facts_.issuer_name, der::time(facts_.this_update),
                        der::time(facts_.next_update), revoked, extensions});
}

}  // namespace keyferry::x509
