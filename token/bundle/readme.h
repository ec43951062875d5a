// README.txt of a bundle: what an auditor who has nothing else reads first.
#pragma once

#include "token/bundle/index.h"
#include "wrap/base/bytes.h"

namespace keyferry::bundle {

[[nodiscard]] Bytes readme(const Index& index);

}  // namespace keyferry::bundle
