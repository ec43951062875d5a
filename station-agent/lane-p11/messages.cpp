#include "station-agent/lane-p11/messages.h"

#include <algorithm>
#include <utility>

#include "keyferry/v1/lane.pb.h"
#include "wrap/base/text.h"

namespace keyferry::lane_p11 {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

Bytes octets_of(const google::protobuf::MessageLite& message) {
  return to_bytes(as_bytes(message.SerializeAsString()));
}

/// Our helper sends printable ASCII only; whatever else comes is made so.
std::string short_text(const std::string& text) {
  const bool plain = std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
  return plain ? text.substr(0, kMaxTextBytes) : printable(text);
}

template <typename Field>
std::optional<std::vector<Bytes>> certificates_of(const Field& field) {
  if (static_cast<std::size_t>(field.size()) > kMaxChainCertificates) return std::nullopt;
  std::vector<Bytes> certificates;
  for (const std::string& der : field) {
    if (der.empty() || der.size() > kMaxCertificateBytes) return std::nullopt;
    certificates.push_back(to_bytes(as_bytes(der)));
  }
  return certificates;
}

std::optional<KeyHandle> handle_of(const std::string& field) {
  return KeyHandle::from_bytes(as_bytes(field));
}

std::optional<Request> ask_of(const v1::LaneAsk& message) {
  const auto key = handle_of(message.key_handle());
  if (!key || static_cast<std::size_t>(message.known_handles_size()) > kMaxKnownHandles)
    return std::nullopt;
  Ask ask{*key, {}};
  for (const std::string& field : message.known_handles()) {
    const auto known = handle_of(field);
    if (!known) return std::nullopt;
    ask.known.push_back(*known);
  }
  return ask;
}

std::optional<Request> inject_of(const v1::LaneInject& message) {
  const auto key = handle_of(message.key_handle());
  if (!key || !is_name(message.key_name())) return std::nullopt;
  if (message.payload().empty() || message.payload().size() > kMaxPayloadBytes) return std::nullopt;
  return Inject{*key, message.key_name(), to_bytes(as_bytes(message.payload()))};
}

std::optional<Request> write_chain_of(const v1::LaneWriteChain& message) {
  const auto key = handle_of(message.key_handle());
  auto certificates = certificates_of(message.certificates());
  if (!key || !is_name(message.key_name()) || !certificates || certificates->empty())
    return std::nullopt;
  return WriteChain{*key, message.key_name(), std::move(*certificates)};
}

std::optional<Request> sign_of(const v1::LaneSign& message) {
  const auto key = handle_of(message.key_handle());
  if (!key || message.message().empty() || message.message().size() > kMaxMessageBytes)
    return std::nullopt;
  if (message.kind() != v1::LANE_SIGNED_CHALLENGE && message.kind() != v1::LANE_SIGNED_RECEIPT)
    return std::nullopt;
  return Sign{
      *key,
      message.kind() == v1::LANE_SIGNED_RECEIPT ? SignedKind::Receipt : SignedKind::Challenge,
      to_bytes(as_bytes(message.message()))};
}

std::optional<Holding> holding_of(v1::LaneHolding holding) {
  switch (holding) {
    case v1::LANE_HOLDING_EMPTY:
      return Holding::Empty;
    case v1::LANE_HOLDING_KEY:
      return Holding::Key;
    case v1::LANE_HOLDING_FOREIGN:
      return Holding::Foreign;
    case v1::LANE_HOLDING_UNSOUND:
      return Holding::Unsound;
    default:  // NOLINT: unspecified, or a number that this version does not know
      return std::nullopt;
  }
}

v1::LaneHolding holding_number(Holding holding) {
  switch (holding) {
    case Holding::Empty:
      return v1::LANE_HOLDING_EMPTY;
    case Holding::Key:
      return v1::LANE_HOLDING_KEY;
    case Holding::Foreign:
      return v1::LANE_HOLDING_FOREIGN;
    case Holding::Unsound:
      return v1::LANE_HOLDING_UNSOUND;
  }
  return v1::LANE_HOLDING_UNSPECIFIED;
}

std::optional<Reply> opened_of(const v1::LaneOpened& message) {
  if (message.serial().empty() || message.serial().size() > 16) return std::nullopt;
  return Opened{to_bytes(as_bytes(message.serial())),
                short_text(message.label()),
                short_text(message.manufacturer()),
                short_text(message.model()),
                message.prepared()};
}

std::optional<Reply> refused_of(const v1::LaneRefusal& message) {
  if (message.reason().empty() || message.reason().size() > 63 ||
      message.found_serial().size() > 16) {
    return std::nullopt;
  }
  return Refused{Refusal{message.reason(), short_text(message.text()), short_text(message.hint())},
                 to_bytes(as_bytes(message.found_serial()))};
}

}  // namespace

Bytes serialise(const Request& request) {
  v1::LaneRequest message;
  std::visit(Overloaded{
                 [&](const Open& open) { message.mutable_open()->set_uri(open.uri); },
                 [&](const Ask& ask) {
                   message.mutable_ask()->set_key_handle(ask.key.str());
                   for (const KeyHandle& known : ask.known)
                     message.mutable_ask()->add_known_handles(known.str());
                 },
                 [&](const Inject& inject) {
                   message.mutable_inject()->set_key_handle(inject.key.str());
                   message.mutable_inject()->set_key_name(inject.key_name);
                   message.mutable_inject()->set_payload(to_string(inject.payload));
                 },
                 [&](const WriteChain& chain) {
                   message.mutable_write_chain()->set_key_handle(chain.key.str());
                   message.mutable_write_chain()->set_key_name(chain.key_name);
                   for (const Bytes& der : chain.certificates) {
                     message.mutable_write_chain()->add_certificates(to_string(der));
                   }
                 },
                 [&](const ReadChain& chain) {
                   message.mutable_read_chain()->set_key_handle(chain.key.str());
                 },
                 [&](const Sign& sign) {
                   message.mutable_sign()->set_key_handle(sign.key.str());
                   message.mutable_sign()->set_kind(sign.kind == SignedKind::Receipt
                                                        ? v1::LANE_SIGNED_RECEIPT
                                                        : v1::LANE_SIGNED_CHALLENGE);
                   message.mutable_sign()->set_message(to_string(sign.message));
                 },
             },
             request);
  return octets_of(message);
}

Bytes serialise(const Reply& reply) {
  v1::LaneReply message;
  std::visit(Overloaded{
                 [&](const Opened& opened) {
                   v1::LaneOpened& out = *message.mutable_opened();
                   out.set_serial(to_string(opened.serial));
                   out.set_label(printable(opened.label));
                   out.set_manufacturer(printable(opened.manufacturer));
                   out.set_model(printable(opened.model));
                   out.set_prepared(opened.prepared);
                 },
                 [&](const Asked& asked) {
                   message.mutable_asked()->set_holding(holding_number(asked.holding));
                   message.mutable_asked()->set_detail(printable(asked.detail));
                 },
                 [&](const Done&) { message.mutable_done(); },
                 [&](const Chain& chain) {
                   message.mutable_chain();
                   for (const Bytes& der : chain.certificates)
                     message.mutable_chain()->add_certificates(to_string(der));
                 },
                 [&](const Signature& signature) {
                   message.mutable_signature()->set_signature(to_string(signature.signature));
                 },
                 [&](const Refused& refused) {
                   message.mutable_refusal()->set_reason(refused.refusal.reason);
                   message.mutable_refusal()->set_text(printable(refused.refusal.text));
                   message.mutable_refusal()->set_hint(printable(refused.refusal.hint));
                   message.mutable_refusal()->set_found_serial(to_string(refused.found_serial));
                 },
                 [&](const Lost& lost) { message.mutable_lost()->set_text(printable(lost.text)); },
             },
             reply);
  return octets_of(message);
}

std::optional<Request> parse_request(ByteView octets) {
  v1::LaneRequest message;
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return std::nullopt;
  switch (message.request_case()) {
    case v1::LaneRequest::kOpen:
      if (message.open().uri().empty() || message.open().uri().size() > kMaxUriBytes)
        return std::nullopt;
      return Open{message.open().uri()};
    case v1::LaneRequest::kAsk:
      return ask_of(message.ask());
    case v1::LaneRequest::kInject:
      return inject_of(message.inject());
    case v1::LaneRequest::kWriteChain:
      return write_chain_of(message.write_chain());
    case v1::LaneRequest::kReadChain: {
      const auto key = handle_of(message.read_chain().key_handle());
      return key ? std::optional<Request>{ReadChain{*key}} : std::nullopt;
    }
    case v1::LaneRequest::kSign:
      return sign_of(message.sign());
    case v1::LaneRequest::REQUEST_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Reply> parse_reply(ByteView octets) {
  v1::LaneReply message;
  if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size()))) return std::nullopt;
  switch (message.reply_case()) {
    case v1::LaneReply::kOpened:
      return opened_of(message.opened());
    case v1::LaneReply::kAsked: {
      const auto holding = holding_of(message.asked().holding());
      return holding ? std::optional<Reply>{Asked{*holding, short_text(message.asked().detail())}}
                     : std::nullopt;
    }
    case v1::LaneReply::kDone:
      return Done{};
    case v1::LaneReply::kChain: {
      auto certificates = certificates_of(message.chain().certificates());
      return certificates ? std::optional<Reply>{Chain{std::move(*certificates)}} : std::nullopt;
    }
    case v1::LaneReply::kSignature:
      if (message.signature().signature().size() != 64) return std::nullopt;
      return Signature{to_bytes(as_bytes(message.signature().signature()))};
    case v1::LaneReply::kRefusal:
      return refused_of(message.refusal());
    case v1::LaneReply::kLost:
      return Lost{short_text(message.lost().text())};
    case v1::LaneReply::REPLY_NOT_SET:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace keyferry::lane_p11
