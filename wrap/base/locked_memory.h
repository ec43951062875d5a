// Is memory really locked? Botan's pool falls back to ordinary memory without a word when it is full or the limit is
// too low, so whoever holds a PIN asks the kernel.
#pragma once

#include "wrap/base/bytes.h"

namespace keyferry {

/// True when every page of `octets` is locked: the "lo" of VmFlags in /proc/self/smaps. False for no octets.
[[nodiscard]] bool memory_is_locked(ByteView octets);

/// Locks what is not locked yet (mlock, no core image of it). False when the kernel does not grant it: RLIMIT_MEMLOCK.
[[nodiscard]] bool lock_memory(ByteView octets);

}  // namespace keyferry
