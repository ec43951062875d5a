#include "tests/shim/counters.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace keyferry::shim {

namespace {

constexpr std::size_t kNameWidth = 40;
constexpr std::size_t kDigits = 12;
constexpr std::size_t kLineBytes = kNameWidth + 1 + kDigits + 1;

std::string line_of(std::string_view name) {
  std::string line{name.substr(0, kNameWidth)};
  line.resize(kNameWidth, ' ');
  return line + " " + std::string(kDigits, '0') + "\n";
}

}  // namespace

Counters::~Counters() {
  close();
}

void Counters::close() {
  if (text_ != nullptr) munmap(text_, size_bytes_);
  text_ = nullptr;
}

void Counters::open(const Script& script) {
  const std::lock_guard lock{mutex_};
  close();
  if (script.count_file.empty()) return;
  std::string fresh;
  for (const std::string_view name : kFunctionNames) fresh += line_of(name);
  for (const Rule& rule : script.rules) fresh += line_of(rule.name);
  const std::string path = script.count_file + "." + std::to_string(getpid());
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0) return;

  struct stat status {};

  const bool known =
      fstat(file, &status) == 0 && static_cast<std::size_t>(status.st_size) == fresh.size();
  if (known || (ftruncate(file, 0) == 0 &&
                write(file, fresh.data(), fresh.size()) == static_cast<ssize_t>(fresh.size()))) {
    size_bytes_ = fresh.size();
    void* const mapped = mmap(nullptr, size_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    text_ = mapped == MAP_FAILED ? nullptr : static_cast<char*>(mapped);
  }
  ::close(file);
}

void Counters::up(std::size_t line) {
  if (text_ == nullptr) return;
  const std::lock_guard lock{mutex_};
  char* digit = text_ + line * kLineBytes + kNameWidth + kDigits;
  while (*digit == '9') *digit-- = '0';
  ++*digit;
}

}  // namespace keyferry::shim
