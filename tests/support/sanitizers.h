// What a sanitizer changes, so that tests can leave out what is not the product's then.
#pragma once

namespace keyferry::test {

/// The run-time libraries of the address and thread sanitizers make mlock(2) do nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kMemoryCanBeLocked = false;
#else
inline constexpr bool kMemoryCanBeLocked = true;
#endif

}  // namespace keyferry::test
