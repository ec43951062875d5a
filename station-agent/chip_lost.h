// The chip (or what stands between it and us) is gone: nobody knows what it holds, and the next
// start asks it first.
#pragma once

#include "wrap/base/error.h"

namespace keyferry::station {

class ChipLost : public Error {
 public:
  explicit ChipLost(const std::string& text)
      : Error{Code::Channel,
              text,
              "put the SE back into the fixture, then give the same command again"} {}
};

}  // namespace keyferry::station
