// A gate that listens on a Unix socket, as in production, and two front ends that race for what only one may have.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <thread>

#include "tests/appliance/gate/gate_fixture.h"
#include "wrap/base/frame.h"

namespace keyferry::appliance::test {
namespace {

constexpr std::chrono::seconds kStartLimit{20};

class GateSocket : public GateFixture {
 protected:
  void SetUp() override {
    {
      const auto gate = start_gate();
      make_appliance(*gate);
    }
    GateSettings settings = read_settings(settings_file_);
    settings.socket = store_.folder() / "gate.sock";
    socket_ = *settings.socket;
    write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
    listen();
    first_ = connect();
    static_cast<void>(open(*first_));
    plan_ = batch_plan(8, 4);
    run(*first_, plan_);
    second_ = connect();
    static_cast<void>(open(*second_));
  }

  void listen() {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const Fd reading{ends[0]}, writing{ends[1]};
    write_all(writing, as_bytes("2468135790\n"), "pipe");
    gate_ = Child{ChildSpec{.program = std::filesystem::path{KEYFERRY_BIN_DIR} / "keyferry-hsm-gate",
                            .arguments = {"--settings", settings_file_.string(), "--listen", "--pin-fd", "3"},
                            .descriptors = {{reading.get(), 3}},
                            .environment = {}}};
  }

  std::unique_ptr<GateClient> connect() {
    const GateOptions options{.settings = settings_file_, .pin_fd = {}, .insecure_allow = {}, .socket = socket_};
    const auto end = std::chrono::steady_clock::now() + kStartLimit;
    for (;;) {
      try {
        return std::make_unique<GateClient>(options, ledger_);
      } catch (const Error&) {
        if (!gate_.running() || std::chrono::steady_clock::now() > end) throw;
        std::this_thread::yield();  // it has not bound its socket yet
      }
    }
  }

  /// A connection that speaks raw octets.
  Fd raw() {
    Fd fd{socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_.string().copy(address.sun_path, sizeof address.sun_path - 1);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
  }

  static bool is_closed(const Fd& fd) {
    try {
      return !read_frame(fd.get(), std::chrono::seconds{20});
    } catch (const Error&) {
      return true;  // reset: octets of ours were never read
    }
  }

  [[nodiscard]] v1::GateRequest commit_request(std::uint32_t index) const {
    v1::GateRequest request;
    request.mutable_segment_commit()->set_plan_digest(plan_.digest.str());
    request.mutable_segment_commit()->set_index(index);
    request.mutable_segment_commit()->set_first_leaf(ledger_.log.size());
    return request;
  }

  std::filesystem::path socket_;
  Child gate_;
  std::unique_ptr<GateClient> first_, second_;
  Plan plan_;
};

TEST_F(GateSocket, GivesASegmentToOneOfTwoConnectionsThatRaceForIt) {
  int prepared = 0, refused = 0;
  const auto count = [&](const v1::GateReply& reply) {
    prepared += reply.has_prepared() ? 1 : 0;
    refused += reply.has_error() ? 1 : 0;
  };
  first_->start(segment_request(plan_, 0), count);
  second_->start(segment_request(plan_, 0), count);
  while (second_->under_way() != 0) second_->pump();
  while (first_->under_way() != 0) first_->pump();
  EXPECT_EQ(prepared, 1);
  EXPECT_EQ(refused, 1);
}

TEST_F(GateSocket, CommitsNothingThatAnotherConnectionPrepared) {
  const Made made = make(*first_, segment_request(plan_, 0));
  ASSERT_FALSE(made.error);
  const std::uint64_t counter = state_.counter();
  EXPECT_NE(std::string{refusal_of(*second_, commit_request(0)).what()}.find("was not prepared on this connection"), std::string::npos);
  static_cast<void>(open(*second_));
  EXPECT_EQ(state_.counter(), counter + 1) << "the refusal's leaf";
  EXPECT_EQ(state_.open_plans(0).trailers_size(), 0);
  v1::GateRequest abandon;
  abandon.mutable_segment_abandon()->set_plan_digest(plan_.digest.str());
  EXPECT_EQ(refusal_of(*second_, abandon).code(), Code::Refused) << "nor may it throw it away";
  EXPECT_FALSE(commit(*first_, plan_, made, 0).trailer().empty());
}

TEST_F(GateSocket, DropsWhatWasPreparedOnAConnectionThatEnds) {
  const Made made = make(*first_, segment_request(plan_, 0));
  ASSERT_FALSE(made.error);
  first_.reset();
  std::optional<Made> again;
  while (!again || again->error) again = make(*second_, segment_request(plan_, 0));  // until the gate has seen the end
  EXPECT_NE(again->prepared.container_id(), made.prepared.container_id());
  EXPECT_NE(again->records.at(0).public_key(), made.records.at(0).public_key());
}

TEST_F(GateSocket, EndsAConnectionThatSendsGarbageAndServesTheOthers) {
  for (const Bytes& bad : {Bytes{0xff, 0xff, 0xff, 0xff}, Bytes{0x00, 0x90, 0x00, 0x01}, Bytes{0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff},
                           Bytes{0, 0, 0, 9, 1}}) {
    Fd connection = raw();
    write_all(connection, bad, "socket");
    shutdown(connection.get(), SHUT_WR);
    EXPECT_TRUE(is_closed(connection));
  }
  EXPECT_TRUE(open(*second_).initialized());
}

TEST_F(GateSocket, RefusesEverythingBeforeOpen) {
  const std::uint64_t counter = state_.counter();
  const auto stranger = connect();
  for (const v1::GateRequest& request : {segment_request(plan_, 0), commit_request(0), run_request(plan_)}) {
    EXPECT_NE(std::string{refusal_of(*stranger, request).what()}.find("has not opened it"), std::string::npos);
  }
  EXPECT_EQ(state_.log_size(), ledger_.log.size()) << "who has not opened leaves no leaf";
  static_cast<void>(open(*second_));
  EXPECT_EQ(state_.counter(), counter);
}

TEST_F(GateSocket, TakesNoMoreConnectionsThanItCanHold) {
  std::vector<Fd> held;
  for (int i = 0; i < 14; ++i) held.push_back(raw());
  const Fd one_more = raw();
  EXPECT_TRUE(is_closed(one_more));
  EXPECT_TRUE(open(*second_).initialized());
}

class GateLock : public GateSocket {
 protected:
  /// The gate of SetUp() ends; one with `idle_lock_s` listens.
  void listen_again(unsigned idle_lock_s) {
    first_.reset();
    second_.reset();
    gate_.kill(SIGTERM);
    gate_.wait();
    GateSettings settings = read_settings(settings_file_);
    settings.idle_lock_s = idle_lock_s;
    write_file_durably(settings_file_, as_bytes(settings_text(settings)), Overwrite::Replace);
    listen();
    first_ = connect();
    static_cast<void>(open(*first_));
  }

  void expect_locked() {
    EXPECT_EQ(gate_.wait_for(std::chrono::seconds{20}), 0);
    v1::GateRequest report;
    report.mutable_report()->add_leaves()->mutable_note()->set_event("test");
    const Error late = [&] {
      try {
        static_cast<void>(first_->call(report));
      } catch (const Error& error) {
        return error;
      }
      return Error{Code::Internal, "answered"};
    }();
    EXPECT_EQ(late.code(), Code::Channel) << late.what();
    EXPECT_FALSE(std::filesystem::exists(socket_));
    const GateOptions options{.settings = settings_file_, .pin_fd = {}, .insecure_allow = {}, .socket = socket_};
    try {
      const GateClient never{options, ledger_};
      ADD_FAILURE() << "somebody listens";
    } catch (const Error& error) {
      EXPECT_NE(error.hint().find("start it again"), std::string::npos) << error.hint();
    }
  }
};

TEST_F(GateLock, EndsTheLoginWhenNobodyAsksForAWhile) {
  listen_again(2);
  const auto begun = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begun < std::chrono::seconds{3}) {  // longer than it waits, but busy
    static_cast<void>(open(*first_));
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
  }
  EXPECT_TRUE(gate_.running());
  expect_locked();
}

TEST_F(GateLock, EndsTheLoginAtOnceWhenAsked) {
  listen_again(0);
  const auto other = connect();  // needs not have opened anything
  v1::GateRequest request;
  request.mutable_lock();
  EXPECT_TRUE(other->call(std::move(request)).has_done());
  expect_locked();
}

TEST(GateSettingsOfIdleLock, AreFifteenMinutesInProductionAndNeverElsewhere) {
  const std::string text = "version = 1\n[hsm]\nuri = \"pkcs11:token=x?module-path=/x.so\"\n[gate]\n";
  EXPECT_EQ(idle_lock(parse_settings(as_bytes(text), "x")), std::chrono::seconds{0});
  EXPECT_EQ(idle_lock(parse_settings(as_bytes(text + "environment = \"production\"\n"), "x")), std::chrono::seconds{900});
  const GateSettings five = parse_settings(as_bytes(text + "idle_lock_s = 5\n"), "x");
  EXPECT_EQ(idle_lock(parse_settings(as_bytes(settings_text(five)), "x")), std::chrono::seconds{5});
  for (const char* bad : {"idle_lock_s = -1\n", "idle_lock_s = 100000\n", "environment = \"production\"\nidle_lock_s = 0\n"}) {
    EXPECT_THROW(static_cast<void>(parse_settings(as_bytes(text + bad), "x")), Error) << bad;
  }
}

}  // namespace
}  // namespace keyferry::appliance::test
