#include "wrap/x509/path.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "wrap/crypto/hash.h"

namespace keyferry::x509 {
namespace {

std::optional<Refusal> parse_all(std::span<const Bytes> ders,
                                 std::string_view what,
                                 std::vector<CertificateFacts>& out) {
  out.reserve(ders.size());
  for (const Bytes& der : ders) {
    auto parsed = parse_certificate(der);
    if (auto* refusal = std::get_if<Refusal>(&parsed)) {
      return Refusal{refusal->reason,
                     fmt::format("{} {}: {}", what, out.size() + 1, refusal->text),
                     refusal->hint};
    }
    out.push_back(std::move(std::get<CertificateFacts>(parsed)));
  }
  return std::nullopt;
}

bool signed_by(const CertificateFacts& certificate, const CertificateFacts& issuer) {
  return crypto::verify(issuer.key, crypto::sha256(certificate.tbs), certificate.signature);
}

/// One step up: `below` = CA certificates between the leaf and `issuer`, which its path length
/// limits.
std::optional<Refusal> check_step(const CertificateFacts& certificate,
                                  const CertificateFacts& issuer,
                                  std::size_t below) {
  if (!equal(certificate.issuer_name, issuer.subject_name)) {
    return Refusal{"chain-name",
                   fmt::format("{} was issued by {}, but the next certificate is {}",
                               certificate.subject,
                               certificate.issuer,
                               issuer.subject),
                   "give the leaf first, then each one's issuer"};
  }
  const bool both_named =
      !certificate.authority_key_identifier.empty() && !issuer.subject_key_identifier.empty();
  if (both_named && !equal(certificate.authority_key_identifier, issuer.subject_key_identifier)) {
    return Refusal{
        "chain-key-identifier",
        fmt::format("{} was issued by another key of {}", certificate.subject, issuer.subject)};
  }
  const bool may_sign = !issuer.key_usage || (*issuer.key_usage & kKeyCertSign) != 0;
  if (!issuer.is_ca || !may_sign) {
    return Refusal{"chain-not-a-ca", fmt::format("{} may not sign certificates", issuer.subject)};
  }
  if (issuer.path_length && *issuer.path_length < below) {
    return Refusal{"chain-path-length",
                   fmt::format("more CAs below {} than it allows", issuer.subject)};
  }
  if (!signed_by(certificate, issuer)) {
    return Refusal{
        "chain-signature",
        fmt::format("the signature on {} is not by {}", certificate.subject, issuer.subject)};
  }
  return std::nullopt;
}

std::optional<Refusal> check_time(const CertificateFacts& certificate, UtcMillis at) {
  constexpr std::int64_t kLastMillisOfSecond = 999;  // notAfter is inclusive (RFC 5280 4.1.2.5)
  if (at < certificate.not_before) {
    return Refusal{
        "chain-not-yet-valid",
        fmt::format("{} is valid from {}", certificate.subject, to_rfc3339(certificate.not_before)),
        "look at the clock"};
  }
  if (at.value > certificate.not_after.value + kLastMillisOfSecond) {
    return Refusal{
        "chain-expired",
        fmt::format("{} ended at {}", certificate.subject, to_rfc3339(certificate.not_after))};
  }
  return std::nullopt;
}

/// The anchor that `last` leads to, or what the nearest candidate lacks.
std::variant<const CertificateFacts*, Refusal> find_anchor(
    const CertificateFacts& last, std::span<const CertificateFacts> anchors, std::size_t below) {
  Refusal refusal{"chain-anchor",
                  fmt::format("{} (issuer of {}) is not trusted here", last.issuer, last.subject),
                  "add the missing intermediate certificate or the right anchor"};
  for (const CertificateFacts& anchor : anchors) {
    if (!equal(anchor.subject_name, last.issuer_name)) continue;
    auto lacking = check_step(last, anchor, below);
    if (!lacking) return &anchor;
    refusal = std::move(*lacking);
  }
  return refusal;
}

}  // namespace

std::variant<ChainFacts, Refusal> verify_chain(std::span<const Bytes> chain,
                                               std::span<const Bytes> anchors,
                                               UtcMillis at) {
  if (chain.empty()) return Refusal{"chain-empty", "no certificate was given"};
  if (chain.size() > kMaxChainLength + 1 || anchors.size() > kMaxAnchors) {
    return Refusal{
        "chain-too-long",
        fmt::format("more than {} certificates or {} anchors", kMaxChainLength, kMaxAnchors)};
  }
  std::vector<CertificateFacts> path;
  std::vector<CertificateFacts> trusted;
  if (auto refusal = parse_all(chain, "certificate", path)) return *refusal;
  if (auto refusal = parse_all(anchors, "anchor", trusted)) return *refusal;

  // The anchor may travel with the chain; trust comes from `anchors` alone, so it is taken off.
  const bool ends_in_anchor =
      std::ranges::find(trusted, path.back().sha256, &CertificateFacts::sha256) != trusted.end();
  const Digest named_anchor = path.back().sha256;
  if (ends_in_anchor) path.pop_back();
  if (path.empty())
    return Refusal{"chain-anchor", "an anchor alone is no chain", "put the leaf before it"};
  if (path.size() > kMaxChainLength) {
    return Refusal{"chain-too-long",
                   fmt::format("more than {} certificates before the anchor", kMaxChainLength)};
  }

  const CertificateFacts& leaf = path.front();
  const bool may_sign = !leaf.key_usage || (*leaf.key_usage & kDigitalSignature) != 0;
  if (leaf.is_ca || !may_sign) {
    return Refusal{"chain-leaf-usage",
                   fmt::format("{} is no certificate for a device's signing key", leaf.subject)};
  }
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    if (auto refusal = check_step(path[i], path[i + 1], i)) return *refusal;
  }
  std::span<const CertificateFacts> candidates{trusted};
  if (ends_in_anchor) {
    const auto it = std::ranges::find(trusted, named_anchor, &CertificateFacts::sha256);
    candidates = candidates.subspan(static_cast<std::size_t>(it - trusted.begin()), 1);
  }
  const auto found = find_anchor(path.back(), candidates, path.size() - 1);
  if (const auto* refusal = std::get_if<Refusal>(&found)) return *refusal;
  const CertificateFacts& anchor = *std::get<const CertificateFacts*>(found);

  for (const CertificateFacts& certificate : path) {
    if (auto refusal = check_time(certificate, at)) return *refusal;
  }
  if (auto refusal = check_time(anchor, at)) return *refusal;

  return ChainFacts{.serial = leaf.serial,
                    .key = leaf.key,
                    .subject = leaf.subject,
                    .not_before = leaf.not_before,
                    .not_after = leaf.not_after,
                    .sha256 = leaf.sha256,
                    .anchor_sha256 = anchor.sha256};
}

}  // namespace keyferry::x509
