// What a worker reads from its gate, up to where it asks the HSM.
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "appliance/gate/request_check.h"
#include "appliance/plan/plan.h"
#include "keyferry/v1/worker.pb.h"
#include "token/container.h"
#include "token/signed_bytes.h"
#include "wrap/se/entry.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool quiet = [] {
    google::protobuf::SetLogHandler(nullptr);  // as in gate and worker
    return true;
  }();
  static_cast<void>(quiet);
  using namespace keyferry;  // NOLINT(google-build-using-namespace): a main of its own
  v1::WorkerRequest request;
  if (!appliance::parse_request({data, size}, request) || appliance::check_request(request)) return 0;
  static_cast<void>(appliance::parse_plan(as_bytes(request.make_segment().plan())));
  for (const std::string& entry : request.make_segment().entries()) {
    const auto parsed = se::parse_canonical_entry(as_bytes(entry));
    if (const auto* value = std::get_if<se::Entry>(&parsed)) {
      if (to_string(se::canonical_entry(*value)) != entry) std::abort();
    }
  }
  static_cast<void>(token::parse_signed_bytes(as_bytes(request.make_answer().request().SerializeAsString())));
  static_cast<void>(token::parse_header(as_bytes(request.open_inbox().header())));
  static_cast<void>(token::parse_trailer(as_bytes(request.open_inbox().trailer())));
  return 0;
}
