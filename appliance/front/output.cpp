#include "appliance/front/output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

namespace keyferry::appliance {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{200};
constexpr std::chrono::milliseconds kLogInterval{10'000};

}  // namespace

void Output::result(std::string_view noun,
                    const Json& object,
                    const std::vector<std::string>& lines) {
  if (!json()) {
    for (const std::string& text : lines) line(text);
    return;
  }
  Json whole;
  whole["schema"] = fmt::format("keyferry.{}.v1", noun);
  whole.update(object);
  fmt::print(stdout, "{}\n", whole.dump(2, ' ', false, Json::error_handler_t::replace));
  std::fflush(stdout);
}

void Output::line(std::string_view text) {
  if (!json()) fmt::print(stdout, "{}\n", text);
}

void Output::note(std::string_view text) {
  fmt::print(stderr, "{}\n", text);
}

Progress::Progress(std::string what, std::uint64_t total)
    : what_{std::move(what)},
      total_{total},
      began_{std::chrono::steady_clock::now()},
      shown_{began_},
      terminal_{isatty(STDERR_FILENO) == 1} {}

Progress::~Progress() {
  if (on_line_) fmt::print(stderr, "\n");
}

void Progress::at(std::uint64_t done) {
  const auto now = std::chrono::steady_clock::now();
  if (now - shown_ < (terminal_ ? kTerminalInterval : kLogInterval)) return;
  shown_ = now;
  show(done);
}

void Progress::show(std::uint64_t done) {
  const double seconds = std::chrono::duration<double>(shown_ - began_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string text = total_ == 0 ? fmt::format("{}: {}", what_, done)
                                 : fmt::format("{}: {} of {}", what_, done, total_);
  text += fmt::format(", {:.0f}/s", rate);
  if (total_ > done && rate > 0) {
    text += fmt::format(", {:.0f} s left", static_cast<double>(total_ - done) / rate);
  }
  if (terminal_) {
    fmt::print(stderr, "\r{:<78}", text);
    std::fflush(stderr);
    on_line_ = true;
  } else {
    fmt::print(stderr, "{}\n", text);
  }
}

}  // namespace keyferry::appliance
