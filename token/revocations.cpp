#include "token/revocations.h"

#include <algorithm>
#include <functional>

#include "keyferry/v1/revocation.pb.h"
#include "token/convert.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

template <typename Id, typename List>
std::vector<Id> ascending(Fields& fields, const List& raw, const char* field) {
  std::vector<Id> ids;
  for (const std::string& one : raw) ids.push_back(fields.template id<Id>(one, field));
  fields.check(std::ranges::adjacent_find(ids, std::ranges::greater_equal{}) == ids.end(), field);
  return ids;
}

std::optional<RevocationList> from_message(Fields& fields, const pb::RevocationList& message) {
  fields.check(message.version() == kMessageVersion, "version");
  fields.check(message.number() >= 1, "number");
  fields.check(static_cast<std::size_t>(message.batches_size()) + static_cast<std::size_t>(message.stations_size()) <=
                   kMaxRevoked,
               "batches");
  if (fields.bad()) return std::nullopt;
  RevocationList list{
      .appliance_id = fields.id<ApplianceId>(message.appliance_id(), "appliance-id"),
      .environment =
          fields.known(environment_from_number(static_cast<std::uint32_t>(message.environment())), "environment"),
      .number = message.number(),
      .time = fields.time(message.time_ms(), "time-ms"),
      .batches = ascending<BatchId>(fields, message.batches(), "batches"),
      .stations = ascending<StationId>(fields, message.stations(), "stations"),
  };
  if (fields.bad()) return std::nullopt;
  return list;
}

}  // namespace

Bytes serialise(const RevocationList& list) {
  pb::RevocationList message;
  message.set_version(kMessageVersion);
  message.set_appliance_id(list.appliance_id.str());
  message.set_environment(static_cast<pb::Environment>(list.environment));
  message.set_number(list.number);
  message.set_time_ms(list.time.value);
  for (const BatchId& batch : list.batches) message.add_batches(batch.str());
  for (const StationId& station : list.stations) message.add_stations(station.str());
  Fields fields{"revocation list"};
  static_cast<void>(from_message(fields, message));
  fields.throw_if_bad();
  return serialise_message(message);
}

std::variant<RevocationList, Refusal> parse_revocations(ByteView octets) {
  pb::RevocationList message;
  if (auto no = parse_message(octets, kMaxSignedPayloadBytes, message)) return std::move(*no);
  Fields fields{"revocation list"};
  auto list = from_message(fields, message);
  if (!list) return fields.refusal();
  return std::move(*list);
}

}  // namespace keyferry::token
