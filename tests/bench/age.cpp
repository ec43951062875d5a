#include "tests/bench/age.h"

#include <cstdlib>
#include <string_view>
#include <vector>

#include "tests/bench/report.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"

namespace keyferry::bench {
namespace {

namespace fs = std::filesystem;

fs::path in_path(const std::string& name) {
  const char* const folders = std::getenv("PATH");
  std::string_view left = folders == nullptr ? "" : folders;
  while (!left.empty()) {
    const std::size_t end = left.find(':');
    const fs::path candidate = fs::path{left.substr(0, end)} / name;
    std::error_code failed;
    if (fs::is_regular_file(candidate, failed)) return candidate;
    if (end == std::string_view::npos) break;
    left.remove_prefix(end + 1);
  }
  return {};
}

void run(const fs::path& program, const std::vector<std::string>& arguments) {
  constexpr int kStderr = 2;
  ChildSpec spec;
  spec.program = program;
  spec.arguments = arguments;
  spec.descriptors = {{kStderr, kStderr}};
  if (const int status = Child{spec}.wait(); status != 0) {
    throw Error{Code::Refused, program.string() + " ended with status " + std::to_string(status)};
  }
}

}  // namespace

std::optional<Age> Age::find(const fs::path& folder) {
  Age age;
  age.program_ = in_path("age");
  const fs::path keygen = in_path("age-keygen");
  if (age.program_.empty() || keygen.empty()) return std::nullopt;
  age.identity_ = folder / "age-identity";
  run(keygen, {"-o", age.identity_.string()});
  constexpr std::string_view kPublic = "# public key: ";
  constexpr std::uint64_t kMaxIdentityBytes = 4096;
  const std::string text = to_string(read_file(age.identity_, kMaxIdentityBytes));
  const std::size_t at = text.find(kPublic);
  if (at == std::string::npos)
    throw Error{Code::Refused, keygen.string() + " does not say its public key"};
  const std::size_t from = at + kPublic.size();
  age.recipient_ = text.substr(from, text.find('\n', from) - from);
  return age;
}

double Age::seal_seconds(const fs::path& plain, const fs::path& sealed) const {
  fs::remove(sealed);
  return seconds_of(
      [&] { run(program_, {"-r", recipient_, "-o", sealed.string(), plain.string()}); });
}

double Age::open_seconds(const fs::path& sealed) const {
  return seconds_of(
      [&] { run(program_, {"-d", "-i", identity_.string(), "-o", "/dev/null", sealed.string()}); });
}

}  // namespace keyferry::bench
