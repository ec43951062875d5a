// What precedes pinned keys: signed bytes, and the cards, requests and answers inside them; and
// names on a token; the revocation list and statements of custody; orders to a secure room and its
// receipts.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "token/custody.h"
#include "token/enrolment.h"
#include "token/layout.h"
#include "token/preparation.h"
#include "token/revocations.h"

namespace {

using namespace keyferry;
using namespace keyferry::token;

void require(bool good) {
  if (!good) std::abort();
}

template <typename Value>
const Value* value_of(const std::variant<Value, Refusal>& answer) {
  return std::get_if<Value>(&answer);
}

void try_payload(ByteView input) {
  const auto card = parse_appliance_card(input);
  if (const auto* found = value_of(card))
    require(*value_of(parse_appliance_card(serialise(*found))) == *found);
  const auto request = parse_enrolment_request(input);
  if (const auto* found = value_of(request))
    require(*value_of(parse_enrolment_request(serialise(*found))) == *found);
  const auto answer = parse_enrolment_answer(input);
  if (const auto* found = value_of(answer))
    require(*value_of(parse_enrolment_answer(serialise(*found))) == *found);
  const auto token = parse_token_card(input);
  if (const auto* found = value_of(token))
    require(*value_of(parse_token_card(serialise(*found))) == *found);
  const auto revoked = parse_revocations(input);
  if (const auto* found = value_of(revoked))
    require(*value_of(parse_revocations(serialise(*found))) == *found);
  const auto custody = parse_custody(input);
  if (const auto* found = value_of(custody))
    require(*value_of(parse_custody(serialise(*found))) == *found);
  const auto order = parse_preparation_order(input);
  if (const auto* found = value_of(order))
    require(*value_of(parse_preparation_order(serialise(*found))) == *found);
  const auto receipt = parse_preparation_receipt(input);
  if (const auto* found = value_of(receipt))
    require(*value_of(parse_preparation_receipt(serialise(*found))) == *found);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ByteView input{data, size};
  try_payload(input);
  const auto wrapped = parse_signed_bytes(input);
  if (const auto* found = value_of(wrapped)) {
    try_payload(found->payload);
    static_cast<void>(open_appliance_card(*found));
    static_cast<void>(open_enrolment_request(*found));
    static_cast<void>(open_preparation_order(input));
    const Bytes again = encode(*found);
    require(*value_of(parse_signed_bytes(again)) == *found);
  }
  const auto line = parse_preparation_line(as_chars(input));
  if (const auto* found = value_of(line)) require(preparation_line(*found) == as_chars(input));
  const std::string name{as_chars(input)};
  if (parse_name(name)) require(is_medium_name(name));
  return 0;
}
