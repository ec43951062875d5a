// States of a record at the station, and the one table of how they change. What is not in the table
// is refused.
//
//   loaded ── intended ──► injecting ── receipt-signed ──► injected
//                            │   ▲ found-empty                │
//                  cut-off   ▼   │                            │ (final)
//                          doubtful ── found-key ──► injecting
//                            │
//                            └── failed ──► quarantined        loaded ── given-back ──► returned
#pragma once

#include <array>
#include <optional>
#include <string_view>

namespace keyferry::station {

enum class RecordState { Loaded, Injecting, Doubtful, Injected, Quarantined, Returned };

enum class RecordEvent {
  Intended,       // noted before the chip sees an octet
  CutOff,         // the process, the helper or the chip went away in the middle
  FoundEmpty,     // asked first: the chip provably holds nothing; the same octets once more
  FoundKey,       // asked first: the chip has a key under this record's handle; it has to prove it
  ReceiptSigned,  // all verdicts pass and the receipt carries the chip's signature
  Failed,         // refused, unsound, or a verdict said no
  GivenBack,      // not used; the technician closed the batch
};

struct RecordRule {
  RecordState from;
  RecordEvent event;
  RecordState to;
};

inline constexpr std::array kRecordRules{
    RecordRule{RecordState::Loaded, RecordEvent::Intended, RecordState::Injecting},
    RecordRule{RecordState::Loaded, RecordEvent::Failed, RecordState::Quarantined},
    RecordRule{RecordState::Loaded, RecordEvent::GivenBack, RecordState::Returned},
    RecordRule{RecordState::Injecting, RecordEvent::ReceiptSigned, RecordState::Injected},
    RecordRule{RecordState::Injecting, RecordEvent::Failed, RecordState::Quarantined},
    RecordRule{RecordState::Injecting, RecordEvent::CutOff, RecordState::Doubtful},
    RecordRule{RecordState::Doubtful, RecordEvent::FoundEmpty, RecordState::Injecting},
    RecordRule{RecordState::Doubtful, RecordEvent::FoundKey, RecordState::Injecting},
    RecordRule{RecordState::Doubtful, RecordEvent::Failed, RecordState::Quarantined},
};

inline constexpr std::array kAllRecordStates{RecordState::Loaded,
                                             RecordState::Injecting,
                                             RecordState::Doubtful,
                                             RecordState::Injected,
                                             RecordState::Quarantined,
                                             RecordState::Returned};

inline constexpr std::array kAllRecordEvents{RecordEvent::Intended,
                                             RecordEvent::CutOff,
                                             RecordEvent::FoundEmpty,
                                             RecordEvent::FoundKey,
                                             RecordEvent::ReceiptSigned,
                                             RecordEvent::Failed,
                                             RecordEvent::GivenBack};

/// The state after `event`; nothing when the table does not allow it.
[[nodiscard]] constexpr std::optional<RecordState> next(RecordState from, RecordEvent event) {
  for (const RecordRule& rule : kRecordRules) {
    if (rule.from == from && rule.event == event) return rule.to;
  }
  return std::nullopt;
}

static_assert(!next(RecordState::Quarantined, RecordEvent::Intended), "no second try on the line");
static_assert(!next(RecordState::Injected, RecordEvent::Failed), "an accepted receipt is final");
static_assert(!next(RecordState::Injecting, RecordEvent::GivenBack),
              "a key that may be in a chip is not returned");
static_assert(!next(RecordState::Doubtful, RecordEvent::GivenBack),
              "a key that may be in a chip is not returned");
static_assert(!next(RecordState::Doubtful, RecordEvent::Intended), "the chip is asked first");

/// "loaded", "injecting", ...: in the store, in JSON and on screens.
[[nodiscard]] std::string_view record_state_name(RecordState state);
[[nodiscard]] std::optional<RecordState> record_state_from_name(std::string_view name);
[[nodiscard]] std::string_view record_event_name(RecordEvent event);

/// Nothing more happens to the record at this station.
[[nodiscard]] constexpr bool is_final(RecordState state) {
  return state == RecordState::Injected || state == RecordState::Quarantined ||
         state == RecordState::Returned;
}

}  // namespace keyferry::station
