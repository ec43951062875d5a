#include "token/custody.h"

#include <algorithm>
#include <array>

#include "keyferry/v1/revocation.pb.h"
#include "token/convert.h"

namespace keyferry::token {
namespace {

namespace pb = keyferry::v1;

constexpr std::array<std::string_view, 6> kEvents{"enrolled",  "handed-out", "returned",
                                                  "inspected", "retired",    "lost"};
constexpr std::size_t kMaxCustodyBytes = 4096;

bool is_event_name(std::string_view text) {
  return std::ranges::find(kEvents, text) != kEvents.end();
}

bool is_direction(std::string_view text) {
  return text.empty() || text == "out" || text == "home";
}

std::optional<Digest> optional_digest(Fields& fields, const std::string& raw, const char* field) {
  if (raw.empty()) return std::nullopt;
  return fields.id<Digest>(raw, field);
}

std::optional<CustodyStatement> from_message(Fields& fields, const pb::CustodyStatement& message) {
  fields.check(message.version() == kMessageVersion, "version");
  fields.check(message.sequence() >= 1, "sequence");
  fields.check((message.sequence() == 1) == message.previous_sha256().empty(), "previous-sha256");
  fields.check((message.event() == "handed-out") == !message.direction().empty(), "direction");
  CustodyStatement statement{
      .appliance_id = fields.id<ApplianceId>(message.appliance_id(), "appliance-id"),
      .token_id = fields.id<TokenId>(message.token_id(), "token-id"),
      .sequence = message.sequence(),
      .event = fields.text(message.event(), is_event_name, "event"),
      .direction = fields.text(message.direction(), is_direction, "direction"),
      .bag = fields.text(message.bag(), is_bag_number_or_empty, "bag"),
      .officer = message.officer(),
      .receiver = message.receiver(),
      .receiver_name_hash = optional_digest(fields, message.receiver_name_hash(), "receiver-name-hash"),
      .due = message.due_ms() == 0 ? std::nullopt : std::optional{fields.time(message.due_ms(), "due-ms")},
      .time = fields.time(message.time_ms(), "time-ms"),
      .previous = optional_digest(fields, message.previous_sha256(), "previous-sha256"),
  };
  if (fields.bad()) return std::nullopt;
  return statement;
}

}  // namespace

bool is_bag_number_or_empty(std::string_view text) {
  return text.size() <= 64 && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
         });
}

Bytes serialise(const CustodyStatement& statement) {
  pb::CustodyStatement message;
  message.set_version(kMessageVersion);
  message.set_appliance_id(statement.appliance_id.str());
  message.set_token_id(statement.token_id.str());
  message.set_sequence(statement.sequence);
  message.set_event(statement.event);
  message.set_direction(statement.direction);
  message.set_bag(statement.bag);
  message.set_officer(statement.officer);
  message.set_receiver(statement.receiver);
  if (statement.receiver_name_hash) message.set_receiver_name_hash(statement.receiver_name_hash->str());
  if (statement.due) message.set_due_ms(statement.due->value);
  message.set_time_ms(statement.time.value);
  if (statement.previous) message.set_previous_sha256(statement.previous->str());
  Fields fields{"custody statement"};
  static_cast<void>(from_message(fields, message));
  fields.throw_if_bad();
  return serialise_message(message);
}

std::variant<CustodyStatement, Refusal> parse_custody(ByteView octets) {
  pb::CustodyStatement message;
  if (auto no = parse_message(octets, kMaxCustodyBytes, message)) return std::move(*no);
  Fields fields{"custody statement"};
  auto statement = from_message(fields, message);
  if (!statement) return fields.refusal();
  return std::move(*statement);
}

}  // namespace keyferry::token
