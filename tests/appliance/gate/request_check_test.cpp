#include "appliance/gate/request_check.h"

#include <gtest/gtest.h>

#include <functional>

#include "keyferry/v1/gate.pb.h"
#include "keyferry/v1/worker.pb.h"

namespace keyferry::appliance {
namespace {

struct Case {
  const char* name;
  std::function<void(v1::GateRequest&)> fill;
  const char* text;  // part of the refusal; empty: taken
};

void add_entries(v1::SegmentRequest& segment, int count, std::size_t size) {
  for (int i = 0; i < count; ++i) segment.add_entries(std::string(size, 'e'));
}

const std::vector<Case> kCases{
    {"nothing", [](v1::GateRequest&) {}, ""},
    {"the longest plan", [](v1::GateRequest& r) { r.mutable_run_plan()->set_plan(std::string(65'536, 'p')); }, ""},
    {"a longer plan", [](v1::GateRequest& r) { r.mutable_run_plan()->set_plan(std::string(65'537, 'p')); },
     "RunPlanRequest.plan has 65537 octets, at most 65536 are taken"},
    {"the plan of a segment", [](v1::GateRequest& r) { r.mutable_segment()->set_plan(std::string(65'537, 'p')); }, "SegmentRequest.plan"},
    {"the plan of an export", [](v1::GateRequest& r) { r.mutable_export_token()->set_plan(std::string(65'537, 'p')); }, "ExportRequest.plan"},
    {"the largest segment", [](v1::GateRequest& r) { add_entries(*r.mutable_segment(), 16'384, 500); }, ""},
    {"a larger segment", [](v1::GateRequest& r) { add_entries(*r.mutable_segment(), 16'385, 1); },
     "SegmentRequest.entries has 16385 values, at most 16384 are taken"},
    {"a long entry", [](v1::GateRequest& r) { add_entries(*r.mutable_segment(), 1, 4097); }, "SegmentRequest.entries has 4097 octets"},
    {"a long path", [](v1::GateRequest& r) { for (int i = 0; i < 65; ++i) r.mutable_segment()->add_path("x"); }, "SegmentRequest.path"},
    {"a long hash in a path", [](v1::GateRequest& r) { r.mutable_segment()->add_path(std::string(33, 'x')); }, "SegmentRequest.path"},
    {"too many approvals", [](v1::GateRequest& r) { for (int i = 0; i < 65; ++i) r.mutable_run_plan()->add_approvals(); },
     "RunPlanRequest.approvals"},
    {"a long approval", [](v1::GateRequest& r) { r.mutable_run_plan()->add_approvals()->set_payload(std::string(65'537, 'x')); },
     "SignedBytes.payload"},
    {"too many chunk hashes", [](v1::GateRequest& r) { for (int i = 0; i <= 262'144; ++i) r.mutable_inbox()->add_chunk_hashes(""); },
     "InboxRequest.chunk_hashes"},
    {"a long header", [](v1::GateRequest& r) { r.mutable_inbox()->set_header(std::string(4097, 'h')); }, "InboxRequest.header"},
    {"too many leaves", [](v1::GateRequest& r) { for (int i = 0; i < 4097; ++i) r.mutable_report()->add_leaves(); }, "ReportRequest.leaves"},
    {"a long text in a leaf", [](v1::GateRequest& r) { r.mutable_report()->add_leaves()->mutable_note()->set_event(std::string(4097, 'n')); },
     "NoteLeaf.event"},
    {"a long answer", [](v1::GateRequest& r) { r.mutable_leaf_hashes()->add_hashes(std::string(33, 'h')); }, "LeafHashes.hashes"},
};

TEST(RequestCheck, HoldsEachFieldAgainstItsBound) {
  for (const Case& one : kCases) {
    v1::GateRequest request;
    one.fill(request);
    const auto refusal = check_request(request);
    if (*one.text == '\0') {
      EXPECT_FALSE(refusal) << one.name << ": " << refusal->text;
      continue;
    }
    ASSERT_TRUE(refusal) << one.name;
    EXPECT_EQ(refusal->reason, "request-bound") << one.name;
    EXPECT_NE(refusal->text.find(one.text), std::string::npos) << refusal->text;
  }
}

/// Field 4095, wire type 0, value 1: of no version of these messages.
constexpr std::string_view kUnknownField{"\xf8\xff\x01\x01", 4};

TEST(RequestCheck, RefusesFieldsThatThisProgramDoesNotKnow) {
  v1::GateRequest request;
  ASSERT_TRUE(parse_request(as_bytes(kUnknownField), request));
  ASSERT_TRUE(check_request(request));
  EXPECT_EQ(check_request(request)->reason, "request-unknown-field");
}

TEST(RequestCheck, RefusesUnknownFieldsAtAnyDepth) {
  v1::GateRequest request;
  v1::SignedBytes& approval = *request.mutable_run_plan()->add_approvals();
  ASSERT_TRUE(approval.ParseFromString(std::string{kUnknownField}));
  const auto refusal = check_request(request);
  ASSERT_TRUE(refusal);
  EXPECT_NE(refusal->text.find("SignedBytes"), std::string::npos) << refusal->text;
}

TEST(RequestCheck, HoldsTheGateToBoundsToo) {
  v1::WorkerRequest request;
  request.mutable_make_segment()->set_plan(std::string(65'537, 'p'));
  ASSERT_TRUE(check_request(request));
  request.Clear();
  ASSERT_TRUE(parse_request(as_bytes(kUnknownField), request));
  EXPECT_EQ(check_request(request)->reason, "request-unknown-field");
}

TEST(RequestCheck, TakesNoGarbageForARequest) {
  v1::GateRequest request;
  EXPECT_FALSE(parse_request(as_bytes("\xff\xff\xff\xff"), request));
  EXPECT_FALSE(parse_request(as_bytes(std::string_view{"\x0a\x7f", 2}), request));
}

TEST(FrameLength, IsBounded) {
  EXPECT_EQ(frame_length(Bytes{0, 0, 1, 2}), 258U);
  EXPECT_EQ(frame_length(Bytes{1, 0, 0, 0}), kMaxFrameBytes);
  EXPECT_FALSE(frame_length(Bytes{1, 0, 0, 1}));
  EXPECT_FALSE(frame_length(Bytes{0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(frame_length(Bytes{0, 0, 1, 2}, 257));
}

}  // namespace
}  // namespace keyferry::appliance
