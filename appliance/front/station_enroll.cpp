#include "appliance/front/station_enroll.h"

#include <fmt/format.h>

#include <fstream>
#include <optional>
#include <utility>

#include "appliance/front/context.h"
#include "appliance/front/operation.h"
#include "appliance/front/own_card.h"
#include "appliance/reader/reader_medium.h"
#include "keyferry/v1/gate.pb.h"
#include "token/enrolment.h"
#include "token/layout.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/base/words.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr const char* kKeptRequest = "enrolment-request.kf";

struct Request {
  token::SignedBytes signed_bytes;
  token::EnrolmentRequest content;
  Digest sha256;
};

std::variant<Request, Refusal> read_request(token::Medium& medium, const token::TokenFile& file) {
  const auto octets = token::read_in(medium, file.name);
  if (const auto* refusal = std::get_if<Refusal>(&octets)) return *refusal;
  auto signed_bytes = token::parse_signed_bytes(std::get<Bytes>(octets));
  if (const auto* refusal = std::get_if<Refusal>(&signed_bytes)) return *refusal;
  auto& value = std::get<token::SignedBytes>(signed_bytes);
  auto content = token::open_enrolment_request(value);
  if (const auto* refusal = std::get_if<Refusal>(&content)) return *refusal;
  const Digest sha256 = crypto::sha256(value.payload);
  return Request{std::move(value), std::get<token::EnrolmentRequest>(std::move(content)), sha256};
}

struct RefusedRequest {
  std::string file;
  Refusal refusal;
};

/// The one request that is meant. Requests that do not open are told and left. No HSM login is held
/// while this reads.
std::variant<Request, Refusal> find_request(Context& context,
                                            token::Medium& medium,
                                            const EnrollOptions& options,
                                            std::vector<RefusedRequest>& refused) {
  std::vector<Request> found;
  for (const token::TokenFile& file : token::list_token(medium).files) {
    if (!std::holds_alternative<token::RequestName>(file.parsed)) continue;
    auto request = read_request(medium, file);
    if (const auto* refusal = std::get_if<Refusal>(&request)) {
      context.out().note(fmt::format("{}: {}", file.name, refusal->text));
      refused.push_back({file.name, *refusal});
      continue;
    }
    auto& opened = std::get<Request>(request);
    if (!options.name || opened.content.name == *options.name) found.push_back(std::move(opened));
  }
  if (found.size() == 1) return std::move(found.front());
  if (found.empty()) {
    if (!refused.empty()) return refused.back().refusal;
    return Refusal{"request-absent",
                   "there is no enrolment request on this token",
                   "make one at the station: keyferry-station enroll --to DIR"};
  }
  return Refusal{"request-ambiguous",
                 fmt::format("there are {} enrolment requests on this token", found.size()),
                 "name the station with --name"};
}

std::string asked_words(Output& out) {
  std::ifstream terminal{"/dev/tty"};
  if (!terminal) {
    throw Error{Code::Usage,
                "there is no terminal to confirm the words on",
                "give them with --fingerprint"};
  }
  out.note("type the words that the station shows:");
  std::string line;
  std::getline(terminal, line);
  return line;
}

/// Both ways: these words are read to the person at the station, that person's words are typed
/// here.
std::optional<Refusal> compare_words(Context& context,
                                     const Request& request,
                                     const EnrollOptions& options) {
  context.out().note(fmt::format("station \"{}\" at site \"{}\" asks to be enrolled",
                                 request.content.name,
                                 request.content.site));
  const std::string expected = key_words(request.sha256.bytes());
  if (!options.fingerprint) context.out().note("words of its request: " + expected);
  const auto typed =
      from_words(options.fingerprint ? *options.fingerprint : asked_words(context.out()));
  const auto meant = from_words(expected);
  if (typed && meant && equal(*typed, *meant)) return std::nullopt;
  return Refusal{"fingerprint",
                 "the words are not those of the request on this token",
                 "read the words at the station's own screen; do not enroll it when they differ"};
}

/// Is this an answer to that very request?
bool answers(ByteView octets, const Digest& request_sha256, const crypto::PublicKey& export_key) {
  const auto value = token::parse_signed_bytes(octets);
  if (!std::holds_alternative<token::SignedBytes>(value)) return false;
  const auto& signed_answer = std::get<token::SignedBytes>(value);
  if (!token::verify_signed(signed_answer, crypto::SignatureKind::EnrolmentAnswer, export_key))
    return false;
  const auto answer = token::parse_enrolment_answer(signed_answer.payload);
  const auto* content = std::get_if<token::EnrolmentAnswer>(&answer);
  return content != nullptr && content->request_sha256 == request_sha256;
}

/// True when the token holds an answer to this very request already.
bool answered(const std::variant<Bytes, Refusal>& octets,
              const Request& request,
              const crypto::PublicKey& export_key) {
  return std::holds_alternative<Bytes>(octets) &&
         answers(std::get<Bytes>(octets), request.sha256, export_key);
}

std::filesystem::path kept_answer_file(Context& context, const StationId& station) {
  return context.paths().answers() / (station.hex() + ".kf");
}

/// The answer that a plan run kept; nothing when there is none to this request.
std::optional<Bytes> kept_answer(Context& context,
                                 const Request& request,
                                 const crypto::PublicKey& export_key) {
  const StationId station = token::station_id_of(request.content.signing_key);
  auto octets = read_file_if_exists(kept_answer_file(context, station), token::kMaxSignedBytes);
  if (octets && answers(*octets, request.sha256, export_key)) return octets;
  return std::nullopt;
}

void write_answer(Context& context,
                  token::Medium& medium,
                  const StationId& station,
                  ByteView answer) {
  token::write_out(
      medium, std::string{token::kApplianceCardName}, own_card_octets(context), Overwrite::Replace);
  KF_CUT("front.station-enroll.card-out");
  token::write_out(medium,
                   token::answer_name(station),
                   answer,
                   Overwrite::Replace);
  KF_CUT("front.station-enroll.answer-out");
}

}  // namespace

int station_enroll(Context& context, const EnrollOptions& options) {
  context.rest_gate();
  std::vector<RefusedRequest> refused;
  std::optional<ReaderMedium> reader{std::in_place, options.token, context.settings().reader_socket};
  auto found = find_request(context, *reader, options, refused);
  std::variant<Bytes, Refusal> answer_there = Refusal{"absent", "no request, no answer"};
  if (const auto* asked = std::get_if<Request>(&found)) {
    answer_there = token::read_in(
        *reader, token::answer_name(token::station_id_of(asked->content.signing_key)));
  }
  reader.reset();
  GateSession& gate = context.gate();
  for (const auto& [file, refusal] : refused)
    gate.report_refused("enrolment-request", refusal, file);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  const auto& request = std::get<Request>(found);
  const StationId station = token::station_id_of(request.content.signing_key);
  if (const auto refusal = compare_words(context, request, options)) {
    gate.report_refused("enrolment-request", *refusal, request.sha256.hex());
    throw to_error(*refusal);
  }
  const Registry registry = context.ledger().registry();
  const bool enrolled = registry.station(station) != nullptr;
  const token::ApplianceCard card = own_card(context);
  const bool done_before = enrolled && answered(answer_there, request, card.export_key);
  const auto kept = enrolled ? kept_answer(context, request, card.export_key) : std::nullopt;
  if (kept && !done_before) {
    token::FolderMedium medium{options.token};
    write_answer(context, medium, station, *kept);
  }
  if (!kept && !done_before) {
    OperationInput input;
    input.enrolment_request = request.signed_bytes;
    input.keep.push_back({kKeptRequest, {}, token::encode(request.signed_bytes)});
    const v1::GateReply reply = run_operation(
        context,
        Operation::StationEnroll,
        StationEnrollPlan{request.content.name, request.content.site, request.sha256, station},
        input);
    KF_CUT("front.station-enroll.enrolled");
    token::FolderMedium medium{options.token};
    write_answer(
        context, medium, station, as_bytes(reply.enrolled().answer().SerializeAsString()));
  }
  const std::string words = key_words(card.appliance_id.bytes());
  Json json{{"station_id", station.hex()},
            {"name", request.content.name},
            {"site", request.content.site},
            {"request_sha256", request.sha256.hex()},
            {"fingerprint", words},
            {"answer", token::answer_name(station)},
            {"done_before", done_before}};
  context.out().result(
      "station",
      json,
      {fmt::format(
           "station \"{}\" {} enrolled", request.content.name, done_before ? "was already" : "is"),
       "id           " + station.hex(),
       "site         " + request.content.site,
       "for the station: this appliance's words are " + words});
  return 0;
}

int run_station_enroll(Context& context, const Plan& plan, const std::vector<Bytes>& approvals) {
  const auto& detail = std::get<StationEnrollPlan>(plan.detail);
  const Bytes octets =
      read_file(kept_input(context, plan, kKeptRequest), token::kMaxSignedBytes);
  auto request = token::parse_signed_bytes(octets);
  if (const auto* refusal = std::get_if<Refusal>(&request)) throw to_error(*refusal);
  OperationInput input;
  input.enrolment_request = std::get<token::SignedBytes>(std::move(request));
  const v1::GateReply reply = run_at_gate(context, plan, approvals, input);
  const std::string answer = reply.enrolled().answer().SerializeAsString();
  make_private_directory(context.paths().answers());
  write_file_durably(
      kept_answer_file(context, detail.station), as_bytes(answer), Overwrite::Replace);
  if (const auto& folder = context.options().token) {
    token::FolderMedium medium{*folder};
    write_answer(context, medium, detail.station, as_bytes(answer));
  }
  context.out().result(
      "station",
      Json{{"station_id", detail.station.hex()},
           {"name", detail.name},
           {"site", detail.site},
           {"answer_written", context.options().token.has_value()},
           {"done_before", false}},
      {fmt::format("station \"{}\" is enrolled", detail.name),
       context.options().token
           ? "its answer is on the token"
           : "its answer waits here: keyferry-appliance station enroll TOKEN-DIR writes it"});
  return 0;
}

}  // namespace keyferry::appliance
