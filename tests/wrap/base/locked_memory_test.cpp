#include "wrap/base/locked_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/sanitizers.h"
#include "tests/support/temp_folder.h"
#include "wrap/base/secret_bytes.h"

namespace keyferry {
namespace {

constexpr std::size_t kPage = 4096;

ByteView fresh_pages(std::size_t pages) {
  void* const start = mmap(nullptr, pages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return {static_cast<const std::uint8_t*>(start), pages * kPage};
}

TEST(LockedMemory, IsToldFromMemoryThatIsNot) {
  if (!test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  const ByteView pages = fresh_pages(3);
  EXPECT_FALSE(memory_is_locked(pages));
  ASSERT_TRUE(lock_memory(pages.subspan(kPage + 5, 7)));
  EXPECT_TRUE(memory_is_locked(pages.subspan(kPage, kPage)));
  EXPECT_FALSE(memory_is_locked(pages)) << "one page of three";
  EXPECT_FALSE(memory_is_locked(pages.subspan(kPage - 1, 2))) << "the first half";
  EXPECT_TRUE(lock_memory(pages));
  EXPECT_TRUE(memory_is_locked(pages));
}

TEST(LockedMemory, IsNotThereForNoOctets) {
  EXPECT_FALSE(memory_is_locked({}));
  EXPECT_FALSE(lock_memory({}));
}

TEST(LockedMemory, HoldsASecret) {
  if (!test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  const SecretBytes secret{64};
  EXPECT_TRUE(memory_is_locked(secret.expose()));
}

TEST(LockedMemory, IsRefusedAboveTheLimit) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (geteuid() == 0 && setuid(65534) != 0) _exit(2);  // root may lock whatever the limit is
    const rlimit none{0, 0};
    setrlimit(RLIMIT_MEMLOCK, &none);
    _exit(lock_memory(fresh_pages(1)) ? 1 : 0);
  }
  int raw = 0;
  waitpid(pid, &raw, 0);
  EXPECT_TRUE(WIFEXITED(raw));
  EXPECT_EQ(WEXITSTATUS(raw), 0);
}

TEST(Swap, IsOnWhenTheKernelNamesAPlaceForIt) {
  const test::TempFolder folder;
  const auto swaps = folder / "swaps";
  EXPECT_FALSE(swap_is_on(swaps)) << "a kernel without swap has no such file";
  std::ofstream{swaps} << "Filename Type Size Used Priority\n";
  EXPECT_FALSE(swap_is_on(swaps));
  std::ofstream{swaps, std::ios::app} << "/dev/sda2 partition 1048576 0 -2\n";
  EXPECT_TRUE(swap_is_on(swaps));
}

TEST(LockedMemory, IsAllOfItWhereTheKernelGrantsThat) {
  if (!test::kMemoryCanBeLocked) GTEST_SKIP() << "a sanitizer makes mlock(2) do nothing";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (!lock_all_memory()) _exit(2);
    _exit(memory_is_locked(fresh_pages(2)) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  if (WEXITSTATUS(status) == 2) GTEST_SKIP() << "the limit of locked memory is too low here";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace keyferry
