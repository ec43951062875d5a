#include "appliance/gate/share_screen.h"

#include <fmt/format.h>

namespace keyferry::appliance {
namespace {

constexpr unsigned kTriesForALine = 5;
constexpr unsigned kTriesForAShare = 5;

void append_text(Botan::secure_vector<std::uint8_t>& page, std::string_view text) {
  page.insert(page.end(), text.begin(), text.end());
}

/// One custodian has the screen; whatever happens, it is cleared afterwards.
class OwnScreen {
 public:
  explicit OwnScreen(Terminal& terminal) : terminal_{terminal} { terminal_.clear(); }

  ~OwnScreen() {
    try {
      terminal_.clear();
    } catch (const Error&) {  // a destructor never throws; a terminal that is gone shows nothing
    }
  }

  OwnScreen(const OwnScreen&) = delete;
  OwnScreen& operator=(const OwnScreen&) = delete;

 private:
  Terminal& terminal_;
};

std::optional<ShareFile> typed_back(Terminal& terminal, const HandedShare& share) {
  terminal.show(fmt::format("Type the share of {} back from your paper; nothing that is typed is shown.\n",
                            share_kind_noun(share.kind)));
  auto typed = typed_share(terminal);
  if (const auto* refusal = std::get_if<Refusal>(&typed)) {
    terminal.show(refusal->text + "\n");
    return std::nullopt;
  }
  auto& file = std::get<ShareFile>(typed);
  if (file.kind == share.kind && equal(file.share.expose(), share.rtss.expose())) return std::move(file);
  terminal.show("That is a share, but not the one that was just handed out.\n");
  return std::nullopt;
}

ShareFile hand_out_one(Terminal& terminal, const HandedShare& share, const std::string& appliance, const std::string& who,
                       bool printed) {
  for (unsigned tries = 1; tries <= kTriesForAShare; ++tries) {
    if (!printed) {
      terminal.show_secret(share_page(share, appliance, who));
      terminal.wait_for_enter("\nCopy it to paper. Enter, when done, clears the screen: ");
    }
    const OwnScreen screen{terminal};
    if (auto back = typed_back(terminal, share)) return std::move(*back);
    terminal.wait_for_enter("Enter goes on: ");
  }
  throw Error{Code::Refused, fmt::format("{} did not type the share of {} back", who, share_kind_noun(share.kind)),
              "nothing was changed: destroy the papers and give the same command again"};
}

}  // namespace

SecretBytes share_page(const HandedShare& share, const std::string& appliance, const std::string& who) {
  Botan::secure_vector<std::uint8_t> page;
  append_text(page, fmt::format("keyferry appliance {}\nshare {} of {} of {}, for {}\n{} shares are needed; set {}\n\n", appliance,
                                share.number, share.counts.shares, share_kind_noun(share.kind), who, share.counts.needed,
                                to_hex(share.rtss.expose().first(kShareSetIdBytes)).substr(0, 8)));
  unsigned number = 0;
  for (const SecretBytes& line : share_lines(share.kind, share.rtss, share.counts.shares)) {
    append_text(page, fmt::format("  line {}  ", ++number));
    append_text(page, as_chars(line.expose()));
    append_text(page, "\n");
  }
  return SecretBytes{std::move(page)};
}

std::variant<ShareFile, Refusal> typed_share(Terminal& terminal) {
  ShareTyping typing;
  unsigned tries = 0;
  while (!typing.complete()) {
    const auto refusal = typing.add(terminal.ask(fmt::format("line {}: ", typing.next_line())));
    if (!refusal) {
      tries = 0;
      continue;
    }
    if (++tries == kTriesForALine) return *refusal;
    terminal.show(refusal->text + ": type it again\n");
  }
  return typing.take();
}

std::vector<ShareFile> hand_out_on_screen(Terminal& terminal, const std::vector<HandedShare>& shares,
                                          const std::string& appliance, const std::string& who, bool printed) {
  const OwnScreen screen{terminal};
  terminal.show(fmt::format("Now {}, alone at the screen: {} shares{}.\n", who, shares.size(), printed ? ", from the printer" : ""));
  terminal.wait_for_enter("Enter goes on: ");
  std::vector<ShareFile> back;
  for (const HandedShare& share : shares) {
    terminal.clear();
    back.push_back(hand_out_one(terminal, share, appliance, who, printed));
  }
  return back;
}

}  // namespace keyferry::appliance
