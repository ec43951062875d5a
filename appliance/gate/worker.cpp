#include "appliance/gate/worker.h"

#include <fmt/format.h>

#include <deque>
#include <memory>

#include "appliance/gate/hsm.h"
#include "appliance/gate/segment_maker.h"
#include "appliance/gate/state_store.h"
#include "keyferry/v1/worker.pb.h"
#include "token/container_open.h"
#include "token/enrolment.h"
#include "wrap/base/cut.h"
#include "wrap/base/frame.h"
#include "wrap/base/process.h"
#include "wrap/crypto/hash.h"
#include "wrap/p11/hsm_keys.h"
#include "wrap/x509/certificate_builder.h"

namespace keyferry::appliance {
namespace {

constexpr unsigned kMaxPendingSegments = 4;

std::optional<Bytes> octets_of(const v1::SignedBytes& message) {
  Bytes octets(message.ByteSizeLong());
  if (!message.SerializeToArray(octets.data(), static_cast<int>(octets.size()))) return std::nullopt;
  return octets;
}

token::SignedBytes from_message(const v1::SignedBytes& message) {
  auto parsed = token::parse_signed_bytes(octets_of(message).value());
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<token::SignedBytes>(std::move(parsed));
}

void to_message(const token::SignedBytes& value, v1::SignedBytes& message) {
  const Bytes octets = token::encode(value);
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) {
    throw Error{Code::Internal, "a signed value that does not parse"};
  }
}

template <typename Id>
Id id_of(const std::string& octets, const char* what) {
  const auto id = Id::from_bytes(as_bytes(octets));
  if (!id) throw Error{Code::Refused, fmt::format("{} has a wrong length", what)};
  return *id;
}

template <typename T>
T parsed_or_throw(std::variant<T, Refusal> parsed) {
  if (const auto* refusal = std::get_if<Refusal>(&parsed)) throw to_error(*refusal);
  return std::get<T>(std::move(parsed));
}

token::Environment environment_of(v1::Environment environment) {
  const auto known = token::environment_from_number(static_cast<std::uint32_t>(environment));
  if (!known) throw Error{Code::Refused, "the environment is unknown"};
  return *known;
}

class Worker {
 public:
  Worker(int fd, const GateSettings& settings, RandomSource& random) : fd_{fd}, settings_{settings}, random_{random} {}

  int run() {
    std::optional<Bytes> pin = read_frame(fd_);
    if (!pin) return 0;
    pin_ = SecretBytes::copy_of(*pin);
    Botan::secure_scrub_memory(pin->data(), pin->size());
    for (;;) {
      if (!waiting_.empty()) {
        const v1::WorkerRequest request = std::move(waiting_.front());
        waiting_.pop_front();
        serve(request);
        continue;
      }
      const auto request = read_request();
      if (!request) return 0;
      serve(*request);
    }
  }

 private:
  std::optional<v1::WorkerRequest> read_request() {
    const auto frame = read_frame(fd_);
    if (!frame) return std::nullopt;
    v1::WorkerRequest request;
    if (!request.ParseFromArray(frame->data(), static_cast<int>(frame->size()))) {
      throw Error{Code::Channel, "the gate sent what is no request"};
    }
    return request;
  }

  void send(std::uint64_t id, v1::WorkerReply& reply) {
    reply.set_id(id);
    Bytes octets(reply.ByteSizeLong());
    reply.SerializeToArray(octets.data(), static_cast<int>(octets.size()));
    write_frame(fd_, octets);
  }

  /// The border of a request: whatever went wrong is its answer.
  void serve(const v1::WorkerRequest& request) {
    v1::WorkerReply reply;
    try {
      answer(request, reply);
    } catch (const Error& error) {
      v1::ErrorReply& said = *reply.mutable_error();
      said.set_code(std::string{code_name(error.code())});
      said.set_text(error.what());
      said.set_hint(error.hint());
      if (error.code() == Code::Channel) throw;
    }
    send(request.id(), reply);
  }

  /// Between two records of a segment: short requests are served at once, longer ones wait.
  void serve_waiting() {
    while (frame_waiting(fd_)) {
      auto request = read_request();
      if (!request) throw Error{Code::Channel, "the gate has gone"};
      const bool short_one = request->request_case() == v1::WorkerRequest::kSignTrailer ||
                             request->request_case() == v1::WorkerRequest::kDropSegment;
      if (short_one) {
        serve(*request);
      } else {
        waiting_.push_back(std::move(*request));
      }
    }
  }

  void need(v1::WorkerRole role) const {
    if (role_ != role) throw Error{Code::Refused, "this worker does not serve that request"};
  }

  void answer(const v1::WorkerRequest& request, v1::WorkerReply& reply) {
    using Case = v1::WorkerRequest::RequestCase;
    switch (request.request_case()) {
      case Case::kStart: start(request.start(), *reply.mutable_started()); return;
      case Case::kMakeApplianceKeys:
        make_appliance_keys();
        reply.mutable_appliance_keys();
        return;
      case Case::kMakeCard:
        need(v1::WORKER_ROLE_STATE);
        make_card(environment_of(request.make_card().environment()), request.make_card().name(),
                  *reply.mutable_signed_bytes());
        return;
      case Case::kMakeKey: make_key(request.make_key(), *reply.mutable_key_made()); return;
      case Case::kReadState: {
        need(v1::WORKER_ROLE_STATE);
        reply.mutable_state_read()->set_state(to_string(StateStore{*hsm_}.read().value_or(Bytes{})));
        return;
      }
      case Case::kWriteState: {
        need(v1::WORKER_ROLE_STATE);
        const auto written = StateStore{*hsm_}.write(request.write_state());
        reply.mutable_state_written()->set_state(to_string(written.state));
        reply.mutable_state_written()->set_checkpoint(written.checkpoint);
        return;
      }
      case Case::kMakeSegment:
        need(v1::WORKER_ROLE_KEYS);
        maker_->make_segment(request.make_segment(), sink(request.id()), *reply.mutable_segment_made());
        return;
      case Case::kMakeManifest:
        need(v1::WORKER_ROLE_KEYS);
        maker_->make_manifest(request.make_manifest(), sink(request.id()), *reply.mutable_segment_made());
        return;
      case Case::kSignTrailer: {
        need(v1::WORKER_ROLE_KEYS);
        const auto signed_trailer = maker_->sign(id_of<ContainerId>(request.sign_trailer().container_id(), "container id"));
        reply.mutable_trailer_signed()->set_trailer(to_string(signed_trailer.trailer));
        // Opens public certificates only; it waits in kf-state until the segment is issued.
        reply.mutable_trailer_signed()->set_certificates_key(to_string(signed_trailer.certificates_key.expose()));
        return;
      }
      case Case::kDropSegment:
        need(v1::WORKER_ROLE_KEYS);
        maker_->drop(id_of<ContainerId>(request.drop_segment().container_id(), "container id"));
        reply.mutable_dropped();
        return;
      case Case::kMakeAnswer: make_answer(request.make_answer(), *reply.mutable_signed_bytes()); return;
      case Case::kMakeTokenCard: make_token_card(request.make_token_card(), *reply.mutable_signed_bytes()); return;
      case Case::kOpenInbox: open_inbox(request.open_inbox(), *reply.mutable_inbox_key()); return;
      case Case::REQUEST_NOT_SET: break;
    }
    throw Error{Code::Refused, "a request that this worker does not know"};
  }

  SegmentSink sink(std::uint64_t id) {
    return SegmentSink{
        .body =
            [this, id](ByteView octets) {
              v1::WorkerReply reply;
              reply.mutable_body()->set_octets(to_string(octets));
              send(id, reply);
            },
        .records =
            [this, id](const v1::IssuedRecords& records) {
              v1::WorkerReply reply;
              *reply.mutable_records() = records;
              send(id, reply);
            },
        .sealed_certificates =
            [this, id](ByteView octets) {
              v1::WorkerReply reply;
              reply.mutable_sealed_certificates()->set_octets(to_string(octets));
              send(id, reply);
            },
        .between_records = [this] { serve_waiting(); },
    };
  }

  p11::Session& session() { return hsm_->session(); }

  p11::HsmSigner signer(KeyRole role) {
    return {session(), find_role_key(session(), role, ""), find_role_point(session(), role, "")};
  }

  void start(const v1::WorkerStart& request, v1::Started& started) {
    if (hsm_) throw Error{Code::Refused, "this worker has started already"};
    role_ = request.role();
    auto hsm = std::make_unique<Hsm>(settings_, pin_,
                                     request.may_initialize() ? BlankToken::Initialise : BlankToken::Refuse);
    const p11::LoginResult result = hsm->login(pin_);
    if (result != p11::LoginResult::Ok) {
      started.set_wrong_pin(std::string{p11::to_string(result)});
      return;
    }
    hsm_ = std::move(hsm);
    if (role_ == v1::WORKER_ROLE_KEYS) {
      hsm_->probe();
      maker_ = std::make_unique<SegmentMaker>(*hsm_, random_, kMaxPendingSegments);
    }
    const RoleCheck check = check_roles(session());
    v1::HsmFacts& facts = *started.mutable_facts();
    facts.set_module(hsm_->module_text());
    facts.set_token_label(hsm_->token().label);
    facts.set_token_serial(hsm_->token().serial);
    for (const std::string& fact : hsm_->facts().facts) facts.add_facts(fact);
    for (const std::string& stranger : check.strangers) facts.add_strangers(stranger);
    for (const std::string& drift : check.drift) started.add_drift(drift);
    started.set_blank(true);
    if (role_ != v1::WORKER_ROLE_STATE || !check.drift.empty()) return;
    const auto log_keys = session().find_one(p11::ObjectClass::PrivateKey, role_label(KeyRole::Log, ""));
    if (!log_keys) return;
    const auto state = StateStore{*hsm_}.read();
    if (!state) return;
    started.set_blank(false);
    started.set_log_key(to_string(find_role_point(session(), KeyRole::Log, "").point()));
  }

  void make_card(token::Environment environment, const std::string& name, v1::SignedBytes& out) {
    const crypto::PublicKey log_key = find_role_point(session(), KeyRole::Log, "");
    const token::ApplianceCard card{.appliance_id = token::appliance_id_of(log_key),
                                    .environment = environment,
                                    .name = name,
                                    .log_key = log_key,
                                    .export_key = find_role_point(session(), KeyRole::Export, ""),
                                    .inbox_key = find_role_point(session(), KeyRole::Inbox, "")};
    p11::HsmSigner log_signer = signer(KeyRole::Log);
    to_message(token::sign_payload(log_signer, crypto::SignatureKind::ApplianceCard, token::serialise(card)), out);
  }

  void make_appliance_keys() {
    need(v1::WORKER_ROLE_STATE);
    if (StateStore{*hsm_}.read()) throw Error{Code::Refused, "this HSM is initialised already"};
    for (const KeyRole role : {KeyRole::Log, KeyRole::Export, KeyRole::Inbox}) {
      destroy_role_key(session(), role, "");  // leftovers of an initialization that was cut off before its state
      make_role_key(session(), role, "");
      KF_CUT("worker.init.key-made");
    }
    hsm_->sync_store();
  }

  void make_key(const v1::MakeKey& request, v1::KeyMade& made) {
    need(v1::WORKER_ROLE_KEYS);
    const KeyRoleRow* row = key_role_by_name(request.role());
    if (row == nullptr || !row->named) throw Error{Code::Refused, "no key of that role is made by request"};
    // The gate knows no such key: what carries the label was left by a cut before kf-state named it.
    destroy_role_key(session(), row->role, request.name());
    KF_CUT("worker.key.before-make");
    make_role_key(session(), row->role, request.name());
    hsm_->sync_store();
    KF_CUT("worker.key.made");
    if (row->role != KeyRole::CertificateAuthority) return;
    const crypto::PublicKey point = find_role_point(session(), row->role, request.name());
    const x509::CaSpec spec{request.subject(), UtcMillis{request.not_before_ms()}, UtcMillis{request.not_after_ms()}, 0};
    const Bytes tbs = x509::ca_to_be_signed(spec, x509::make_serial(random_), point);
    const Bytes signature = session().sign_ecdsa(find_role_key(session(), row->role, request.name()), crypto::sha256(tbs));
    made.set_public_key(to_string(point.point()));
    made.set_certificate(to_string(x509::assemble(tbs, signature)));
  }

  void make_answer(const v1::MakeAnswer& request, v1::SignedBytes& out) {
    need(v1::WORKER_ROLE_KEYS);
    const token::SignedBytes asked = from_message(request.request());
    const auto station = parsed_or_throw(token::open_enrolment_request(asked));
    const token::SignedBytes card = from_message(request.card());
    const auto known_card = parsed_or_throw(token::open_appliance_card(card));
    if (station.environment != known_card.environment) {
      throw Error{Code::Refused, "the station was made for another environment than this appliance"};
    }
    const token::EnrolmentAnswer answer{.station_id = token::station_id_of(station.signing_key),
                                        .name = station.name,
                                        .site = station.site,
                                        .environment = station.environment,
                                        .signing_key = station.signing_key,
                                        .agreement_key = station.agreement_key,
                                        .request_sha256 = crypto::sha256(asked.payload),
                                        .card = card,
                                        .checkpoint = request.checkpoint(),
                                        .time = UtcMillis{request.now_ms()}};
    p11::HsmSigner export_signer = signer(KeyRole::Export);
    to_message(token::sign_payload(export_signer, crypto::SignatureKind::EnrolmentAnswer, token::serialise(answer)), out);
  }

  void make_token_card(const v1::MakeTokenCard& request, v1::SignedBytes& out) {
    need(v1::WORKER_ROLE_KEYS);
    token::TokenCard card{.token_id = id_of<TokenId>(request.token_id(), "token id"),
                          .appliance_id = id_of<ApplianceId>(request.appliance_id(), "appliance id"),
                          .environment = environment_of(request.environment()),
                          .station_id = id_of<StationId>(request.station_id(), "station id"),
                          .checkpoint = request.checkpoint(),
                          .checkpoint_seen_back = request.checkpoint_seen_back(),
                          .time = UtcMillis{request.now_ms()}};
    if (!request.batch_id().empty()) card.batch_id = id_of<BatchId>(request.batch_id(), "batch id");
    p11::HsmSigner export_signer = signer(KeyRole::Export);
    to_message(token::sign_payload(export_signer, crypto::SignatureKind::TokenCard, token::serialise(card)), out);
  }

  /// The container is taken apart here and an enrolled sender's trailer checked, before kf-inbox agrees on anything.
  void open_inbox(const v1::OpenInbox& request, v1::InboxKey& out) {
    need(v1::WORKER_ROLE_KEYS);
    const Bytes header_octets = to_bytes(as_bytes(request.header()));
    const auto header = parsed_or_throw(token::parse_header(header_octets));
    const auto trailer = parsed_or_throw(token::parse_trailer(as_bytes(request.trailer())));
    std::vector<Digest> hashes;
    for (const std::string& hash : request.chunk_hashes()) hashes.push_back(id_of<Digest>(hash, "chunk hash"));
    if (hashes.size() != trailer.chunk_count) throw Error{Code::Refused, "the number of chunks is not the trailer's"};
    if (header.type != token::ContainerType::Receipts) throw Error{Code::Refused, "kf-inbox opens receipts only"};
    p11::HsmDhKey inbox{session(), find_role_key(session(), KeyRole::Inbox, ""),
                        find_role_point(session(), KeyRole::Inbox, "")};
    if (header.recipient != inbox.public_key().key_id()) {
      throw Error{Code::Refused, "the container is sealed to another appliance"};
    }
    const v1::Station* sender = nullptr;
    std::optional<crypto::PublicKey> sender_key;
    for (const v1::Station& station : request.stations()) {
      const auto key = crypto::PublicKey::from_point(as_bytes(station.signing_key()));
      if (key && key->key_id() == header.sender && !station.retired()) {
        sender = &station;
        sender_key = key;
      }
    }
    if (sender == nullptr) throw Error{Code::Refused, "the container's sender is no enrolled station"};
    const Digest digest = token::recompute_digest(header_octets, trailer.enc, hashes);
    const auto checked = token::check_signature(header, digest, trailer.signature, *sender_key);
    if (const auto* refusal = std::get_if<Refusal>(&checked)) throw to_error(*refusal);
    const auto key = token::open_content_key(trailer.enc, header_octets, inbox);
    if (!key) throw Error{Code::Refused, "the container's encapsulated key is no point of the curve"};
    // The receipts of one container are the front end's to read: their content key leaves, kf-inbox does not.
    out.set_content_key(to_string(key->key.expose()));
    out.set_nonce_prefix(to_string(key->nonce_prefix));
    out.set_station_id(sender->station_id());
  }

  int fd_;
  const GateSettings& settings_;
  RandomSource& random_;
  SecretBytes pin_;
  v1::WorkerRole role_ = v1::WORKER_ROLE_UNSPECIFIED;
  std::unique_ptr<Hsm> hsm_;
  std::unique_ptr<SegmentMaker> maker_;
  std::deque<v1::WorkerRequest> waiting_;
};

}  // namespace

int run_worker(int fd, const GateSettings& settings, RandomSource& random) { return Worker{fd, settings, random}.run(); }

}  // namespace keyferry::appliance
