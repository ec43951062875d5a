#include "wrap/x509/internal/pkcs7.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include <climits>
#include <memory>
#include <string>

#include "wrap/x509/bundle.h"
#include "wrap/x509/der.h"

namespace keyferry::x509 {
namespace {

Refusal pkcs7_refusal(const std::string& why) {
  return Refusal{
      "pkcs7", "the PKCS#7 file " + why, "give a PKCS#7 with certificates in it, or PEM"};
}

struct Free {
  void operator()(PKCS7* pkcs7) const { PKCS7_free(pkcs7); }

  void operator()(unsigned char* octets) const { OPENSSL_free(octets); }
};

/// How many elements stand where the certificates do (RFC 2315 9.1: ContentInfo, SignedData's
/// version, digest algorithms, content, then [0]), counted no further than `most` + 1. Nothing for
/// BER, where a walk by lengths has no end.
std::optional<std::size_t> count_in_der(ByteView octets, std::size_t most) {
  const auto info = der::only_element(octets, der::kSequence);
  if (!info) return std::nullopt;
  der::Reader outer{info->content};
  if (!outer.next(der::kOid)) return std::nullopt;
  const auto content = outer.next(der::context_constructed(0));
  const auto data = content ? der::only_element(content->content, der::kSequence) : std::nullopt;
  if (!data) return std::nullopt;
  der::Reader fields{data->content};
  if (!fields.next(der::kInteger) || !fields.next(der::kSet) || !fields.next(der::kSequence))
    return std::nullopt;
  const auto certificates = fields.next(der::context_constructed(0));
  if (!certificates) return 0;
  der::Reader list{certificates->content};
  std::size_t count = 0;
  while (count <= most && list.next()) ++count;
  return count;
}

Refusal too_many() {
  return pkcs7_refusal(fmt::format("holds more than {} certificates", kMaxBundleCertificates));
}

}  // namespace

std::optional<Refusal> visit_pkcs7(
    ByteView octets, const std::function<std::optional<Refusal>(ByteView certificate)>& visit) {
  if (octets.empty() || octets.size() > LONG_MAX) return pkcs7_refusal("is empty");
  // Before an object is made of any of them.
  if (count_in_der(octets, kMaxBundleCertificates) > kMaxBundleCertificates) return too_many();
  const unsigned char* at = octets.data();
  const std::unique_ptr<PKCS7, Free> pkcs7{
      d2i_PKCS7(nullptr, &at, static_cast<long>(octets.size()))};
  ERR_clear_error();
  if (!pkcs7 || at != octets.data() + octets.size()) return pkcs7_refusal("is malformed");
  if (!PKCS7_type_is_signed(pkcs7.get()) || pkcs7->d.sign == nullptr)
    return pkcs7_refusal("is not of the type SignedData");
  const STACK_OF(X509)* certificates = pkcs7->d.sign->cert;
  const int count = certificates == nullptr ? 0 : sk_X509_num(certificates);
  if (count == 0) return pkcs7_refusal("holds no certificate");
  if (static_cast<std::size_t>(count) > kMaxBundleCertificates) return too_many();  // BER
  for (int i = 0; i < count; ++i) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(sk_X509_value(certificates, i), &der);
    const std::unique_ptr<unsigned char, Free> owner{der};
    if (size <= 0) return pkcs7_refusal("holds a certificate that cannot be written");
    if (auto refusal = visit(ByteView{der, static_cast<std::size_t>(size)})) return refusal;
  }
  return std::nullopt;
}

}  // namespace keyferry::x509
