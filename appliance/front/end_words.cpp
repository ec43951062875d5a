#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <set>

#include "appliance/front/ends.h"
#include "appliance/front/internal/end_words.h"
#include "keyferry/v1/governance.pb.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"
#include "wrap/se/family.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kMostTyped = 256;

std::string typed_line(Output& out, const std::string& id, std::string_view what) {
  const Fd terminal{open("/dev/tty", O_RDWR | O_CLOEXEC)};
  if (!terminal.valid()) {
    throw Error{Code::Usage, fmt::format("there is no terminal to type {} on", id), "give it as --confirm " + id};
  }
  out.note(fmt::format("{} cannot be undone; type {} to go on:", what, id));
  std::string line;
  char c = 0;
  while (line.size() < kMostTyped && read(terminal.get(), &c, 1) == 1 && c != '\n') line += c;
  return line;
}

}  // namespace

void need_typed(Context& context, const std::string& confirm, const std::string& id, std::string_view what) {
  const std::string typed = confirm.empty() ? typed_line(context.out(), id, what) : confirm;
  if (typed == id) return;
  throw Error{Code::Refused, fmt::format("\"{}\" is not {}: nothing was done", printable(typed), id),
              "type it in full: --confirm " + id};
}

BatchRow ended_batch(Context& context, std::string_view text) {
  auto found = BatchStore{context.ledger()}.resolve(text);
  if (const auto* refusal = std::get_if<Refusal>(&found)) throw to_error(*refusal);
  return std::get<BatchRow>(std::move(found));
}

std::uint64_t write_records(Context& context, const std::vector<BatchId>& batches,
                            const std::filesystem::path& file) {
  make_private_directory(file.parent_path());
  DurableWriter writer{file};
  writer.write(as_bytes("batch,record_no,family,se_serial,key_name,certificate_serial,certificate_sha256\n"));
  std::uint64_t count = 0;
  EndsStore{context.ledger()}.visit(batches, [&](const OutstandingRecord& record) {
    const auto family = se::family_from_name(record.family);
    const auto serial = SeSerial::from_bytes(record.se_serial);
    writer.write(as_bytes(
        fmt::format("{},{},{},{},{},{},{}\n", record.batch.hex(), record.record_no, record.family,
                    family && serial ? printable(se::serial_text(*family, *serial)) : to_hex(record.se_serial),
                    record.key_name,
                    to_hex(record.outside_serial.empty() ? record.certificate_serial : record.outside_serial),
                    record.certificate_sha256.hex())));
    ++count;
  });
  writer.commit();
  return count;
}

std::string revocation_hint(Context& context, const std::vector<std::string>& authorities) {
  std::string hint =
      fmt::format("revocation list {} goes with every token from now on", context.gate().state().revocation_number());
  const Registry registry = context.ledger().registry();
  for (const std::string& name : std::set<std::string>{authorities.begin(), authorities.end()}) {
    const KnownAuthority* authority = registry.authority(name);
    hint += authority != nullptr && authority->outside
                ? fmt::format(
                      "; certificates: have {0} revoke them (crl due --ca {0} --list FILE), then crl import FILE "
                      "--ca {0}",
                      name)
                : fmt::format("; certificates: crl issue --ca {}", name);
  }
  return hint;
}

}  // namespace keyferry::appliance
