#include "appliance/gate/pin_custody.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "appliance/gate/share_screen.h"
#include "appliance/gate/share_tokens.h"
#include "wrap/base/cut.h"
#include "wrap/base/durable_file.h"
#include "wrap/base/random.h"
#include "wrap/base/text.h"

namespace keyferry::appliance {
namespace {

namespace fs = std::filesystem;

constexpr std::array kPinKinds{ShareKind::UserPin, ShareKind::SoPin};

[[noreturn]] void refuse(std::string text, std::string hint = {}) { throw Error{Code::Refused, std::move(text), std::move(hint)}; }

std::string numbered(const GivenShare& one) {
  return fmt::format("share {} of {} ({})", one.share.number, share_kind_noun(one.share.kind), printable(one.where));
}

// --- putting together ----------------------------------------------------------------------------

/// Shares of one PIN, of one set.
class Gathering {
 public:
  Gathering(ShareKind kind, PinSharing wanted) : kind_{kind}, wanted_{std::move(wanted)} {}

  /// Why the share is of no use here.
  std::optional<Refusal> add(const ShareFile& share, const std::string& where) {
    const std::string noun = fmt::format("share {} of {} ({})", share.number, share_kind_noun(share.kind), printable(where));
    if (share.kind != kind_) return Refusal{"share-kind", fmt::format("{} is not one of {}", noun, share_kind_noun(kind_))};
    if (share.check_value != wanted_.set_id) {
      return Refusal{"share-set",
                     fmt::format("{} is of set {}, the HSM's is {}", noun, short_set_id(share.check_value), short_set_id(wanted_.set_id)),
                     "a change of the PINs makes a new set: bring the shares of that"};
    }
    if (std::ranges::find(numbers_, share.number) != numbers_.end()) {
      return Refusal{"share-twice", fmt::format("{} was given twice", noun), "another custodian's share is needed"};
    }
    numbers_.push_back(share.number);
    shares_.push_back(SecretBytes::copy_of(share.share.expose()));
    return std::nullopt;
  }

  [[nodiscard]] unsigned missing() const {
    return shares_.size() >= wanted_.needed ? 0 : wanted_.needed - static_cast<unsigned>(shares_.size());
  }

  [[nodiscard]] bool any() const { return !shares_.empty(); }

  [[nodiscard]] const PinSharing& wanted() const { return wanted_; }

  /// The PIN.
  [[nodiscard]] SecretBytes pin() const {
    auto seed = combine_pin_seed(kind_, shares_);
    if (const auto* refusal = std::get_if<Refusal>(&seed)) throw to_error(*refusal);
    return pin_of_seed(std::get<SecretBytes>(seed));
  }

  /// On the terminal until enough are there, one custodian at a time.
  void ask(const std::string& appliance) {
    if (!Terminal::available()) {
      refuse(fmt::format("{} shares of {} were given, {} are needed, and there is no terminal to ask on", shares_.size(),
                         share_kind_noun(kind_), wanted_.needed),
             "bring more: --share FILE, --share-fd N or --share-token URI for each, or start the command at a terminal");
    }
    Terminal terminal{"custodians are asked for their shares"};
    std::string said;
    while (missing() != 0) {
      terminal.clear();
      terminal.show(said);
      terminal.show(fmt::format("Appliance {}: {} more share{} of {} {} needed (set {}).\nThe next custodian, alone at the screen; "
                                "nothing that is typed is shown.\n",
                                appliance, missing(), missing() == 1 ? "" : "s", share_kind_noun(kind_), missing() == 1 ? "is" : "are",
                                short_set_id(wanted_.set_id)));
      auto typed = typed_share(terminal);
      std::optional<Refusal> refusal;
      if (auto* wrong = std::get_if<Refusal>(&typed)) {
        refusal = *wrong;
      } else {
        refusal = add(std::get<ShareFile>(typed), "the terminal");
      }
      said = refusal ? fmt::format("Refused: {}.\n\n", refusal->text) : std::string{"Taken.\n\n"};
    }
    terminal.clear();
    terminal.show(fmt::format("All {} shares of {} are there.\n", wanted_.needed, share_kind_noun(kind_)));
  }

 private:
  ShareKind kind_;
  PinSharing wanted_;
  std::vector<SecretBytes> shares_;
  std::vector<unsigned> numbers_;
};

/// Into `gathering`: those of its kind and set. They stay in `given`.
void take_given(Gathering& gathering, ShareKind kind, const std::vector<GivenShare>& given) {
  for (const GivenShare& one : given) {
    if (one.share.kind != kind || one.share.check_value != gathering.wanted().set_id) continue;
    if (const auto refusal = gathering.add(one.share, one.where)) throw to_error(*refusal);
  }
}

void take_tokens(Gathering& gathering, ShareKind kind, const PinCustodyOptions& options) {
  for (const std::string& uri : options.share_tokens) {
    if (gathering.missing() == 0) return;
    bool found = false;
    for (const ShareFile& share : get_token_shares(uri, options.appliance, kind)) {
      if (share.check_value != gathering.wanted().set_id) continue;  // of a set before, or of one that is not in use yet
      found = true;
      if (const auto refusal = gathering.add(share, uri)) throw to_error(*refusal);
    }
    if (!found) {
      refuse(fmt::format("token {} holds no share of {} of set {}", printable(uri), share_kind_noun(kind),
                         short_set_id(gathering.wanted().set_id)));
    }
  }
}

/// Shares that belong to none of `sets` are named, not passed over.
void refuse_strangers(const std::vector<GivenShare>& given, const std::vector<const PinSharing*>& sets) {
  for (const GivenShare& one : given) {
    const bool known = std::ranges::any_of(sets, [&](const PinSharing* set) { return one.share.check_value == set->set_id; });
    if (known) continue;
    refuse(fmt::format("{} is of set {}, the HSM's is {}", numbered(one), short_set_id(one.share.check_value),
                       short_set_id(sets.front()->set_id)),
           "each share says on its line \"check\" which set it belongs to");
  }
}

SecretBytes gathered_pin(const PinCustodyOptions& options, ShareKind kind, const PinSharing& sharing,
                         const std::vector<GivenShare>& given) {
  Gathering gathering{kind, sharing};
  take_given(gathering, kind, given);
  take_tokens(gathering, kind, options);
  if (gathering.missing() != 0) gathering.ask(options.appliance);
  return gathering.pin();
}

// --- handing out ---------------------------------------------------------------------------------

std::string who_is(const PinCustodyOptions& options, unsigned index, ShareCounts counts) {
  if (index < options.custodians.size()) return fmt::format("person {}", options.custodians[index]);
  return fmt::format("custodian {} of {}", index + 1, counts.shares);
}

fs::path file_of(const PinCustodyOptions& options, ShareKind kind, unsigned index, ShareCounts counts) {
  const std::vector<fs::path>& folders = options.targets.folders;
  const fs::path& folder = folders.size() == 1 ? folders.front() : folders.at(index);
  return folder / share_file_name(kind, options.appliance, index + 1, counts);
}

void check_targets(const ShareTargets& targets, ShareCounts counts) {
  const int ways = (targets.folders.empty() ? 0 : 1) + (targets.printers.empty() ? 0 : 1) + (targets.tokens.empty() ? 0 : 1);
  if (ways > 1) throw Error{Code::Usage, "shares go to folders, printers or tokens: to one of them"};
  const auto wrong = [counts](std::size_t given) { return given != 0 && given != counts.shares; };
  if ((targets.folders.size() > 1 && wrong(targets.folders.size())) || wrong(targets.printers.size()) || wrong(targets.tokens.size())) {
    throw Error{Code::Usage, fmt::format("{} custodians need as many folders, printers or tokens (or one folder)", counts.shares)};
  }
}

/// Hands one custodian both shares; what was read back.
std::vector<ShareFile> hand_out(const PinCustodyOptions& options, unsigned index, const std::vector<HandedShare>& shares,
                                const Bytes& keep) {
  const std::string who = who_is(options, index, shares.front().counts);
  const ShareTargets& targets = options.targets;
  std::vector<ShareFile> back;
  if (!targets.folders.empty() || !targets.tokens.empty()) {
    for (const HandedShare& share : shares) {
      const SecretBytes text = share_text(share.kind, share.rtss, share.number, share.counts);
      if (!targets.tokens.empty()) {
        back.push_back(put_token_share(targets.tokens.at(index), options.appliance, share.kind, text, keep));
        continue;
      }
      const fs::path file = file_of(options, share.kind, index, share.counts);
      make_private_directory(file.parent_path());
      back.push_back(write_share_file(file, text));
      KF_CUT("gate.pin-shares.written");
    }
    return back;
  }
  Terminal terminal{fmt::format("the shares for {} are to be shown and typed back", who)};
  if (!targets.printers.empty()) {
    const Fd printer{dup(targets.printers.at(index))};
    for (const HandedShare& share : shares) write_all(printer, share_page(share, options.appliance, who).expose(), "the printer");
    write_all(printer, as_bytes("\f"), "the printer");
  }
  return hand_out_on_screen(terminal, shares, options.appliance, who, !targets.printers.empty());
}

/// Both PINs of a set from what the custodians gave back: the first M of each.
PinPair pair_of(const PinSharing& sharing, const std::vector<ShareFile>& back) {
  PinPair pair{{}, {}, sharing};
  for (const ShareKind kind : kPinKinds) {
    Gathering gathering{kind, sharing};
    for (const ShareFile& share : back) {
      if (share.kind != kind) continue;
      if (const auto refusal = gathering.add(share, "read back")) throw to_error(*refusal);
    }
    (kind == ShareKind::UserPin ? pair.user_pin : pair.so_pin) = gathering.pin();
  }
  return pair;
}

PinPair make_pins(const PinCustodyOptions& options, ShareCounts counts, const Bytes& keep) {
  check_targets(options.targets, counts);
  SystemRandom random;
  const PinSharing sharing{counts.needed, counts.shares, random.bytes(kShareSetIdBytes)};
  std::vector<ShareFile> back;
  {
    std::array<std::vector<SecretBytes>, kPinKinds.size()> split;
    for (std::size_t kind = 0; kind < kPinKinds.size(); ++kind) {
      SecretBytes seed{kPinSeedBytes};
      random.fill(seed.expose_writable());
      split.at(kind) = split_pin_seed(kPinKinds.at(kind), seed, sharing.set_id, counts);
    }
    for (unsigned index = 0; index < counts.shares; ++index) {
      std::vector<HandedShare> shares;
      for (std::size_t kind = 0; kind < kPinKinds.size(); ++kind) {
        shares.push_back({kPinKinds.at(kind), counts, index + 1, std::move(split.at(kind).at(index))});
      }
      auto read = hand_out(options, index, shares, keep);
      for (std::size_t i = 0; i < read.size(); ++i) {
        if (read[i].kind != shares[i].kind || !equal(read[i].share.expose(), shares[i].rtss.expose())) {
          refuse(fmt::format("{} gave back another share than it got", who_is(options, index, counts)));
        }
        back.push_back(std::move(read[i]));
      }
    }
  }  // the seeds and shares end here: the PINs below come from what was read back
  return pair_of(sharing, back);
}

/// The files of a whole set in the folders; nothing when one is missing or there are no folders.
std::optional<std::vector<ShareFile>> files_of_set(const PinCustodyOptions& options, ShareCounts counts) {
  if (options.targets.folders.empty()) return std::nullopt;
  check_targets(options.targets, counts);
  std::vector<ShareFile> files;
  for (unsigned index = 0; index < counts.shares; ++index) {
    for (const ShareKind kind : kPinKinds) {
      const fs::path file = file_of(options, kind, index, counts);
      if (!fs::exists(file)) return std::nullopt;
      files.push_back(read_share_file(file));
    }
  }
  const auto other = [&files](const ShareFile& file) { return file.check_value != files.front().check_value; };
  if (std::ranges::any_of(files, other)) return std::nullopt;
  return files;
}

/// What may be overwritten is of a set that no HSM knows.
void refuse_set_in_use(const PinCustodyOptions& options, ShareCounts counts, const PinSharing& in_use) {
  if (options.targets.folders.empty()) return;
  check_targets(options.targets, counts);
  for (unsigned index = 0; index < counts.shares; ++index) {
    for (const ShareKind kind : kPinKinds) {
      const fs::path file = file_of(options, kind, index, counts);
      if (!fs::exists(file) || read_share_file(file).check_value != in_use.set_id) continue;
      refuse(printable(file.string()) + " is a share of the set that is in use", "choose another folder for the new ones");
    }
  }
}

/// Both PINs of a set that was handed out before: from the folders, what was given, tokens, the terminal.
PinPair pins_of_set(const PinCustodyOptions& options, const PinSharing& sharing, const std::vector<GivenShare>& given) {
  if (const auto files = files_of_set(options, {sharing.needed, sharing.total});
      files && files->front().check_value == sharing.set_id) {
    return pair_of(sharing, *files);
  }
  PinCustodyOptions with_targets = options;  // the tokens that the shares went to hold them
  for (const std::string& uri : options.targets.tokens) {
    if (std::ranges::find(with_targets.share_tokens, uri) == with_targets.share_tokens.end()) with_targets.share_tokens.push_back(uri);
  }
  return {gathered_pin(with_targets, ShareKind::UserPin, sharing, given),
          gathered_pin(with_targets, ShareKind::SoPin, sharing, given), sharing};
}

/// A whole set in the folders from a try that was cut off before it was noted, else a new one.
PinPair found_or_made(const PinCustodyOptions& options, ShareCounts counts, const Bytes& keep) {
  if (const auto files = files_of_set(options, counts)) {
    const ShareFile& first = files->front();
    if (first.counts == counts) return pair_of({counts.needed, counts.shares, first.check_value}, *files);
  }
  return make_pins(options, counts, keep);
}

PinSharingRecord known_record(const PinCustodyOptions& options) {
  PinSharingRecord record = read_pin_sharing(options.settings_file);
  if (!record.current) {
    refuse(fmt::format("{} is not there: which shares open this HSM is not known", printable(pin_sharing_file(options.settings_file).string())),
           "it lies beside gate.toml since init --pin-shares: restore it, or give the same init command again");
  }
  return record;
}

}  // namespace

PinPair first_pins(const PinCustodyOptions& options, ShareCounts counts, std::vector<GivenShare>& given) {
  PinSharingRecord record = read_pin_sharing(options.settings_file);
  if (record.current) {
    if (record.current->needed != counts.needed || record.current->total != counts.shares) {
      refuse(fmt::format("shares were handed out already: {}", sharing_text(*record.current)), "give the same --pin-shares as then");
    }
    refuse_strangers(given, {&*record.current});
    return pins_of_set(options, *record.current, given);
  }
  PinPair pins = found_or_made(options, counts, {});
  KF_CUT("gate.pin-shares.handed-out");
  record.current = pins.sharing;
  write_pin_sharing(options.settings_file, record);
  KF_CUT("gate.pin-shares.noted");
  return pins;
}

PinPair pin_for_login(const PinCustodyOptions& options, std::vector<GivenShare>& given) {
  const PinSharingRecord record = known_record(options);
  std::vector<const PinSharing*> sets{&*record.current};
  if (record.next) sets.push_back(&*record.next);
  refuse_strangers(given, sets);
  if (record.next && record.stage == PinChangeStage::UserDone) sets = {&*record.next};
  if (record.next && record.stage < PinChangeStage::SoDone) sets = {&*record.current};
  // A change of the user PIN may or may not have happened: the set that enough shares were brought of.
  for (const PinSharing* set : sets) {
    Gathering gathering{ShareKind::UserPin, *set};
    take_given(gathering, ShareKind::UserPin, given);
    if (gathering.missing() == 0) return {gathering.pin(), {}, *set};
  }
  const auto given_of = [&given](const PinSharing& set) {
    return std::ranges::find_if(given, [&set](const GivenShare& one) {
      return one.share.kind == ShareKind::UserPin && one.share.check_value == set.set_id;
    });
  };
  const PinSharing& set = given_of(*sets.back()) != given.end() ? *sets.back() : *sets.front();
  const PinSharing& other = &set == &*record.current && record.next ? *record.next : *record.current;
  if (const auto wrong = given_of(other); other != set && wrong != given.end()) {
    refuse(fmt::format("{} is of set {}, the HSM's is {}", numbered(*wrong), short_set_id(other.set_id), short_set_id(set.set_id)),
           record.stage == PinChangeStage::UserDone ? "the PINs were changed: bring the new shares"
                                                    : "a change of the PINs was begun: bring the shares of before, then finish it");
  }
  return {gathered_pin(options, ShareKind::UserPin, set, given), {}, set};
}

SecretBytes so_pin_for_change(const PinCustodyOptions& options, std::vector<GivenShare>& given) {
  const PinSharingRecord record = known_record(options);
  if (record.next && record.stage >= PinChangeStage::SoDone) return {};
  return gathered_pin(options, ShareKind::SoPin, *record.current, given);
}

NewPins new_pins(const PinCustodyOptions& options, ShareCounts counts, std::vector<GivenShare>& given) {
  PinSharingRecord record = known_record(options);
  if (!options.custodians.empty() && options.custodians.size() != counts.shares) {
    throw Error{Code::Usage, fmt::format("{} custodians, and {} shares", options.custodians.size(), counts.shares)};
  }
  refuse_set_in_use(options, counts, *record.current);
  if (record.next && record.stage != PinChangeStage::HandedOut) {
    if (record.next->needed != counts.needed || record.next->total != counts.shares) {
      refuse(fmt::format("a change of the PINs was cut off and has to be finished first: {}", sharing_text(*record.next)),
             "give that command again, with as many custodians and shares as then");
    }
    return {pins_of_set(options, *record.next, given), options.custodians, record.stage};
  }
  PinPair pins = found_or_made(options, counts, record.current->set_id);
  KF_CUT("gate.pin-change.handed-out");
  record.next = pins.sharing;
  record.stage = PinChangeStage::HandedOut;
  write_pin_sharing(options.settings_file, record);
  KF_CUT("gate.pin-change.noted");
  return {std::move(pins), options.custodians, record.stage};
}

}  // namespace keyferry::appliance
