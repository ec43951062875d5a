// Serves reader.proto over a descriptor: lists, opens and reads the files of one folder, and nothing else.
#pragma once

#include "token/medium.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

inline constexpr std::uint32_t kMaxReadBytes = 1U << 20;
inline constexpr std::size_t kMaxOpenFiles = 64;
/// Of one folder. With names cut to this length (ours have 100 at most) a reply stays below the largest frame.
inline constexpr std::size_t kMaxNameChars = 200;
inline constexpr std::uint64_t kMaxListedEntries = 65'537;

/// Until the other side goes. What is asked out of bounds is answered with an error and changes nothing.
void serve_token(int fd, token::Medium& medium);

/// Answers whatever is asked first with `error`: there is no token to serve.
void refuse_token(int fd, const Error& error);

}  // namespace keyferry::appliance
