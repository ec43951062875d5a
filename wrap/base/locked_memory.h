// Is memory really locked? Botan's pool falls back to ordinary memory without a word when it is full or the limit is
// too low, so whoever holds a PIN asks the kernel.
#pragma once

#include <filesystem>

#include "wrap/base/bytes.h"

namespace keyferry {

/// True when every page of `octets` is locked: the "lo" of VmFlags in /proc/self/smaps. False for no octets.
[[nodiscard]] bool memory_is_locked(ByteView octets);

/// Locks what is not locked yet (mlock, no core image of it). False when the kernel does not grant it: RLIMIT_MEMLOCK.
[[nodiscard]] bool lock_memory(ByteView octets);

/// Locks all memory that the process has and will have. False when the kernel does not grant it.
[[nodiscard]] bool lock_all_memory();

/// Is there a line below the heading of /proc/swaps?
[[nodiscard]] bool swap_is_on(const std::filesystem::path& swaps = "/proc/swaps");

}  // namespace keyferry
