// `station enroll`: the request comes in on a token, people compare its words, officers approve,
// the answer goes out.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "appliance/plan/plan.h"
#include "wrap/base/bytes.h"

namespace keyferry::appliance {

class Context;

struct EnrollOptions {
  std::filesystem::path token;
  std::optional<std::string> name;         // which request, when the token holds several
  std::optional<std::string> fingerprint;  // words that the station shows; else they are asked for
};

/// Exit status. Enrolled before with an answer on the token: nothing changes. Without the answer:
/// it is made again.
int station_enroll(Context& context, const EnrollOptions& options);

/// `plan run` of station-enroll: the answer is kept in the home, and written to --token if that is
/// given; `station enroll` writes it to the station's token later.
int run_station_enroll(Context& context, const Plan& plan, const std::vector<Bytes>& approvals);

}  // namespace keyferry::appliance
