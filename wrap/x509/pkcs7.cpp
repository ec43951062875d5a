#include "wrap/x509/internal/pkcs7.h"

#include <openssl/err.h>
#include <openssl/pkcs7.h>
#include <openssl/x509.h>

#include <climits>
#include <memory>

namespace keyferry::x509 {
namespace {

Refusal pkcs7_refusal(const char* why) {
  return Refusal{"pkcs7",
                 std::string{"the PKCS#7 file "} + why,
                 "give a PKCS#7 with certificates in it, or PEM"};
}

struct Free {
  void operator()(PKCS7* pkcs7) const { PKCS7_free(pkcs7); }

  void operator()(unsigned char* octets) const { OPENSSL_free(octets); }
};

}  // namespace

std::optional<Refusal> visit_pkcs7(
    ByteView octets, const std::function<std::optional<Refusal>(ByteView certificate)>& visit) {
  if (octets.empty() || octets.size() > LONG_MAX) return pkcs7_refusal("is empty");
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
