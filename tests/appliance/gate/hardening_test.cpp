#include "appliance/gate/hardening.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <iostream>

#include "wrap/base/process.h"

namespace keyferry::appliance {
namespace {

int in_a_child(const std::function<bool()>& holds) {
  const pid_t pid = fork();
  if (pid == 0) _exit(holds() ? 0 : 1);
  int raw = 0;
  waitpid(pid, &raw, 0);
  return WIFEXITED(raw) ? WEXITSTATUS(raw) : 255;
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

bool holds(const std::vector<std::string>& facts, const std::string& part) {
  const bool found = std::ranges::any_of(facts, [&](const std::string& fact) { return fact.find(part) != std::string::npos; });
  if (!found) std::cerr << "no fact \"" << part << "\" in " << ::testing::PrintToString(facts) << "\n";
  return found;
}

TEST(Descriptors, AreClosedButForThoseThatAreNeeded) {
  EXPECT_EQ(in_a_child([] {
              for (const int fd : {3, 4, 7, 60}) dup2(2, fd);
              close_descriptors_but({7, 3});
              return is_open(2) && is_open(3) && is_open(7) && !is_open(4) && !is_open(60);
            }),
            0);
}

TEST(Descriptors, OfStandardInputAndOutputAreNeverSomethingElse) {
  EXPECT_EQ(in_a_child([] {
              close(0);
              close(2);
              close_descriptors_but({});
              return is_open(0) && is_open(2) && !is_open(3);
            }),
            0);
}

TEST(StandardInput, IsNothingOnceThePinWasRead) {
  EXPECT_EQ(in_a_child([] {
              int ends[2];
              if (pipe(ends) != 0 || write(ends[1], "x", 1) != 1 || dup2(ends[0], 0) != 0) return false;
              detach_input();
              char octet = 0;
              return read(0, &octet, 1) == 0;
            }),
            0);
}

TEST(HardeningFacts, AreWhatTheKernelSays) {
  if (filter_missing(SystemCallFilter::Strict)) GTEST_SKIP() << "no filters in a build with sanitizers";
  const SecretBytes pin = SecretBytes::copy_of(as_bytes("sixteen octets and more"));
  EXPECT_EQ(in_a_child([&pin] {
              const auto before = hardening_facts(FilteredProcess::Gate, pin);
              harden_process();
              static_cast<void>(die_with_parent());
              install_filter(FilteredProcess::Gate, SystemCallFilter::Strict);
              const auto after = hardening_facts(FilteredProcess::Gate, pin);
              bool all = true;
              for (const char* part : {"gate: NO system call filter", "gate: DUMPABLE", "gate: NEW PRIVILEGES"}) {
                all = holds(before, part) && all;
              }
              for (const char* part : {"gate: not dumpable, no core image", "gate: no new privileges", "gate: ends with its parent",
                                       "gate: under 1 system call filter", "the PIN is NOT in locked memory"}) {
                all = holds(after, part) && all;
              }
              return all;
            }),
            0);  // locks of memory are not inherited by a fork
  EXPECT_TRUE(holds(hardening_facts(FilteredProcess::Gate, pin), "the PIN is in locked memory, keys come from locked"));
}

}  // namespace
}  // namespace keyferry::appliance
