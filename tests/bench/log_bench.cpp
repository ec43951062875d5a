#include "tests/bench/log_bench.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "tests/bench/raw_crypto.h"
#include "tests/bench/report.h"
#include "token/audit/merkle.h"
#include "token/audit/tree_file.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/random.h"

namespace keyferry::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMemoryBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kVerifyEach = 1'000;

class Log {
 public:
  Log(const LogOptions& options, fs::path path)
      : count_{options.count}, leaf_bytes_{options.leaf_bytes}, path_{std::move(path)} {
    const std::uint64_t distinct = std::min<std::uint64_t>(count_, kMemoryBytes / (leaf_bytes_ + 1));
    memory_.resize(static_cast<std::size_t>(distinct * (leaf_bytes_ + 1)));
    SystemRandom{}.fill(memory_);
  }

  /// Seconds for appending and proving all of it.
  [[nodiscard]] double append_and_prove() const {
    fs::remove(path_);
    const Fd file{open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (!file.valid()) throw system_error(Code::Storage, "create " + path_.string(), errno);
    const double seconds = seconds_of([&] {
      audit::TreeFile tree{file};
      for (std::uint64_t i = 0; i < count_; ++i) tree.append(audit::leaf_hash(leaf(i)));
      tree.flush();
      audit::TreeProver prover{file, tree.size()};
      audit::Proof proof;
      for (std::uint64_t i = 0; i < count_; ++i) prover.inclusion(i, proof);
    });
    verify(file);
    return seconds;
  }

  [[nodiscard]] double raw() const { return raw_tree_seconds(memory_, leaf_bytes_ + 1, count_); }

 private:
  [[nodiscard]] ByteView leaf(std::uint64_t index) const {
    const std::size_t distinct = memory_.size() / (leaf_bytes_ + 1);
    return ByteView{memory_}.subspan(
        static_cast<std::size_t>(index % distinct) * (leaf_bytes_ + 1) + 1, leaf_bytes_);
  }

  void verify(const Fd& file) const {
    audit::TreeProver prover{file, count_};
    audit::Proof proof;
    for (std::uint64_t i = 0; i < count_; i += kVerifyEach) {
      prover.inclusion(i, proof);
      if (!audit::verify_inclusion(audit::leaf_hash(leaf(i)), i, count_, proof, prover.root()))
        throw Error{Code::Internal, "a proof does not verify: leaf " + std::to_string(i)};
    }
  }

  std::uint64_t count_;
  std::size_t leaf_bytes_;
  fs::path path_;
  Bytes memory_;
};

}  // namespace

int run_log(const LogOptions& options) {
  const WorkFolder folder{options.folder};
  const Log log{options, folder.path() / "tree"};
  const std::vector<Side> sides{
      {"figure", [&] { return options.count / log.append_and_prove(); }},
      {"raw", [&] { return options.count / log.raw(); }}};
  const Rounds rounds = alternate(options.rounds, "leaves/s", sides);
  const Json extra{{"count", options.count},
                   {"leaf_bytes", options.leaf_bytes},
                   {"threads", 1},
                   {"measured", "hash, append, keep all subtrees in a file, prove every leaf"},
                   {"raw_measured", "SHA-256 of all leaf and node inputs in memory"}};
  print_result(result_json("log", sides, rounds, extra), options.json);
  return 0;
}

}  // namespace keyferry::bench
