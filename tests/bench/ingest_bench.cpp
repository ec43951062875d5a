#include "tests/bench/ingest_bench.h"

#include <vector>

#include "tests/bench/ingest_line.h"
#include "tests/bench/raw_crypto.h"
#include "tests/bench/report.h"

namespace keyferry::bench {

int run_ingest(const IngestOptions& options) {
  const WorkFolder folder{options.folder};
  IngestLine line{folder.path(), options.count, options.threads};
  const std::vector<Side> sides{
      {"figure", [&] { return options.count / line.import_seconds(); }},
      {"raw", [&] { return raw_verify_rate(line.signatures(), options.threads); }}};
  const Rounds rounds = alternate(options.rounds, "receipts/s", sides);
  const Json extra{
      {"count", options.count},
      {"threads", 1},
      {"raw_threads", options.threads},
      {"raw_signatures", line.signatures().size()},
      {"measured",
       "open container, station log, SE signatures, ledger; without token copy and gate"},
      {"raw_measured", "P-256 verification by libcrypto, keys and signatures parsed"}};
  print_result(result_json("ingest", sides, rounds, extra), options.json);
  return 0;
}

}  // namespace keyferry::bench
