#include "wrap/base/error.h"

#include <array>
#include <cstring>
#include <utility>

namespace keyferry {
namespace {

constexpr std::array kNames{
    std::pair{Code::InvalidArgument, std::string_view{"invalid-argument"}},
    std::pair{Code::Usage, std::string_view{"usage"}},
    std::pair{Code::Refused, std::string_view{"refused"}},
    std::pair{Code::NotFound, std::string_view{"not-found"}},
    std::pair{Code::Hsm, std::string_view{"hsm"}},
    std::pair{Code::Storage, std::string_view{"storage"}},
    std::pair{Code::Medium, std::string_view{"medium"}},
    std::pair{Code::Channel, std::string_view{"channel"}},
    std::pair{Code::Quorum, std::string_view{"quorum"}},
    std::pair{Code::Rollback, std::string_view{"rollback"}},
    std::pair{Code::Internal, std::string_view{"internal"}},
};

}  // namespace

int exit_status(Code code) {
  switch (code) {
    case Code::Refused:
    case Code::NotFound:
    case Code::Rollback:
      return 1;
    case Code::Usage:
      return 2;
    case Code::Hsm:
    case Code::Storage:
    case Code::Medium:
    case Code::Channel:
      return 3;
    case Code::Quorum:
      return 4;
    case Code::InvalidArgument:
    case Code::Internal:
      return 70;
  }
  return 70;
}

std::string_view code_name(Code code) {
  for (const auto& [known, name] : kNames) {
    if (known == code) return name;
  }
  return "internal";
}

Code code_from_name(std::string_view name) {
  for (const auto& [code, known] : kNames) {
    if (known == name) return code;
  }
  return Code::Internal;
}

Error::Error(Code code, const std::string& text, std::string hint)
    : std::runtime_error{text}, code_{code}, hint_{std::move(hint)} {}

Error system_error(Code code, const std::string& what, int error_number) {
  std::array<char, 128> buffer{};
  // The GNU strerror_r: thread-safe, returns the text.
  return Error{code, what + ": " + strerror_r(error_number, buffer.data(), buffer.size())};
}

Error to_error(const Refusal& refusal) { return Error{Code::Refused, refusal.text, refusal.hint}; }

}  // namespace keyferry
