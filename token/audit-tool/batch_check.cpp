#include "token/audit-tool/batch_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "token/container_open.h"
#include "token/receipt.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"
#include "wrap/evidence/possession.h"
#include "wrap/x509/der.h"

namespace keyferry::audit_tool {
namespace {

using Fault = std::optional<bundle::Fault>;

ByteView without_zeros(ByteView number) {
  while (number.size() > 1 && number.front() == 0) number = number.subspan(1);
  return number;
}

RecordEnd end_of(token::Outcome outcome) {
  switch (outcome) {
    case token::Outcome::Injected:
      return RecordEnd::Injected;
    case token::Outcome::Quarantined:
      return RecordEnd::Quarantined;
    case token::Outcome::Returned:
      return RecordEnd::Returned;
  }
  return RecordEnd::Outstanding;
}

bool signed_by(ByteView tbs, ByteView signature, const crypto::PublicKey& key) {
  return crypto::verify(key, crypto::sha256(tbs), signature);
}

struct Crl {
  ByteView tbs;
  Bytes signature;  // raw
};

/// RFC 5280 section 5.1: SEQUENCE of what is signed, algorithm, BIT STRING.
std::optional<Crl> read_crl(ByteView der) {
  namespace asn = x509::der;
  const auto whole = asn::only_element(der, asn::kSequence);
  if (!whole) return std::nullopt;
  asn::Reader reader{whole->content};
  const auto tbs = reader.next(asn::kSequence);
  const auto algorithm = tbs ? reader.next(asn::kSequence) : std::nullopt;
  const auto bits = algorithm ? reader.next(asn::kBitString) : std::nullopt;
  if (!bits || !reader.at_end() || bits->content.empty() || bits->content.front() != 0)
    return std::nullopt;
  auto signature = crypto::der_to_raw_signature(bits->content.subspan(1));
  if (!signature) return std::nullopt;
  return Crl{tbs->whole, std::move(*signature)};
}

}  // namespace

/// One record of a segment: what the bundle has of it, what the log says.
struct BatchCheck::Work {
  const BatchHistory& batch;
  const Record& record;
  std::uint32_t number = 0;
  ByteView certificate;
  ByteView receipt;  // an item; empty: none

  [[nodiscard]] Fault fault(std::string code, std::string text) const {
    return bundle::Fault{std::move(code),
                         fmt::format("batch {} record {}", batch.id.hex(), number),
                         std::move(text)};
  }
};

namespace {

/// The certificate's own key, if everything about it holds.
struct CertificateAnswer {
  Fault fault;
  std::optional<crypto::PublicKey> key;
};

template <typename Work>
CertificateAnswer check_certificate(const Work& work,
                                    const crypto::Verifier* issuer,
                                    ByteView issuer_name) {
  if (crypto::sha256(work.certificate) != work.record.certificate_sha256)
    return {work.fault("certificate-changed", "it is not the certificate whose hash is in the log"),
            {}};
  auto parsed = x509::parse_certificate(work.certificate);
  const auto* facts = std::get_if<x509::CertificateFacts>(&parsed);
  if (facts == nullptr)
    return {work.fault("certificate-malformed", std::get<Refusal>(parsed).text), {}};
  if (crypto::sha256(facts->key.point()) != work.record.public_key_sha256)
    return {work.fault("certificate-key", "it certifies another key than the one in the log"), {}};
  if (!equal(without_zeros(facts->serial), without_zeros(work.record.serial_view())))
    return {work.fault("certificate-serial", "its serial is not the one in the log"), {}};
  if (issuer != nullptr) {
    if (!equal(facts->issuer_name, issuer_name))
      return {
          work.fault("certificate-issuer", "it names another issuer than the batch's authority"),
          {}};
    if (!issuer->verify(crypto::sha256(facts->tbs), facts->signature))
      return {work.fault("certificate-signature", "it is not signed by the batch's authority"), {}};
  }
  return {std::nullopt, facts->key};
}

bool is_at(const StationCores& cores, const bundle::ReceiptItem& item, const Digest& core) {
  const auto log = cores.find({item.station, item.generation});
  return log != cores.end() && item.position < log->second.size() &&
         log->second[item.position] == core;
}

template <typename Work>
Fault check_receipt(const Work& work,
                    const crypto::PublicKey& key,
                    const StationCores& cores,
                    bool whole,
                    bool& attested) {
  const auto item = bundle::parse_receipt_item(work.receipt);
  if (!item || item->record_no.value != work.number)
    return work.fault("receipt-malformed", "the item is malformed, or of another record");
  if (crypto::sha256(item->core) != work.record.core_sha256)
    return work.fault("receipt-changed", "it is not the receipt whose hash is in the log");
  const auto parsed = token::parse_core(item->core);
  const auto* core = std::get_if<token::ReceiptCore>(&parsed);
  if (core == nullptr)
    return work.fault("receipt-malformed", "its core: " + std::get<Refusal>(parsed).reason);
  if (core->batch_id != work.batch.id || core->record_no.value != work.number ||
      end_of(core->outcome) != work.record.end)
    return work.fault("receipt-other", "it is about another record or outcome");
  if (core->certificate_sha256 != work.record.certificate_sha256)
    return work.fault("receipt-certificate", "it names another certificate than the record's");
  if (core->station_id != work.record.receipt_station || item->station != core->station_id)
    return work.fault("receipt-station", "it is of another station than the log says");
  if (work.batch.manifest && core->manifest_digest != *work.batch.manifest)
    return work.fault("receipt-manifest", "it is about another manifest");
  if (token::name_of(core->family) != work.batch.family)
    return work.fault("receipt-se", "it is about a chip of another family than the batch");
  const bool placed = whole ? is_at(cores, *item, work.record.core_sha256)
                            : item->generation == 0 && item->position == 0;
  if (!placed)
    return work.fault("receipt-position", "the station's log has something else at that place");
  const bool says_attested = core->evidence_kind == token::EvidenceKind::Attested;
  if (says_attested == item->attestation.empty() ||
      (item->attestation.empty() && !item->attestation_key.empty()))
    return work.fault("receipt-attestation",
                      "it has an attestation and does not say so, or the other way round");
  if (core->outcome == token::Outcome::Injected || !item->signature.empty()) {
    if (!crypto::is_low_s(item->signature))
      return work.fault("receipt-signature",
                        "the SE's signature is missing, malformed, or in its high-s form");
    attested = says_attested;
    const auto refusal = evidence::verify_evidence(
        {.family = work.batch.family,
         .kind = attested ? evidence::EvidenceKind::Attested : evidence::EvidenceKind::Possession,
         .key = key,
         .core = item->core,
         .signature = item->signature,
         .attestation = item->attestation,
         .attestation_key = crypto::PublicKey::from_point(item->attestation_key),
         .se_serial = core->se_serial.bytes(),
         .expected = std::nullopt});
    if (refusal)
      return work.fault("receipt-signature", "the SE's evidence does not hold: " + refusal->reason);
  }
  return std::nullopt;
}

}  // namespace

BatchCheck::BatchCheck(bundle::Reader& reader,
                       const token::ApplianceCard& card,
                       History& history,
                       const PlanCheck& plans,
                       const StationCores& cores,
                       std::size_t threads,
                       Findings& findings)
    : reader_{reader},
      card_{card},
      history_{history},
      plans_{plans},
      cores_{cores},
      threads_{std::max<std::size_t>(threads, 1)},
      findings_{findings} {}

void BatchCheck::check_authorities() {
  for (const std::string& path : reader_.below("authorities/")) {
    auto octets = reader_.read(path);
    if (const auto* refusal = std::get_if<Refusal>(&octets)) {
      findings_.add(Check::Certificates, path, *refusal);
      continue;
    }
    Bytes& der = std::get<Bytes>(octets);
    auto parsed = x509::parse_certificate(der);
    const auto* refusal = std::get_if<Refusal>(&parsed);
    if (refusal != nullptr || path != bundle::certificate_path(crypto::sha256(der))) {
      findings_.add(Check::Certificates,
                    "authority-malformed",
                    path,
                    refusal != nullptr ? refusal->text : "its hash is not its name");
      continue;
    }
    authorities_.push_back(
        {std::get<x509::CertificateFacts>(std::move(parsed)), std::move(der), false});
  }
  for (Authority& one : authorities_) {
    for (const auto& [name, point] : history_.authority_keys)
      one.vouched |= equal(one.facts.key.point(), point);
    for (const auto& [name, chain] : plans_.outside_chains())
      one.vouched |= std::ranges::find(chain, one.facts.sha256) != chain.end();
  }
  // Who signed a vouched one, by name and key.
  for (std::size_t round = 0; round < authorities_.size(); ++round) {
    for (const Authority& low : authorities_) {
      if (!low.vouched) continue;
      for (Authority& high : authorities_) {
        high.vouched |= equal(high.facts.subject_name, low.facts.issuer_name) &&
                        signed_by(low.facts.tbs, low.facts.signature, high.facts.key);
      }
    }
  }
  for (const Authority& one : authorities_) {
    const std::string path = bundle::certificate_path(one.facts.sha256);
    if (!one.vouched)
      findings_.add(Check::Certificates,
                    "authority-unknown",
                    path,
                    "no leaf and no approved plan knows this CA");
    const bool issued = std::ranges::any_of(authorities_, [&](const Authority& by) {
      return equal(by.facts.subject_name, one.facts.issuer_name) &&
             signed_by(one.facts.tbs, one.facts.signature, by.facts.key);
    });
    if (!issued)
      findings_.add(Check::Certificates,
                    "authority-chain",
                    path,
                    "the certificate that signed it is not in the bundle");
  }
}

void BatchCheck::check_crls() {
  for (const Digest& digest : history_.crls) {
    const std::string path = bundle::crl_path(digest);
    const auto octets = reader_.read(path);
    if (const auto* refusal = std::get_if<Refusal>(&octets)) {
      findings_.add(Check::Certificates, path, *refusal);
      continue;
    }
    const auto& der = std::get<Bytes>(octets);
    const auto crl = crypto::sha256(der) == digest ? read_crl(der) : std::nullopt;
    const bool good = crl && std::ranges::any_of(authorities_, [&](const Authority& one) {
                        return signed_by(crl->tbs, crl->signature, one.facts.key);
                      });
    if (good) {
      ++crls_;
    } else {
      findings_.add(Check::Certificates,
                    "crl-signature",
                    path,
                    "it is not the CRL of the log, or signed by no CA of this bundle");
    }
  }
}

void BatchCheck::check_manifest(const BatchHistory& batch) {
  if (!batch.manifest) return;
  const std::string path = bundle::batch_path(batch.id, "manifest.kf");
  const auto octets = reader_.read(path);
  if (const auto* refusal = std::get_if<Refusal>(&octets))
    return findings_.add(Check::Receipts, path, *refusal);
  const auto station = history_.stations.find(batch.station);
  if (station == history_.stations.end() || !station->second.agreement)
    return findings_.add(Check::Receipts,
                         "manifest-station",
                         path,
                         "no leaf enrolled the station that the batch is for");
  const Fd file = open_regular_file(reader_.file(path), Code::Storage);
  const auto outlined = token::outline(file,
                                       {.type = token::ContainerType::Manifest,
                                        .environment = card_.environment,
                                        .recipient = station->second.agreement->key_id(),
                                        .max_body_bytes = bundle::kMaxFileBytes,
                                        .sender = card_.export_key.key_id(),
                                        .batch_id = batch.id},
                                       1);
  if (const auto* refusal = std::get_if<Refusal>(&outlined))
    return findings_.add(
        Check::Receipts, "manifest-malformed", path, "the container: " + refusal->reason);
  const auto& outline = std::get<token::Outline>(outlined);
  const auto checked = token::check_signature(outline, card_.export_key);
  if (std::holds_alternative<Refusal>(checked) || outline.digest != *batch.manifest)
    findings_.add(Check::Receipts,
                  "manifest-signature",
                  path,
                  "it is not signed by kf-export, or not the manifest of the log");
}

const BatchCheck::Authority* BatchCheck::issuer_of(const BatchHistory& batch) {
  const auto key = history_.authority_keys.find(batch.authority);
  const auto chain = plans_.outside_chains().find(batch.authority);
  const auto found = std::ranges::find_if(authorities_, [&](const Authority& one) {
    if (key != history_.authority_keys.end()) return equal(one.facts.key.point(), key->second);
    return chain != plans_.outside_chains().end() && !chain->second.empty() &&
           chain->second.front() == one.facts.sha256;
  });
  return found == authorities_.end() ? nullptr : &*found;
}

void BatchCheck::check(BatchHistory& batch) {
  check_manifest(batch);
  const Authority* authority = issuer_of(batch);
  if (authority == nullptr && !batch.segments.empty()) {
    findings_.add(Check::Certificates,
                  "authority-missing",
                  "batch " + batch.id.hex(),
                  fmt::format("the certificate of its authority {} is not in the bundle",
                              printable(batch.authority)));
  }
  std::optional<crypto::Verifier> verifier;
  if (authority != nullptr) verifier.emplace(authority->facts.key);
  for (const auto& [index, segment] : batch.segments)
    check_segment(batch, index, segment, verifier ? &*verifier : nullptr, authority);
}

void BatchCheck::check_segment(BatchHistory& batch,
                               std::uint32_t index,
                               const Segment& segment,
                               const crypto::Verifier* issuer,
                               const Authority* authority) {
  const std::string name = fmt::format("segment {} of batch {}", index, batch.id.hex());
  if (!segment.issued)
    findings_.add(Check::Conservation,
                  "segment-open",
                  name,
                  "its keys are in the log and its closing leaf is not");
  const std::string certificates_path =
      bundle::batch_path(batch.id, bundle::certificates_name(index));
  const auto certificates = reader_.read(certificates_path);
  if (const auto* refusal = std::get_if<Refusal>(&certificates))
    return findings_.add(Check::Certificates, certificates_path, *refusal);
  const auto ders = bundle::split_items(std::get<Bytes>(certificates), bundle::kMaxItems);
  const auto* der_items = std::get_if<std::vector<ByteView>>(&ders);
  if (der_items == nullptr || der_items->size() != segment.records.size())
    return findings_.add(
        Check::Certificates,
        "certificates-count",
        certificates_path,
        fmt::format("it does not hold the {} certificates of the log", segment.records.size()));

  const auto with_receipt =
      static_cast<std::size_t>(std::ranges::count_if(segment.records, &Record::has_receipt));
  const std::string receipts_path = bundle::batch_path(batch.id, bundle::receipts_name(index));
  Bytes receipts;
  std::vector<ByteView> receipt_items;
  if (with_receipt > 0 || reader_.has(receipts_path)) {
    auto octets = reader_.read(receipts_path);
    if (const auto* refusal = std::get_if<Refusal>(&octets)) {
      findings_.add(Check::Receipts, receipts_path, *refusal);
    } else {
      receipts = std::get<Bytes>(std::move(octets));
      auto items = bundle::split_items(receipts, bundle::kMaxItems);
      if (auto* list = std::get_if<std::vector<ByteView>>(&items)) receipt_items = std::move(*list);
      if (receipt_items.size() != with_receipt)
        findings_.add(
            Check::Receipts,
            "receipts-count",
            receipts_path,
            fmt::format(
                "it holds {} receipts, the log has {}", receipt_items.size(), with_receipt));
    }
  }
  const bool with_receipts = receipt_items.size() == with_receipt;

  std::vector<Work> work;
  work.reserve(segment.records.size());
  std::size_t next_receipt = 0;
  for (std::size_t at = 0; at < segment.records.size(); ++at) {
    const Record& record = segment.records[at];
    const ByteView receipt =
        with_receipts && record.has_receipt ? receipt_items[next_receipt++] : ByteView{};
    work.push_back({batch,
                    record,
                    index * batch.segment_size + static_cast<std::uint32_t>(at),
                    (*der_items)[at],
                    receipt});
  }
  const ByteView issuer_name =
      authority != nullptr ? ByteView{authority->facts.subject_name} : ByteView{};
  std::mutex adding;
  std::atomic<std::size_t> next{0};
  std::atomic<std::uint64_t> good_certificates{0}, good_receipts{0}, attested_receipts{0};
  const bool whole = reader_.index().scope.kind == bundle::ScopeKind::All;
  const auto receipt_fault =
      [&](const Work& one, const crypto::PublicKey& key, bool& attested) -> Fault {
    try {
      return check_receipt(one, key, cores_, whole, attested);
    } catch (const Error& error) {  // the border of a thread: one receipt does not stop the others
      return one.fault("receipt-malformed", error.what());
    }
  };
  const auto run = [&] {
    for (std::size_t at = next++; at < work.size(); at = next++) {
      const Work& one = work[at];
      const CertificateAnswer certificate = check_certificate(one, issuer, issuer_name);
      Fault receipt;
      bool attested = false;
      if (certificate.key && !one.receipt.empty())
        receipt = receipt_fault(one, *certificate.key, attested);
      if (!certificate.fault) ++good_certificates;
      if (certificate.key && !one.receipt.empty() && !receipt) {
        ++good_receipts;
        if (attested) ++attested_receipts;
      }
      if (!certificate.fault && !receipt) continue;
      const std::lock_guard lock{adding};
      if (certificate.fault) findings_.add(Check::Certificates, *certificate.fault);
      if (receipt) findings_.add(Check::Receipts, *receipt);
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min(threads_, work.size()); ++i) helpers.emplace_back(run);
    run();
  }
  batch.certificates += good_certificates;
  batch.receipts += good_receipts;
  batch.attested += attested_receipts;
}

}  // namespace keyferry::audit_tool
