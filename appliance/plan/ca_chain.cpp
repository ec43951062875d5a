#include "appliance/plan/ca_chain.h"

#include <fmt/format.h>

#include "appliance/plan/plan.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/signing.h"

namespace keyferry::appliance {
namespace {

using Facts = x509::CertificateFacts;

Refusal broken(const char* reason, std::size_t at, const Facts& facts, std::string_view what) {
  return Refusal{reason, fmt::format("certificate {} of the chain ({}) {}", at + 1, facts.subject, what),
                 "give the issuing CA first, then each one's issuer, the self-signed anchor last"};
}

/// RFC 5280 section 4.2.1.9: `below` CAs stand between it and the leaf.
std::optional<Refusal> check_ca(const Facts& facts, std::size_t below) {
  if (!facts.is_ca) return broken("chain-not-a-ca", below, facts, "is no CA (basicConstraints)");
  if (!facts.key_usage || (*facts.key_usage & x509::kKeyCertSign) == 0)
    return broken("chain-not-a-ca", below, facts, "may not sign certificates (keyUsage)");
  if (facts.subject_key_identifier.empty())
    return broken("chain-key-identifier", below, facts, "has no subjectKeyIdentifier");
  if (facts.path_length && *facts.path_length < below) {
    return broken("chain-path-length", below, facts,
                  fmt::format("allows {} CAs below it, {} stand there", *facts.path_length, below));
  }
  return std::nullopt;
}

std::optional<Refusal> check_link(const Facts& one, std::size_t at, const Facts& issuer) {
  if (one.issuer_name != issuer.subject_name)
    return broken("chain-name", at, one,
                  fmt::format("names issuer {}, the next one is {}", one.issuer, issuer.subject));
  if (!one.authority_key_identifier.empty() && one.authority_key_identifier != issuer.subject_key_identifier)
    return broken("chain-key-identifier", at, one, "names another key of its issuer than the next one has");
  if (!crypto::verify(issuer.key, crypto::sha256(one.tbs), one.signature))
    return broken("chain-signature", at, one, fmt::format("was not signed by the key of {}", issuer.subject));
  return std::nullopt;
}

}  // namespace

std::variant<std::vector<Facts>, Refusal> read_ca_chain(std::span<const Bytes> chain) {
  if (chain.empty()) return Refusal{"chain-empty", "the chain has no certificate"};
  if (chain.size() > kMaxCaChain)
    return Refusal{"chain-too-long",
                   fmt::format("the chain has {} certificates, at most {} are possible", chain.size(), kMaxCaChain),
                   "a device's chain has two to four certificates, its own included"};
  std::vector<Facts> facts;
  for (const Bytes& der : chain) {
    if (der.size() > kMaxCaCertificateBytes)
      return Refusal{"certificate-size",
                     fmt::format("certificate {} of the chain has {} octets, at most {} are possible", facts.size() + 1,
                                 der.size(), kMaxCaCertificateBytes)};
    auto parsed = x509::parse_certificate(der);
    if (auto* refusal = std::get_if<Refusal>(&parsed)) {
      refusal->text = fmt::format("certificate {} of the chain: {}", facts.size() + 1, refusal->text);
      return *refusal;
    }
    facts.push_back(std::get<Facts>(std::move(parsed)));
    if (auto refusal = check_ca(facts.back(), facts.size() - 1)) return *refusal;
  }
  for (std::size_t i = 0; i + 1 < facts.size(); ++i) {
    if (auto refusal = check_link(facts[i], i, facts[i + 1])) return *refusal;
  }
  const Facts& anchor = facts.back();
  if (anchor.issuer_name != anchor.subject_name || check_link(anchor, facts.size() - 1, anchor))
    return broken("chain-anchor", facts.size() - 1, anchor,
                  "is the last one and is not self-signed: the chain has no anchor");
  return facts;
}

std::optional<Refusal> check_device_issuer(std::string_view authority, x509::CaKind kind,
                                           const x509::DeviceTemplate& device) {
  const bool is_matter = kind == x509::CaKind::MatterPai || kind == x509::CaKind::MatterPaa;
  if (!is_matter || device.name == x509::kMatterDacTemplateName) return std::nullopt;
  return Refusal{"matter-issuer",
                 fmt::format("CA \"{}\" is of kind {}: it issues no certificates of template \"{}\"", authority,
                             x509::ca_kind_name(kind), device.name),
                 "use the template \"matter-dac\", or another CA"};
}

std::optional<Refusal> check_valid_at(std::span<const Facts> chain, UtcMillis at) {
  for (const Facts& one : chain) {
    if (at < one.not_before)
      return Refusal{"chain-not-yet-valid",
                     fmt::format("{} is valid only from {}", one.subject, to_rfc3339(one.not_before))};
    if (at > one.not_after)
      return Refusal{"chain-expired", fmt::format("{} was valid until {}", one.subject, to_rfc3339(one.not_after)),
                     "have it renewed"};
  }
  return std::nullopt;
}

}  // namespace keyferry::appliance
