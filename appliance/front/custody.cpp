#include "appliance/front/custody.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "appliance/front/context.h"
#include "appliance/front/dates.h"
#include "appliance/front/officer.h"
#include "appliance/ledger/custody_store.h"
#include "keyferry/v1/log.pb.h"
#include "token/custody.h"
#include "token/layout.h"
#include "token/medium.h"
#include "token/transfer.h"
#include "wrap/base/cut.h"
#include "wrap/base/error.h"
#include "wrap/base/process.h"
#include "wrap/base/text.h"
#include "wrap/crypto/hash.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kMaxName = 128;

struct Who {
  std::uint32_t person = 0;
  std::string name;
};

Who who_of(const std::string& text) {
  Who who;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), who.person);
  if (failed == std::errc{} && end == text.data() + text.size() && who.person > 0) return who;
  who.person = 0;
  if (text.size() > kMaxName || printable(text) != text) {
    throw Error{Code::Usage, "a person is a number, or a name of at most 128 printable characters"};
  }
  who.name = text;
  return who;
}

/// The number of the officer whose key this is.
std::uint32_t officer_number(Context& context, const crypto::PublicKey& key) {
  const Registry registry = context.ledger().registry();
  for (const KnownOfficer& one : registry.officers) {
    if (one.approves() && equal(one.public_key, key.point())) return one.number;
  }
  throw Error{Code::Refused, "this key belongs to no officer of this appliance",
              "name another key file with --officer-key"};
}

void add_receiver(Context& context, const CustodyOptions& options, const CustodyAct& act,
                  token::SignedBytes& statement) {
  if (!options.receiver_key) return;
  const SecretBytes passphrase = options.receiver_passphrase_fd
                                     ? read_secret_line(*options.receiver_passphrase_fd)
                                     : prompt_secret("passphrase of the other person's key: ");
  crypto::SoftKey key = read_officer_key(*options.receiver_key, passphrase);
  const token::SignedBytes theirs = token::sign_payload(key, crypto::SignatureKind::Custody, statement.payload);
  if (theirs.signatures.front().key_id == statement.signatures.front().key_id) {
    throw Error{Code::Refused, "both sides signed with one key", "the other person signs with a key of their own"};
  }
  const Registry registry = context.ledger().registry();
  const auto registered = std::ranges::find(registry.officers, act.person, &KnownOfficer::number);
  if (registered != registry.officers.end() && !equal(registered->public_key, key.public_key().point())) {
    throw Error{Code::Refused, fmt::format("the other key is not that of person {}", act.person)};
  }
  statement.signatures.push_back(theirs.signatures.front());
}

/// Fills in what follows from the token's last act. Error{Refused}: the table does not allow it.
CustodyAct drafted(Context& context, const TokenId& token, CustodyEvent event, const CustodyOptions& options) {
  const auto last = CustodyStore{context.ledger()}.newest(token);
  const CustodyState from = last ? last->state : CustodyState::None;
  const auto to = next(from, event);
  if (!to) {
    throw Error{Code::Refused,
                fmt::format("token {} is {}: it cannot be {}", token.hex(),
                            from == CustodyState::None ? "not enrolled" : state_name(from), event_name(event)),
                "keyferry-appliance token status"};
  }
  const Who who = who_of(options.who);
  CustodyAct act{.token = token,
                 .sequence = last ? last->sequence + 1 : 1,
                 .event = event,
                 .state = *to,
                 .label = last ? last->label : options.label,
                 .direction = options.direction,
                 .bag = options.bag,
                 .person = who.person,
                 .name = who.name,
                 .name_salt = who.name.empty() ? Bytes{} : context.random().bytes(kSaltBytes),
                 .due = {},
                 .time = context.clock().now(),
                 .statement = {}};
  if (options.due) act.due = read_time("--due", *options.due);
  return act;
}

token::CustodyStatement statement_of(Context& context, const CustodyAct& act, std::uint32_t officer) {
  token::CustodyStatement statement{.appliance_id = context.appliance_id(),
                                    .token_id = act.token,
                                    .sequence = act.sequence,
                                    .event = std::string{event_name(act.event)},
                                    .direction = act.direction,
                                    .bag = act.bag,
                                    .officer = officer,
                                    .receiver = act.person,
                                    .due = act.due,
                                    .time = act.time};
  if (!act.name.empty()) statement.receiver_name_hash = crypto::sha256_of({act.name_salt, as_bytes(act.name)});
  if (const auto last = CustodyStore{context.ledger()}.newest(act.token)) {
    const auto before = token::parse_signed_bytes(last->statement);
    if (const auto* bytes = std::get_if<token::SignedBytes>(&before))
      statement.previous = crypto::sha256(bytes->payload);
  }
  return statement;
}

token::SignedBytes sign(Context& context, const CustodyAct& act, const CustodyOptions& options) {
  auto officer = officer_key(context);
  const std::uint32_t number = officer_number(context, officer->public_key());
  token::SignedBytes statement = token::sign_payload(*officer, crypto::SignatureKind::Custody,
                                                     token::serialise(statement_of(context, act, number)));
  add_receiver(context, options, act, statement);
  return statement;
}

/// Leaf and row, in one transaction.
void record(Context& context, CustodyAct act, const token::SignedBytes& statement) {
  std::vector<v1::LogLeaf> leaves(1);
  v1::CustodyLeaf& said = *leaves.front().mutable_custody();
  said.set_token_id(act.token.str());
  said.set_event(std::string{event_name(act.event)});
  said.set_statement_sha256(crypto::sha256(statement.payload).str());
  said.set_signatures(static_cast<std::uint32_t>(statement.signatures.size()));
  const bool somebody = act.person != 0 || !act.name.empty();
  if (somebody && statement.signatures.size() < 2) {
    v1::NoteLeaf& note = *leaves.emplace_back().mutable_note();
    note.set_event("custody.exception");
    note.set_subject(fmt::format("{} {}: signed by one side only", act.token.hex(), event_name(act.event)));
    context.out().note("exception: who gave or took the token did not sign (--receiver-key); it is in the log");
  }
  act.statement = token::encode(statement);
  context.gate().report(leaves, custody_action(act));
}

Json json_of(const CustodyAct& act, UtcMillis now) {
  const bool overdue = act.state == CustodyState::Out && act.due && *act.due <= now;
  return Json{{"token", act.token.hex()},
              {"label", act.label},
              {"state", std::string{state_name(act.state)}},
              {"since", to_rfc3339(act.time)},
              {"person", act.person},
              {"name", act.name},
              {"direction", act.direction},
              {"bag", act.bag},
              {"due", act.due ? Json(to_rfc3339(*act.due)) : Json(nullptr)},
              {"overdue", overdue},
              {"acts", act.sequence}};
}

std::string line_of(const CustodyAct& act, UtcMillis now) {
  std::string line = fmt::format("token {} {}  {} since {}", act.token.hex(), act.label, state_name(act.state),
                                 to_rfc3339(act.time));
  if (act.person != 0) line += fmt::format(", person {}", act.person);
  if (!act.name.empty()) line += ", " + act.name;
  if (!act.direction.empty()) line += fmt::format(", on its way {}, bag {}", act.direction, act.bag);
  if (act.due)
    line += fmt::format(", due {}{}", to_rfc3339(*act.due),
                        act.state == CustodyState::Out && *act.due <= now ? ": OVERDUE" : "");
  return line;
}

int act_on(Context& context, CustodyEvent event, const CustodyOptions& options) {
  static_cast<void>(context.gate());
  const TokenId token = find_token(context, options.token);
  const CustodyAct act = drafted(context, token, event, options);
  record(context, act, sign(context, act, options));
  const CustodyAct done = *CustodyStore{context.ledger()}.newest(token);
  context.out().result("token-custody", json_of(done, done.time), {line_of(done, done.time)});
  return 0;
}

/// A statement of ours on the token that a cut left unrecorded, or that is recorded.
std::optional<std::pair<token::CustodyStatement, token::SignedBytes>> statement_on(Context& context,
                                                                                   token::Medium& medium) {
  const auto read = token::read_in(medium, std::string{token::kCustodyName});
  if (!std::holds_alternative<Bytes>(read)) return std::nullopt;
  auto parsed = token::parse_signed_bytes(std::get<Bytes>(read));
  auto* bytes = std::get_if<token::SignedBytes>(&parsed);
  if (bytes == nullptr) return std::nullopt;
  auto statement = token::parse_custody(bytes->payload);
  auto* found = std::get_if<token::CustodyStatement>(&statement);
  if (found == nullptr || found->appliance_id != context.appliance_id() || found->event != "enrolled")
    return std::nullopt;
  const Registry registry = context.ledger().registry();
  for (const KnownOfficer& one : registry.officers) {
    const auto key = crypto::PublicKey::from_point(one.public_key);
    if (key && token::verify_signed(*bytes, crypto::SignatureKind::Custody, *key)) return std::pair{*found, *bytes};
  }
  return std::nullopt;
}

}  // namespace

TokenId find_token(Context& context, const std::string& text) {
  std::set<TokenId> found;
  SQLite::Statement query{context.ledger().database(),
                          "SELECT token_id, '' FROM token UNION SELECT token_id, label FROM custody ORDER BY 1, 2"};
  while (query.executeStep()) {
    const auto id = TokenId::from_bytes(store::column_blob(query, 0));
    const bool by_label = !text.empty() && query.getColumn(1).getString() == text;
    if (id && (by_label || (text.size() >= 4 && id->hex().starts_with(text)))) found.insert(*id);
  }
  if (found.size() == 1) return *found.begin();
  throw Error{Code::NotFound,
              fmt::format("{} token has the label \"{}\" or an id that begins so",
                          found.empty() ? "no" : "more than one", printable(text)),
              "keyferry-appliance token status lists them"};
}

int token_enrol(Context& context, const std::filesystem::path& folder, const CustodyOptions& options) {
  if (!is_name(options.label)) throw Error{Code::Usage, "--label: 1 to 63 of a-z 0-9 - _ . are allowed"};
  static_cast<void>(context.gate());
  token::FolderMedium medium{folder};
  auto there = statement_on(context, medium);
  CustodyStore store{context.ledger()};
  if (there && store.newest(there->first.token_id)) {
    const CustodyAct known = *store.newest(there->first.token_id);
    context.out().result("token-custody", json_of(known, context.clock().now()),
                         {"this token is enrolled already", line_of(known, context.clock().now())});
    return 0;
  }
  for (const CustodyAct& other : store.newest()) {
    if (other.label == options.label)
      throw Error{Code::Refused, fmt::format("another token is labelled \"{}\"", options.label)};
  }
  const TokenId token = there ? there->first.token_id : context.random().id<TokenId>();
  CustodyAct act = drafted(context, token, CustodyEvent::Enrolled, options);
  token::SignedBytes statement;
  if (there) {
    act.time = there->first.time;
    statement = there->second;
  } else {
    statement = sign(context, act, options);
    token::write_out(medium, std::string{token::kCustodyName}, token::encode(statement), Overwrite::Replace);
  }
  KF_CUT("front.ends.token-marked");  // cut here: the statement on the token is recorded by the same command
  record(context, act, statement);
  const CustodyAct done = *store.newest(token);
  context.out().result("token-custody", json_of(done, done.time),
                       {line_of(done, done.time), "put the label on it, where people see it"});
  return 0;
}

int token_hand_out(Context& context, const CustodyOptions& options) {
  if (options.direction != "out" && options.direction != "home") throw Error{Code::Usage, "--direction: out or home"};
  if (options.bag.empty() || !token::is_bag_number_or_empty(options.bag)) {
    throw Error{Code::Usage, "--bag: the bag's number, 1 to 64 letters, digits or -"};
  }
  return act_on(context, CustodyEvent::HandedOut, options);
}

int token_return(Context& context, const CustodyOptions& options) {
  return act_on(context, CustodyEvent::Returned, options);
}

int token_inspect(Context& context, const CustodyOptions& options) {
  return act_on(context, CustodyEvent::Inspected, options);
}

int token_retire(Context& context, const CustodyOptions& options) {
  return act_on(context, CustodyEvent::Retired, options);
}

int token_status(Context& context) {
  const UtcMillis now = context.clock().now();
  std::vector<CustodyAct> acts = CustodyStore{context.ledger()}.newest();
  const auto rank = [now](const CustodyAct& act) {
    const bool overdue = act.state == CustodyState::Out && act.due && *act.due <= now;
    return std::tuple{!overdue, act.state != CustodyState::Out, act.time.value};
  };
  std::ranges::stable_sort(acts, {}, rank);
  Json tokens = Json::array();
  std::vector<std::string> lines;
  std::uint64_t overdue = 0;
  for (const CustodyAct& act : acts) {
    tokens.push_back(json_of(act, now));
    overdue += tokens.back()["overdue"].get<bool>() ? 1 : 0;
    lines.push_back(line_of(act, now));
  }
  if (lines.empty()) lines.emplace_back("no token is enrolled: keyferry-appliance token enrol DIR --label NAME");
  context.out().result("token-status", Json{{"tokens", tokens}, {"overdue", overdue}}, lines);
  return overdue == 0 ? 0 : 1;
}

void note_token_lost(Context& context, const TokenId& token) {
  const auto last = CustodyStore{context.ledger()}.newest(token);
  if (!last || !next(last->state, CustodyEvent::Lost)) return;
  const CustodyOptions options;
  const CustodyAct act = drafted(context, token, CustodyEvent::Lost, options);
  record(context, act, sign(context, act, options));
}

std::optional<TokenId> enrolled_token(Context& context, token::Medium& medium) {
  const auto there = statement_on(context, medium);
  if (!there || !CustodyStore{context.ledger()}.newest(there->first.token_id)) return std::nullopt;
  return there->first.token_id;
}

}  // namespace keyferry::appliance
