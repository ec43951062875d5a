// The shim's faults, and what Session and Key do when a module fails in the middle.
#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "tests/wrap/p11/shim_fixture.h"

namespace keyferry::p11 {
namespace {

class ShimFault : public BehindTheShim {
 protected:
  /// What the count file of this process says about `name`; -1 when it does not stand there.
  static int counted(std::string_view counts, std::string_view name) {
    std::ifstream lines{file(std::string{counts} + "." + std::to_string(getpid()))};
    std::string is;
    int count = 0;
    while (lines >> is >> count) {
      if (is == name) return count;
    }
    return -1;
  }
};

std::string random_rv(Session& session) {
  try {
    static_cast<void>(session.generate_random(8));
  } catch (const Pkcs11Error& error) {
    return rv_name(error.rv());
  }
  return "CKR_OK";
}

TEST_F(ShimFault, StrikesAtTheCallThatTheScriptNames) {
  load("fault C_GenerateRandom nth=3 rv=CKR_DEVICE_MEMORY\n");
  EXPECT_EQ(random_rv(session()), "CKR_OK");
  EXPECT_EQ(random_rv(session()), "CKR_OK");
  EXPECT_EQ(random_rv(session()), "CKR_DEVICE_MEMORY");
  EXPECT_EQ(random_rv(session()), "CKR_OK");
}

TEST_F(ShimFault, MayStrikeFromThereOn) {
  load("fault C_GenerateRandom nth=2 rv=0x80000042 repeat\n");
  EXPECT_EQ(random_rv(session()), "CKR_OK");
  EXPECT_EQ(random_rv(session()), "CKR 0x80000042");
  EXPECT_EQ(random_rv(session()), "CKR 0x80000042");
}

TEST_F(ShimFault, CountsFromWhereItIsArmed) {
  const auto flag = file("armed");
  std::filesystem::remove(flag);
  load("arm file=" + flag.string() + "\nfault C_GenerateRandom rv=CKR_GENERAL_ERROR\n");
  EXPECT_EQ(random_rv(session()), "CKR_OK");
  std::ofstream{flag} << "now";
  EXPECT_EQ(random_rv(session()), "CKR_GENERAL_ERROR");
  load("arm C_GenerateKey label=start\nfault C_GenerateRandom rv=CKR_GENERAL_ERROR\n");
  EXPECT_EQ(random_rv(session()), "CKR_OK");
  static_cast<void>(labelled(session(), "start"));
  EXPECT_EQ(random_rv(session()), "CKR_GENERAL_ERROR");
}

TEST_F(ShimFault, HappensOnceOverAllProcessesWithAMarker) {
  const auto marker = file("once");
  std::filesystem::remove(marker);
  const std::string script =
      "fault C_GenerateRandom rv=CKR_GENERAL_ERROR once=" + marker.string() + "\n";
  load(script);
  EXPECT_EQ(random_rv(session()), "CKR_GENERAL_ERROR");
  EXPECT_TRUE(std::filesystem::exists(marker));
  load(script);
  EXPECT_EQ(random_rv(session()), "CKR_OK");
}

TEST_F(ShimFault, LooksAtLabelClassAndProcess) {
  load(
      "fault C_DestroyObject label=victim* rv=CKR_DEVICE_ERROR\n"
      "fault C_GenerateKey class=data rv=CKR_DEVICE_ERROR\n"
      "fault C_EncryptInit label= rv=CKR_DEVICE_ERROR\n"
      "fault C_Encrypt label=other rv=CKR_FUNCTION_FAILED\n"
      "fault C_GenerateRandom process=no-such-program rv=CKR_DEVICE_ERROR\n");
  Key victim = labelled(session(), "victim-7");
  Key other = labelled(session(), "other");
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().aes_ecb_encrypt(victim, Bytes(16))); }),
            "CKR_OK");
  EXPECT_EQ(rv_of([&] { static_cast<void>(session().aes_ecb_encrypt(other, Bytes(16))); }),
            "CKR_FUNCTION_FAILED")
      << "C_Encrypt is about the key of C_EncryptInit";
  EXPECT_EQ(random_rv(session()), "CKR_OK");
  EXPECT_EQ(rv_of([&] { victim.destroy(); }), "CKR_DEVICE_ERROR");
}

TEST_F(ShimFault, LosesTheAnswerAfterTheCall) {
  load(
      "fault C_GenerateKey label=lost rv=CKR_FUNCTION_FAILED after\n"
      "fault C_GenerateKey label=never rv=CKR_FUNCTION_FAILED\n");
  EXPECT_EQ(rv_of([&] { static_cast<void>(labelled(session(), "lost")); }), "CKR_FUNCTION_FAILED");
  EXPECT_EQ(rv_of([&] { static_cast<void>(labelled(session(), "never")); }), "CKR_FUNCTION_FAILED");
  EXPECT_EQ(session().find(Template{}.label("lost")).size(), 1U);
  EXPECT_EQ(session().find(Template{}.label("never")).size(), 0U);
}

TEST_F(ShimFault, EndsTheOperationAsTheStandardWantsUnlessItIsToBeStuck) {
  const auto encrypt = [this](const Key& key) {
    return rv_of([&] { static_cast<void>(session().aes_ecb_encrypt(key, Bytes(16))); });
  };
  load("fault C_Encrypt rv=CKR_FUNCTION_FAILED\n");
  {
    const Key key = labelled(session(), "1");
    EXPECT_EQ(encrypt(key), "CKR_FUNCTION_FAILED");
    EXPECT_EQ(encrypt(key), "CKR_OK");
  }
  load("fault C_Encrypt rv=CKR_FUNCTION_FAILED stuck\n");
  const Key key = labelled(session(), "1");
  EXPECT_EQ(encrypt(key), "CKR_FUNCTION_FAILED");
  EXPECT_EQ(encrypt(key), "CKR_OPERATION_ACTIVE");
  EXPECT_EQ(recovery_for(0x90), Recovery::NewSession);
}

TEST_F(ShimFault, PullsTheDeviceUntilTheModuleIsInitialisedAnew) {
  const auto marker = file("pulled");
  std::filesystem::remove(marker);
  const std::string script =
      "fault C_GenerateRandom rv=CKR_DEVICE_REMOVED gone sticky once=" + marker.string() + "\n";
  load(script);
  {
    const Key key = labelled(session(), "gone with it");
    EXPECT_EQ(random_rv(session()), "CKR_DEVICE_REMOVED");
    EXPECT_EQ(random_rv(session()), "CKR_DEVICE_REMOVED");
    EXPECT_EQ(rv_of([&] { static_cast<void>(module().info()); }), "CKR_DEVICE_REMOVED");
  }
  EXPECT_EQ(session().failed_destroys(), 1) << "the key could not be destroyed, and nothing threw";
  load(script);
  EXPECT_EQ(random_rv(session()), "CKR_OK");
}

TEST_F(ShimFault, ReallyClosesTheSession) {
  load("fault C_GenerateRandom rv=CKR_SESSION_HANDLE_INVALID close\n");
  const auto other = test_support::ShimStore::open(module());
  {
    const Key key = labelled(session(), "of the session");
    EXPECT_EQ(other->find(Template{}.label("of the session")).size(), 1U);
    EXPECT_EQ(random_rv(session()), "CKR_SESSION_HANDLE_INVALID");
    EXPECT_EQ(other->find(Template{}.label("of the session")).size(), 0U);
    EXPECT_TRUE(session().lost());
  }
  EXPECT_EQ(session().failed_destroys(), 0) << "what is gone needs no destroying";
}

TEST_F(ShimFault, ReallyEndsTheLogin) {
  load("fault C_GenerateRandom rv=CKR_USER_NOT_LOGGED_IN logout\n");
  EXPECT_EQ(random_rv(session()), "CKR_USER_NOT_LOGGED_IN");
  EXPECT_FALSE(session().lost());
  EXPECT_EQ(rv_of([&] { static_cast<void>(labelled(session(), "x")); }), "CKR_USER_NOT_LOGGED_IN");
  session().login_or_throw(Role::User, test_support::pin(test_support::kUserPin));
  EXPECT_EQ(rv_of([&] { static_cast<void>(labelled(session(), "x")); }), "CKR_OK");
}

TEST_F(ShimFault, IsNoDriftOfAttributes) {
  const Template nested = Template{}.wrap_template(Template{}.extractable(true));
  for (const unsigned nth : {1U, 2U, 3U}) {
    load(fmt::format("fault C_GetAttributeValue label=drift nth={} rv=CKR_DEVICE_REMOVED\n", nth));
    const Key key = session().generate_aes(
        aes().label("drift").wrap(true).wrap_template(Template{}.extractable(true)));
    EXPECT_EQ(rv_of([&] { static_cast<void>(session().differences(key, nested)); }),
              "CKR_DEVICE_REMOVED")
        << nth;
    EXPECT_EQ(session().differences(key, nested), std::vector<std::string>{});
  }
}

TEST_F(ShimFault, KillsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // The child that is killed removes nothing: its store goes into ours.
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread reads it
  setenv("TMPDIR", test_support::ShimStore::shared().folder().c_str(), 1);
  EXPECT_EXIT(
      {
        load("fault C_GenerateRandom nth=2 kill\n");
        static_cast<void>(random_rv(session()));
        static_cast<void>(random_rv(session()));
      },
      ::testing::KilledBySignal(SIGKILL),
      "");
  unsetenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe)
}

// Some modules give a handle's number again: the old session must not close or destroy what is new.
TEST_F(ShimFault, IsNotFollowedByCallsThatCouldHitANewSession) {
  load("count " + file("calls").string() +
       "\nfault C_GenerateRandom rv=CKR_SESSION_HANDLE_INVALID close\n");
  auto old = std::make_unique<Session>(module(), session().slot(), Access::ReadWrite);
  auto key = std::make_unique<Key>(labelled(*old, "old"));
  EXPECT_EQ(random_rv(*old), "CKR_SESSION_HANDLE_INVALID");
  Session fresh{module(), session().slot(), Access::ReadWrite};
  key.reset();
  old.reset();
  EXPECT_EQ(counted("calls", "C_DestroyObject"), 0);
  EXPECT_EQ(counted("calls", "C_CloseSession"), 0);
  EXPECT_EQ(random_rv(fresh), "CKR_OK");
}

TEST_F(ShimFault, CountsCallsInAFileThatIsRightAtAnyMoment) {
  load("count " + file("counts").string() +
       "\nwatch C_GenerateKey label=seen name=keys\nfault C_GenerateKey label=seen nth=9 "
       "rv=CKR_DEVICE_ERROR\n");
  for (int i = 0; i < 11; ++i) static_cast<void>(random_rv(session()));
  static_cast<void>(labelled(session(), "seen"));
  static_cast<void>(labelled(session(), "other"));
  EXPECT_EQ(counted("counts", "C_GenerateRandom"), 11);
  EXPECT_EQ(counted("counts", "C_GenerateKey"), 2);
  EXPECT_EQ(counted("counts", "keys"), 1);
  EXPECT_EQ(counted("counts", "line-3"), 1);
}

TEST_F(ShimFault, CountsRightWhenThreadsCall) {
  constexpr int kThreads = 4;
  constexpr int kCalls = 250;
  load("count " + file("threads").string() +
       "\nwatch C_GenerateRandom name=seen\nlatency C_GenerateRandom 10\n"
       "fault C_GenerateRandom nth=500 rv=CKR_DEVICE_MEMORY\n");
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this, &failed] {
      Session own{module(), session().slot(), Access::ReadOnly};
      for (int call = 0; call < kCalls; ++call) failed += random_rv(own) == "CKR_OK" ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(counted("threads", "seen"), kThreads * kCalls);
}

TEST_F(ShimFault, RefusesAScriptThatItDoesNotUnderstand) {
  for (const std::string_view line : {"fault C_Sing rv=CKR_DEVICE_ERROR",
                                      "fault C_Sign",
                                      "fault C_Sign rv=CKR_NO_SUCH",
                                      "fault C_Sign rv=CKR_DEVICE_ERROR now",
                                      "lie",
                                      "max-sessions many"}) {
    EXPECT_EQ(rv_of([&] { static_cast<void>(test_support::ShimStore::shared().load(line)); }),
              "CKR_ARGUMENTS_BAD")
        << line;
  }
}

TEST(Recovery, IsATable) {
  EXPECT_EQ(Pkcs11Error("C_WrapKey", 0x31, "").recovery(), Recovery::RetryRecord);  // DEVICE_MEMORY
  EXPECT_EQ(recovery_for(0x06), Recovery::RetryRecord);  // FUNCTION_FAILED
  EXPECT_EQ(recovery_for(0xB3), Recovery::NewSession);   // SESSION_HANDLE_INVALID
  EXPECT_EQ(recovery_for(0xB0), Recovery::NewSession);   // SESSION_CLOSED
  EXPECT_EQ(recovery_for(0x101), Recovery::NewSession);  // USER_NOT_LOGGED_IN
  EXPECT_EQ(recovery_for(0x60), Recovery::NewSession);   // KEY_HANDLE_INVALID
  EXPECT_EQ(recovery_for(0x32), Recovery::NewModule);    // DEVICE_REMOVED
  EXPECT_EQ(recovery_for(0xE0), Recovery::NewModule);    // TOKEN_NOT_PRESENT
  EXPECT_EQ(recovery_for(0x30), Recovery::NewModule);    // DEVICE_ERROR
  EXPECT_EQ(recovery_for(0x190), Recovery::NewModule);   // CRYPTOKI_NOT_INITIALIZED
  EXPECT_EQ(recovery_for(0xA0), Recovery::None) << "a wrong PIN is never tried again by itself";
  EXPECT_EQ(recovery_for(0xA4), Recovery::None);  // PIN_LOCKED
  EXPECT_EQ(recovery_for(0x70), Recovery::None);  // MECHANISM_INVALID
  EXPECT_EQ(recovery_for(0x6A), Recovery::None);  // KEY_UNEXTRACTABLE
}

TEST(Recovery, HasAHintForEachThatAPersonMeets) {
  for (const unsigned long rv : {0x02UL,
                                 0x03UL,
                                 0x05UL,
                                 0x06UL,
                                 0x30UL,
                                 0x31UL,
                                 0x32UL,
                                 0x60UL,
                                 0x82UL,
                                 0x90UL,
                                 0xB0UL,
                                 0xB1UL,
                                 0xB3UL,
                                 0xE0UL,
                                 0xE1UL,
                                 0xF0UL,
                                 0x101UL,
                                 0x113UL,
                                 0x190UL}) {
    EXPECT_FALSE(Pkcs11Error("C_Sign", rv, "x").hint().empty()) << rv_name(rv);
  }
}

}  // namespace
}  // namespace keyferry::p11
