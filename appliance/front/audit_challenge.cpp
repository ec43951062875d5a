#include "appliance/front/audit_challenge.h"

#include <fmt/format.h>

#include <algorithm>

#include "appliance/front/context.h"
#include "appliance/front/own_card.h"
#include "appliance/front/station_log_check.h"
#include "keyferry/v1/log.pb.h"
#include "token/audit/checkpoint.h"
#include "token/bundle/words.h"
#include "wrap/base/error.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

constexpr std::size_t kLeast = 8, kMost = 200;

std::string checked(const std::string& text) {
  std::string words = bundle::plain_words(text);
  if (words.size() >= kLeast && words.size() <= kMost &&
      std::ranges::all_of(words, [](char c) { return c >= ' ' && c <= '~'; })) {
    return words;
  }
  throw Error{
      Code::Usage,
      fmt::format(
          "the words of a challenge are {} to {} characters of printable ASCII", kLeast, kMost),
      "take a few words that nobody could have guessed yesterday"};
}

}  // namespace

int audit_challenge(Context& context, const std::string& text) {
  const std::string words = checked(text);
  std::vector<v1::LogLeaf> leaves(1);
  leaves.front().mutable_note()->set_event(std::string{bundle::kChallengeEvent});
  leaves.front().mutable_note()->set_subject(words);
  context.gate().report(leaves);
  const auto newest = context.ledger().newest_checkpoint();
  const token::ApplianceCard card = own_card(context);
  const auto verified =
      newest ? audit::verify_checkpoint(newest->note, log_name(card.appliance_id), card.log_key)
             : std::variant<audit::Checkpoint, Refusal>{Refusal{}};
  const auto* checkpoint = std::get_if<audit::Checkpoint>(&verified);
  if (checkpoint == nullptr)
    throw Error{Code::Channel, "the gate signed no checkpoint over the challenge"};
  const std::uint64_t leaf = checkpoint->size - 1;
  const std::string spoken = audit::checkpoint_words(*checkpoint);
  context.out().result("audit-challenge",
                       Json{{"words", words},
                            {"leaf", leaf},
                            {"size", checkpoint->size},
                            {"root", checkpoint->root.hex()},
                            {"checkpoint", spoken}},
                       {fmt::format("your words are leaf {}", leaf),
                        "checkpoint " + spoken,
                        fmt::format("a bundle exported from now on shows it: keyferry-audit verify "
                                    "DIR --fingerprint \"...\" --challenge \"{}\"",
                                    words)});
  return 0;
}

}  // namespace keyferry::appliance
