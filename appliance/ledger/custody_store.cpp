#include "appliance/ledger/custody_store.h"

#include <algorithm>

#include "wrap/base/error.h"

namespace keyferry::appliance {
namespace {

using store::guarded;

// data: token id, u64be sequence, event and state (1 octet each), u32be person, u64be due (0: none), u64be time, then
// with u16be length each: label, direction, bag, name, salt; the statement behind them.
constexpr const char* kCustody = "custody";

constexpr const char* kColumns =
    "SELECT token_id, seq, event, state, label, direction, bag, person, due_ms, time_ms, statement, coalesce(name, "
    "''), "
    "coalesce(salt, x'') FROM custody LEFT JOIN custody_name USING (token_id, seq) ";

Error damaged() {
  return Error{Code::Storage, "ledger: an act of custody is damaged", "restore the ledger from its newest backup"};
}

std::optional<CustodyEvent> event_from_name(std::string_view name) {
  const auto* const found = std::ranges::find(kCustodyEventNames, name, &CustodyEventName::name);
  return found == kCustodyEventNames.end() ? std::nullopt : std::optional{found->event};
}

CustodyAct act_at(SQLite::Statement& row) {
  const auto token = TokenId::from_bytes(store::column_blob(row, 0));
  const auto event = event_from_name(row.getColumn(2).getString());
  const auto state = custody_state_from_name(row.getColumn(3).getString());
  if (!token || !event || !state) throw damaged();
  CustodyAct act{.token = *token,
                 .sequence = static_cast<std::uint64_t>(row.getColumn(1).getInt64()),
                 .event = *event,
                 .state = *state,
                 .label = row.getColumn(4).getString(),
                 .direction = row.getColumn(5).getString(),
                 .bag = row.getColumn(6).getString(),
                 .person = static_cast<std::uint32_t>(row.getColumn(7).getInt64()),
                 .name = row.getColumn(11).getString(),
                 .name_salt = store::column_blob(row, 12),
                 .due = {},
                 .time = UtcMillis{row.getColumn(9).getInt64()},
                 .statement = store::column_blob(row, 10)};
  if (!row.getColumn(8).isNull()) act.due = UtcMillis{row.getColumn(8).getInt64()};
  return act;
}

class Parts {
 public:
  explicit Parts(ByteView rest) : rest_{rest} {}

  ByteView take(std::size_t size) {
    if (rest_.size() < size) throw damaged();
    const ByteView part = rest_.first(size);
    rest_ = rest_.subspan(size);
    return part;
  }

  ByteView prefixed() { return take(read_u16be(take(2))); }

  [[nodiscard]] ByteView rest() const { return rest_; }

 private:
  ByteView rest_;
};

void insert_act(store::Database& database, ByteView data) {
  Parts parts{data};
  const ByteView token = parts.take(TokenId::kSizeBytes);
  const std::uint64_t sequence = read_u64be(parts.take(8));
  const auto event = static_cast<CustodyEvent>(parts.take(1)[0]);
  const auto state = static_cast<CustodyState>(parts.take(1)[0]);
  const std::uint32_t person = read_u32be(parts.take(4));
  const std::uint64_t due = read_u64be(parts.take(8));
  const std::uint64_t time = read_u64be(parts.take(8));
  const std::string label = to_string(parts.prefixed()), direction = to_string(parts.prefixed()),
                    bag = to_string(parts.prefixed());
  const std::string name = to_string(parts.prefixed());
  const ByteView salt = parts.prefixed();
  SQLite::Statement insert{
      database,
      "INSERT INTO custody (token_id, seq, event, state, label, direction, bag, person, due_ms, time_ms, "
      "statement) VALUES (:token, :seq, :event, :state, :label, :direction, :bag, :person, :due, :time, "
      ":statement)"};
  store::bind_blob(insert, ":token", token);
  insert.bind(":seq", static_cast<std::int64_t>(sequence));
  insert.bind(":event", std::string{event_name(event)});
  insert.bind(":state", std::string{state_name(state)});
  insert.bind(":label", label);
  insert.bind(":direction", direction);
  insert.bind(":bag", bag);
  insert.bind(":person", person);
  if (due != 0) insert.bind(":due", static_cast<std::int64_t>(due));
  insert.bind(":time", static_cast<std::int64_t>(time));
  store::bind_blob(insert, ":statement", parts.rest());
  insert.exec();
  if (name.empty()) return;
  SQLite::Statement named{database,
                          "INSERT INTO custody_name (token_id, seq, salt, name) VALUES (:token, :seq, :salt, :name)"};
  store::bind_blob(named, ":token", token);
  named.bind(":seq", static_cast<std::int64_t>(sequence));
  store::bind_blob(named, ":salt", salt);
  named.bind(":name", name);
  named.exec();
}

}  // namespace

std::vector<CustodyAct> CustodyStore::read(const std::string& where, const std::optional<TokenId>& token) {
  return guarded("ledger: read acts of custody", [&] {
    SQLite::Statement query{ledger_.database(), kColumns + where + " ORDER BY token_id, seq"};
    if (token) store::bind_blob(query, ":token", token->bytes());
    std::vector<CustodyAct> acts;
    while (query.executeStep()) acts.push_back(act_at(query));
    return acts;
  });
}

std::vector<CustodyAct> CustodyStore::newest() {
  return read("WHERE seq = (SELECT max(seq) FROM custody AS later WHERE later.token_id = custody.token_id)",
              std::nullopt);
}

std::optional<CustodyAct> CustodyStore::newest(const TokenId& token) {
  auto all = acts(token);
  if (all.empty()) return std::nullopt;
  return std::move(all.back());
}

std::vector<CustodyAct> CustodyStore::acts(const TokenId& token) {
  return read("WHERE token_id = :token", token);
}

void register_custody_actions(Ledger& ledger) {
  ledger.on_action(kCustody, insert_act);
}

Action custody_action(const CustodyAct& act) {
  Action action{kCustody, to_bytes(act.token.bytes())};
  append_u64be(action.data, act.sequence);
  action.data.push_back(static_cast<std::uint8_t>(act.event));
  action.data.push_back(static_cast<std::uint8_t>(act.state));
  append_u32be(action.data, act.person);
  append_u64be(action.data, static_cast<std::uint64_t>(act.due ? act.due->value : 0));
  append_u64be(action.data, static_cast<std::uint64_t>(act.time.value));
  for (const std::string* text : {&act.label, &act.direction, &act.bag, &act.name}) {
    append_u16be_prefixed(action.data, as_bytes(*text));
  }
  append_u16be_prefixed(action.data, act.name_salt);
  append(action.data, act.statement);
  return action;
}

}  // namespace keyferry::appliance
