#include "appliance/gate/record_maker.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/gate/internal/segment_parts.h"
#include "appliance/gate/roles.h"
#include "appliance/plan/lint_findings.h"
#include "appliance/plan/outside_certificate.h"
#include "keyferry/v1/worker.pb.h"
#include "wrap/base/cut.h"
#include "wrap/crypto/hash.h"
#include "wrap/crypto/soft_key.h"
#include "wrap/se/entry.h"
#include "wrap/x509/issued.h"

namespace keyferry::appliance {
namespace {

x509::CertificateFacts facts_of(ByteView der) {
  auto parsed = x509::parse_certificate(der);
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<x509::CertificateFacts>(std::move(parsed));
}

x509::DeviceTemplate device_template(const BatchPlan& batch, const x509::CertificateFacts& issuer) {
  x509::DeviceTemplate device = batch.device_template();
  device.issuer_name = issuer.subject_name;
  device.issuer_key_identifier = issuer.subject_key_identifier;
  if (const auto refusal = x509::validate(device, issuer)) throw to_error(*refusal);
  return device;
}

std::optional<se::Atecc608Builder> atecc608_builder(p11::Session& session, const p11::ProbeResult& facts,
                                                    se::Pkcs11Builder& payloads, const BatchPlan& batch) {
  if (batch.family != se::Family::Atecc608) return std::nullopt;
  return std::optional<se::Atecc608Builder>{std::in_place, session, facts, payloads, batch.atecc608.value()};
}

}  // namespace

token::Family token_family(se::Family family) {
  switch (family) {
    case se::Family::Pkcs11: return token::Family::Pkcs11;
    case se::Family::Atecc608: return token::Family::Atecc608;
    case se::Family::OptigaTrustM: return token::Family::OptigaTrustM;
    case se::Family::Tpm2: return token::Family::Tpm2;
  }
  return token::Family::Pkcs11;
}

RecordMaker::RecordMaker(p11::Session& session,
                         const p11::ProbeResult& facts,
                         const BatchPlan& batch,
                         const v1::MakeSegment& request,
                         const std::vector<se::Entry>& entries)
    : session_{session},
      requests_{request.outside() ? std::optional<x509::RequestBuilder>{batch.device_template()} : std::nullopt},
      issuers_{issuers_of(request)},
      issuer_{facts_of(issuers_.front())},
      template_{device_template(batch, issuer_)},
      certificates_{template_},
      payloads_{session, facts},
      atecc608_{atecc608_builder(session, facts, payloads_, batch)},
      attests_{batch.atecc608 && batch.atecc608->attestation_slot},
      plaintext_{batch.atecc608 ? se::plaintext_sentence(se::transport_place(facts), se::scalar_way(facts)) : ""},
      transports_{session, facts, payloads_, atecc608_ ? &*atecc608_ : nullptr, request},
      ca_key_{requests_ ? p11::ObjectHandle{} : lasting_role_key(session, KeyRole::CertificateAuthority, batch.certificate_authority)} {
  if (requests_ && atecc608_) {
    throw Error{Code::Refused, "an outside CA for family atecc608 is not supported: its keys sign no requests yet"};
  }
  if (!requests_ && lasting_role_point(session, KeyRole::CertificateAuthority, batch.certificate_authority) != issuer_.key) {
    throw Error{Code::Refused,
                fmt::format("the certificate of kf-ca/{} is not for the key in the HSM", batch.certificate_authority)};
  }
  for (const se::Entry& entry : entries) {
    if (const auto refusal = certificates_.check(subject_fields(entry))) throw to_error(*refusal);
  }
  if (!entries.empty()) lint(entries.front());
  transports_.check(entries);
}

/// The throw-away key signs it: what the CA signs has been linted.
void RecordMaker::lint(const se::Entry& entry) {
  crypto::SoftKey key = crypto::SoftKey::generate();
  Bytes tbs = certificates_.to_be_signed(x509::longest_serial(), subject_fields(entry), key.public_key());
  const Bytes certificate = x509::assemble(tbs, key.sign_digest(crypto::sha256(tbs)));
  if (auto refusal = x509::lint_device_certificate(certificate, template_, subject_fields(entry))) {
    refusal->text = "the certificates of this batch would not pass the lint: " + refusal->text;
    throw to_error(*refusal);
  }
  std::vector<Bytes> chain{certificate};
  chain.insert(chain.end(), issuers_.begin(), issuers_.end());
  if (auto refusal = lint_refusal(chain, lint_profile(template_.name), LeafSignature::NotYet)) throw to_error(*refusal);
  linted_.emplace(std::move(tbs));
}

std::string RecordMaker::plaintext() const { return plaintext_; }

RecordMaker::Sealed RecordMaker::seal(const se::Entry& entry, RandomSource& random, Sample sample) {
  const p11::Key transport = transports_.make(entry);
  if (atecc608_) return seal_atecc608(entry, transport.handle(), random);
  p11::DeviceKeyPair device = payloads_.generate_device_key();
  const auto public_key = crypto::PublicKey::from_point(device.point);
  if (!public_key) throw Error{Code::Hsm, "the HSM gave a device key whose point is not on the curve"};
  // Signed while the key can still sign: once it is wrapped only its SE has it.
  Bytes request = requests_ ? sign_request(entry, device.private_key.handle(), *public_key) : Bytes{};
  Bytes payload = payloads_.wrap(transport.handle(), device.private_key.handle());
  KF_CUT("worker.record.wrapped");  // cut here: session objects, gone with this process
  if (sample == Sample::Yes) verify_pair(device.private_key.handle(), *public_key);
  return {std::move(payload), *public_key, {}, std::move(request)};
}

Bytes RecordMaker::sign_request(const se::Entry& entry, p11::ObjectHandle private_key, const crypto::PublicKey& public_key) {
  const Bytes unsigned_request = requests_->to_be_signed(subject_fields(entry), public_key);
  return x509::assemble(unsigned_request, session_.sign_ecdsa(private_key, crypto::sha256(unsigned_request)));
}

/// The builder holds every key against its public point: no sample is needed.
RecordMaker::Sealed RecordMaker::seal_atecc608(const se::Entry& entry, p11::ObjectHandle transport,
                                               RandomSource& random) {
  se::Atecc608Builder::Built built = atecc608_->build(entry, transport, random);
  if (attests_) built.payload.attestation_key = entry.attestation_key;
  KF_CUT("worker.record.built");  // cut here: nothing of it is anywhere else
  const auto nonce_id = se::atecc608_nonce_id(entry.serial, built.payload.nonce);
  return {se::serialise_payload(built.payload), built.public_key, Bytes(nonce_id.begin(), nonce_id.end())};
}

MadeRecord RecordMaker::make(const se::Entry& entry, RecordNo number, RandomSource& random, Sample sample) {
  Sealed sealed = seal(entry, random, sample);
  if (requests_) {
    return MadeRecord{token::Record{.record_no = number,
                                    .family = token_family(entry.family),
                                    .se_serial = entry.serial,
                                    .key_name = entry.key_name,
                                    .device_serial = entry.device_serial,
                                    .generation = entry.generation,
                                    .payload = std::move(sealed.payload),
                                    .public_key = sealed.public_key,
                                    .certificate = {},
                                    .issuers = {},
                                    .challenge = {}},
                      {}, std::move(sealed.nonce_id), std::move(sealed.request)};
  }
  const x509::CertificateSerial serial = x509::make_serial(random);
  const Bytes tbs = certificates_.to_be_signed(serial, subject_fields(entry), sealed.public_key);
  if (const auto refusal = linted_.value().compare(tbs, sealed.public_key)) throw to_error(*refusal);
  MadeRecord made{token::Record{.record_no = number,
                                .family = token_family(entry.family),
                                .se_serial = entry.serial,
                                .key_name = entry.key_name,
                                .device_serial = entry.device_serial,
                                .generation = entry.generation,
                                .payload = std::move(sealed.payload),
                                .public_key = sealed.public_key,
                                .certificate = x509::assemble(tbs, session_.sign_ecdsa(ca_key_, crypto::sha256(tbs))),
                                .issuers = issuers_,
                                .challenge = random.id<Digest>()},
                  serial, std::move(sealed.nonce_id)};
  if (sample == Sample::Yes) verify_certificate(made.record);
  return made;
}

void RecordMaker::verify_pair(p11::ObjectHandle private_key, const crypto::PublicKey& public_key) {
  const Digest digest = crypto::sha256(as_bytes("keyferry/v1/pair-sample"));
  if (!crypto::verify(public_key, digest, session_.sign_ecdsa(private_key, digest))) {
    throw Error{Code::Hsm, "the HSM made a device key whose halves do not belong together",
                "this module must not be used: keyferry-appliance doctor"};
  }
}

void RecordMaker::verify_certificate(const token::Record& record) const {
  const x509::CertificateFacts facts = facts_of(record.certificate);
  const bool good = facts.key == record.public_key && facts.issuer_name == issuer_.subject_name &&
                    crypto::verify(issuer_.key, crypto::sha256(facts.tbs), facts.signature);
  if (!good) {
    throw Error{Code::Hsm, "a certificate that was just made does not verify with its CA's key",
                "this module must not be used: keyferry-appliance doctor"};
  }
}

void PooledRandom::fill(std::span<std::uint8_t> out) {
  if (out.size() > kPoolBytes) return source_.fill(out);
  if (pool_.size() - used_ < out.size()) {
    pool_.resize(kPoolBytes);
    source_.fill(pool_);
    used_ = 0;
  }
  const auto piece = std::span{pool_}.subspan(used_, out.size());
  std::ranges::copy(piece, out.begin());
  std::ranges::fill(piece, std::uint8_t{0});
  used_ += out.size();
}

}  // namespace keyferry::appliance
