#include "appliance/gate/pin_tries.h"

#include <fmt/format.h>
#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <charconv>
#include <thread>

#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

using Record = PinTry::Record;

constexpr std::uint64_t kMaxFileBytes = 256;
constexpr std::string_view kOpening = "keyferry-pin-tries 1\nwrong ";
constexpr std::string_view kFinalTry = "final-try allowed\n";

std::filesystem::path file_beside(const std::filesystem::path& settings_file) {
  return std::filesystem::path{settings_file}.replace_extension(".pin-tries");
}

std::string forget_hint(const std::filesystem::path& settings_file) {
  return fmt::format("find out which PIN is right, then, on purpose: keyferry-hsm-gate --settings {} --forget-wrong-pins",
                     printable(settings_file.string()));
}

/// "keyferry-pin-tries 1", "wrong N", perhaps "final-try allowed". No file: none. What cannot be read may hold any count.
Record read_record(const std::filesystem::path& file) {
  const auto octets = read_file_if_exists(file, kMaxFileBytes);
  if (!octets) return {};
  constexpr Record kUnreadable{.wrong = kMaxWrongPins, .final_try_allowed = false, .readable = false};
  std::string_view text = as_chars(*octets);
  if (!text.starts_with(kOpening)) return kUnreadable;
  text.remove_prefix(kOpening.size());
  Record record;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), record.wrong);
  if (failed != std::errc{}) return kUnreadable;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text != "\n" && text != "\n" + std::string{kFinalTry}) return kUnreadable;
  record.final_try_allowed = text.size() > 1;
  return record;
}

void write_record(const std::filesystem::path& file, const Record& record) {
  const std::string text = fmt::format("{}{}\n{}", kOpening, record.wrong, record.final_try_allowed ? kFinalTry : "");
  write_file_durably(file, as_bytes(text), Overwrite::Replace);
}

std::optional<Refusal> refusal_for(const Record& record, const std::filesystem::path& settings_file) {
  if (!record.readable) {
    return Refusal{"pin-tries-unreadable",
                   fmt::format("{} does not say how many wrong PINs were given: no login is tried",
                               printable(file_beside(settings_file).string())),
                   forget_hint(settings_file)};
  }
  if (record.wrong < kMaxWrongPins) return std::nullopt;
  return Refusal{"pin-tries",
                 fmt::format("{} wrong PINs in a row (a login that was cut off counts as one): no further one is tried, so "
                             "that the HSM's token is not locked", record.wrong),
                 forget_hint(settings_file)};
}

Fd locked(const std::filesystem::path& settings_file) {
  Fd fd = open_regular_file(settings_file, Code::Storage);
  while (flock(fd.get(), LOCK_EX) != 0) {
    if (errno != EINTR) throw system_error(Code::Storage, "lock " + settings_file.string(), errno);
  }
  return fd;
}

}  // namespace

std::optional<Refusal> pin_tries_refusal(const std::filesystem::path& settings_file) {
  const Fd lock = locked(settings_file);  // waits for a login that is under way
  return refusal_for(read_record(file_beside(settings_file)), settings_file);
}

PinTry::PinTry(const std::filesystem::path& settings_file)
    : file_{file_beside(settings_file)}, lock_{locked(settings_file)}, before_{read_record(file_)} {
  if (const auto refusal = refusal_for(before_, settings_file)) throw to_error(*refusal);
  write_record(file_, Record{.wrong = before_.wrong + 1, .final_try_allowed = false, .readable = true});
}

void PinTry::succeeded() { write_record(file_, {}); }

void PinTry::not_tried() { write_record(file_, before_); }

std::string PinTry::count_text() const { return fmt::format("{} of {}", before_.wrong + 1, kMaxWrongPins); }

unsigned forget_wrong_pins(const std::filesystem::path& settings_file) {
  const Fd lock = locked(settings_file);
  const std::filesystem::path file = file_beside(settings_file);
  const unsigned forgotten = read_record(file).wrong;
  write_record(file, Record{.wrong = 0, .final_try_allowed = true, .readable = true});
  return forgotten;
}

Fd keep_logins_out(const std::filesystem::path& settings_file, std::chrono::milliseconds patience) noexcept {
  constexpr std::chrono::milliseconds kLook{5};
  Fd fd{open(settings_file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
  const auto end = std::chrono::steady_clock::now() + patience;
  while (fd.valid() && flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if ((errno != EWOULDBLOCK && errno != EINTR) || std::chrono::steady_clock::now() >= end) return Fd{};
    std::this_thread::sleep_for(kLook);
  }
  return fd;
}

std::optional<Refusal> check_pin_flags(const p11::TokenInfo& token, FinalTry final_try) {
  if (token.user_pin_locked) {
    return Refusal{"hsm-pin-locked", fmt::format("the HSM's token \"{}\" says that its PIN is locked: no login is tried",
                                                 printable(token.label)),
                   "its security officer can set a new PIN"};
  }
  if (token.user_pin_final_try && final_try == FinalTry::Refuse) {
    return Refusal{"hsm-pin-final-try",
                   fmt::format("the HSM's token \"{}\" says that one more wrong PIN locks it: no login is tried",
                               printable(token.label)),
                   "find out which PIN is right, then allow this one try: keyferry-hsm-gate --settings FILE --forget-wrong-pins"};
  }
  return std::nullopt;
}

}  // namespace keyferry::appliance
