// A worker whose gate sends what no gate sends: it refuses or ends, and makes nothing.
#include "keyferry/v1/worker.pb.h"
#include "tests/appliance/gate/gate_fixture.h"
#include "wrap/base/frame.h"
#include "wrap/base/secret_frame.h"

namespace keyferry::appliance::test {
namespace {

constexpr std::chrono::seconds kLimit{30};

class HostileGate : public GateFixture {
 protected:
  void SetUp() override {
    const auto gate = start_gate();
    initialize(*gate);
  }

  void start_worker(const std::string& pin = "2468135790") {
    const GateSettings settings = read_settings(settings_file_);
    auto [ours, theirs] = socket_pair();
    worker_ = Child{ChildSpec{.program = std::filesystem::path{KEYFERRY_BIN_DIR} / "keyferry-hsm-worker",
                              .arguments = {"--settings", settings_file_.string()},
                              .descriptors = {{theirs.get(), 3}},
                              .environment = {settings.environment.begin(), settings.environment.end()}}};
    socket_ = std::move(ours);
    write_secret_frame(socket_, SecretBytes::copy_of(as_bytes(pin)));
  }

  v1::WorkerReply ask(v1::WorkerRequest request) {
    request.set_id(7);
    write_frame(socket_.get(), as_bytes(request.SerializeAsString()));
    v1::WorkerReply reply;
    const auto frame = read_frame(socket_.get(), kLimit);
    EXPECT_TRUE(frame && reply.ParseFromArray(frame->data(), static_cast<int>(frame->size())));
    EXPECT_EQ(reply.id(), 7U);
    return reply;
  }

  void start_as(v1::WorkerRole role) {
    start_worker();
    v1::WorkerRequest request;
    request.mutable_start()->set_role(role);
    const v1::WorkerReply reply = ask(std::move(request));
    ASSERT_TRUE(reply.has_started()) << reply.error().text();
    ASSERT_TRUE(reply.started().wrong_pin().empty()) << reply.started().wrong_pin();
  }

  /// Every request of the protocol but `start`, empty.
  static std::vector<v1::WorkerRequest> all_requests() {
    std::vector<v1::WorkerRequest> requests;
    const auto* kinds = v1::WorkerRequest::descriptor()->FindOneofByName("request");
    for (int i = 0; i < kinds->field_count(); ++i) {
      v1::WorkerRequest request;
      request.GetReflection()->MutableMessage(&request, kinds->field(i));
      if (!request.has_start()) requests.push_back(std::move(request));
    }
    return requests;
  }

  void expect_end() {
    EXPECT_FALSE(worker_.wait_for(kLimit).value_or(0) == 0);
    worker_ = Child{};
  }

  Child worker_;
  Fd socket_;
};

TEST_F(HostileGate, GetsNothingBeforeTheLogin) {
  start_worker();
  for (const v1::WorkerRequest& request : all_requests()) {
    EXPECT_TRUE(ask(request).has_error()) << request.ShortDebugString();
  }
  EXPECT_TRUE(worker_.running());
}

TEST_F(HostileGate, GetsNothingForARequestThatIsNotInTheSet) {
  start_as(v1::WORKER_ROLE_STATE);
  EXPECT_NE(ask({}).error().text().find("does not know"), std::string::npos);
  v1::WorkerRequest request;
  request.GetReflection()->MutableUnknownFields(&request)->AddVarint(4095, 1);
  EXPECT_NE(ask(request).error().text().find("does not know"), std::string::npos);
}

TEST_F(HostileGate, GetsNothingForFieldsBeyondTheirBounds) {
  start_as(v1::WORKER_ROLE_KEYS);
  v1::WorkerRequest request;
  request.mutable_make_segment()->set_plan(std::string(65'537, 'p'));
  EXPECT_NE(ask(request).error().text().find("at most 65536 are taken"), std::string::npos);
}

TEST_F(HostileGate, GetsNoKeysOfAStateWorkerAndNoStateOfAKeyWorker) {
  start_as(v1::WORKER_ROLE_STATE);
  v1::WorkerRequest segment, card, state;
  segment.mutable_make_segment();
  EXPECT_NE(ask(segment).error().text().find("does not serve"), std::string::npos);
  card.mutable_make_token_card();
  EXPECT_NE(ask(card).error().text().find("does not serve"), std::string::npos);
  start_as(v1::WORKER_ROLE_KEYS);
  state.mutable_write_state();
  EXPECT_NE(ask(state).error().text().find("does not serve"), std::string::npos);
  state.mutable_make_appliance_keys();
  EXPECT_NE(ask(state).error().text().find("does not serve"), std::string::npos);
}

TEST_F(HostileGate, StartsAWorkerOnce) {
  start_as(v1::WORKER_ROLE_STATE);
  v1::WorkerRequest again;
  again.mutable_start()->set_role(v1::WORKER_ROLE_KEYS);
  EXPECT_NE(ask(again).error().text().find("started already"), std::string::npos);
}

TEST_F(HostileGate, LosesTheWorkerForFramesThatAreNone) {
  for (const Bytes& bad : {Bytes{0xff, 0xff, 0xff, 0xff}, Bytes{0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff}, Bytes{0, 0, 0, 9, 1}}) {
    start_worker();
    write_all(socket_, bad, "socket");
    socket_.reset();
    expect_end();
  }
}

TEST_F(HostileGate, LosesTheWorkerForAPinThatIsNone) {
  const GateSettings settings = read_settings(settings_file_);
  auto [ours, theirs] = socket_pair();
  worker_ = Child{ChildSpec{.program = std::filesystem::path{KEYFERRY_BIN_DIR} / "keyferry-hsm-worker",
                            .arguments = {"--settings", settings_file_.string()},
                            .descriptors = {{theirs.get(), 3}},
                            .environment = {}}};
  write_all(ours, Bytes{0, 0, 4, 0}, "socket");
  expect_end();
}

TEST_F(HostileGate, GetsNoLoginWithoutAPin) {
  start_worker("");
  v1::WorkerRequest request;
  request.mutable_start()->set_role(v1::WORKER_ROLE_STATE);
  EXPECT_NE(ask(request).error().text().find("no PIN"), std::string::npos);
}

}  // namespace
}  // namespace keyferry::appliance::test
