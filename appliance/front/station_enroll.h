// `station enroll`: the request comes in on a token, people compare its words, officers approve,
// the answer goes out.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

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

}  // namespace keyferry::appliance
