#include "station-agent/atecc608_certificates.h"

#include <algorithm>
#include <utility>

#include "wrap/se/compressed_certificate.h"

namespace keyferry::station {
namespace {

constexpr std::size_t kLengthBytes = 2;

Refusal nonsense(const std::string& what) {
  return Refusal{"chip-certificates", "the SE's certificate slots: " + what};
}

std::variant<std::vector<Bytes>, Refusal> plain_certificates(ByteView area) {
  std::vector<Bytes> found;
  while (area.size() >= kLengthBytes) {
    const std::size_t size = read_u16be(area);
    if (size == 0) break;
    if (area.size() - kLengthBytes < size) return nonsense("a certificate is longer than its area");
    found.push_back(to_bytes(area.subspan(kLengthBytes, size)));
    area = area.subspan(kLengthBytes + size);
  }
  if (found.empty()) return nonsense("they hold no certificate");
  return found;
}

}  // namespace

std::variant<Bytes, Refusal> certificate_area(const se::Atecc608Profile& profile,
                                              const token::Record& record) {
  if (profile.certificate_form == se::CertificateForm::Plain)
    return se::plain_certificate_area(profile, record.certificate, record.issuers);
  const auto compressed = se::compress_certificate(record.certificate);
  if (const auto* refusal = std::get_if<Refusal>(&compressed)) return *refusal;
  return to_bytes(std::get<se::CompressedCertificate>(compressed));
}

std::variant<ReadChain, Refusal> certificates_in(const se::Atecc608Profile& profile,
                                                 ByteView area,
                                                 const token::Record& record) {
  std::vector<Bytes> chain;
  if (profile.certificate_form == se::CertificateForm::Plain) {
    auto found = plain_certificates(area);
    if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
    chain = std::move(std::get<std::vector<Bytes>>(found));
    if (profile.certificate_chain == se::CertificateChain::Whole)
      return ReadChain{chain, chain.size()};
    if (chain.size() != 1) return nonsense("more certificates than one leaf");
  } else {
    se::CompressedCertificate compressed{};
    if (area.size() != compressed.size()) return nonsense("a compressed certificate has 72 octets");
    std::ranges::copy(area, compressed.begin());
    auto leaf = se::expand_certificate(compressed, record.certificate);
    if (const auto* refusal = std::get_if<Refusal>(&leaf)) return *refusal;
    chain.push_back(std::move(std::get<Bytes>(leaf)));
  }
  chain.insert(chain.end(), record.issuers.begin(), record.issuers.end());
  return ReadChain{std::move(chain), 1};
}

}  // namespace keyferry::station
