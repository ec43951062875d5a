#include "wrap/x509/bundle.h"

#include <fmt/format.h>

#include "wrap/base/base64.h"
#include "wrap/base/text.h"
#include "wrap/x509/certificate.h"
#include "wrap/x509/internal/pkcs7.h"
#include "wrap/x509/pem.h"

namespace keyferry::x509 {
namespace {

constexpr std::string_view kBegin = "-----BEGIN ";
constexpr std::string_view kEnd = "-----END ";
constexpr std::string_view kDashes = "-----";
constexpr std::uint8_t kSequence = 0x30;  // "0" as text, which no PEM file begins with
constexpr std::uint8_t kOid = 0x06;
constexpr std::size_t kMaxLineBytes = 4096;

Refusal pem_refusal(std::string text) {
  return Refusal{
      "pem", std::move(text), "give certificates as PEM, DER or PKCS#7, as openssl writes them"};
}

/// ContentInfo begins with an OID, a certificate with a SEQUENCE. Indefinite lengths are BER's.
bool looks_like_pkcs7(ByteView octets) {
  std::size_t at = 1;
  if (octets.size() < 2) return false;
  at += octets[1] >= 0x80 ? 1 + (octets[1] & 0x7fU) : 1;
  return octets.size() > at && octets[at] == kOid;
}

}  // namespace

BundleReader::BundleReader(Visitor visit) : visit_{std::move(visit)} {}

std::optional<Refusal> BundleReader::take_object(ByteView der,
                                                 bool may_be_certificate,
                                                 bool may_be_pkcs7) {
  const auto visit = [this](ByteView certificate) -> std::optional<Refusal> {
    if (certificate.empty() || certificate.size() > kMaxCertificateBytes)
      return Refusal{
          "certificate-size",
          fmt::format("certificate {}: a certificate has 1 to 16,384 octets", count_ + 1)};
    ++count_;
    return visit_(certificate);
  };
  if (may_be_pkcs7 && looks_like_pkcs7(der)) return visit_pkcs7(der, visit);
  if (may_be_certificate) return visit(der);
  return pem_refusal("a PKCS7 block that holds something else");
}

std::optional<Refusal> BundleReader::take_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (state_ == State::Between) {
    if (!line.starts_with(kBegin)) return std::nullopt;
    label_ = line.substr(kBegin.size());
    if (label_.ends_with(kDashes)) label_.resize(label_.size() - kDashes.size());
    if (line != fmt::format("{}{}{}", kBegin, label_, kDashes) ||
        (label_ != kPemCertificate && label_ != "PKCS7" && label_ != "CMS")) {
      return pem_refusal(fmt::format("\"{}\" where certificates are expected", printable(line)));
    }
    base64_.clear();
    state_ = State::Inside;
    return std::nullopt;
  }
  if (line != fmt::format("{}{}{}", kEnd, label_, kDashes)) {
    base64_ += line;
    if (base64_.size() / 4 * 3 > kMaxPkcs7Bytes)
      return pem_refusal("a block that is longer than 4 MiB");
    return std::nullopt;
  }
  state_ = State::Between;
  const auto der = from_base64(base64_);
  if (!der || der->empty()) return pem_refusal(fmt::format("block {} is not base64", count_ + 1));
  return take_object(*der, label_ == kPemCertificate, true);
}

std::optional<Refusal> BundleReader::feed(ByteView piece) {
  if (refusal_) return refusal_;
  if (state_ == State::Begin && !piece.empty())
    state_ = piece.front() == kSequence ? State::Binary : State::Between;
  if (state_ == State::Binary) {
    if (binary_.size() + piece.size() > kMaxPkcs7Bytes)
      return refusal_ = Refusal{"certificate-size",
                                "a DER file of certificates has at most 4 MiB",
                                "split the PKCS#7, or give the certificates as PEM"};
    append(binary_, piece);
    return std::nullopt;
  }
  std::string_view text = as_chars(piece);
  while (!text.empty() && !refusal_) {
    const std::size_t end = text.find('\n');
    line_ += text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    // Text between blocks may be anything; its lines need no more than their beginning.
    if (line_.size() > kMaxLineBytes && state_ == State::Between) line_.resize(kMaxLineBytes);
    if (line_.size() > kMaxPkcs7Bytes * 2)
      refusal_ = pem_refusal("a line that is longer than 8 MiB");
    if (end == std::string_view::npos) break;
    if (!refusal_) refusal_ = take_line(line_);
    line_.clear();
  }
  return refusal_;
}

std::optional<Refusal> BundleReader::finish() {
  if (refusal_) return refusal_;
  if (state_ == State::Binary) return refusal_ = take_object(binary_, true, true);
  if (!line_.empty()) refusal_ = take_line(line_);
  line_.clear();
  if (!refusal_ && state_ == State::Inside) refusal_ = pem_refusal("a block without its end line");
  if (!refusal_ && count_ == 0) refusal_ = pem_refusal("no certificate in it");
  return refusal_;
}

std::variant<std::vector<Bytes>, Refusal> read_certificates(ByteView file) {
  if (file.size() > kMaxBundleBytes)
    return Refusal{"bundle-size", "a file of certificates has at most 16 MiB here"};
  std::vector<Bytes> certificates;
  BundleReader reader{[&](ByteView certificate) -> std::optional<Refusal> {
    if (certificates.size() == kMaxBundleCertificates)
      return Refusal{"bundle-size",
                     fmt::format("more than {} certificates in one file", kMaxBundleCertificates)};
    certificates.push_back(to_bytes(certificate));
    return std::nullopt;
  }};
  if (auto refusal = reader.feed(file)) return *refusal;
  if (auto refusal = reader.finish()) return *refusal;
  return certificates;
}

}  // namespace keyferry::x509
