#include "appliance/front/own_card.h"

#include <utility>

#include "appliance/front/context.h"
#include "token/signed_bytes.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/error.h"

namespace keyferry::appliance {

Bytes own_card_octets(Context& context) {
  auto octets = read_file_if_exists(context.paths().card(), token::kMaxSignedBytes);
  if (!octets) {
    throw Error{Code::NotFound,
                context.paths().card().string() + " is not there",
                "run any command that asks the HSM: it writes the card again"};
  }
  return std::move(*octets);
}

token::ApplianceCard own_card(Context& context) {
  const Bytes octets = own_card_octets(context);
  const auto parsed = token::parse_signed_bytes(octets);
  const auto* signed_card = std::get_if<token::SignedBytes>(&parsed);
  if (signed_card != nullptr) {
    auto opened = token::open_appliance_card(*signed_card);
    auto* card = std::get_if<token::ApplianceCard>(&opened);
    if (card != nullptr && card->appliance_id == context.appliance_id()) return std::move(*card);
  }
  throw Error{Code::Storage,
              context.paths().card().string() + " is not this appliance's card",
              "remove it: the next command that asks the HSM writes it again"};
}

}  // namespace keyferry::appliance
