#include "tests/bench/container_bench.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "tests/bench/age.h"
#include "tests/bench/raw_crypto.h"
#include "tests/bench/report.h"
#include "token/block_sink.h"
#include "token/container.h"
#include "token/container_open.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/crypto/soft_key.h"

namespace keyferry::bench {
namespace {

namespace fs = std::filesystem;

/// What raw work goes through again and again: larger than the processor's caches.
constexpr std::uint64_t kMemoryBytes = std::uint64_t{64} << 20;
constexpr double kMega = 1e6;

template <typename T>
T must(std::variant<T, Refusal> answer) {
  if (const auto* no = std::get_if<Refusal>(&answer))
    throw Error{Code::Refused, "the benchmark's own container is refused: " + no->text};
  return std::get<T>(std::move(answer));
}

/// One plain file, and the keys of who seals it and who opens it.
class Line {
 public:
  Line(const ContainerOptions& options, const fs::path& folder)
      : threads_{options.threads},
        // Whole chunks, so that product and raw work go over the same octets.
        size_bytes_{std::max<std::uint64_t>(
            kRawChunkBytes,
            std::uint64_t{options.count} * options.record_bytes / kRawChunkBytes * kRawChunkBytes)},
        folder_{folder},
        memory_(std::min(size_bytes_, kMemoryBytes)) {
    SystemRandom{}.fill(memory_);
    DurableWriter plain{plain_path()};
    for (std::uint64_t left = size_bytes_; left > 0;) {
      const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, memory_.size()));
      plain.write(ByteView{memory_}.first(part));
      left -= part;
    }
    plain.commit();
  }

  void seal() {
    const Fd plain = open_regular_file(plain_path(), Code::Storage);
    DurableWriter writer{sealed_path()};
    token::BlockSink blocks{[&](ByteView octets) { writer.write(octets); }};
    token::Sealer sealer{header(),
                         inbox_.public_key(),
                         [&](ByteView octets) { blocks.write(octets); },
                         threads_};
    Bytes piece(token::kChunkBytes);
    for (std::uint64_t at = 0; at < size_bytes_; at += piece.size()) {
      if (!read_exactly_at(plain, at, piece)) throw Error{Code::Storage, "the plain file shrank"};
      sealer.write(piece);
    }
    const token::Sealed sealed = sealer.finish();
    blocks.write(token::make_trailer(
        sealed, crypto::sign(station_, crypto::SignatureKind::Container, sealed.digest.bytes())));
    blocks.flush();
    writer.commit();
  }

  void open() {
    const Fd file = open_regular_file(sealed_path(), Code::Storage);
    const token::Expectation expected{.type = token::ContainerType::Receipts,
                                      .environment = token::Environment::Development,
                                      .recipient = inbox_.public_key().key_id(),
                                      .max_body_bytes = size_bytes_,
                                      .sender = station_.public_key().key_id()};
    const auto outline = must(token::outline(file, expected, threads_));
    must(token::check_signature(outline, station_.public_key()));
    const auto key = token::open_content_key(outline.trailer.enc, outline.header_bytes, inbox_);
    if (!key) throw Error{Code::Internal, "the benchmark's own container does not open"};
    std::uint64_t seen = 0;
    must(token::BodyReader{file, outline, *key, threads_}.read_all(
        [&](ByteView plaintext) -> token::Checked {
          seen += plaintext.size();
          return std::monostate{};
        }));
    if (seen != size_bytes_) throw Error{Code::Internal, "the body is not whole"};
  }

  [[nodiscard]] double rate(double seconds) const {
    return static_cast<double>(size_bytes_) / seconds / kMega;
  }

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

  [[nodiscard]] const Bytes& memory() const { return memory_; }

  [[nodiscard]] fs::path plain_path() const { return folder_ / "plain"; }

  [[nodiscard]] fs::path sealed_path() const { return folder_ / "sealed.kf"; }

  [[nodiscard]] fs::path age_path() const { return folder_ / "sealed.age"; }

 private:
  [[nodiscard]] token::Header header() {
    token::Header header;
    header.type = token::ContainerType::Receipts;
    header.container_id = random_.id<ContainerId>();
    header.body_bound_bytes = size_bytes_;
    header.sender = station_.public_key().key_id();
    header.recipient = inbox_.public_key().key_id();
    return header;
  }

  unsigned threads_;
  std::uint64_t size_bytes_;
  fs::path folder_;
  Bytes memory_;
  SystemRandom random_;
  crypto::SoftKey station_ = crypto::SoftKey::generate();
  crypto::SoftDhKey inbox_{crypto::SoftKey::generate()};
};

Json more(const ContainerOptions& options, const Line& line) {
  return Json{{"count", options.count},
              {"record_bytes", options.record_bytes},
              {"size_bytes", line.size_bytes()},
              {"threads", options.threads},
              {"raw_threads", options.threads}};
}

Json age_json(const std::vector<Side>& sides, const Rounds& rounds) {
  constexpr std::size_t kAge = 2;
  if (sides.size() <= kAge)
    return Json{{"present", false}, {"note", "the program age (and age-keygen) is not installed"}};
  const double age = median(rounds.rates[kAge]);
  return Json{{"present", true},
              {"figure", rounded(age, 1)},
              {"ratio", rounded(median(rounds.rates[0]) / age, 3)}};
}

}  // namespace

int run_seal(const ContainerOptions& options) {
  const WorkFolder folder{options.folder};
  Line line{options, folder.path()};
  const auto age = Age::find(folder.path());
  std::vector<Side> sides{
      {"figure",
       [&] {
         fs::remove(line.sealed_path());
         return line.rate(seconds_of([&] { line.seal(); }));
       }},
      {"raw", [&] {
         return line.rate(raw_seal_seconds(line.memory(), line.size_bytes(), options.threads));
       }}};
  if (age)
    sides.push_back({"age", [&] {
                       return line.rate(age->seal_seconds(line.plain_path(), line.age_path()));
                     }});
  const Rounds rounds = alternate(options.rounds, "MB/s", sides);
  Json extra = more(options, line);
  extra["measured"] = "read plain file, seal, write, sign, rename, fsync of file and folder";
  extra["raw_measured"] = "AES-256-GCM and SHA-256 in memory";
  extra["age"] = age_json(sides, rounds);
  print_result(result_json("seal", sides, rounds, extra), options.json);
  return 0;
}

int run_open(const ContainerOptions& options) {
  const WorkFolder folder{options.folder};
  Line line{options, folder.path()};
  line.seal();
  const auto age = Age::find(folder.path());
  if (age) static_cast<void>(age->seal_seconds(line.plain_path(), line.age_path()));
  const Bytes sealed = raw_sealed(line.memory());
  std::vector<Side> sides{
      {"figure", [&] { return line.rate(seconds_of([&] { line.open(); })); }}, {"raw", [&] {
         return line.rate(raw_open_seconds(sealed, line.size_bytes(), options.threads));
       }}};
  if (age)
    sides.push_back({"age", [&] { return line.rate(age->open_seconds(line.age_path())); }});
  const Rounds rounds = alternate(options.rounds, "MB/s", sides);
  Json extra = more(options, line);
  extra["measured"] = "outline, signature, key agreement, body of a file in the page cache";
  extra["raw_measured"] = "SHA-256 and AES-256-GCM in memory";
  extra["age"] = age_json(sides, rounds);
  print_result(result_json("open", sides, rounds, extra), options.json);
  return 0;
}

}  // namespace keyferry::bench
