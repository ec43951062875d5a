// What a front end sends, up to where the gate looks at its own state: frames, the request in each, its bounds, and the
// parsers of what it carries.
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "appliance/gate/request_check.h"
#include "appliance/plan/plan.h"
#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/governance.pb.h"
#include "token/container.h"
#include "token/enrolment.h"
#include "token/signed_bytes.h"

namespace {

using namespace keyferry;  // NOLINT(google-build-using-namespace): a main of its own

void look_at_plan(const std::string& octets) {
  const auto parsed = appliance::parse_plan(as_bytes(octets));
  if (const auto* plan = std::get_if<appliance::Plan>(&parsed)) static_cast<void>(appliance::plan_subject(*plan));
}

void look_at_signed(const v1::SignedBytes& message) {
  const auto parsed = token::parse_signed_bytes(as_bytes(message.SerializeAsString()));
  if (const auto* value = std::get_if<token::SignedBytes>(&parsed)) {
    static_cast<void>(token::open_enrolment_request(*value));
    v1::Approval approval;
    static_cast<void>(approval.ParseFromArray(value->payload.data(), static_cast<int>(value->payload.size())));
  }
}

void look_at_request(ByteView frame) {
  v1::GateRequest request;
  if (!appliance::parse_request(frame, request)) return;
  if (appliance::check_request(request)) return;
  // What was taken is within the bounds, whatever it was.
  if (request.segment().entries_size() > 16'384 || request.run_plan().plan().size() > appliance::kMaxPlanBytes) std::abort();
  look_at_plan(request.run_plan().plan());
  look_at_plan(request.segment().plan());
  look_at_plan(request.manifest().plan());
  look_at_plan(request.export_token().plan());
  for (const v1::SignedBytes& approval : request.run_plan().approvals()) look_at_signed(approval);
  if (request.run_plan().has_enrolment_request()) look_at_signed(request.run_plan().enrolment_request());
  static_cast<void>(token::parse_header(as_bytes(request.inbox().header())));
  static_cast<void>(token::parse_trailer(as_bytes(request.inbox().trailer())));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool quiet = [] {
    google::protobuf::SetLogHandler(nullptr);  // as in gate and worker
    return true;
  }();
  static_cast<void>(quiet);
  ByteView rest{data, size};
  while (rest.size() >= 4) {
    const auto length = appliance::frame_length(rest.first(4));
    rest = rest.subspan(4);
    if (!length || *length > rest.size()) break;
    look_at_request(rest.first(*length));
    rest = rest.subspan(*length);
  }
  return 0;
}
