// The environment as messages spell it. Includes protobuf: only .cpp files of this folder include this.
#pragma once

#include "appliance/plan/plan.h"
#include "keyferry/v1/common.pb.h"

namespace keyferry::appliance {

[[nodiscard]] inline v1::Environment wire_environment(Environment environment) {
  switch (environment) {
    case Environment::Development:
      return v1::ENVIRONMENT_DEVELOPMENT;
    case Environment::Rehearsal:
      return v1::ENVIRONMENT_REHEARSAL;
    case Environment::Production:
      return v1::ENVIRONMENT_PRODUCTION;
  }
  return v1::ENVIRONMENT_UNSPECIFIED;
}

}  // namespace keyferry::appliance
