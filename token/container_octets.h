// A whole container in memory: for who is handed one in a message, such as an HSM worker. The same
// steps in the same order as container_open.h, without a file; for containers of a few MiB.
#pragma once

#include <functional>
#include <variant>

#include "token/container_open.h"
#include "token/items.h"

namespace keyferry::token {

/// As outline() of a file; `marks` stays empty: the octets cannot change in between.
[[nodiscard]] std::variant<Outline, Refusal> outline_octets(ByteView container,
                                                            const Expectation& expected);

/// As read_items() of a file, for an outline of these very octets whose signature was checked.
[[nodiscard]] Checked read_items_of(ByteView container,
                                    const Outline& outline,
                                    const ContentKey& key,
                                    const std::function<Checked(Item&&)>& take);

}  // namespace keyferry::token
