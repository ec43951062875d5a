#include "appliance/gate/worker.h"

#include <fmt/format.h>

#include <chrono>
#include <deque>
#include <memory>
#include <thread>

#include "appliance/gate/backup_acts.h"
#include "appliance/gate/end_acts.h"
#include "appliance/gate/hardening.h"
#include "appliance/gate/hsm.h"
#include "appliance/gate/key_acts.h"
#include "appliance/gate/pin_tries.h"
#include "appliance/gate/request_check.h"
#include "appliance/gate/segment_maker.h"
#include "appliance/gate/shares.h"
#include "appliance/gate/signed_acts.h"
#include "appliance/gate/preparation_acts.h"
#include "appliance/gate/state_store.h"
#include "keyferry/v1/worker.pb.h"
#include "wrap/base/cut.h"
#include "wrap/base/frame.h"
#include "wrap/base/locked_memory.h"
#include "wrap/base/process.h"
#include "wrap/base/secret_frame.h"

namespace keyferry::appliance {
namespace {

constexpr unsigned kMaxPendingSegments = 8;
constexpr unsigned kAttempts = 5;  // of a request, when the HSM is lost in between
constexpr auto kFirstPause = std::chrono::milliseconds{20};  // four times as long before each further attempt: 1.7 s in all

template <typename Id>
Id id_of(const std::string& octets, const char* what) {
  const auto id = Id::from_bytes(as_bytes(octets));
  if (!id) throw Error{Code::Refused, fmt::format("{} has a wrong length", what)};
  return *id;
}

class Worker {
 public:
  Worker(int fd, const GateSettings& settings, const std::filesystem::path& settings_file, RandomSource& random)
      : fd_{fd}, settings_{settings}, settings_file_{settings_file}, random_{random} {}

  int run() {
    auto pin = read_secret_frame(fd_);
    if (!pin) return 0;
    pin_ = std::move(*pin);
    static_cast<void>(lock_memory(pin_.expose()));  // whether it worked is one of the facts; the gate has judged the limit
    for (;;) {
      if (!waiting_.empty()) {
        const Incoming incoming = std::move(waiting_.front());
        waiting_.pop_front();
        serve(incoming);
        continue;
      }
      const auto incoming = read_request();
      if (!incoming) return 0;
      serve(*incoming);
    }
  }

 private:
  /// A request with the secrets that follow it: an imported key's octets, the shares of a backup, PINs.
  struct Incoming {
    v1::WorkerRequest request;
    std::vector<SecretBytes> secrets;
  };

  std::optional<Incoming> read_request() {
    const auto frame = read_frame(fd_);
    if (!frame) return std::nullopt;
    Incoming incoming;
    if (!parse_request(*frame, incoming.request)) {
      throw Error{Code::Channel, "the gate sent what is no request"};
    }
    std::uint32_t secrets = incoming.request.make_key().import() ? 1 : 0;
    // Only to a worker of that role does a gate send them; any other one refuses the request as it is.
    if (incoming.request.has_change_pin() && role_ == v1::WORKER_ROLE_PINS) secrets = incoming.request.change_pin().so_pin() ? 2 : 1;
    if (incoming.request.has_start()) {
      secrets = std::min(incoming.request.start().backup_shares(), kMaxBackupShares) + (incoming.request.start().so_pin() ? 1 : 0);
    }
    for (; secrets > 0; --secrets) {
      auto secret = read_secret_frame(fd_);
      if (!secret) throw Error{Code::Channel, "the gate announced a secret and did not send it"};
      incoming.secrets.push_back(std::move(*secret));
    }
    return incoming;
  }

  void send(std::uint64_t id, v1::WorkerReply& reply) {
    reply.set_id(id);
    Bytes octets(reply.ByteSizeLong());
    reply.SerializeToArray(octets.data(), static_cast<int>(octets.size()));
    write_frame(fd_, octets);
  }

  /// The border of a request: whatever went wrong is its answer.
  void serve(const Incoming& incoming) {
    const v1::WorkerRequest& request = incoming.request;
    v1::WorkerReply reply;
    try {
      answer_with_recovery(incoming, reply);
    } catch (const Error& error) {
      return send_error(request.id(), error);
    }
    send(request.id(), reply);
  }

  void send_error(std::uint64_t id, const Error& error) {
    v1::WorkerReply reply;
    v1::ErrorReply& said = *reply.mutable_error();
    said.set_code(std::string{code_name(error.code())});
    said.set_text(error.what());
    said.set_hint(error.hint());
    if (error.code() == Code::Channel) throw Error{error};
    send(id, reply);
  }

  /// What reads, signs over the same octets or begins from its start can be done again after session, token or module
  /// were lost: kf-state is asked first whether it was written (StateStore), a key that was half made is destroyed first.
  /// Segments begin records again themselves; of what has sent pieces, and of a restore, nothing is repeated here.
  [[nodiscard]] bool may_be_repeated(v1::WorkerRequest::RequestCase request) const {
    using Case = v1::WorkerRequest::RequestCase;
    return request != Case::kStart && request != Case::kBackup && request != Case::kRestore && request != Case::kChangePin &&
           !pieces_sent_;
  }

  void answer_with_recovery(const Incoming& incoming, v1::WorkerReply& reply) {
    pieces_sent_ = false;
    auto needed = p11::Recovery::None;
    for (unsigned attempt = 1;; ++attempt) {
      try {
        if (hsm_ && !hsm_->connected()) needed = p11::Recovery::NewModule;
        if (needed != p11::Recovery::None) recover(needed);
        return answer(incoming, reply);
      } catch (const p11::Pkcs11Error& error) {
        needed = error.recovery();
        if (!hsm_ || attempt >= kAttempts || needed == p11::Recovery::None ||
            !may_be_repeated(incoming.request.request_case())) {
          throw;
        }
      }
      reply.Clear();
      std::this_thread::sleep_for(kFirstPause * (1U << (2 * (attempt - 1))));
    }
  }

  /// In the middle of a segment, whose session is in use and must not be renewed here: a request that fails for want of the
  /// HSM waits for the segment's end.
  void serve_or_put_off(Incoming incoming) {
    if (!hsm_->connected()) return waiting_.push_back(std::move(incoming));
    v1::WorkerReply reply;
    try {
      answer(incoming, reply);
    } catch (const p11::Pkcs11Error& error) {
      if (error.recovery() != p11::Recovery::None) return waiting_.push_back(std::move(incoming));
      return send_error(incoming.request.id(), error);
    } catch (const Error& error) {
      return send_error(incoming.request.id(), error);
    }
    send(incoming.request.id(), reply);
  }

  /// Between two records of a segment: short requests are served at once, longer ones wait.
  void serve_waiting() {
    while (frame_waiting(fd_)) {
      auto incoming = read_request();
      if (!incoming) throw Error{Code::Channel, "the gate has gone"};
      const bool short_one = incoming->request.request_case() == v1::WorkerRequest::kSignTrailer ||
                             incoming->request.request_case() == v1::WorkerRequest::kDropSegment;
      if (short_one) {
        serve_or_put_off(std::move(*incoming));
      } else {
        waiting_.push_back(std::move(*incoming));
      }
    }
  }

  /// A key worker, or one without a role: it is logged in and looks, whatever state the HSM is in.
  void need_looker() const {
    if (!hsm_ || (role_ != v1::WORKER_ROLE_KEYS && role_ != v1::WORKER_ROLE_UNSPECIFIED)) {
      throw Error{Code::Refused, "this worker does not serve that request"};
    }
  }

  void need(v1::WorkerRole role) const {
    if (role_ != role) throw Error{Code::Refused, "this worker does not serve that request"};
  }

  void answer(const Incoming& incoming, v1::WorkerReply& reply) {
    const v1::WorkerRequest& request = incoming.request;
    using Case = v1::WorkerRequest::RequestCase;
    if (const auto refusal = check_request(request)) throw to_error(*refusal);
    switch (request.request_case()) {
      case Case::kStart: start(incoming, *reply.mutable_started()); return;
      case Case::kMakeApplianceKeys:
        need(v1::WORKER_ROLE_STATE);
        if (StateStore{*hsm_}.read()) throw Error{Code::Refused, "this HSM is initialised already"};
        make_appliance_keys(*hsm_, *reply.mutable_inventory());
        return;
      case Case::kMakeCard:
        need(v1::WORKER_ROLE_STATE);
        make_card(*hsm_, request.make_card(), *reply.mutable_signed_bytes());
        return;
      case Case::kMakeKey:
        need(v1::WORKER_ROLE_KEYS);
        make_key(*hsm_, random_, request.make_key(), imported_key(incoming), *reply.mutable_key_made());
        return;
      case Case::kCheckDelivered:
        need(v1::WORKER_ROLE_KEYS);
        check_delivered(*hsm_, request.check_delivered(), *reply.mutable_delivered());
        return;
      case Case::kListObjects:
        need_looker();
        list_objects(*hsm_, request.list_objects(), *reply.mutable_inventory());
        return;
      case Case::kProbe:
        need_looker();
        probe_thoroughly(*hsm_, *reply.mutable_facts());
        if (request.probe().entropy()) test_generator(*hsm_, *reply.mutable_facts()->mutable_random());
        return;
      case Case::kMakeRevocations:
        need(v1::WORKER_ROLE_KEYS);
        make_revocations(*hsm_, request.make_revocations(), *reply.mutable_signed_bytes());
        return;
      case Case::kMakePreparationOrder:
        need(v1::WORKER_ROLE_KEYS);
        make_preparation_order(*hsm_, request.make_preparation_order(), *reply.mutable_signed_bytes());
        return;
      case Case::kMakeCrl:
        need(v1::WORKER_ROLE_KEYS);
        make_crl(*hsm_, request.make_crl(), *reply.mutable_crl());
        return;
      case Case::kDestroyKey:
        need_looker();
        destroy_key(*hsm_, request.destroy_key(), *reply.mutable_key_destroyed());
        return;
      case Case::kBackup:
        need(v1::WORKER_ROLE_BACKUP);
        make_backup(*hsm_, random_, request.backup(), *reply.mutable_backup());
        return;
      case Case::kRestore:
        need(v1::WORKER_ROLE_BACKUP);
        if (backup_key_.empty()) throw Error{Code::Refused, "this worker was given no shares"};
        restore_backup(*hsm_, backup_key_, request.restore(), *reply.mutable_restored());
        return;
      case Case::kChangePin:
        need(v1::WORKER_ROLE_PINS);
        if (request.change_pin().so_pin()) {
          hsm_->change_so_pin(incoming.secrets.at(0), incoming.secrets.at(1), pin_);
        } else {
          hsm_->change_user_pin(pin_, incoming.secrets.at(0));
          pin_ = SecretBytes::copy_of(incoming.secrets.at(0).expose());
        }
        reply.mutable_dropped();
        return;
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
      case Case::kMakeAnswer:
        need(v1::WORKER_ROLE_KEYS);
        make_answer(*hsm_, request.make_answer(), *reply.mutable_signed_bytes());
        return;
      case Case::kMakeTokenCard:
        need(v1::WORKER_ROLE_KEYS);
        make_token_card(*hsm_, request.make_token_card(), *reply.mutable_signed_bytes());
        return;
      case Case::kOpenInbox:
        need(v1::WORKER_ROLE_KEYS);
        open_inbox(*hsm_, request.open_inbox(), *reply.mutable_inbox_key());
        return;
      case Case::REQUEST_NOT_SET: break;
    }
    throw Error{Code::Refused, "a request that this worker does not know"};
  }

  SegmentSink sink(std::uint64_t id) {
    return SegmentSink{
        .body =
            [this, id](ByteView octets) {
              pieces_sent_ = true;
              v1::WorkerReply reply;
              reply.mutable_body()->set_octets(to_string(octets));
              send(id, reply);
            },
        .records =
            [this, id](v1::IssuedRecords& records) {
              pieces_sent_ = true;
              v1::WorkerReply reply;
              reply.mutable_records()->Swap(&records);
              send(id, reply);
            },
        .sealed_certificates =
            [this, id](ByteView octets) {
              pieces_sent_ = true;
              v1::WorkerReply reply;
              reply.mutable_sealed_certificates()->set_octets(to_string(octets));
              send(id, reply);
            },
        .between_records = [this] { serve_waiting(); },
    };
  }

  p11::Session& session() { return hsm_->session(); }

  /// kf-backup's octets from the shares that came with the request; false when none did.
  bool combine(const Incoming& incoming, v1::Started& started) {
    const v1::WorkerStart& request = incoming.request.start();
    if (request.backup_shares() == 0) return false;
    std::vector<SecretBytes> shares;
    for (std::size_t i = 0; i < request.backup_shares(); ++i) {
      shares.push_back(SecretBytes::copy_of(incoming.secrets.at(i).expose()));
    }
    auto combined = combine_shares(shares);
    if (const auto* refusal = std::get_if<Refusal>(&combined)) throw to_error(*refusal);
    backup_key_ = std::get<SecretBytes>(std::move(combined));
    started.set_backup_key_check(to_string(backup_key_check(backup_key_)));
    if (request.backup_key_check().empty() || request.backup_key_check() == started.backup_key_check()) return true;
    throw Error{Code::Refused, "the shares are of another backup key than the file's", "compare the line \"check\" of each share"};
  }

  /// A PIN that was proved counts too: somebody may have changed it meanwhile. A login that broke off is not tried again
  /// by itself, since the token may have counted it: neither by this request nor by one that comes after it.
  void recover(p11::Recovery recovery) {
    if (login_broke_off_) throw Error{*login_broke_off_};
    PinTry login{settings_file_};
    try {
      hsm_->recover(recovery, pin_);
    } catch (const PinRefused&) {
      throw;
    } catch (const p11::Pkcs11Error& error) {
      if (error.function() == "C_Login") {
        login_broke_off_.emplace(Code::Hsm,
                                 fmt::format("{} when the HSM had come back; a login is not tried again by itself", error.what()),
                                 "look after the HSM, then give the same command again");
        throw Error{*login_broke_off_};
      }
      login.not_tried();
      throw;
    } catch (const Error&) {
      login.not_tried();
      throw;
    }
    login.succeeded();
  }

  void start(const Incoming& incoming, v1::Started& started) {
    const v1::WorkerStart& request = incoming.request.start();
    if (hsm_) throw Error{Code::Refused, "this worker has started already"};
    if (const auto refusal = pin_tries_refusal(settings_file_)) throw to_error(*refusal);
    if (pin_.empty()) throw Error{Code::Refused, "the gate gave no PIN"};
    role_ = request.role();
    const bool with_shares = combine(incoming, started);  // before a blank token is touched
    const SecretBytes* const so_pin = request.so_pin() ? &incoming.secrets.back() : nullptr;
    auto hsm = std::make_unique<Hsm>(settings_, pin_,
                                     request.may_initialize() ? BlankToken::Initialise : BlankToken::Refuse, so_pin);
    PinTry login{settings_file_};
    if (const auto refusal = check_pin_flags(hsm->token(), login.final_try())) {
      login.not_tried();
      throw to_error(*refusal);
    }
    const p11::LoginResult result = hsm->login(pin_);
    if (result != p11::LoginResult::Ok) {
      started.set_wrong_pin(fmt::format("{} ({} wrong ones in a row)", p11::to_string(result), login.count_text()));
      return;
    }
    login.succeeded();
    install_filter(FilteredProcess::Worker, settings_.filter);  // the module is loaded
    hsm_ = std::move(hsm);
    if (with_shares) {
      hsm_->ensure_backup_key(backup_key_, so_pin, pin_);
      if (role_ != v1::WORKER_ROLE_BACKUP) backup_key_ = SecretBytes{};
    } else if (role_ == v1::WORKER_ROLE_BACKUP || request.may_initialize()) {
      hsm_->probe();  // before anything is made in it
    }
    if (role_ == v1::WORKER_ROLE_KEYS) {
      hsm_->probe();
      maker_ = std::make_unique<SegmentMaker>(*hsm_, random_, kMaxPendingSegments, settings_.threads,
                                              [this](p11::Recovery recovery) { recover(recovery); });
    }
    const RoleCheck check = check_roles(session());
    v1::HsmFacts& facts = *started.mutable_facts();
    facts.set_module(hsm_->module_text());
    facts.set_token_label(hsm_->token().label);
    facts.set_token_serial(hsm_->token().serial);
    for (const std::string& fact : hsm_->facts().facts) facts.add_facts(fact);
    for (const std::string& fact : hardening_facts(FilteredProcess::Worker, pin_)) facts.add_facts(fact);
    for (const std::string& stranger : check.strangers) facts.add_strangers(stranger);
    for (const std::string& drift : check.drift) started.add_drift(drift);
    started.set_blank(true);
    if (role_ != v1::WORKER_ROLE_STATE || !check.drift.empty()) return;
    if (request.may_initialize() && !with_shares && backup_key_in(session()) == BackupKey::Present) {
      throw Error{Code::Refused, "this token holds a kf-backup of an init that was cut off", "give the same --backup-shares and --backup-share-dir as then"};
    }
    const auto log_keys = session().find_one(p11::ObjectClass::PrivateKey, role_label(KeyRole::Log, ""));
    if (!log_keys) return;
    const auto state = StateStore{*hsm_}.read();
    if (!state) return;
    started.set_blank(false);
    started.set_log_key(to_string(find_role_point(session(), KeyRole::Log, "").point()));
  }

  static const SecretBytes* imported_key(const Incoming& incoming) {
    return incoming.secrets.empty() ? nullptr : &incoming.secrets.front();
  }

  int fd_;
  const GateSettings& settings_;
  std::filesystem::path settings_file_;
  RandomSource& random_;
  SecretBytes pin_;
  std::optional<Error> login_broke_off_;
  v1::WorkerRole role_ = v1::WORKER_ROLE_UNSPECIFIED;
  std::unique_ptr<Hsm> hsm_;
  std::unique_ptr<SegmentMaker> maker_;
  SecretBytes backup_key_;  // a BACKUP worker that restores
  bool pieces_sent_ = false;  // of the answer to the request that is served
  std::deque<Incoming> waiting_;
};

}  // namespace

int run_worker(int fd, const GateSettings& settings, const std::filesystem::path& settings_file, RandomSource& random) {
  return Worker{fd, settings, settings_file, random}.run();
}

}  // namespace keyferry::appliance
