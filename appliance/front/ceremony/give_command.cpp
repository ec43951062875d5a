#include "appliance/front/ceremony/give_command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>

#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/crypto/hash.h"

namespace keyferry::ceremony {
namespace {

constexpr std::size_t kMaxRawBytes = 1024 * 1024;
constexpr int kPollMs = 100;
constexpr int kPollsAfterTheEnd = 20;  // a grandchild may hold a pipe open for ever

/// One stream of the child: kept as plain text, shown line by line.
class Stream {
 public:
  explicit Stream(const std::function<void(const std::string&)>& show) : show_{show} {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) throw system_error(Code::Channel, "pipe", errno);
    ours_ = Fd{ends[0]};
    theirs_ = Fd{ends[1]};
  }

  [[nodiscard]] int theirs() const { return theirs_.get(); }

  [[nodiscard]] int ours() const { return ours_.get(); }

  void close_theirs() { theirs_.reset(); }

  [[nodiscard]] bool open() const { return ours_.valid(); }

  /// What is there to read; false when nothing came.
  bool take() {
    std::array<char, 16384> block{};
    const ssize_t got = read(ours_.get(), block.data(), block.size());
    if (got < 0 && errno == EINTR) return true;
    if (got <= 0) {
      ours_.reset();
      return false;
    }
    const std::string_view octets{block.data(), static_cast<std::size_t>(got)};
    hash_.update(as_bytes(octets));
    if (raw.size() < kMaxRawBytes) raw += octets.substr(0, kMaxRawBytes - raw.size());
    for (const char c : octets) add(c);
    return true;
  }

  void end() {
    if (!line_.empty()) end_line();
  }

  [[nodiscard]] std::string digest() { return hash_.finish().hex(); }

  std::string raw;
  std::string text;
  bool cut = false;

 private:
  void add(char c) {
    constexpr std::size_t kMaxLine = 4000;
    if (c == '\n') {
      end_line();
      return;
    }
    if (c == '\r') return;
    const bool plain = (c >= 0x20 && c < 0x7f);
    line_ += c == '\t' ? " " : plain ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    if (line_.size() >= kMaxLine) end_line();
  }

  void end_line() {
    show_(line_);
    if (text.size() + line_.size() + 1 > kMaxKeptChars) {
      cut = true;
    } else if (!cut) {
      text += line_ + "\n";
    }
    line_.clear();
  }

  const std::function<void(const std::string&)>& show_;
  Fd ours_, theirs_;
  crypto::Sha256 hash_;
  std::string line_;
};

void pump(Child& child, Stream& out, Stream& messages) {
  int left = kPollsAfterTheEnd;
  while (out.open() || messages.open()) {
    std::array<pollfd, 2> waiting{pollfd{out.open() ? out.ours() : -1, POLLIN, 0},
                                  pollfd{messages.open() ? messages.ours() : -1, POLLIN, 0}};
    if (poll(waiting.data(), waiting.size(), kPollMs) < 0 && errno != EINTR) {
      throw system_error(Code::Channel, "poll", errno);
    }
    bool came = false;
    if (waiting[0].revents != 0) came = out.take() || came;
    if (waiting[1].revents != 0) came = messages.take() || came;
    if (!came && !child.running() && --left <= 0) return;
  }
}

}  // namespace

Given give_command(const std::vector<std::string>& argv,
                   const Additions& additions,
                   Record record,
                   bool attended,
                   const std::function<void(const std::string&)>& show) {
  ChildSpec spec;
  spec.program = sibling_program(argv.front());
  spec.arguments.assign(argv.begin() + 1, argv.end());
  spec.dies_with_parent = true;
  std::vector<Fd> opened;
  for (const auto& [number, path] : additions.fd_files) {
    opened.push_back(open_regular_file(path, Code::Usage));
    spec.descriptors.emplace_back(opened.back().get(), number);
  }
  Fd nothing;
  if (!attended) {
    nothing = Fd{open("/dev/null", O_RDWR | O_CLOEXEC)};
    if (!nothing.valid()) throw system_error(Code::Channel, "/dev/null", errno);
    spec.descriptors.emplace_back(nothing.get(), STDIN_FILENO);
  }
  Given given;
  if (record == Record::Nothing) {
    if (!attended) {
      spec.descriptors.emplace_back(nothing.get(), STDOUT_FILENO);
    } else {
      spec.descriptors.emplace_back(STDERR_FILENO, STDOUT_FILENO);  // our stdout is for our own result
    }
    Child child{spec};
    given.status = child.wait();
    return given;
  }
  Stream out{show}, messages{show};
  spec.descriptors.emplace_back(out.theirs(), STDOUT_FILENO);
  spec.descriptors.emplace_back(messages.theirs(), STDERR_FILENO);
  Child child{spec};
  out.close_theirs();
  messages.close_theirs();
  pump(child, out, messages);
  given.status = child.wait();
  out.end();
  messages.end();
  given.output = std::move(out.text);
  given.messages = std::move(messages.text);
  given.cut = out.cut;
  given.output_sha256 = out.digest();
  given.raw_output = std::move(out.raw);
  return given;
}

}  // namespace keyferry::ceremony
